//! `moco run`: trains.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use moco::processes::Processes;
use moco::{Changes, Finished, Run, RunOptions, Silent, Summary};
use pipeline::{Pipeline, Site};
use plugin_api::Splits;
use run_store::RunFolder;
use tensor_ops::Device;

use crate::failure::{Failure, GO_ON, STOPPED};
use crate::from::{self, FromArguments};
use crate::moved::{self, MovedArguments};
use crate::program::program;
use crate::progress::Progress;
use crate::together::{self, Together};
use crate::{compute, interrupt, notes, pipeline_file, runs, text};

/// Train a pipeline, or resume a run.
///
/// Trains the pipeline in FILE. Everything that can be checked is checked before the first image is read.
///
/// Each run has its own folder, `runs/NAME-001` and so on, with the resolved pipeline (`pipeline.ron`, which reproduces
/// the run), `metrics.jsonl`, TensorBoard events and checkpoints. Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2 stops a run
/// after the current step and saves a checkpoint; so does the end of the time that `--for` gives. A resumed run gives
/// bit-for-bit the same result as one that was never stopped, even with different numbers of workers and threads.
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
    /// code 75. The step under way is finished first, and so is a measurement.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,
    /// Data loader workers of each process [default: one per core, of those that are its share]. The result does not depend
    /// on it.
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Compute threads of each process [default: one per core, of those that are its share].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    together: together::Arguments,
}

const EXAMPLES: &str = "\
Examples:
  moco run pipelines/mocov2.ron
  moco run pipelines/mocov2.ron --set seed=1 --set data.batch=64 --out runs/small-batch

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
  moco run --ranks 4 pipelines/mocov2.ron                       on this machine
  mpirun -n 16 --hostfile hosts --bind-to none moco run FILE    on several";

fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("it must be longer than 0 s".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error}; write for instance `90s`, `45m`, `2h` or `1d 12h`")),
    }
}

/// Standard output while it has a reader: a run does not end when `head` does.
pub(crate) struct WhileRead<'a>(pub(crate) &'a mut dyn Write);

impl Write for WhileRead<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            outcome => outcome,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome,
        }
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

static STOP: AtomicBool = AtomicBool::new(false);

/// Whether [`STOP`] is set because the time is up.
static TIME_IS_UP: AtomicBool = AtomicBool::new(false);

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
    let mut run = match &arguments.resume {
        Some(of) => resumed(arguments, of.as_deref(), &device, processes)?,
        None => started(arguments, &device, processes, out)?,
    };
    let goes_on = arguments.resume.is_some() || arguments.from.from.is_some();
    run.set_workers(workers);
    run.lock().map_err(unwrapped)?;
    let pipeline = run.pipeline().map_err(unwrapped)?;
    let splits = moco::open_dataset(pipeline).map_err(|error| match error {
        moco::Error::Dataset(error) if goes_on => moved::with_way_out(&error),
        error => unwrapped(error),
    })?;
    describe(out, pipeline, &splits, workers.get())?;
    let has_labels = !splits.train.class_names().is_empty();
    notes::print(&notes::of(&splits));
    if let Some(line) = together.describe() {
        writeln!(out, "processes {line}")?;
        let n_processes = together.processes.n();
        let network = &pipeline.network;
        let mut backbones = network.modules.encoders.backbones.iter();
        // Parts cannot have these by themselves.
        let has_whole_norms = backbones.any(|backbone| backbone.module.batch_norm_splits() == Some(1));
        let is_exact = (network.parts.n_parts / n_processes).is_power_of_two() && !has_whole_norms;
        let parts = dealt_parts(network.parts.n_parts, pipeline.batch, n_processes, is_exact);
        writeln!(out, "parts     {parts}")?;
    }
    let folder = run.folder().clone();
    write!(out, "run       {}", folder.path().display())?;
    if goes_on {
        write!(out, ", from {}", run.checkpoint().map_err(unwrapped)?.display())?;
    }
    writeln!(out)?;
    out.flush()?;

    stop_on_signal(&STOP)?;
    if let Some(time) = arguments.time {
        interrupt::stop_after(time.saturating_sub(began.elapsed()), &STOP, &TIME_IS_UP)?;
    }
    let started_as = if folder.read_origin().is_some() { "before training" } else { "untrained" };
    let progress = &mut Progress::new(started_as);
    let finished = match goes_on {
        true => run.resume_until(progress, &STOP),
        false => run.train_until(progress, &STOP),
    };
    match finished.map_err(unwrapped)? {
        Finished::Completed(summary) => {
            print_summary(out, &folder, &summary, started_as, has_labels)?;
            Ok(ExitCode::SUCCESS)
        }
        Finished::Stopped { checkpoint, steps_done } => {
            writeln!(
                out,
                "stopped after step {}, checkpoint {}\nresume with: {program} run --resume {}",
                text::grouped(steps_done as usize),
                checkpoint.display(),
                folder.path().display(),
                program = program()
            )?;
            Ok(ExitCode::from(if TIME_IS_UP.load(Ordering::Relaxed) { GO_ON } else { STOPPED }))
        }
    }
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

/// A run to resume.
fn resumed(
    arguments: &Arguments,
    of: Option<&Path>,
    device: &Device,
    processes: Arc<dyn Processes>,
) -> Result<Run, Failure> {
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
    run.checkpoint().map_err(unwrapped)?;
    if run.pipeline_was_edited().map_err(unwrapped)? {
        let file = run.folder().pipeline();
        notes::print(&[format!(
            "`{}` is not the pipeline that the checkpoint was written with; the run goes on with what the file says now",
            file.display()
        )]);
    }
    if let (Some(file), Some(wanted)) = (file, &wanted)
        && !run.was_started_with(wanted).map_err(unwrapped)?
    {
        return Err(differs(file, run.folder()));
    }
    Ok(run)
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
            folder.path().display(),
            file.display()
        ),
    )
}

