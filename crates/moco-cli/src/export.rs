//! `moco export`: writes the encoder for other programs.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use pipeline::Pipeline;
use plugin_api::Normalization;
use run_store::checkpoint::Stored;
use weights::{Architecture, Facts, HeadLayers, Target, Tensors, Unfit};

use crate::choice::Side;
use crate::encoder::{self, Parts};
use crate::failure::Failure;
use crate::runs::{OpenRun, Which};
use crate::{compute, new_file, pipeline_file, text};

/// Export a trained encoder to another program.
///
/// Writes the encoder as a safetensors file with the target's names and layouts, or as an ONNX graph. By default, this
/// is the query encoder of the newest checkpoint, without its projection head. Prints the Python code that loads the
/// file with `strict=True`. The file's metadata contains this code, the run, the epoch, the backbone's config, the
/// normalization and the image size.
///
/// If the target has no equivalent of this encoder, the error lists the targets that do.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Run folder, or a checkpoint in it.
    run: PathBuf,
    /// Program that will load the weights.
    #[arg(long, value_name = "TARGET", value_parser = target())]
    to: Target,
    /// Output file: `.safetensors`, or `.onnx` for the target `onnx`.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Encoder to export.
    #[arg(long, value_enum, default_value_t = Side::Query)]
    encoder: Side,
    /// Include the projection head.
    #[arg(long)]
    with_head: bool,
    /// Use the best checkpoint, not the newest.
    #[arg(long)]
    best: bool,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  moco export runs/mocov2-001 --to torchvision -o encoder.safetensors
  moco export runs/mocov3-001 --to timm --best -o vit.safetensors
  moco export runs/mocov3-001 --to onnx -o encoder.onnx
  moco export runs/mocov2-001 --to moco --with-head --encoder momentum -o key.safetensors";

fn target() -> impl clap::builder::TypedValueParser<Value = Target> {
    PossibleValuesParser::new(Target::ALL.map(Target::name)).map(|name| {
        Target::from_name(&name).unwrap_or_else(|| unreachable!("only names of targets are possible"))
    })
}

/// An encoder that a target can represent.
struct Exported {
    architecture: Architecture,
    backbone: Tensors,
    head: Tensors,
    predictor: Tensors,
    /// The head's layers, if it is exported.
    layers: Option<HeadLayers>,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    check_out(arguments)?;
    let device = compute::start(None)?;
    let which = if arguments.best { Which::Best } else { Which::Latest };
    let run = OpenRun::open(&arguments.run, which)?;
    let pipeline = pipeline_file::read_kept(&run.folder.pipeline(), &device)?;
    let exported = take(arguments, &run.snapshot.tensors, &pipeline)?;
    let view = encoder::measuring_view(&pipeline);
    let Some(Normalization { mean, std }) = encoder::normalization(&pipeline, view) else {
        return Err(Failure::new(
            format!("the view `{view}` does not end with `normalize`, so the normalization is unknown"),
            "use the plugin `normalize` as its last step",
        )
        .into());
    };
    let image_size = pipeline.view(view).map_or((0, 0), |view| view.size);
    let target = arguments.to;
    target
        .check(&exported.architecture, image_size, exported.layers.as_ref())
        .map_err(|unfit| refused(target, &unfit))?;

    let file = arguments.out.display().to_string();
    let facts = Facts { file: &file, image_size, mean, std, head: exported.layers.as_ref() };
    let lines = weights::loading_lines(target, &exported.architecture, &facts);
    let metadata = metadata(arguments, &run, &pipeline, &exported.architecture, &facts, &lines);
    let Exported { architecture, backbone, head, predictor, .. } = exported;
    let n_values = n_values(&backbone) + n_values(&head) + n_values(&predictor);
    match target {
        Target::Onnx => {
            weights::write_onnx(&arguments.out, &architecture, (&backbone, &head), image_size, &metadata)
        }
        _ => {
            let tensors = target.rename(backbone, head, predictor, arguments.encoder == Side::Momentum);
            weights::write_safetensors(&arguments.out, &tensors, &metadata)
        }
    }
    .map_err(|error| Failure::plain(format!("`{file}` cannot be written: {error}")))?;
    writeln!(
        out,
        "wrote {file}: {}, {}, for {target}\n{} encoder of {}, after epoch {} and step {}\n",
        architecture.describe(),
        text::count(n_values, "value"),
        arguments.encoder.name(),
        run.checkpoint.display(),
        metadata["epoch"],
        metadata["step"],
    )?;
    write!(out, "{lines}")?;
    Ok(ExitCode::SUCCESS)
}

