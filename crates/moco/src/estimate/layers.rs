//! The layers of modules, with what a step has told of them.

use std::collections::{BTreeMap, BTreeSet};

use pipeline::Pipeline;
use plugin_api::Entry;
use tensor_ops::{Counted, ParameterId};

/// A module of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleCost {
    /// Its name in the pipeline.
    pub name: String,
    /// Its plugin.
    pub plugin: String,
    /// Its layers, in PyTorch's order and by PyTorch's names.
    pub layers: Vec<LayerCost>,
    /// Values that are trained.
    pub n_trained: usize,
    /// Values that stay as they start.
    pub n_frozen: usize,
}

/// A layer of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerCost {
    /// Its name, such as `layer1.0.conv1`; empty for a module that is one layer.
    pub name: String,
    /// What it makes of one image: `(H, W, C)`, `(T, D)`, `(D)`, or of a loss the keys that a query is compared with. Empty for a
    /// layer that does not change it, such as a norm.
    pub output: Vec<usize>,
    /// Its parameters.
    pub n_parameters: usize,
    /// Multiplications, each with an addition, for one image in the forward pass.
    pub products: u64,
}

impl ModuleCost {
    /// Multiplications, each with an addition, for one image in the forward pass.
    pub fn products(&self) -> u64 {
        self.layers.iter().map(|layer| layer.products).sum()
    }

    /// What it makes of one image.
    pub fn output(&self) -> &[usize] {
        self.layers.iter().rev().find(|layer| !layer.output.is_empty()).map_or(&[], |layer| &layer.output)
    }
}

/// The modules with their parameters.
pub(super) fn modules_of(pipeline: &Pipeline) -> Vec<ModuleCost> {
    let of = |(module, entries): pipeline::NamedModule<'_>| {
        let mut cost = ModuleCost {
            name: module.to_owned(),
            plugin: pipeline.module_plugins.get(module).cloned().unwrap_or_default(),
            layers: Vec::new(),
            n_trained: 0,
            n_frozen: 0,
        };
        entries.visit(&mut |name, entry| {
            let Entry::Parameter(parameter) = entry else { return };
            let n = parameter.n_elements();
            *if parameter.is_trainable() { &mut cost.n_trained } else { &mut cost.n_frozen } += n;
            let layer = layer_of(name);
            match cost.layers.last_mut() {
                Some(last) if last.name == layer => last.n_parameters += n,
                _ => cost.layers.push(LayerCost {
                    name: layer.to_owned(),
                    output: Vec::new(),
                    n_parameters: n,
                    products: 0,
                }),
            }
        });
        cost
    };
    pipeline.network.modules.named().into_iter().map(of).collect()
}

/// The modules of the losses of the graph.
pub(super) fn losses_of(pipeline: &Pipeline) -> Vec<String> {
    let network = &pipeline.network;
    let steps = network.graph.loss_steps.iter();
    steps.map(|step| network.modules.losses[step.loss].name.clone()).collect()
}

/// The layer that a parameter is in: its name without the last part, unless it stands alone.
fn layer_of(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((layer, _)) => layer,
        None if matches!(name, "weight" | "bias") => "",
        None => name,
    }
}

/// Fills in what a step has told; gives the sum of a forward pass for one image.
pub(super) fn fill(
    modules: &mut [ModuleCost],
    losses: &[String],
    counted: &[Counted],
    names: &BTreeMap<ParameterId, (String, String)>,
) -> u64 {
    let mut known: BTreeSet<(String, String)> = BTreeSet::new();
    // The layer whose weight came last, if it is one of the query encoder.
    let mut last: Option<(&str, &str)> = None;
    // Losses come in the order of the graph.
    let mut of_losses = losses.iter().cycle();
    for operation in counted {
        let Some(n) = operation.output.first().map(|&n| (n as u64).max(1)) else { continue };
        let place = match operation.weight {
            Some(weight) => {
                last = names.get(&weight).map(|(module, name)| (module.as_str(), layer_of(name)));
                last.map(|(module, layer)| (module.to_owned(), layer.to_owned()))
            }
            None if operation.op.starts_with("info_nce") => {
                of_losses.next().map(|module| (module.clone(), String::new()))
            }
            // What two computed factors make belongs to the layer around that of the weight before.
            None => last.map(|(module, layer)| {
                let around = layer.rsplit_once('.').map_or(layer, |(around, _)| around);
                (module.to_owned(), format!("{around} ({})", operation.op))
            }),
        };
        let Some((module, layer)) = place else { continue };
        // A second query goes through the same layers.
        if !known.insert((module.clone(), layer.clone())) {
            continue;
        }
        let Some(module) = modules.iter_mut().find(|known| known.name == module) else { continue };
        let (output, products) = (operation.output[1..].to_vec(), operation.products / n);
        match module.layers.iter_mut().find(|known| known.name == layer) {
            Some(known) => (known.output, known.products) = (output, products),
            None => {
                let after =
                    last.and_then(|(_, before)| module.layers.iter().position(|known| known.name == before));
                let at = after.map_or(module.layers.len(), |at| at + 1);
                module.layers.insert(at, LayerCost { name: layer, output, n_parameters: 0, products });
            }
        }
    }
    modules.iter().map(ModuleCost::products).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(name: &str) -> Pipeline {
        let file = format!("{}/../../{name}", env!("CARGO_MANIFEST_DIR"));
        crate::read_pipeline(file, &[]).unwrap()
    }

    #[test]
    fn parameters_are_counted_by_layer() {
        let modules = modules_of(&pipeline("tests/small.ron"));
        let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["backbone", "head", "contrast"]);
        let backbone = &modules[0];
        assert_eq!(
            (backbone.layers[0].name.as_str(), backbone.layers[0].n_parameters),
            ("conv1", 3 * 3 * 3 * 4)
        );
        let total: usize = backbone.layers.iter().map(|layer| layer.n_parameters).sum();
        assert_eq!(total, backbone.n_trained + backbone.n_frozen);
        assert_eq!((modules[1].n_trained, modules[1].plugin.as_str()), (32 * 16 + 16, "linear"));
    }

    #[test]
    fn layers_are_named_as_their_parameters() {
        for (name, layer) in [
            ("layer1.0.conv1.weight", "layer1.0.conv1"),
            ("cls_token", "cls_token"),
            ("weight", ""),
            ("0.bias", "0"),
        ] {
            assert_eq!(layer_of(name), layer);
        }
    }
}
