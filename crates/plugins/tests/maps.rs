//! Maps beside features: what is pooled from a map, and what is pooled from it here, have the same value and gradients.

use std::collections::BTreeMap;
use std::sync::Arc;

use plugin_api::processes::Alone;
use plugin_api::{Backbone, Config, Entry, MapShape, ModuleContext, Rng, build};
use plugins as _;
use tensor_ops::{
    Device, FeatureMap, Features, Gradients, Mode, Recording, Rows as _, Tokens, backward, mean_tokens,
    rows_from_tokens, tokens_from_rows, weighted_sum,
};

const N: usize = 3;
const SIZE: (usize, usize) = (16, 24);

fn backbone(name: &str, config: &str, image_size: (usize, usize)) -> Box<dyn Backbone> {
    let context = ModuleContext {
        device: Device::default(),
        n_inputs: 3,
        map: None,
        image_size,
        batch: N,
        parts: 1,
        processes: Arc::new(Alone),
        seed: 0,
        name: "backbone".into(),
    };
    build::<dyn Backbone>(name, Config::new(config), &context).unwrap()
}

fn images() -> FeatureMap {
    let shape = [N, SIZE.0, SIZE.1, 3];
    let mut rng = Rng::new(0, "images of a test", &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal() as f32).collect();
    FeatureMap::from_nhwc(&Device::default(), shape, &values, Recording::start()).unwrap()
}

/// The values of `pooled`, and the gradients of all parameters of a sum of them.
fn trained(backbone: &dyn Backbone, pooled: Features) -> (Vec<f32>, BTreeMap<String, Vec<f32>>) {
    let values = pooled.rows();
    let weights: Vec<f32> = (0..values.len()).map(|i| (i as f32 * 1.3).cos()).collect();
    let mut gradients: Gradients = backward(weighted_sum(pooled, &weights).unwrap()).unwrap();
    let mut of_parameters = BTreeMap::new();
    backbone.visit(&mut |name, entry| {
        if let Entry::Parameter(parameter) = entry
            && let Some(gradient) = parameter.take_gradient(&mut gradients).unwrap()
        {
            of_parameters.insert(name.to_owned(), gradient);
        }
    });
    (values, of_parameters)
}

#[track_caller]
fn assert_near(what: &str, a: &[f32], b: &[f32]) {
    let largest = b.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let error = a.iter().zip(b).fold(0.0_f32, |error, (a, b)| error.max((a - b).abs()));
    assert!(a.len() == b.len() && error <= 1e-4 * largest, "{what}: {error} of {largest}");
}

/// Through rows, as the graph has them: behind the features, and taken out again.
fn behind(features: Features, map: Tokens, shape: MapShape) -> Tokens {
    let rows = shape.positions(MapShape::behind(features, map).unwrap()).unwrap();
    tokens_from_rows(rows, shape.n_positions()).unwrap()
}

#[test]
fn the_mean_of_a_map_is_trained_as_the_features_are() {
    for (name, config) in [
        ("resnet", "(depth: 18, width: 4, stem: Cifar, conv: Direct)"),
        ("resnet", "(depth: 50, width: 4, stem: Cifar, conv: Direct)"),
        ("vit", "(patch: 8, dim: 16, depth: 2, heads: 2, pool: Mean)"),
        ("vit", "(patch: 8, dim: 16, depth: 2, heads: 2, pool: MeanWithoutNorm, position: Learned)"),
    ] {
        let mut one = backbone(name, config, SIZE);
        let features = one.forward(images(), Mode::Train).unwrap();
        let (expected, of_features) = trained(&*one, features);
        let mut other = backbone(name, config, SIZE);
        let shape = other.map_shape(SIZE).unwrap();
        let (features, map) = other.forward_with_map(images(), Mode::Train).unwrap();
        assert_eq!(features.rows(), expected, "{name} {config}");
        let pooled = mean_tokens(behind(features, map, shape), 0).unwrap();
        let (values, of_map) = trained(&*other, pooled);
        assert_near(config, &values, &expected);
        assert_eq!(of_map.keys().collect::<Vec<_>>(), of_features.keys().collect::<Vec<_>>());
        for (parameter, gradient) in &of_map {
            assert_near(&format!("{config}: {parameter}"), gradient, &of_features[parameter]);
        }
    }
}

#[test]
fn a_class_token_and_registers_are_no_part_of_the_map() {
    let mut vit = backbone("vit", "(patch: 8, dim: 16, depth: 2, heads: 2, registers: 2)", SIZE);
    let (features, map) = vit.forward_with_map(images(), Mode::Train).unwrap();
    assert_eq!(map.shape(), [N, 6, 16]);
    let rows = rows_from_tokens(map).unwrap().rows();
    assert!(rows.chunks(16).all(|token| features.rows().chunks(16).all(|feature| token != feature)));
}

#[test]
fn a_map_has_what_strides_leave_of_an_image() {
    for (name, config, size, expected) in [
        ("resnet", "(depth: 18, width: 4, stem: ImageNet)", (70, 64), (3, 2)),
        ("resnet", "(depth: 18, width: 4, stem: Cifar)", (20, 24), (3, 3)),
        ("convnext", "(blocks: [1, 1, 1, 1], width: 8, patch: 2)", (35, 48), (2, 3)),
        ("vit", "(patch: 8, dim: 16, depth: 1, heads: 2)", (24, 16), (3, 2)),
    ] {
        let mut backbone = backbone(name, config, size);
        let MapShape { rows, columns, channels } = backbone.map_shape(size).unwrap();
        assert_eq!((rows, columns), expected, "{name}");
        let values = vec![0.5; size.0 * size.1 * 3];
        let images =
            FeatureMap::from_nhwc(&Device::default(), [1, size.0, size.1, 3], &values, Recording::Off);
        let (_, map) = backbone.forward_with_map(images.unwrap(), Mode::Eval).unwrap();
        assert_eq!(map.shape(), [1, rows * columns, channels], "{name}");
    }
}