fn describe(
    out: &mut dyn Write,
    pipeline: &mut Pipeline,
    splits: &Splits,
    n_workers: usize,
) -> io::Result<()> {
    let modules: Vec<&str> = pipeline.network.modules.named().into_iter().map(|(name, _)| name).collect();
    let modules = modules.join(", ");
    writeln!(out, "pipeline  {}, seed {}", pipeline.name, pipeline.seed)?;
    writeln!(out, "data      {}: {}", pipeline.dataset.describe(), split_sizes(splits))?;
    for (monitor, dataset) in pipeline_file::own_datasets(pipeline) {
        writeln!(out, "monitor   {monitor} on {}", dataset.describe())?;
    }
    writeln!(
        out,
        "training  {} of {}, batch size {}",
        text::count(pipeline.epochs, "epoch"),
        text::count(splits.train.len() / pipeline.batch, "step"),
        pipeline.batch
    )?;
    let parameters = pipeline_file::count_parameters(&pipeline.network);
    writeln!(out, "network   {modules}: {parameters}")?;
    writeln!(out, "device    {}, {}", compute::describe(), text::count(n_workers, "data loader worker"))
}

/// How the parts of a batch go to `n_processes`.
fn dealt_parts(n_parts: usize, batch: usize, n_processes: usize, is_exact: bool) -> String {
    let size = batch / n_parts;
    let each = n_parts / n_processes;
    let mut text =
        format!("{n_parts} of {} (`data.micro_batch: {size}`), {each} a process", text::count(size, "image"));
    if !is_exact {
        text += ": the result of one process to within rounding, and not to the bit";
    }
    text
}

/// The number of images and classes.
pub(crate) fn split_sizes(splits: &Splits) -> String {
    let mut text = text::count(splits.train.len(), "training image");
    match &splits.test {
        Some(test) => text += &format!(", {}", text::count(test.len(), "test image")),
        None => text += ", no test images",
    }
    match splits.train.class_names().len() {
        0 => text + ", no labels",
        n => text + &format!(", {n} classes"),
    }
}

fn print_summary(
    out: &mut dyn Write,
    run: &RunFolder,
    summary: &Summary,
    started_as: &str,
    has_labels: bool,
) -> io::Result<()> {
    if summary.n_steps == 0 {
        let (program, run) = (program(), run.path().display());
        writeln!(
            out,
            "this run is already complete: {run}\n  go on with: {program} run --from {run} --epochs N"
        )?;
    } else {
        writeln!(out, "done in {}: {}", format_seconds(summary.took.as_secs_f64()), run.path().display())?;
    }
    if let Some(early_stop) = &summary.early_stop {
        writeln!(out, "  ended early: {early_stop}")?;
    }
    if summary.after.is_empty() && summary.before.is_empty() {
        let (program, run) = (program(), run.path().display());
        match has_labels {
            true => writeln!(out, "  evaluate with: {program} knn {run}")?,
            false => writeln!(
                out,
                "  look at its neighbors: {program} neighbors {run} --split train -o neighbors.html"
            )?,
        }
    }
    for metric in &summary.after {
        let before = summary.before.iter().find(|before| before.name == metric.name);
        let before =
            before.map(|before| format!(", {started_as} {}", before.shown_value())).unwrap_or_default();
        writeln!(out, "  {} {}{before} ({})", metric.name, metric.shown_value(), metric.protocol)?;
    }
    if summary.n_unreadable > 0 {
        let images = text::count(summary.n_unreadable, "unreadable image");
        writeln!(out, "  {images}, listed in {}", run.unreadable().display())?;
    }
    Ok(())
}

pub(crate) fn format_seconds(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    if seconds < 1.5 * MINUTE {
        format!("{seconds:.0} s")
    } else if seconds < 3.0 * HOUR {
        format!("{:.1} min", seconds / MINUTE)
    } else {
        format!("{:.1} h", seconds / HOUR)
    }
}

/// The first Ctrl-C saves a checkpoint and stops, the second one stops at once.
pub(crate) fn stop_on_signal(stop: &'static AtomicBool) -> Result<(), Failure> {
    interrupt::stop_softly(
        stop,
        Some(
            "stopping after this step and saving a checkpoint; press Ctrl-C again to stop at once, without one",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn a_run_goes_on_when_nobody_reads_what_it_says() {
        let mut closed = Closed;
        let mut out = WhileRead(&mut closed);
        writeln!(out, "data").unwrap();
        out.flush().unwrap();
    }

    #[test]
    fn a_run_in_several_processes_says_whether_it_has_the_bits_of_one() {
        assert_eq!(dealt_parts(8, 256, 4, true), "8 of 32 images (`data.micro_batch: 32`), 2 a process");
        let rounded = dealt_parts(12, 48, 4, false);
        assert!(rounded.starts_with("12 of 4 images (`data.micro_batch: 4`), 3 a process: "), "{rounded}");
        assert!(rounded.ends_with("to within rounding, and not to the bit"), "{rounded}");
    }

    #[test]
    fn another_pipeline_than_the_run_is_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), "moco", None).unwrap();
        let text = differs(Path::new("a.ron"), &folder).to_string();
        assert!(text.starts_with("`a.ron` is not the pipeline that"), "{text}");
    }
}
