//! How long a run may be to fit into a time.

use std::time::Duration;

use super::Estimate;

/// Longer runs are not planned, however much time there is.
const MOST_PLANNED: usize = 5_000;

/// What fits into a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Passes over the training images, or over a part of them.
    pub epochs: usize,
    /// The part of the training images, if not even one pass over all of them fits.
    pub part: Option<f64>,
}

impl Estimate {
    /// The longest run that fits into `time`, with measurements every `measure(epochs)` epochs, and checkpoints every
    /// `save(epochs)`. `None` if the dataset cannot be opened here, or not even a step would fit.
    pub fn plan(
        &self,
        time: Duration,
        measure: impl Fn(usize) -> usize,
        save: impl Fn(usize) -> usize,
    ) -> Option<Plan> {
        let epoch = self.epoch()?;
        let takes = |epochs: usize| {
            epoch.mul_f64(epochs as f64)
                + self.measuring.of_run(epochs, Some(measure(epochs)))
                + self.saving_of(epochs, save(epochs))
        };
        if takes(1) > time {
            let fixed = self.saving_of(1, 1);
            let all = takes(1).saturating_sub(fixed).as_secs_f64();
            let part = time.checked_sub(fixed)?.as_secs_f64() / all;
            let is_a_step = part * self.steps_per_epoch()? as f64 >= 1.0;
            return is_a_step.then_some(Plan { epochs: 1, part: Some(part) });
        }
        // More epochs can take less time, where measurements are fewer, but not by more than one of them.
        let most = (time.as_secs_f64() / epoch.as_secs_f64().max(1e-9)) as usize;
        let epochs = (1..=most.clamp(1, MOST_PLANNED)).rev().find(|&epochs| takes(epochs) <= time)?;
        Some(Plan { epochs, part: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(n_train: usize, step_ms: u64) -> Estimate {
        Estimate {
            modules: Vec::new(),
            products_per_image: 0,
            products_per_step: 0,
            batch: 10,
            epochs: 1,
            n_images: Some((n_train, 0)),
            n_timed: 3,
            step: Duration::from_millis(step_ms),
            waited: Duration::ZERO,
            peak_memory: None,
            checkpoint_bytes: 0,
            save_every: 1,
            measuring: Default::default(),
            measure_every: None,
        }
    }

    fn plan(estimate: &Estimate, seconds: u64) -> Option<Plan> {
        estimate.plan(Duration::from_secs(seconds), |_| 1, |_| 1)
    }

    #[test]
    fn as_many_epochs_as_fit_are_planned() {
        // 10 steps of 100 ms.
        assert_eq!(plan(&of(100, 100), 25), Some(Plan { epochs: 25, part: None }));
        assert_eq!(plan(&of(100, 100), 1), Some(Plan { epochs: 1, part: None }));
        assert_eq!(plan(&of(100, 1), 3600), Some(Plan { epochs: MOST_PLANNED, part: None }));
    }

    #[test]
    fn a_part_of_the_images_fits_where_all_do_not() {
        let Plan { epochs, part } = plan(&of(1000, 100), 5).unwrap();
        assert!(epochs == 1 && (part.unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(plan(&of(1000, 10_000), 5), None);
    }

    #[test]
    fn checkpoints_take_time_too() {
        let saving = Estimate { checkpoint_bytes: 300_000_000, ..of(100, 100) };
        assert_eq!(plan(&saving, 25), Some(Plan { epochs: 12, part: None }));
        assert_eq!(
            saving.plan(Duration::from_secs(25), |_| 1, |epochs| epochs),
            Some(Plan { epochs: 23, part: None })
        );
    }

    /// What was tried has the length that was chosen before anything was timed.
    #[test]
    fn a_planned_run_is_measured_and_saved_as_often_as_it_will_be() {
        let tried = Estimate { checkpoint_bytes: 300_000_000, save_every: 3, epochs: 57, ..of(100, 100) };
        assert_eq!(tried.saving(), Duration::from_secs(20));
        let planned = tried.of_epochs(9, 1, 1);
        assert_eq!((planned.saving(), planned.measure_every), (Duration::from_secs(10), Some(1)));
        assert_eq!(planned.total(), Some(Duration::from_secs(9 + 10)));
    }
}
