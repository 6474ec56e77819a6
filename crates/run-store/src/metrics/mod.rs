//! What a run measured: a log to compute with, and TensorBoard's events.
//!
//! Start at [`MetricsLog`].

mod error;
mod event;
mod events;
mod log;
mod record;

pub use self::error::MetricsError;
pub use self::events::EventLog;
pub use self::log::{MetricsLine, MetricsLog};
