//! `moco sweep`: trains variations of a pipeline with several seeds, and compares them in a table.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use ::sweep::{Axis, RunOutcome, RunStart, RunState, Sweep, SweepEnd, SweepError, SweepObserver, Variations};
use tensor_ops::Device;
use train_core::trainer::Observer;

use crate::failure::{self, Failure, STOPPED};
use crate::hint::Hint;
use crate::pipeline_file::{check_file, missing};
use crate::program::program;
use crate::progress::Progress;
use crate::run::{WhileRead, format_seconds, stop_on_signal};
use crate::runs::ROOT;
use crate::{compute, cores, json, shell, text};

/// Train variations of a pipeline with several seeds, and compare them in a table.
///
/// Trains the pipeline in FILE once for each combination of the values in `--vary`, and for each seed. Every
/// combination is checked before the first run starts. All combinations are trained with the first seed before the
/// second seed starts, so a sweep that is stopped early has results for each.
///
/// Each sweep has its own folder, `runs/sweep-NAME-001` and so on, with a folder for each run. After each run, it
/// writes `table.md` and `table.csv`: one row per combination, with mean, sample standard deviation and range over the
/// completed runs. If a run diverges or fails, the reason is recorded and the sweep continues. Ctrl-C or SIGTERM stops
/// the current run and saves a checkpoint; `--resume` continues from there.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Pipeline file (RON). Not needed with `--resume`.
    #[arg(required_unless_present = "resume")]
    file: Option<PathBuf>,
    /// Values to try, for instance `data.batch=64,128`, with the same paths and values as `--set`. Commas inside
    /// brackets and quotation marks do not separate values. If given several times, every combination is tried.
    #[arg(long, value_name = "PATH=VALUE,VALUE", requires = "file")]
    vary: Vec<String>,
    /// Runs per combination: with the pipeline's seed, the next one, and so on [default: 1].
    #[arg(long, value_name = "N", requires = "file")]
    seeds: Option<NonZeroUsize>,
    /// Override a value in the pipeline, in every run.
    #[arg(long, value_name = "PATH=VALUE", requires = "file")]
    set: Vec<String>,
    /// Sweep folder, which must be new or empty [default: the next number in runs/].
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Resume a sweep: skip completed runs, resume interrupted ones, retry failed ones [default: the newest sweep, or
    /// the newest sweep of FILE's pipeline].
    #[arg(long, value_name = "DIR")]
    resume: Option<Option<PathBuf>>,
    /// Data loader workers [default: one per core]. The result does not depend on it.
    #[arg(long, value_name = "N", value_parser = cores::count)]
    workers: Option<NonZeroUsize>,
    /// Compute threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    threads: Option<NonZeroUsize>,
    /// Print one JSON object at the end; what is said on the way goes to standard error.
    ///
    /// Print one JSON object at the end; what is said on the way goes to standard error. It has `folder`, `paths` (what was varied),
    /// `seeds`, `stopped`, `lost` (runs without a result, with their reasons), and `rows`, one per combination: `values` (of
    /// the paths, as text), `completed`, `diverged`, `failed`, `waiting`, `epochs_min`, `epochs_max`, and `results`: for each
    /// metric, `loss` and `seconds` an object with `mean`, `sd`, `min` and `max` over the completed runs, or `null`.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  moco sweep pipelines/mocov2.ron --seeds 3
      how much do results vary between seeds?
  moco sweep pipelines/mocov2.ron --vary momentum.start=0.9,0.99,0.999 --seeds 3
  moco sweep pipelines/mocov2.ron --vary data.batch=32,64 --vary learning_rate.base=0.03,0.06
      2 x 2 combinations
  moco sweep pipelines/mocov2.ron --vary 'modules.head=(\"mlp\", ()),(\"linear\", ())'
      with and without the MLP head
  moco sweep --resume            resume the newest sweep
  moco sweep --resume runs/sweep-mocov2-001

The studies of the MoCo v3 paper, on a pipeline with the modules `backbone` and `projector`:
  --vary data.batch=1024,2048,4096      with `scale: PerImages(256)` the learning rate scales too
  --vary learning_rate.base=5e-5,1e-4,1.5e-4
  --vary optimizer.weight_decay=0.03,0.1,0.3
  --vary momentum.start=0.0,0.9,0.99,0.999
  --vary modules.backbone.freeze_patch_projection=false,true
  --vary modules.backbone.position=SinCos,Learned,None
  --vary modules.backbone.pool=ClassToken,Mean,MeanWithoutNorm
  --vary 'modules.projector.norm=Batch,None' --set modules.projector.last_norm=false

Exit codes: 0 every run completed or diverged, 1 at least one run failed, 130 stopped by Ctrl-C.";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let device = compute::start(arguments.threads)?;
    let workers = arguments.workers.unwrap_or_else(compute::default_workers);
    let mut sweep = arguments.sweep(&device)?;
    let out = &mut WhileRead(out);
    let mut err = std::io::stderr();
    let on_the_way: &mut dyn Write = if arguments.json { &mut err } else { &mut *out };
    describe(on_the_way, &sweep, workers.get())?;
    static STOP: AtomicBool = AtomicBool::new(false);
    stop_on_signal(&STOP)?;
    let end = sweep.train(&device, workers, &mut Printed(on_the_way), &STOP).map_err(with_hint)?;
    let path = sweep.path().display();
    if arguments.json {
        let mut result = sweep.table_json();
        result["folder"] = path.to_string().into();
        result["stopped"] = matches!(end, SweepEnd::Stopped { .. }).into();
        json::print(out, &result)?;
        return Ok(match end {
            SweepEnd::Stopped { .. } => ExitCode::from(STOPPED),
            SweepEnd::Finished { n_failed: 0 } => ExitCode::SUCCESS,
            SweepEnd::Finished { .. } => ExitCode::FAILURE,
        });
    }
    writeln!(out, "\n{}", sweep.table())?;
    writeln!(out, "written to {path}/table.md and {path}/table.csv")?;
    match end {
        SweepEnd::Stopped { run } => {
            writeln!(out, "\nstopped at run {} of {}", run + 1, sweep.runs().count())?;
            writeln!(out, "resume with: {} sweep --resume {}", program(), shell::quoted(&path.to_string()))?;
            Ok(ExitCode::from(STOPPED))
        }
        SweepEnd::Finished { n_failed } => {
            writeln!(out, "learning curves: tensorboard --logdir {path}")?;
            if n_failed > 0 {
                let path = shell::quoted(&path.to_string());
                writeln!(out, "retry failed runs: {} sweep --resume {path}", program())?;
                return Ok(ExitCode::FAILURE);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Arguments {
    fn sweep(&self, device: &Device) -> Result<Sweep, Failure> {
        let root = Path::new(ROOT);
        let variations = self.file.as_deref().map(|file| self.variations(file)).transpose()?;
        let sweep = match (&variations, &self.resume) {
            (Some(variations), None) => Sweep::create(variations, root, self.out.clone(), device),
            (Some(variations), Some(of)) => {
                Sweep::of(variations, root, of.as_deref().map(moco::find_run).as_deref(), device)
            }
            (None, Some(Some(path))) => Sweep::open(&moco::find_run(path)),
            // Without a file, clap requires `--resume`.
            (None, Some(None) | None) => Sweep::newest(root),
        };
        sweep.map_err(with_hint)
    }

    fn variations(&self, file: &Path) -> Result<Variations, Failure> {
        let axes = self.vary.iter().map(|argument| Axis::parse(argument)).collect::<Result<Vec<_>, _>>();
        let axes = axes.map_err(with_hint)?;
        check_file(file)?;
        let n_seeds = self.seeds.map_or(1, NonZeroUsize::get);
        Ok(Variations { file: file.into(), set: self.set.clone(), axes, n_seeds })
    }
}

/// Prints the events of a sweep.
struct Printed<'a>(&'a mut dyn Write);

impl SweepObserver for Printed<'_> {
    fn run_started(&mut self, run: &RunStart<'_>) {
        let rest = run.rest_seconds.map(|seconds| format!("  (sweep ETA {})", format_seconds(seconds)));
        let what = run.overrides.join(", ");
        // `WhileRead` ignores a closed pipe; other errors of standard output do not end a sweep.
        let _ =
            writeln!(self.0, "\nrun {} of {}: {what}{}", run.run + 1, run.n_runs, rest.unwrap_or_default());
        let _ = self.0.flush();
    }

    fn of_run(&mut self) -> Box<dyn Observer> {
        Box::new(Progress::new("untrained"))
    }

    fn run_ended(&mut self, outcome: &RunOutcome<'_>) {
        match outcome {
            RunOutcome::Completed { summary, seconds } => {
                let metrics: Vec<String> = summary.after.iter().map(ToString::to_string).collect();
                let metrics =
                    if metrics.is_empty() { String::new() } else { format!(": {}", metrics.join(", ")) };
                let _ = writeln!(self.0, "done in {}{metrics}", format_seconds(*seconds));
            }
            RunOutcome::Diverged(error) => print_error(&error.to_string(), Hint::hint(*error)),
            RunOutcome::Failed(SweepError::Pipeline(pipeline::PipelineError::Fault(fault))) => {
                failure::print_fault(fault);
            }
            RunOutcome::Failed(error) => print_error(&error.to_string(), Hint::hint(*error)),
        }
    }
}

fn print_error(message: &str, hint: Option<String>) {
    let failure = match hint {
        Some(hint) => Failure::new(message, hint),
        None => Failure::plain(message),
    };
    failure::report(&failure);
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
    writeln!(out, "device    {}, {}", compute::describe(), text::count(n_workers, "data loader worker"))?;
    writeln!(out, "folder    {}", sweep.path().display())?;
    let n_settled = sweep.runs().filter(|state: &&RunState| state.is_settled()).count();
    if n_settled > 0 {
        writeln!(out, "done      {n_settled} of {}", text::count(n_runs, "run"))?;
    }
    out.flush()
}

/// Adds the command line's own hint to an error.
fn with_hint(error: SweepError) -> Failure {
    let message = error.to_string();
    let hint = Hint::hint(&error);
    match error {
        SweepError::Axis { axis, what } => Failure::usage(
            format!("`--vary {axis}`: {what}"),
            "write `--vary PATH=VALUE,VALUE`, for instance `--vary data.batch=64,128`",
        ),
        SweepError::Twice { path } => {
            Failure::usage(message, format!("write all its values in one list: `--vary {path}=VALUE,VALUE`"))
        }
        SweepError::SeedAxis => Failure::usage(
            message,
            "use `--seeds 3` for more seeds, and `--set seed=10` for another first seed",
        ),
        SweepError::TooMany { .. } => Failure::usage(message, "vary fewer values at once"),
        SweepError::Combination { source, .. } => {
            failure::report(&with_hint(*source));
            Failure::new(message, "no run was started; omit this value, or change the pipeline with `--set`")
        }
        SweepError::Missing { path } => missing(&path),
        SweepError::NotASweep { path, is_run: true, .. } => Failure::new(
            message,
            format!("this is a run, not a sweep: `moco run --resume {}`", shell::path(&path)),
        ),
        SweepError::None { .. } => {
            Failure::new(message, "omit `--resume` to start one, or give its folder: `--resume DIR`")
        }
        SweepError::Other { path } => Failure::new(
            message,
            format!(
                "resume it with its original arguments: `moco sweep --resume {}`; or omit `--resume` to start a new one",
                shell::path(&path)
            ),
        ),
        SweepError::Pipeline(error) => error.into(),
        SweepError::Folder(error) => error.into(),
        SweepError::Loader(error) => error.into(),
        SweepError::Dataset(error) => error.into(),
        _ => match hint {
            Some(hint) => Failure::new(message, hint),
            None => Failure::plain(message),
        },
    }
}
