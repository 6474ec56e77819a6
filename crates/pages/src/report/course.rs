//! What a page shows of the course of one run.

use crate::number::{Unit, shown};

/// Values along a run: epochs, and what was measured there.
pub(super) type Points = Vec<(f64, f64)>;

/// The course of one run. What was not measured is empty.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// The run's name.
    pub name: String,
    /// How far it is.
    pub reach: Reach,
    /// What its end says against it, in a sentence.
    pub verdict: Option<String>,
    /// What it was trained with, in a few words each.
    pub facts: Vec<Fact>,
    /// What its encoder was before the first step, in words; `None` if that was random.
    pub origin: Option<String>,
    /// Chance and floor of the loss.
    pub loss_levels: Option<[f64; 2]>,
    /// The loss, the mean of each epoch.
    pub loss: Points,
    /// The same by steps.
    pub step_loss: Points,
    /// The share of queries that are nearest to their own key, the mean of each epoch.
    pub own_key: Points,
    /// The same by steps.
    pub step_own_key: Points,
    /// What monitors have measured, what decides the best checkpoint first.
    pub metrics: Vec<Measured>,
    /// The learning rate.
    pub lr: Points,
    /// The momentum coefficient.
    pub momentum: Points,
    /// Other numbers of the pipeline that change along the run, each with its name.
    pub numbers: Vec<(String, Points)>,
    /// The largest gradient value of the first trained layer.
    pub gradient_first: Points,
    /// That of the last.
    pub gradient_last: Points,
    /// Epochs with spikes of a gradient, and how many.
    pub spikes: Vec<(f64, usize)>,
    /// Training images per second.
    pub images_per_s: Points,
    /// The share of time in which steps waited for images.
    pub data_wait: Points,
}

/// Something to know of a run.
#[derive(Clone, Debug)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// In a few words.
    pub value: String,
}

/// How far a run is.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Whole epochs that are done.
    pub epochs_done: usize,
    /// Those of the whole run, if it is known.
    pub epochs: Option<usize>,
    /// How it stands.
    pub standing: Standing,
}

/// How a run stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// No process trains it, because it is complete or was stopped.
    #[default]
    AtRest,
    /// A process trains it.
    UnderWay,
    /// It has ended before its last epoch, because a metric got no better: how that was, in words.
    EndedEarly(String),
    /// Training has ended with this error.
    Failed(String),
}

/// A metric along a run.
#[derive(Clone, Debug)]
pub struct Measured {
    /// As it is called in the log.
    pub name: String,
    /// How it is written.
    pub unit: Unit,
    /// By epochs; epoch 0 is before the first step.
    pub points: Points,
    /// Whether more of it is better.
    pub more_is_better: bool,
    /// Whether it decides which checkpoint is the best.
    pub decides_best: bool,
}

impl Reach {
    /// `30 of 30 epochs, complete`.
    pub fn words(&self) -> String {
        let done = self.epochs_done;
        let of = self.epochs.map(|epochs| format!(" of {epochs}")).unwrap_or_default();
        let standing = match (&self.standing, self.epochs) {
            (Standing::UnderWay, _) => ", under way",
            (Standing::EndedEarly(_), _) => ", ended early",
            (Standing::Failed(_), _) => ", failed",
            (Standing::AtRest, Some(epochs)) if done >= epochs => ", complete",
            (Standing::AtRest, Some(_)) => ", not complete",
            (Standing::AtRest, None) => "",
        };
        let epochs = if self.epochs.unwrap_or(done) == 1 { "epoch" } else { "epochs" };
        format!("{done}{of} {epochs}{standing}")
    }
}

impl Course {
    /// What its encoder was before the first step, in words.
    pub(crate) fn before_training(&self) -> &'static str {
        if self.origin.is_some() { "before training" } else { "untrained" }
    }

    /// What must be known of its end before its numbers are read, in a sentence each.
    pub(crate) fn end(&self) -> Vec<String> {
        let told = match &self.reach.standing {
            Standing::AtRest | Standing::UnderWay => None,
            Standing::EndedEarly(why) => Some(format!("Ended early: {why}")),
            Standing::Failed(error) => Some(format!("Training failed: {error}")),
        };
        told.into_iter().chain(self.verdict.clone()).collect()
    }
}

impl Measured {
    /// Epoch and value of the best measurement after training has begun.
    pub fn best(&self) -> Option<(f64, f64)> {
        let trained = self.points.iter().copied().filter(|(epoch, value)| *epoch > 0.0 && value.is_finite());
        trained.reduce(|best, other| {
            let is_better = if self.more_is_better { other.1 > best.1 } else { other.1 < best.1 };
            if is_better { other } else { best }
        })
    }

    /// The value before the first step.
    pub(crate) fn before(&self) -> Option<f64> {
        self.points.first().filter(|(epoch, _)| *epoch == 0.0).map(|(_, value)| *value)
    }

    pub(crate) fn last(&self) -> Option<(f64, f64)> {
        self.points.last().copied()
    }

    pub(crate) fn shown(&self, value: f64) -> String {
        shown(value, self.unit)
    }

    /// Whether it is the accuracy of a classifier.
    pub(crate) fn is_accuracy(&self) -> bool {
        self.unit == Unit::Share
    }
}

/// `epoch 3`, `epoch 2.5`.
pub(crate) fn at_epoch(epoch: f64) -> String {
    let text = format!("{epoch:.2}");
    format!("epoch {}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_untrained_encoder_is_never_the_best() {
        let mut measured = Measured {
            name: "a".into(),
            unit: Unit::Plain,
            points: vec![(0.0, 9.0), (1.0, 2.0), (2.0, 5.0), (3.0, f64::NAN), (4.0, 5.0)],
            more_is_better: true,
            decides_best: false,
        };
        assert_eq!((measured.best(), measured.before()), (Some((2.0, 5.0)), Some(9.0)));
        measured.more_is_better = false;
        assert_eq!(measured.best(), Some((1.0, 2.0)));
        measured.points.truncate(1);
        assert_eq!(measured.best(), None);
    }

    #[test]
    fn how_far_a_run_is_is_told_in_words() {
        let words = |epochs_done, epochs, standing| Reach { epochs_done, epochs, standing }.words();
        assert_eq!(words(3, Some(3), Standing::AtRest), "3 of 3 epochs, complete");
        assert_eq!(words(2, Some(3), Standing::UnderWay), "2 of 3 epochs, under way");
        assert_eq!(words(2, Some(3), Standing::AtRest), "2 of 3 epochs, not complete");
        assert_eq!(words(2, Some(3), Standing::EndedEarly("x".into())), "2 of 3 epochs, ended early");
        assert_eq!(words(0, Some(1), Standing::Failed("x".into())), "0 of 1 epoch, failed");
        assert_eq!(words(1, None, Standing::AtRest), "1 epoch");
        assert_eq!(
            (at_epoch(3.0), at_epoch(2.5), at_epoch(10.0)),
            ("epoch 3".into(), "epoch 2.5".into(), "epoch 10".into())
        );
    }
}
