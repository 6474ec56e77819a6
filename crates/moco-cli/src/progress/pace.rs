//! The speed of a run, from its last few steps.

use std::collections::VecDeque;
use std::time::Duration;

/// The time over which the speed is averaged.
const WINDOW: Duration = Duration::from_secs(30);

/// The speed over the last half minute, or over the last step if that took longer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// Training images per second.
    pub(super) images_per_s: f64,
    /// Share of the time (0–1) that steps waited for data.
    pub(super) share_waiting: f64,
    /// Time left for the whole run at this speed, including pauses for evaluation at the same rate as so far.
    pub(super) eta: Duration,
}

/// Measures speed over the most recent steps.
#[derive(Debug)]
pub(super) struct Stopwatch {
    batch: usize,
    /// When the current step started, on the caller's clock.
    began: Duration,
    /// Whether something other than a step is running.
    is_paused: bool,
    /// Steps, oldest first: how long each took, and how long it waited for data.
    recent: VecDeque<(Duration, Duration)>,
    total_recent: (Duration, Duration),
    total_steps: Duration,
    total_paused: Duration,
}

impl Stopwatch {
    pub(super) fn new(batch: usize, now: Duration) -> Self {
        Self {
            batch,
            began: now,
            is_paused: false,
            recent: VecDeque::new(),
            total_recent: Default::default(),
            total_steps: Duration::ZERO,
            total_paused: Duration::ZERO,
        }
    }

    pub(super) fn pause(&mut self, now: Duration) {
        if !self.is_paused {
            self.is_paused = true;
            self.began = now;
        }
    }

    pub(super) fn resume(&mut self, now: Duration) {
        if self.is_paused {
            self.is_paused = false;
            self.total_paused += now.saturating_sub(self.began);
            self.began = now;
        }
    }

    /// Records the end of a step, and returns the speed for a run with `n_left` more steps.
    pub(super) fn step(&mut self, now: Duration, waited: Duration, n_left: u64) -> Pace {
        self.resume(now);
        let took = now.saturating_sub(self.began);
        self.began = now;
        self.recent.push_back((took, waited.min(took)));
        self.total_recent.0 += took;
        self.total_recent.1 += waited.min(took);
        self.total_steps += took;
        while self.recent.len() > 1 && self.total_recent.0 > WINDOW {
            let (took, waited) = self.recent.pop_front().expect("there are more than one");
            self.total_recent.0 -= took;
            self.total_recent.1 -= waited;
        }
        // A step never counts as zero time, so that the rate is finite.
        let seconds = self.total_recent.0.as_secs_f64().max(1e-9);
        let n_steps = self.recent.len() as f64;
        let with_pauses = 1.0 + self.total_paused.as_secs_f64() / self.total_steps.as_secs_f64().max(1e-9);
        let eta = n_left as f64 * seconds / n_steps * with_pauses;
        Pace {
            images_per_s: n_steps * self.batch as f64 / seconds,
            share_waiting: self.total_recent.1.as_secs_f64() / seconds,
            eta: Duration::try_from_secs_f64(eta).unwrap_or(Duration::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_pace_is_that_of_the_recent_steps() {
        let mut watch = Stopwatch::new(64, Duration::ZERO);
        let first = watch.step(SECOND * 60, SECOND * 45, 100);
        assert_eq!(first.eta, SECOND * 6000);
        assert_eq!((first.images_per_s, first.share_waiting), (64.0 / 60.0, 0.75));
        let mut last = first;
        for i in 1..=60 {
            last = watch.step(SECOND * (60 + i), SECOND / 4, 10);
        }
        assert_eq!(last, Pace { images_per_s: 64.0, share_waiting: 0.25, eta: SECOND * 10 });
    }

    #[test]
    fn a_pause_slows_no_step_but_counts_for_the_rest_of_the_run() {
        let mut watch = Stopwatch::new(10, Duration::ZERO);
        watch.step(SECOND * 2, Duration::ZERO, 8);
        watch.pause(SECOND * 2);
        watch.resume(SECOND * 6);
        let pace = watch.step(SECOND * 8, Duration::ZERO, 7);
        assert_eq!(pace, Pace { images_per_s: 5.0, share_waiting: 0.0, eta: SECOND * 28 });
    }

    #[test]
    fn a_step_that_takes_no_time_gives_finite_numbers() {
        let pace = Stopwatch::new(10, SECOND).step(SECOND, SECOND, 5);
        assert!(pace.images_per_s.is_finite() && pace.share_waiting == 0.0);
    }
}
