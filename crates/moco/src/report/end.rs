//! How a run has ended, and what that says against it.

use pages::Standing;
use run_store::RunFolder;

use super::Line;

/// How a run has ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) standing: Standing,
    /// What its last epoch says against it, in a sentence.
    pub(super) verdict: Option<String>,
}

/// How the run in `folder` has ended, if it has. `loss_levels` are chance and floor of its loss.
pub(super) fn end(folder: &RunFolder, loss_levels: Option<[f64; 2]>, lines: &[Line]) -> End {
    if folder.is_in_use() {
        return End { standing: Standing::UnderWay, verdict: None };
    }
    match folder.read_failure() {
        Some(error) => End { standing: Standing::Failed(error), verdict: None },
        None => without_error(folder, loss_levels, lines),
    }
}

/// A build that cannot train does not know what checkpoints say of the training.
#[cfg(not(feature = "train"))]
fn without_error(_: &RunFolder, _: Option<[f64; 2]>, _: &[Line]) -> End {
    End::default()
}

#[cfg(feature = "train")]
fn without_error(folder: &RunFolder, loss_levels: Option<[f64; 2]>, lines: &[Line]) -> End {
    use crate::runs::{RunReport, RunState};

    let standing = match RunReport::of(folder.clone()).state {
        RunState::Complete => Standing::AtRest,
        RunState::EndedEarly(early_stop) => Standing::EndedEarly(early_stop.to_string()),
        // It may go on, and get better.
        _ => return End::default(),
    };
    End { standing, verdict: verdict(loss_levels, lines) }
}

/// What a run is told at its end, from the line of its last epoch.
#[cfg(feature = "train")]
fn verdict(loss_levels: Option<[f64; 2]>, lines: &[Line]) -> Option<String> {
    let last = lines.last()?;
    let number = |field: &str| last.get(field)?.as_f64();
    let [chance, floor] = loss_levels?;
    let spread = number("feature_std").map(|value| plugin_api::Metric {
        name: "feature_std".into(),
        value,
        is_share: false,
        more_is_better: true,
        protocol: String::new(),
    });
    let range = plugin_api::LossRange { chance, floor };
    let verdict = crate::Verdict::of(number("loss")?, range, spread.as_slice())?;
    Some(sentence(&format!("{verdict}; {}.", verdict.hint())))
}

/// `text` with a capital letter.
#[cfg(feature = "train")]
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_until_the_run_goes_on() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), "moco", None).unwrap();
        folder.write_failure("training has diverged at epoch 1, step 5").unwrap();
        let failed = Standing::Failed("training has diverged at epoch 1, step 5".into());
        assert_eq!(end(&folder, None, &[]), End { standing: failed, verdict: None });
        let lock = folder.lock().unwrap();
        assert_eq!(end(&folder, None, &[]), End { standing: Standing::UnderWay, verdict: None });
        drop(lock);
        folder.remove_failure().unwrap();
        assert_eq!(end(&folder, None, &[]), End::default());
    }

    #[cfg(feature = "train")]
    #[test]
    fn a_loss_at_chance_says_with_the_spread_of_the_features_whether_the_encoder_has_collapsed() {
        let lines = |text: &str| -> Vec<Line> { vec![serde_json::from_str(text).unwrap()] };
        let levels = Some([8.32, 0.17]);
        let of = |text: &str| verdict(levels, &lines(text));
        let collapsed = of(r#"{"step": 4, "epoch": 1, "loss": 8.31, "feature_std": 0.02}"#).unwrap();
        assert!(
            collapsed.starts_with("The encoder has collapsed: ") && collapsed.ends_with('.'),
            "{collapsed}"
        );
        assert!(collapsed.contains("lower `learning_rate.base`"), "{collapsed}");
        let at_chance = of(r#"{"step": 4, "epoch": 1, "loss": 8.31}"#).unwrap();
        assert!(at_chance.starts_with("The encoder has learned nothing"), "{at_chance}");
        assert_eq!(of(r#"{"step": 4, "epoch": 1, "loss": 5.0, "feature_std": 0.02}"#), None);
        assert_eq!(of(r#"{"step": 4, "epoch": 1, "loss": null}"#), None);
        assert_eq!(verdict(None, &lines(r#"{"step": 4, "epoch": 1, "loss": 8.31}"#)), None);
    }
}
