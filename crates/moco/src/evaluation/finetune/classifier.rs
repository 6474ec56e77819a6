//! An encoder with a linear classifier, fine-tuned as a whole.

use std::collections::BTreeMap;

use nn::{Builder, Init, Linear, LinearConfig};
use plugin_api::{Backbone, ByName, EntryMut, Module, Optimizer, PassDraws, Rng, Slots, UpdateStep};
use run_store::checkpoint::{Snapshot, Stored};
use tensor_ops::{
    Device, FeatureMap, Mode, OpError, ParameterKind, Precision, Recording, backward, to_rows, weighted_sum,
};

use evaluate::linear::ProbeError;
use train_core::engine::{StateError, all, load_module, save_module, take_f32};

use super::average::WeightAverage;
use super::targets::Targets;

/// The names of the two parts.
const BACKBONE: &str = "backbone";
const CLASSIFIER: &str = "classifier";

/// The standard deviation of the classifier's initial weights.
const INITIAL_STD: f64 = 0.01;

/// An encoder and a linear classifier on its features. All parameters are trained, including those that were frozen in
/// pre-training.
pub struct FineTune {
    backbone: Box<dyn Backbone>,
    precision: Precision,
    classifier: Linear,
    n_classes: usize,
    optimizer: Box<dyn Optimizer>,
    parameters: ByName<Trained>,
    n_updates: u64,
    seed: u64,
    average: Option<WeightAverage>,
}

/// What is known of a parameter.
struct Trained {
    slots: Slots,
    /// The factor on its learning rate.
    factor: f64,
}

