//! The developers' command line, `cargo xtask`: benchmarks, comparisons with the reference, and `ci`. All other commands are
//! those of [`moco_cli`].

mod bench;
mod ci;
mod parity;
mod reference_pipeline;

use std::process::ExitCode;

use clap::Subcommand;

const NAME: &str = "cargo xtask";

/// The help of each command is on its `Arguments`: one line, then a paragraph that `--help` shows.
#[derive(Subcommand)]
enum Command {
    Parity(parity::Arguments),
    Bench(bench::Arguments),
    Ci(ci::Arguments),
}

/// The program. `main.rs` sets its allocator.
pub fn main() -> ExitCode {
    moco_cli::main_with(NAME, |command, out| match command {
        Command::Parity(arguments) => parity::run(&arguments, out),
        Command::Bench(arguments) => bench::run(&arguments, out),
        Command::Ci(arguments) => ci::run(&arguments),
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
