//! One step of a run, and what to do if it fails.

use std::time::Duration;

use super::feed::{Fed, Feed};
use super::saving::restore;
use super::spikes::{Spike, Verdict};
use super::{
    EpochClock, Gradients, Note, PartReport, RolledBack, SpikeConsequence, StepReport, TrainError, Trainer,
};
use crate::engine::{Images, Loss, NonFinite};
use pipeline::OnNonfinite;

/// Rollbacks to the same checkpoint before the run ends with the error.
const MOST_ROLLBACKS: usize = 3;

impl Trainer<'_> {
    /// One step; returns true after an epoch's last.
    pub(super) fn step(&mut self, feed: &mut Feed, clock: &mut EpochClock) -> Result<bool, TrainError> {
        let at = self.course.at(self.position.epoch, self.position.step);
        let (lr, momentum) = (self.course.lr(at)?, self.course.momentum(at));
        let mut waited = Duration::ZERO;
        let device = self.engine.device().clone();
        let n_parts = self.engine.own_parts().len() * self.engine.parts().passes.len();
        let mut part = 0;
        self.engine.set_progress(at)?;
        let needs_labels = self.engine.needs_labels();
        let mut next = || -> Result<Images, TrainError> {
            if n_parts > 1 {
                let report = PartReport { epoch: at.epoch, step: at.step, part, n_parts };
                self.observers.notify(|observer| observer.part(&report))?;
                part += 1;
            }
            let Fed { views, images: indices, waited: waited_here } = feed.next(&device)?;
            waited += waited_here;
            let label = |index: &usize| self.data.splits.train.label(*index);
            let labels = if needs_labels { indices.iter().filter_map(label).collect() } else { Vec::new() };
            Ok(Images { views, indices, labels })
        };
        let mut computed = self.engine.compute(self.course.batch, momentum as f32, &mut next)?;
        self.together.check_unreadable(&self.data.unreadable)?;
        let loss = computed.total();
        if !loss.is_finite() {
            let what = self.first_nonfinite(&computed.losses);
            return Err(self.diverged(what));
        }
        // The backward pass is queued on the device, and the norms wait for it. This is the time to send the next
        // batch, unless the evaluation and saving at the end of an epoch come first.
        if tensor_ops::is_on_device() && n_parts == 1 && at.step + 1 < at.steps_per_epoch {
            feed.send_ahead(&device)?;
        }
        let norms = match self.engine.gradient_norms(&mut computed.gradients)? {
            Ok(norms) => norms,
            Err(what) => return Err(self.diverged(what)),
        };
        if self.position.steps_done == 0 {
            let missing = self.engine.without_gradient(&norms)?;
            let trained = self.engine.graph().trained_modules();
            let is_of = |module: &str, name: &str| {
                name.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'))
            };
            let is_trained = |name: &&str| trained.iter().any(|module| is_of(module, name));
            let (by_plugin, by_graph): (Vec<&str>, Vec<&str>) = missing.into_iter().partition(is_trained);
            for (parameters, by_graph) in [(by_graph, true), (by_plugin, false)] {
                if !parameters.is_empty() {
                    let note = Note::NoGradient { parameters: &parameters, by_graph };
                    self.observers.notify(|observer| observer.note(&note))?;
                }
            }
        }
        let top1 = top1(&computed.losses);
        self.engine.enqueue(&computed.keys)?;
        if let Some(max_norm) = self.clip_norm {
            self.engine.clip_gradients(&mut computed.gradients, max_norm)?;
        }
        match self.spikes.judge(&norms) {
            Verdict::Go => self.engine.update(&mut computed.gradients, lr)?,
            Verdict::Tell(spike) => {
                self.report_spike(&spike, SpikeConsequence::None)?;
                self.engine.update(&mut computed.gradients, lr)?;
            }
            Verdict::Skip(spike) => {
                self.report_spike(&spike, SpikeConsequence::StepSkipped)?;
                self.engine.skip_update();
            }
            Verdict::Freeze(spike, frozen) => {
                self.engine.set_trainable(&frozen, false)?;
                let names: Vec<String> = frozen.iter().map(|&id| self.spikes.name(id).to_owned()).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.report_spike(&spike, SpikeConsequence::Frozen(&names))?;
                self.engine.update(&mut computed.gradients, lr)?;
            }
        }
        clock.waited += waited;
        clock.n_steps += 1;
        let singles = single_values(&computed.losses);
        let epoch_is_done = self.position.count(f64::from(loss), top1, &singles, at.steps_per_epoch);
        self.begin()?;
        let ramps = self.engine.ramped_numbers();
        let report = StepReport {
            epoch: at.epoch,
            step: at.step,
            steps_done: self.position.steps_done,
            waited,
            loss: f64::from(loss),
            loss_range: self.engine.loss_range(self.course.batch),
            ramps: &ramps,
            top1,
            losses: &computed.losses,
            lr,
            gradients: Gradients { parameters: self.spikes.parameters(), norms: &norms },
        };
        self.observers.notify(|observer| observer.step(&report))?;
        self.report_unreadable()?;
        Ok(epoch_is_done)
    }

    /// Goes back to the last checkpoint, with different random draws from there on.
    pub(super) fn roll_back(&mut self, error: TrainError) -> Result<(), TrainError> {
        let Some((path, snapshot)) = self.saving.latest()? else { return Err(error) };
        let rollbacks = self.position.rollbacks + 1;
        self.position = restore(&snapshot, &mut self.engine, &mut self.spikes)?;
        let to = self.position.steps_done;
        let n_here = match self.rollbacks.last {
            Some((step, n)) if step == to => n + 1,
            _ => 1,
        };
        if n_here > MOST_ROLLBACKS {
            return Err(error);
        }
        self.rollbacks.last = Some((to, n_here));
        self.position.rollbacks = rollbacks;
        self.position.drawn_since = to;
        let report = RolledBack { error: &error, checkpoint: &path, steps_done: to };
        self.observers.notify(|observer| observer.rolled_back(&report))
    }

    /// The error for a run that has diverged in the step under way.
    fn diverged(&self, what: NonFinite) -> TrainError {
        self.diverged_at(self.position.epoch + 1, self.position.step + 1, what)
    }

    /// The error for a run that has diverged in the last step or before it.
    pub(super) fn diverged_by_now(&self, what: NonFinite) -> TrainError {
        match (self.position.epoch, self.position.step) {
            (0, 0) => self.diverged(what),
            (epoch, 0) => self.diverged_at(epoch, self.course.steps_per_epoch, what),
            (epoch, step) => self.diverged_at(epoch + 1, step, what),
        }
    }

    fn diverged_at(&self, epoch: usize, step: usize, what: NonFinite) -> TrainError {
        let rolls_back = self.rollbacks.on_nonfinite == OnNonfinite::RollBack;
        TrainError::NotFinite { what, epoch, step, checkpoint: self.saving.latest_path(), rolls_back }
    }

    /// Why a loss is not finite: a parameter, or the loss itself.
    fn first_nonfinite(&mut self, losses: &[Loss]) -> NonFinite {
        self.engine.nonfinite_parameter().unwrap_or_else(|| {
            let bad = losses.iter().find(|loss| !loss.value.is_finite());
            NonFinite::Loss(bad.map_or_else(|| "sum".into(), |loss| loss.id.clone()))
        })
    }

    fn report_spike(&mut self, spike: &Spike, consequence: SpikeConsequence<'_>) -> Result<(), TrainError> {
        if !self.spikes.should_report() {
            return Ok(());
        }
        let note = Note::Spike {
            epoch: self.position.epoch,
            step: self.position.step,
            parameter: &spike.name,
            gradient: spike.norm,
            median: spike.median,
            consequence,
        };
        self.observers.notify(|observer| observer.note(&note))
    }
}

/// The mean share of queries whose nearest key is their own, over the losses that have one.
fn top1(losses: &[Loss]) -> Option<f64> {
    let shares: Vec<f64> = losses.iter().filter_map(|loss| loss.top1).map(f64::from).collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// What the losses of a step say one by one: the value of each, if there are several, and their own metrics.
pub(super) fn single_values(losses: &[Loss]) -> Vec<(String, f64)> {
    let of_loss = |loss: &Loss| {
        let value = (losses.len() > 1).then(|| (format!("{}.loss", loss.id), f64::from(loss.value)));
        let named = |(name, value): &(&str, f32)| (format!("{}.{name}", loss.id), f64::from(*value));
        value.into_iter().chain(loss.metrics.iter().map(named)).collect::<Vec<_>>()
    };
    losses.iter().flat_map(of_loss).collect()
}
