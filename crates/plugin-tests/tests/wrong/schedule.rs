use std::sync::atomic::{AtomicU32, Ordering};

use plugin_api::{ConfigError, Progress, Schedule, ScheduleContext};

use crate::faulty;

faulty! {
    dyn Schedule "schedule", FaultySchedule::new;
    Negative: ["its factor at epoch 101 of 200, step 0 of 1 is -0.01", "a negative rate would climb"];
    NotANumber: ["its factor at epoch 0 of 1, step 0 of 1 is NaN"];
    CountsCalls: ["it must depend on the place alone"];
    Nothing0: ["its factor is 0 in all of 200 epochs"];
    PanicsInShortRuns: ["it panics in `factor`"];
}

/// From 1 to 0.
struct FaultySchedule(Fault, AtomicU32);

impl FaultySchedule {
    fn new(fault: Fault, _: &ScheduleContext) -> Result<Self, ConfigError> {
        Ok(Self(fault, AtomicU32::new(0)))
    }
}

impl Schedule for FaultySchedule {
    fn factor(&self, at: Progress) -> f64 {
        let Self(fault, n_calls) = self;
        let rest = 1.0 - at.share();
        match fault {
            Fault::Negative => 2.0 * rest - 1.0,
            // Of no epochs but the first.
            Fault::NotANumber => {
                if at.epochs == 1 {
                    f64::NAN
                } else {
                    rest
                }
            }
            Fault::CountsCalls => f64::from(n_calls.fetch_add(1, Ordering::Relaxed)),
            Fault::Nothing0 => 0.0,
            Fault::PanicsInShortRuns => {
                assert!(at.epochs > 2, "too short");
                rest
            }
            Fault::Nothing => rest,
        }
    }
}
