//! Vectors of values, and dfdx's tensors of them.

use dfdx::tensor::{AsArray as _, Tensor, TensorFromVec as _};
use kernels_cpu::{Precision, Values, pointwise};

use super::Host;
use crate::{
    Device, Matrix,
    backend::{Computed, Storage},
    device::{self, Stored},
    values::AnyValues,
};

impl Storage for Host {
    type Values = Values;

    fn any(values: Values) -> AnyValues {
        AnyValues::Host(values)
    }

    fn of(values: &AnyValues) -> &Values {
        match values {
            AnyValues::Host(values) => values,
            #[cfg(feature = "cuda")]
            AnyValues::Cuda(_) => panic!("operations look where the values are before they come here"),
        }
    }

    fn owned(values: AnyValues) -> Values {
        match values {
            AnyValues::Host(values) => values,
            #[cfg(feature = "cuda")]
            AnyValues::Cuda(_) => panic!("operations look where the values are before they come here"),
        }
    }

    fn upload(self, values: Vec<f32>) -> Computed<Values> {
        Ok(Values::F32(values))
    }

    fn to_host(self, values: &Values) -> Computed<Vec<f32>> {
        Ok(values.whole().into_owned())
    }

    fn cast(self, values: Values, precision: Precision) -> Computed<Values> {
        Ok(values.with_precision(precision))
    }

    fn duplicate(self, values: &Values) -> Computed<Values> {
        Ok(values.clone())
    }

    fn add(self, sum: &mut Values, other: &Values) -> Computed<()> {
        sum.add(other);
        Ok(())
    }

    fn of_matrix(self, matrix: &Matrix) -> Computed<Values> {
        Ok(Values::F32(device::rows(matrix)))
    }

    fn matrix(self, device: &Device, shape: (usize, usize), values: Values) -> Computed<Matrix> {
        device.try_tensor_from_vec(values.into_whole(), shape)
    }

    fn of_scalar(self, scalar: &Tensor<(), f32, Device>) -> Computed<Values> {
        Ok(Values::F32(vec![scalar.array()]))
    }

    fn scalar(self, device: &Device, value: Values) -> Computed<Tensor<(), f32, Device>> {
        device.try_tensor_from_vec(value.into_whole(), ())
    }

    fn take_stored(self, stored: &mut Stored) -> Computed<Option<Values>> {
        let gradient = device::take(stored)?;
        Ok((!gradient.is_empty()).then_some(Values::F32(gradient)))
    }

    fn add_stored(self, stored: &mut Stored, gradient: &Values) -> Computed<()> {
        let mut sum = device::take(stored)?;
        pointwise::add_to(self.family, &mut sum, &gradient.whole());
        device::put(stored, sum)
    }
}
