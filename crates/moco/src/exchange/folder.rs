//! The trained encoder as a folder to hand over: weights, how to load them, and what they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use plugin_api::Metric;
use run_store::{RunFolder, hold};
use weights::{Facts, Target, timm_config};

use super::card::{Card, card};
use super::export::{ExportOptions, Exported, open, write as write_target};
use super::{ExchangeError, parts};

/// The folder in a run.
pub const ENCODER_FOLDER: &str = "encoder";

const WEIGHTS: &str = "model.safetensors";

/// In which program's form the weights are: of the first that has such an encoder.
const TARGETS: [Target; 4] = [Target::Timm, Target::Torchvision, Target::MocoV3, Target::Moco];

/// What was written.
#[derive(Clone, Debug)]
pub struct EncoderFolder {
    /// The folder.
    pub path: PathBuf,
    /// The files in it, by name.
    pub files: Vec<&'static str>,
    /// The program whose names the weights have.
    pub target: Target,
    /// Whether `timm.create_model("local-dir:FOLDER", pretrained=True)` builds the encoder.
    pub is_for_timm: bool,
}

/// Writes the query encoder of the newest checkpoint of `run` into its folder [`ENCODER_FOLDER`], in place of an earlier one:
///
/// - `model.safetensors`, by the names of timm, or else of torchvision, facebookresearch/moco-v3 or moco;
/// - `config.json`, by which timm builds it, if timm has such an encoder;
/// - `load.py`, which loads it strictly;
/// - `encoder.onnx`, if ONNX can represent it;
/// - `README.md`, a model card with the data, the pipeline, and `before` and `after`: metrics before and after the training.
///
/// # Errors
/// If no other program has such an encoder, there is no checkpoint, or the files cannot be written. An earlier folder is then
/// unchanged.
pub fn export_encoder(
    run: &RunFolder,
    before: &[Metric],
    after: &[Metric],
) -> Result<EncoderFolder, ExchangeError> {
    let path = run.path().join(ENCODER_FOLDER);
    let failed = |source| ExchangeError::Write { path: path.clone(), source };
    let partial = tempfile::Builder::new().prefix(".partial-").tempdir_in(run.path()).map_err(failed)?;
    let _held = hold(partial.path());
    // The options that opening depends on are those of all targets.
    let (opened, pipeline) = open(run.path(), &ExportOptions::new(Target::Timm))?;
    let one = |name: &str, target| {
        write_target(&opened, &pipeline, (&partial.path().join(name), name), &ExportOptions::new(target))
    };
    let (target, exported) = weights(|target| one(WEIGHTS, target))?;
    let mut files = vec![WEIGHTS];
    let write = |name: &'static str, text: &str| fs::write(partial.path().join(name), text).map_err(failed);

    let view = parts::measuring_view(&pipeline);
    // An export has found it already.
    let normalization = parts::normalization(&pipeline, view)
        .ok_or_else(|| ExchangeError::NoNormalization { view: view.into() })?;
    let facts = Facts {
        file: WEIGHTS,
        image_size: pipeline.trained_size,
        mean: &normalization.mean,
        std: &normalization.std,
        head: None,
        classes: &[],
    };
    let resized_to = parts::resized_to(&pipeline, view);
    let config = match target {
        Target::Timm => timm_config(&exported.architecture, &facts, resized_to),
        _ => None,
    };
    if let Some(config) = &config {
        let text = serde_json::to_string_pretty(config).map_err(|error| failed(error.into()))?;
        write("config.json", &(text + "\n"))?;
        files.push("config.json");
    }
    write("load.py", &script(&exported.python))?;
    files.push("load.py");
    match one("encoder.onnx", Target::Onnx) {
        Ok(_) => files.push("encoder.onnx"),
        Err(ExchangeError::Unfit { .. }) => {}
        Err(error) => return Err(error),
    }
    let name = run.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = card(&Card {
        run: &name,
        pipeline: &pipeline,
        exported: &exported,
        facts: &facts,
        resized_to,
        files: &files,
        before,
        after,
    });
    write("README.md", &text)?;
    files.push("README.md");
    put(partial, &path).map_err(failed)?;
    Ok(EncoderFolder { path, files, target, is_for_timm: config.is_some() })
}

/// Writes the weights for the first program that has such an encoder; the error of the first, if none has.
fn weights(
    write: impl Fn(Target) -> Result<Exported, ExchangeError>,
) -> Result<(Target, Exported), ExchangeError> {
    let [first, others @ ..] = TARGETS;
    let unfit = match write(first) {
        Err(error @ ExchangeError::Unfit { .. }) => error,
        outcome => return Ok((first, outcome?)),
    };
    for target in others {
        match write(target) {
            Err(ExchangeError::Unfit { .. }) => {}
            outcome => return Ok((target, outcome?)),
        }
    }
    Err(unfit)
}

/// `python`, which names files in its own folder, for any working directory.
fn script(python: &str) -> String {
    let file = format!("\"{WEIGHTS}\"");
    let placed = python.replace(&file, &format!("Path(__file__).with_name({file})"));
    format!(
        "\"\"\"Loads the encoder beside this file, strictly: `from load import model`.\"\"\"\n\nfrom pathlib import Path\n\n{placed}"
    )
}

/// Moves `partial` to `path`, in place of what is there.
fn put(partial: tempfile::TempDir, path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(partial.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut old = None;
    if path.is_dir() {
        // The old folder is gone with this one.
        let aside = tempfile::Builder::new().prefix(".partial-").tempdir_in(path.parent().unwrap_or(path))?;
        fs::rename(path, aside.path().join(ENCODER_FOLDER))?;
        old = Some(aside);
    }
    if let Err(error) = fs::rename(partial.path(), path) {
        if let Some(aside) = old {
            fs::rename(aside.path().join(ENCODER_FOLDER), path)?;
        }
        return Err(error);
    }
    // It is no longer where it was.
    let _ = partial.keep();
    Ok(())
}