impl FineTune {
    /// `backbone` with a classifier of `n_classes`, and the optimizer for both. `layer_decay` is the ratio between the
    /// learning rates of a layer and the layer above it.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(
        mut backbone: Box<dyn Backbone>,
        precision: Precision,
        device: &Device,
        n_classes: usize,
        optimizer: Box<dyn Optimizer>,
        layer_decay: f64,
        seed: u64,
    ) -> Result<Self, ProbeError> {
        let d = backbone.n_features();
        let classifier = LinearConfig {
            n_inputs: d,
            n_outputs: n_classes,
            weight: Init::Normal { std: INITIAL_STD },
            bias: Some(Init::ZEROS),
        };
        let draws = |_: &str| Rng::new(seed, "initial values of a fine-tuned classifier", &[]);
        let classifier = classifier.build(&Builder::new(device, draws))?;
        backbone.visit_mut(&mut |_, entry| {
            if let EntryMut::Parameter(parameter) = entry {
                parameter.set_trainable(true);
            }
        });
        let modules = [(BACKBONE, &*backbone as &dyn Module), (CLASSIFIER, &classifier)];
        let parameters = ByName::of(modules, |name, parameter| Trained {
            slots: Slots::zeros(&*optimizer, parameter.shape()),
            factor: match name.strip_prefix(BACKBONE).and_then(|name| name.strip_prefix('.')) {
                Some(name) => layer_factor(&*backbone, name, layer_decay),
                None => 1.0,
            },
        })?;
        Ok(Self {
            backbone,
            precision,
            classifier,
            n_classes,
            optimizer,
            parameters,
            n_updates: 0,
            seed,
            average: None,
        })
    }

    /// The values of both parts: those of the encoder as a checkpoint names them where the pipeline calls its backbone
    /// `backbone`, and those of the classifier as `classifier.weight` `(classes, D)` and `classifier.bias`.
    pub fn tensors(&self, backbone: &str) -> BTreeMap<String, Stored> {
        let mut tensors = BTreeMap::new();
        save_module(&mut tensors, &format!("query.{backbone}"), &*self.backbone);
        save_module(&mut tensors, CLASSIFIER, &self.classifier);
        tensors
    }

    /// Adds all that the next steps depend on to `tensors`.
    ///
    /// # Errors
    /// If the encoder has changed its parameters.
    pub(super) fn save(&self, tensors: &mut BTreeMap<String, Stored>) -> Result<(), ProbeError> {
        save_module(tensors, BACKBONE, &*self.backbone);
        save_module(tensors, CLASSIFIER, &self.classifier);
        let modules = [(BACKBONE, &*self.backbone as &dyn Module), (CLASSIFIER, &self.classifier)];
        self.parameters.collect(modules, |id, parameter| {
            for (slot, buffer) in self.parameters[id].slots.iter() {
                let values = parameter.order_to_torch(&buffer.to_vec());
                let stored = Stored::F32 { shape: parameter.torch_shape(), values };
                tensors.insert(slot_name(slot, self.parameters.name(id)), stored);
            }
        })?;
        for (place, values) in self.average.iter().flat_map(WeightAverage::values).enumerate() {
            tensors.insert(
                average_name(place),
                Stored::F32 { shape: vec![values.len()], values: values.clone() },
            );
        }
        tensors.insert(UPDATES.into(), Stored::U64(vec![self.n_updates]));
        Ok(())
    }

    /// Sets all that [`save`](Self::save) has saved.
    ///
    /// # Errors
    /// If something is missing or has another shape. The model is then half set: drop it.
    pub(super) fn load(&mut self, snapshot: &Snapshot) -> Result<(), StateError> {
        let left = &mut all(snapshot);
        load_module(left, BACKBONE, &mut *self.backbone)?;
        load_module(left, CLASSIFIER, &mut self.classifier)?;
        let modules = [(BACKBONE, &*self.backbone as &dyn Module), (CLASSIFIER, &self.classifier)];
        let shapes = self
            .parameters
            .collect(modules, |id, parameter| (self.parameters.name(id).to_owned(), parameter.share()))?;
        for ((name, parameter), row) in shapes.into_iter().zip(self.parameters.rows_mut()) {
            for (slot, buffer) in row.slots.iter_mut() {
                let found = take_f32(left, &slot_name(slot, &name), &parameter.torch_shape())?;
                buffer.put_values(parameter.order_from_torch(found)).map_err(StateError::Op)?;
            }
        }
        for (place, values) in self.average.iter_mut().flat_map(WeightAverage::values_mut).enumerate() {
            *values = take_f32(left, &average_name(place), &[values.len()])?.to_vec();
        }
        match left.get(UPDATES) {
            Some(Stored::U64(values)) if values.len() == 1 => self.n_updates = values[0],
            _ => return Err(StateError::Missing(UPDATES.into())),
        }
        Ok(())
    }

    /// The number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// The number of parts in which batch norm splits a batch. The batch size must be a multiple of it.
    pub(super) fn splits(&self) -> usize {
        self.backbone.batch_norm_splits().unwrap_or(1)
    }

    /// Keeps a moving average of all weights from now on.
    pub(super) fn start_average(&mut self, decay: f64) {
        self.average = Some(WeightAverage::new(decay, &[&*self.backbone, &self.classifier]));
    }

    /// Takes the average for its weights, if there is one.
    ///
    /// # Errors
    /// If the encoder has changed its parameters.
    pub(super) fn take_average(&mut self) -> Result<(), OpError> {
        match self.average.take() {
            Some(average) => average.put([&mut *self.backbone, &mut self.classifier]),
            None => Ok(()),
        }
    }

    /// One training step on `images` and what is to be said of them, with learning rate `lr` for the classifier. Returns the
    /// mean cross entropy before the step, in nats.
    ///
    /// # Errors
    /// If the images do not match the encoder.
    pub fn step(&mut self, images: FeatureMap, targets: &Targets, lr: f64) -> Result<f64, ProbeError> {
        let (step, places) = (self.n_updates, (0..images.n() as u64).collect());
        self.backbone.set_draws(PassDraws { seed: self.seed, pass: "fine-tuning".into(), step, places });
        let images = images.with_recording(Recording::start()).with_precision(self.precision)?;
        let features = self.backbone.forward(images, Mode::Train)?;
        let logits = self.classifier.forward(features)?;
        let mut gradient = to_rows(&logits);
        let loss = targets.cross_entropy(&mut gradient);
        let mut gradients = backward(weighted_sum(logits, &gradient)?)?;
        self.n_updates += 1;
        let (optimizer, n_updates) = (&*self.optimizer, self.n_updates);
        let modules =
            [(BACKBONE, &mut *self.backbone as &mut dyn Module), (CLASSIFIER, &mut self.classifier)];
        let moved = self.parameters.collect_mut(modules, |_, Trained { slots, factor }, parameter| {
            let n_axes = parameter.shape().len();
            // No weight decay for biases, norms, positions and tokens, as in DeiT and BEiT.
            let weight_decay = (parameter.kind() == ParameterKind::Vector).then_some(0.0);
            let step = UpdateStep { lr: lr * *factor, n_updates, n_axes, weight_decay };
            step.run(optimizer, parameter, &mut gradients, slots)
        })?;
        moved.into_iter().collect::<Result<(), _>>()?;
        if let Some(average) = &mut self.average {
            average.follow(&[&*self.backbone, &self.classifier])?;
        }
        Ok(loss)
    }

    /// The logits of `images`, `(N, classes)` row by row, in eval mode.
    ///
    /// # Errors
    /// If the images do not match the encoder.
    pub fn logits(&mut self, images: FeatureMap) -> Result<Vec<f32>, ProbeError> {
        let features = self.backbone.forward(images.with_precision(self.precision)?, Mode::Eval)?;
        Ok(to_rows(&self.classifier.forward(features)?))
    }
}

