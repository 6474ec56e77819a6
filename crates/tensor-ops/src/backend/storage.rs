//! Values, and dfdx's tensors of them.

use std::fmt::Debug;

use dfdx::tensor::Tensor;
use kernels_cpu::Precision;

use super::Computed;
use crate::{Device, Matrix, device::Stored, values::AnyValues};

/// Where values are kept.
pub(crate) trait Storage: Copy + Debug + 'static {
    /// Values between operations and gradients, in either precision.
    type Values: Debug + 'static;

    /// The values, wherever a value may be.
    fn any(values: Self::Values) -> AnyValues;
    /// The values where this backend has them.
    ///
    /// # Panics
    ///
    /// If the values are elsewhere: an operation looks first.
    fn of(values: &AnyValues) -> &Self::Values;
    /// [`of`](Self::of), moved out.
    ///
    /// # Panics
    ///
    /// As [`of`](Self::of).
    fn owned(values: AnyValues) -> Self::Values;
    /// Values of the host in single precision, brought here.
    fn upload(self, values: Vec<f32>) -> Computed<Self::Values>;
    /// The values on the host, in single precision.
    fn to_host(self, values: &Self::Values) -> Computed<Vec<f32>>;
    /// The same values in another precision.
    fn cast(self, values: Self::Values, precision: Precision) -> Computed<Self::Values>;
    /// A copy in the same precision.
    fn duplicate(self, values: &Self::Values) -> Computed<Self::Values>;
    /// `sum += other`, value by value.
    fn add(self, sum: &mut Self::Values, other: &Self::Values) -> Computed<()>;

    // dfdx's tensors.

    /// The values of a matrix, row after row, whatever its strides.
    fn of_matrix(self, matrix: &Matrix) -> Computed<Self::Values>;
    /// A matrix `(N, D)` of these single-precision values.
    fn matrix(self, device: &Device, shape: (usize, usize), values: Self::Values) -> Computed<Matrix>;
    /// The value of a loss.
    fn of_scalar(self, scalar: &Tensor<(), f32, Device>) -> Computed<Self::Values>;
    /// A loss of this single-precision value.
    fn scalar(self, device: &Device, value: Self::Values) -> Computed<Tensor<(), f32, Device>>;
    /// Moves a gradient of dfdx's out, and leaves next to nothing behind; `None` if it was taken before.
    fn take_stored(self, stored: &mut Stored) -> Computed<Option<Self::Values>>;
    /// Adds to a gradient of dfdx's, of the same length.
    fn add_stored(self, stored: &mut Stored, gradient: &Self::Values) -> Computed<()>;
}
