//! As much of Markdown as the documents use.

use std::path::{Path, PathBuf};

use crate::support::workspace;

/// A document.
pub(crate) struct Document {
    /// Its place, from the root of the repository.
    pub(crate) path: PathBuf,
    pub(crate) blocks: Vec<Block>,
    /// The text outside of blocks, line by line.
    prose: Vec<(usize, String)>,
}

/// A block between two fences.
pub(crate) struct Block {
    /// What stands behind the first fence: `ron`, `rust,no_run`.
    pub(crate) language: String,
    /// The line of the first fence, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Document {
    /// The document at `path`, from the root of the repository.
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(workspace().join(path)).unwrap();
        let (mut blocks, mut prose): (Vec<Block>, _) = (Vec::new(), Vec::new());
        let mut is_open = false;
        for (line, number) in text.lines().zip(1..) {
            match (line.trim_start().strip_prefix("```"), is_open) {
                (Some(language), false) => {
                    blocks.push(Block { language: language.into(), line: number, text: String::new() });
                    is_open = true;
                }
                (Some(_), true) => is_open = false,
                (None, true) => {
                    let text = &mut blocks.last_mut().unwrap().text;
                    text.push_str(line);
                    text.push('\n');
                }
                (None, false) => prose.push((number, line.to_owned())),
            }
        }
        assert!(!is_open, "{}: a block has no end", path.display());
        Self { path: path.into(), blocks, prose }
    }

    /// Code within the text, with its lines.
    pub(crate) fn spans(&self) -> impl Iterator<Item = (usize, &str)> {
        self.prose.iter().flat_map(|(number, line)| {
            let inside = line.split('`').skip(1).step_by(2);
            inside.map(|span| (*number, span))
        })
    }

    /// The text, line by line, as it stands.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.prose.iter().map(|(number, line)| (*number, line.as_str()))
    }

    /// Where links and images lead, with their lines.
    pub(crate) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in &self.prose {
            let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
            for rest in text.split("](").skip(1) {
                links.push((*number, rest.split(')').next().unwrap().to_owned()));
            }
        }
        links
    }

    /// What links can name behind a `#`: the headings, as GitHub and mdBook write them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let headings = self.prose.iter().filter_map(|(_, line)| line.strip_prefix('#'));
        headings.map(|heading| slug(heading.trim_start_matches('#').trim())).collect()
    }

    /// `path:line`, for messages.
    pub(crate) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

/// The commands of a `console` block: lines that begin with `$ `, and what continues them.
pub(crate) fn commands(block: &Block) -> Vec<(usize, String)> {
    let mut commands: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    for (line, number) in block.text.lines().zip(block.line + 1..) {
        let text = match line.strip_prefix("$ ") {
            Some(text) => {
                commands.push((number, String::new()));
                text
            }
            None if continues => line,
            None => continue,
        };
        let (text, more) = text.strip_suffix('\\').map_or((text, false), |text| (text, true));
        let (_, command) = commands.last_mut().unwrap();
        command.push_str(text);
        continues = more;
    }
    commands
}

/// The words of a command as a shell sees them, up to a comment.
pub(crate) fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            (_, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (' ', None) => words.extend(word.take()),
            ('#', None) if word.is_none() => break,
            (_, None) => word.get_or_insert_default().push(c),
        }
    }
    assert!(quote.is_none(), "a quotation mark is never closed: {command}");
    words.extend(word);
    words
}

/// The fields or list elements of a snippet, which are those between commas outside of brackets and quotation marks.
/// Comments are dropped.
pub(crate) fn parts(snippet: &str) -> Vec<String> {
    let lines = snippet.lines().filter(|line| !line.trim_start().starts_with("//"));
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut depth, mut in_text) = (0_i32, false);
    for c in lines.flat_map(|line| line.chars().chain(['\n'])) {
        match c {
            '"' => in_text = !in_text,
            '(' | '[' | '{' if !in_text => depth += 1,
            ')' | ']' | '}' if !in_text => depth -= 1,
            ',' if !in_text && depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part);
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}
