//! Where operations compute: on the host, or on the CUDA device.
//!
//! An operation is written once, over [`Backend`]: its checks, what it records, and where its gradients go. What differs is the
//! arithmetic, which [`Host`] has from `kernels-cpu` and [`Cuda`] from `kernels-cuda`.

#[cfg(feature = "cuda")]
mod cuda;
mod host;
mod maps;
mod rows;
mod specs;
mod storage;
mod tokens;

#[cfg(feature = "cuda")]
pub(crate) use self::cuda::{Cuda, OnDevice, cuda_out_of_memory, cuda_self_test, cuda_strides, cuda_update};
pub(crate) use self::{
    host::Host,
    maps::Maps,
    rows::Rows,
    specs::{
        AttentionSpec, Candidates, Contrast, ContrastSpec, ConvSpec, LayerNormGradients, LayerNormWanted,
        LinearGradients, LinearSpec, LinearWanted, NormGradients, NormMoments, NormSpec, NormWanted,
        SumsOfAll, Tail, Window,
    },
    storage::Storage,
    tokens::Tokens,
};
use crate::device::DeviceError;

/// What a function of a backend gives.
pub(crate) type Computed<T> = Result<T, DeviceError>;

/// Something to compute with. Sizes have been checked by the operation.
///
/// Where a gradient is added to what has reached the same place before, that is an argument `before`, so that a kernel can
/// add in its last pass over memory.
pub(crate) trait Backend: Maps + Rows + Tokens {}

impl<B: Maps + Rows + Tokens> Backend for B {}

/// The host, with the instructions that the process uses; in a test, with those that it goes through.
pub(crate) fn host() -> Host {
    #[cfg(test)]
    if let Some(family) = crate::testing::family() {
        return Host::of_family(family);
    }
    Host::detected()
}

/// `on!(place, |backend| work)`: the work with the backend of a [`Place`](crate::values::Place).
macro_rules! on {
    ($place:expr, |$backend:ident| $work:expr) => {
        match $place {
            $crate::values::Place::Host => {
                #[allow(unused_imports, reason = "work need not call a method")]
                use $crate::backend::{Maps as _, Rows as _, Storage as _, Tokens as _};
                let $backend = $crate::backend::host();
                $work
            }
            #[cfg(feature = "cuda")]
            $crate::values::Place::Cuda => {
                #[allow(unused_imports, reason = "as above")]
                use $crate::backend::{Maps as _, Rows as _, Storage as _, Tokens as _};
                let $backend = $crate::backend::Cuda;
                $work
            }
        }
    };
}
pub(crate) use on;
