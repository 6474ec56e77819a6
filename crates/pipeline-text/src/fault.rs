//! What is wrong with a pipeline file, and where.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One thing wrong with a pipeline, at a place in its file or on the command line.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The file's path, or the command-line argument.
    pub origin: String,
    /// The whole text that `span` points into.
    pub text: String,
    /// The wrong piece, in bytes of `text`.
    pub span: Range<usize>,
    /// What is wrong, with the values; no stop at the end.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// Line and column, both from 1; columns count characters.
    pub fn position(&self) -> (usize, usize) {
        let before = &self.text[..floor_char(&self.text, self.span.start)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// The message drawn under the line that it is about.
    pub fn render(&self, color: Color) -> String {
        let start = floor_char(&self.text, self.span.start);
        let end = floor_char(&self.text, self.span.end).max(start);
        // A span of many lines would print a whole section: its first line says where to look.
        let end = self.text[start..end].find('\n').map_or(end, |length| start + length);
        let mut group = Level::ERROR.primary_title(self.message.as_str()).element(
            Snippet::source(self.text.as_str())
                .path(self.origin.as_str())
                .annotation(AnnotationKind::Primary.span(start..end)),
        );
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        let renderer = match color {
            Color::Yes => Renderer::styled(),
            Color::No => Renderer::plain(),
        };
        renderer.render(&[group])
    }
}

/// Whether to color a message for a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// With ANSI escapes.
    Yes,
    /// Plain text.
    No,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.position();
        write!(f, "{}:{line}:{column}: {}", self.origin, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

/// The start of the character that byte `at` is in.
fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// What a check gives: `T`, or the first thing wrong.
pub type Checked<T> = Result<T, Box<Fault>>;
