//! Ends a run whose metric gets no better.

use std::collections::BTreeMap;

use pipeline::EarlyStoppingConfig;
use plugin_api::{Metric, counted};

use super::position::{Best, Position};

/// A run that has ended before its last epoch, because its metric got no better.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStop {
    /// The metric.
    pub metric: String,
    /// The epoch after which it was best, from 1.
    pub best_epoch: usize,
    /// Epochs since then.
    pub waited: usize,
}

impl std::fmt::Display for EarlyStop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { metric, best_epoch, waited } = self;
        let waited = counted(*waited, "epoch");
        write!(f, "{metric} was best after epoch {best_epoch}, and no better in {waited}")
    }
}

impl EarlyStop {
    /// Why a run with this `config` has ended early, by the metadata of its last checkpoint; `None` if it has not.
    pub fn of_metadata(
        config: Option<&EarlyStoppingConfig>,
        metadata: &BTreeMap<String, String>,
    ) -> Option<Self> {
        is_due(config, &Position::load(metadata).ok()?)
    }
}

/// Notes in `position` whether `metrics` are the best so far.
pub(super) fn note(config: Option<&EarlyStoppingConfig>, position: &mut Position, metrics: &[Metric]) {
    let Some(config) = config else { return };
    let Some(metric) = metrics.iter().find(|metric| metric.name == config.metric) else { return };
    let score = if metric.more_is_better { metric.value } else { -metric.value };
    let now = position.epoch;
    position.best = Some(match position.best {
        Some(best) if score <= best.score || score.is_nan() => Best { measured: now, ..best },
        _ => Best { score, epoch: now, measured: now },
    });
}

/// Whether the run is to end at `position`.
pub(super) fn is_due(config: Option<&EarlyStoppingConfig>, position: &Position) -> Option<EarlyStop> {
    let (config, best) = config.zip(position.best)?;
    // Only a measurement tells that it is no better.
    let waited = best.measured - best.epoch;
    let is_over = position.step == 0 && position.epoch == best.measured && waited >= config.patience;
    is_over.then(|| EarlyStop { metric: config.metric.clone(), best_epoch: best.epoch, waited })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(value: f64, more_is_better: bool) -> Metric {
        Metric { name: "x".into(), value, is_share: false, more_is_better, protocol: String::new() }
    }

    /// The epoch at which a run with these values, one an epoch, ends.
    fn end(values: &[f64], patience: usize, more_is_better: bool) -> Option<(usize, usize)> {
        let config = EarlyStoppingConfig { metric: "x".into(), patience };
        let mut position = Position::default();
        values.iter().find_map(|value| {
            position.next_epoch();
            note(Some(&config), &mut position, &[metric(*value, more_is_better)]);
            Some((position.epoch, is_due(Some(&config), &position)?.best_epoch))
        })
    }

    #[test]
    fn a_run_ends_when_its_patience_is_over() {
        assert_eq!(end(&[0.1, 0.3, 0.2, 0.3, 0.1, 0.9], 3, true), Some((5, 2)));
        assert_eq!(end(&[0.1, 0.3, 0.2, 0.3, 0.4, 0.1], 3, true), None);
        assert_eq!(end(&[3.0, 2.0, 2.5], 1, false), Some((3, 2)));
        assert_eq!(end(&[f64::NAN, f64::NAN], 1, true), Some((2, 1)));
    }

    #[test]
    fn other_metrics_and_the_middle_of_an_epoch_count_for_nothing() {
        let config = EarlyStoppingConfig { metric: "y".into(), patience: 1 };
        let mut position = Position { epoch: 3, ..Position::default() };
        note(Some(&config), &mut position, &[metric(1.0, true)]);
        assert_eq!((position.best, is_due(Some(&config), &position)), (None, None));
        let best = Some(Best { score: 0.0, epoch: 1, measured: 3 });
        let within = Position { epoch: 3, step: 1, best, ..Position::default() };
        assert_eq!(is_due(Some(&config), &within), None);
        let between = Position { step: 0, ..within };
        assert_eq!(is_due(None, &between), None);
        // Not measured since.
        let config = EarlyStoppingConfig { metric: "y".into(), patience: 2 };
        assert_eq!(is_due(Some(&config), &Position { epoch: 4, ..between.clone() }), None);
        assert!(is_due(Some(&config), &between).is_some());
    }
}
