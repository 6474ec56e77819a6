//! Matrix products, by cuBLAS.

use std::{ffi::c_void, marker::PhantomData};

use cudarc::cublas::{result, sys};
use kernels_cpu::Precision;

use crate::{
    array::Array,
    context::{context, is_tensor_float},
    error::{Result, at_most},
    memory::Memory,
};

/// One factor or the result of a product: where it is, and how its values are kept.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    address: u64,
    /// Values from there on.
    len: usize,
    precision: Precision,
    /// Its rows lie as columns: what is stored is its transpose.
    is_transposed: bool,
    /// Values from one matrix of a batch to the next.
    step: usize,
    array: PhantomData<&'a Array>,
}

impl<'a> Operand<'a> {
    /// Values of an array, row after row.
    pub(crate) fn of(array: &'a Array) -> Self {
        // SAFETY: the array is there, and borrowed.
        unsafe { Self::at(array.address(), array.len(), array.precision()) }
    }

    /// Single-precision values, row after row.
    pub(crate) fn of_slice(values: &'a Memory<f32>) -> Self {
        // SAFETY: the values are there, and borrowed.
        unsafe { Self::at(values.address(), values.len(), Precision::F32) }
    }

    /// Halves of values, row after row.
    pub(crate) fn of_halves(halves: &'a Memory<u16>) -> Self {
        // SAFETY: the halves are there, and borrowed.
        unsafe { Self::at(halves.address(), halves.len(), Precision::Bf16) }
    }

    /// # Safety
    ///
    /// So many values of this precision are at the address, on the device of this process, for as long as `'a` says.
    unsafe fn at(address: u64, len: usize, precision: Precision) -> Self {
        Self { address, len, precision, is_transposed: false, step: 0, array: PhantomData }
    }

    /// The transpose of what is stored.
    pub(crate) fn transposed(mut self) -> Self {
        self.is_transposed = !self.is_transposed;
        self
    }

    /// What starts so many values further.
    pub(crate) fn offset(mut self, n_values: usize) -> Self {
        assert!(n_values <= self.len, "a part starts within its array");
        let size = match self.precision {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        };
        self.address += (n_values * size) as u64;
        self.len -= n_values;
        self
    }

    /// The first of a batch of matrices, each `step` values behind the one before.
    pub(crate) fn batched(mut self, step: usize) -> Self {
        self.step = step;
        self
    }

    /// Panics unless there are as many values as matrices of this size have.
    fn check(self, n_values: usize, batch: usize) {
        let last =
            n_values.checked_add((batch - 1).checked_mul(self.step).expect("batches are within memory"));
        assert!(last.is_some_and(|last| last <= self.len), "a matrix lies within its array");
    }

    fn data_type(self) -> sys::cudaDataType {
        match self.precision {
            Precision::F32 => sys::cudaDataType_t::CUDA_R_32F,
            Precision::Bf16 => sys::cudaDataType_t::CUDA_R_16BF,
        }
    }
}

/// The result of a product: values of an array from a place on.
pub(crate) struct Target<'a>(Operand<'a>);

impl<'a> Target<'a> {
    /// Values of an array, row after row.
    pub(crate) fn of(array: &'a mut Array) -> Self {
        // SAFETY: the array is there, and nobody else has it.
        Self(unsafe { Operand::at(array.address_mut(), array.len(), array.precision()) })
    }

    /// As of an [`Operand`].
    pub(crate) fn offset(self, n_values: usize) -> Self {
        Self(self.0.offset(n_values))
    }

    /// As of an [`Operand`].
    pub(crate) fn batched(self, step: usize) -> Self {
        Self(self.0.batched(step))
    }
}

/// `c = factor * a b`, or added to what `c` has: `a` is `(m, k)`, `b` is `(k, n)`, `c` is `(m, n)`, row after row.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    m: usize,
    n: usize,
    k: usize,
    factor: f32,
    /// Whether the product is added to what is there.
    adds: bool,
    /// Matrices of a batch.
    batch: usize,
    /// Whether single precision stays it, even where factors may be rounded.
    is_exact: bool,
}

impl Product {
    /// One product that replaces what is there.
    pub(crate) fn new(m: usize, n: usize, k: usize) -> Self {
        Self { m, n, k, factor: 1.0, adds: false, batch: 1, is_exact: false }
    }

    /// A product that is added to what is there.
    pub(crate) fn adding(self, adds: bool) -> Self {
        Self { adds, ..self }
    }

    /// A product times a number.
    pub(crate) fn times(self, factor: f32) -> Self {
        Self { factor, ..self }
    }

    /// A product in single precision throughout.
    pub(crate) fn exactly(self) -> Self {
        Self { is_exact: true, ..self }
    }

    /// Several products, at least one.
    pub(crate) fn batched(self, batch: usize) -> Self {
        assert!(batch > 0, "there is a product");
        Self { batch, ..self }
    }

    /// Computes it. Both factors are of one precision.
    ///
    /// # Panics
    ///
    /// If the factors' precisions differ, or an array is too short.
    pub(crate) fn run(self, a: Operand<'_>, b: Operand<'_>, Target(c): Target<'_>) -> Result<()> {
        let Self { m, n, k, factor, adds, batch, is_exact } = self;
        assert!(a.precision == b.precision, "both factors of a product are of one precision");
        at_most("a side of a matrix", m.max(n).max(k).max(batch), i32::MAX as usize)?;
        a.check(m * k, batch);
        b.check(k * n, batch);
        c.check(m * n, batch);
        let context = context()?;
        context.bind()?;
        let int = |size: usize| size as i32;
        let operation = |operand: Operand<'_>| match operand.is_transposed {
            false => sys::cublasOperation_t::CUBLAS_OP_N,
            true => sys::cublasOperation_t::CUBLAS_OP_T,
        };
        let compute = match (a.precision, is_tensor_float() && !is_exact) {
            (Precision::F32, true) => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            (Precision::F32, false) | (Precision::Bf16, _) => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        let beta = if adds { 1.0_f32 } else { 0.0 };
        let number = |value: &f32| std::ptr::from_ref(value).cast::<c_void>();
        let blas = context.blas();
        // cuBLAS has columns where we have rows: it computes the transpose, of the factors in the other order.
        // SAFETY: the handle is this process's own, and the matrices lie within their arrays, see above.
        unsafe {
            result::gemm_strided_batched_ex(
                *blas.handle(),
                operation(b),
                operation(a),
                int(n),
                int(m),
                int(k),
                number(&factor),
                b.address as *const c_void,
                b.data_type(),
                int(if b.is_transposed { k } else { n }),
                b.step as i64,
                a.address as *const c_void,
                a.data_type(),
                int(if a.is_transposed { m } else { k }),
                a.step as i64,
                number(&beta),
                c.address as *mut c_void,
                c.data_type(),
                int(n),
                c.step as i64,
                int(batch),
                compute,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DFALT,
            )
        }?;
        Ok(())
    }
}
