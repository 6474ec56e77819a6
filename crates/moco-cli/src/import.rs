//! `moco import`: reads weights of other programs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use moco::exchange::{Architecture, BackboneLine, Choice, Encoders, ImportNote, Report, Resized, shown};
use moco::{Origin, OwnCheckpoint, Run, RunOptions};

use crate::choice::Side;
use crate::export::with_options;
use crate::failure::Failure;
use crate::from;
use crate::program::program;
use crate::{compute, pipeline_file, runs, shell, text};

/// Import weights from PyTorch and other programs.
///
/// Reads safetensors and files of PyTorch's `torch.save`: checkpoints of facebookresearch/moco and moco-v3, and
/// encoders with the names of torchvision, timm, DeiT or detectron2, whatever other libraries put before these names.
/// Pickles are parsed without executing code.
///
/// Where a file has two encoders, query and momentum or student and teacher, each goes to its place; `--encoder` gives the
/// weights of one to both. Heads of other methods and decoders are left out.
///
/// Prints what the file contains, every tensor that is missing, unexpected or of another shape, and the backbone to write in a
/// pipeline. With `--pipeline`,
/// it also creates a run at step 0 whose query and momentum encoders have these weights, for `knn`, `export`, `run
/// --resume` and so on. The backbone must match exactly. Projection heads are imported too, classifiers are not.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Weights: .safetensors, .pth, .pt or .pth.tar.
    file: PathBuf,
    /// Create a run of this pipeline file (RON).
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// Run folder, which must be new or empty [default: the next number in runs/].
    #[arg(short, long, value_name = "DIR", requires = "pipeline")]
    out: Option<PathBuf>,
    /// Dictionary in the file that has the weights: its keys, with dots between them [default: the one with an encoder].
    #[arg(long, value_name = "KEYS")]
    key: Option<String>,
    /// What stands before the encoder's names, for instance `module.encoder_q.` [default: whatever does].
    #[arg(long)]
    prefix: Option<String>,
    /// Encoder of a file that has two [default: each to its place].
    #[arg(long, value_enum)]
    encoder: Option<Side>,
    /// Leave out tensors of this name; `*` stands for any letters.
    #[arg(long, value_name = "PATTERN")]
    leave_out: Vec<String>,
    /// Do not import heads; they keep their random initial values.
    #[arg(long, requires = "pipeline")]
    backbone_only: bool,
    /// Override a value in the pipeline, for instance `data.batch=64`.
    #[arg(long, value_name = "PATH=VALUE", requires = "pipeline")]
    set: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  moco import moco_v2_800ep_pretrain.pth.tar
  moco import moco_v2_800ep_pretrain.pth.tar \\
      --pipeline pipelines/imagenet/mocov2-r50.ron --out runs/moco-v2
  moco import resnet50.safetensors --pipeline pipelines/imagenet/mocov2-r50.ron --backbone-only
  moco import dino.pth --encoder momentum
  moco import checkpoint.ckpt --key state_dict --prefix backbone. --leave-out 'stats.*'";

/// Names that are printed of each list.
const MOST_NAMES: usize = 20;

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let path = &arguments.file;
    let choice = Choice {
        key: arguments.key.clone(),
        prefix: arguments.prefix.clone(),
        side: arguments.encoder.map(Side::in_file),
        leave_out: arguments.leave_out.clone(),
    };
    let foreign = match from::choose(path, &choice)? {
        Origin::Weights(weights) => weights,
        Origin::Checkpoint(_) if choice != Choice::default() => {
            return Err(Failure::usage(
                format!("`{}` is a run or a checkpoint of this program", path.display()),
                "`--key`, `--prefix`, `--encoder` and `--leave-out` are for weights of other programs: omit them",
            ));
        }
        Origin::Checkpoint(checkpoint) => return import_own(arguments, &checkpoint, out),
    };
    describe(out, path, &foreign.encoders, &foreign.architecture)?;
    let Some(pipeline) = &arguments.pipeline else {
        print_report(out, "backbone", &foreign.report())?;
        out.flush()?;
        foreign.check().map_err(with_options)?;
        let BackboneLine { line, notes } = foreign.backbone_line();
        writeln!(out, "pipeline  {line}")?;
        for note in notes {
            writeln!(out, "          {note}")?;
        }
        writeln!(out, "to create a run with these weights, use `--pipeline FILE`")?;
        return Ok(ExitCode::SUCCESS);
    };
    let device = compute::start(None)?;
    let pipeline = pipeline_file::read(pipeline, &arguments.set, &device)?;
    let options =
        RunOptions { root: runs::ROOT.into(), folder: arguments.out.clone(), ..RunOptions::default() };
    let backbone_only = arguments.backbone_only;
    let run = from::start_from_weights(*foreign, pipeline, backbone_only, &options, with_options, out)?;
    print_run(out, &run)
}

