use dfdx::prelude::{HasShape, PutTape, TensorFromVec};
use plugin_api::{ConfigError, Entry, Head, ModuleContext};
use tensor_ops::{Device, Features, Mode, Recording, backward, to_rows, weighted_sum};

use crate::{LinearHead, LinearHeadConfig, Mlp, MlpConfig, Norm};

fn context(n_inputs: usize) -> ModuleContext {
    ModuleContext {
        device: Device::default(),
        n_inputs,
        image_size: (32, 32),
        batch: 4,
        parts: 1,
        processes: std::sync::Arc::new(plugin_api::processes::Alone),
        seed: 3,
        name: "head".into(),
    }
}

fn moco_v2() -> MlpConfig {
    MlpConfig { out: 3, ..MlpConfig::default() }
}

fn mlp(config: MlpConfig) -> Mlp {
    Mlp::new(config, &context(6)).unwrap()
}

fn linear() -> LinearHead {
    LinearHead::new(LinearHeadConfig { out: 3 }, &context(6)).unwrap()
}

fn features(recording: Recording) -> Features {
    let values: Vec<f32> = (0..24).map(|i| (i as f32 * 0.7).sin()).collect();
    Device::default().tensor_from_vec(values, (4, 6)).put_tape(recording)
}

fn names(head: &dyn Head) -> Vec<String> {
    let mut names = Vec::new();
    head.visit(&mut |name, _| names.push(name.to_string()));
    names
}

/// The values of each parameter, in PyTorch's order, with PyTorch's shape.
fn parameters(head: &dyn Head) -> Vec<(Vec<usize>, Vec<f32>)> {
    let mut list = Vec::new();
    head.visit(&mut |_, entry| {
        if let Entry::Parameter(parameter) = entry {
            list.push(parameter.to_torch());
        }
    });
    list
}

/// `x Wᵀ + b`, by the definition.
fn apply(
    x: &[f32],
    (shape, weight): &(Vec<usize>, Vec<f32>),
    (_, bias): &(Vec<usize>, Vec<f32>),
) -> Vec<f32> {
    let [n_outputs, n_inputs] = shape[..] else { panic!("{shape:?}") };
    let rows = x.chunks(n_inputs);
    rows.flat_map(|x| {
        (0..n_outputs).map(move |o| {
            let weights = &weight[o * n_inputs..][..n_inputs];
            bias[o] + x.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>()
        })
    })
    .collect()
}

#[track_caller]
fn assert_near(actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len());
    assert!(
        actual.iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-5),
        "{actual:?}, expected {expected:?}"
    );
}

#[test]
fn the_linear_head_is_one_layer_with_bias() {
    let mut head = linear();
    assert_eq!(names(&head), ["weight", "bias"]);
    let [weight, bias] = &parameters(&head)[..] else { panic!("two parameters") };
    let expected = apply(&features(Recording::Off).as_vec(), weight, bias);
    let output = head.forward(features(Recording::Off), Mode::Train).unwrap();
    assert_eq!(*output.shape(), (4, head.n_outputs()));
    assert_near(&output.as_vec(), &expected);
}

#[test]
fn moco_v2s_head_is_two_layers_with_a_relu_between() {
    let mut head = mlp(moco_v2());
    assert_eq!(names(&head), ["0.weight", "0.bias", "2.weight", "2.bias"]);
    let [w0, b0, w2, b2] = &parameters(&head)[..] else { panic!("four parameters") };
    assert_eq!(w0.0, [6, 6], "the hidden layer is as wide as what comes in");
    let hidden: Vec<f32> =
        apply(&features(Recording::Off).as_vec(), w0, b0).iter().map(|v| v.max(0.0)).collect();
    let output = head.forward(features(Recording::Off), Mode::Train).unwrap();
    assert_near(&output.as_vec(), &apply(&hidden, w2, b2));
}

