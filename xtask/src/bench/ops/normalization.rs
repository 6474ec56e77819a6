//! Batch normalization in ResNets, and the operations that follow it.

use std::cell::RefCell;

use tensor_ops::{BatchNorm, FeatureMap, Mode, OpError, add_relu, batch_norm_relu};

use super::{
    case::{Case, Pass, Place, Work, time},
    operands::{Input, images},
    stopwatch::backward_time,
};

/// Batch norm with ReLU as in ResNet-18 on 32 px and ResNet-50 on 224 px, and the end of a residual block.
pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [(128, 64, 32), (128, 128, 16), (128, 128, 4), (128, 16, 32), (16, 256, 56)]
        .map(|(n, c, side)| batch_norm([n, side, side, c]))
        .into();
    cases.push(residual([128, 32, 32, 64]));
    cases
}

fn batch_norm(shape: [usize; 4]) -> Case {
    let [n, side, _, c] = shape;
    let operands = move |place: &Place, input| -> Result<_, OpError> {
        // Running statistics change, so the operation changes its norm.
        Ok((images(place, shape, input)?, RefCell::new(BatchNorm::new(&place.device, c)?)))
    };
    let apply =
        |x: FeatureMap, norm: &RefCell<BatchNorm>| batch_norm_relu(x, &mut norm.borrow_mut(), Mode::Train);
    Case {
        name: format!("batch norm {c} {side}px b{n}"),
        passes: vec![
            Pass::new("forward", values(shape, 2, 0), move |place| {
                let (x, norm) = operands(place, Input::Plain)?;
                Ok(move || time(|| apply(x.share(), &norm)))
            }),
            Pass::new("backward", values(shape, 1, 2), move |place| {
                let (x, norm) = operands(place, Input::Differentiated)?;
                Ok(move || backward_time(x.share(), |x| apply(x, &norm)))
            }),
        ],
    }
}

fn residual(shape: [usize; 4]) -> Case {
    let [n, side, _, c] = shape;
    let forward = Pass::new("forward", values(shape, 3, 0), move |place| {
        let (a, b) = (images(place, shape, Input::Plain)?, images(place, shape, Input::Plain)?);
        Ok(move || time(|| add_relu(a.share(), b.share())))
    });
    Case { name: format!("add+ReLU {c} {side}px b{n}"), passes: vec![forward] }
}

/// The work of reading and writing this number of feature maps and gradients.
fn values(shape: [usize; 4], kept: usize, gradients: usize) -> Work {
    let n_values: usize = shape.iter().product();
    Work::Values { kept: kept * n_values, gradients: gradients * n_values }
}
