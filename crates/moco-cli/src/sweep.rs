//! `moco sweep`: a pipeline with several values and seeds, and a table of what came of it.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use ::sweep::{Axis, RunOutcome, RunStart, RunState, Sweep, SweepEnd, SweepError, SweepObserver, Variations};
use tensor_ops::Device;
use train_core::trainer::Observer;

use crate::failure::{self, Failure, STOPPED};
use crate::pipeline_file::{check_file, missing};
use crate::program::program;
use crate::progress::Progress;
use crate::run::{WhileRead, stop_on_signal, took};
use crate::runs::ROOT;
use crate::{compute, text};

/// Train variations of a pipeline with several seeds, and compare them in a table.
///
/// Trains the pipeline in FILE once for each combination of the values that `--vary` lists, and for each seed. Every
/// combination is checked before the first run starts. The first seed goes through all combinations before the second one
/// begins, so that a sweep that is stopped early has something of each.
///
/// A sweep has a folder of its own, `runs/sweep-NAME-001` and so on, with a folder for each run. After each run it writes
/// `table.md` and `table.csv` there: a row for each combination, with mean, sample standard deviation and range over the
/// completed runs. A run that diverges or fails is noted with its reason, and the sweep goes on. Ctrl-C, or SIGTERM, stops
/// the present run with a checkpoint; with `--resume` the sweep goes on from there.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The pipeline, a RON file. Not needed with `--resume`.
    #[arg(required_unless_present = "resume")]
    file: Option<PathBuf>,
    /// Try several values, for instance `data.batch=64,128`; paths and values are those of `--set`. Commas inside brackets
    /// and quotation marks do not separate. Given more than once, every combination is tried.
    #[arg(long, value_name = "PATH=VALUE,VALUE", requires = "file")]
    vary: Vec<String>,
    /// Runs of each combination: with the pipeline's seed, the one after it, and so on [default: 1].
    #[arg(long, value_name = "N", requires = "file")]
    seeds: Option<NonZeroUsize>,
    /// Change a value of the pipeline in every run.
    #[arg(long, value_name = "PATH=VALUE", requires = "file")]
    set: Vec<String>,
    /// The sweep's folder, which must be new or empty [default: the next number in runs/].
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Go on with a sweep: skip what is done, go on with what was interrupted, try again what failed [default: the newest
    /// sweep, of FILE's pipeline if FILE is given].
    #[arg(long, value_name = "DIR")]
    resume: Option<Option<PathBuf>>,
    /// Threads that decode and augment [default: one a core]. The result does not depend on it.
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Threads that compute [default: one a core].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

const EXAMPLES: &str = "\
Examples:
  moco sweep pipelines/mocov2.ron --seeds 3
                                        how much of a metric is luck?
  moco sweep pipelines/mocov2.ron --vary momentum.start=0.9,0.99,0.999 --seeds 3
  moco sweep pipelines/mocov2.ron --vary data.batch=32,64 --vary learning_rate.base=0.03,0.06
                                        two by two combinations
  moco sweep pipelines/mocov2.ron --vary 'modules.head=(\"mlp\", ()),(\"linear\", ())'
                                        with and without the MLP head
  moco sweep --resume            go on with the newest sweep
  moco sweep --resume runs/sweep-mocov2-001

The studies of the MoCo v3 paper, on a pipeline with the modules `backbone` and `projector`:
  --vary data.batch=1024,2048,4096      with `scale: PerImages(256)` the rate follows
  --vary learning_rate.base=5e-5,1e-4,1.5e-4
  --vary optimizer.weight_decay=0.03,0.1,0.3
  --vary momentum.start=0.0,0.9,0.99,0.999
  --vary modules.backbone.freeze_patch_projection=false,true
  --vary modules.backbone.position=SinCos,Learned,None
  --vary modules.backbone.pool=ClassToken,Mean,MeanWithoutNorm
  --vary 'modules.projector.norm=Batch,None' --set modules.projector.last_norm=false

Exit codes: 0 every run completed or diverged, 1 some run failed, 130 stopped by Ctrl-C.";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let device = compute::start(arguments.threads)?;
    let workers = arguments.workers.unwrap_or_else(compute::default_workers);
    let mut sweep = arguments.sweep(&device)?;
    let out = &mut WhileRead(out);
    describe(out, &sweep, workers.get())?;
    static STOP: AtomicBool = AtomicBool::new(false);
    stop_on_signal(&STOP)?;
    let end =
        sweep.train(&device, workers, &mut Printed(out), &STOP).map_err(in_words_of_the_command_line)?;
    let path = sweep.path().display();
    writeln!(out, "\n{}", sweep.table())?;
    writeln!(out, "kept as {path}/table.md and {path}/table.csv")?;
    match end {
        SweepEnd::Stopped { run } => {
            writeln!(out, "\nstopped at run {} of {}", run + 1, sweep.runs().count())?;
            writeln!(out, "go on with: {} sweep --resume {path}", program())?;
            Ok(ExitCode::from(STOPPED))
        }
        SweepEnd::Finished { n_failed } => {
            writeln!(out, "the curves of all runs: tensorboard --logdir {path}")?;
            if n_failed > 0 {
                writeln!(out, "try again what failed: {} sweep --resume {path}", program())?;
                return Ok(ExitCode::FAILURE);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Arguments {
    fn sweep(&self, device: &Device) -> anyhow::Result<Sweep> {
        let root = Path::new(ROOT);
        let variations = self.file.as_deref().map(|file| self.variations(file)).transpose()?;
        let sweep = match (&variations, &self.resume) {
            (Some(variations), None) => Sweep::create(variations, root, self.out.clone(), device),
            (Some(variations), Some(of)) => Sweep::of(variations, root, of.as_deref(), device),
            (None, Some(Some(path))) => Sweep::open(path),
            // Without a file, the arguments ask for `--resume`.
            (None, Some(None) | None) => Sweep::newest(root),
        };
        sweep.map_err(in_words_of_the_command_line)
    }

    fn variations(&self, file: &Path) -> anyhow::Result<Variations> {
        let axes = self.vary.iter().map(|argument| Axis::parse(argument)).collect::<Result<Vec<_>, _>>();
        let axes = axes.map_err(in_words_of_the_command_line)?;
        check_file(file)?;
        let n_seeds = self.seeds.map_or(1, NonZeroUsize::get);
        Ok(Variations { file: file.into(), set: self.set.clone(), axes, n_seeds })
    }
}

/// Prints what a sweep tells.
struct Printed<'a>(&'a mut dyn Write);

impl SweepObserver for Printed<'_> {
    fn run_started(&mut self, run: &RunStart<'_>) {
        let rest = run.rest_seconds.map(|seconds| format!("  (ETA of the sweep {})", took(seconds)));
        let what = run.overrides.join(", ");
        // `WhileRead` keeps a closed pipe to itself; another fault of standard output ends no sweep.
        let _ =
            writeln!(self.0, "\nrun {} of {}: {what}{}", run.run + 1, run.n_runs, rest.unwrap_or_default());
        let _ = self.0.flush();
    }

    fn of_run(&mut self) -> Box<dyn Observer> {
        Box::new(Progress::default())
    }

    fn run_ended(&mut self, outcome: &RunOutcome<'_>) {
        match outcome {
            RunOutcome::Completed { summary, seconds } => {
                let metrics: Vec<String> = summary.after.iter().map(ToString::to_string).collect();
                let metrics =
                    if metrics.is_empty() { String::new() } else { format!(": {}", metrics.join(", ")) };
                let _ = writeln!(self.0, "done in {}{metrics}", took(*seconds));
            }
            RunOutcome::Diverged(error) => print_error(&error.to_string(), error.hint()),
            RunOutcome::Failed(SweepError::Pipeline(pipeline::PipelineError::Fault(fault))) => {
                failure::print_fault(fault);
            }
            RunOutcome::Failed(error) => print_error(&error.to_string(), error.hint()),
        }
    }
}

fn print_error(message: &str, hint: Option<String>) {
    let failure = match hint {
        Some(hint) => Failure::new(message, hint),
        None => Failure::plain(message),
    };
    failure::report(&failure.into());
}

fn describe(out: &mut dyn Write, sweep: &Sweep, n_workers: usize) -> std::io::Result<()> {
    let n_runs = sweep.runs().count();
    writeln!(
        out,
        "sweep     {}: {} and {}, {}",
        sweep.name(),
        text::count(n_runs / sweep.n_seeds(), "combination"),
        text::count(sweep.n_seeds(), "seed"),
        text::count(n_runs, "run")
    )?;
    for axis in sweep.axes() {
        writeln!(out, "vary      {}: {}", axis.path, axis.values.join(", "))?;
    }
    writeln!(out, "device    {}, {}", compute::describe(), text::count(n_workers, "loader thread"))?;
    writeln!(out, "folder    {}", sweep.path().display())?;
    let n_settled = sweep.runs().filter(|state: &&RunState| state.is_settled()).count();
    if n_settled > 0 {
        writeln!(out, "done      {n_settled} of {}", text::count(n_runs, "run"))?;
    }
    out.flush()
}

/// The error with what the command line can do about it.
fn in_words_of_the_command_line(error: SweepError) -> anyhow::Error {
    let message = error.to_string();
    let hint = error.hint();
    match error {
        SweepError::Axis { axis, what } => Failure::usage(
            format!("`--vary {axis}`: {what}"),
            "write `--vary PATH=VALUE,VALUE`, for instance `--vary data.batch=64,128`",
        ),
        SweepError::Twice { path } => Failure::usage(
            message,
            format!("write all its values in one list: `--vary {path}=VALUE,VALUE`"),
        ),
        SweepError::SeedAxis => Failure::usage(
            message,
            "ask for more seeds with `--seeds 3`, and for another first one with `--set seed=10`",
        ),
        SweepError::TooMany { .. } => Failure::usage(message, "vary fewer values at once"),
        SweepError::Combination { source, .. } => {
            failure::report(&in_words_of_the_command_line(*source));
            Failure::new(
                message,
                "no run was started; leave out this value, or change the pipeline with `--set`",
            )
        }
        SweepError::Missing { path } => missing(&path),
        SweepError::NotASweep { path, is_run: true, .. } => {
            Failure::new(message, format!("it is a run: `moco run --resume {}`", path.display()))
        }
        SweepError::None { .. } => Failure::new(
            message,
            "leave out `--resume` to start one, or name its folder: `--resume DIR`",
        ),
        SweepError::Other { path } => Failure::new(
            message,
            format!(
                "go on with it as it was started: `moco sweep --resume {}`; or leave out `--resume` to start anew",
                path.display()
            ),
        ),
        SweepError::Pipeline(error) => return error.into(),
        SweepError::Folder(error) => return error.into(),
        SweepError::Loader(error) => return error.into(),
        SweepError::Dataset(error) => return error.into(),
        _ => match hint {
            Some(hint) => Failure::new(message, hint),
            None => Failure::plain(message),
        },
    }
    .into()
}
