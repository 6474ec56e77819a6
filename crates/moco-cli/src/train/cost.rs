//! What the run takes that is planned, which may be another one than was timed.

use std::time::Duration;

use moco::estimate::{Estimate, Plan};
use moco::recipe::{Fitted, Recipe};
use pipeline::Pipeline;

use super::LOOKING;
use crate::failure::Failure;

/// The part of the time that a run is planned for: the machine may become slower, and images larger.
const PLANNED: f64 = 0.85;
/// On fewer images nothing is trained: an image is told apart from the others of its time.
const FEWEST_IMAGES: usize = 16;

/// What a run takes.
pub(super) struct Cost {
    /// The estimate, for the steps of the run.
    pub(super) estimate: Estimate,
    /// The part that is measured of the images that `estimate` takes for measured, 0–1.
    measured: f64,
}

impl Cost {
    /// The cost of `pipeline`, which trains and measures on `n_images`, by an estimate of the same run with another batch or on other
    /// images.
    pub(super) fn of(
        mut estimate: Estimate,
        pipeline: &Pipeline,
        n_images: Option<(usize, usize)>,
        has_knn: bool,
    ) -> Self {
        let n_measured = |n_images: Option<(usize, usize)>| {
            let (of_train, of_test) = n_images.map_or((0, 0), |n_images| measured(n_images, has_knn));
            (of_train + of_test) as f64
        };
        let measured = n_measured(n_images) / n_measured(estimate.n_images).max(1.0);
        // A step takes as long as its images do.
        estimate.step = estimate.step.mul_f64(pipeline.batch as f64 / estimate.batch as f64);
        (estimate.batch, estimate.epochs, estimate.n_images) = (pipeline.batch, pipeline.epochs, n_images);
        Self { estimate, measured: measured.min(1.0) }
    }

    /// The time of the whole run; `None` if the dataset cannot be opened here.
    pub(super) fn total(&self) -> Option<Duration> {
        let saved = self.estimate.measuring().mul_f64(1.0 - self.measured);
        self.estimate.total().map(|total| total.saturating_sub(saved))
    }
}

/// Of so many training and test images, those of both that the monitors of a recipe go through.
fn measured((n_train, n_test): (usize, usize), has_knn: bool) -> (usize, usize) {
    match (has_knn, n_test) {
        // Each test image is compared with all training images.
        (true, _) => (n_train, n_test),
        (false, 0) => (n_train, 0),
        (false, _) => (0, n_test),
    }
}

/// A run that fits into a time.
pub(super) struct Planned {
    pub(super) fitted: Fitted,
    /// What was timed, for a run of that length.
    pub(super) estimate: Estimate,
    /// What to give to `--for` for a pass over all images, if only a part fits.
    pub(super) for_all: Option<String>,
}

/// What fits into `time`, of which `gone` is gone, by the estimate for `recipe`.
pub(super) fn planned(
    estimate: Estimate,
    recipe: &Recipe,
    time: Duration,
    gone: Duration,
) -> Result<Planned, Failure> {
    let left = time.mul_f64(PLANNED).saturating_sub(gone);
    let of_epochs = |estimate: Estimate, epochs: usize| {
        estimate.of_epochs(epochs, Recipe::measure_every(epochs), Recipe::save_every(epochs))
    };
    let plan = estimate.plan(left, Recipe::measure_every, Recipe::save_every);
    if let Some(Plan { epochs, part: None }) = plan {
        let fitted = Fitted { time, epochs, part: None };
        return Ok(Planned { fitted, estimate: of_epochs(estimate, epochs), for_all: None });
    }
    let estimate = of_epochs(estimate, 1);
    let pass = Pass::of(&estimate, recipe.knn.value.is_some());
    let part = match pass.part(left) {
        Some(part) => {
            let n_train = estimate.n_images.map_or(recipe.n_train, |(n_train, _)| n_train);
            let share = part * n_train as f64 / recipe.looked().n_images.max(1) as f64;
            // What is held out is drawn: the part may be nearly all of what is not.
            let most = 1.0 - recipe.held_out.value.unwrap_or(0.0);
            Some(recipe.looked().part(rounded_down(share.min(most)))?)
        }
        None => None,
    };
    match part.filter(|part| part.n_images >= estimate.batch.max(FEWEST_IMAGES)) {
        Some(part) => {
            let fitted = Fitted { time, epochs: 1, part: Some(part) };
            // A longer time is looked at for longer.
            let all = (pass.fixed + pass.of_images + gone + LOOKING).as_secs_f64() / PLANNED;
            let for_all = Duration::from_secs(60 * (all / 60.0).ceil() as u64);
            Ok(Planned { fitted, estimate, for_all: Some(written(for_all)) })
        }
        None => {
            let shortest = (gone + pass.of_steps(20)).mul_f64(1.5).as_secs().max(1);
            Err(Failure::new(
                format!("not even a step and a measurement fit into {}", humantime::format_duration(time)),
                format!(
                    "give more time, for instance `--for {}`; or make steps shorter with `--size` or `--batch`",
                    written(Duration::from_secs(shortest))
                ),
            ))
        }
    }
}

