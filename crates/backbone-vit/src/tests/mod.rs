//! What the tests share: small networks, and images for them.

mod attention;
mod config;
mod drop_path;
mod forward;
mod initial_values;
mod names;

use plugin_api::{Config, Entry, Module, ModuleContext};
use tensor_ops::{Device, FeatureMap, Parameter, Recording};

use crate::{Vit, VitConfig};

/// Of a network with patches.
const SMALL: &str = "(patch: 8, dim: 16, depth: 2, heads: 2)";
/// The same with convolutions.
const CONV: &str = "(dim: 16, depth: 2, heads: 2, stem: Conv)";

fn context(image_size: (usize, usize)) -> ModuleContext {
    ModuleContext {
        device: Device::default(),
        n_inputs: 3,
        map: None,
        image_size,
        batch: 4,
        parts: 1,
        processes: std::sync::Arc::new(plugin_api::processes::Alone),
        seed: 1,
        name: "backbone".into(),
    }
}

fn parsed(config: &str) -> VitConfig {
    Config::new(config).parse().unwrap()
}

fn vit(config: &str, image_size: (usize, usize)) -> Vit {
    Vit::new(parsed(config), &context(image_size)).unwrap()
}

/// `config` with more fields.
fn with(config: &str, fields: &str) -> String {
    format!("{}, {fields})", config.strip_suffix(')').unwrap())
}

fn images(n: usize, (h, w): (usize, usize), recording: Recording) -> FeatureMap {
    let values: Vec<f32> = (0..n * h * w * 3).map(|i| (i as f32 * 0.37).sin()).collect();
    FeatureMap::from_nhwc(&Device::default(), [n, h, w, 3], &values, recording).unwrap()
}

fn visit_parameters(vit: &Vit, mut visitor: impl FnMut(&str, &Parameter)) {
    vit.visit(&mut |name, entry| {
        if let Entry::Parameter(parameter) = entry {
            visitor(name, parameter);
        }
    });
}

/// The parameter called `name`.
fn parameter(vit: &Vit, name: &str) -> Parameter {
    let mut found = None;
    visit_parameters(vit, |own, parameter| {
        if own == name {
            found = Some(parameter.duplicate().unwrap());
        }
    });
    found.unwrap_or_else(|| panic!("there is no `{name}`"))
}
