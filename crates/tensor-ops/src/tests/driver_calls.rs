//! How much a step asks of the CUDA driver.

use kernels_cuda::DriverCalls;

use super::*;
use crate::{
    BatchNorm, ConvAlgorithm, ConvGeometry, LayerNorm, Mode, Precision, Tokens, attention,
    batch_norm_add_relu, batch_norm_relu, conv2d, global_average_pool, keep_token, layer_norm,
    linear_add_tokens, linear_gelu_tokens, linear_tokens, max_pool, mean_tokens,
};

const WIDTH: usize = 32;

fn layer(kind: ParameterKind, shape: &[usize]) -> Parameter {
    Parameter::new(&Device::default(), kind, shape, noise(1, shape.iter().product())).unwrap()
}

/// A convolution and its batch norm.
struct Unit {
    weight: Parameter,
    norm: BatchNorm,
    geometry: ConvGeometry,
}

impl Unit {
    fn new(side: usize, n_in: usize) -> Self {
        Self {
            weight: layer(ParameterKind::Kernel, &[side, side, n_in, WIDTH]),
            norm: BatchNorm::new(&Device::default(), WIDTH).unwrap(),
            geometry: ConvGeometry::square(side, 1, side / 2),
        }
    }

    fn conv(&self, x: FeatureMap) -> FeatureMap {
        conv2d(x, &self.weight, None, self.geometry, ConvAlgorithm::Direct).unwrap()
    }

    fn relu(&mut self, x: FeatureMap) -> FeatureMap {
        batch_norm_relu(self.conv(x), &mut self.norm, Mode::Train).unwrap()
    }

    fn add_relu(&mut self, x: FeatureMap, residual: FeatureMap) -> FeatureMap {
        batch_norm_add_relu(self.conv(x), &mut self.norm, residual, Mode::Train).unwrap()
    }

