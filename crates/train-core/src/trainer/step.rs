//! One step of training, and what happens when it goes wrong.

use std::time::Duration;

use tensor_ops::FeatureMap;

use super::feed::{Fed, Feed};
use super::spikes::{Spike, Verdict};
use super::{EVENTS_PER_EPOCH, EpochClock, TrainError, Trainer};
use crate::engine::{GradientNorms, Loss, NonFinite};
use crate::metrics::{PartReport, StepReport};
use plugin_api::Progress;

/// Rollbacks to one checkpoint before the run ends after all.
const MOST_ROLLBACKS: usize = 3;

impl Trainer<'_> {
    /// One step; true after an epoch's last.
    pub(super) fn step(&mut self, feed: &mut Feed, clock: &mut EpochClock) -> Result<bool, TrainError> {
        let at = Progress {
            epoch: self.position.epoch,
            step: self.position.step,
            steps_per_epoch: self.steps_per_epoch,
            epochs: self.epochs,
        };
        let lr = self.lr(at);
        let momentum = self.momentum.map_or(1.0, |momentum| momentum.at(at.share()));
        let mut waited = Duration::ZERO;
        let device = self.engine.device().clone();
        let n_parts = self.engine.parts().n_parts * self.engine.parts().passes.len();
        let mut part = 0;
        let mut next = || -> Result<Vec<FeatureMap>, TrainError> {
            if n_parts > 1 {
                let (epoch, step) = (at.epoch as u64, at.step as u64);
                self.progress.part(PartReport { epoch, step, part, n_parts });
                part += 1;
            }
            let Fed { views, waited: waited_here } = feed.next(&device)?;
            waited += waited_here;
            Ok(views)
        };
        let mut computed = self.engine.compute(self.batch, momentum as f32, &mut next)?;
        let loss = computed.total();
        if !loss.is_finite() {
            let what = self.first_nonfinite(&computed.losses);
            return Err(self.diverged(what));
        }
        // The backward pass is given to the device, and the norms wait for its end: time to send what comes next, if it comes
        // without the measuring and saving of an epoch's end between.
        if tensor_ops::is_on_device() && n_parts == 1 && at.step + 1 < at.steps_per_epoch {
            feed.send_ahead(&device)?;
        }
        let norms = match self.engine.gradient_norms(&mut computed.gradients)? {
            Ok(norms) => norms,
            Err(what) => return Err(self.diverged(what)),
        };
        let n_losses = computed.losses.len() as f64;
        let top1 = computed.losses.iter().map(|loss| f64::from(loss.top1)).sum::<f64>() / n_losses;
        self.engine.enqueue(&computed.keys)?;
        match self.spikes.judge(&norms) {
            Verdict::Go => self.engine.update(&mut computed.gradients, lr)?,
            Verdict::Tell(spike) => {
                self.tell_spike(at, &spike, "");
                self.engine.update(&mut computed.gradients, lr)?;
            }
            Verdict::Skip(spike) => {
                self.tell_spike(at, &spike, "; this step changes no weights");
                self.engine.skip_update();
            }
            Verdict::Freeze(spike, places) => {
                self.engine.set_trainable(&places, false);
                let names: Vec<&str> = places.iter().map(|&place| self.spikes.name(place)).collect();
                let message = format!("; frozen from now on: {}", names.join(", "));
                self.tell_spike(at, &spike, &message);
                self.engine.update(&mut computed.gradients, lr)?;
            }
        }
        clock.waited += waited;
        clock.n_steps += 1;

        let epoch_is_done = self.position.count(f64::from(loss), top1, self.steps_per_epoch);
        self.progress.step(StepReport {
            epoch: at.epoch as u64,
            step: at.step as u64,
            waited,
            loss: f64::from(loss),
            loss_range: self.loss_range,
        });
        if at.step.is_multiple_of((self.steps_per_epoch / EVENTS_PER_EPOCH).max(1)) {
            let scalars = [("train/loss", f64::from(loss)), ("train/contrast_top1", top1), ("train/lr", lr)];
            self.events.scalars(self.position.steps_done, scalars)?;
            self.log_norms(&norms)?;
        }
        self.tell_unreadable();
        Ok(epoch_is_done)
    }

    /// Goes back to the last checkpoint, with other draws from there on.
    pub(super) fn roll_back(&mut self, error: TrainError) -> Result<(), TrainError> {
        let Some((path, snapshot)) = self.checkpoints.latest()? else { return Err(error) };
        let rollbacks = self.position.rollbacks + 1;
        self.position = super::restore(&snapshot, &mut self.engine, &mut self.spikes)?;
        let to = self.position.steps_done;
        let n_here = match self.rolled_back_to {
            Some((step, n)) if step == to => n + 1,
            _ => 1,
        };
        if n_here > MOST_ROLLBACKS {
            return Err(error);
        }
        self.rolled_back_to = Some((to, n_here));
        self.position.rollbacks = rollbacks;
        self.metrics.truncate_after(to)?;
        self.progress.println(format!("{error}; going on from {} with other draws", path.display()));
        Ok(())
    }

    /// The error for a run that has diverged.
    pub(super) fn diverged(&self, what: NonFinite) -> TrainError {
        let checkpoint = self.checkpoints.list().ok().and_then(|list| list.into_iter().next_back());
        TrainError::NotFinite {
            what,
            epoch: self.position.epoch + 1,
            step: self.position.step + 1,
            checkpoint: checkpoint.map(|(_, path)| path),
        }
    }

    /// What made a loss not finite: a parameter, or the loss itself.
    fn first_nonfinite(&mut self, losses: &[Loss]) -> NonFinite {
        self.engine.nonfinite_parameter().unwrap_or_else(|| {
            let bad = losses.iter().find(|loss| !loss.value.is_finite());
            NonFinite::Loss(bad.map_or_else(|| "sum".into(), |loss| loss.id.clone()))
        })
    }

    fn tell_spike(&mut self, at: Progress, spike: &Spike, consequence: &str) {
        if !self.spikes.tells() {
            return;
        }
        let Spike { name, norm, median } = spike;
        self.progress.println(format!(
            "epoch {}, step {}: the gradient of {name} jumps to {norm:.2e}, {:.0} times its running median{consequence}",
            at.epoch + 1,
            at.step + 1,
            norm / median,
        ));
    }

    fn log_norms(&mut self, norms: &GradientNorms) -> Result<(), TrainError> {
        let named = norms.weights.iter().filter_map(|&place| {
            Some((format!("gradient/{}", self.spikes.name(place)), f64::from(norms.of[place]?)))
        });
        let named: Vec<(String, f64)> = named.collect();
        let scalars = named.iter().map(|(name, value)| (name.as_str(), *value));
        self.events.scalars(self.position.steps_done, scalars)?;
        Ok(())
    }
}
