//! The schedule must fit the run, which may be shorter than the one that it was written for.

use crate::check_plugins::check_factors;
use crate::checker::Checker;
use pipeline_text::Checked;
use plugin_api::{Schedule, ScheduleContext};

const PATH: [&str; 1] = ["schedule"];

/// The schedule of a run of so many `epochs`.
pub(crate) fn check_schedule(checker: &Checker, epochs: usize) -> Checked<Box<dyn Schedule>> {
    let context = ScheduleContext { epochs };
    let schedule = checker.build::<dyn Schedule>(&PATH, &context).map_err(|mut fault| {
        fault.hint = fault.hint.take().or_else(|| shorter_warmup(checker, &context));
        fault
    })?;
    check_factors(checker, &PATH, &*schedule, epochs)?;
    Ok(schedule)
}

/// What to do if the warm-up alone keeps the schedule from being built.
fn shorter_warmup(checker: &Checker, context: &ScheduleContext) -> Option<String> {
    let written = checker.text_at(&["schedule".into(), "warmup_epochs".into()])?;
    let written: f64 = written.parse().ok()?;
    let fits = |n_epochs: &usize| {
        let mut text = checker.text.clone();
        text.set(&change(*n_epochs)).is_ok()
            && Checker::new(text).build::<dyn Schedule>(&PATH, context).is_ok()
    };
    // The papers warm up for a tenth of a run.
    let shorter =
        [context.epochs.div_ceil(10), 0].into_iter().filter(|n| (*n as f64) < written).find(fits)?;
    Some(format!("a warm-up that fits: `--set {}`", change(shorter)))
}

fn change(warmup_epochs: usize) -> String {
    format!("schedule.warmup_epochs={warmup_epochs}")
}

#[cfg(test)]
mod tests {
    use pipeline_text::PipelineText;
    use plugin_api::{ConfigError, Progress};

    use super::*;

    /// A warm-up that ends before the run does.
    struct Warm;

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct WarmConfig {
        warmup_epochs: f64,
    }

    impl Schedule for Warm {
        fn factor(&self, _at: Progress) -> f64 {
            1.0
        }
    }

    plugin_api::register! {
        dyn Schedule {
            name: "warm-for-a-test",
            summary: "a warm-up",
            source: "none",
            example: "(warmup_epochs: 0)",
            build: |config: WarmConfig, context| match config.warmup_epochs {
                n if (0.0..context.epochs as f64).contains(&n) => Ok(Warm),
                n => Err(ConfigError::field("warmup_epochs", n, "it must be less than the run")),
            },
        }
    }

    fn hint(warmup_epochs: &str, epochs: usize) -> Option<String> {
        let text = format!("(schedule: (\"warm-for-a-test\", (warmup_epochs: {warmup_epochs})))");
        let checker = Checker::new(PipelineText::new("a.ron", &text).unwrap());
        check_schedule(&checker, epochs).err().unwrap().hint
    }

    #[test]
    fn a_warm_up_that_is_too_long_comes_with_one_that_fits() {
        let shorter = |n: usize| Some(format!("a warm-up that fits: `--set schedule.warmup_epochs={n}`"));
        assert_eq!(hint("2", 2), shorter(1));
        assert_eq!(hint("40", 25), shorter(3));
        assert_eq!(hint("1.5", 1), shorter(0));
        // Shorter ones would not help.
        assert_eq!(hint("-1", 2), None);
        assert_eq!(hint("NaN", 2), None);
    }
}
