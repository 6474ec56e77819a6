//! Exports the encoder to other programs.

use std::collections::BTreeMap;
use std::path::Path;

use pipeline::{Pipeline, Site, Weights};
use plugin_api::Normalization;
use run_store::checkpoint::Stored;
use weights::{Architecture, Facts, HeadLayers, OnnxOutput, Report, Target, Tensors};

use super::comparison::{check, layout_of_module};
use super::opened::Opened;
use super::parts::{self, Parts};
use super::{Counterpart, ExchangeError};
use crate::{Which, device};

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
    /// The names of the classes; none if it has no classifier.
    pub classes: Vec<String>,
    /// The path of the checkpoint, or of the classifier.
    pub checkpoint: std::path::PathBuf,
    /// The file's metadata: run, epoch, the backbone's config, normalization, image size and others.
    pub metadata: BTreeMap<String, String>,
}

/// Writes the encoder at `path` to `file`: safetensors, or an ONNX graph. `path` is a run folder, a checkpoint in it, or an
/// evaluation with a classifier, which is exported with its encoder.
///
/// # Errors
/// If there is nothing to export at `path`, the target cannot represent it, or the file cannot be written.
pub fn export(path: &Path, file: &Path, options: &ExportOptions) -> Result<Exported, ExchangeError> {
    let (opened, pipeline) = open(path, options)?;
    write(&opened, &pipeline, (file, &file.display().to_string()), options)
}

/// What is at `path`, and its pipeline.
pub(super) fn open(path: &Path, options: &ExportOptions) -> Result<(Opened, Pipeline), ExchangeError> {
    crate::check_process()?;
    let site = Site::to_look(&device()?);
    let opened = Opened::open(path, options)?;
    let pipeline = opened.pipeline(site)?;
    Ok((opened, pipeline))
}

/// Writes the encoder of what was [`open`]ed to `file`, which the lines of Python call `name`.
pub(super) fn write(
    opened: &Opened,
    pipeline: &Pipeline,
    (file, name): (&Path, &str),
    options: &ExportOptions,
) -> Result<Exported, ExchangeError> {
    let Taken { architecture, backbone, head, predictor, layers } = opened.take(options, pipeline)?;
    check_backbone(&backbone, opened.file(), pipeline)?;
    for (name, stored) in backbone.iter().chain(&head).chain(&predictor) {
        if let Some(what) = weights::implausible(name, stored) {
            let (path, tensor) = (opened.file().into(), name.clone());
            return Err(ExchangeError::Implausible { path, tensor, what });
        }
    }
    let classes = opened.classes();
    let view = opened.view(pipeline);
    let Some(Normalization { mean, std }) = parts::normalization(pipeline, view) else {
        return Err(ExchangeError::NoNormalization { view: view.into() });
    };
    let image_size = opened.image_size(pipeline, &architecture)?;
    let target = options.target;
    match (&layers, classes) {
        (Some(classifier), [_, ..]) => target.check_classifier(&architecture, image_size, classifier),
        _ => target.check(&architecture, image_size, layers.as_ref()),
    }
    .map_err(|unfit| ExchangeError::Unfit { target, unfit })?;
    let facts = Facts { file: name, image_size, mean: &mean, std: &std, head: layers.as_ref(), classes };
    let python = weights::loading_lines(target, &architecture, &facts);
    let metadata = metadata(options, opened, pipeline, &architecture, &facts, &python);
    let n_values = n_values(&backbone) + n_values(&head) + n_values(&predictor);
    match target {
        Target::Onnx => {
            let output = if classes.is_empty() { OnnxOutput::Features } else { OnnxOutput::Logits };
            weights::write_onnx(file, &architecture, (&backbone, &head), image_size, output, &metadata)
        }
        _ if !classes.is_empty() => {
            weights::write_safetensors(file, &target.rename_with_classifier(backbone, head), &metadata)
        }
        _ => {
            let is_momentum = options.weights == Weights::Momentum;
            let tensors = target.rename(backbone, head, predictor, is_momentum);
            weights::write_safetensors(file, &tensors, &metadata)
        }
    }
    .map_err(|source| ExchangeError::Write { path: file.into(), source })?;
    let classes = classes.to_vec();
    Ok(Exported { architecture, n_values, python, classes, checkpoint: opened.file().into(), metadata })
}

/// An encoder that a target can represent.
pub(super) struct Taken {
    pub(super) architecture: Architecture,
    pub(super) backbone: Tensors,
    /// The head, or the classifier.
    pub(super) head: Tensors,
    pub(super) predictor: Tensors,
    /// The layers of `head`, if it is exported.
    pub(super) layers: Option<HeadLayers>,
}

/// The weights of a run to export.
pub(super) fn take(
    options: &ExportOptions,
    tensors: &Tensors,
    pipeline: &Pipeline,
) -> Result<Taken, ExchangeError> {
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

/// Checks names and shapes of the weights in `file` against the modules of the pipeline: a file may say anything.
fn check_backbone(backbone: &Tensors, file: &Path, pipeline: &Pipeline) -> Result<(), ExchangeError> {
    let name = Parts::of(&pipeline.network.graph).backbone;
    let Some(module) = parts::backbone(pipeline, &name) else { return Ok(()) };
    let report = Report::new(&layout_of_module(module), backbone);
    check(file, "backbone", &report, &Counterpart::Pipeline(pipeline.name.clone()))
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
    opened: &Opened,
    pipeline: &Pipeline,
    architecture: &Architecture,
    facts: &Facts<'_>,
    python: &str,
) -> BTreeMap<String, String> {
    let parts = Parts::of(&pipeline.network.graph);
    let backbone = pipeline
        .plugin(&["modules", &parts.backbone])
        .map(|(plugin, config)| format!("(\"{plugin}\", {config})"));
    let texts = [
        ("moco-rs.export", "1".to_owned()),
        ("target", options.target.name().to_owned()),
        ("pipeline", pipeline.name.clone()),
        ("encoder", side(options.weights).to_owned()),
        ("architecture", architecture.describe()),
        ("backbone", backbone.unwrap_or_default()),
        ("features", architecture.n_features().to_string()),
        ("image_size", format!("[{}, {}]", facts.image_size.0, facts.image_size.1)),
        ("mean", format!("{:?}", facts.mean)),
        ("std", format!("{:?}", facts.std)),
        ("python", python.to_owned()),
    ];
    let mut metadata: BTreeMap<String, String> = texts.map(|(key, text)| (key.to_owned(), text)).into();
    metadata.extend(opened.metadata());
    metadata
}

fn n_values(tensors: &Tensors) -> usize {
    let n = |stored: &Stored| match stored {
        Stored::F32 { values, .. } => values.len(),
        Stored::U64(counts) => counts.len(),
    };
    tensors.values().map(n).sum()
}
