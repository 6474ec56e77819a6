//! The position in a run: the counters in a checkpoint besides the engine's.

use std::collections::BTreeMap;

use super::TrainError;
use plugin_api::Rng;

/// What a sum of a single value is called in a checkpoint, before the value's name.
const SUM_OF: &str = "sum of ";

/// A position in a run, and the running sums of its epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Position {
    /// Whole epochs done.
    pub(super) epoch: usize,
    /// Steps done in this epoch.
    pub(super) step: usize,
    /// Steps done in the run.
    pub(super) steps_done: u64,
    /// Sum of this epoch's losses.
    pub(super) loss_sum: f64,
    /// Sum of this epoch's shares of queries whose nearest key is their own.
    pub(super) top1_sum: f64,
    /// Sums of this epoch's values of single losses, and of their metrics, by name.
    pub(super) single_sums: BTreeMap<String, f64>,
    /// The number of rollbacks, which is part of the seed of later draws.
    pub(super) rollbacks: u64,
    /// The metric that may end the run early.
    pub(super) best: Option<Best>,
    /// The steps done when batches were last drawn in another way: by a rollback, from other images, or by another run. Those
    /// of earlier steps cannot be made again.
    pub(super) drawn_since: u64,
}

/// How a metric has developed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Best {
    /// Its best score; more is better.
    pub(super) score: f64,
    /// The epoch, from 1, after which it was that.
    pub(super) epoch: usize,
    /// The epoch after which it was last measured.
    pub(super) measured: usize,
}

impl Position {
    /// Writes the position into a checkpoint's metadata. Floats are written so that they read back bit for bit.
    pub(super) fn save(&self, metadata: &mut BTreeMap<String, String>) {
        metadata.insert("epoch".into(), self.epoch.to_string());
        metadata.insert("step".into(), self.step.to_string());
        metadata.insert("steps_done".into(), self.steps_done.to_string());
        metadata.insert("loss_sum".into(), format!("{:?}", self.loss_sum));
        metadata.insert("top1_sum".into(), format!("{:?}", self.top1_sum));
        let singles = self.single_sums.iter();
        metadata.extend(singles.map(|(name, sum)| (format!("{SUM_OF}{name}"), format!("{sum:?}"))));
        metadata.insert("rollbacks".into(), self.rollbacks.to_string());
        if self.drawn_since > 0 {
            metadata.insert("drawn_since".into(), self.drawn_since.to_string());
        }
        if let Some(Best { score, epoch, measured }) = self.best {
            metadata.insert("early_stopping".into(), format!("{score:?} {epoch} {measured}"));
        }
    }

    /// Reads what [`save`](Self::save) wrote.
    pub(super) fn load(metadata: &BTreeMap<String, String>) -> Result<Self, TrainError> {
        Ok(Self {
            epoch: read(metadata, "epoch")?,
            step: read(metadata, "step")?,
            steps_done: read(metadata, "steps_done")?,
            loss_sum: read(metadata, "loss_sum")?,
            top1_sum: read(metadata, "top1_sum")?,
            single_sums: metadata
                .iter()
                .filter_map(|(name, sum)| Some((name.strip_prefix(SUM_OF)?.to_owned(), sum.parse().ok()?)))
                .collect(),
            rollbacks: read(metadata, "rollbacks")?,
            best: metadata.get("early_stopping").and_then(|best| {
                let mut parts = best.split(' ');
                let score = parts.next()?.parse().ok()?;
                let mut epoch = || parts.next()?.parse().ok();
                Some(Best { score, epoch: epoch()?, measured: epoch()? })
            }),
            drawn_since: metadata.get("drawn_since").and_then(|step| step.parse().ok()).unwrap_or(0),
        })
    }

    /// The seed for images: the run's seed, changed after each rollback, so that a run that diverged does not get the
    /// same batches again.
    pub(super) fn data_seed(&self, seed: u64) -> u64 {
        match self.rollbacks {
            0 => seed,
            n => Rng::new(seed, "draws after a rollback", &[n]).bits(),
        }
    }

    /// Counts a step. Returns true if it was the epoch's last, which [`next_epoch`](Self::next_epoch) must follow.
    pub(super) fn count(
        &mut self,
        loss: f64,
        top1: Option<f64>,
        singles: &[(String, f64)],
        steps_per_epoch: usize,
    ) -> bool {
        self.step += 1;
        self.steps_done += 1;
        self.loss_sum += loss;
        self.top1_sum += top1.unwrap_or(0.0);
        for (name, value) in singles {
            *self.single_sums.entry(name.clone()).or_default() += value;
        }
        self.step == steps_per_epoch
    }

    /// Starts the next epoch.
    pub(super) fn next_epoch(&mut self) {
        self.epoch += 1;
        self.step = 0;
        self.loss_sum = 0.0;
        self.top1_sum = 0.0;
        self.single_sums.clear();
    }
}

fn read<T: std::str::FromStr>(
    metadata: &BTreeMap<String, String>,
    name: &'static str,
) -> Result<T, TrainError> {
    metadata.get(name).and_then(|text| text.parse().ok()).ok_or(TrainError::Metadata(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_bit_for_bit() {
        let position = Position {
            epoch: 3,
            step: 17,
            steps_done: 155,
            loss_sum: 0.1 + 0.2,
            top1_sum: 1.0 / 3.0,
            single_sums: [("l12.loss".to_owned(), 0.7 * 3.0), ("l21.std".to_owned(), -1.0 / 3.0)].into(),
            rollbacks: 2,
            best: Some(Best { score: -0.1 / 3.0, epoch: 2, measured: 3 }),
            drawn_since: 100,
        };
        let mut metadata = BTreeMap::new();
        position.save(&mut metadata);
        assert_eq!(Position::load(&metadata).unwrap(), position);
    }

    #[test]
    fn metadata_without_a_position_is_an_error() {
        assert!(matches!(Position::load(&BTreeMap::new()), Err(TrainError::Metadata("epoch"))));
    }
}