/// A time as `--for` takes it.
pub(super) fn written(time: Duration) -> String {
    humantime::format_duration(time).to_string().replace(' ', "")
}

/// A pass over all images, with the measurements before and after it.
struct Pass {
    /// What it takes however few images are trained on: checkpoints, and measuring on the test images.
    fixed: Duration,
    /// What it takes for the training images.
    of_images: Duration,
    n_steps: usize,
}

impl Pass {
    fn of(estimate: &Estimate, has_knn: bool) -> Self {
        let (of_train, of_test) = measured(estimate.n_images.unwrap_or_default(), has_knn);
        let for_test = of_test as f64 / (of_train + of_test).max(1) as f64;
        let measuring = estimate.measuring();
        Self {
            fixed: estimate.saving() + measuring.mul_f64(for_test),
            of_images: estimate.epoch().unwrap_or_default() + measuring.mul_f64(1.0 - for_test),
            n_steps: estimate.steps_per_epoch().unwrap_or_default(),
        }
    }

    /// The part of the training images that fits into `time`; `None` if that is not a step.
    fn part(&self, time: Duration) -> Option<f64> {
        let left = time.checked_sub(self.fixed)?;
        let part = left.as_secs_f64() / self.of_images.as_secs_f64().max(1e-9);
        (part * self.n_steps as f64 >= 1.0).then_some(part.min(1.0))
    }

    /// The time of `n` steps of it.
    fn of_steps(&self, n: usize) -> Duration {
        self.fixed + self.of_images.mul_f64((n as f64 / self.n_steps.max(1) as f64).min(1.0))
    }
}

/// Three digits are enough.
fn rounded_down(share: f64) -> f64 {
    let scale = 10_f64.powi(2 - share.log10().floor() as i32);
    (share * scale).floor() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_pass_has_all_of_what_is_fixed() {
        let s = Duration::from_secs;
        // Of 100 s for the images and 20 s for the rest, half of the images take 70 s.
        let pass = Pass { fixed: s(20), of_images: s(100), n_steps: 50 };
        assert_eq!([70, 120, 500].map(|time| pass.part(s(time))), [Some(0.5), Some(1.0), Some(1.0)]);
        assert_eq!([0, 20, 21].map(|time| pass.part(s(time))), [None, None, None]);
        assert_eq!((pass.of_steps(20), pass.of_steps(99)), (s(60), s(120)));
    }

    #[test]
    fn monitors_go_through_the_images_that_they_need() {
        assert_eq!(measured((900, 100), true), (900, 100));
        assert_eq!(measured((900, 100), false), (0, 100));
        assert_eq!(measured((900, 0), false), (900, 0));
    }

    #[test]
    fn shares_are_rounded_down_to_three_digits() {
        let rounded = [0.3149, 0.05, 0.002_876, 0.9999, 1.0].map(rounded_down);
        for (found, expected) in rounded.into_iter().zip([0.314, 0.05, 0.002_87, 0.999, 1.0]) {
            assert!((found - expected).abs() < 1e-9 && found.to_string().len() <= 7, "{found}");
        }
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        for (seconds, text) in [(45, "45s"), (5400, "1h30m"), (90_000, "1day1h")] {
            assert_eq!(written(Duration::from_secs(seconds)), text);
            assert_eq!(crate::run::time(text), Ok(Duration::from_secs(seconds)));
        }
    }
}
