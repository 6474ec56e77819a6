//! `moco run`: trains.

mod describe;
mod end;
mod measured;
mod training;
mod while_read;

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moco::processes::Processes;
use moco::{Changes, Finished, Run, RunError, RunOptions, Silent};
use pipeline::Site;
use run_store::RunFolder;
use tensor_ops::Device;

use crate::failure::{Failure, GO_ON, STOPPED};
use crate::from::{self, FromArguments};
use crate::moved::MovedArguments;
use crate::together::{self, Together};
use crate::{compute, cores, interrupt, missing_path, notes, pipeline_file, runs, shell};

pub(crate) use self::describe::split_sizes;
pub(crate) use self::end::format_seconds;
use self::training::STOP;
pub(crate) use self::training::{Training, stop_on_signal};
pub(crate) use self::while_read::WhileRead;

/// Train a pipeline, or resume a run.
///
/// Trains the pipeline in FILE. Everything that can be checked is checked before the first image is read.
///
/// Each run has its own folder, `runs/NAME-001` and so on, with the resolved pipeline (`pipeline.ron`, which reproduces
/// the run), `metrics.jsonl`, TensorBoard events and checkpoints. Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2 stops a run
/// after the current step, or within a measurement, and saves a checkpoint; so does the end of the time that `--for`
/// gives. A resumed run gives bit-for-bit the same result as one that was never stopped, even with different numbers of
/// workers and threads.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Pipeline file (RON). Not needed with `--resume` and `--from`.
    #[arg(required_unless_present_any = ["resume", "from"])]
    file: Option<PathBuf>,
    /// Run folder, which must be new or empty [default: the next number in runs/].
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Resume a run, given by its folder or by a checkpoint in it [default: the newest run, or the newest run of FILE's
    /// pipeline].
    #[arg(long, value_name = "RUN")]
    resume: Option<Option<PathBuf>>,
    #[command(flatten)]
    from: FromArguments,
    /// Number of epochs: short for `--set epochs=N`.
    #[arg(long, value_name = "N")]
    epochs: Option<NonZeroUsize>,
    #[command(flatten)]
    moved: MovedArguments,
    /// Go on, after `--resume` or `--from`, with other images than the checkpoint has seen, from the start of an epoch. The
    /// result is then another than that of a run without a stop.
    #[arg(long)]
    accept_changed_data: bool,
    /// Override a value in the pipeline, for instance `data.batch=64` or `modules.backbone.width=16`.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Stop after this time, for instance `2h` or `1h 30m`, counted from the start of the program, with a checkpoint and exit
    /// code 75. The step under way is finished first, or the batch of images that is measured.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,
    /// Data loader workers of each process [default: one per core, of those that are its share]. The result does not depend
    /// on it.
    #[arg(long, value_name = "N", value_parser = cores::count)]
    workers: Option<NonZeroUsize>,
    /// Compute threads of each process [default: one per core, of those that are its share].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    together: together::Arguments,
}

const EXAMPLES: &str = "\
Examples:
  moco run pipelines/mocov2.ron
  moco run pipelines/mocov2.ron --set seed=1 --set data.batch=64 --out runs/large-batch

Resume:
  moco run --resume                               the newest run
  moco run pipelines/mocov2.ron --resume          the newest run of this pipeline
  moco run --resume runs/mocov2-001               this run
  moco run --resume runs/mocov2-001/checkpoints/step-00000320.safetensors
      from an earlier checkpoint; later ones are renamed to *.superseded

In a job of limited time:
  moco run --resume runs/mocov2-001 --for 3h30m   stops with a checkpoint, exit code 75: resume it in the next job

Go on in a new folder, or start from weights:
  moco run --from runs/mocov2-001 --epochs 400    as if it had 400 epochs from here on
  moco run other.ron --from runs/mocov2-001       a pipeline with that run's weights, from its first epoch
  moco run other.ron --from resnet50.safetensors  with weights of another program

Several processes (a build with `--features mpi`):
  moco run --ranks 2 pipelines/mocov2.ron                       on this machine
  mpirun -n 16 --hostfile hosts --bind-to none moco run FILE    on several";

pub(crate) fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("it must be longer than 0 s".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error}; write for instance `90s`, `45m`, `2h` or `1d 12h`")),
    }
}

