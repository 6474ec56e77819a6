//! Names of metrics.

use std::collections::BTreeSet;

use crate::fault::{Checked, ensure};

/// What a line of `metrics.jsonl` has besides metrics.
const FIELDS: [&str; 12] = [
    "step",
    "epoch",
    "loss",
    "contrast_top1",
    "lr",
    "seconds",
    "images_per_s",
    "data_wait_share",
    "unreadable",
    "gradient_first_layer",
    "gradient_last_layer",
    "gradient_spikes",
];

/// Declared names: each once, not empty, and none that a line has anyway.
pub(crate) fn check_names(names: &[&str]) -> Checked {
    let mut seen = BTreeSet::new();
    for name in names {
        ensure!(!name.trim().is_empty(), "a metric that it declares has no name");
        ensure!(seen.insert(*name), "it declares two metrics of the name `{name}`");
        ensure!(
            !FIELDS.contains(name),
            "it declares a metric called `{name}`, which is a field of every line of `metrics.jsonl`"
        );
    }
    Ok(())
}
