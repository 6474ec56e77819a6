//! Reading a RON text into its tree.

use std::ops::Range;

use crate::document::{Field, FieldStyle, Node, NodeKind, SyntaxError};
use crate::escapes::escape;
use crate::limits::{MAX_DEPTH, MAX_VALUES};
use crate::slips;

/// A place in a text, and how it goes on from there.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Values around this place.
    depth: usize,
    /// Values so far.
    n_values: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, n_values: 0 }
    }

    /// The place behind the bracket of a value with fields; before it may stand a name, and comments with brackets of their own.
    pub(crate) fn behind_bracket(value: &'a str) -> usize {
        let mut scanner = Self::new(value);
        if scanner.peek().is_some_and(is_word) {
            scanner.word();
            // A comment without an end would have been refused before.
            let _ = scanner.skip_blank();
        }
        (scanner.at + 1).min(value.len())
    }

    /// Bytes that are read.
    pub(crate) fn place(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, letter: char) -> bool {
        let found = self.peek() == Some(letter);
        if found {
            self.at += letter.len_utf8();
        }
        found
    }

    /// `#![enable(..)]`.
    pub(crate) fn attribute(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        let inside = |letter: char| is_word(letter) || letter.is_whitespace() || "(),".contains(letter);
        self.at += "#![".len();
        self.at += self.rest().find(|letter| !inside(letter)).unwrap_or(self.rest().len());
        if self.eat(']') {
            Ok(())
        } else {
            Err(error(start..start + "#![".len(), "this attribute has no `]`"))
        }
    }

    /// Skips white space and comments.
    pub(crate) fn skip_blank(&mut self) -> Result<(), SyntaxError> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                self.skip_block_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    fn skip_block_comment(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        let mut depth = 0;
        loop {
            if self.rest().starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if self.rest().starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else {
                match self.peek() {
                    Some(letter) => self.at += letter.len_utf8(),
                    None => return Err(error(start..start + 2, "this comment has no `*/`")),
                }
            }
        }
    }

    pub(crate) fn value(&mut self) -> Result<Node, SyntaxError> {
        let start = self.at;
        let width = self.peek().map_or(0, char::len_utf8);
        self.n_values += 1;
        if self.n_values > MAX_VALUES {
            return Err(error(start..start + width, &format!("there are more than {MAX_VALUES} values")));
        }
        if self.depth == MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} brackets are open here");
            return Err(error(start..start + width, &message));
        }
        self.depth += 1;
        let node = self.value_within();
        self.depth -= 1;
        node
    }

    fn value_within(&mut self) -> Result<Node, SyntaxError> {
        let start = self.at;
        let kind = match self.peek() {
            None => {
                return Err(SyntaxError {
                    span: start..start,
                    message: "the text ends where a value was expected".into(),
                    hint: Some("close every bracket and quotation mark".into()),
                });
            }
            Some('(') => self.parenthesis()?,
            Some('[') => {
                self.at += 1;
                NodeKind::Items(self.items(start, ']')?)
            }
            Some('{') => {
                self.at += 1;
                NodeKind::Fields { fields: self.fields(start, '}')?, style: FieldStyle::Map }
            }
            Some('"') => NodeKind::Text(self.string()?),
            Some('r') if self.rest().starts_with("r\"") || self.rest().starts_with("r#\"") => {
                NodeKind::Text(self.raw_string()?)
            }
            Some('\'') => {
                self.character()?;
                NodeKind::Word
            }
            Some(letter) if is_word(letter) => {
                self.word();
                self.skip_blank_before_parenthesis()?;
                if self.peek() == Some('(') { self.parenthesis()? } else { NodeKind::Word }
            }
            Some(letter) => {
                return Err(error(
                    start..start + letter.len_utf8(),
                    &format!("expected a value, found `{letter}`"),
                ));
            }
        };
        Ok(Node { span: start..self.at, kind })
    }

    /// After a name: white space only counts if a parenthesis follows.
    fn skip_blank_before_parenthesis(&mut self) -> Result<(), SyntaxError> {
        let end = self.at;
        self.skip_blank()?;
        if self.peek() != Some('(') {
            self.at = end;
        }
        Ok(())
    }

    /// `(..)`: named fields if the first thing in it is `name:`, items otherwise.
    fn parenthesis(&mut self) -> Result<NodeKind, SyntaxError> {
        let start = self.at;
        self.at += 1;
        self.skip_blank()?;
        let inside = self.at;
        if self.peek() == Some(')') {
            self.at += 1;
            return Ok(NodeKind::Fields { fields: Vec::new(), style: FieldStyle::Struct });
        }
        self.word();
        self.skip_blank()?;
        let named = self.at > inside && self.peek() == Some(':') && !self.rest().starts_with("::");
        self.at = inside;
        if named {
            Ok(NodeKind::Fields { fields: self.fields(start, ')')?, style: FieldStyle::Struct })
        } else {
            Ok(NodeKind::Items(self.items(start, ')')?))
        }
    }

    fn items(&mut self, start: usize, close: char) -> Result<Vec<Node>, SyntaxError> {
        let mut items = Vec::new();
        loop {
            self.skip_blank()?;
            if self.eat(close) {
                return Ok(items);
            }
            self.not_at_end(start, close)?;
            let item = self.value()?;
            self.not_named(start, &items, &item)?;
            items.push(item);
            if self.separator(start, close)? {
                return Ok(items);
            }
        }
    }

    /// After `earlier` values of the list at `start`, `item` must not turn out to be a name.
    fn not_named(&mut self, start: usize, earlier: &[Node], item: &Node) -> Result<(), SyntaxError> {
        let end = self.at;
        self.skip_blank()?;
        if self.peek() != Some(':') {
            self.at = end;
            return Ok(());
        }
        let name = &self.text[item.span.clone()];
        Err(if earlier.is_empty() {
            SyntaxError {
                span: item.span.clone(),
                message: format!("`{name}` is a name, but this is a list of values"),
                hint: Some("named values are written in `{..}`".into()),
            }
        } else if self.text[start..].starts_with('[') {
            SyntaxError {
                span: start..start + 1,
                message: format!("this list is not closed before `{name}:`"),
                hint: Some("add `]` after its last value".into()),
            }
        } else {
            SyntaxError {
                span: item.span.clone(),
                message: format!("`{name}` has a name, but the value before it has none"),
                hint: Some("a plugin is written `(\"name\", (field: value))`".into()),
            }
        })
    }

    fn fields(&mut self, start: usize, close: char) -> Result<Vec<Field>, SyntaxError> {
        let mut fields = Vec::new();
        loop {
            self.skip_blank()?;
            if self.eat(close) {
                return Ok(fields);
            }
            self.not_at_end(start, close)?;
            let key = self.value()?;
            let name = match key.kind {
                NodeKind::Text(name) => name,
                NodeKind::Word => self.text[key.span.clone()].trim_start_matches("r#").to_owned(),
                NodeKind::Fields { .. } | NodeKind::Items(_) => {
                    return Err(error(key.span, "expected a name, found a value"));
                }
            };
            self.skip_blank()?;
            if !self.eat(':') {
                return Err(slips::comma_between(self.text, fields.last(), &key.span)
                    .unwrap_or_else(|| slips::no_value(self.text, &key.span, &key.span, &name)));
            }
            let with_colon = key.span.start..self.at;
            self.skip_blank()?;
            if matches!(self.peek(), Some(',' | ')' | ']' | '}')) {
                return Err(slips::no_value(self.text, &with_colon, &key.span, &name));
            }
            let value = self.value()?;
            if self.is_name(&value)? {
                let error = slips::no_value(self.text, &with_colon, &key.span, &name);
                return Err(slips::braces_missing(self.text, &value, close, error));
            }
            fields.push(Field { name, name_span: key.span, value });
            if self.separator(start, close)? {
                return Ok(fields);
            }
        }
    }

    /// Whether `value`, which has been read, is the name of what follows: a colon comes after it.
    fn is_name(&mut self, value: &Node) -> Result<bool, SyntaxError> {
        let end = self.at;
        self.skip_blank()?;
        let is_before_colon = self.peek() == Some(':');
        self.at = end;
        // A time of day, `12:30`, is none.
        let begins_with_digit = self.text[value.span.clone()].starts_with(|c: char| c.is_ascii_digit());
        Ok(is_before_colon && !begins_with_digit && matches!(value.kind, NodeKind::Word | NodeKind::Text(_)))
    }

    /// A comma, or the end of the list; true at the end.
    fn separator(&mut self, start: usize, close: char) -> Result<bool, SyntaxError> {
        let end = self.at;
        self.skip_blank()?;
        if self.eat(',') {
            return Ok(false);
        }
        if self.eat(close) {
            return Ok(true);
        }
        self.not_at_end(start, close)?;
        let found = self.peek().unwrap_or_default();
        let (message, hint) = if matches!(found, ')' | ']' | '}') {
            (
                format!("`{found}` closes a bracket that was opened differently"),
                format!("expected `{close}` here"),
            )
        } else {
            (
                "a comma is missing here".to_owned(),
                format!("put `,` between values, or `{close}` after the last"),
            )
        };
        let span = if matches!(found, ')' | ']' | '}') { self.at..self.at + 1 } else { end..end + 1 };
        Err(SyntaxError { span, message, hint: Some(hint) })
    }

    fn not_at_end(&self, start: usize, close: char) -> Result<(), SyntaxError> {
        match self.peek() {
            Some(_) => Ok(()),
            None => Err(SyntaxError {
                span: start..start + 1,
                message: format!("this bracket is never closed: no `{close}` before the end"),
                hint: Some(format!("add `{close}`")),
            }),
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let mut value = String::new();
        while let Some(letter) = self.peek() {
            self.at += letter.len_utf8();
            match letter {
                '"' => return Ok(value),
                // Names and paths have one line: a second one is that of the next text.
                '\n' => break,
                '\\' => match escape(self.rest()) {
                    Ok((letter, n_bytes)) => {
                        value.extend(letter);
                        self.at += n_bytes;
                    }
                    Err(_) if self.rest().is_empty() => break,
                    Err(wrong) => return Err(self.no_escape(&wrong)),
                },
                _ => value.push(letter),
            }
        }
        let line = self.text[start..].find('\n').map_or(self.text.len(), |length| start + length);
        Err(error(start..line, "this text has no closing quotation mark on its line"))
    }

    /// What follows a backslash is no escape.
    fn no_escape(&self, wrong: &Range<usize>) -> SyntaxError {
        let span = self.at - 1..self.at + wrong.end;
        let message = format!("`{}` stands for no character", &self.text[span.clone()]);
        let hint = "a backslash is written `\\\\`, a character by its code `\\u{e9}`, and a path with backslashes `r\"C:\\data\"`";
        SyntaxError { span, message, hint: Some(hint.into()) }
    }

    fn raw_string(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        let n_hashes = self.rest()[1..].chars().take_while(|letter| *letter == '#').count();
        let body = start + 1 + n_hashes + 1;
        let close = format!("\"{}", "#".repeat(n_hashes));
        match self.text.get(body..).and_then(|rest| rest.find(&close)) {
            Some(length) => {
                self.at = body + length + close.len();
                Ok(self.text[body..body + length].to_owned())
            }
            None => Err(error(start..start + 1, "this raw text is never closed")),
        }
    }

    fn character(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        let rest = &self.rest()[1..];
        let end = rest.find(['\'', '\n']).filter(|end| rest[*end..].starts_with('\''));
        // Of an escape, only `'\''` has a second mark.
        let end = if rest.starts_with("\\''") { Some(2) } else { end };
        match end {
            Some(end) if rest.starts_with('\\') || rest[..end].chars().count() == 1 => {
                self.at += end + 2;
                Ok(())
            }
            _ => Err(SyntaxError {
                span: start..end.map_or(start + 1, |end| start + end + 2),
                message: "text in single quotation marks".into(),
                hint: Some("write double ones: \"text\"".into()),
            }),
        }
    }

    fn word(&mut self) {
        let length = self.rest().find(|letter| !is_word(letter)).unwrap_or(self.rest().len());
        self.at += length;
    }
}

/// Letters of numbers and names; `#` for raw names.
fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '+' | '.' | '#')
}

fn error(span: Range<usize>, message: &str) -> SyntaxError {
    SyntaxError { span, message: message.to_owned(), hint: None }
}
