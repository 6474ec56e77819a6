//! What an objective must do.

use dfdx::prelude::AsArray as _;
use plugin_api::{
    Evaluated, Input, InputShape, LossRange, Module, Objective, ObjectiveContext, ObjectiveStep, Progress,
};
use tensor_ops::{Device, Matrix, Mode, OpError};

use crate::calm::calm;
use crate::config::Plugged;
use crate::entries::Entries;
use crate::fault::{Checked, ensure, wrong};
use crate::metrics::check_names;
use crate::module;
use crate::numbers::{all_finite, normal};
use crate::past_keys::check_newest;
use crate::ramps;
use crate::subject::{Factory, Made, Recorded, Subject, matrix};
use crate::surroundings::{Surroundings, ValueInto};

/// Classes of the labels that it is told.
const N_CLASSES: usize = 3;

pub(crate) fn check(name: &str, config: Option<&str>, surroundings: &Surroundings) -> Checked {
    let plugged = Plugged::<dyn Objective>::find(name, config)?;
    let choices = match &surroundings.values {
        Some(values) => vec![values.clone()],
        None => usual_choices(surroundings.width),
    };
    let mut refused = None;
    let mut accepted = Vec::new();
    for values in choices {
        match plugged.try_build(&context(surroundings, &values, 0))? {
            Ok(_) => accepted.push(values),
            Err(error) => _ = refused.get_or_insert(error),
        }
    }
    let Some(first) = accepted.first() else {
        let why = refused.map(|error| error.to_string()).unwrap_or_default();
        return Err(wrong!(
            "it is evaluated on none of the usual values ({why}): name those that it takes in `values` of `Surroundings`"
        ));
    };
    plugged.check_config(&context(surroundings, first, 0))?;
    let mut objective = plugged.build(&context(surroundings, first, 0))?;
    ramps::check(|name, value| objective.set_number(name, value))?;
    for values in &accepted {
        let objectives = Objectives { plugged: plugged.again(), surroundings, values };
        module::check(&objectives, surroundings.finite_differences)?;
        check_numbers(&objectives)?;
        check_discarded(&objectives)?;
        check_past_keys(&objectives)?;
        check_labels(&objectives)?;
        check_other_shapes(&objectives)?;
    }
    Ok(())
}

/// Two that are trained; one against a fixed one; one alone; three; and two against two, as symmetric losses have them.
fn usual_choices(width: usize) -> Vec<Vec<ValueInto>> {
    let value = |is_trained| ValueInto { width, map: None, is_trained };
    let of = |trained: &[bool]| trained.iter().map(|is_trained| value(*is_trained)).collect();
    [&[true, true][..], &[true, false], &[true], &[true, true, true], &[true, true, false, false]]
        .map(of)
        .into()
}

fn context(surroundings: &Surroundings, values: &[ValueInto], seed: u64) -> ObjectiveContext {
    let shape = |(place, value): (usize, &ValueInto)| InputShape {
        name: format!("value{place}"),
        width: value.width,
        map: value.map,
        is_trained: value.is_trained,
    };
    ObjectiveContext {
        device: Device::default(),
        inputs: values.iter().enumerate().map(shape).collect(),
        batch: surroundings.batch,
        epochs: surroundings.epochs,
        seed,
        name: "objective".into(),
    }
}

struct Objectives<'a> {
    plugged: Plugged<dyn Objective>,
    surroundings: &'a Surroundings,
    values: &'a [ValueInto],
}

struct Built {
    objective: Box<dyn Objective>,
    n: usize,
    values: Vec<ValueInto>,
    epochs: usize,
    with_labels: bool,
}

