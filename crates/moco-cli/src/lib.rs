//! The command line: `moco <command>`.
//!
//! One file a command, each with its arguments and a `run`. What several of them need has modules of its own: [`compute`]
//! (device and threads), [`pipeline_file`] (reading one, with a hint where it is missing), [`runs`] (opening what a run
//! has written), [`choice`] (options for which features), [`encoding`] (a trained encoder and images for it), [`trained`]
//! (an encoder and the labeled images to measure it on), [`encoder`] (which modules are a pipeline's encoder),
//! [`evaluation_folder`] and [`by_class`] (what measuring writes), [`new_file`] (not writing over files), [`sheet`] and
//! [`confusion`] (drawing), [`failure`] (errors and exit codes), [`text`]
//! (laying out).
//!
//! Results go to standard output through the `out` that each command is given, so that a closed pipe is an ordinary
//! error; everything else goes to standard error.

mod by_class;
mod check;
mod choice;
pub mod compute;
mod confusion;
mod device;
mod embed;
mod encoder;
mod encoding;
mod evaluation_folder;
mod export;
pub mod failure;
mod finetune;
mod graph;
mod import;
mod knn;
mod linear;
mod neighbors;
mod new_file;
pub mod pipeline_file;
mod plugins_list;
mod program;
mod progress;
mod run;
mod runs;
mod sheet;
mod sweep;
pub mod text;
mod trained;
mod views;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
// Without this line no plugin would be linked in.
use plugins as _;

pub use self::failure::Failure;
pub use self::program::program;

/// MoCo v1, v2 and v3: self-supervised pre-training of image encoders, declared as pipelines of plugins.
#[derive(Parser)]
#[command(name = "moco", version, max_term_width = 100, after_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// What computes: `cpu`, or `cuda`, `cuda:1`, … in a build with CUDA; that build's default is `cuda`.
    #[arg(long, global = true, value_name = "DEVICE", display_order = 900)]
    device: Option<moco::DeviceChoice>,
}

const EXAMPLES: &str = "\
A first run, which needs no download:
  moco check pipelines/mocov2.ron    is anything wrong with the file?
  moco views pipelines/mocov2.ron    a picture of what the encoder will see
  moco run pipelines/mocov2.ron      train; a few minutes on two cores
  moco knn runs/mocov2-001           measure the trained encoder

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
    Device(device::Arguments),
}

/// The whole command line, with the plugins of this workspace and those that the calling program links in.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// // use my_plugin as _;
///
/// fn main() -> ExitCode {
///     moco_cli::main()
/// }
/// ```
pub fn main() -> ExitCode {
    main_with::<NoCommands>(&program::name_of_this_program(), |none, _| match none {})
}

/// [`main`] of a program called `name` with commands of its own, the variants of `C`, which `run` runs.
///
/// `run` writes its results to the `Write` that it is given, so that a closed pipe is an ordinary error.
pub fn main_with<C: Subcommand>(
    name: &str,
    run: impl FnOnce(C, &mut dyn Write) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    program::set_program(name);
    let matches = command_line::<C>(name).get_matches();
    let mut out = std::io::stdout();
    let outcome = dispatch(&matches, run, &mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    outcome.unwrap_or_else(|error| failure::report(&error))
}

/// No commands but those of this crate.
#[derive(Subcommand)]
enum NoCommands {}

fn command_line<C: Subcommand>(name: &str) -> clap::Command {
    let command = C::augment_subcommands(CommandLine::command());
    program::named_command(command, name).bin_name(name)
}

fn dispatch<C: Subcommand>(
    matches: &clap::ArgMatches,
    run: impl FnOnce(C, &mut dyn Write) -> anyhow::Result<ExitCode>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    if let Some(device) = matches.get_one::<moco::DeviceChoice>("device") {
        moco::choose_device(*device);
    }
    compute::choose_kernels()?;
    plugin_api::check_registry()?;
    if matches.subcommand_name().is_some_and(C::has_subcommand) {
        return run(C::from_arg_matches(matches).unwrap_or_else(|error| error.exit()), out);
    }
    let CommandLine { command, .. } =
        CommandLine::from_arg_matches(matches).unwrap_or_else(|error| error.exit());
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
        Command::Device(arguments) => device::run(&arguments, out),
    }
}

/// Checks the help of every command of a program called `name` with the commands `C`, for a test: each has a line, a
/// paragraph and examples, and the arguments are consistent.
///
/// # Panics
/// If one lacks something.
pub fn check_help<C: Subcommand>(name: &str) {
    let mut command = command_line::<C>(name);
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

#[cfg(test)]
mod tests {
    #[test]
    fn every_command_has_a_paragraph_and_examples() {
        super::check_help::<super::NoCommands>("moco");
    }
}
