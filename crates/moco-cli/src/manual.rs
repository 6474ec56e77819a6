//! `moco man`: pages of the manual.

mod examples;
mod page;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use run_store::{Fill, write_together};

use crate::failure::Failure;
use crate::{new_file, text};

/// Write pages of the manual, one for each command.
///
/// Writes `moco.1`, `moco-run.1` and so on into DIR, which is created if it is not there.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder to write into.
    dir: PathBuf,
    /// Overwrite existing pages.
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  moco man ~/.local/share/man/man1     then `man moco-run`
  moco man --force ~/.local/share/man/man1";

pub(crate) fn run(
    arguments: &Arguments,
    mut command: clap::Command,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let dir = &arguments.dir;
    let name = command.get_bin_name().unwrap_or("moco").to_owned();
    command = command.disable_help_subcommand(true);
    command.build();
    let program = format!("{name} {}", command.get_version().unwrap_or_default());
    let mut pages = Vec::new();
    collect(&command, &name, &program, &mut pages)?;
    std::fs::create_dir_all(dir)
        .map_err(|error| Failure::plain(format!("`{}` cannot be created: {error}", dir.display())))?;
    let paths: Vec<PathBuf> = pages.iter().map(|(name, _)| dir.join(name)).collect();
    for path in &paths {
        new_file::check(path, arguments.force.into())?;
    }
    let fills =
        pages.iter().map(|(_, page)| -> Fill<'_> { Box::new(move |file| file.write_all(page.as_bytes())) });
    write_together(paths.iter().map(PathBuf::as_path).zip(fills).collect())?;
    writeln!(out, "{}: {}", dir.display(), text::count(pages.len(), "page"))?;
    Ok(ExitCode::SUCCESS)
}

/// The page of `command`, called `name`, and those of its subcommands, by their files' names.
fn collect(
    command: &clap::Command,
    name: &str,
    program: &str,
    pages: &mut Vec<(String, String)>,
) -> Result<(), Failure> {
    pages.push((format!("{name}.1"), page::page(command, name, program)?));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        collect(inner, &format!("{name}-{}", inner.get_name()), program, pages)?;
    }
    Ok(())
}
