//! Batch normalisation, and what follows it, of ResNets.

use std::cell::RefCell;

use tensor_ops::{BatchNorm, Device, FeatureMap, Mode, OpError, add_relu, batch_norm_relu};

use super::{
    case::{Case, Pass, Work, time},
    operands::{Input, images},
    stopwatch::backward_time,
};

/// Batch norm with ReLU as ResNet-18 has it on 32 px and ResNet-50 on 224 px, and the end of a residual block.
pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [(128, 64, 32), (128, 128, 16), (128, 128, 4), (128, 16, 32), (16, 256, 56)]
        .map(|(n, c, side)| batch_norm([n, side, side, c]))
        .into();
    cases.push(residual([128, 32, 32, 64]));
    cases
}

fn batch_norm(shape: [usize; 4]) -> Case {
    let [n, side, _, c] = shape;
    let operands = move |device: &Device, input| -> Result<_, OpError> {
        // Running statistics move, and so the operation changes its norm.
        Ok((images(device, shape, input)?, RefCell::new(BatchNorm::new(device, c)?)))
    };
    let apply =
        |x: FeatureMap, norm: &RefCell<BatchNorm>| batch_norm_relu(x, &mut norm.borrow_mut(), Mode::Train);
    Case {
        name: format!("batch norm {c} {side}px b{n}"),
        passes: vec![
            Pass::new("forward", bytes(shape, 2), move |device| {
                let (x, norm) = operands(device, Input::Plain)?;
                Ok(move || time(|| apply(x.share(), &norm)))
            }),
            Pass::new("backward", bytes(shape, 3), move |device| {
                let (x, norm) = operands(device, Input::Differentiated)?;
                Ok(move || backward_time(x.share(), |x| apply(x, &norm)))
            }),
        ],
    }
}

fn residual(shape: [usize; 4]) -> Case {
    let [n, side, _, c] = shape;
    let forward = Pass::new("forward", bytes(shape, 3), move |device| {
        let (a, b) = (images(device, shape, Input::Plain)?, images(device, shape, Input::Plain)?);
        Ok(move || time(|| add_relu(a.share(), b.share())))
    });
    Case { name: format!("add+ReLU {c} {side}px b{n}"), passes: vec![forward] }
}

/// As many values as `n_maps` feature maps have.
fn bytes(shape: [usize; 4], n_maps: usize) -> Work {
    Work::Bytes(n_maps * shape.iter().product::<usize>() * size_of::<f32>())
}
