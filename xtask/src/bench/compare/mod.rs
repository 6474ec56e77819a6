//! `cargo xtask bench compare`: a training step beside PyTorch's.
//!
//! [`row`] says what is compared, [`child`] runs one program once, [`mode`] has the ways in which PyTorch can run,
//! [`duel`] takes the two in turn, [`report`] shows what came of it.

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
/// Takes whole training steps of ours and of a PyTorch script in turn, each in a process of its own, on as many threads. A
/// row is one model and one size of image and batch. PyTorch first runs once in each of its modes, and the fastest stays for
/// the rounds; the side that begins changes from round to round. The table has the medians over the rounds, in brackets the
/// least and the most, and ours divided by PyTorch's: more is better for images per second, less for memory. Memory is the
/// most that a process has had.
///
/// The script takes `speed` and then the arguments of `cargo xtask bench step`, `--channels-last`, `--compile` and `--bf16`, and prints
/// a JSON line with `images_per_s` and `peak_mib`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A Python that has PyTorch.
    #[arg(long, value_name = "PYTHON")]
    python: PathBuf,
    /// The script that trains with PyTorch.
    #[arg(long, value_name = "SCRIPT")]
    peer: PathBuf,
    /// How often each side runs.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(5).expect("5 is not 0"))]
    rounds: NonZeroUsize,
    /// Only this row, and others so named; all of them if nothing is said.
    #[arg(long, value_name = "ROW", value_parser = clap::builder::PossibleValuesParser::new(row::names()))]
    only: Vec<String>,
    /// In which precision both compute: bf16 is ours between the layers of the encoder, and the script's `--bf16`.
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    /// The modes of PyTorch to choose from.
    #[arg(long, value_name = "MODES", value_enum, value_delimiter = ',', default_values_t = Mode::ALL)]
    peer_modes: Vec<Mode>,
    /// Timed steps of each run; their median counts.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(5).expect("5 is not 0"))]
    steps: NonZeroUsize,
    /// Threads that compute, on each side.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(2).expect("2 is not 0"))]
    threads: NonZeroUsize,
    /// Also writes every measurement to this file, a JSON line a row, each as soon as the row is done.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench compare --python venv/bin/python --peer torch_moco.py
  cargo xtask bench compare --python venv/bin/python --peer torch_moco.py --only v2-resnet18 --rounds 9
  cargo xtask bench compare --python venv/bin/python --peer torch_moco.py --peer-modes channels-last,compile --json out.jsonl";

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    let ours = Program::new(std::env::current_exe()?, ["bench", "step"].map(Into::into));
    let peer = peer(&arguments.python, &arguments.peer)?;
    // Now, for an hour from now would be late to learn that it cannot be written.
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
            "name a file in a folder that is there, with `--json`",
        )
    })
}
