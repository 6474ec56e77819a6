//! The linear probe: a linear classifier on the features of a frozen encoder (He et al. 2020, arXiv:1911.05722, §4.1).
//!
//! Start at [`LinearProbe`]; [`PublishedProbe`] has the published settings, and [`train_cached`] trains on cached
//! features.

mod cached;
mod error;
mod probe;
mod protocol;
mod score;

pub use self::cached::{MeanLosses, TrainedProbe, train_cached, train_cached_while};
pub use self::error::ProbeError;
pub use self::probe::LinearProbe;
pub use self::protocol::{Decay, ProbeProtocol, PublishedProbe};
pub use self::score::ClassifierScore;
