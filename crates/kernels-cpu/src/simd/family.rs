//! Which instructions there are.

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
use super::aarch64::Neon;
#[cfg(target_arch = "x86_64")]
use super::x86_64::{Avx2, Avx512, Avx512Bf16};
use super::{Kernel, Lanes, choice, portable};

/// A set of instructions that kernels are compiled for, and that this machine has: there is no other way to one than to ask
/// the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Family(Instructions);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Instructions {
    /// Plain Rust.
    Portable,
    /// Plain Rust in the shape of AVX-512.
    #[cfg(all(test, portable_wide))]
    PortableWide,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512F.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// AVX-512F with products of bfloat16.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(Avx512Bf16),
    /// NEON.
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon(Neon),
}

impl Family {
    /// Plain Rust, which every machine can run.
    pub fn portable() -> Self {
        Self(Instructions::Portable)
    }

    /// Plain Rust in the shape of AVX-512, so that a machine without it can test what depends on the shape.
    #[cfg(all(test, portable_wide))]
    pub fn portable_wide() -> Self {
        Self(Instructions::PortableWide)
    }

    /// What this machine has, the fastest last.
    pub fn available() -> Vec<Self> {
        let mut families = vec![Self::portable()];
        #[cfg(target_arch = "x86_64")]
        families.extend(
            [
                Avx2::detect().map(Instructions::Avx2),
                Avx512::detect().map(Instructions::Avx512),
                Avx512Bf16::detect().map(Instructions::Avx512Bf16),
            ]
            .into_iter()
            .flatten()
            .map(Self),
        );
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        families.extend(Neon::detect().map(|neon| Self(Instructions::Neon(neon))));
        families
    }

    /// The fastest that this machine has, or the one that the environment asks for, see
    /// [`choose_kernels`](crate::choose_kernels).
    pub fn detected() -> Self {
        choice::chosen()
    }

    /// As the environment has it.
    pub(super) fn name(self) -> &'static str {
        match self.0 {
            Instructions::Portable => "portable",
            #[cfg(all(test, portable_wide))]
            Instructions::PortableWide => "portable-wide",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Bf16(_) => "avx512bf16",
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Instructions::Neon(_) => "neon",
        }
    }

    /// What it consists of, for people.
    pub(super) fn instructions(self) -> &'static str {
        match self.0 {
            Instructions::Portable => "portable",
            #[cfg(all(test, portable_wide))]
            Instructions::PortableWide => "portable, wide",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2(_) => "avx2+fma",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512(_) => "avx512f",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Bf16(_) => "avx512f+bf16",
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Instructions::Neon(_) => "neon",
        }
    }

    /// Columns of a packed panel: two registers.
    pub(crate) fn panel(self) -> usize {
        match self.0 {
            Instructions::Portable => 2 * portable::Portable::N,
            #[cfg(all(test, portable_wide))]
            Instructions::PortableWide => 2 * portable::PortableWide::N,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2(_) => 2 * Avx2::N,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512(_) => 2 * Avx512::N,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Bf16(_) => 2 * Avx512Bf16::N,
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Instructions::Neon(_) => 2 * Neon::N,
        }
    }

    /// Whether pairs of bfloat16 are multiplied faster than single values: by instructions of their own.
    ///
    /// All families can multiply pairs, so that a machine without the instructions can test what depends on them.
    pub(crate) fn multiplies_pairs(self) -> bool {
        match self.0 {
            #[cfg(all(test, portable_wide))]
            Instructions::PortableWide => true,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Bf16(_) => true,
            _ => false,
        }
    }

    /// Does the work with the instructions of this family.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Instructions::Portable => kernel.run::<portable::Portable>(),
            #[cfg(all(test, portable_wide))]
            Instructions::PortableWide => kernel.run::<portable::PortableWide>(),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2(there) => there.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512(there) => there.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Bf16(there) => there.run(kernel),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Instructions::Neon(there) => there.run(kernel),
        }
    }
}

impl std::fmt::Debug for Family {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
