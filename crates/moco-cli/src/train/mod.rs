//! `moco train`: trains on a folder of images, of which everything else is chosen.

mod cost;
mod out;
mod source;
mod told;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use moco::estimate::{Estimate, EstimateOptions, estimate};
use moco::recipe::{Backbone, Course, Method, Processor, Recipe, Wishes};
use moco::{Run, RunOptions};
use pipeline::{Pipeline, PipelineError};
use run_store::RunLog;
use tensor_ops::Device;

use crate::failure::Failure;
use crate::program::program;
use crate::run::{Training, WhileRead, time, unwrapped};
use crate::together::Together;
use crate::{compute, cores, missing_path, notes, runs, shell};

use self::cost::{Cost, Planned, planned, written};
use self::told::Told;
pub(crate) use self::told::{seconds, time_and_memory};

/// Train on a folder of images, without a pipeline file.
///
/// Looks at the images in FOLDER, how many, how large and in which folders, and chooses the size of the views, the encoder,
/// the batch, the learning rate, the length of the run and all else by it. The choices are printed, with an estimate of time
/// and memory on this machine, and written with their reasons to `pipeline.ron` in the run folder. Then it trains as `run`
/// does: the same files, and `run --resume` resumes it.
///
/// FOLDER may have a folder for each class, or images at any depth; `train` and `val` or `test` in it, if some are for
/// measuring; it may be an archive, a pack, a list of images, or Parquet files. Without test images, 5 % of the images are held
/// out. Labels are never used in training, only to measure.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folders with images, archives (.zip, .tar), Parquet files, or a pack or list of images.
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// Height and width of what the encoder sees, in pixels [default: by the shorter side of the images].
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// Encoder: `resnet18`, `resnet34`, `resnet50`, `vit-tiny`, `vit-small` or `vit-base` [default: resnet18 on a CPU, resnet50
    /// on a GPU].
    #[arg(long, value_name = "NAME")]
    backbone: Option<Backbone>,
    /// Variant of MoCo: `v1`, `v2` or `v3` [default: v2].
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,
    /// Number of passes over the images [default: by the number of images].
    #[arg(long, value_name = "N", conflicts_with = "time")]
    epochs: Option<NonZeroUsize>,
    /// Images in a step [default: by the size and the number of images].
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Seed of all random draws [default: 0].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Train about so long, for instance `10m` or `2h`, with a schedule that ends then: a few steps are timed first. It is
    /// over within a tenth more than this.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,
    /// Print the pipeline and the estimate, and write nothing.
    #[arg(long, conflicts_with = "out")]
    dry_run: bool,
    /// Run folder, which must be new or empty [default: the next number in runs/].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Data loader workers [default: one per core]. The result does not depend on it.
    #[arg(long, value_name = "N", value_parser = cores::count)]
    workers: Option<NonZeroUsize>,
    /// Compute threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    threads: Option<NonZeroUsize>,
    /// Override a value in the pipeline, for instance `modules.backbone.width=32`. Other values are not chosen anew to fit it.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  moco train photos
  moco train photos --for 2h
  moco train photos --dry-run > photos.ron       to look at it, change it, and `moco run photos.ron`
  moco train photos more-photos --method v3 --backbone vit-tiny --size 64";

/// The time after which a run is stopped, if it is slower than planned all the same.
const STOPPED: f64 = 1.06;
/// For an estimate at most, and as a part of the time that is given.
const LOOKING: Duration = Duration::from_secs(10);
const LOOKING_PART: f64 = 0.12;
/// A longer run is told how it could be shorter.
const LONG: Duration = Duration::from_secs(24 * 3600);

