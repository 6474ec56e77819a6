//! What the end of a run says against it.

use std::fmt;

use plugin_api::{LossRange, Metric};

/// A loss that has come less than this share of the way from chance to the floor is at chance.
const AT_CHANCE: f64 = 0.03;

/// Features whose spread is below this are nearly all the same. Untrained encoders have more.
const NO_SPREAD: f64 = 0.05;

/// What the last epoch says against a run. Its text is a sentence without a full stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The loss is at chance, and the features of all images are nearly the same.
    Collapsed {
        /// The mean loss of the last epoch.
        loss: f64,
        /// What it would be if nothing were told apart.
        chance: f64,
        /// The spread of the features.
        feature_std: f64,
    },
    /// The loss is at chance, whatever the features are.
    AtChance {
        /// The mean loss of the last epoch.
        loss: f64,
        /// What it would be if nothing were told apart.
        chance: f64,
    },
}

impl Verdict {
    /// The verdict on a run whose last epoch has the mean loss `loss` and ends with `metrics`; `None` if there is nothing to say.
    pub fn of(loss: f64, range: LossRange, metrics: &[Metric]) -> Option<Self> {
        let LossRange { chance, floor } = range;
        if chance <= floor || (chance - loss) / (chance - floor) >= AT_CHANCE {
            return None;
        }
        let spread = metrics.iter().find(|metric| metric.name == "feature_std").map(|metric| metric.value);
        Some(match spread {
            Some(feature_std) if feature_std < NO_SPREAD => Self::Collapsed { loss, chance, feature_std },
            _ => Self::AtChance { loss, chance },
        })
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Collapsed { .. } => {
                "lower `learning_rate.base`, for instance to a tenth, or raise `momentum.start` towards 0.999; the book's chapter \
                 \"Reading a run\" has more"
            }
            Self::AtChance { .. } => {
                "train for more epochs if the loss was still falling, otherwise change `learning_rate.base` or look at the views; \
                 the monitor `feature-collapse` tells a collapse from an encoder that has not learned yet"
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collapsed { loss, chance, feature_std } => write!(
                f,
                "the encoder has collapsed: the loss of the last epoch is {loss:.2}, at chance ({chance:.2}), and its features \
                 are nearly the same for all images (`feature_std` {feature_std:.3})"
            ),
            Self::AtChance { loss, chance } => write!(
                f,
                "the encoder has learned nothing that the loss shows: the loss of the last epoch is {loss:.2}, and chance is \
                 {chance:.2}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue of 4096 keys at a temperature of 0.1.
    const RANGE: LossRange = LossRange { chance: 8.32, floor: 0.17 };

    fn spread(value: f64) -> [Metric; 1] {
        [Metric {
            name: "feature_std".into(),
            value,
            is_share: false,
            more_is_better: true,
            protocol: String::new(),
        }]
    }

    #[test]
    fn a_run_at_chance_whose_features_are_all_the_same_has_collapsed() {
        let verdict = Verdict::of(8.31, RANGE, &spread(0.02)).unwrap();
        assert_eq!(verdict, Verdict::Collapsed { loss: 8.31, chance: 8.32, feature_std: 0.02 });
        let text = verdict.to_string();
        assert!(text.contains("8.31, at chance (8.32)") && text.contains("`feature_std` 0.020"), "{text}");
        assert!(verdict.hint().contains("learning_rate.base"));
    }

    #[test]
    fn a_run_at_chance_or_above_with_spread_features_or_unknown_ones_has_learned_nothing() {
        for loss in [8.31, 8.32, 9.7] {
            let expected = Some(Verdict::AtChance { loss, chance: 8.32 });
            assert_eq!(Verdict::of(loss, RANGE, &spread(0.3)), expected);
            assert_eq!(Verdict::of(loss, RANGE, &[]), expected);
        }
    }

    #[test]
    fn a_loss_that_has_left_chance_is_no_collapse_whatever_the_features() {
        for loss in [7.9, 6.0, 0.2] {
            assert_eq!(Verdict::of(loss, RANGE, &spread(0.02)), None, "{loss}");
        }
        assert_eq!(Verdict::of(0.0, LossRange { chance: 0.0, floor: 0.0 }, &spread(0.0)), None);
    }
}
