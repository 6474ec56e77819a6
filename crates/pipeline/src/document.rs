//! The shape of a RON text, with the place of every part.
//!
//! serde forgets where a value stood. Overrides and errors need it: this tree says, for a path such as
//! `modules.backbone.width`, which bytes hold the value.

use std::ops::Range;

/// One value of a RON text.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its bytes in the text.
    pub(crate) span: Range<usize>,
    /// What it is.
    pub(crate) kind: NodeKind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    /// `(a: 1)`, `Name(a: 1)`, `{"a": 1}`.
    Fields { fields: Vec<Field>, style: FieldStyle },
    /// `[1, 2]`, `(1, 2)`, `Name(1, 2)`.
    Items(Vec<Node>),
    /// A string, without escapes resolved.
    Text(String),
    /// A number, a name, a character.
    Word,
}

/// How named values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldStyle {
    /// `(name: value)`; also `()`.
    Struct,
    /// `{"name": value}`.
    Map,
}

/// A named value.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) name_span: Range<usize>,
    pub(crate) value: Node,
}

/// A text that is not RON.
#[derive(Clone, Debug)]
pub(crate) struct SyntaxError {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Node {
    /// The tree of `text`.
    pub(crate) fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut scanner = Scanner { text, at: 0 };
        scanner.skip_blank()?;
        while scanner.rest().starts_with("#![") {
            scanner.attribute()?;
            scanner.skip_blank()?;
        }
        if scanner.peek().is_none() {
            return Err(SyntaxError {
                span: scanner.at..scanner.at,
                message: "there is no value here".into(),
                hint: Some("a pipeline file starts with `Pipeline(`".into()),
            });
        }
        let node = scanner.value()?;
        scanner.skip_blank()?;
        match scanner.peek() {
            None => Ok(node),
            Some(letter) => Err(SyntaxError {
                span: scanner.at..scanner.at + letter.len_utf8(),
                message: format!("`{letter}` after the end of the pipeline"),
                hint: Some("is there a bracket too many before it?".into()),
            }),
        }
    }

    /// The value at a path of names and numbers.
    ///
    /// A name also leads through a plugin, `("resnet", (width: 8))`, into its config; and in a list it finds the plugin
    /// of that name or the step with that `id`.
    pub(crate) fn find(&self, path: &[&str]) -> Option<&Node> {
        match path.split_first() {
            None => Some(self),
            Some((name, rest)) => self.child(name)?.find(rest),
        }
    }

    /// The name of the value at `path`, where it has one.
    pub(crate) fn find_name(&self, path: &[&str]) -> Option<Range<usize>> {
        let (last, parents) = path.split_last()?;
        match &self.find(parents)?.kind {
            NodeKind::Fields { fields, .. } => {
                fields.iter().find(|field| field.name == *last).map(|field| field.name_span.clone())
            }
            _ => None,
        }
    }

    /// The value directly under `self` called `name`; see [`find`](Self::find).
    pub(crate) fn child(&self, name: &str) -> Option<&Node> {
        match &self.kind {
            NodeKind::Fields { fields, .. } => {
                fields.iter().find(|field| field.name == name).map(|field| &field.value)
            }
            NodeKind::Items(items) => {
                if let Ok(index) = name.parse::<usize>() {
                    return items.get(index);
                }
                match self.plugin() {
                    Some((_, config)) => config.child(name),
                    None => items.iter().find(|item| item.is_called(name)),
                }
            }
            NodeKind::Text(_) | NodeKind::Word => None,
        }
    }

