//! Numbers that change while training.

use std::fmt;
use std::sync::Arc;

use plugin_api::{ConfigError, Optimizer, Progress, Schedule, ScheduleContext};

use crate::check_plugins::{check_factors, looked_at};
use crate::checker::Checker;
use crate::config::{Curve, PipelineConfig, RampConfig};
use crate::graph::Graph;
use crate::ids::{Id as _, LossId, Table};
use crate::loss_module::LossModule;
use crate::modules::Named;
use pipeline_text::Checked;

/// A number of the optimizer or of a loss that changes while training.
#[derive(Clone, Debug)]
pub struct Ramp {
    /// Where it is, as `--set` has it: `optimizer.weight_decay`.
    pub what: String,
    /// Whose it is.
    pub of: RampOf,
    /// What the config calls it.
    pub field: String,
    /// Its value in the file, at 0 of the way.
    pub from: f64,
    /// Its value at 1 of the way.
    pub to: f64,
    /// How it goes from one to the other.
    pub way: Way,
    /// In how many epochs; `None`: in those of the run.
    pub epochs: Option<usize>,
}

/// How a number changes.
#[derive(Clone)]
pub enum Way {
    /// From 0 to 1 of the way.
    Curve(Curve),
    /// By the factors of a schedule, there and back.
    Schedule(Arc<dyn Schedule>),
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Curve(curve) => curve.fmt(f),
            Self::Schedule(_) => f.write_str("Schedule"),
        }
    }
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
        let at = if at.epoch < epochs {
            Progress { epochs, ..at }
        } else {
            Progress { epoch: epochs, step: 0, epochs, ..at }
        };
        let share = match &self.way {
            Way::Curve(curve) => curve.at(at.share()),
            Way::Schedule(schedule) => schedule.factor(at),
        };
        match share {
            // To the bit, as the file has them.
            0.0 => self.from,
            1.0 => self.to,
            share => self.from + (self.to - self.from) * share,
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
        match (self, done) {
            // A cosine is not 1 to the bit.
            (_, 0.0 | 1.0) | (Self::Linear, _) => done,
            (Self::Cosine, _) => 0.5 * (1.0 - (std::f64::consts::PI * done).cos()),
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
        let RampConfig { what, to, epochs, .. } = ramp;
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
        let way = way(checker, &place, ramp, epochs.unwrap_or(config.epochs))?;
        let (what, field) = (what.clone(), field.to_owned());
        let mut ramp = Ramp { what, of, field, from: *to, to: *to, way, epochs: *epochs };
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
        if matches!(ramp.way, Way::Schedule(_)) {
            check_way(checker, &place, &ramp, config.epochs, optimizer, losses)?;
        }
        all.push(ramp);
    }
    Ok(all)
}

/// How the ramp at `place` goes, in so many `epochs`.
fn way(checker: &Checker, place: &str, ramp: &RampConfig, epochs: usize) -> Checked<Way> {
    if ramp.schedule.is_none() {
        return Ok(Way::Curve(ramp.along));
    }
    let path = ["ramps", place, "schedule"];
    if checker.tree().find(&["ramps", place, "along"]).is_some() {
        return Err(checker.fault(
            &path,
            "a ramp goes along a curve or by a schedule, and this one has both",
            "remove `along` or `schedule`",
        ));
    }
    let schedule = checker.build::<dyn Schedule>(&path, &ScheduleContext { epochs })?;
    check_factors(checker, &path, &*schedule, epochs)?;
    Ok(Way::Schedule(schedule.into()))
}

/// The numbers on the way of a schedule, whose factors may be above 1. The plugin is left with the number of the file.
fn check_way(
    checker: &Checker,
    place: &str,
    ramp: &Ramp,
    epochs: usize,
    optimizer: &mut dyn Optimizer,
    losses: &mut Table<LossId, Named<LossModule>>,
) -> Checked<()> {
    for at in looked_at(epochs) {
        ramp.set(at, optimizer, losses).map_err(|error| {
            let message = format!("`{}` in epoch {}: {error}", ramp.what, at.epoch + 1);
            let hint = error.hint().unwrap_or("every value on the way must be one that the field may have");
            checker.fault(&["ramps", place, "schedule"], message, hint)
        })?;
    }
    ramp.set_to(ramp.from, optimizer, losses).map_err(|error| {
        checker.fault(&["ramps", place, "what"], error.to_string(), "write another number there")
    })
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
        by(Way::Curve(along), epochs)
    }

    fn by(way: Way, epochs: Option<usize>) -> Ramp {
        let (what, field) = ("optimizer.weight_decay".into(), "weight_decay".into());
        Ramp { what, of: RampOf::Optimizer, field, from: 0.04, to: 0.4, way, epochs }
    }

    /// To 2 in half of the epochs, and to 0.
    struct There;

    impl Schedule for There {
        fn factor(&self, at: Progress) -> f64 {
            if at.share() <= 0.5 { 4.0 * at.share() } else { 4.0 * (1.0 - at.share()) }
        }
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

    #[test]
    fn a_schedule_leads_there_and_back_in_its_epochs() {
        let all = by(Way::Schedule(Arc::new(There)), None);
        let near = |ramp: &Ramp, at, value: f64| assert!((ramp.at(at) - value).abs() < 1e-12, "{at:?}");
        assert_eq!((all.at(at(0, 0)), all.at(at(10, 0))), (0.04, 0.04));
        near(&all, at(2, 2), 0.4);
        near(&all, at(5, 0), 0.76);
        let first = by(Way::Schedule(Arc::new(There)), Some(4));
        near(&first, at(1, 0), 0.4);
        assert_eq!((first.at(at(4, 0)), first.at(at(9, 3))), (0.04, 0.04));
    }
}