const TIMING: &str = "timing a few steps ...";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let device = compute::start(arguments.threads)?;
    let out = &mut WhileRead(out);
    check(&arguments.folders)?;
    if !arguments.dry_run {
        out::check(arguments.out.as_deref(), &arguments.folders)?;
    }
    let (mut looked, mut listed) = moco::data::look(&arguments.folders)?;
    let mut wishes = wishes(arguments);
    let mut recipe = Recipe::choose(&looked, &wishes)?;
    let set = source::Set::of(&arguments.set, recipe.held_out.value.is_some());
    if let Some(dataset) = set.apply(&looked.dataset)? {
        (looked, listed) = moco::data::look_again(looked, dataset)?;
        recipe = Recipe::choose(&looked, &wishes)?;
    }
    let of = |recipe: &Recipe| pipeline(recipe, &set.rest, &device);
    let mut estimate = estimated(of(&recipe)?, arguments)?;
    let mut for_all = None;
    if let Some(time) = arguments.time {
        let planned = planned(estimate, &recipe, time, began.elapsed())?;
        wishes.fitted = Some(planned.fitted);
        recipe = Recipe::choose(&looked, &wishes)?;
        Planned { estimate, for_all, .. } = planned;
    }
    let mut pipeline = of(&recipe)?;
    let n_images = n_images(&recipe, &pipeline, &estimate, &arguments.set)?;
    if !arguments.set.is_empty() {
        let n_train = n_images.map_or(recipe.n_train, |(n_train, _)| n_train);
        let course = Course { n_train, batch: pipeline.batch, epochs: pipeline.epochs };
        recipe = recipe.with_course(course);
        pipeline = of(&recipe)?;
    }
    let cost = Cost::of(estimate, &pipeline, n_images, recipe.knn.value.is_some());
    let (all_set, for_all) = (&*arguments.set, for_all.as_deref());
    let told = Told { recipe: &recipe, pipeline: &pipeline, cost: &cost, set: all_set, for_all }.lines();
    if arguments.dry_run {
        // The file is the result, and may be redirected into one.
        write!(out, "{}", pipeline.text)?;
        notes::print(&listed);
        write!(io::stderr(), "{told}")?;
        return Ok(ExitCode::SUCCESS);
    }
    write!(out, "{told}")?;
    out.flush()?;
    let mut long = Vec::new();
    if cost.total().is_some_and(|total| total > LONG) && arguments.time.is_none() {
        let shorter = format!("`{} train ... --for 8h` trains for 8 hours", program());
        long.push(format!("this takes more than a day: {shorter}, and `--size` makes each step shorter"));
        notes::print(&long);
    }
    let options =
        RunOptions { root: runs::ROOT.into(), folder: arguments.out.clone(), ..RunOptions::default() };
    let run = Run::create_with(pipeline, &options).map_err(unwrapped)?;
    // There was no folder for it before.
    let log = RunLog::open(run.folder())?;
    log.line(TIMING);
    log.line(&told);
    long.iter().for_each(|note| log.line(&format!("note: {note}")));
    let workers = arguments.workers.unwrap_or_else(compute::default_workers);
    let stop_after = arguments.time.map(|time| time.mul_f64(STOPPED).saturating_sub(began.elapsed()));
    Training { together: &Together::alone(), workers, goes_on: false, stop_after }.train(run, out)
}

/// # Errors
/// If a folder is not there, or a pipeline or a run was given.
fn check(folders: &[PathBuf]) -> Result<(), Failure> {
    for path in folders {
        let shown = path.display();
        if !path.exists() {
            return Err(Failure::new(format!("`{shown}` does not exist"), missing_path::hint(path)));
        }
        if path.extension().is_some_and(|ending| ending == "ron") {
            let message = format!("`{shown}` is a pipeline file, and `train` takes a folder of images");
            return Err(Failure::new(message, format!("train it with `moco run {}`", shell::path(path))));
        }
        if path.join("pipeline.ron").is_file() && path.join("checkpoints").is_dir() {
            let message = format!("`{shown}` is the folder of a run, and `train` takes a folder of images");
            return Err(Failure::new(
                message,
                format!("resume it with `moco run --resume {}`", shell::path(path)),
            ));
        }
    }
    Ok(())
}

fn wishes(arguments: &Arguments) -> Wishes {
    let processor = if tensor_ops::is_on_device() { Processor::Gpu } else { Processor::Cpu };
    Wishes {
        method: arguments.method,
        size: arguments.size,
        backbone: arguments.backbone,
        epochs: arguments.epochs.map(NonZeroUsize::get),
        batch: arguments.batch,
        seed: arguments.seed,
        processor,
        has_bf16: processor == Processor::Gpu || tensor_ops::kernel_family().ends_with("bf16"),
        fitted: None,
        command: Some(command(arguments)),
    }
}

