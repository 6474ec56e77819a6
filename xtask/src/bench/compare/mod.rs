//! `cargo xtask bench compare`: compares a training step with PyTorch's.
//!
//! [`row`] defines what is compared, [`child`] runs one program once, [`mode`] has the modes of PyTorch, [`duel`] runs
//! the two in turn, [`report`] prints the results.

mod child;
mod duel;
mod mode;
mod report;
mod row;

use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use self::{child::Program, duel::Duel, mode::Mode, report::Report, row::ROWS};
use crate::bench::Precision;
use moco_cli::Failure;
use moco_cli::pipeline_file::check_file;

/// Compare a training step with PyTorch's.
///
/// Runs training steps of this program and of a PyTorch script in turn, each in its own process, with the same number
/// of threads. A row is one model with one image size and batch size. PyTorch first runs once in each of its modes, and
/// the fastest is used for all rounds. The two take turns at starting a round. The table has the median over the
/// rounds, the minimum and maximum in brackets, and the ratio to PyTorch: higher is better for images per second, lower
/// for memory. Memory is the peak of a process.
///
/// The script takes `speed`, the arguments of `cargo xtask bench step`, `--channels-last`, `--compile` and `--bf16`,
/// and prints a JSON line with `images_per_s` and `peak_mib`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Python interpreter with PyTorch.
    #[arg(long, value_name = "PYTHON")]
    python: PathBuf,
    /// PyTorch script to compare with.
    #[arg(long, value_name = "SCRIPT")]
    peer: PathBuf,
    /// Rounds, each with one run per program.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(5).expect("5 is not 0"))]
    rounds: NonZeroUsize,
    /// Row to run; may be given several times [default: all rows].
    #[arg(long, value_name = "ROW", value_parser = clap::builder::PossibleValuesParser::new(row::names()))]
    only: Vec<String>,
    /// Precision of both: bf16 applies between the layers of the encoder here, and is `--bf16` for the script.
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    /// PyTorch modes to choose from.
    #[arg(long, value_name = "MODES", value_enum, value_delimiter = ',', default_values_t = Mode::ALL)]
    peer_modes: Vec<Mode>,
    /// Timed steps per run; their median counts.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(5).expect("5 is not 0"))]
    steps: NonZeroUsize,
    /// Compute threads of each program.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(2).expect("2 is not 0"))]
    threads: NonZeroUsize,
    /// Also write all measurements to this file, one JSON line per row, each when the row is done.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench compare --python venv/bin/python --peer torch_moco.py
  cargo xtask bench compare --python venv/bin/python --peer torch_moco.py --only v2-resnet18 --rounds 9
  cargo xtask bench compare --python venv/bin/python --peer torch_moco.py --peer-modes channels-last,compile --json out.jsonl";

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let ours = Program::new(std::env::current_exe()?, ["bench", "step"].map(Into::into));
    let peer = peer(&arguments.python, &arguments.peer)?;
    // Opened now, because after an hour of measuring it is too late to find out that it cannot be written.
    let mut json = arguments.json.as_deref().map(create).transpose()?;
    let duel = Duel {
        ours: &ours,
        peer: &peer,
        modes: &arguments.peer_modes,
        n_rounds: arguments.rounds.get(),
        precision: arguments.precision,
        options: [("--threads", arguments.threads), ("--steps", arguments.steps)]
            .into_iter()
            .flat_map(|(option, value)| [option.to_owned(), value.to_string()])
            .collect(),
    };
    let mut reports = Vec::new();
    for row in ROWS.iter().filter(|row| is_asked_for(row.name, &arguments.only)) {
        let report = Report::of(
            row.name,
            arguments.threads.get(),
            arguments.precision,
            duel.fight(row, &mut std::io::stderr())?,
        )?;
        if let Some(file) = &mut json {
            writeln!(file, "{}", serde_json::to_string(&report)?)?;
        }
        reports.push(report);
    }
    out.write_all(report::table(&reports).as_bytes())?;
    Ok(())
}

fn is_asked_for(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|asked| asked == name)
}

fn peer(python: &Path, script: &Path) -> Result<Program, Failure> {
    check_file(script)?;
    Ok(Program::new(python, [script.as_os_str().to_owned(), "speed".into()]))
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| {
        Failure::new(
            format!("`{}` cannot be written: {error}", path.display()),
            "use `--json` with a file in an existing folder",
        )
    })
}
