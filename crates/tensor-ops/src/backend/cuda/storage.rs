//! Values, and dfdx's tensors of them.

use dfdx::tensor::Tensor;
use kernels_cpu::Precision;
use kernels_cuda::{Array, pointwise};

use super::{Cuda, OnDevice as _, stored, tensor};
use crate::{
    Device, Matrix,
    backend::{Computed, Storage},
    device::Stored,
    values::AnyValues,
};

impl Storage for Cuda {
    type Values = Array;

    fn any(values: Array) -> AnyValues {
        AnyValues::Cuda(values)
    }

    fn of(values: &AnyValues) -> &Array {
        match values {
            AnyValues::Cuda(array) => array,
            AnyValues::Host(_) => panic!("operations look where the values are before they come here"),
        }
    }

    fn owned(values: AnyValues) -> Array {
        match values {
            AnyValues::Cuda(array) => array,
            AnyValues::Host(_) => panic!("operations look where the values are before they come here"),
        }
    }

    fn upload(self, values: Vec<f32>) -> Computed<Array> {
        Array::upload(values).computed()
    }

    fn to_host(self, values: &Array) -> Computed<Vec<f32>> {
        values.to_host().computed()
    }

    fn cast(self, values: Array, precision: Precision) -> Computed<Array> {
        values.into_precision(precision).computed()
    }

    fn duplicate(self, values: &Array) -> Computed<Array> {
        values.duplicate().computed()
    }

    fn add(self, sum: &mut Array, other: &Array) -> Computed<()> {
        pointwise::add(sum, other).computed()
    }

    fn of_matrix(self, matrix: &Matrix) -> Computed<Array> {
        tensor::of_matrix(matrix)
    }

    fn matrix(self, device: &Device, shape: (usize, usize), values: Array) -> Computed<Matrix> {
        tensor::with_values(device, shape, &values)
    }

    fn of_scalar(self, scalar: &Tensor<(), f32, Device>) -> Computed<Array> {
        Ok(tensor::lent(scalar, 1))
    }

    fn scalar(self, device: &Device, value: Array) -> Computed<Tensor<(), f32, Device>> {
        tensor::with_values(device, (), &value)
    }

    fn take_stored(self, stored: &mut Stored) -> Computed<Option<Array>> {
        stored::take(stored)
    }

    fn add_stored(self, stored: &mut Stored, gradient: &Array) -> Computed<()> {
        stored::add(stored, gradient)
    }
}