/// How the number of steps made is saved.
const UPDATES: &str = "optimizer.updates";

/// How a slot of the optimizer is saved.
fn slot_name(slot: &str, parameter: &str) -> String {
    format!("optimizer.{slot}.{parameter}")
}

/// How a part of the average is saved, by its place among all.
fn average_name(place: usize) -> String {
    format!("average.{place:04}")
}

/// The factor on the learning rate of `parameter`: `decay` to the power of the number of layers above it (ELECTRA's
/// layer-wise decay, Clark et al. 2020, arXiv:2003.10555, as in BEiT, arXiv:2106.08254). It is 1 for the classifier,
/// `decay` for the last layer of the backbone and what follows it, and so on down to the stem.
fn layer_factor(backbone: &dyn Backbone, parameter: &str, decay: f64) -> f64 {
    let n_layers = backbone.n_layers();
    let layer = backbone.layer_of(parameter).unwrap_or(n_layers.saturating_sub(1));
    decay.powi(n_layers.saturating_sub(layer) as i32)
}

#[cfg(test)]
mod tests {
    use plugin_api::{Entry, Visitor, VisitorMut};
    use tensor_ops::{Features, OpError, Parameter, ParameterKind};

    use super::*;

    /// Three layers: `a`, `b` and `c`, and `end` behind them.
    struct Layers(Vec<(&'static str, Parameter)>);

    impl Module for Layers {
        fn visit(&self, visitor: &mut Visitor<'_>) {
            self.0.iter().for_each(|(name, parameter)| visitor(name, Entry::Parameter(parameter)));
        }

        fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
            self.0.iter_mut().for_each(|(name, parameter)| visitor(name, EntryMut::Parameter(parameter)));
        }
    }

    impl Backbone for Layers {
        fn n_features(&self) -> usize {
            1
        }

        fn forward(&mut self, _: FeatureMap, _: Mode) -> Result<Features, OpError> {
            unreachable!("nothing is computed here")
        }

        fn n_layers(&self) -> usize {
            3
        }

        fn layer_of(&self, name: &str) -> Option<usize> {
            ["a", "b", "c"].iter().position(|own| *own == name)
        }
    }

    #[test]
    fn the_rate_falls_from_layer_to_layer_down_to_the_stem() {
        let one = || Parameter::new(&Device::default(), ParameterKind::Vector, &[1], vec![0.0]).unwrap();
        let backbone = Layers(["a", "b", "c", "end"].map(|name| (name, one())).into());
        let optimizer = Box::new(NoMove);
        let model =
            FineTune::new(Box::new(backbone), Precision::F32, &Device::default(), 2, optimizer, 0.5, 0)
                .unwrap();
        let factor = |name: &str| model.parameters[model.parameters.id(name).unwrap()].factor;
        let names = ["backbone.a", "backbone.b", "backbone.c", "backbone.end", "classifier.weight"];
        assert_eq!(names.map(factor), [0.125, 0.25, 0.5, 0.5, 1.0]);
    }

    struct NoMove;

    impl Optimizer for NoMove {
        fn slots(&self) -> &'static [&'static str] {
            &[]
        }

        fn update(&self, _: plugin_api::Update<'_>) {}
    }
}
