//! Matrix products, by cuBLAS.

use std::ffi::c_void;

use cudarc::{
    cublas::{result, sys},
    driver::CudaSlice,
};
use dfdx::tensor::CudaError;

use super::{
    array::Array,
    context::{context, is_tensor_float},
};
use crate::Precision;

/// One factor or the result of a product: where it is, and how its values are kept.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    address: u64,
    precision: Precision,
    /// Its rows lie as columns: what is stored is its transpose.
    is_transposed: bool,
    /// Values from one matrix of a batch to the next.
    step: usize,
}

impl Operand {
    /// Values of an array, row after row.
    pub(super) fn of(array: &Array) -> Self {
        Self::at(array.pointer(), array.precision())
    }

    /// Values of an array that the product writes.
    pub(super) fn of_mut(array: &mut Array) -> Self {
        Self::at(array.pointer_mut(), array.precision())
    }

    /// Single-precision values, row after row.
    pub(super) fn of_slice(values: &CudaSlice<f32>) -> Self {
        Self::at(*cudarc::driver::DevicePtr::device_ptr(values), Precision::F32)
    }

    /// Single-precision values that the product writes.
    pub(super) fn of_slice_mut(values: &mut CudaSlice<f32>) -> Self {
        Self::at(*cudarc::driver::DevicePtrMut::device_ptr_mut(values), Precision::F32)
    }

    /// Values at an address, row after row.
    pub(super) fn at(address: u64, precision: Precision) -> Self {
        Self { address, precision, is_transposed: false, step: 0 }
    }

    /// The transpose of what is stored.
    pub(super) fn transposed(mut self) -> Self {
        self.is_transposed = !self.is_transposed;
        self
    }

    /// What starts so many values further.
    pub(super) fn offset(mut self, n_values: usize) -> Self {
        let size = match self.precision {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        };
        self.address += (n_values * size) as u64;
        self
    }

    /// The first of a batch of matrices, each `step` values behind the one before.
    pub(super) fn batched(mut self, step: usize) -> Self {
        self.step = step;
        self
    }

    fn data_type(self) -> sys::cudaDataType {
        match self.precision {
            Precision::F32 => sys::cudaDataType_t::CUDA_R_32F,
            Precision::Bf16 => sys::cudaDataType_t::CUDA_R_16BF,
        }
    }
}

/// `c = factor * a b`, or added to what `c` has: `a` is `(m, k)`, `b` is `(k, n)`, `c` is `(m, n)`, row after row.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) factor: f32,
    /// Whether the product is added to what is there.
    pub(super) adds: bool,
    /// Matrices of a batch.
    pub(super) batch: usize,
    /// Whether single precision stays it, even where factors may be rounded.
    pub(super) is_exact: bool,
}

impl Product {
    /// One product that replaces what is there.
    pub(super) fn new(m: usize, n: usize, k: usize) -> Self {
        Self { m, n, k, factor: 1.0, adds: false, batch: 1, is_exact: false }
    }

    /// A product that is added to what is there.
    pub(super) fn adding(self, adds: bool) -> Self {
        Self { adds, ..self }
    }

    /// A product times a number.
    pub(super) fn times(self, factor: f32) -> Self {
        Self { factor, ..self }
    }

    /// A product in single precision throughout.
    pub(super) fn exactly(self) -> Self {
        Self { is_exact: true, ..self }
    }

    /// Several products.
    pub(super) fn batched(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// Computes it. Both factors are of one precision.
    pub(super) fn run(self, a: Operand, b: Operand, c: Operand) -> Result<(), CudaError> {
        let Self { m, n, k, factor, adds, batch, is_exact } = self;
        assert!(a.precision == b.precision, "both factors of a product are of one precision");
        assert!(!c.is_transposed, "a product is written row after row");
        let context = context()?;
        context.bind()?;
        let int = |size: usize| i32::try_from(size).expect("sides of matrices are below 2^31");
        let operation = |operand: Operand| match operand.is_transposed {
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
        // SAFETY: the handle is this process's own, and whoever makes an `Operand` answers for its size.
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
