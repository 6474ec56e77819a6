//! Linear layers.

use std::sync::Arc;

use cudarc::driver::DeviceSlice;
use dfdx::{
    shapes::HasShape,
    tensor::{CudaError, PutTape, SplitTape, Tape},
};

use super::{
    array::to_add_to,
    blas::{Operand, Product},
    columns::sum_rows,
    features::{FEATURES, gradient_mut},
    launch::Launch,
    tensor::{address, matrix},
};
use crate::{
    Features, Gradients, OpError, Parameter, Precision,
    device::{GradientSlot, take_slice},
};

/// See [`linear`](crate::linear).
pub(crate) fn linear(
    x: Features,
    weight: &Parameter,
    bias: Option<&Parameter>,
    n_out: usize,
) -> Result<Features, OpError> {
    let (n, n_in) = *x.shape();
    let (x, mut recording) = x.split_tape();
    let (y, at) = matrix(x.device(), (n, n_out))?;
    if let Some(bias) = bias {
        Launch::new(&FEATURES, "fill_rows")
            .pointer(at)
            .read(bias.values.on_device()?)
            .int(n_out)
            .long(n * n_out)
            .over(n * n_out)?;
    }
    Product::new(n, n_out, n_in).adding(bias.is_some()).run(
        Operand::at(address(&x), Precision::F32),
        Operand::of_slice(weight.values.on_device()?),
        Operand::at(at, Precision::F32),
    )?;
    if recording.is_on() {
        let weights = Arc::clone(&weight.values);
        let wants_weight = weight.is_trainable().then(|| weight.slot.clone());
        let wants_bias = bias.filter(|bias| bias.is_trainable()).map(|bias| bias.slot.clone());
        let out = y.ghost();
        recording.add_backward_op(move |gradients| {
            let gradient = take_slice(gradients.get_or_alloc_mut(&out)?)?;
            assert_eq!(gradient.len(), n * n_out, "a gradient has the length of what it is of");
            let of_output = Operand::of_slice(&gradient);
            if let Some(slot) = wants_weight {
                let input = Operand::at(address(&x), Precision::F32).transposed();
                add_product(gradients, &slot, Product::new(n_in, n_out, n), input, of_output)?;
            }
            if let Some(slot) = wants_bias {
                slot.add_slice(gradients, sum_rows(&gradient, n_out)?)?;
            }
            let of_input = gradient_mut(gradients.get_or_alloc_mut(&x)?, n * n_in);
            Product::new(n, n_in, n_out).adding(true).run(
                of_output,
                Operand::of_slice(weights.on_device()?).transposed(),
                Operand::of_slice_mut(of_input),
            )
        });
    }
    Ok(y.put_tape(recording))
}

/// Adds a product to a gradient, or makes it the first.
fn add_product(
    gradients: &mut Gradients,
    slot: &GradientSlot,
    product: Product,
    a: Operand,
    b: Operand,
) -> Result<(), CudaError> {
    let (mut sum, adds) = to_add_to(slot.take_slice(gradients)?, slot.len())?;
    product.adding(adds).run(a, b, Operand::of_slice_mut(&mut sum))?;
    slot.put_slice(gradients, sum)
}
