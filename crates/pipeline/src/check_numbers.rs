//! Whether the numbers of a pipeline make sense.

use crate::checker::Checker;
use crate::config::{LearningRateScale, PipelineConfig, Weights};
use crate::stability;
use pipeline_text::Checked;

/// The most epochs of a run: what is planned for each takes no time worth mentioning then.
pub const MOST_EPOCHS: usize = 1_000_000;

/// What single precision still has. Far more than any rate that trains, and divergence tells of itself.
const MOST_LEARNING_RATE: f64 = 1e38;

/// Of the run as a whole.
pub(crate) fn check_numbers(checker: &Checker, config: &PipelineConfig) -> Checked<()> {
    let bad_letter = |letter: char| !(letter.is_ascii_alphanumeric() || "._-".contains(letter));
    if config.name.is_empty() {
        return Err(checker.fault(
            &["name"],
            "the pipeline has no name, but its runs need one",
            "for instance `name: \"mocov2\"`",
        ));
    }
    if config.name.starts_with('.') || config.name.contains(bad_letter) {
        return Err(checker.fault(
            &["name"],
            format!("`{}` cannot name a folder of runs", config.name),
            "use letters, digits, `-`, `_` and `.`",
        ));
    }
    if config.data.batch < 2 {
        return Err(checker.fault(
            &["data", "batch"],
            format!("the batch is {}, but batch statistics need at least 2 images", config.data.batch),
            "128 or 256 are usual",
        ));
    }
    if !(0.0..=1.0).contains(&config.data.max_unreadable) {
        return Err(checker.fault(
            &["data", "max_unreadable"],
            format!("`max_unreadable` is {}, but a share is from 0 to 1", config.data.max_unreadable),
            "0.1 lets one image in ten be broken",
        ));
    }
    if config.epochs == 0 {
        return Err(checker.fault(&["epochs"], "there is no epoch to train", "write 1 or more"));
    }
    if config.epochs > MOST_EPOCHS {
        return Err(checker.fault(
            &["epochs"],
            format!("there are {} epochs, more than the {MOST_EPOCHS} that a run may have", config.epochs),
            format!("write {MOST_EPOCHS} or fewer; the papers train for 100 to 1000"),
        ));
    }
    let rate = &config.learning_rate;
    if !(0.0..=MOST_LEARNING_RATE).contains(&rate.base) {
        return Err(checker.fault(
            &["learning_rate", "base"],
            format!("the learning rate is {}, but it must be from 0 to {MOST_LEARNING_RATE:e}", rate.base),
            "0.03 is usual for SGD at batch 256",
        ));
    }
    if rate.scale == LearningRateScale::PerImages(0) {
        return Err(checker.fault(
            &["learning_rate", "scale"],
            "the learning rate is divided by 0 images",
            "the papers write `PerImages(256)`",
        ));
    }
    stability::check(checker, &config.stability)?;
    if config.checkpoint.keep == 0 {
        return Err(checker.fault(&["checkpoint", "keep"], "no checkpoint would be kept", "write 1 or more"));
    }
    if config.checkpoint.keep_every == Some(0) {
        return Err(checker.fault(
            &["checkpoint", "keep_every"],
            "checkpoints would be kept every 0 epochs",
            "write 10 to keep every tenth, or leave it out",
        ));
    }
    if config.checkpoint.every_epochs == 0 {
        return Err(checker.fault(
            &["checkpoint", "every_epochs"],
            "checkpoints would be written every 0 epochs",
            "write 1 to save after each epoch",
        ));
    }
    if config.checkpoint.every_minutes.is_nan() || config.checkpoint.every_minutes <= 0.0 {
        return Err(checker.fault(
            &["checkpoint", "every_minutes"],
            format!("checkpoints would be written every {} minutes", config.checkpoint.every_minutes),
            "write a number above 0",
        ));
    }
    Ok(())
}

/// Of the momentum encoder.
pub(crate) fn check_momentum(checker: &Checker, config: &PipelineConfig) -> Checked<()> {
    match &config.momentum {
        Some(momentum) if !(0.0..=1.0).contains(&momentum.start) => Err(checker.fault(
            &["momentum", "start"],
            format!("the momentum coefficient is {}, but it is a share from 0 to 1", momentum.start),
            "0.999 is usual with a queue of keys, and 0.99 without",
        )),
        Some(_) if config.graph.iter().all(|step| step.weights != Weights::Momentum) => Err(checker
            .fault_at_name(
                &["momentum"],
                "no step has momentum weights, so `momentum` does nothing",
                "remove it, or write `weights: Momentum` on the steps that make keys or targets",
            )),
        Some(_) => Ok(()),
        None => match config.graph.iter().position(|step| step.weights == Weights::Momentum) {
            Some(step_idx) => Err(checker.fault(
                &["graph", &step_idx.to_string(), "weights"],
                "this step uses momentum weights, but the pipeline has no `momentum`",
                "add `momentum: (start: 0.999)` to the pipeline",
            )),
            None => Ok(()),
        },
    }
}
