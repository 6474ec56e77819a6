//! What the contract asks of plugins, and no type holds them to: names that are their own, and factors that are numbers.
//!
//! `plugin-tests` finds the same, in the tests of a plugin's author. Here a run is kept from going wrong without a word.

use std::collections::BTreeSet;

use crate::checker::Checker;
use crate::modules::Modules;
use pipeline_text::Checked;
use plugin_api::{Optimizer, Progress, Schedule};

/// Each parameter, buffer and counter of a module has a name of its own: a checkpoint holds them by their names.
pub(crate) fn check_entry_names(checker: &Checker, modules: &Modules) -> Checked<()> {
    for (module, part) in modules.named() {
        let mut seen = BTreeSet::new();
        let mut twice = None;
        part.visit(&mut |name, _| {
            if !seen.insert(name.to_owned()) {
                twice.get_or_insert(name.to_owned());
            }
        });
        if let Some(name) = twice {
            let path = ["modules", module];
            return Err(checker.fault_at_name(
                &path,
                format!("{} visits two values of the name `{name}`, and a checkpoint can keep one", of(checker, &path)),
                "this is a fault of the plugin: its `visit` must give each parameter, buffer and counter a name of its own",
            ));
        }
    }
    Ok(())
}

/// Each slot of the optimizer has a name of its own.
pub(crate) fn check_slots(checker: &Checker, optimizer: &dyn Optimizer) -> Checked<()> {
    let slots = optimizer.slots();
    match slots.iter().enumerate().find(|(place, name)| name.is_empty() || slots[..*place].contains(name)) {
        None => Ok(()),
        Some((_, name)) => {
            let path = ["optimizer"];
            let problem = if name.is_empty() {
                "a slot without a name".into()
            } else {
                format!("two slots called `{name}`")
            };
            Err(checker.fault(
                &path,
                format!("{} has {problem}, and a checkpoint keeps them by their names", of(checker, &path)),
                "this is a fault of the plugin: its `slots` must give each a name of its own",
            ))
        }
    }
}

/// The metrics that the plugin at `path` declares: each has a name of its own, and none is called like the loss itself.
pub(crate) fn check_metric_names(checker: &Checker, path: &[&str], names: &[&str]) -> Checked<()> {
    for (place, name) in names.iter().enumerate() {
        let problem = match *name {
            "loss" => "a metric called `loss`, as the value of the loss itself is".to_owned(),
            name if name.trim().is_empty() => "a metric without a name".to_owned(),
            name if names[..place].contains(&name) => format!("two metrics called `{name}`"),
            _ => continue,
        };
        return Err(checker.fault(
            path,
            format!("{} declares {problem}", of(checker, path)),
            "this is a fault of the plugin: its `metrics` must give each a name of its own, other than `loss`",
        ));
    }
    Ok(())
}

/// The factors of the schedule at `path` in so many `epochs`: the trainer holds every step to it, and this finds most slips before.
pub(crate) fn check_factors(
    checker: &Checker,
    path: &[&str],
    schedule: &dyn Schedule,
    epochs: usize,
) -> Checked<()> {
    for at in looked_at(epochs) {
        let factor = schedule.factor(at);
        if !(factor.is_finite() && factor >= 0.0) {
            return Err(checker.fault(
                path,
                format!("{} gives the factor {factor} in epoch {}", of(checker, path), at.epoch + 1),
                "this is a fault of the plugin: a factor is a number of 0 or more",
            ));
        }
    }
    Ok(())
}

/// The places in a run of so many `epochs` at which a schedule is tried before it: the starts of all epochs, or of 1,000.
pub(crate) fn looked_at(epochs: usize) -> impl Iterator<Item = Progress> {
    /// Epochs of a long run that are looked at.
    const MOST: usize = 1000;
    /// As many steps as an epoch may have.
    const STEPS: usize = 1000;
    let epoch_starts = (0..epochs).step_by(epochs.div_ceil(MOST).max(1));
    epoch_starts.map(move |epoch| Progress { epoch, step: 0, steps_per_epoch: STEPS, epochs })
}

/// The plugin at `path`, as messages call it.
fn of(checker: &Checker, path: &[&str]) -> String {
    match checker.plugin_at(path) {
        Ok((name, ..)) => format!("the plugin `{name}`"),
        Err(_) => "the plugin".into(),
    }
}

#[cfg(test)]
mod tests {
    use pipeline_text::PipelineText;
    use plugin_api::Update;

    use super::*;

    const TEXT: &str = r#"(modules: {"l": ("mine", ())}, optimizer: ("rule", ()), schedule: ("slope", ()))"#;

    fn checker() -> Checker {
        Checker::new(PipelineText::new("a.ron", TEXT).unwrap())
    }

    struct Rule(&'static [&'static str]);

    impl Optimizer for Rule {
        fn slots(&self) -> &'static [&'static str] {
            self.0
        }

        fn update(&self, _: Update<'_>) {}
    }

    #[test]
    fn two_slots_of_one_name_are_a_fault() {
        let told = |slots| check_slots(&checker(), &Rule(slots)).err().map(|fault| fault.message);
        assert_eq!(told(&["momentum", "square"]), None);
        assert_eq!(
            told(&["momentum", "momentum"]).unwrap(),
            "the plugin `rule` has two slots called `momentum`, and a checkpoint keeps them by their names"
        );
        assert!(told(&[""]).unwrap().contains("a slot without a name"));
    }

    #[test]
    fn a_metric_that_is_called_loss_or_as_another_is_a_fault() {
        let told = |names: &[&str]| {
            check_metric_names(&checker(), &["modules", "l"], names).err().map(|fault| fault.message)
        };
        assert_eq!(told(&["top1", "std"]), None);
        assert_eq!(
            told(&["std", "loss"]).unwrap(),
            "the plugin `mine` declares a metric called `loss`, as the value of the loss itself is"
        );
        assert_eq!(told(&["std", "std"]).unwrap(), "the plugin `mine` declares two metrics called `std`");
    }

    struct Slope(f64);

    impl Schedule for Slope {
        fn factor(&self, at: Progress) -> f64 {
            1.0 - self.0 * at.epochs_done()
        }
    }

    #[test]
    fn a_factor_below_0_or_no_number_is_a_fault() {
        let told = |slope, epochs| {
            check_factors(&checker(), &["schedule"], &Slope(slope), epochs).err().map(|fault| fault.message)
        };
        assert_eq!(told(0.5, 3), None);
        assert_eq!(told(0.5, 4).unwrap(), "the plugin `slope` gives the factor -0.5 in epoch 4");
        assert!(told(f64::NAN, 1_000_000).unwrap().contains("the factor NaN in epoch 1"));
    }
}
