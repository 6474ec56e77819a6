//! Weights, and their copies in the forms that products want.

use std::sync::OnceLock;

use kernels_cpu::Precision;

use crate::{
    array::Array,
    blas::Operand,
    error::Result,
    memory::Memory,
    pointwise::{narrow_slice, transpose_taps},
};

/// Copies of one weight, each made when it is first asked for. Whoever changes the weight drops them.
#[derive(Debug, Default)]
pub struct Forms {
    narrow: OnceLock<Memory<u16>>,
    transposed: OnceLock<Transposed<f32>>,
    narrow_transposed: OnceLock<Transposed<u16>>,
}

/// A copy, and the inputs and outputs that it is transposed by.
#[derive(Debug)]
struct Transposed<T> {
    values: Memory<T>,
    sizes: (usize, usize),
}

impl Forms {
    /// The copy in bfloat16, if it has been made.
    #[cfg(all(test, feature = "emulated"))]
    pub(crate) fn narrow(&self) -> Option<&Memory<u16>> {
        self.narrow.get()
    }

    /// The copy in bfloat16, for whoever changes the weight to change with it; all others are dropped.
    pub fn changing(&mut self) -> Option<&mut Memory<u16>> {
        let Self { narrow, transposed, narrow_transposed } = self;
        transposed.take();
        narrow_transposed.take();
        narrow.get_mut()
    }
}

/// A weight, and its copies.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a> {
    /// The values themselves.
    pub values: &'a Memory<f32>,
    /// Copies of them, and of nothing else.
    pub forms: &'a Forms,
}

/// Values where they are, and as they are kept.
#[derive(Clone, Copy)]
pub(crate) enum Form<'a> {
    F32(&'a Memory<f32>),
    Bf16(&'a Memory<u16>),
}

impl<'a> Form<'a> {
    pub(crate) fn operand(self) -> Operand<'a> {
        match self {
            Self::F32(values) => Operand::of_slice(values),
            Self::Bf16(halves) => Operand::of_halves(halves),
        }
    }
}

impl<'a> Weight<'a> {
    pub(crate) fn len(self) -> usize {
        self.values.len()
    }

    /// As it is, in this precision.
    ///
    /// # Panics
    ///
    /// If the copy is of a weight of another length.
    pub(crate) fn plain(self, precision: Precision) -> Result<Form<'a>> {
        Ok(match precision {
            Precision::F32 => Form::F32(self.values),
            Precision::Bf16 => {
                let halves = kept(&self.forms.narrow, || narrow_slice(self.values))?;
                self.check(halves);
                Form::Bf16(halves)
            }
        })
    }

    /// `(taps, in, out)` as `(taps, out, in)`, in this precision. One weight is always asked with the same sizes.
    ///
    /// # Panics
    ///
    /// If the copy is of other sizes, or of a weight of another length.
    pub(crate) fn transposed(self, precision: Precision, sizes: (usize, usize)) -> Result<Form<'a>> {
        let make = || transpose_taps(self.values, precision, sizes);
        Ok(match precision {
            Precision::F32 => {
                let values = || match make()? {
                    Array::F32(values) => Ok(values),
                    other => other.into_memory(),
                };
                Form::F32(self.kept_transposed(&self.forms.transposed, sizes, values)?)
            }
            Precision::Bf16 => {
                let halves = || match make()? {
                    Array::Bf16(halves) => Ok(halves),
                    other => narrow_slice(&other.into_memory()?),
                };
                Form::Bf16(self.kept_transposed(&self.forms.narrow_transposed, sizes, halves)?)
            }
        })
    }

    fn kept_transposed<T>(
        self,
        cell: &'a OnceLock<Transposed<T>>,
        sizes: (usize, usize),
        make: impl FnOnce() -> Result<Memory<T>>,
    ) -> Result<&'a Memory<T>> {
        let kept = kept(cell, || Ok(Transposed { values: make()?, sizes }))?;
        assert_eq!(kept.sizes, sizes, "a weight is always transposed by the same sizes");
        self.check(&kept.values);
        Ok(&kept.values)
    }

    /// Kernels read a copy as far as the weight goes, and whoever made this pair chose both.
    fn check<T>(self, copy: &Memory<T>) {
        assert_eq!(copy.len(), self.len(), "a copy is as long as the weight that it is of");
    }
}

fn kept<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(there) = cell.get() {
        return Ok(there);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}
