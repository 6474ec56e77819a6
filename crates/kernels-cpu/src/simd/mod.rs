//! The instructions that this machine has, chosen at run time, see [`choose_kernels`].
//!
//! A kernel is written once, over [`Lanes`], and compiled for each family: see [`Kernel`].

mod bf16;
mod choice;
mod filling;
mod lanes;
mod math;
mod moments;
mod pairs;
mod portable;
mod slices;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use self::choice::{choose_kernels, kernel_family};
pub(crate) use self::{
    bf16::{narrow, rounded, widen},
    filling::{Filled, Filling, fill},
    lanes::{Lanes, MAX_LANES},
    math::{exp, gelu, where_positive},
    moments::Moments,
    pairs::{Element, halves_of},
    slices::{for_registers, max_lane, read, read_some, sum_lanes, transpose, write, write_some},
    tile::{Addends, Operands, Segment, TileMode, multiply_groups, multiply_rows, multiply_rows_summed},
};

/// Work that is the same for every family of instructions.
pub(crate) trait Kernel {
    /// What the work gives.
    type Output;

    /// Does the work with the lanes `L`. Must be `#[inline(always)]`, or it is compiled without their instructions.
    fn run<L: Lanes>(self) -> Self::Output;
}

/// A set of instructions that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Plain Rust.
    Portable,
    /// Plain Rust in the shape of AVX-512.
    #[cfg(any(test, feature = "testing"))]
    PortableWide,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX-512F with products of bfloat16.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
}

impl Family {
    /// What this machine has, the fastest last.
    pub fn available() -> Vec<Self> {
        let mut families = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if has_avx2 {
                families.push(Self::Avx2);
            }
            if has_avx2 && is_x86_feature_detected!("avx512f") {
                families.push(Self::Avx512);
            }
            if x86_64::has_avx512_bf16() {
                families.push(Self::Avx512Bf16);
            }
        }
        families
    }

    /// The fastest that this machine has, or the one that the environment asks for, see [`choose_kernels`].
    pub fn detected() -> Self {
        choice::chosen()
    }

    /// Columns of a packed panel: two registers.
    pub(crate) fn panel(self) -> usize {
        match self {
            Self::Portable => 2 * portable::Portable::N,
            #[cfg(any(test, feature = "testing"))]
            Self::PortableWide => 2 * portable::PortableWide::N,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 2 * x86_64::Avx2::N,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 2 * x86_64::Avx512::N,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => 2 * x86_64::Avx512Bf16::N,
        }
    }

    /// Whether pairs of bfloat16 are multiplied faster than single values: by instructions of their own.
    ///
    /// All families can multiply pairs, so that a machine without the instructions can test what depends on them.
    pub(crate) fn multiplies_pairs(self) -> bool {
        match self {
            #[cfg(any(test, feature = "testing"))]
            Self::PortableWide => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => true,
            _ => false,
        }
    }

    /// Does the work with the instructions of this family.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Portable => kernel.run::<portable::Portable>(),
            #[cfg(any(test, feature = "testing"))]
            Self::PortableWide => kernel.run::<portable::PortableWide>(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86_64::run_avx2(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86_64::run_avx512(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => x86_64::run_avx512_bf16(kernel),
        }
    }
}