#[test]
fn moco_v3s_projector_has_the_names_of_the_reference() {
    let config = MlpConfig { layers: 3, hidden: Some(5), norm: Norm::Batch, last_norm: true, ..moco_v2() };
    let affine = |place: usize| {
        ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
            .map(|name| format!("{place}.{name}"))
    };
    let mut expected = vec!["0.weight".to_string()];
    expected.extend(affine(1));
    expected.push("3.weight".into());
    expected.extend(affine(4));
    expected.push("6.weight".into());
    expected.extend(affine(7).into_iter().skip(2));
    assert_eq!(names(&mlp(config)), expected);
}

#[test]
fn a_predictor_without_a_last_batch_norm_ends_in_a_bare_layer() {
    let config = MlpConfig { hidden: Some(5), norm: Norm::Batch, ..moco_v2() };
    let names = names(&mlp(config));
    assert_eq!((names[0].as_str(), names.last().unwrap().as_str(), names.len()), ("0.weight", "3.weight", 7));
}

#[test]
fn a_last_batch_norm_gives_each_output_mean_zero_and_variance_one() {
    let config = MlpConfig { hidden: Some(50), norm: Norm::Batch, last_norm: true, ..moco_v2() };
    let output = mlp(config).forward(features(Recording::Off), Mode::Train).unwrap().as_vec();
    for column in 0..3 {
        let values: Vec<f32> = output.iter().copied().skip(column).step_by(3).collect();
        let mean = values.iter().sum::<f32>() / 4.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 4.0;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 0.01, "{values:?}");
    }
}

#[test]
fn weights_and_biases_start_uniform_in_pytorchs_bounds() {
    // nn.Linear(400, 300): kaiming_uniform_(weight, a=sqrt(5)) is U(-1/sqrt(400), 1/sqrt(400)), and so is the bias.
    let head = LinearHead::new(LinearHeadConfig { out: 300 }, &context(400)).unwrap();
    for (shape, values) in parameters(&head) {
        let mean_square = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
        assert!(values.iter().all(|v| v.abs() <= 0.05), "{shape:?}");
        assert!((mean_square - 0.05 * 0.05 / 3.0).abs() < 1e-4, "{shape:?}: {mean_square}");
    }
}

#[test]
fn a_gradient_reaches_every_parameter() {
    let v3 = MlpConfig { hidden: Some(5), norm: Norm::Batch, ..moco_v2() };
    let heads: [Box<dyn Head>; 3] = [Box::new(linear()), Box::new(mlp(moco_v2())), Box::new(mlp(v3))];
    for mut head in heads {
        let output = head.forward(features(Recording::start()), Mode::Train).unwrap();
        let weights = to_rows(&output);
        let mut gradients = backward(weighted_sum(output, &weights).unwrap()).unwrap();
        head.visit(&mut |name, entry| {
            if let Entry::Parameter(parameter) = entry {
                let gradient = parameter.gradient(&mut gradients).unwrap();
                assert!(gradient.is_some_and(|g| g.iter().any(|g| *g != 0.0)), "{name}");
            }
        });
    }
}

#[test]
fn a_head_that_cannot_work_is_refused_with_the_reason() {
    let refuse = |config, batch| -> ConfigError {
        let context = ModuleContext { batch, ..context(6) };
        Mlp::new(config, &context).map(drop).unwrap_err()
    };
    let no_layers = MlpConfig { layers: 0, ..moco_v2() };
    assert_eq!(refuse(no_layers, 4).to_string(), "`layers` is 0, but it must be between 1 and 64");
    let no_outputs = MlpConfig { out: 0, ..moco_v2() };
    assert_eq!(refuse(no_outputs, 4).to_string(), "`out` is 0, but it must be between 1 and 65536");
    let bare = MlpConfig { last_norm: true, ..moco_v2() };
    assert_eq!(
        refuse(bare, 4).to_string(),
        "`last_norm` is true, but it must be false unless `norm` is Batch"
    );
    let batch_norm = MlpConfig { norm: Norm::Batch, ..moco_v2() };
    assert!(refuse(batch_norm, 1).to_string().contains("a single row"));
    assert!(LinearHead::new(LinearHeadConfig { out: 0 }, &context(6)).is_err());
}