fn refused(target: Target, unfit: &Unfit) -> Failure {
    let fitting: Vec<&str> = unfit.fitting.iter().map(|target| target.name()).collect();
    let hint = match fitting.as_slice() {
        [] => "no target fits; the checkpoint itself is a safetensors file".into(),
        fitting => format!("choose another target with `--to`: {}", fitting.join(", ")),
    };
    Failure::new(format!("`{target}` cannot take this encoder: {unfit}"), hint)
}

/// The file's metadata. Nothing in it depends on time or place, so equal runs give equal files.
fn metadata(
    arguments: &Arguments,
    run: &OpenRun,
    pipeline: &Pipeline,
    architecture: &Architecture,
    facts: &Facts<'_>,
    lines: &str,
) -> BTreeMap<String, String> {
    let position = |key: &str| run.snapshot.metadata.get(key).cloned().unwrap_or_default();
    let run_name = run.folder.path().file_name().unwrap_or_default().to_string_lossy();
    let parts = Parts::of(&pipeline.network.graph);
    let backbone = pipeline
        .plugin(&["modules", &parts.backbone])
        .map(|(plugin, config)| format!("(\"{plugin}\", {config})"));
    let texts = [
        ("moco-rs.export", "1".to_owned()),
        ("target", arguments.to.name().to_owned()),
        ("run", run_name.into_owned()),
        ("pipeline", pipeline.name.clone()),
        ("epoch", position("epoch")),
        ("step", position("steps_done")),
        ("encoder", arguments.encoder.name().to_owned()),
        ("architecture", architecture.describe()),
        ("backbone", backbone.unwrap_or_default()),
        ("features", architecture.n_features().to_string()),
        ("image_size", format!("[{}, {}]", facts.image_size.0, facts.image_size.1)),
        ("mean", format!("{:?}", facts.mean)),
        ("std", format!("{:?}", facts.std)),
        ("python", lines.to_owned()),
    ];
    texts.map(|(key, text)| (key.to_owned(), text)).into()
}

/// The weights to export.
fn take(arguments: &Arguments, tensors: &Tensors, pipeline: &Pipeline) -> anyhow::Result<Exported> {
    let parts = Parts::of(&pipeline.network.graph);
    let side = arguments.encoder.name();
    let backbone = encoder::under(tensors, &format!("{side}.{}", parts.backbone));
    if backbone.is_empty() {
        return Err(Failure::new(
            format!("the checkpoint has no {side} encoder"),
            "only a pipeline with a step of `weights: Momentum` has one; omit `--encoder` to export the query encoder",
        )
        .into());
    }
    let architecture =
        encoder::architecture(pipeline, &parts.backbone).ok_or_else(|| no_target(&parts.backbone))?;
    let (mut head, mut predictor, mut layers) = (Tensors::new(), Tensors::new(), None);
    if arguments.with_head {
        let name = match parts.heads.as_slice() {
            [name] => name,
            [] => return Err(Failure::usage("the run has no head", "omit `--with-head`").into()),
            names => {
                let message = format!("the head has {} modules: {}", names.len(), names.join(", "));
                return Err(
                    Failure::new(message, "every target takes one at most: omit `--with-head`").into()
                );
            }
        };
        head = encoder::under(tensors, &format!("{side}.{name}"));
        let Some(found) = HeadLayers::detect(&head) else {
            let message = format!("`{name}` has other layers than linear, batch norm and ReLU");
            return Err(Failure::new(message, "no target can load it: omit `--with-head`").into());
        };
        layers = Some(found);
        if let ([name], Side::Query, Target::MocoV3) =
            (parts.predictors.as_slice(), arguments.encoder, arguments.to)
        {
            predictor = encoder::under(tensors, &format!("query.{name}"));
        }
    }
    Ok(Exported { architecture, backbone, head, predictor, layers })
}

fn no_target(backbone: &str) -> Failure {
    Failure::new(
        format!("`{backbone}` cannot be exported: other programs have no such encoder"),
        "only ResNets and vision transformers can be exported; the checkpoint itself is a safetensors file",
    )
}

fn check_out(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { out: path, to, force, .. } = arguments;
    let shown = path.display();
    if path.extension().is_none_or(|extension| extension != to.extension()) {
        return Err(Failure::usage(
            format!("`{shown}` does not end in `.{}`, the format of this target", to.extension()),
            match to {
                Target::Onnx => "rename the file",
                _ => "rename the file; if the target needs a `.pth`, the printed Python code makes one",
            },
        ));
    }
    new_file::check(path, (*force).into())
}

fn n_values(tensors: &Tensors) -> usize {
    let n = |stored: &Stored| match stored {
        Stored::F32 { values, .. } => values.len(),
        Stored::U64(counts) => counts.len(),
    };
    tensors.values().map(n).sum()
}
