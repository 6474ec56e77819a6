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
    transposed: OnceLock<Memory<f32>>,
    narrow_transposed: OnceLock<Memory<u16>>,
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
    pub(crate) fn plain(self, precision: Precision) -> Result<Form<'a>> {
        Ok(match precision {
            Precision::F32 => Form::F32(self.values),
            Precision::Bf16 => Form::Bf16(kept(&self.forms.narrow, || narrow_slice(self.values))?),
        })
    }

    /// `(taps, in, out)` as `(taps, out, in)`, in this precision. One weight is always asked with the same sizes.
    pub(crate) fn transposed(self, precision: Precision, sizes: (usize, usize)) -> Result<Form<'a>> {
        let make = || transpose_taps(self.values, precision, sizes);
        Ok(match precision {
            Precision::F32 => Form::F32(kept(&self.forms.transposed, || match make()? {
                Array::F32(values) => Ok(values),
                other => other.into_memory(),
            })?),
            Precision::Bf16 => Form::Bf16(kept(&self.forms.narrow_transposed, || match make()? {
                Array::Bf16(halves) => Ok(halves),
                other => narrow_slice(&other.into_memory()?),
            })?),
        })
    }
}

fn kept<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(there) = cell.get() {
        return Ok(there);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}