/// The command, as it stands at the head of the file.
fn command(arguments: &Arguments) -> String {
    let mut words = vec!["moco train".to_owned()];
    words.extend(arguments.folders.iter().map(|folder| shell::path(folder)));
    let options = [
        ("--size", arguments.size.map(|size| size.to_string())),
        ("--backbone", arguments.backbone.map(|backbone| backbone.to_string())),
        ("--method", arguments.method.map(|method| method.to_string())),
        ("--epochs", arguments.epochs.map(|epochs| epochs.to_string())),
        ("--batch", arguments.batch.map(|batch| batch.to_string())),
        ("--seed", arguments.seed.map(|seed| seed.to_string())),
        ("--for", arguments.time.map(written)),
    ];
    words.extend(options.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))));
    words.extend(arguments.set.iter().map(|set| format!("--set {}", shell::quoted(set))));
    words.join(" ")
}

/// The recipe as a checked pipeline, with what `--set` says.
fn pipeline(recipe: &Recipe, set: &[String], device: &Device) -> Result<Pipeline, Failure> {
    let mut text = recipe.to_ron();
    if !set.is_empty() {
        let what: Vec<String> = set.iter().map(|set| format!("`--set {set}`")).collect();
        // The reason beside such a value is that of the one before.
        let note =
            format!("// Yours, whatever stands behind it: {}\n", what.join(", ").replace(['\n', '\r'], " "));
        text.insert_str(text.find("Pipeline(").unwrap_or(0), &note);
    }
    Pipeline::parse("the chosen pipeline", &text, set, device)
        .map_err(|fault| PipelineError::from(fault).into())
}

fn estimated(pipeline: Pipeline, arguments: &Arguments) -> Result<Estimate, Failure> {
    let limit = match arguments.time {
        Some(time) => LOOKING.min(time.mul_f64(LOOKING_PART)),
        None => LOOKING,
    };
    let _ = writeln!(io::stderr(), "{TIMING}");
    estimate(pipeline, &EstimateOptions { workers: arguments.workers, limit }).map_err(unwrapped)
}

/// Training and test images of `pipeline`, if its dataset can be opened.
fn n_images(
    recipe: &Recipe,
    pipeline: &Pipeline,
    timed: &Estimate,
    set: &[String],
) -> Result<Option<(usize, usize)>, Failure> {
    if recipe.train_share.is_none() {
        return Ok(timed.n_images);
    }
    if set.is_empty() {
        return Ok(timed.n_images.map(|(_, n_test)| (recipe.n_train, n_test)));
    }
    // All of them were timed, and what is set may be a dataset.
    let splits = moco::open_dataset(pipeline).map_err(unwrapped)?;
    Ok(Some((splits.train.len(), splits.test.map_or(0, |test| test.len()))))
}

/// What to say where a pipeline file is expected and `path` is a folder: what `train` is for, if there are images.
pub(crate) fn hint_for_folder(path: &Path) -> String {
    format!("to train on the images in it, without a pipeline file: `moco train {}`", shell::path(path))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn the_command_at_the_head_of_the_file_is_the_one_that_was_given() {
        let words = [
            "moco",
            "my photos",
            "b",
            "--for",
            "90m",
            "--method",
            "v3",
            "--set",
            "name=\"a b\"",
            "--seed",
            "3",
        ];
        let Line { arguments } = Line::try_parse_from(words).unwrap();
        assert_eq!(
            command(&arguments),
            "moco train 'my photos' b --method v3 --seed 3 --for 1h30m --set 'name=\"a b\"'"
        );
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for words in [
            &["a", "--for", "1h", "--epochs", "3"][..],
            &["a", "--dry-run", "--out", "b"],
            &[],
            &["a", "--method", "v4"],
        ] {
            assert!(Line::try_parse_from(["moco"].iter().chain(words)).is_err(), "{words:?}");
        }
    }
}