impl Factory for Objectives<'_> {
    type Subject = Built;

    const HAS_MODES: bool = false;
    const METHOD: &'static str = "evaluate";

    fn build(&self, seed: u64) -> Checked<Built> {
        let objective = self.plugged.build(&context(self.surroundings, self.values, seed))?;
        let Surroundings { batch, epochs, .. } = *self.surroundings;
        Ok(Built { objective, n: batch, values: self.values.to_vec(), epochs, with_labels: true })
    }

    fn inputs(&self, set: u64) -> Vec<Vec<f32>> {
        let of = |(place, value): (usize, &ValueInto)| {
            normal(&format!("value {place}"), set, self.surroundings.batch * value.width)
        };
        self.values.iter().enumerate().map(of).collect()
    }
}

impl Built {
    /// The loss, and the handles of what is trained.
    fn evaluate(
        &mut self,
        inputs: &[Vec<f32>],
        is_recorded: bool,
    ) -> Result<(Evaluated, Vec<Option<Matrix>>), OpError> {
        let (mut values, mut handles) = (Vec::new(), Vec::new());
        for (value, rows) in self.values.iter().zip(inputs) {
            let shape = (self.n, value.width);
            if value.is_trained {
                let Recorded { features, handle } = Recorded::new(shape, rows, is_recorded)?;
                values.push(Input::Trained(features));
                handles.push(Some(handle));
            } else {
                values.push(Input::Fixed(matrix(shape, rows)?));
                handles.push(None);
            }
        }
        let indices: Vec<usize> = (0..self.n).map(|row| 3 * row + 1).collect();
        let labels: Vec<u32> = (0..self.n).map(|row| (row % N_CLASSES) as u32).collect();
        let step = ObjectiveStep {
            seed: 5,
            at: Progress { epoch: 1, step: 2, steps_per_epoch: 10, epochs: self.epochs.max(2) },
            indices: &indices,
            labels: self.with_labels.then_some(&labels[..]),
        };
        Ok((self.objective.evaluate(values, step)?, handles))
    }

    fn evaluated(&mut self, inputs: &[Vec<f32>], when: &str) -> Checked<Evaluated> {
        let evaluated = calm(&format!("in `evaluate`{when}"), || self.evaluate(inputs, false))?;
        Ok(evaluated.map_err(|error| wrong!("`evaluate` fails{when}: {error}"))?.0)
    }
}

impl Subject for Built {
    fn module(&mut self) -> &mut dyn Module {
        &mut *self.objective
    }

    fn declared(&self) -> (usize, usize) {
        (1, 1)
    }

    fn pass(&mut self, inputs: &[Vec<f32>], _: Mode, is_recorded: bool) -> Result<Made, OpError> {
        let (evaluated, handles) = self.evaluate(inputs, is_recorded)?;
        Made::of_loss(evaluated.loss, evaluated.value, &*self.objective, |gradients| {
            let gradient = |handle: Option<Matrix>| match handle {
                Some(handle) => Recorded::gradient(&handle, gradients),
                None => Ok(None),
            };
            handles.into_iter().map(gradient).collect()
        })
    }

    fn advance(&mut self, inputs: &[Vec<f32>]) -> Result<(), OpError> {
        self.evaluate(inputs, true)?;
        self.objective.end_step()
    }
}

/// The loss as a number, and metrics.
fn check_numbers(objectives: &Objectives<'_>) -> Checked {
    let mut built = objectives.build(0)?;
    let inputs = objectives.inputs(0);
    let names = built.objective.metrics();
    check_names(names)?;
    let evaluated = built.evaluated(&inputs, "")?;
    let of_loss = evaluated.loss.array();
    ensure!(
        (evaluated.value - of_loss).abs() <= 1e-5 * of_loss.abs().max(1e-3),
        "`value` is {}, and the loss that is trained is {of_loss}",
        evaluated.value
    );
    ensure!(
        evaluated.metrics.len() == names.len(),
        "it gives {} metrics, and declares {}: {names:?}",
        evaluated.metrics.len(),
        names.len()
    );
    for (name, value) in names.iter().zip(&evaluated.metrics) {
        ensure!(value.is_finite(), "the metric `{name}` is {value}");
    }
    if let Some(LossRange { chance, floor }) = built.objective.loss_range(built.n) {
        ensure!(
            chance.is_finite() && floor.is_finite() && floor <= chance,
            "`loss_range` says from {floor} at best to {chance} at worst"
        );
    }
    // Where an encoder has collapsed.
    let equal: Vec<Vec<f32>> = inputs.iter().map(|values| vec![1.0; values.len()]).collect();
    let collapsed = built.evaluated(&equal, " on equal rows")?;
    ensure!(
        collapsed.value.is_finite() && all_finite(&collapsed.metrics),
        "of rows that are all the same, the loss is {} and the metrics {:?}",
        collapsed.value,
        collapsed.metrics
    );
    Ok(())
}

