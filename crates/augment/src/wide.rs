//! Loops compiled once for every x86-64 CPU and once for those with AVX2, the right one chosen at run time.

/// Runs `work`, compiled for the widest vectors of this CPU.
///
/// The results do not depend on the CPU: Rust neither reorders nor contracts floating-point operations. For the
/// compiler to see the loop, `work` has to be a closure that only calls an `#[inline(always)]` function.
#[inline(always)]
pub(crate) fn wide<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}