/// Says what a checkpoint of this program is good for, or creates a run from it.
fn import_own(
    arguments: &Arguments,
    checkpoint: &OwnCheckpoint,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let Some(pipeline) = &arguments.pipeline else {
        let (program, shown) = (program(), checkpoint.path().display());
        let path = shell::path(checkpoint.path());
        match checkpoint.reached() {
            Some(reached) => {
                writeln!(out, "file      {shown}: a checkpoint of this program, after {reached}")?;
                writeln!(out, "go on:    {program} run --from {path} --epochs N")?;
            }
            None => writeln!(out, "file      {shown}: an encoder with a classifier, of this program")?,
        }
        writeln!(out, "start another pipeline with these weights: {program} run FILE --from {path}")?;
        return Ok(ExitCode::SUCCESS);
    };
    let device = compute::start(None)?;
    let pipeline = pipeline_file::read(pipeline, &arguments.set, &device)?;
    let options =
        RunOptions { root: runs::ROOT.into(), folder: arguments.out.clone(), ..RunOptions::default() };
    let run = from::start_from_own(checkpoint, pipeline, arguments.backbone_only, &options, out)?;
    print_run(out, &run)
}

fn print_run(out: &mut dyn Write, run: &Run) -> Result<ExitCode, Failure> {
    let (shown, run) = (run.folder().path().display(), shell::path(run.folder().path()));
    writeln!(
        out,
        "run       {shown}\nevaluate: {program} knn {run}\ntrain:    {program} run --resume {run}",
        program = program()
    )?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn print_note(out: &mut dyn Write, note: ImportNote<'_>) -> std::io::Result<()> {
    match note {
        ImportNote::Compared { part, report } => print_report(out, part, report)?,
        ImportNote::Random { part, modules } => {
            writeln!(out, "{part:<9} keeps its random initial values: {}", modules.join(", "))?;
        }
        ImportNote::Adapted { channels: 1 } => writeln!(
            out,
            "channels  the first layer takes 1 channel: the sum of its kernels for red, green and blue"
        )?,
        ImportNote::Adapted { channels } => writeln!(
            out,
            "channels  the first layer takes {channels} channels: its kernels for red, green and blue, repeated, times 3/{channels}"
        )?,
        ImportNote::Heads { heads, usual, config: None } => writeln!(
            out,
            "heads     the pipeline's ViT has {heads}, and the file does not tell: timm, DeiT and DINO have one for each 64 of the \
             width, {usual} here, and moco-v3 has 12"
        )?,
        ImportNote::Heads { heads, config: Some(config), .. } => {
            writeln!(out, "heads     the pipeline's ViT has {heads}; the file is of {}", shown(config))?
        }
        ImportNote::Resized { name, resized } => print_resized(out, name, resized)?,
        ImportNote::Queue => writeln!(out, "queue     imported")?,
        ImportNote::RandomQueue { module } => writeln!(
            out,
            "queue     keeps its random initial values, because the pipeline's has another size: {module}"
        )?,
    }
    out.flush()
}

/// Prints from what positions were made.
pub(crate) fn print_resized(out: &mut dyn Write, name: &str, resized: &Resized) -> std::io::Result<()> {
    let Resized { from, to, computed, .. } = resized;
    let how = match (from == to, computed) {
        (true, _) => "the same rows",
        (false, true) => "sines and cosines, computed anew",
        (false, false) => "interpolated (bicubic)",
    };
    writeln!(out, "resized   {name}, from {} x {} patches to {} x {}: {how}", from.0, from.1, to.0, to.1)
}

fn describe(
    out: &mut dyn Write,
    path: &Path,
    encoders: &Encoders,
    architecture: &Architecture,
) -> std::io::Result<()> {
    writeln!(out, "file      {}: {}", path.display(), encoders.convention)?;
    writeln!(
        out,
        "encoder   {}: {}",
        architecture.describe(),
        text::count(architecture.n_features(), "feature")
    )?;
    describe_places(out, encoders)?;
    let head = match (encoders.query.head.len(), encoders.convention.has_projection_heads()) {
        (0, _) => "no head".to_owned(),
        (n, true) => format!("a head of {}", text::count(n, "tensor")),
        (n, false) => format!("a classifier or head of {}, which is not imported", text::count(n, "tensor")),
    };
    let mut also = vec![head];
    if encoders.only_momentum {
        also.push("this is the momentum encoder".into());
    }
    if encoders.momentum.is_some() {
        also.push("the momentum encoder".into());
    }
    if !encoders.predictor.is_empty() {
        also.push("a predictor".into());
    }
    if !encoders.queue.is_empty() {
        also.push("the queue".into());
    }
    writeln!(out, "also      {}", also.join(", "))?;
    if !encoders.left_out.is_empty() {
        writeln!(out, "left out  {}", groups(&encoders.left_out))?;
    }
    for name in &encoders.unexpected {
        writeln!(out, "          unexpected: {}", shown(name))?;
    }
    Ok(())
}

/// Where the encoders stand in the file, if that is not its top.
fn describe_places(out: &mut dyn Write, encoders: &Encoders) -> std::io::Result<()> {
    let Encoders { place, momentum, other, only_momentum, .. } = encoders;
    let side = if *only_momentum { "momentum" } else { "query" };
    if let Some((_, of_momentum)) = momentum {
        writeln!(out, "taken     two encoders: query from {place}; momentum from {of_momentum}")?;
        writeln!(out, "          `--encoder` takes the weights of one for both")?;
    } else if let Some(other) = other {
        writeln!(out, "taken     the {side} encoder, from {place}; not the other one, from {other}")?;
    } else if (place.key.as_str(), place.prefix.as_str()) != ("", "") {
        writeln!(out, "taken     from {place}")?;
    }
    Ok(())
}

/// What wrappers put before names.
const WRAPPERS: [&str; 3] = ["module", "_orig_mod", "model"];

/// The first parts of names, each with the number of names that it stands for.
fn groups(names: &[String]) -> String {
    let mut groups: Vec<(&str, usize)> = Vec::new();
    for name in names {
        let first = name.split('.').find(|part| !WRAPPERS.contains(part)).unwrap_or(name);
        match groups.iter_mut().find(|(group, _)| *group == first) {
            Some((_, n)) => *n += 1,
            None => groups.push((first, 1)),
        }
    }
    let n = groups.len();
    let mut shown: Vec<String> = groups
        .into_iter()
        .take(MOST_NAMES)
        .map(|(group, n)| {
            let group = shown(group);
            if n == 1 { group.into_owned() } else { format!("{group} ({})", text::count(n, "tensor")) }
        })
        .collect();
    if n > MOST_NAMES {
        shown.push(format!("and {} more", n - MOST_NAMES));
    }
    shown.join(", ")
}

/// Prints the counts, and the names that do not match.
fn print_report(out: &mut dyn Write, part: &str, report: &Report) -> std::io::Result<()> {
    writeln!(
        out,
        "{part:<9} {} fit, {} missing, {} unexpected, {} misshapen",
        report.n_fitting,
        report.missing.len(),
        report.unexpected.len(),
        report.misshapen.len()
    )?;
    if report.n_new_counters > 0 {
        let n = text::count(report.n_new_counters, "counter");
        writeln!(
            out,
            "          {n} of batches (`num_batches_tracked`) not in the file: at 0, as in PyTorch"
        )?;
    }
    let shapes = report
        .misshapen
        .iter()
        .map(|(name, found, expected)| format!("misshapen: {} is {found}, expected {expected}", shown(name)));
    let lists: [Vec<String>; 3] = [
        report.missing.iter().map(|name| format!("missing: {}", shown(name))).collect(),
        report.unexpected.iter().map(|name| format!("unexpected: {}", shown(name))).collect(),
        shapes.collect(),
    ];
    for list in lists {
        for line in list.iter().take(MOST_NAMES) {
            writeln!(out, "          {line}")?;
        }
        if list.len() > MOST_NAMES {
            writeln!(out, "          and {} more", list.len() - MOST_NAMES)?;
        }
    }
    Ok(())
}
