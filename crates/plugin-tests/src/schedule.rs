//! What a schedule must do.

use plugin_api::{Progress, Schedule, ScheduleContext};

use crate::calm::calm;
use crate::config::Plugged;
use crate::fault::{Checked, ensure};
use crate::surroundings::Surroundings;

pub(crate) fn check(name: &str, config: Option<&str>, surroundings: &Surroundings) -> Checked {
    let plugged = Plugged::<dyn Schedule>::find(name, config)?;
    let usual = surroundings.epochs;
    plugged.check_config(&ScheduleContext { epochs: usual })?;
    let schedule = plugged.build(&ScheduleContext { epochs: usual })?;
    check_factors(&*schedule, usual)?;
    // Runs of other lengths may be refused.
    for epochs in [1, 2, 10] {
        if let Ok(schedule) = plugged.try_build(&ScheduleContext { epochs })? {
            check_factors(&*schedule, epochs)?;
        }
    }
    Ok(())
}

fn check_factors(schedule: &dyn Schedule, epochs: usize) -> Checked {
    let mut largest = 0.0_f64;
    for steps_per_epoch in [1, 7] {
        let places: Vec<Progress> = (0..epochs)
            .flat_map(|epoch| {
                (0..steps_per_epoch).map(move |step| Progress { epoch, step, steps_per_epoch, epochs })
            })
            .collect();
        let factor = |at: Progress| calm("in `factor`", || schedule.factor(at));
        let factors = places.iter().map(|at| factor(*at)).collect::<Checked<Vec<f64>>>()?;
        for (at, found) in places.iter().zip(&factors) {
            let place = format!("at epoch {} of {epochs}, step {} of {steps_per_epoch}", at.epoch, at.step);
            ensure!(found.is_finite(), "its factor {place} is {found}");
            ensure!(*found >= 0.0, "its factor {place} is {found}, and a negative rate would climb");
            largest = largest.max(*found);
        }
        // In another order: a run may go on in its middle.
        for (at, expected) in places.iter().zip(&factors).rev() {
            let found = factor(*at)?;
            ensure!(
                found.to_bits() == expected.to_bits(),
                "its factor at epoch {}, step {}, is {expected} and then {found}: it must depend on the place alone",
                at.epoch,
                at.step
            );
        }
    }
    ensure!(largest > 0.0, "its factor is 0 in all of {epochs} epochs: nothing would be trained");
    Ok(())
}
