//! `moco completions`: what a shell completes.

use std::io::Write;
use std::process::ExitCode;

use clap_complete::{Shell, generate};

use crate::failure::Failure;

/// Print a script with which a shell completes commands and options.
///
/// The script is for the program `moco`, or whatever a program with these commands is called.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Shell.
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  moco completions bash > ~/.local/share/bash-completion/completions/moco
  moco completions zsh > ~/.zfunc/_moco            (a folder in $fpath)
  moco completions fish > ~/.config/fish/completions/moco.fish
  moco completions powershell >> $PROFILE";

pub(crate) fn run(
    arguments: &Arguments,
    mut command: clap::Command,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let name = command.get_bin_name().unwrap_or("moco").to_owned();
    let mut script = Vec::new();
    generate(arguments.shell, &mut command, name, &mut script);
    out.write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