    fn parameters(&mut self) -> Vec<&mut Parameter> {
        [Some(&mut self.weight), self.norm.scale.as_mut(), self.norm.shift.as_mut()]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Moves parameters as SGD does; `slots` are theirs, once they have moved.
fn update(parameters: Vec<&mut Parameter>, slots: &mut Vec<[Buffer; 1]>, gradients: &mut Gradients) {
    let n_before = slots.len();
    slots.extend(parameters.iter().skip(n_before).map(|parameter| [Buffer::zeros(parameter.shape())]));
    let rule = UpdateRule::Momentum { momentum: 0.9, weight_decay: 1e-4, lr: 1e-3, rate: LayerRate::One };
    let (mut parameters, mut taken): (Vec<_>, Vec<_>) = parameters
        .into_iter()
        .zip(slots)
        .map(|(parameter, slots)| {
            let taken = DeviceUpdate { parameter: parameter.take(), slots, rule };
            (parameter, taken)
        })
        .unzip();
    update_on_device(&mut taken.iter_mut().collect::<Vec<_>>(), gradients).unwrap();
    for (parameter, taken) in parameters.iter_mut().zip(taken) {
        parameter.put_back(taken.parameter);
    }
}

/// What the third step asks for: by then all that is made once is there.
fn calls_of_step(mut step: impl FnMut()) -> DriverCalls {
    step();
    step();
    let before = DriverCalls::of_this_thread();
    step();
    DriverCalls::of_this_thread().since(before)
}

#[test]
fn a_step_of_a_convolutional_network_asks_little() {
    let mut stem = Unit::new(3, 8);
    let mut blocks: Vec<[Unit; 3]> =
        (0..4).map(|_| [Unit::new(1, WIDTH), Unit::new(3, WIDTH), Unit::new(1, WIDTH)]).collect();
    let images = noise(2, 8 * 8 * 8 * 8);
    let (keys, queue) = (matrix((8, WIDTH), &noise(3, 8 * WIDTH)), buffer(&noise(4, 64 * WIDTH), WIDTH));
    let mut slots = Vec::new();
    let calls = calls_of_step(|| {
        let x = FeatureMap::from_nhwc(&Device::default(), [8, 8, 8, 8], &images, Recording::start()).unwrap();
        let mut x = stem.relu(x.with_precision(Precision::Bf16).unwrap());
        x = max_pool(x, ConvGeometry::square(3, 2, 1)).unwrap();
        for [first, second, third] in &mut blocks {
            let residual = x.share();
            let inner = first.relu(x);
            let inner = second.relu(inner);
            x = third.add_relu(inner, residual);
        }
        let q = l2_normalize(global_average_pool(x).unwrap()).unwrap();
        let loss = info_nce_queue(q, &keys, &queue, 0.2, KeepLogits::No).unwrap().loss;
        let mut gradients = backward(loss).unwrap();
        let mut parameters = stem.parameters();
        parameters.extend(blocks.iter_mut().flatten().flat_map(Unit::parameters));
        update(parameters, &mut slots, &mut gradients);
    });
    // 13 convolutions, 8 of which are products of cuBLAS. Memory is kept from step to step, but other tests may take it.
    let DriverCalls { launches, products, copies, fills, .. } = calls;
    assert!(launches <= 110 && products == 26 && copies <= 10 && fills <= 10, "{calls:?}");
    assert!(calls.allocations <= 215, "{calls:?}");
}

#[test]
fn a_step_of_a_transformer_asks_little() {
    const T: usize = 17;
    let matrix_of = |n_in, n_out| layer(ParameterKind::Matrix, &[n_in, n_out]);
    let vector_of = |n: usize| layer(ParameterKind::Vector, &[n]);
    let norm = || LayerNorm::new(&Device::default(), WIDTH, 1e-6).unwrap();
    let mut blocks: Vec<([Parameter; 8], [LayerNorm; 2])> = (0..4)
        .map(|_| {
            let weights = [
                matrix_of(WIDTH, 3 * WIDTH),
                vector_of(3 * WIDTH),
                matrix_of(WIDTH, WIDTH),
                vector_of(WIDTH),
                matrix_of(WIDTH, 4 * WIDTH),
                vector_of(4 * WIDTH),
                matrix_of(4 * WIDTH, WIDTH),
                vector_of(WIDTH),
            ];
            (weights, [norm(), norm()])
        })
        .collect();
    let values = noise(2, 8 * T * WIDTH);
    let mut slots = Vec::new();
    let calls = calls_of_step(|| {
        let x =
            Tokens::from_rows(&Device::default(), [8, T, WIDTH], values.clone(), Recording::start()).unwrap();
        let mut x = x.with_precision(Precision::Bf16).requires_gradient();
        for (weights, norms) in &blocks {
            let [qkv, qkv_bias, out, out_bias, up, up_bias, down, down_bias] = weights;
            let residual = x.share();
            let y = linear_tokens(layer_norm(x, &norms[0]).unwrap(), qkv, Some(qkv_bias)).unwrap();
            x = linear_add_tokens(attention(y, 4).unwrap(), out, Some(out_bias), residual).unwrap();
            let residual = x.share();
            let y = linear_gelu_tokens(layer_norm(x, &norms[1]).unwrap(), up, Some(up_bias)).unwrap();
            x = linear_add_tokens(y, down, Some(down_bias), residual).unwrap();
        }
        let q = mean_tokens(keep_token(x, 0).unwrap(), 0).unwrap();
        let mut gradients = backward(weighted_sum(q, &noise(3, 8 * WIDTH)).unwrap()).unwrap();
        let mut parameters = Vec::new();
        for (weights, norms) in &mut blocks {
            parameters.extend(weights);
            parameters.extend(norms.iter_mut().flat_map(|norm| [&mut norm.scale, &mut norm.shift]));
        }
        update(parameters, &mut slots, &mut gradients);
    });
    let DriverCalls { launches, products, copies, fills, .. } = calls;
    assert!(launches <= 107 && products == 76 && copies <= 7 && fills <= 7, "{calls:?}");
    assert!(calls.allocations <= 261, "{calls:?}");
}