/// A step that does not come to its end leaves nothing behind.
fn check_discarded(objectives: &Objectives<'_>) -> Checked {
    let mut built = objectives.build(0)?;
    let before = Entries::of(built.module());
    built.evaluated(&objectives.inputs(0), "")?;
    calm("in `discard_step`", || built.objective.discard_step())?;
    calm("at the end of a step", || built.objective.end_step())?
        .map_err(|error| wrong!("`end_step` fails after `discard_step`: {error}"))?;
    let after = Entries::of(built.module());
    if let Some(name) = after.first_changed(&before) {
        return Err(wrong!(
            "`end_step` changes `{name}` after `discard_step`: what a step has put aside must be forgotten"
        ));
    }
    Ok(())
}

/// Keys of earlier steps are those of the one fixed value, with the newest at the end.
fn check_past_keys(objectives: &Objectives<'_>) -> Checked {
    let mut built = objectives.build(0)?;
    let Some(_) = calm("in `past_keys`", || built.objective.past_keys())? else { return Ok(()) };
    let fixed: Vec<usize> =
        (0..objectives.values.len()).filter(|&place| !objectives.values[place].is_trained).collect();
    let &[fixed] = &fixed[..] else {
        return Err(wrong!("it has `past_keys`, and is on {} fixed values: they are of one", fixed.len()));
    };
    let mut inputs = objectives.inputs(0);
    for set in 1..4 {
        inputs = objectives.inputs(set);
        calm("at the end of a step", || built.advance(&inputs))?
            .map_err(|error| wrong!("the end of a step fails: {error}"))?;
    }
    let Some(past) = calm("in `past_keys`", || built.objective.past_keys())? else {
        return Err(wrong!("it has `past_keys` at first, and none after a step"));
    };
    check_newest(&past, objectives.values[fixed].width, &inputs[fixed])
}

/// Without labels it works, unless it says that it needs them.
fn check_labels(objectives: &Objectives<'_>) -> Checked {
    let mut built = objectives.build(0)?;
    built.with_labels = false;
    let inputs = objectives.inputs(0);
    if built.objective.needs_labels() {
        return calm("in `evaluate` without labels", || built.evaluate(&inputs, false).map(drop))?.or(Ok(()));
    }
    let value =
        built.evaluated(&inputs, " without labels, and `needs_labels` says that it needs none")?.value;
    ensure!(
        value.is_finite(),
        "without labels, the loss is {value}, and `needs_labels` says that it needs none"
    );
    Ok(())
}

/// Inputs of another width are an error.
fn check_other_shapes(objectives: &Objectives<'_>) -> Checked {
    for place in 0..objectives.values.len() {
        let mut built = objectives.build(0)?;
        built.values[place].width += 1;
        let mut inputs = objectives.inputs(0);
        inputs[place] = normal("wide", 0, built.n * built.values[place].width);
        let result = calm(
            &format!("in `evaluate` with value {place} of another width than it was built for"),
            || built.evaluate(&inputs, false).map(drop),
        )?;
        ensure!(
            result.is_err(),
            "it was built for a value {place} of width {}, and takes one of width {}",
            built.values[place].width - 1,
            built.values[place].width
        );
    }
    Ok(())
}
