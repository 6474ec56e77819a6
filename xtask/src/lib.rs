//! The developers' command line, `cargo xtask`: benchmarks, comparisons with the reference, and `ci`. All other commands are
//! those of [`moco_cli`].

mod bench;
mod ci;
mod parity;
mod reference_pipeline;

use std::process::ExitCode;

use clap::Subcommand;
use moco_cli::together::refuse_several;

const NAME: &str = "cargo xtask";

/// The help of each command is on its `Arguments`: one line, then a paragraph that `--help` shows.
#[derive(Subcommand)]
enum Command {
    Parity(parity::Arguments),
    Bench(bench::Arguments),
    Ci(ci::Arguments),
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Parity(_) => "parity",
            Self::Bench(_) => "bench",
            Self::Ci(_) => "ci",
        }
    }

    fn runs_in_several_processes(&self) -> bool {
        matches!(self, Self::Bench(arguments) if arguments.is_step())
    }
}

/// The program. `main.rs` sets its allocator.
pub fn main() -> ExitCode {
    moco_cli::main_with(NAME, |command: Command, out| {
        if !command.runs_in_several_processes() {
            refuse_several(command.name())?;
        }
        match command {
            Command::Parity(arguments) => parity::run(&arguments, out),
            Command::Bench(arguments) => bench::run(&arguments, out),
            Command::Ci(arguments) => ci::run(&arguments),
        }
    })
}

/// The command line as clap has it, which runs nothing: for tests.
pub fn command_line() -> clap::Command {
    moco_cli::command_line_with::<Command>(NAME)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_command_has_a_paragraph_and_examples() {
        moco_cli::check_help::<super::Command>(super::NAME);
    }
}
