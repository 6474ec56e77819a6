//! What a head must do.

use plugin_api::{Head, Module, ModuleContext};
use tensor_ops::{Mode, OpError};

use crate::backbone;
use crate::calm::calm;
use crate::config::Plugged;
use crate::fault::{Checked, ensure};
use crate::module;
use crate::numbers::{distance, normal};
use crate::subject::{Factory, Made, Recorded, Subject};
use crate::surroundings::Surroundings;

pub(crate) fn check(name: &str, config: Option<&str>, surroundings: &Surroundings) -> Checked {
    let plugged = Plugged::find(name, config)?;
    plugged.check_config(&context(surroundings, 0))?;
    let heads = Heads { plugged, surroundings };
    module::check(&heads, surroundings.finite_differences)?;
    check_map(&heads)?;
    check_parts(&heads)?;
    check_other_width(&heads)
}

fn context(surroundings: &Surroundings, seed: u64) -> ModuleContext {
    let Surroundings { width, map, .. } = *surroundings;
    ModuleContext { n_inputs: width, map, ..backbone::context(surroundings, seed) }
}

struct Heads<'a> {
    plugged: Plugged<dyn Head>,
    surroundings: &'a Surroundings,
}

struct Built {
    head: Box<dyn Head>,
    shape: (usize, usize),
}

impl Factory for Heads<'_> {
    type Subject = Built;

    const HAS_MODES: bool = true;
    const METHOD: &'static str = "forward";

    fn build(&self, seed: u64) -> Checked<Built> {
        let head = self.plugged.build(&context(self.surroundings, seed))?;
        Ok(Built { head, shape: (self.surroundings.batch, self.surroundings.width) })
    }

    fn inputs(&self, set: u64) -> Vec<Vec<f32>> {
        vec![normal("features", set, self.surroundings.batch * self.surroundings.width)]
    }
}

impl Subject for Built {
    fn module(&mut self) -> &mut dyn Module {
        &mut *self.head
    }

    fn declared(&self) -> (usize, usize) {
        (self.shape.0, self.head.n_outputs())
    }

    fn pass(&mut self, inputs: &[Vec<f32>], mode: Mode, is_recorded: bool) -> Result<Made, OpError> {
        let Recorded { features, handle } = Recorded::new(self.shape, &inputs[0], is_recorded)?;
        let embeddings = self.head.forward(features, mode)?;
        Made::of_features(embeddings, &*self.head, |gradients| {
            Ok(vec![Recorded::gradient(&handle, gradients)?])
        })
    }

    fn advance(&mut self, _: &[Vec<f32>]) -> Result<(), OpError> {
        Ok(())
    }
}

/// In evaluation, a batch in two parts has the same embeddings as the whole.
fn check_parts(heads: &Heads<'_>) -> Checked {
    let mut built = heads.build(0)?;
    let inputs = heads.inputs(0);
    let expected = module::pass::<Heads<'_>>(&mut built, &inputs, Mode::Eval, false)?;
    let (n, width) = built.shape;
    let half = n / 2;
    let mut values = Vec::new();
    for rows in [0..half, half..n] {
        built.shape.0 = rows.len();
        let part = [inputs[0][rows.start * width..rows.end * width].to_vec()];
        values.extend(module::pass::<Heads<'_>>(&mut built, &part, Mode::Eval, false)?.values);
    }
    let distance = distance(&expected.values, &values);
    ensure!(
        distance < 1e-4,
        "in evaluation, a batch in two parts has other embeddings than as a whole, by {distance:.1e} of their size: an image's \
         embedding depends on no other image then"
    );
    Ok(())
}

/// A map that it gives is among its values.
fn check_map(heads: &Heads<'_>) -> Checked {
    let built = heads.build(0)?;
    let Some(map) = built.head.map() else { return Ok(()) };
    let n_outputs = built.head.n_outputs();
    ensure!(
        (1..=n_outputs).contains(&map.n_values()),
        "its `map` has {} values, and `n_outputs` are {n_outputs}: the map is at their end",
        map.n_values()
    );
    Ok(())
}

/// Features of another width are an error.
fn check_other_width(heads: &Heads<'_>) -> Checked {
    let mut built = heads.build(0)?;
    built.shape.1 += 1;
    let rows = [normal("features", 1, built.shape.0 * built.shape.1)];
    for mode in [Mode::Eval, Mode::Train] {
        let made = calm("in `forward` with features of another width than it was built for", || {
            built.pass(&rows, mode, false)
        })?;
        ensure!(
            made.is_err(),
            "it was built for features of width {}, and takes others of width {}",
            built.shape.1 - 1,
            built.shape.1
        );
    }
    Ok(())
}
