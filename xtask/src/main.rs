//! The command line: `cargo xtask <command>`.
//!
//! One file a command, each with its arguments and a `run`. What several of them need has modules of its own: [`compute`]
//! (device and threads), [`pipeline_file`] (reading one, with a hint where it is missing), [`runs`] (opening what a run
//! has written), [`choice`] (options for which features), [`encoding`] (a trained encoder and images for it), [`trained`]
//! (an encoder and the labeled images to measure it on), [`encoder`] (which modules are a pipeline's encoder),
//! [`evaluation_folder`] and [`by_class`] (what measuring writes), [`new_file`] (not writing over files), [`sheet`] and
//! [`confusion`] (drawing), [`reference_pipeline`] (pipelines written by commands), [`failure`] (errors and exit codes), [`text`]
//! (laying out).
//!
//! Results go to standard output through the `out` that each command is given, so that a closed pipe is an ordinary
//! error; everything else goes to standard error.

mod bench;
mod by_class;
mod check;
mod choice;
mod compute;
mod confusion;
mod device;
mod embed;
mod encoder;
mod encoding;
mod evaluation_folder;
mod export;
mod failure;
mod finetune;
mod graph;
mod import;
mod knn;
mod linear;
mod neighbors;
mod new_file;
mod parity;
mod pipeline_file;
mod plugins_list;
mod reference_pipeline;
mod run;
mod runs;
mod sheet;
mod sweep;
mod text;
mod trained;
mod views;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
// Without this line no plugin would be linked in.
use plugins as _;

/// Keeps the big buffers of a step for the next one, see [`tensor_ops::keep_memory`].
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// MoCo v1, v2 and v3: self-supervised pre-training of image encoders, declared as pipelines of plugins.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100, after_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// What computes: `cpu`, or `cuda`, `cuda:1`, … in a build with CUDA; that build's default is `cuda`.
    #[arg(long, global = true, value_name = "DEVICE", display_order = 900)]
    device: Option<moco::DeviceChoice>,
}

const EXAMPLES: &str = "\
A first run, which needs no download:
  cargo xtask check pipelines/mocov2.ron    is anything wrong with the file?
  cargo xtask views pipelines/mocov2.ron    a picture of what the encoder will see
  cargo xtask run pipelines/mocov2.ron      train; a few minutes on two cores
  cargo xtask knn runs/mocov2-001           measure the trained encoder

Exit codes: 0 done, 1 failed, 2 wrong arguments, 130 a run stopped by Ctrl-C.";

/// Each command's help is on its `Arguments`: a line, then a paragraph that `--help` shows.
#[derive(Subcommand)]
enum Command {
    Run(run::Arguments),
    Sweep(sweep::Arguments),
    Check(check::Arguments),
    Plugins(plugins_list::Arguments),
    Graph(graph::Arguments),
    Knn(knn::Arguments),
    Embed(embed::Arguments),
    Neighbors(neighbors::Arguments),
    Export(export::Arguments),
    Import(import::Arguments),
    Linear(linear::Arguments),
    Finetune(finetune::Arguments),
    Views(views::Arguments),
    Parity(parity::Arguments),
    Bench(bench::Arguments),
    Device(device::Arguments),
}

fn main() -> ExitCode {
    tensor_ops::keep_memory();
    let CommandLine { command, device } = CommandLine::parse();
    if let Some(device) = device {
        moco::choose_device(device);
    }
    let mut out = std::io::stdout();
    let outcome = dispatch(command, &mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    outcome.unwrap_or_else(|error| failure::report(&error))
}

fn dispatch(command: Command, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    compute::choose_kernels()?;
    plugin_api::check_registry()?;
    match command {
        Command::Run(arguments) => run::run(arguments, out),
        Command::Sweep(arguments) => sweep::run(&arguments, out),
        Command::Check(arguments) => check::run(&arguments, out),
        Command::Plugins(arguments) => plugins_list::run(&arguments, out),
        Command::Graph(arguments) => graph::run(&arguments, out),
        Command::Knn(arguments) => knn::run(&arguments, out),
        Command::Embed(arguments) => embed::run(&arguments, out),
        Command::Neighbors(arguments) => neighbors::run(&arguments, out),
        Command::Export(arguments) => export::run(&arguments, out),
        Command::Import(arguments) => import::run(&arguments, out),
        Command::Linear(arguments) => linear::run(&arguments, out),
        Command::Finetune(arguments) => finetune::run(&arguments, out),
        Command::Views(arguments) => views::run(&arguments, out),
        Command::Parity(arguments) => parity::run(&arguments, out),
        Command::Bench(arguments) => bench::run(&arguments, out),
        Command::Device(arguments) => device::run(&arguments, out),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent_and_every_command_has_a_paragraph_and_examples() {
        let mut command = CommandLine::command();
        command.build();
        command.clone().debug_assert();
        let lacks = |command: &clap::Command| {
            command.get_about().is_none()
                || command.get_long_about().is_none()
                || command.get_after_help().is_none()
        };
        let lacking: Vec<&str> = command
            .get_subcommands()
            .filter(|command| command.get_name() != "help" && lacks(command))
            .map(clap::Command::get_name)
            .collect();
        assert!(lacking.is_empty(), "no help, paragraph or examples: {lacking:?}");
    }
}
