//! What a run tells while it trains: a log to compute with, TensorBoard's events, and a line on the terminal.
//!
//! Start at [`MetricsLog`] and [`ProgressLine`].

mod error;
mod events;
mod image_line;
mod log;
mod pace;
mod progress;

pub use self::error::MetricsError;
pub use self::events::EventLog;
pub use self::image_line::ImageLine;
pub use self::log::{MetricsLine, MetricsLog};
pub use self::pace::Pace;
pub use self::progress::{PartReport, ProgressLine, ProgressPlan, StepReport};
