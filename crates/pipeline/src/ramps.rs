//! Numbers that change while training.

use plugin_api::{ConfigError, Optimizer, Progress};

use crate::checker::Checker;
use crate::config::{Curve, PipelineConfig, RampConfig};
use crate::graph::Graph;
use crate::ids::{Id as _, LossId, Table};
use crate::loss_module::LossModule;
use crate::modules::Named;
use pipeline_text::Checked;

/// A number of the optimizer or of a loss that changes while training.
#[derive(Clone, Debug, PartialEq)]
pub struct Ramp {
    /// Where it is, as `--set` has it: `optimizer.weight_decay`.
    pub what: String,
    /// Whose it is.
    pub of: RampOf,
    /// What the config calls it.
    pub field: String,
    /// Its value at the first step, which is that of the file.
    pub from: f64,
    /// Its value in the end.
    pub to: f64,
    /// How it gets there.
    pub along: Curve,
    /// In how many epochs; `None`: at the end of the run.
    pub epochs: Option<usize>,
}

/// What has a number that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RampOf {
    /// The optimizer.
    Optimizer,
    /// A loss.
    Loss(LossId),
}

impl Ramp {
    /// Its value for the step at `at`.
    pub fn at(&self, at: Progress) -> f64 {
        let epochs = self.epochs.unwrap_or(at.epochs).max(1);
        let share = (at.epochs_done() / epochs as f64).min(1.0);
        match share {
            // To the bit, as the file has them.
            0.0 => self.from,
            1.0 => self.to,
            share => self.from + (self.to - self.from) * self.along.at(share),
        }
    }

    /// Sets its value for the step at `at`.
    ///
    /// # Errors
    /// If its plugin refuses it, which an approved pipeline's does not.
    pub fn set(
        &self,
        at: Progress,
        optimizer: &mut dyn Optimizer,
        losses: &mut Table<LossId, Named<LossModule>>,
    ) -> Result<(), ConfigError> {
        self.set_to(self.at(at), optimizer, losses)
    }

    fn set_to(
        &self,
        value: f64,
        optimizer: &mut dyn Optimizer,
        losses: &mut Table<LossId, Named<LossModule>>,
    ) -> Result<(), ConfigError> {
        match self.of {
            RampOf::Optimizer => optimizer.set_number(&self.field, value),
            RampOf::Loss(loss) => losses[loss].module.set_number(&self.field, value),
        }
    }
}

impl Curve {
    /// The share of the way at the share `done` of the steps, both from 0 to 1.
    fn at(self, done: f64) -> f64 {
        match self {
            Self::Linear => done,
            Self::Cosine => 0.5 * (1.0 - (std::f64::consts::PI * done).cos()),
        }
    }
}

/// The ramps of the file, with each end tried on the plugin that has the number.
pub(crate) fn check_ramps(
    checker: &Checker,
    config: &PipelineConfig,
    graph: &Graph,
    optimizer: &mut dyn Optimizer,
    losses: &mut Table<LossId, Named<LossModule>>,
) -> Checked<Vec<Ramp>> {
    let mut all: Vec<Ramp> = Vec::new();
    for (place, ramp) in config.ramps.iter().enumerate() {
        let RampConfig { what, to, along, epochs } = ramp;
        let place = place.to_string();
        let refused = |message: String, hint: &str| checker.fault(&["ramps", &place, "what"], message, hint);
        let (of, field) = target(graph, what).map_err(|(message, hint)| refused(message, hint))?;
        if all.iter().any(|other| other.what == *what) {
            return Err(refused(format!("`{what}` has two ramps"), "remove one of the two"));
        }
        if *epochs == Some(0) {
            return Err(checker.fault(
                &["ramps", &place, "epochs"],
                "a number cannot change in 0 epochs",
                "leave it out for all epochs of the run",
            ));
        }
        let (what, field) = (what.clone(), field.to_owned());
        let mut ramp = Ramp { what, of, field, from: *to, to: *to, along: *along, epochs: *epochs };
        // Its name first: a number that is not there has no value either.
        ramp.set_to(*to, optimizer, losses).map_err(|error| {
            let at = if matches!(error, ConfigError::Unfit { .. }) { "what" } else { "to" };
            let hint = error.hint().unwrap_or("every value on the way must be one that the field may have");
            checker.fault(&["ramps", &place, at], format!("`{}`: {error}", ramp.what), hint)
        })?;
        let path: Vec<String> = ramp.what.split('.').map(str::to_owned).collect();
        let Some(from) = checker.text_at(&path) else {
            return Err(refused(
                format!("`{}` is not written in the file, so it has no value to start from", ramp.what),
                "write its first value where it belongs",
            ));
        };
        let starts = plugin_api::parse_ron::<f64>(from)
            .and_then(|from| ramp.set_to(from, optimizer, losses).map(|()| from));
        ramp.from = starts.map_err(|error| {
            refused(format!("`{}` is {from} at the start: {error}", ramp.what), "write a number there")
        })?;
        all.push(ramp);
    }
    Ok(all)
}

