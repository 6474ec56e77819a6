//! Runs that become unstable: what is told, what is done.

use std::path::Path;

use tempfile::tempdir;

use crate::support::{Outcome, checkpoint, checkpoint_steps, here, metrics, same_bytes, xtask};

/// `vit.ron` with a learning rate far too high, without a warm-up.
fn run(root: &Path, out: &str, sets: &[&str]) -> Outcome {
    let file = here("vit.ron");
    let mut arguments = vec!["run", &file, "--out", out];
    for set in sets {
        arguments.extend(["--set", set]);
    }
    xtask(root, arguments)
}

const TOO_HIGH: [&str; 3] = ["learning_rate.base=0.3", "schedule.warmup_epochs=0", "epochs=4"];

fn spikes(run: &Path) -> f64 {
    metrics(run).iter().filter_map(|line| line.get("gradient_spikes")?.as_f64()).sum()
}

fn losses(run: &Path) -> Vec<f64> {
    metrics(run).iter().filter_map(|line| line.get("loss")?.as_f64()).collect()
}
