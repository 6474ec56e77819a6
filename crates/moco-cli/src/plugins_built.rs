//! What a plugin tells once it is built: the metrics of an objective, and the numbers that may change while training.

use plugin_api::{
    Config, ConfigError, ContrastiveLoss, Described, InputShape, LossContext, MapShape, Objective,
    ObjectiveContext, Optimizer, OptimizerContext, build,
};
use tensor_ops::Device;

/// Of a plugin that was built from its example.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Built {
    /// What an objective measures beside its value.
    pub(crate) metrics: Vec<&'static str>,
    /// The fields that `ramps` can change.
    pub(crate) ramps: Vec<String>,
}

/// Trained and fixed values, as objectives take them, and maps behind them.
const INPUTS: [(usize, usize, Option<MapShape>); 6] = [
    (2, 0, None),
    (1, 1, None),
    (2, 2, None),
    (1, 0, None),
    (3, 0, None),
    (1, 3, Some(MapShape { rows: 2, columns: 2, channels: 4 })),
];

const WIDTH: usize = 16;
const BATCH: usize = 64;

impl Built {
    /// Of `plugin`; nothing of one that cannot be built from its example, and of kinds that have neither metrics nor ramps.
    pub(crate) fn of(plugin: &Described) -> Self {
        let config = Config::new(plugin.example);
        match plugin.kind {
            "objective" => match INPUTS.iter().find_map(|inputs| objective(plugin.name, config, *inputs)) {
                Some(mut built) => Self {
                    metrics: built.metrics().to_vec(),
                    ramps: ramps(plugin, |field, value| built.set_number(field, value)),
                },
                None => Self::default(),
            },
            "loss" => {
                let context = LossContext {
                    device: Device::default(),
                    n_inputs: WIDTH,
                    batch: BATCH,
                    keys_per_step: BATCH,
                    seed: 0,
                    name: "loss".into(),
                };
                let built = build::<dyn ContrastiveLoss>(plugin.name, config, &context);
                Self::with_ramps(
                    built.map(|mut built| ramps(plugin, |field, value| built.set_number(field, value))),
                )
            }
            "optimizer" => {
                let built = build::<dyn Optimizer>(plugin.name, config, &OptimizerContext);
                Self::with_ramps(
                    built.map(|mut built| ramps(plugin, |field, value| built.set_number(field, value))),
                )
            }
            _ => Self::default(),
        }
    }

    fn with_ramps(ramps: Result<Vec<String>, ConfigError>) -> Self {
        Self { ramps: ramps.unwrap_or_default(), ..Self::default() }
    }
}

fn objective(
    name: &str,
    config: Config<'_>,
    (n_trained, n_fixed, map): (usize, usize, Option<MapShape>),
) -> Option<Box<dyn Objective>> {
    let input = |place| InputShape {
        name: format!("value{place}"),
        width: map.map_or(WIDTH, MapShape::n_values),
        map,
        is_trained: place < n_trained,
    };
    let context = ObjectiveContext {
        device: Device::default(),
        inputs: (0..n_trained + n_fixed).map(input).collect(),
        batch: BATCH,
        epochs: 100,
        seed: 0,
        name: "objective".into(),
    };
    build::<dyn Objective>(name, config, &context).ok()
}

/// The fields of `plugin` that `set_number` knows, whether or not it takes this value.
fn ramps(
    plugin: &Described,
    mut set_number: impl FnMut(&str, f64) -> Result<(), ConfigError>,
) -> Vec<String> {
    let mut can_change = |name: &str| !matches!(set_number(name, 0.5), Err(ConfigError::Unfit { .. }));
    plugin.fields.iter().map(|field| &field.name).filter(|name| can_change(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Built {
        let all = plugin_api::all_plugins();
        Built::of(all.iter().find(|plugin| plugin.name == name).unwrap())
    }

    #[test]
    fn metrics_and_ramps_are_those_of_the_plugin() {
        let built = of("nt-xent");
        assert_eq!((built.metrics, built.ramps), (vec!["top1"], vec!["temperature".to_owned()]));
        let built = of("negative-cosine");
        assert_eq!((built.metrics, built.ramps), (vec!["output_std"], vec![]));
        assert_eq!(of("queue").ramps, ["temperature"]);
        assert!(of("sgd").ramps.contains(&"weight_decay".to_owned()));
        assert_eq!(of("resnet"), Built::default());
    }

    #[test]
    fn every_objective_that_is_linked_in_says_what_it_is_on_and_can_be_built() {
        for plugin in plugin_api::all_plugins().iter().filter(|plugin| plugin.kind == "objective") {
            assert!(!plugin.on.is_empty(), "{}", plugin.name);
            let config = Config::new(plugin.example);
            let built = INPUTS.iter().find_map(|inputs| objective(plugin.name, config, *inputs));
            assert!(built.is_some(), "{}", plugin.name);
        }
    }
}
