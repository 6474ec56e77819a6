//! The examples below the help of a command.

use crate::text::wrap;

/// Columns of a page at a terminal of 80, whose margins are 7 and 2.
const WIDTH: usize = 71;

/// A part of the text, between empty lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block<'a> {
    /// Lines to type.
    Examples {
        /// `Examples:`
        title: &'a str,
        /// With their indent.
        lines: Vec<&'a str>,
    },
    /// `Exit codes: 0 success`.
    Paragraph {
        /// `Exit codes`
        title: &'a str,
        /// `0 success`
        text: &'a str,
    },
}

/// The parts of `text`.
pub(super) fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    text.split("\n\n").map(|block| {
        let block = block.trim_matches('\n');
        match block.split_once('\n') {
            Some((title, lines)) if title.ends_with(':') => {
                Block::Examples { title, lines: lines.lines().collect() }
            }
            _ => {
                let (title, text) = block.split_once(": ").unwrap_or(("Notes", block));
                Block::Paragraph { title, text }
            }
        }
    })
}

/// `line` in as many lines as it takes at a terminal of 80 columns: what is said of a command goes below it, and a command that
/// is too long goes on after a backslash, so that it can be copied.
pub(super) fn narrowed(line: &str) -> Vec<String> {
    if line.chars().count() <= WIDTH {
        return vec![line.to_owned()];
    }
    let indent = line.len() - line.trim_start().len();
    let said = |text: &str| wrap(text, 6, WIDTH).lines().map(str::to_owned).collect::<Vec<_>>();
    if indent >= 6 && !line.trim_start().starts_with('-') {
        return said(line);
    }
    match line[indent..].split_once("  ") {
        Some((command, text)) => {
            let command = format!("{}{command}", &line[..indent]);
            [broken(&command), said(text)].concat()
        }
        None => broken(line),
    }
}

/// A command in as many lines as it takes, which a shell reads as one.
fn broken(command: &str) -> Vec<String> {
    let indent = command.len() - command.trim_start().len();
    let mut lines = vec![command[..indent].to_owned()];
    for (i, word) in units(command).iter().enumerate() {
        let line = lines.last_mut().expect("it begins with one");
        // A backslash needs two columns more.
        if i > 0 && line.chars().count() + 1 + word.chars().count() + 2 > WIDTH {
            line.push_str(" \\");
            lines.push(format!("{}{word}", " ".repeat(6)));
        } else {
            line.push_str(if i > 0 { " " } else { "" });
            line.push_str(word);
        }
    }
    lines
}

/// What is not taken apart: words, and options with their values.
fn units(command: &str) -> Vec<String> {
    let mut units: Vec<String> = Vec::new();
    for word in words(command) {
        match units.last_mut().filter(|last| last.starts_with('-') && !last.contains(' ')) {
            Some(option) if !word.starts_with('-') => *option += &format!(" {word}"),
            _ => units.push(word.to_owned()),
        }
    }
    units
}

/// What a shell takes as one, with its quotation marks.
fn words(command: &str) -> Vec<&str> {
    let mut quote = None;
    let at_space = |letter: char| {
        quote = match quote {
            None if letter == '\'' || letter == '"' => Some(letter),
            Some(open) if open == letter => None,
            other => other,
        };
        quote.is_none() && letter == ' '
    };
    command.split(at_space).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_examples_and_paragraphs() {
        let text = "Examples:\n  moco a\n      more\n\nExit codes: 0 success, 1: failure.\n\nEnd.";
        let expected = [
            Block::Examples { title: "Examples:", lines: vec!["  moco a", "      more"] },
            Block::Paragraph { title: "Exit codes", text: "0 success, 1: failure." },
            Block::Paragraph { title: "Notes", text: "End." },
        ];
        assert_eq!(blocks(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_line_that_is_too_long_is_broken_between_words_that_a_shell_tells_apart() {
        assert_eq!(narrowed("  moco a      says it"), ["  moco a      says it"]);
        let long = "x".repeat(40);
        assert_eq!(
            narrowed(&format!("  moco {long} --force --set 'data.source=(\"pack\", (path: \"p\"))'")),
            [
                format!("  moco {long} --force \\"),
                "      --set 'data.source=(\"pack\", (path: \"p\"))'".into()
            ]
        );
        assert_eq!(
            narrowed(&format!("  moco {long}    says   what comes of it, and more")),
            [format!("  moco {long}"), "      says what comes of it, and more".into()]
        );
        let told = narrowed(&format!("      {long} and {long}"));
        assert_eq!(told, [format!("      {long} and"), format!("      {long}")]);
        assert_eq!(narrowed(&"y".repeat(90)), ["y".repeat(90)], "one word is not cut");
    }
}