pub(crate) fn run(arguments: Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    check_arguments(&arguments)?;
    if let Some(code) = together::start_ranks(&arguments.together)? {
        return Ok(code);
    }
    let together = Together::join(&arguments.together)?;
    let outcome = match together.processes.is_first() {
        true => lead(&arguments, &together, out),
        false => follow(&arguments, &together),
    };
    if let Err(error) = &outcome {
        together.fail(error);
    }
    outcome
}

/// Options that do not go together.
fn check_arguments(arguments: &Arguments) -> Result<(), Failure> {
    let option = match (arguments.epochs, arguments.set.first()) {
        (Some(_), _) => Some("--epochs"),
        (None, Some(_)) => Some("--set"),
        (None, None) => None,
    };
    if let (Some(option), Some(of)) = (option, &arguments.resume) {
        let run = of.as_deref().map_or("RUN".into(), |path| path.display().to_string());
        let moves_images = arguments.set.iter().any(|set| set.starts_with("data.source"));
        let more = if moves_images { "; for images that have moved, use `--data-root OLD=NEW`" } else { "" };
        return Err(Failure::usage(
            format!(
                "`{option}` cannot be used with `--resume`: a run always resumes with its original pipeline"
            ),
            format!("go on in a new folder: `moco run --from {run} {option} ...`{more}"),
        ));
    }
    let goes_on = arguments.resume.is_some() || (arguments.from.from.is_some() && arguments.file.is_none());
    if arguments.moved.is_given() && !goes_on {
        return Err(Failure::usage(
            "`--data-root` says where the images of an earlier run are now, and this is a new run",
            "change the path with `--set`, for instance `--set 'data.source.root=\"PATH\"'`",
        ));
    }
    if !goes_on && arguments.accept_changed_data {
        return Err(Failure::usage(
            "`--accept-changed-data` is for a run that goes on, and this is a new one",
            "omit it",
        ));
    }
    Ok(())
}

/// What processes may need to find each other.
const JOINING: Duration = Duration::from_secs(10);

/// Trains as one of several processes, without a word.
fn follow(arguments: &Arguments, together: &Together) -> Result<ExitCode, Failure> {
    let threads = together.threads(arguments.threads);
    compute::start(threads)?;
    interrupt::stop_softly(&STOP, None)?;
    let workers = arguments.workers.or(threads).unwrap_or_else(compute::default_workers);
    let processes = Arc::clone(&together.processes);
    let started = Instant::now();
    match Run::follow(processes, workers, &mut Silent, &STOP).map_err(unwrapped)? {
        Finished::Completed(_) => Ok(ExitCode::SUCCESS),
        // The first process has the clock. A launcher may return the code of any.
        Finished::Stopped { .. } => {
            let time_is_up = arguments.time.is_some_and(|time| started.elapsed() + JOINING >= time);
            Ok(ExitCode::from(if time_is_up { GO_ON } else { STOPPED }))
        }
    }
}

/// Trains as the only process, or the first of several.
fn lead(arguments: &Arguments, together: &Together, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let threads = together.threads(arguments.threads);
    let device = compute::start(threads)?;
    let own_share = if together.processes.n() > 1 { threads } else { None };
    let workers = arguments.workers.or(own_share).unwrap_or_else(compute::default_workers);
    let processes = Arc::clone(&together.processes);
    let out = &mut WhileRead(out);
    let (run, goes_on) = match &arguments.resume {
        Some(of) => resumed(arguments, of.as_deref(), &device, processes)?,
        None => (started(arguments, &device, processes, out)?, arguments.from.from.is_some()),
    };
    let stop_after = arguments.time.map(|time| time.saturating_sub(began.elapsed()));
    Training { together, workers, goes_on, stop_after }.train(run, out)
}

/// A new run of a pipeline. The folder is created last, so that an error leaves none behind.
fn started(
    arguments: &Arguments,
    device: &Device,
    processes: Arc<dyn Processes>,
    out: &mut dyn Write,
) -> Result<Run, Failure> {
    let mut changes = arguments.set.clone();
    changes.extend(arguments.epochs.map(|epochs| format!("epochs={epochs}")));
    let FromArguments { from, backbone_only } = &arguments.from;
    let site = Site::of_processes(device, Arc::clone(&processes));
    let options = RunOptions { root: runs::ROOT.into(), folder: arguments.out.clone(), processes };
    match (&arguments.file, from) {
        (Some(folder), _) if folder.is_dir() => Err(is_folder(folder)),
        (Some(file), None) => {
            let pipeline = pipeline_file::read(file, &changes, site)?;
            Run::create_with(pipeline, &options).map_err(unwrapped)
        }
        (Some(file), Some(from)) => {
            let pipeline = pipeline_file::read(file, &changes, site)?;
            // Before the folder is created.
            moco::open_dataset(&pipeline).map_err(unwrapped)?;
            from::start(from, pipeline, *backbone_only, &options, out)
        }
        (None, Some(from)) => {
            let changes = Changes {
                overrides: changes,
                moved: arguments.moved.moved(),
                accept_changed_images: arguments.accept_changed_data,
            };
            from::go_on(from, &changes, &options, out)
        }
        (None, None) => unreachable!("a new run has a file, or goes on from another"),
    }
}

