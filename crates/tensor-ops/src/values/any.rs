//! Values on the host or on the device.

use std::sync::Arc;

use kernels_cpu::{Precision, Values};
#[cfg(feature = "cuda")]
use kernels_cuda::Array;

use crate::backend::{Backend, Computed};

/// Where values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the host's memory.
    Host,
    /// On the CUDA device.
    #[cfg(feature = "cuda")]
    Cuda,
}

impl Place {
    /// Where new values go, and where those of dfdx's tensors are worked on.
    pub(crate) fn of_process() -> Self {
        #[cfg(feature = "cuda")]
        if kernels_cuda::is_used() {
            return Self::Cuda;
        }
        Self::Host
    }
}

/// Values in either precision.
#[derive(Debug)]
pub(crate) enum AnyValues {
    /// In the host's memory, feature maps as their [`Layout`](kernels_cpu::Layout) has them.
    Host(Values),
    /// On the CUDA device, feature maps `(N, H, W, C)`.
    #[cfg(feature = "cuda")]
    Cuda(Array),
}

impl AnyValues {
    /// Where they are.
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Host(_) => Place::Host,
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => Place::Cuda,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Host(values) => values.len(),
            #[cfg(feature = "cuda")]
            Self::Cuda(array) => array.len(),
        }
    }

    /// How they are kept.
    pub(crate) fn precision(&self) -> Precision {
        match self {
            Self::Host(values) => values.precision(),
            #[cfg(feature = "cuda")]
            Self::Cuda(array) => array.precision(),
        }
    }
}

/// The same values in another precision: changed where they are, if no other handle is left.
pub(crate) fn cast<B: Backend>(
    backend: B,
    values: Arc<AnyValues>,
    precision: Precision,
) -> Computed<Arc<AnyValues>> {
    let owned = match Arc::try_unwrap(values) {
        Ok(values) => B::owned(values),
        Err(shared) => backend.duplicate(B::of(&shared))?,
    };
    Ok(Arc::new(B::any(backend.cast(owned, precision)?)))
}
