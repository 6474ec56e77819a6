//! The command line: `moco <command>`.
//!
//! There is one file per command, each with its arguments and a `run`. Shared code has its own modules: `compute`
//! (device and threads), `pipeline_file` (reading a pipeline, with a hint if it is missing), `runs` (what runs there are, and the newest), `json` (results for programs),
//! `choice` (options for features), `encoding` (a trained encoder and images for it), `trained` (an encoder and
//! labeled images to evaluate it on), `by_class` (results of an evaluation), `going_on` (trainings that stop and go on), `new_file` (not overwriting files), `source` (images for commands that need no encoder), `image_list` (writing lists), `image_pass` (a pass over images with a trained network),
//! `notes` (what listing left out), `numbers` (numbers among the arguments), `moved` (images that have moved), `from` (a run that starts from another), `together` (several processes), `interrupt` (Ctrl-C), `failure` and `hint` (errors and exit codes), `bug` (panics), `output` (standard output), `text` (layout).
//!
//! Results are written to `out`, which is standard output, so a closed pipe is an ordinary error. Everything else is
//! written to standard error.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod attend;
mod bug;
mod by_class;
mod check;
mod choice;
mod completions;
pub mod compute;
mod cores;
mod device;
mod embed;
mod encoding;
mod export;
pub mod failure;
mod finetune;
mod from;
mod going_on;
mod graph;
mod hint;
mod image_list;
mod image_pass;
mod import;
mod interrupt;
mod json;
mod knn;
mod linear;
mod manual;
mod map;
mod missing_path;
mod moved;
mod neighbors;
mod new_file;
mod new_plugin;
mod notes;
mod numbers;
mod output;
mod pack;
pub mod pipeline_file;
mod plugins_built;
mod plugins_list;
mod predict;
mod program;
mod progress;
mod ranks;
mod report;
mod run;
mod runs;
mod scan;
mod schema;
mod shell;
mod source;
mod summary;
mod sweep;
pub mod text;
pub mod together;
mod train;
mod trained;
mod views;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
// Without this line, no plugin would be linked in.
use plugins as _;

pub use self::failure::Failure;
pub use self::hint::Hint;
pub use self::program::program;

/// Self-supervised pre-training of image encoders with MoCo v1, v2 and v3.
#[derive(Parser)]
#[command(name = "moco", version, max_term_width = 100, after_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// Device to compute on: `cpu`, or in a build with CUDA `cuda`, `cuda:1`, ... [default: `cuda` in a build with
    /// CUDA, otherwise `cpu`].
    #[arg(long, global = true, value_name = "DEVICE", display_order = 900)]
    device: Option<moco::DeviceChoice>,
}

const EXAMPLES: &str = "\
Your own images:
  moco train FOLDER                  choose everything by what is in the folder, and train

A first run, which needs no download:
  moco check pipelines/mocov2.ron    check the pipeline
  moco views pipelines/mocov2.ron    draw augmented images
  moco run pipelines/mocov2.ron      train (a few minutes on two cores)
  moco report runs/mocov2-001        a page that shows the run
  moco knn runs/mocov2-001           evaluate the encoder

Exit codes: 0 success, 1 failure, 2 invalid arguments, 75 the time of `run --for` is up, 130 stopped by a signal.";

/// The help of each command is on its `Arguments`: one line, then a paragraph that `--help` shows.
#[derive(Subcommand)]
enum Command {
    Train(train::Arguments),
    Run(run::Arguments),
    Runs(runs::Arguments),
    Sweep(sweep::Arguments),
    Report(report::Arguments),
    Check(check::Arguments),
    Summary(summary::Arguments),
    Plugins(plugins_list::Arguments),
    NewPlugin(new_plugin::Arguments),
    Graph(graph::Arguments),
    Knn(knn::Arguments),
    Embed(embed::Arguments),
    Neighbors(neighbors::Arguments),
    Attend(attend::Arguments),
    Map(map::Arguments),
    Export(export::Arguments),
    Import(import::Arguments),
    Linear(linear::Arguments),
    Finetune(finetune::Arguments),
    Predict(predict::Arguments),
    Views(views::Arguments),
    Scan(scan::Arguments),
    Pack(pack::Arguments),
    Device(device::Arguments),
    Schema(schema::Arguments),
    Completions(completions::Arguments),
    Man(manual::Arguments),
}

/// Runs the command line with the plugins of this workspace and those that the calling program links in.
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

