//! `moco sweep`: a pipeline with several values and seeds, and a table of what came of it.

mod axes;
mod folder;
mod layout;
mod pace;
mod plan;
mod spread;
mod table;
mod train;

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use train_core::trainer::{Finished, Summary};

use self::axes::overrides;
use self::folder::{State, Sweep, SweepFolder};
use self::pace::Pace;
use self::table::Table;
use crate::failure::{self, Failure, STOPPED};
use crate::program::program;
use crate::run::{WhileRead, stop_on_signal, took};
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
    let n_workers = arguments.workers.unwrap_or_else(compute::default_workers).get();
    let (folder, mut sweep) = match &arguments.resume {
        Some(of) => plan::resumed(arguments, of.as_deref(), &device)?,
        None => {
            let (sweep, pipeline) = plan::planned(arguments, &device)?;
            (SweepFolder::create(&sweep, &pipeline, arguments.out.clone())?, sweep)
        }
    };
    let _lock = folder.lock()?;
    let out = &mut WhileRead(out);
    describe(out, &sweep, &folder, n_workers)?;

    static STOP: AtomicBool = AtomicBool::new(false);
    stop_on_signal(&STOP)?;
    let pipeline = folder.pipeline()?;
    let mut pace = Pace::default();
    for place in 0..sweep.runs.len() {
        if sweep.runs[place].state.is_settled() {
            continue;
        }
        if STOP.load(Ordering::Relaxed) {
            return stopped(out, &folder, &sweep, place);
        }
        announce(out, &sweep, place, pace)?;
        let start = Instant::now();
        let outcome = train::train(&sweep, place, &folder, &pipeline, &device, n_workers, &STOP);
        let seconds = start.elapsed().as_secs_f64();
        let is_whole = sweep.runs[place].seconds == 0.0;
        sweep.runs[place].seconds += seconds;
        match outcome {
            Ok(Finished::Completed(summary)) => {
                if is_whole {
                    pace.add(sweep.runs[place].n_images, seconds);
                }
                tell(out, &summary, seconds)?;
                sweep.learn(summary.before.iter().chain(&summary.after));
                sweep.runs[place].state = State::Completed;
            }
            Ok(Finished::Stopped { .. }) => return stopped(out, &folder, &sweep, place),
            Err(error) => {
                out.flush()?;
                failure::report(&error);
                sweep.runs[place].state = train::lost(&error);
            }
        }
        save(&folder, &sweep)?;
    }
    finished(out, &folder, &sweep)
}

/// The end of a sweep that was stopped in its run `place`, or before it.
fn stopped(
    out: &mut dyn Write,
    folder: &SweepFolder,
    sweep: &Sweep,
    place: usize,
) -> anyhow::Result<ExitCode> {
    save(folder, sweep)?;
    show_table(out, folder, sweep)?;
    writeln!(out, "\nstopped at run {} of {}", place + 1, sweep.runs.len())?;
    writeln!(out, "go on with: {} sweep --resume {}", program(), folder.path().display())?;
    Ok(ExitCode::from(STOPPED))
}

/// The end of a sweep that has been through all its runs.
fn finished(out: &mut dyn Write, folder: &SweepFolder, sweep: &Sweep) -> anyhow::Result<ExitCode> {
    save(folder, sweep)?;
    show_table(out, folder, sweep)?;
    writeln!(out, "the curves of all runs: tensorboard --logdir {}", folder.path().display())?;
    if sweep.runs.iter().any(|run| matches!(run.state, State::Failed(_))) {
        writeln!(out, "try again what failed: {} sweep --resume {}", program(), folder.path().display())?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(
    out: &mut dyn Write,
    sweep: &Sweep,
    folder: &SweepFolder,
    n_workers: usize,
) -> std::io::Result<()> {
    let n_combinations = sweep.runs.len() / sweep.n_seeds;
    writeln!(
        out,
        "sweep     {}: {} and {}, {}",
        sweep.name,
        text::count(n_combinations, "combination"),
        text::count(sweep.n_seeds, "seed"),
        text::count(sweep.runs.len(), "run")
    )?;
    for axis in &sweep.axes {
        writeln!(out, "vary      {}: {}", axis.path, axis.values.join(", "))?;
    }
    writeln!(out, "device    {}, {}", compute::describe(), text::count(n_workers, "loader thread"))?;
    writeln!(out, "folder    {}", folder.path().display())?;
    let n_settled = sweep.runs.iter().filter(|run| run.state.is_settled()).count();
    if n_settled > 0 {
        writeln!(out, "done      {} of {}", n_settled, text::count(sweep.runs.len(), "run"))?;
    }
    out.flush()
}

fn announce(out: &mut dyn Write, sweep: &Sweep, place: usize, pace: Pace) -> std::io::Result<()> {
    let run = &sweep.runs[place];
    let mut what = overrides(&sweep.axes, &run.combination);
    what.push(format!("seed={}", run.seed));
    let rest = pace.rest(sweep, place).map(|seconds| format!("  (ETA of the sweep {})", took(seconds)));
    writeln!(
        out,
        "\nrun {} of {}: {}{}",
        place + 1,
        sweep.runs.len(),
        what.join(", "),
        rest.unwrap_or_default()
    )?;
    out.flush()
}

fn tell(out: &mut dyn Write, summary: &Summary, seconds: f64) -> std::io::Result<()> {
    let metrics: Vec<String> = summary.after.iter().map(ToString::to_string).collect();
    let metrics = if metrics.is_empty() { String::new() } else { format!(": {}", metrics.join(", ")) };
    writeln!(out, "done in {}{metrics}", took(seconds))
}

fn save(folder: &SweepFolder, sweep: &Sweep) -> Result<(), Failure> {
    folder.save(sweep)?;
    let table = Table::of(sweep, folder.path());
    folder.write("table.md", &table.to_markdown())?;
    folder.write("table.csv", &table.to_csv())
}

fn show_table(out: &mut dyn Write, folder: &SweepFolder, sweep: &Sweep) -> std::io::Result<()> {
    writeln!(out, "\n{}", Table::of(sweep, folder.path()).to_markdown())?;
    writeln!(out, "kept as {0}/table.md and {0}/table.csv", folder.path().display())
}
