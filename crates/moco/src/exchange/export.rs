//! Exports the encoder to other programs.

use std::collections::BTreeMap;
use std::path::Path;

use pipeline::{Pipeline, Site, Weights};
use plugin_api::Normalization;
use run_store::checkpoint::Stored;
use weights::{Architecture, Facts, HeadLayers, Target, Tensors};

use super::ExchangeError;
use super::parts::{self, Parts};
use crate::{OpenRun, Which, device};

/// What to export, and for which program.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The program that will load the weights.
    pub target: Target,
    /// Which checkpoint to load from a run folder. Ignored if a checkpoint is given directly.
    pub checkpoint: Which,
    /// The query encoder or the momentum encoder.
    pub weights: Weights,
    /// Whether to include the projection head.
    pub with_head: bool,
}

impl ExportOptions {
    /// The query backbone of the newest checkpoint, for `target`.
    pub fn new(target: Target) -> Self {
        Self { target, checkpoint: Which::Latest, weights: Weights::Query, with_head: false }
    }
}

/// The exported file.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The encoder.
    pub architecture: Architecture,
    /// The number of values.
    pub n_values: usize,
    /// Python code that loads the file strictly.
    pub python: String,
    /// The path of the checkpoint.
    pub checkpoint: std::path::PathBuf,
    /// The file's metadata: run, epoch, the backbone's config, normalization, image size and others.
    pub metadata: BTreeMap<String, String>,
}

/// Writes the encoder of the run at `run`, a run folder or a checkpoint in it, to `file`: safetensors, or an ONNX
/// graph.
///
/// # Errors
/// If the run cannot be opened, the target cannot represent the encoder, or the file cannot be written.
pub fn export(run: &Path, file: &Path, options: &ExportOptions) -> Result<Exported, ExchangeError> {
    crate::check_process()?;
    let run = OpenRun::open(run, options.checkpoint)?;
    let pipeline = Pipeline::read_kept(&run.folder.pipeline(), Site::to_look(&device()?))?;
    let Taken { architecture, backbone, head, predictor, layers } =
        take(options, &run.snapshot.tensors, &pipeline)?;
    let view = parts::measuring_view(&pipeline);
    let Some(Normalization { mean, std }) = parts::normalization(&pipeline, view) else {
        return Err(ExchangeError::NoNormalization { view: view.into() });
    };
    let image_size = pipeline.trained_size;
    let target = options.target;
    target
        .check(&architecture, image_size, layers.as_ref())
        .map_err(|unfit| ExchangeError::Unfit { target, unfit })?;
    let name = file.display().to_string();
    let facts = Facts { file: &name, image_size, mean: &mean, std: &std, head: layers.as_ref() };
    let python = weights::loading_lines(target, &architecture, &facts);
    let metadata = metadata(options, &run, &pipeline, &architecture, &facts, &python);
    let n_values = n_values(&backbone) + n_values(&head) + n_values(&predictor);
    match target {
        Target::Onnx => weights::write_onnx(file, &architecture, (&backbone, &head), image_size, &metadata),
        _ => {
            let is_momentum = options.weights == Weights::Momentum;
            let tensors = target.rename(backbone, head, predictor, is_momentum);
            weights::write_safetensors(file, &tensors, &metadata)
        }
    }
    .map_err(|source| ExchangeError::Write { path: file.into(), source })?;
    Ok(Exported { architecture, n_values, python, checkpoint: run.checkpoint, metadata })
}

/// An encoder that a target can represent.
struct Taken {
    architecture: Architecture,
    backbone: Tensors,
    head: Tensors,
    predictor: Tensors,
    /// The head's layers, if it is exported.
    layers: Option<HeadLayers>,
}

/// The weights to export.
fn take(options: &ExportOptions, tensors: &Tensors, pipeline: &Pipeline) -> Result<Taken, ExchangeError> {
    let parts = Parts::of(&pipeline.network.graph);
    let side = side(options.weights);
    let backbone = parts::under(tensors, &format!("{side}.{}", parts.backbone));
    if backbone.is_empty() {
        return Err(ExchangeError::NoEncoder { side });
    }
    let architecture = parts::architecture(pipeline, &parts.backbone)
        .ok_or_else(|| ExchangeError::NoCounterpart { backbone: parts.backbone.clone() })?;
    let (mut head, mut predictor, mut layers) = (Tensors::new(), Tensors::new(), None);
    if options.with_head {
        let name = match parts.heads.as_slice() {
            [name] => name,
            [] => return Err(ExchangeError::NoHead),
            names => return Err(ExchangeError::ManyHeads { names: names.to_vec() }),
        };
        head = parts::under(tensors, &format!("{side}.{name}"));
        let found = HeadLayers::detect(&head);
        layers = Some(found.ok_or_else(|| ExchangeError::ForeignHead { head: name.clone() })?);
        if let ([name], Weights::Query, Target::MocoV3) =
            (parts.predictors.as_slice(), options.weights, options.target)
        {
            predictor = parts::under(tensors, &format!("query.{name}"));
        }
    }
    Ok(Taken { architecture, backbone, head, predictor, layers })
}

fn side(weights: Weights) -> &'static str {
    match weights {
        Weights::Query => "query",
        Weights::Momentum => "momentum",
    }
}

/// The file's metadata. Nothing in it depends on time or place, so equal runs give equal files.
fn metadata(
    options: &ExportOptions,
    run: &OpenRun,
    pipeline: &Pipeline,
    architecture: &Architecture,
    facts: &Facts<'_>,
    python: &str,
) -> BTreeMap<String, String> {
    let position = |key: &str| run.snapshot.metadata.get(key).cloned().unwrap_or_default();
    let run_name = run.folder.path().file_name().unwrap_or_default().to_string_lossy();
    let parts = Parts::of(&pipeline.network.graph);
    let backbone = pipeline
        .plugin(&["modules", &parts.backbone])
        .map(|(plugin, config)| format!("(\"{plugin}\", {config})"));
    let texts = [
        ("moco-rs.export", "1".to_owned()),
        ("target", options.target.name().to_owned()),
        ("run", run_name.into_owned()),
        ("pipeline", pipeline.name.clone()),
        ("epoch", position("epoch")),
        ("step", position("steps_done")),
        ("encoder", side(options.weights).to_owned()),
        ("architecture", architecture.describe()),
        ("backbone", backbone.unwrap_or_default()),
        ("features", architecture.n_features().to_string()),
        ("image_size", format!("[{}, {}]", facts.image_size.0, facts.image_size.1)),
        ("mean", format!("{:?}", facts.mean)),
        ("std", format!("{:?}", facts.std)),
        ("python", python.to_owned()),
    ];
    texts.map(|(key, text)| (key.to_owned(), text)).into()
}

fn n_values(tensors: &Tensors) -> usize {
    let n = |stored: &Stored| match stored {
        Stored::F32 { values, .. } => values.len(),
        Stored::U64(counts) => counts.len(),
    };
    tensors.values().map(n).sum()
}