/// Like [`main`], for a program called `name` with extra commands: the variants of `C`, which `run` runs.
///
/// `run` writes its results to the `Write` that it is given, so a closed pipe is an ordinary error. A command that runs in one
/// process calls [`together::refuse_several`] first.
pub fn main_with<C: Subcommand>(
    name: &str,
    run: impl FnOnce(C, &mut dyn Write) -> Result<ExitCode, Failure>,
) -> ExitCode {
    program::set_program(name);
    bug::tell();
    interrupt::let_full_files_be_errors();
    let matches = command_line_with::<C>(name).try_get_matches().unwrap_or_else(|error| {
        if error.use_stderr() {
            together::let_the_first_speak();
        }
        numbers::worded(error).exit()
    });
    let mut out = output::stdout();
    let outcome = dispatch(&matches, run, &mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    outcome.unwrap_or_else(|error| {
        together::let_the_first_speak();
        failure::report(&error)
    })
}

// No doc comment: clap would print it as the description of the program.
#[derive(Subcommand)]
enum NoCommands {}

/// The command line of [`main`] as clap has it, which runs nothing: for tests, and for what shells and pages of manuals need.
///
/// ```
/// let matches = moco_cli::command_line().try_get_matches_from(["moco", "check", "pipelines/mocov2.ron"]);
/// assert_eq!(matches.unwrap().subcommand_name(), Some("check"));
/// ```
pub fn command_line() -> clap::Command {
    command_line_with::<NoCommands>("moco")
}

/// [`command_line`] of a program called `name` with commands of its own, the variants of `C`, as [`main_with`] has it.
pub fn command_line_with<C: Subcommand>(name: &str) -> clap::Command {
    let command = CommandLine::command();
    let about = command.get_about().cloned().unwrap_or_default();
    // `C` has a line of its own, which would stand in place of the program's.
    let command = C::augment_subcommands(command).about(about).long_about(None);
    numbers::may_be_negative(program::named_command(command, name)).bin_name(name)
}

/// The command line of this program by the name of its file, which `cargo xtask` has none of.
fn own_command<C: Subcommand>() -> clap::Command {
    match program() {
        name if name.contains(' ') => command_line(),
        name => command_line_with::<C>(name),
    }
}

fn dispatch<C: Subcommand>(
    matches: &clap::ArgMatches,
    run: impl FnOnce(C, &mut dyn Write) -> Result<ExitCode, Failure>,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    if let Some(device) = matches.get_one::<moco::DeviceChoice>("device") {
        moco::choose_device(*device).map_err(|error| Failure::new(error.to_string(), error.hint()))?;
    }
    compute::choose_kernels()?;
    plugin_api::check_registry()?;
    if matches.subcommand_name().is_some_and(C::has_subcommand) {
        return run(C::from_arg_matches(matches).unwrap_or_else(|error| error.exit()), out);
    }
    if let Some((_, arguments)) = matches.subcommand() {
        notes::print(&cores::told(arguments));
    }
    if let Some(command) = matches.subcommand_name().filter(|command| *command != "run") {
        together::refuse_several(command)?;
    }
    let CommandLine { command, .. } =
        CommandLine::from_arg_matches(matches).unwrap_or_else(|error| error.exit());
    match command {
        Command::Train(arguments) => train::run(&arguments, out),
        Command::Run(arguments) => run::run(arguments, out),
        Command::Runs(arguments) => runs::run(&arguments, out),
        Command::Sweep(arguments) => sweep::run(&arguments, out),
        Command::Report(arguments) => report::run(&arguments, out),
        Command::Check(arguments) => check::run(&arguments, out),
        Command::Summary(arguments) => summary::run(&arguments, out),
        Command::Plugins(arguments) => plugins_list::run(&arguments, out),
        Command::NewPlugin(arguments) => new_plugin::run(&arguments, out),
        Command::Graph(arguments) => graph::run(&arguments, out),
        Command::Knn(arguments) => knn::run(&arguments, out),
        Command::Embed(arguments) => embed::run(&arguments, out),
        Command::Neighbors(arguments) => neighbors::run(&arguments, out),
        Command::Attend(arguments) => attend::run(&arguments, out),
        Command::Map(arguments) => map::run(&arguments, out),
        Command::Export(arguments) => export::run(&arguments, out),
        Command::Import(arguments) => import::run(&arguments, out),
        Command::Linear(arguments) => linear::run(&arguments, out),
        Command::Finetune(arguments) => finetune::run(&arguments, out),
        Command::Predict(arguments) => predict::run(&arguments, out),
        Command::Views(arguments) => views::run(&arguments, out),
        Command::Scan(arguments) => scan::run(&arguments, out),
        Command::Pack(arguments) => pack::run(&arguments, out),
        Command::Device(arguments) => device::run(&arguments, out),
        Command::Schema(arguments) => schema::run(&arguments, out),
        Command::Completions(arguments) => completions::run(&arguments, own_command::<C>(), out),
        Command::Man(arguments) => manual::run(&arguments, own_command::<C>(), out),
    }
}

/// Checks the help of a program called `name` with the commands `C`, for use in a test: it begins with what the program
/// is, each command has a summary, a description and examples, and its arguments are consistent.
///
/// # Panics
/// If a command lacks one of these.
pub fn check_help<C: Subcommand>(name: &str) {
    let mut command = command_line_with::<C>(name);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    assert!(about.contains("MoCo"), "the help begins with {about:?}");
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
    assert!(lacking.is_empty(), "no summary, description or examples: {lacking:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_command_has_a_paragraph_and_examples() {
        super::check_help::<super::NoCommands>("moco");
    }
}
