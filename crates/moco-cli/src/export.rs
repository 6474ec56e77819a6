//! `moco export`: the encoder for other programs.

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

/// Write a trained encoder for another program.
///
/// Writes a safetensors file with names and layouts as the target has them, or an ONNX graph: the query encoder of the run's newest checkpoint,
/// without the head behind it unless `--with-head` asks for it. Prints the lines of Python that load the file strictly; they
/// stand in the file's metadata too, with the run, the epoch, the backbone's config, the normalization and the image size.
///
/// A target that has no counterpart of the encoder is refused, with those that have.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The run's folder, or one checkpoint in it.
    run: PathBuf,
    /// Whose names the weights get.
    #[arg(long, value_name = "TARGET", value_parser = target())]
    to: Target,
    /// The file, which ends in `.safetensors`, or for `onnx` in `.onnx`.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Which encoder.
    #[arg(long, value_enum, default_value_t = Side::Query)]
    encoder: Side,
    /// The projection head too.
    #[arg(long)]
    with_head: bool,
    /// The checkpoint with the best metric, and not the newest.
    #[arg(long)]
    best: bool,
    /// Replace a file that is there.
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

/// An encoder that a target can take.
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
            format!("nothing tells how the view `{view}` normalizes images"),
            "end it with the plugin `normalize`",
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
        [] => "no target fits; its checkpoint is a safetensors file too".into(),
        fitting => format!("choose one that fits with `--to`: {}", fitting.join(", ")),
    };
    Failure::new(format!("`{target}` cannot take this encoder: {unfit}"), hint)
}

/// What the file says of itself. Nothing in it depends on time or place, so that equal runs give equal files.
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

/// What is exported of a run.
fn take(arguments: &Arguments, tensors: &Tensors, pipeline: &Pipeline) -> anyhow::Result<Exported> {
    let parts = Parts::of(&pipeline.network.graph);
    let side = arguments.encoder.name();
    let backbone = encoder::under(tensors, &format!("{side}.{}", parts.backbone));
    if backbone.is_empty() {
        return Err(Failure::new(
            format!("the checkpoint has no {side} encoder"),
            "a pipeline with a step of `weights: Momentum` has one; leave out `--encoder` for the trained one",
        )
        .into());
    }
    let architecture =
        encoder::architecture(pipeline, &parts.backbone).ok_or_else(|| no_target(&parts.backbone))?;
    let (mut head, mut predictor, mut layers) = (Tensors::new(), Tensors::new(), None);
    if arguments.with_head {
        let name = match parts.heads.as_slice() {
            [name] => name,
            [] => return Err(Failure::usage("the run has no head", "leave out `--with-head`").into()),
            names => {
                let message = format!("the head is of {} modules: {}", names.len(), names.join(", "));
                return Err(
                    Failure::new(message, "no target has more than one: leave out `--with-head`").into()
                );
            }
        };
        head = encoder::under(tensors, &format!("{side}.{name}"));
        let Some(found) = HeadLayers::detect(&head) else {
            let message = format!("`{name}` is not of linear layers, batch norm and ReLU");
            return Err(Failure::new(message, "no target knows it: leave out `--with-head`").into());
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
        format!("`{backbone}` is not an encoder that other programs have"),
        "ResNets and vision transformers are exported; a checkpoint is a safetensors file too",
    )
}

fn check_out(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { out: path, to, force, .. } = arguments;
    let shown = path.display();
    if path.extension().is_none_or(|extension| extension != to.extension()) {
        return Err(Failure::usage(
            format!("`{shown}` does not end in `.{}`, and that is what is written", to.extension()),
            match to {
                Target::Onnx => "name the file so",
                _ => {
                    "name the file so; the lines of Python that are printed make a `.pth` of it where the target wants one"
                }
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
