//! The name of the program, so that messages and examples show commands as the user can type them.

use std::path::Path;
use std::sync::OnceLock;

/// The name in the texts of this crate.
const WRITTEN: &str = "moco";

static NAME: OnceLock<String> = OnceLock::new();

/// Sets the name, once, before anything is printed.
pub(crate) fn set_program(name: &str) {
    let _ = NAME.set(name.to_owned());
}

/// The name before a command: `moco`, `cargo xtask`, or the name of another program.
pub fn program() -> &'static str {
    NAME.get().map_or(WRITTEN, String::as_str)
}

/// The name of the running executable.
pub(crate) fn name_of_this_program() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    let stem = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if stem.is_empty() { WRITTEN.into() } else { stem }
}

/// `text` with the name of `program` wherever it shows a command, in backticks or at the start of a line.
pub(crate) fn named(text: &str, program: &str) -> String {
    if program == WRITTEN {
        return text.to_owned();
    }
    text.replace("`moco ", &format!("`{program} ")).replace("  moco ", &format!("  {program} "))
}

/// [`named`] for all texts of `command` and its subcommands.
pub(crate) fn named_command(mut command: clap::Command, program: &str) -> clap::Command {
    let renamed = |text: &clap::builder::StyledStr| named(&text.to_string(), program);
    if let Some(text) = command.get_after_help().map(renamed) {
        command = command.after_help(text);
    }
    if let Some(text) = command.get_long_about().map(renamed) {
        command = command.long_about(text);
    }
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |command| named_command(command, program));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_they_can_be_typed() {
        let text = "resume with `moco run --resume`\nExamples:\n  moco run FILE\nA moco of one's own.";
        let expected =
            "resume with `cargo xtask run --resume`\nExamples:\n  cargo xtask run FILE\nA moco of one's own.";
        assert_eq!(named(text, "cargo xtask"), expected);
        assert_eq!(named(text, "moco"), text);
    }
}
