//! A plugin crate of its own.

use std::fs;
use std::path::Path;

use super::dependencies::Moco;
use super::kind::PluginKind;
use super::name::PluginName;
use super::template::{filled, library, summary};
use super::{steps, writing};
use crate::failure::Failure;

/// Writes the crate to `folder`. Gives what to say.
///
/// # Errors
/// If something is in the folder, or moco-rs is not found.
pub(super) fn write(
    kind: PluginKind,
    name: &PluginName,
    folder: &Path,
    moco: Option<&str>,
) -> Result<String, Failure> {
    writing::check_free(folder)?;
    let moco = Moco::find(moco)?;
    writing::write(folder, &files(kind, name, &moco)?, &[])?;
    let (named, shown) = (&name.kebab, folder.display());
    let mut next = vec![(format!("cd {shown}"), "")];
    if let Moco::Folder(moco) = &moco {
        let target = moco.join("target");
        if target.join("release").is_dir() {
            let export = format!("export CARGO_TARGET_DIR={}", target.display());
            next.push((export, "uses the packages of others that are built there"));
        }
    }
    next.extend([
        ("cargo test --release".into(), "its tests, with those that every plugin must pass"),
        (format!("cargo run --release -- plugins {named}"), "what it says of itself"),
        (format!("cargo run --release -- check {named}.ron"), "what is wrong with its pipeline"),
        (format!("cargo run --release -- run {named}.ron"), "trains with it"),
    ]);
    Ok(format!(
        "written   {shown}: {} plugin that works as it is, and a program with it\nnext\n{}\
         {:10}make it yours in src/lib.rs; the book's chapter on plugins says what its trait asks for\n",
        kind.with_article(),
        steps(&next),
        "",
    ))
}

/// The release profile of moco-rs: with another one, nothing that is built there could be used.
fn profiles(moco: &Moco) -> String {
    let manifest = match moco {
        Moco::Folder(folder) => fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default(),
        Moco::Git(_) => String::new(),
    };
    let found = tables(&manifest, "[profile.release");
    if found.is_empty() { "[profile.release]\nstrip = \"debuginfo\"\n".to_owned() } else { found }
}

/// The tables of a `Cargo.toml` whose heads begin with `head`, without comments.
fn tables(manifest: &str, head: &str) -> String {
    let (mut found, mut is_in) = (String::new(), false);
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_in = line.starts_with(head);
            if is_in && !found.is_empty() {
                found.push('\n');
            }
        }
        if is_in && !line.is_empty() && !line.starts_with('#') {
            found += line;
            found.push('\n');
        }
    }
    found
}

fn files(kind: PluginKind, name: &PluginName, moco: &Moco) -> Result<Vec<writing::NewFile>, Failure> {
    let mut manifest = format!(
        "# A plugin, and a program that has it beside every command and plugin of moco-rs, in a workspace of their own.\n\
         [workspace]\n\n[package]\nname = \"{}\"\ndescription = \"The {} {}: {}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         publish = false\n\n[dependencies]\n",
        name.kebab,
        kind.name(),
        name.kebab,
        summary(kind),
    );
    let mut used: Vec<&str> = kind.crates().iter().copied().chain(["moco-cli"]).collect();
    used.sort_unstable();
    for used in used {
        manifest += &moco.line(used);
    }
    manifest += &format!("\n[dev-dependencies]\n{}", moco.line("plugin-tests"));
    // A test of the program would link all of moco-rs for nothing.
    manifest += &format!("\n[[bin]]\nname = \"{}\"\npath = \"src/main.rs\"\ntest = false\n", name.kebab);
    manifest += &format!("\n# As in moco-rs.\n{}", profiles(moco));
    let named = &name.kebab;
    let readme = format!(
        "# {named}\n\nThe {} `{named}`: {}.\n`src/lib.rs` is the plugin, and `src/main.rs` a program that has it beside every \
         command and plugin of moco-rs.\n\n```console\n$ cargo test --release\n$ cargo run --release -- plugins {named}\n\
         $ cargo run --release -- check {named}.ron\n$ cargo run --release -- run {named}.ron\n```\n\n\
         A pipeline names it {}.\n",
        kind.name(),
        summary(kind),
        filled(kind.use_in_a_pipeline(), kind, name),
    );
    let program = filled(
        "//! Every command of moco-rs, with the plugin of this crate.\n\nuse __ident__ as _; // Without this line, the linker \
         would drop the plugin.\n\nfn main() -> std::process::ExitCode {\n    moco_cli::main()\n}\n",
        kind,
        name,
    );
    let mut files = vec![
        ("Cargo.toml".into(), manifest),
        ("README.md".into(), readme),
        ("src/lib.rs".into(), library(kind, name, false)),
        ("src/main.rs".into(), program),
        (format!("{named}.ron").into(), filled(&kind.pipeline(), kind, name)),
        (".gitignore".into(), "/target\n/runs\n".to_owned()),
    ];
    if let Moco::Folder(folder) = moco {
        // The versions that moco-rs is tested with.
        if let Ok(lock) = fs::read_to_string(folder.join("Cargo.lock")) {
            files.push(("Cargo.lock".into(), lock));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_by_their_heads() {
        let manifest = "[a]\nx = 1\n\n# Why.\n[b.c]\ny = 2 # here\n\n[b.d]\nz = 3\n[e]\nw = 4\n";
        assert_eq!(tables(manifest, "[b"), "[b.c]\ny = 2 # here\n\n[b.d]\nz = 3\n");
        assert_eq!(tables(manifest, "[f"), "");
    }
}
