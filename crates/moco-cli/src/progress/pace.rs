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
    /// Time left for the whole run at this speed, with the measurements to come and other pauses at the same rate as so far.
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
    /// Pauses that were no measurements.
    total_paused: Duration,
    measuring: Measuring,
}

/// The measurements of a run. They are counted and not spread over the steps: the first one comes before all steps.
#[derive(Debug)]
struct Measuring {
    /// Those to come.
    n_left: usize,
    n_done: u32,
    total: Duration,
    /// Whether the pause that runs is one.
    is_now: bool,
}

impl Measuring {
    /// The time that is left for them, if they take as long as those that were.
    fn left(&self) -> f64 {
        self.n_left as f64 * self.total.as_secs_f64() / f64::from(self.n_done.max(1))
    }
}

impl Stopwatch {
    pub(super) fn new(batch: usize, n_measurements: usize, now: Duration) -> Self {
        Self {
            batch,
            began: now,
            is_paused: false,
            recent: VecDeque::new(),
            total_recent: Default::default(),
            total_steps: Duration::ZERO,
            total_paused: Duration::ZERO,
            measuring: Measuring { n_left: n_measurements, n_done: 0, total: Duration::ZERO, is_now: false },
        }
    }

    /// The pause that runs is a measurement.
    pub(super) fn measured(&mut self) {
        self.measuring.is_now = self.is_paused;
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
            let took = now.saturating_sub(self.began);
            self.began = now;
            if std::mem::take(&mut self.measuring.is_now) {
                self.measuring.total += took;
                self.measuring.n_done += 1;
                self.measuring.n_left = self.measuring.n_left.saturating_sub(1);
            } else {
                self.total_paused += took;
            }
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
        let eta = n_left as f64 * seconds / n_steps * with_pauses + self.measuring.left();
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
        let mut watch = Stopwatch::new(64, 0, Duration::ZERO);
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
        let mut watch = Stopwatch::new(10, 0, Duration::ZERO);
        watch.step(SECOND * 2, Duration::ZERO, 8);
        watch.pause(SECOND * 2);
        watch.resume(SECOND * 6);
        let pace = watch.step(SECOND * 8, Duration::ZERO, 7);
        assert_eq!(pace, Pace { images_per_s: 5.0, share_waiting: 0.0, eta: SECOND * 28 });
    }

    #[test]
    fn measurements_count_by_their_number() {
        let mut watch = Stopwatch::new(10, 3, Duration::ZERO);
        // Before the first step, for a minute: two of them are left, and not one for each step.
        watch.pause(Duration::ZERO);
        watch.measured();
        watch.resume(SECOND * 60);
        assert_eq!(watch.step(SECOND * 61, Duration::ZERO, 99).eta, SECOND * (99 + 2 * 60));
        // The second takes twice as long.
        watch.pause(SECOND * 61);
        watch.measured();
        watch.resume(SECOND * 181);
        assert_eq!(watch.step(SECOND * 182, Duration::ZERO, 98).eta, SECOND * (98 + 90));
        // More than were expected, after a rollback.
        for start in [182, 192, 202] {
            watch.pause(SECOND * start);
            watch.measured();
            watch.resume(SECOND * (start + 10));
        }
        assert_eq!(watch.step(SECOND * 213, Duration::ZERO, 97).eta, SECOND * 97);
    }

    #[test]
    fn a_step_that_takes_no_time_gives_finite_numbers() {
        let pace = Stopwatch::new(10, 0, SECOND).step(SECOND, SECOND, 5);
        assert!(pace.images_per_s.is_finite() && pace.share_waiting == 0.0);
    }
}
