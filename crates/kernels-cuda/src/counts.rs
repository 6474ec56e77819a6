//! How much is asked of the emulated driver.

/// Calls of the driver and of cuBLAS, or their difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverCalls {
    /// Memory on the device that was asked for.
    pub allocations: u64,
    /// Memory that was given back.
    pub frees: u64,
    /// Memory that was filled.
    pub fills: u64,
    /// Copies to the device, from it and within it.
    pub copies: u64,
    /// Kernels.
    pub launches: u64,
    /// Products of matrices.
    pub products: u64,
    /// Changes of a thread's context.
    pub context_changes: u64,
}

impl DriverCalls {
    /// Those of this thread, since it started.
    pub fn of_this_thread() -> Self {
        unsafe extern "C" {
            fn cuda_emulation_counts(counts: *mut u64);
        }
        let mut counts = [0; 7];
        // SAFETY: there are seven of these counts.
        unsafe { cuda_emulation_counts(counts.as_mut_ptr()) };
        let [allocations, frees, fills, copies, launches, products, context_changes] = counts;
        Self { allocations, frees, fills, copies, launches, products, context_changes }
    }

    /// Those since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            allocations: self.allocations - before.allocations,
            frees: self.frees - before.frees,
            fills: self.fills - before.fills,
            copies: self.copies - before.copies,
            launches: self.launches - before.launches,
            products: self.products - before.products,
            context_changes: self.context_changes - before.context_changes,
        }
    }

    /// All of them.
    pub fn total(self) -> u64 {
        let Self { allocations, frees, fills, copies, launches, products, context_changes } = self;
        allocations + frees + fills + copies + launches + products + context_changes
    }
}
