//! What operations work on, and where it is.

mod any;
mod buffer;
mod feature_map;
mod len;
mod parameter;
mod resident;
mod tokens;
mod transpose;

pub(crate) use self::{
    any::{AnyValues, Place, cast},
    len::{check_len, checked_len, too_large},
    resident::Resident,
};
pub use self::{
    buffer::Buffer,
    feature_map::FeatureMap,
    parameter::{Parameter, ParameterKind, TorchValues},
    tokens::Tokens,
};