/// The error for a folder where a pipeline file is expected: a run, or images.
fn is_folder(folder: &Path) -> Failure {
    let shown = folder.display();
    let message = format!("`{shown}` is a folder, and `run` takes a pipeline file");
    if RunFolder::open(folder).is_ok() {
        return Failure::new(
            message,
            format!("this is a run: resume it with `moco run --resume {}`", shell::path(folder)),
        );
    }
    match missing_path::files_in(folder).iter().find(|name| name.ends_with(".ron")) {
        Some(file) => Failure::new(
            message,
            format!("give a file in it, for instance `{}`", folder.join(file).display()),
        ),
        None => Failure::new(message, crate::train::hint_for_folder(folder)),
    }
}

/// A run to resume, and whether it has anything to resume from.
fn resumed(
    arguments: &Arguments,
    of: Option<&Path>,
    device: &Device,
    processes: Arc<dyn Processes>,
) -> Result<(Run, bool), Failure> {
    let site = Site::of_processes(device, Arc::clone(&processes));
    let file = arguments.file.as_deref();
    let wanted = file.map(|file| pipeline_file::read(file, &[], site)).transpose()?;
    let root = Path::new(runs::ROOT);
    let run = match (of, &wanted) {
        (Some(path), _) => Run::open_with(path, processes),
        (None, Some(pipeline)) => Run::open_with(runs::newest_of(root, &pipeline.name)?.path(), processes),
        (None, None) => Run::open_with(runs::newest(root)?.path(), processes),
    };
    let mut run = run.map_err(unwrapped)?;
    run.set_moved(arguments.moved.moved());
    if arguments.accept_changed_data {
        run.accept_changed_images();
    }
    // Before the checkpoint's pipeline is read: a folder without a run or a checkpoint has its own error.
    let found = run.checkpoint().map(drop);
    let goes_on = match found {
        Ok(()) => true,
        // Killed while it started.
        Err(moco::Error::Run(RunError::NoCheckpoint { path }))
            if run.is_unstarted().map_err(unwrapped)? =>
        {
            notes::print(&[format!(
                "`{}` has no checkpoint yet, and starts at its beginning",
                path.display()
            )]);
            false
        }
        Err(error) => return Err(unwrapped(error)),
    };
    if goes_on {
        let edits = run.edits().map_err(unwrapped)?;
        if !edits.is_empty() {
            return Err(moco::Error::Edited { file: run.folder().pipeline(), edits }.into());
        }
    }
    if let (Some(file), Some(wanted)) = (file, &wanted)
        && !run.was_started_with(wanted).map_err(unwrapped)?
    {
        return Err(differs(file, run.folder()));
    }
    Ok((run, goes_on))
}

/// The inner error, with its hint, and the source line if it is an error in a pipeline.
pub(crate) fn unwrapped(error: moco::Error) -> Failure {
    match error {
        moco::Error::Pipeline(error) => error.into(),
        moco::Error::Dataset(error) => error.into(),
        moco::Error::Loader(error) => error.into(),
        moco::Error::Folder(error) => error.into(),
        moco::Error::Run(error) => error.into(),
        moco::Error::Load(error) => error.into(),
        moco::Error::Train(error) => error.into(),
        error => error.into(),
    }
}

fn differs(file: &Path, folder: &RunFolder) -> Failure {
    Failure::new(
        format!(
            "`{}` is not the pipeline that `{}` was started with, which is in `{}`",
            file.display(),
            folder.path().display(),
            folder.pipeline().display()
        ),
        format!(
            "resume the run with its original pipeline: `moco run --resume {}`; or start a new one: `moco run {}`",
            shell::path(folder.path()),
            shell::path(file)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_pipeline_than_the_run_is_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), "moco", None).unwrap();
        let text = differs(Path::new("a.ron"), &folder).to_string();
        assert!(text.starts_with("`a.ron` is not the pipeline that"), "{text}");
    }
}
