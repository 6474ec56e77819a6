//! What a contrastive loss must do.

use dfdx::prelude::AsArray as _;
use plugin_api::{ContrastiveLoss, Keys, LossContext, LossRange, Module};
use tensor_ops::{Device, KeepLogits, Mode, OpError};

use crate::calm::calm;
use crate::config::Plugged;
use crate::fault::{Checked, ensure, wrong};
use crate::module;
use crate::numbers::normal;
use crate::past_keys::check_newest;
use crate::ramps;
use crate::subject::{Factory, Made, Recorded, Subject, matrix};
use crate::surroundings::Surroundings;

/// How far apart two losses may be that are the same but for rounding, as a share.
const CLOSE: f64 = 1e-4;

pub(crate) fn check(name: &str, config: Option<&str>, surroundings: &Surroundings) -> Checked {
    let plugged = Plugged::<dyn ContrastiveLoss>::find(name, config)?;
    plugged.check_config(&context(surroundings, 0))?;
    let mut loss = plugged.build(&context(surroundings, 0))?;
    ramps::check(|name, value| loss.set_number(name, value))?;
    let losses = Losses { plugged, surroundings };
    module::check(&losses, surroundings.finite_differences)?;
    check_numbers(&losses)?;
    check_lengths(&losses)?;
    check_parts(&losses)?;
    check_past_keys(&losses)?;
    check_other_shapes(&losses)
}

fn context(surroundings: &Surroundings, seed: u64) -> LossContext {
    LossContext {
        device: Device::default(),
        n_inputs: surroundings.width,
        batch: surroundings.batch,
        keys_per_step: surroundings.batch,
        seed,
        name: "contrast".into(),
    }
}

struct Losses<'a> {
    plugged: Plugged<dyn ContrastiveLoss>,
    surroundings: &'a Surroundings,
}

struct Built {
    loss: Box<dyn ContrastiveLoss>,
    /// Of queries.
    shape: (usize, usize),
    keys: Vec<f32>,
}

/// What a loss says.
struct Told {
    value: f32,
    top1: f32,
    of_loss: f32,
    n_logits: Option<usize>,
}

impl Factory for Losses<'_> {
    type Subject = Built;

    const HAS_MODES: bool = false;
    const METHOD: &'static str = "loss";

    fn build(&self, seed: u64) -> Checked<Built> {
        let loss = self.plugged.build(&context(self.surroundings, seed))?;
        let shape = (self.surroundings.batch, self.surroundings.width);
        Ok(Built { loss, shape, keys: normal("keys", 0, shape.0 * shape.1) })
    }

    fn inputs(&self, set: u64) -> Vec<Vec<f32>> {
        vec![normal("queries", set, self.surroundings.batch * self.surroundings.width)]
    }
}

impl Subject for Built {
    fn module(&mut self) -> &mut dyn Module {
        &mut *self.loss
    }

    fn declared(&self) -> (usize, usize) {
        (1, 1)
    }

    fn pass(&mut self, inputs: &[Vec<f32>], _: Mode, is_recorded: bool) -> Result<Made, OpError> {
        let Recorded { features, handle } = Recorded::new(self.shape, &inputs[0], is_recorded)?;
        let keys = matrix(self.shape, &self.keys)?;
        let keys = Keys { own: &keys, all: &keys, first: 0 };
        let contrast = self.loss.loss(features, keys, KeepLogits::No)?;
        Made::of_loss(contrast.loss, contrast.value, &*self.loss, |gradients| {
            Ok(vec![Recorded::gradient(&handle, gradients)?])
        })
    }

    /// The step's keys are taken in: rows of the queries stand for them, so that each step has others.
    fn advance(&mut self, inputs: &[Vec<f32>]) -> Result<(), OpError> {
        self.loss.enqueue(&matrix(self.shape, &inputs[0])?)
    }
}

impl Built {
    fn told(&mut self, queries: &[f32], keys: &[f32], keep: KeepLogits) -> Checked<Told> {
        let told = calm("in `loss`", || {
            let features = Recorded::new(self.shape, queries, false)?.features;
            let keys = matrix(self.shape, keys)?;
            let keys = Keys { own: &keys, all: &keys, first: 0 };
            let contrast = self.loss.loss(features, keys, keep)?;
            Ok(Told {
                value: contrast.value,
                top1: contrast.top1,
                of_loss: contrast.loss.array(),
                n_logits: contrast.logits.map(|logits| logits.len()),
            })
        })?;
        told.map_err(|error: OpError| wrong!("`loss` fails: {error}"))
    }
}

