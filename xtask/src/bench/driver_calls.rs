//! What a step asks of the CUDA driver and of cuBLAS. Only the emulated driver counts it.

use serde::Serialize;

/// Calls by their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Calls {
    /// Memory on the device that was asked for.
    allocations: u64,
    /// Memory that was given back.
    frees: u64,
    /// Memory that was filled.
    fills: u64,
    /// Copies to the device, from it and within it.
    copies: u64,
    /// Kernels.
    launches: u64,
    /// Products of matrices by cuBLAS.
    products: u64,
    /// Changes of the thread's context.
    context_changes: u64,
}

/// Counts the calls of this thread from its start on.
pub(super) struct Counter {
    #[cfg(feature = "cuda-emulated")]
    before: tensor_ops::DriverCalls,
}

impl Counter {
    pub(super) fn start() -> Self {
        Self {
            #[cfg(feature = "cuda-emulated")]
            before: tensor_ops::DriverCalls::of_this_thread(),
        }
    }

    /// The calls since the start; `None` in a build that does not count.
    #[cfg(feature = "cuda-emulated")]
    pub(super) fn calls(&self) -> Option<Calls> {
        let calls = tensor_ops::DriverCalls::of_this_thread().since(self.before);
        let tensor_ops::DriverCalls {
            allocations,
            frees,
            fills,
            copies,
            launches,
            products,
            context_changes,
        } = calls;
        Some(Calls { allocations, frees, fills, copies, launches, products, context_changes })
    }

    /// The calls since the start; `None` in a build that does not count.
    #[cfg(not(feature = "cuda-emulated"))]
    pub(super) fn calls(&self) -> Option<Calls> {
        None
    }
}
