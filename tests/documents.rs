//! The documents say what is true: commands are taken, snippets are pipelines, and what is named is there.

mod markdown;
mod messages;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use pipeline::Pipeline;
use walkdir::WalkDir;

use self::markdown::{Block, Document, commands, parts, words};
use crate::support::{here, workspace, xtask};

/// All that is written for readers, but for the changelog, which speaks of what was.
fn documents() -> Vec<Document> {
    let mut paths: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md"].map(PathBuf::from).into();
    for folder in ["docs/src", "crates", "examples"] {
        let files = WalkDir::new(workspace().join(folder)).sort_by_file_name().into_iter();
        let files = files.filter_entry(|entry| entry.file_name() != "target").filter_map(Result::ok);
        let markdown = files
            .map(walkdir::DirEntry::into_path)
            .filter(|path| path.extension().is_some_and(|e| e == "md"));
        paths.extend(markdown.map(|path| path.strip_prefix(workspace()).unwrap().to_owned()));
    }
    assert!(paths.len() >= 40, "{paths:?}");
    paths.iter().map(|path| Document::read(path)).collect()
}

/// Fails with all that is wrong, not only with the first.
#[track_caller]
fn nothing(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The program's arguments in a command, and whether it is the developers' program; `None` for other programs.
fn of_the_program(words: &[String]) -> Option<(bool, &[String])> {
    let words_of = |n: usize| words.iter().take(n).map(String::as_str).collect::<Vec<_>>();
    match words_of(2).as_slice() {
        ["cargo", "xtask" | "xtask-cuda"] => Some((true, &words[2..])),
        ["moco", ..] => Some((false, &words[1..])),
        ["cargo", "run"] => {
            let end = words.iter().position(|word| word == "--")?;
            Some((!words[..end].contains(&"moco-cli".to_owned()), &words[end + 1..]))
        }
        _ => None,
    }
}

/// What the program would say of these arguments before it runs, if it does not take them.
fn refusal(is_xtask: bool, arguments: &[String]) -> Option<clap::Error> {
    let command = if is_xtask { xtask::command_line() } else { moco_cli::command_line() };
    let words = std::iter::once("moco").chain(arguments.iter().map(String::as_str));
    let error = command.try_get_matches_from(words).err()?;
    // `--help` is an error to clap.
    (error.exit_code() != 0).then_some(error)
}

/// What a pipeline file of the repository says to the `--set` of a command.
fn refusal_of_values(arguments: &[String]) -> Option<String> {
    let file = arguments.iter().find(|word| word.starts_with("pipelines/") && word.ends_with(".ron"))?;
    let path = workspace().join(file);
    let after = arguments.iter().zip(arguments.iter().skip(1));
    let sets: Vec<String> =
        after.filter(|(option, _)| *option == "--set").map(|(_, value)| value.clone()).collect();
    moco::read_pipeline(&path, &sets).err().map(|error| error.to_string())
}

#[test]
fn every_command_is_one_that_the_program_takes() {
    let (mut wrong, mut n_commands) = (Vec::new(), 0);
    for document in documents() {
        let blocks = document.blocks.iter().filter(|block| block.language == "console");
        let in_blocks = blocks.flat_map(commands).map(|(line, command)| (line, command, true));
        let in_text = document.spans().filter(|(_, span)| !span.contains("COMMAND"));
        let in_text = in_text.map(|(line, span)| (line, span.replace("...", ""), false));
        for (line, command, is_whole) in in_blocks.chain(in_text) {
            let words = words(&command);
            let Some((is_xtask, arguments)) = of_the_program(&words) else { continue };
            if arguments.is_empty() {
                continue;
            }
            n_commands += 1;
            // A sentence may name a command without all that it needs.
            let is_excused =
                |error: &clap::Error| !is_whole && error.kind() == ErrorKind::MissingRequiredArgument;
            let refused = refusal(is_xtask, arguments).filter(|error| !is_excused(error));
            let refused = refused.map(|error| error.to_string()).or_else(|| refusal_of_values(arguments));
            wrong.extend(refused.map(|said| format!("{}: `{command}`: {said}", document.at(line))));
        }
    }
    nothing(&wrong);
    assert!(n_commands >= 80, "only {n_commands} commands were found");
}

/// A file of the repository that is no pipeline, or a value that no pipeline takes, must not pass unseen.
#[test]
fn a_command_that_the_program_does_not_take_is_found() {
    let refused = |command: &str| {
        let words = words(command);
        let (is_xtask, arguments) = of_the_program(&words).unwrap();
        refusal(is_xtask, arguments).is_some() || refusal_of_values(arguments).is_some()
    };
    assert!(refused("cargo xtask runn x.ron"));
    assert!(refused("moco bench ops"));
    assert!(refused("cargo xtask knn RUN --neighbours 20"));
    assert!(refused("cargo xtask run pipelines/mocov2.ron --set 'modules.head=(\"lineer\", (out: 64))'"));
    assert!(refused("moco check pipelines/nothing.ron"));
    assert!(!refused("cargo xtask bench ops --only 'layer norm 192'  # a comment"));
}

/// Long options that are other programs': cargo's and `mpirun`'s.
const FOREIGN_OPTIONS: [&str; 8] = [
    "--features",
    "--release",
    "--package",
    "--workspace",
    "--no-default-features",
    "--bind-to",
    "--mca",
    "--root",
];

fn options(command: &clap::Command, found: &mut BTreeSet<String>) {
    found.extend(
        command.get_arguments().filter_map(|argument| argument.get_long()).map(|name| format!("--{name}")),
    );
    command.get_subcommands().for_each(|command| options(command, found));
}

#[test]
fn every_option_is_one_of_the_program() {
    let mut known: BTreeSet<String> = FOREIGN_OPTIONS.map(str::to_owned).into();
    options(&xtask::command_line(), &mut known);
    known.extend(["--help", "--version", "--bf16"].map(str::to_owned));
    let mut wrong = Vec::new();
    for document in documents() {
        for (line, span) in document.spans().filter(|(_, span)| span.starts_with("--")) {
            let name = span.split([' ', '=']).next().unwrap();
            if name != "--" && !known.contains(name) {
                wrong.push(format!("{}: `{span}`", document.at(line)));
            }
        }
    }
    nothing(&wrong);
}

/// What a snippet changes in a pipeline, as `--set` writes it; `None` if it is no part of one.
fn changes(snippet: &str) -> Option<Vec<String>> {
    let parts = parts(snippet);
    let change = |part: &String| {
        if let Some(step) = part.strip_prefix("(id: \"") {
            return Some(format!("graph.{}={part}", step.split('"').next()?));
        }
        if let Some(module) = part.strip_prefix('"') {
            let (name, plugin) = module.split_once("\":")?;
            return Some(format!("modules.{name}={}", plugin.trim()));
        }
        let (name, value) = part.split_once(':')?;
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        is_name.then(|| format!("{name}={}", value.trim()))
    };
    parts.iter().map(change).collect()
}

/// Checks a pipeline that starts from another file, in the folder of that file.
fn check_based(snippet: &str) -> Result<(), String> {
    let base = snippet.split("base: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let folder = tempfile::tempdir().unwrap();
    let mut beside = None;
    for entry in WalkDir::new(workspace().join("pipelines")).into_iter().filter_map(Result::ok) {
        let path = folder.path().join(entry.path().strip_prefix(workspace()).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::copy(entry.path(), &path).unwrap();
            beside = if path.ends_with(base) { Some(path) } else { beside };
        }
    }
    let path = beside.ok_or(format!("there is no pipeline `{base}`"))?.with_file_name("snippet.ron");
    std::fs::write(&path, snippet).unwrap();
    moco::read_pipeline(&path, &[]).map(drop).map_err(|error| error.to_string())
}

/// Checks a snippet: a whole pipeline, or a part that makes one of the smallest pipelines another.
fn check_snippet(block: &Block) -> Result<(), String> {
    let device = moco::device().unwrap();
    let snippet = block.text.trim_start();
    if snippet.starts_with("Pipeline(") && snippet.contains("base: \"") {
        return check_based(snippet);
    }
    if snippet.starts_with("Pipeline(") {
        return Pipeline::parse("snippet", snippet, &[], &device)
            .map(drop)
            .map_err(|fault| fault.to_string());
    }
    let changes = changes(snippet).ok_or("neither a pipeline, nor fields, steps or modules of one")?;
    let mut said = String::new();
    let split = "modules.backbone.batch_norm_splits=4";
    for (file, first) in
        [("small.ron", None), ("small.ron", Some(split)), ("symmetric.ron", None), ("v3.ron", None)]
    {
        let text = std::fs::read_to_string(here(file)).unwrap();
        let changes: Vec<String> = first.map(str::to_owned).into_iter().chain(changes.clone()).collect();
        match Pipeline::parse(file, &text, &changes, &device) {
            Ok(_) => return Ok(()),
            Err(fault) => said = format!("{said}\n  in {file}: {}", fault.message),
        }
    }
    Err(said)
}

#[test]
fn every_snippet_of_a_pipeline_is_one() {
    let (mut wrong, mut n_checked, mut ignored) = (Vec::new(), 0, Vec::new());
    for document in documents() {
        for block in document.blocks.iter().filter(|block| block.language.starts_with("ron")) {
            let place = document.at(block.line);
            if block.language != "ron" {
                ignored.push(place);
                continue;
            }
            n_checked += 1;
            wrong.extend(check_snippet(block).err().map(|said| format!("{place}: {said}")));
        }
    }
    nothing(&wrong);
    assert!(n_checked >= 15, "only {n_checked} snippets were found");
    assert!(ignored.len() <= 3, "more than a handful is not checked: {ignored:?}");
}

/// A page of the family shows parts of its pipeline; what is left out stands there as `..`.
#[test]
fn a_page_of_the_family_shows_its_pipeline_as_it_is() {
    let (mut wrong, mut n_blocks) = (Vec::new(), 0);
    for document in documents().iter().filter(|document| document.path.starts_with("docs/src/family")) {
        let names: Vec<&str> = document
            .spans()
            .map(|(_, span)| span)
            .filter(|span| span.starts_with("pipelines/family/"))
            .collect();
        let [name] = names[..] else {
            panic!("{}: not one pipeline, but {names:?}", document.path.display())
        };
        let pipeline = std::fs::read_to_string(workspace().join(name)).unwrap();
        let lines: BTreeSet<&str> = pipeline.lines().map(str::trim).collect();
        for block in document.blocks.iter().filter(|block| block.language == "text") {
            n_blocks += 1;
            let shown = block.text.lines().map(str::trim).filter(|line| *line != "..");
            let others = shown.filter(|line| !lines.contains(line));
            wrong.extend(others.map(|line| format!("{}: not in {name}: {line}", document.at(block.line))));
        }
    }
    nothing(&wrong);
    assert!(n_blocks >= 9, "only {n_blocks} blocks were found");
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    let changelog = Document::read(Path::new("CHANGELOG.md"));
    let mut wrong = Vec::new();
    for document in documents.iter().chain([&changelog]) {
        for (line, link) in document.links() {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let path = match file {
                "" => document.path.clone(),
                _ => document.path.parent().unwrap().join(file),
            };
            let there = workspace().join(&path).canonicalize();
            let is_good = there.is_ok_and(|there| {
                let path = there.strip_prefix(workspace().canonicalize().unwrap()).unwrap().to_owned();
                anchor.is_empty() || Document::read(&path).anchors().iter().any(|known| known == anchor)
            });
            if !is_good {
                wrong.push(format!("{}: {link}", document.at(line)));
            }
        }
    }
    nothing(&wrong);
}

/// The programs that documents show are examples, which are compiled with everything else.
#[test]
fn every_program_that_is_shown_is_compiled() {
    let (mut wrong, mut n_found) = (Vec::new(), 0);
    for document in documents() {
        let folder = workspace().join(document.path.parent().unwrap());
        let is_tested = document.path.starts_with("crates");
        for block in document.blocks.iter().filter(|block| block.language == "rust") {
            let place = document.at(block.line);
            let included = block.text.trim().strip_prefix("{{#include ");
            if let Some(file) = included.map(|text| text.split([':', '}']).next().unwrap()) {
                n_found += 1;
                let path = folder.join(file);
                if !(file.contains("/examples/") && path.is_file()) {
                    wrong.push(format!("{place}: {file} is no example"));
                }
            } else if block.text.contains("fn main()") && !is_tested {
                n_found += 1;
                let examples = WalkDir::new(workspace().join("crates")).into_iter().filter_map(Result::ok);
                let mut examples =
                    examples.filter(|entry| entry.path().parent().unwrap().ends_with("examples"));
                let is_there = |path: &Path| {
                    std::fs::read_to_string(path).is_ok_and(|source| source.contains(&block.text))
                };
                if !examples.any(|entry| is_there(entry.path())) {
                    wrong.push(format!("{place}: this program is no example of a crate"));
                }
            }
        }
    }
    nothing(&wrong);
    assert!(n_found >= 7, "only {n_found} programs were found");
}

#[test]
fn every_chapter_is_in_the_table_of_contents() {
    let summary = Document::read(Path::new("docs/src/SUMMARY.md"));
    let named: BTreeSet<String> = summary.links().into_iter().map(|(_, link)| link).collect();
    let root = workspace().join("docs/src");
    let files = walkdir::WalkDir::new(&root).into_iter().map(|entry| entry.unwrap().into_path());
    let names = files.map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
    let chapters: BTreeSet<String> =
        names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect();
    assert_eq!(named, chapters);
}

/// Where paths of the repository begin.
const FOLDERS: [&str; 8] =
    ["crates/", "docs/", "examples/", "packaging/", "pipelines/", "tests/", "xtask/", ".ci/"];

#[test]
fn every_file_that_is_named_is_there() {
    let mut wrong = Vec::new();
    for document in documents() {
        for (line, span) in document.spans() {
            // Capitals stand for what the reader puts in.
            let is_path = FOLDERS.iter().any(|folder| span.starts_with(folder))
                && !span.contains([' ', '*'])
                && !span
                    .split('/')
                    .any(|part| part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase()));
            if is_path && !workspace().join(span).exists() {
                wrong.push(format!("{}: `{span}`", document.at(line)));
            }
        }
    }
    nothing(&wrong);
}

/// Where a line says `` `Name` in `crates/.../file.rs` ``, the file has the name.
#[test]
fn what_is_said_to_be_in_a_file_is_in_it() {
    let (mut wrong, mut n_found) = (Vec::new(), 0);
    for document in documents() {
        for (line, text) in document.lines() {
            let pieces: Vec<&str> = text.split('`').collect();
            for window in pieces.windows(3) {
                let [name, " in ", file] = window else { continue };
                if !(file.ends_with(".rs") && file.contains('/')) {
                    continue;
                }
                n_found += 1;
                let source = std::fs::read_to_string(workspace().join(file)).unwrap_or_default();
                let is_there = name.split("::").all(|part| source.contains(part));
                if !is_there {
                    wrong.push(format!("{}: `{name}` is not in `{file}`", document.at(line)));
                }
            }
        }
    }
    nothing(&wrong);
    assert!(n_found >= 6, "only {n_found} were found");
}

#[test]
fn the_list_of_plugins_is_the_programs() {
    let document = Document::read(Path::new("docs/src/pipeline-reference.md"));
    let rows: BTreeSet<String> = document.lines().map(|(_, line)| line.to_owned()).collect();
    let lacking: Vec<String> = plugins::all_plugins()
        .iter()
        // What stands between angle brackets would be HTML.
        .map(|plugin| (plugin, plugin.summary.replace("<class>", "CLASS")))
        .map(|(plugin, summary)| format!("| {} | `{}` | {summary} |", plugin.kind, plugin.name))
        .filter(|row| !rows.contains(row))
        .collect();
    nothing(&lacking);
}

/// Cheap commands do what the documents show.
#[test]
fn what_the_first_commands_print_is_what_is_shown() {
    let document = Document::read(Path::new("docs/src/getting-started.md"));
    let mut n_shown = 0;
    for block in document.blocks.iter().filter(|block| block.language == "console") {
        let [(_, command)] = &commands(block)[..] else { continue };
        let (_, shown) = block.text.split_once('\n').unwrap();
        if shown.is_empty() {
            continue;
        }
        let words = words(command);
        let said = xtask(workspace(), &words[2..]).done().stdout;
        assert_eq!(said.trim_end(), shown.trim_end(), "{command}");
        n_shown += 1;
    }
    assert!(n_shown >= 2, "only {n_shown} outputs are shown");
}
