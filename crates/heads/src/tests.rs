use dfdx::prelude::{HasShape, PutTape, TensorFromVec};
use plugin_api::{ConfigError, Entry, EntryMut, Head, Module as _, ModuleContext};
use tensor_ops::{Device, Features, Mode, Recording, backward, to_rows, weighted_sum};

use crate::{
    DinoHead, DinoHeadConfig, LinearHead, LinearHeadConfig, Mlp, MlpConfig, Norm, Prototypes,
    PrototypesConfig,
};

fn context(n_inputs: usize) -> ModuleContext {
    ModuleContext {
        device: Device::default(),
        n_inputs,
        map: None,
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

fn prototypes() -> Prototypes {
    Prototypes::new(PrototypesConfig { out: 3 }, &context(6)).unwrap()
}

fn dino(norm: Norm) -> DinoHead {
    let config = DinoHeadConfig { hidden: 5, bottleneck: 4, out: 3, norm, ..DinoHeadConfig::default() };
    DinoHead::new(config, &context(6)).unwrap()
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
    let heads: [Box<dyn Head>; 6] = [
        Box::new(linear()),
        Box::new(mlp(moco_v2())),
        Box::new(mlp(v3)),
        Box::new(prototypes()),
        Box::new(dino(Norm::None)),
        Box::new(dino(Norm::Batch)),
    ];
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

/// Rows of `x`, each of unit length.
fn unit_rows(x: &[f32], width: usize) -> Vec<f32> {
    let unit = |row: &[f32]| {
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter().map(|v| v / length).collect::<Vec<f32>>()
    };
    x.chunks(width).flat_map(unit).collect()
}

#[test]
fn scores_of_prototypes_are_cosines() {
    let mut head = prototypes();
    assert_eq!(names(&head), ["weight"]);
    let [(shape, weight)] = &parameters(&head)[..] else { panic!("one parameter") };
    assert_eq!(shape[..], [3, 6]);
    let weight = (vec![3, 6], unit_rows(weight, 6));
    let no_bias = (vec![3], vec![0.0; 3]);
    let expected = apply(&unit_rows(&features(Recording::Off).as_vec(), 6), &weight, &no_bias);
    let output = head.forward(features(Recording::Off), Mode::Train).unwrap();
    assert_near(&output.as_vec(), &expected);
}

#[test]
fn the_gradient_of_a_prototype_is_that_of_its_direction() {
    let mut head = prototypes();
    let score = |head: &mut Prototypes| {
        let output = head.forward(features(Recording::start()), Mode::Train).unwrap();
        let weights: Vec<f32> = (0..12).map(|i| (i as f32 * 1.3).cos()).collect();
        weighted_sum(output, &weights).unwrap()
    };
    let mut gradients = backward(score(&mut head)).unwrap();
    let mut gradient = Vec::new();
    let mut values = Vec::new();
    head.visit(&mut |_, entry| {
        if let Entry::Parameter(parameter) = entry {
            gradient = parameter.gradient(&mut gradients).unwrap().unwrap();
            values = parameter.to_vec();
        }
    });
    let set = |head: &mut Prototypes, values: &[f32]| {
        head.visit_mut(&mut |_, entry| {
            if let EntryMut::Parameter(parameter) = entry {
                parameter.set(values).unwrap();
            }
        });
    };
    for place in 0..values.len() {
        let mut at = |change: f32| {
            let mut moved = values.clone();
            moved[place] += change;
            set(&mut head, &moved);
            score(&mut head).as_vec()[0]
        };
        let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
        assert!((slope - gradient[place]).abs() < 2e-3, "{place}: {slope}, recorded {}", gradient[place]);
    }
    // Its length does not count.
    set(&mut head, &values.iter().map(|value| 10.0 * value).collect::<Vec<f32>>());
    let scaled = score(&mut head).as_vec()[0];
    set(&mut head, &values);
    assert!((score(&mut head).as_vec()[0] - scaled).abs() < 1e-5);
}

#[test]
fn dinos_head_has_the_names_of_its_authors_and_ends_in_cosines() {
    let mut head = dino(Norm::None);
    assert_eq!(
        names(&head),
        [
            "mlp.0.weight",
            "mlp.0.bias",
            "mlp.2.weight",
            "mlp.2.bias",
            "mlp.4.weight",
            "mlp.4.bias",
            "last_layer.weight_v"
        ]
    );
    let of_norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];
    let mut expected = vec!["mlp.0.weight".to_owned()];
    expected.extend(of_norm.map(|name| format!("mlp.1.{name}")));
    expected.push("mlp.3.weight".into());
    expected.extend(of_norm.map(|name| format!("mlp.4.{name}")));
    expected.extend(["mlp.6.weight", "mlp.6.bias", "last_layer.weight_v"].map(str::to_owned));
    assert_eq!(names(&dino(Norm::Batch)), expected);
    let output = head.forward(features(Recording::Off), Mode::Train).unwrap();
    assert_eq!(*output.shape(), (4, 3));
    let [w0, b0, w2, b2, w4, b4, (_, last)] = &parameters(&head)[..] else { panic!("seven parameters") };
    // The tanh form is near enough to GELU for values as small as these.
    let gelu = |x: Vec<f32>| -> Vec<f32> {
        let inner = |x: f32| (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
        x.into_iter().map(|x| 0.5 * x * (1.0 + inner(x).tanh())).collect()
    };
    let hidden = gelu(apply(&gelu(apply(&features(Recording::Off).as_vec(), w0, b0)), w2, b2));
    let narrow = unit_rows(&apply(&hidden, w4, b4), 4);
    let expected = apply(&narrow, &(vec![3, 4], unit_rows(last, 4)), &(vec![3], vec![0.0; 3]));
    for (ours, expected) in output.as_vec().into_iter().zip(expected) {
        assert!((ours - expected).abs() < 1e-3, "{ours}, expected {expected}");
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
    assert!(Prototypes::new(PrototypesConfig { out: 0 }, &context(6)).is_err());
    let refuse = |config| DinoHead::new(config, &context(6)).map(drop).unwrap_err().to_string();
    let usual = DinoHeadConfig::default;
    assert!(refuse(DinoHeadConfig { layers: 0, ..usual() }).starts_with("`layers` is 0, but"));
    assert!(refuse(DinoHeadConfig { bottleneck: 0, ..usual() }).starts_with("`bottleneck` is 0, but"));
}
