//! `moco new-plugin`: begins a plugin.

mod dependencies;
mod in_tree;
mod kind;
mod name;
mod out_of_tree;
mod sorted;
mod template;
mod writing;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use self::kind::PluginKind;
use self::name::PluginName;
use crate::failure::Failure;

/// Begin a plugin: a crate that compiles, with a working example of its kind, documented and tested.
///
/// KIND is what it is: augmentation, backbone, dataset, head, loss, monitor, objective, optimizer or schedule. NAME is what a
/// pipeline file will call it, in small letters, digits and hyphens; it is the crate's name too.
///
/// In a checkout of moco-rs, at its root, the crate is `crates/NAME`, and the program, the list of plugins and their tests are
/// told of it. With `--out-of-tree DIR`, DIR is a crate of its own, with a program that has every command of `moco` and the
/// plugin, and a pipeline that trains with it.
///
/// Nothing that is there is overwritten, and nothing is left half written.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Kind of plugin.
    #[arg(value_enum)]
    kind: PluginKind,
    /// Name of the plugin, for instance `my-loss`.
    name: String,
    /// Folder to write a crate of its own to; it must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    out_of_tree: Option<PathBuf>,
    /// Where moco-rs is, for `--out-of-tree`: the folder of a checkout, or the address of a git repository
    /// [default: the checkout around this folder, or the one that this program was built from].
    #[arg(long, value_name = "DIR_OR_URL", requires = "out_of_tree")]
    moco: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  moco new-plugin objective my-loss --out-of-tree my-loss
  moco new-plugin backbone my-net --out-of-tree my-net --moco ~/moco-rs
  moco new-plugin augmentation fog                                        (in a checkout of moco-rs)";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let name = PluginName::new(&arguments.name, arguments.kind)?;
    let done = match &arguments.out_of_tree {
        Some(folder) => out_of_tree::write(arguments.kind, &name, folder, arguments.moco.as_deref())?,
        None => in_tree::write(arguments.kind, &name)?,
    };
    out.write_all(done.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What to do next, a line each: a command and what it does.
fn steps(commands: &[(String, &str)]) -> String {
    let widest = commands.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let lines = commands.iter().map(|(command, what)| format!("{:10}{command:widest$}   {what}", ""));
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}
