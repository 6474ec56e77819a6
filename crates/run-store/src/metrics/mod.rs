//! The metrics of a run: a log for programs, and TensorBoard events.
//!
//! Start at [`MetricsLog`].

mod best;
mod error;
mod event;
mod events;
mod fields;
mod kind;
mod log;
mod record;
mod scalars;

pub use self::best::{Best, best};
pub use self::error::MetricsError;
pub use self::events::EventLog;
pub(crate) use self::events::micros_of;
pub use self::fields::{is_of_one_loss, is_of_training};
pub use self::kind::{LESS_IS_BETTER, MetricKind, SHARES};
pub use self::log::{MetricsLine, MetricsLog};
pub use self::scalars::Scalars;