    /// Name and config, if this is a plugin: `("resnet", (width: 8))`.
    pub(crate) fn plugin(&self) -> Option<(&str, &Node)> {
        match &self.kind {
            NodeKind::Items(items) => match items.as_slice() {
                [Node { kind: NodeKind::Text(name), .. }, config] => match config.kind {
                    NodeKind::Fields { .. } => Some((name, config)),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// The names that [`child`](Self::child) would find.
    pub(crate) fn child_names(&self) -> Vec<String> {
        match &self.kind {
            NodeKind::Fields { fields, .. } => fields.iter().map(|field| field.name.clone()).collect(),
            NodeKind::Items(items) => match self.plugin() {
                Some((_, config)) => config.child_names(),
                None => items.iter().enumerate().map(|(index, item)| item.called(index)).collect(),
            },
            NodeKind::Text(_) | NodeKind::Word => Vec::new(),
        }
    }

    /// The second field of a name that is given twice, anywhere in the tree.
    pub(crate) fn twice(&self) -> Option<&Field> {
        match &self.kind {
            NodeKind::Fields { fields, .. } => fields.iter().enumerate().find_map(|(i, field)| {
                let again = fields[..i].iter().any(|earlier| earlier.name == field.name);
                if again { Some(field) } else { field.value.twice() }
            }),
            NodeKind::Items(items) => items.iter().find_map(Self::twice),
            NodeKind::Text(_) | NodeKind::Word => None,
        }
    }

    /// The name that leads to this item of a list: its plugin, its `id`, or else its number.
    fn called(&self, index: usize) -> String {
        match (self.plugin(), self.child("id").map(|id| &id.kind)) {
            (Some((plugin, _)), _) => plugin.to_owned(),
            (None, Some(NodeKind::Text(id))) => id.clone(),
            _ => index.to_string(),
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let id = || match self.child("id").map(|id| &id.kind) {
            Some(NodeKind::Text(id)) => id == name,
            _ => false,
        };
        self.plugin().is_some_and(|(plugin, _)| plugin == name) || id()
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
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
    fn attribute(&mut self) -> Result<(), SyntaxError> {
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
    fn skip_blank(&mut self) -> Result<(), SyntaxError> {
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

    fn value(&mut self) -> Result<Node, SyntaxError> {
        let start = self.at;
        let kind = match self.peek() {
            None => {
                return Err(SyntaxError {
                    span: start..start,
                    message: "the file ends where a value was expected".into(),
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
                return Err(SyntaxError {
                    span: key.span,
                    message: format!("`{name}` has no value"),
                    hint: Some(format!("write `{name}: value`")),
                });
            }
            self.skip_blank()?;
            let value = self.value()?;
            fields.push(Field { name, name_span: key.span, value });
            if self.separator(start, close)? {
                return Ok(fields);
            }
        }
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
                message: format!("this bracket is never closed: no `{close}` before the end of the file"),
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
                '\\' => {
                    value.push(letter);
                    if let Some(escaped) = self.peek() {
                        value.push(escaped);
                        self.at += escaped.len_utf8();
                    }
                }
                _ => value.push(letter),
            }
        }
        let line = self.text[start..].find('\n').map_or(self.text.len(), |length| start + length);
        Err(error(start..line, "this text has no closing quotation mark on its line"))
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
// A comment (with brackets.
Pipeline(
    name: "a \" b", /* nested /* comment */ */
    modules: { "backbone": ("resnet", (width: 8, stem: Cifar)) },
    views: { "x": [("flip", (p: 0.5)), ("blur", ())] },
    graph: [(id: "q", on: ["x"])],
    at: Some(-1.5e-3),
)"#;

    fn found(path: &[&str]) -> Option<String> {
        Node::parse(TEXT).unwrap().find(path).map(|node| TEXT[node.span.clone()].to_owned())
    }

    #[test]
    fn a_path_finds_the_text_of_its_value() {
        assert_eq!(found(&["name"]).unwrap(), r#""a \" b""#);
        assert_eq!(found(&["at"]).unwrap(), "Some(-1.5e-3)");
        assert_eq!(found(&["views", "x", "0", "p"]).unwrap(), "0.5");
        assert_eq!(found(&["nothing"]), None);
    }

    #[test]
    fn a_path_leads_through_plugins_and_finds_list_items_by_name() {
        assert_eq!(found(&["modules", "backbone", "width"]).unwrap(), "8");
        assert_eq!(found(&["views", "x", "flip", "p"]).unwrap(), "0.5");
        assert_eq!(found(&["graph", "q", "on", "0"]).unwrap(), "\"x\"");
    }

    #[test]
    fn broken_texts_are_errors_at_the_right_place() {
        for (text, at, message) in [
            ("(a: 1", 0, "never closed"),
            ("(a: 1 b: 2)", 5, "comma"),
            ("(a: \"x)", 4, "quotation"),
            ("(a: \"x,\n b: \"y\")", 4, "quotation"),
            ("(a: 'text')", 4, "single quotation"),
            ("#![enable(a)\n(b: 1, c: [2])", 0, "attribute"),
            ("(a: [1,\n b: 2)", 4, "not closed before `b:`"),
            ("(a: (\"flip\", p: 0.5))", 13, "has a name"),
            ("(a: [1, 2)", 9, "opened differently"),
            ("(a: 1))", 6, "after the end"),
            ("(a: /* 1)", 4, "comment"),
            ("(a: ?)", 4, "expected a value"),
            ("(a: 1, b)", 7, "no value"),
            ("", 0, "no value"),
            ("(a: ", 4, "ends"),
        ] {
            let error = Node::parse(text).expect_err(text);
            assert_eq!(error.span.start, at, "{text}: {}", error.message);
            assert!(error.message.contains(message), "{text}: {}", error.message);
        }
    }

    #[test]
    fn a_name_given_twice_is_found_at_its_second_place() {
        let node = Node::parse("(a: {\"x\": 1, \"x\": 2})").unwrap();
        assert_eq!(node.twice().unwrap().name_span, 13..16);
    }
}
