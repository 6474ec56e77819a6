//! `moco import`: reads weights of other programs.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pipeline::{Modules, Pipeline};
use run_store::RunFolder;
use run_store::checkpoint::{Snapshot, Stored};
use train_core::trainer;
use weights::{Architecture, Encoders, Report, Shape, Tensors};

use crate::encoder::{self, Parts};
use crate::failure::Failure;
use crate::program::program;
use crate::{compute, pipeline_file, runs, text};

/// Import weights from PyTorch and other programs.
///
/// Reads safetensors and files of PyTorch's `torch.save`: checkpoints of facebookresearch/moco and moco-v3, and
/// encoders with the names of torchvision, timm, DeiT or detectron2. Pickles are parsed without executing code.
///
/// Prints what the file contains, and every tensor that is missing, unexpected or of another shape. With `--pipeline`,
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
  moco import moco_v2_800ep_pretrain.pth.tar --pipeline pipelines/imagenet/mocov2-r50.ron --out runs/moco-v2
  moco import resnet50.safetensors --pipeline pipelines/imagenet/mocov2-r50.ron --backbone-only";

/// Names that are printed of each list.
const MOST_NAMES: usize = 20;

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    pipeline_file::check_file(path)?;
    let tensors = weights::read(path)?;
    check_foreign(path, &tensors)?;
    let encoders = weights::encoders(tensors).map_err(|error| unrecognized(path, &error.to_string()))?;
    let architecture =
        weights::detect(&encoders.query.backbone).map_err(|error| unrecognized(path, &error.to_string()))?;
    describe(out, path, &encoders, &architecture)?;
    match &arguments.pipeline {
        None => {
            let report =
                Report::new(&weights::layout(&architecture).into_iter().collect(), &encoders.query.backbone);
            print_report(out, "backbone", &report)?;
            out.flush()?;
            check(path, "backbone", &report, "an encoder of this kind")?;
            writeln!(out, "to create a run with these weights, use `--pipeline FILE`")?;
        }
        Some(pipeline) => {
            let run = make_run(arguments, pipeline, encoders, out)?;
            let run = run.path().display();
            writeln!(
                out,
                "run       {run}\nevaluate: {program} knn {run}\ntrain:    {program} run --resume {run}",
                program = program()
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails for checkpoints of this program.
fn check_foreign(path: &Path, tensors: &Tensors) -> Result<(), Failure> {
    if tensors.keys().any(|name| name.starts_with("query.")) {
        return Err(Failure::new(
            format!("`{}` is a checkpoint of this program", path.display()),
            "no import is needed: `moco run --resume`, `knn` and `export` use it directly",
        ));
    }
    Ok(())
}

fn unrecognized(path: &Path, reason: &str) -> Failure {
    Failure::new(
        format!("`{}` has weights of an unknown encoder: {reason}", path.display()),
        "names must be those of torchvision, timm, DeiT, detectron2, facebookresearch/moco or moco-v3",
    )
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
    let head = match (encoders.query.head.len(), encoders.convention.has_projection_heads()) {
        (0, _) => "no head".to_owned(),
        (n, true) => format!("a head of {}", text::count(n, "tensor")),
        (n, false) => format!("a classifier of {}, which is not imported", text::count(n, "tensor")),
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
    for name in &encoders.unexpected {
        writeln!(out, "          unexpected: {name}")?;
    }
    Ok(())
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
    let shapes = report
        .misshapen
        .iter()
        .map(|(name, found, expected)| format!("misshapen: {name} is {found}, expected {expected}"));
    let lists: [Vec<String>; 3] = [
        report.missing.iter().map(|name| format!("missing: {name}")).collect(),
        report.unexpected.iter().map(|name| format!("unexpected: {name}")).collect(),
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

/// Fails with the first mismatch. Missing counters start at 0, as in PyTorch.
fn check(path: &Path, part: &str, report: &Report, of: &str) -> Result<(), Failure> {
    let missing =
        report.missing.iter().find(|name| !is_counter(name)).map(|name| format!("`{name}` is missing"));
    let misshapen = report
        .misshapen
        .first()
        .map(|(name, found, expected)| format!("`{name}` is {found}, expected {expected}"));
    let unexpected = report.unexpected.first().map(|name| format!("`{name}` is unexpected"));
    match misshapen.or(missing).or(unexpected) {
        None => Ok(()),
        Some(what) => {
            let hint = match part {
                "backbone" => {
                    "use a pipeline whose backbone has the depth, width, patch size and image size of these weights"
                }
                _ => "use `--backbone-only` to leave the heads at their random initial values",
            };
            Err(Failure::new(format!("the {part} in `{}` does not match {of}: {what}", path.display()), hint))
        }
    }
}

fn is_counter(name: &str) -> bool {
    name.ends_with("num_batches_tracked")
}

/// Creates the run. The pipeline is written last, because a folder with a pipeline is a run.
fn make_run(
    arguments: &Arguments,
    pipeline: &Path,
    encoders: Encoders,
    out: &mut dyn Write,
) -> anyhow::Result<RunFolder> {
    let device = compute::start(None)?;
    let mut pipeline = pipeline_file::read(pipeline, &arguments.set, &device)?;
    let imported = fit(arguments, &mut pipeline, encoders, out)?;
    out.flush()?;
    let folder = RunFolder::create(Path::new(runs::ROOT), &pipeline.name, arguments.out.clone())?;
    let text = pipeline.text.clone();
    trainer::write_start(pipeline, &device, &folder, |snapshot: &mut Snapshot| {
        for (name, stored) in imported {
            // Without a momentum encoder in the pipeline, there is nothing to set.
            if let Some(place) = snapshot.tensors.get_mut(&name) {
                *place = stored;
            }
        }
    })?;
    folder.write_pipeline(&text)?;
    Ok(folder)
}

/// The weights under the names of a checkpoint of `pipeline`, if they match.
fn fit(
    arguments: &Arguments,
    pipeline: &mut Pipeline,
    encoders: Encoders,
    out: &mut dyn Write,
) -> anyhow::Result<Tensors> {
    let path = &arguments.file;
    let of = format!("the pipeline `{}`", pipeline.name);
    let parts = Parts::of(&pipeline.network.graph);
    let mut place = Place { path, of: &of, modules: &pipeline.network.modules, taken: Tensors::new() };
    let has_heads = encoders.convention.has_projection_heads();
    let Encoders { query, momentum, predictor, queue, .. } = encoders;
    let momentum = momentum.unwrap_or_else(|| query.clone());
    place.put(out, "backbone", &parts.backbone, query.backbone, "query")?;
    place.put_silently("backbone", &parts.backbone, momentum.backbone, "momentum")?;
    let takes_heads = has_heads && !arguments.backbone_only;
    match parts.heads.as_slice() {
        [head] if takes_heads && !query.head.is_empty() => {
            place.put(out, "head", head, query.head, "query")?;
            place.put_silently("head", head, momentum.head, "momentum")?;
        }
        [] => {}
        heads => writeln!(out, "head      keeps its random initial values: {}", heads.join(", "))?,
    }
    match parts.predictors.as_slice() {
        [name] if takes_heads && !predictor.is_empty() => {
            place.put(out, "predictor", name, predictor, "query")?;
        }
        [] => {}
        names => writeln!(out, "predictor keeps its random initial values: {}", names.join(", "))?,
    }
    if takes_heads && !queue.is_empty() {
        place.put_queue(out, queue)?;
    }
    Ok(place.taken)
}

/// Where weights go in a pipeline.
struct Place<'a> {
    path: &'a Path,
    of: &'a str,
    modules: &'a Modules,
    /// What matches, under the names of a checkpoint.
    taken: Tensors,
}

impl Place<'_> {
    /// Takes `found` for the module called `name`, and prints a report.
    fn put(
        &mut self,
        out: &mut dyn Write,
        part: &str,
        name: &str,
        found: Tensors,
        side: &str,
    ) -> anyhow::Result<()> {
        let report = Report::new(&self.layout(name), &found);
        print_report(out, part, &report)?;
        out.flush()?;
        check(self.path, part, &report, self.of)?;
        self.take(name, found, side);
        Ok(())
    }

    fn put_silently(&mut self, part: &str, name: &str, found: Tensors, side: &str) -> Result<(), Failure> {
        check(self.path, part, &Report::new(&self.layout(name), &found), self.of)?;
        self.take(name, found, side);
        Ok(())
    }

    /// Imports the queue if the pipeline has one of this size.
    fn put_queue(&mut self, out: &mut dyn Write, found: Tensors) -> std::io::Result<()> {
        let Some(name) = self.modules.losses.first().map(|named| named.name.clone()) else { return Ok(()) };
        let layout = self.layout(&name);
        let next = match found.get("pointer") {
            Some(Stored::U64(next)) => next.first().copied(),
            _ => None,
        };
        let len = match layout.get("queue") {
            Some(Shape::Floats(shape)) => shape.first().copied(),
            _ => None,
        };
        let points_into_it = next.zip(len).is_some_and(|(next, len)| next < len as u64);
        if Report::new(&layout, &found).fits() && points_into_it {
            self.take(&name, found, "query");
            writeln!(out, "queue     imported")
        } else {
            writeln!(
                out,
                "queue     keeps its random initial values, because the pipeline's has another size: {name}"
            )
        }
    }

    fn layout(&self, name: &str) -> BTreeMap<String, Shape> {
        let modules = self.modules.named();
        modules.into_iter().find(|(own, _)| *own == name).map(encoder::layout).unwrap_or_default()
    }

    fn take(&mut self, name: &str, found: Tensors, side: &str) {
        self.taken.extend(found.into_iter().map(|(part, stored)| (format!("{side}.{name}.{part}"), stored)));
    }
}
