//! What a person watches while a run trains: a line on the terminal.
//!
//! Start at [`ProgressLine`].

mod image_line;
mod pace;
mod progress;

pub use self::image_line::ImageLine;
pub use self::pace::Pace;
pub use self::progress::{PartReport, ProgressLine, ProgressPlan, StepReport};
