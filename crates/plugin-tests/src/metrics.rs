//! Names of metrics.

use std::collections::BTreeSet;

use run_store::metrics::is_of_training;

use crate::fault::{Checked, ensure};

/// Declared names: each once, not empty, and none that a line has anyway.
pub(crate) fn check_names(names: &[&str]) -> Checked {
    let mut seen = BTreeSet::new();
    for name in names {
        ensure!(!name.trim().is_empty(), "a metric that it declares has no name");
        ensure!(seen.insert(*name), "it declares two metrics of the name `{name}`");
        ensure!(
            !is_of_training(name),
            "it declares a metric called `{name}`, which is a field of every line of `metrics.jsonl`"
        );
    }
    Ok(())
}