/// Whose number `what` is, and what the config calls it; or a message and a hint.
fn target<'a>(graph: &Graph, what: &'a str) -> Result<(RampOf, &'a str), (String, &'static str)> {
    let path: Vec<&str> = what.split('.').collect();
    match path[..] {
        ["optimizer", field] => Ok((RampOf::Optimizer, field)),
        ["modules", module, field] => match graph.losses.iter().position(|loss| loss == module) {
            Some(index) => Ok((RampOf::Loss(LossId::at(index)), field)),
            None => {
                Err((format!("`{module}` is no loss of the graph, and its numbers have no ramps"), OF_WHAT))
            }
        },
        ["momentum", ..] => Err((
            "the momentum encoder's coefficient has no ramp".into(),
            "it has a schedule of its own: `momentum: (start: 0.99, schedule: Cosine)`",
        )),
        ["learning_rate" | "schedule", ..] => Err((
            "the learning rate has no ramp".into(),
            "it has a schedule of its own: `schedule: (\"cosine\", (warmup_epochs: 10))`",
        )),
        _ => Err((format!("`{what}` has no ramp"), OF_WHAT)),
    }
}

const OF_WHAT: &str =
    "numbers of the optimizer and of losses do: `optimizer.weight_decay`, `modules.contrast.temperature`";

impl LossModule {
    /// Sets a number of its config, see [`Objective::set_number`](plugin_api::Objective::set_number).
    ///
    /// # Errors
    /// If it refuses the value, or does not change that number.
    pub fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        match self {
            Self::Contrast(loss) => loss.set_number(field, value),
            Self::Objective(loss) => loss.set_number(field, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: usize, step: usize) -> Progress {
        Progress { epoch, step, steps_per_epoch: 4, epochs: 10 }
    }

    fn ramp(along: Curve, epochs: Option<usize>) -> Ramp {
        let (what, field) = ("optimizer.weight_decay".into(), "weight_decay".into());
        Ramp { what, of: RampOf::Optimizer, field, from: 0.04, to: 0.4, along, epochs }
    }

    #[test]
    fn it_starts_as_the_file_has_it_and_ends_where_it_is_told() {
        for along in [Curve::Linear, Curve::Cosine] {
            let all = ramp(along, None);
            assert_eq!((all.at(at(0, 0)), all.at(at(10, 0))), (0.04, 0.4));
            assert!((all.at(at(5, 0)) - 0.22).abs() < 1e-12, "{along:?}");
            let first = ramp(along, Some(4));
            assert_eq!((first.at(at(4, 0)), first.at(at(9, 3))), (0.4, 0.4));
            assert!((first.at(at(2, 0)) - 0.22).abs() < 1e-12, "{along:?}");
        }
    }

    #[test]
    fn a_line_and_a_cosine_differ_in_between() {
        // A quarter of the way in steps.
        assert!((ramp(Curve::Linear, None).at(at(2, 2)) - 0.13).abs() < 1e-12);
        // As the program of Caron et al. 2021 has it: 0.4 + (0.04 - 0.4) (1 + cos(π / 4)) / 2
        assert!((ramp(Curve::Cosine, None).at(at(2, 2)) - 0.092_720_779_386_421_5).abs() < 1e-12);
    }
}
