//! Fine-tuning: a linear classifier and the whole encoder under it, trained on labels.
//!
//! Start at [`FineTune`]; [`FineTuneProtocol`] has the settings, [`fine_tune`] trains. Unlike a probe, this changes the
//! encoder: it works on a copy that no checkpoint sees.

mod classifier;
mod layers;
mod protocol;
mod train;

pub use self::classifier::FineTune;
pub use self::protocol::FineTuneProtocol;
pub use self::train::{FineTuneOn, fine_tune, score};
