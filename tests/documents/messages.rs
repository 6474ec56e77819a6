//! Messages that documents show are those in the sources.

use walkdir::WalkDir;

use super::{documents, nothing};
use crate::support::workspace;

/// What lines of messages begin with.
const BEGINNINGS: [&str; 6] = ["error: ", "hint: ", "= help: ", "warning: ", "stopp", "resume with"];
/// Shorter pieces of a message say nothing.
const SHORTEST: usize = 10;

/// All sources, with texts of several lines joined.
fn sources() -> String {
    let mut text = String::new();
    for folder in ["crates", "xtask/src"] {
        let files = WalkDir::new(workspace().join(folder)).into_iter().filter_map(Result::ok);
        for file in files.filter(|file| file.path().extension().is_some_and(|extension| extension == "rs")) {
            text.push_str(&std::fs::read_to_string(file.path()).unwrap());
        }
    }
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start())
}

/// The pieces of a message that do not depend on the case: what is between code, numbers and names.
fn pieces(message: &str) -> Vec<String> {
    let outside_of_code: Vec<&str> = message.split('`').step_by(2).collect();
    let pieces = outside_of_code.iter().flat_map(|text| text.split(|c: char| c.is_ascii_digit() || c == ':'));
    let pieces = pieces.map(|piece| piece.trim_matches([' ', ',', ';', '.']));
    pieces.filter(|piece| piece.len() >= SHORTEST).map(str::to_owned).collect()
}

#[test]
fn every_message_that_is_shown_is_one_of_the_program() {
    let sources = sources();
    let (mut wrong, mut n_pieces) = (Vec::new(), 0);
    for document in documents() {
        for block in
            document.blocks.iter().filter(|block| ["text", "console"].contains(&block.language.as_str()))
        {
            for line in block.text.lines().map(|line| line.trim_start_matches([' ', '|'])) {
                let Some(beginning) = BEGINNINGS.iter().find(|beginning| line.starts_with(**beginning))
                else {
                    continue;
                };
                let message = if beginning.ends_with(' ') { &line[beginning.len()..] } else { line };
                for piece in pieces(message) {
                    n_pieces += 1;
                    // A path in a message is the case's own.
                    if !piece.contains("runs/") && !sources.contains(&piece) {
                        wrong.push(format!("{}: `{piece}` is in no message", document.at(block.line)));
                    }
                }
            }
        }
    }
    nothing(&wrong);
    assert!(n_pieces >= 12, "only {n_pieces} pieces of messages were found");
}
