//! Estimates the remaining time of a sweep.

use crate::state::SweepState;

/// Images trained on and the time they took, from which the rest of a sweep is estimated.
#[derive(Clone, Copy, Default)]
pub(super) struct Pace {
    n_images: usize,
    seconds: f64,
}

impl Pace {
    /// Adds a run that was trained without interruption.
    pub(super) fn add(&mut self, n_images: usize, seconds: f64) {
        self.n_images += n_images;
        self.seconds += seconds;
    }

    /// Seconds for all runs of `sweep` that are not done, from the run `place` on.
    pub(super) fn rest(self, sweep: &SweepState, place: usize) -> Option<f64> {
        let left = sweep.runs[place..].iter().filter(|run| !run.state.is_settled());
        let n_left: f64 = left.map(|run| run.n_images as f64).sum();
        (self.n_images > 0).then(|| n_left * self.seconds / self.n_images as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Run, RunState};

    #[test]
    fn the_rest_of_a_sweep_is_estimated_from_what_its_runs_took() {
        let run = |n_images, state| Run {
            folder: String::new(),
            combination: vec![],
            seed: 0,
            n_images,
            state,
            seconds: 0.0,
        };
        let sweep = SweepState {
            name: String::new(),
            set: vec![],
            axes: vec![],
            n_seeds: 4,
            best: None,
            metrics: vec![],
            runs: vec![
                run(100, RunState::Completed),
                run(100, RunState::Diverged(String::new())),
                run(100, RunState::Waiting),
                run(300, RunState::Failed(String::new())),
            ],
        };
        let mut pace = Pace::default();
        assert_eq!(pace.rest(&sweep, 2), None);
        pace.add(100, 5.0);
        assert_eq!(pace.rest(&sweep, 2), Some(20.0));
    }
}