/// The loss as a number, and what stands beside it.
fn check_numbers(losses: &Losses<'_>) -> Checked {
    let mut built = losses.build(0)?;
    let (queries, keys) = (losses.inputs(0).remove(0), built.keys.clone());
    let told = built.told(&queries, &keys, KeepLogits::Yes)?;
    ensure!(
        (told.value - told.of_loss).abs() <= 1e-5 * told.of_loss.abs(),
        "`value` is {}, and the loss that is trained is {}",
        told.value,
        told.of_loss
    );
    ensure!((0.0..=1.0).contains(&told.top1), "`top1` is {}, and no share of 1", told.top1);
    ensure!(
        told.n_logits.is_none_or(|n| n > 0 && n.is_multiple_of(built.shape.0)),
        "it gives {} logits of {} queries: each has as many",
        told.n_logits.unwrap_or_default(),
        built.shape.0
    );
    let LossRange { chance, floor } = built.loss.loss_range(built.shape.0);
    ensure!(
        chance.is_finite() && floor.is_finite() && floor <= chance,
        "`loss_range` says from {floor} at best to {chance} at worst"
    );
    // Where an encoder has collapsed, and where it has learned all.
    for (what, queries) in [("of equal rows", vec![1.0; keys.len()]), ("that are their keys", keys.clone())] {
        let told = built.told(&queries, &keys, KeepLogits::No)?;
        ensure!(told.value.is_finite(), "the loss of queries {what} is {}", told.value);
    }
    Ok(())
}

/// Queries and keys of any length are compared at unit length.
fn check_lengths(losses: &Losses<'_>) -> Checked {
    let mut built = losses.build(0)?;
    let (queries, keys) = (losses.inputs(0).remove(0), built.keys.clone());
    let longer = |values: &[f32]| values.iter().map(|value| 3.0 * value).collect::<Vec<f32>>();
    let expected = f64::from(built.told(&queries, &keys, KeepLogits::No)?.value);
    for (what, queries, keys) in
        [("queries", longer(&queries), keys.clone()), ("keys", queries.clone(), longer(&keys))]
    {
        let value = f64::from(built.told(&queries, &keys, KeepLogits::No)?.value);
        ensure!(
            (value - expected).abs() <= CLOSE * expected.abs().max(1.0),
            "the loss is {expected}, and {value} with {what} that are three times as long: `loss` normalizes both"
        );
    }
    Ok(())
}

/// A separable loss of a batch is the mean of those of its halves.
fn check_parts(losses: &Losses<'_>) -> Checked {
    let mut built = losses.build(0)?;
    let (queries, keys) = (losses.inputs(0).remove(0), built.keys.clone());
    let whole = f64::from(built.told(&queries, &keys, KeepLogits::No)?.value);
    if !built.loss.is_separable() {
        return Ok(());
    }
    let middle = queries.len() / 2;
    built.shape.0 /= 2;
    let mut half = |part: std::ops::Range<usize>| {
        built.told(&queries[part.clone()], &keys[part], KeepLogits::No).map(|told| f64::from(told.value))
    };
    let mean = 0.5 * (half(0..middle)? + half(middle..queries.len())?);
    ensure!(
        (mean - whole).abs() <= CLOSE * whole.abs().max(1.0),
        "it says that it is separable, and the loss of a batch is {whole}, but the mean of its halves {mean}"
    );
    Ok(())
}

/// Keys of earlier steps are shown with the newest at the end.
fn check_past_keys(losses: &Losses<'_>) -> Checked {
    let mut built = losses.build(0)?;
    let width = built.shape.1;
    let mut newest = Vec::new();
    for set in 1..4 {
        newest = normal("queries", set, built.shape.0 * width);
        calm("in `enqueue`", || built.advance(std::slice::from_ref(&newest)))?
            .map_err(|error| wrong!("`enqueue` fails: {error}"))?;
    }
    let Some(past) = calm("in `past_keys`", || built.loss.past_keys())? else { return Ok(()) };
    check_newest(&past, width, &newest)
}

/// Queries and keys of other shapes are errors.
fn check_other_shapes(losses: &Losses<'_>) -> Checked {
    let mut built = losses.build(0)?;
    let (n, width) = built.shape;
    let mut compare = |queries: (usize, usize), keys: (usize, usize)| -> Checked<bool> {
        calm(&format!("in `loss` with queries {queries:?} and keys {keys:?}"), || {
            let features =
                Recorded::new(queries, &normal("queries", 5, queries.0 * queries.1), false)?.features;
            let keys = matrix(keys, &normal("keys", 5, keys.0 * keys.1))?;
            built.loss.loss(features, Keys { own: &keys, all: &keys, first: 0 }, KeepLogits::No)
        })
        .map(|result| result.is_err())
    };
    for (queries, keys) in [
        ((n, width + 1), (n, width)),
        ((n, width), (n, width + 1)),
        ((n, width + 1), (n, width + 1)),
        ((n, width), (n - 1, width)),
    ] {
        ensure!(
            compare(queries, keys)?,
            "it was built for a width of {width}, and takes queries of shape {queries:?} and keys of shape {keys:?}"
        );
    }
    let wide = matrix((n, width + 1), &normal("keys", 5, n * (width + 1)));
    let wide = wide.map_err(|error| wrong!("keys cannot be made: {error}"))?;
    calm("in `enqueue` with keys of another width", || built.loss.enqueue(&wide).map(drop))?.or(Ok(()))
}
