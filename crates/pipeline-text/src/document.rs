//! The shape of a RON text, with the place of every part.
//!
//! serde forgets where a value stood. Overrides and errors need it: this tree says, for a path such as
//! `modules.backbone.width`, which bytes hold the value.

use std::collections::HashSet;
use std::ops::Range;

use crate::scanner::Scanner;

/// What is said of a text without a value.
pub(crate) const NOTHING: &str = "there is no value here";

/// One value of a RON text.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its bytes in the text.
    pub span: Range<usize>,
    /// What it is.
    pub kind: NodeKind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// `(a: 1)`, `Name(a: 1)`, `{"a": 1}`.
    Fields {
        /// In the order of the text.
        fields: Vec<Field>,
        /// How they are written.
        style: FieldStyle,
    },
    /// `[1, 2]`, `(1, 2)`, `Name(1, 2)`.
    Items(Vec<Node>),
    /// A string, as its escapes mean it.
    Text(String),
    /// A number, a name, a character.
    Word,
}

/// How named values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldStyle {
    /// `(name: value)`; also `()`.
    Struct,
    /// `{"name": value}`.
    Map,
}

/// A named value.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name, without quotation marks.
    pub name: String,
    /// The name's bytes in the text.
    pub name_span: Range<usize>,
    /// Its value.
    pub value: Node,
}

/// A text that is not RON.
#[derive(Clone, Debug)]
pub struct SyntaxError {
    /// The wrong piece, in bytes of the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Node {
    /// The tree of `text`.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let (node, end) = Self::parse_start(text)?;
        match text[end..].chars().next() {
            None => Ok(node),
            Some(letter) => Err(SyntaxError {
                span: end..end + letter.len_utf8(),
                message: format!("`{letter}` after the end of the pipeline"),
                hint: Some("is there a bracket too many before it?".into()),
            }),
        }
    }

    /// The value at the start of `text`, and where what follows it begins.
    pub(crate) fn parse_start(text: &str) -> Result<(Self, usize), SyntaxError> {
        let mut scanner = Scanner::new(text);
        scanner.skip_blank()?;
        while scanner.rest().starts_with("#![") {
            scanner.attribute()?;
            scanner.skip_blank()?;
        }
        if scanner.peek().is_none() {
            return Err(SyntaxError {
                span: scanner.place()..scanner.place(),
                message: NOTHING.into(),
                hint: Some("a pipeline file starts with `Pipeline(`".into()),
            });
        }
        let node = scanner.value()?;
        scanner.skip_blank()?;
        Ok((node, scanner.place()))
    }

    /// The value at a path of names and numbers.
    ///
    /// A name also leads through a plugin, `("resnet", (width: 8))`, into its config; and in a list it finds the plugin
    /// of that name or the step with that `id`.
    pub fn find(&self, path: &[&str]) -> Option<&Node> {
        match path.split_first() {
            None => Some(self),
            Some((name, rest)) => self.child(name)?.find(rest),
        }
    }

    /// The name of the value at `path`, where it has one.
    pub fn find_name(&self, path: &[&str]) -> Option<Range<usize>> {
        let (last, parents) = path.split_last()?;
        match &self.find(parents)?.kind {
            NodeKind::Fields { fields, .. } => {
                fields.iter().find(|field| field.name == *last).map(|field| field.name_span.clone())
            }
            _ => None,
        }
    }

    /// The value directly under `self` called `name`; see [`find`](Self::find).
    pub fn child(&self, name: &str) -> Option<&Node> {
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
    pub fn plugin(&self) -> Option<(&str, &Node)> {
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
    pub fn child_names(&self) -> Vec<String> {
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
    pub fn twice(&self) -> Option<&Field> {
        match &self.kind {
            NodeKind::Fields { fields, .. } => {
                let mut names = HashSet::with_capacity(fields.len());
                fields.iter().find_map(|field| match names.insert(field.name.as_str()) {
                    true => field.value.twice(),
                    false => Some(field),
                })
            }
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

    /// The tree as it is at byte `start`.
    pub fn moved_to(mut self, start: usize) -> Self {
        let from = self.span.start;
        self.each_place(&mut |at| *at = *at - from + start);
        self
    }

    /// Moves what stands behind `range`, which now has `n` bytes.
    pub fn make_room(&mut self, range: &Range<usize>, n: usize) {
        self.each_place(&mut |at| {
            if *at >= range.end {
                *at = *at - range.len() + n;
            }
        });
    }

    fn each_place(&mut self, change: &mut dyn FnMut(&mut usize)) {
        change(&mut self.span.start);
        change(&mut self.span.end);
        match &mut self.kind {
            NodeKind::Fields { fields, .. } => {
                for field in fields {
                    change(&mut field.name_span.start);
                    change(&mut field.name_span.end);
                    field.value.each_place(change);
                }
            }
            NodeKind::Items(items) => items.iter_mut().for_each(|item| item.each_place(change)),
            NodeKind::Text(_) | NodeKind::Word => {}
        }
    }

    /// The value that stands at `span`.
    pub fn at_mut(&mut self, span: &Range<usize>) -> Option<&mut Self> {
        if self.span == *span {
            return Some(self);
        }
        let holds = |node: &&mut Self| node.span.start <= span.start && span.end <= node.span.end;
        match &mut self.kind {
            NodeKind::Fields { fields, .. } => {
                fields.iter_mut().map(|field| &mut field.value).find(holds)?.at_mut(span)
            }
            NodeKind::Items(items) => items.iter_mut().find(holds)?.at_mut(span),
            NodeKind::Text(_) | NodeKind::Word => None,
        }
    }
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
        let (deep, many) = ("[".repeat(100_000), format!("[{}]", "1,".repeat(100_000)));
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
            ("(a:\n b: 32)", 1, "`a` has no value"),
            ("(x: 1, y: (a: b: 0.1))", 11, "`a` has no value"),
            ("(x: 1, a: , b: 2)", 7, "`a` has no value"),
            ("(x: 1, a: /* none */)", 7, "`a` has no value"),
            ("{\"a\": \"b\": 1}", 1, "`a` has no value"),
            ("(a: \"b\": 1)", 1, "`a` has no value"),
            ("(a: 12:30)", 6, "comma"),
            ("(a: 0,03, b: 1)", 4, "`,` stands in the number `0,03`"),
            ("(a: 1, 03, b: 1)", 7, "`03` has no value"),
            (r#"(a: "x\qy")"#, 6, "stands for no character"),
            (r#"(a: "\u{d800}")"#, 5, "stands for no character"),
            ("(a: \"x\\", 4, "quotation"),
            (&deep, 64, "more than 64 brackets"),
            (&many, 2 * 65_535 + 1, "more than 65536 values"),
            ("", 0, "no value"),
            ("(a: ", 4, "ends"),
        ] {
            let error = Node::parse(text).expect_err(text);
            assert_eq!(error.span.start, at, "{text}: {}", error.message);
            assert!(error.message.contains(message), "{text}: {}", error.message);
        }
    }

    #[test]
    fn names_that_escapes_make_equal_are_equal() {
        let node = Node::parse(r#"(a: ("res\u{6e}et", (width: 8)), "b": 1, r#b: 2)"#).unwrap();
        assert_eq!(node.find(&["a"]).unwrap().plugin().unwrap().0, "resnet");
        let node = Node::parse(r#"{"query": 1, "qu\u{65}ry": 2}"#).unwrap();
        assert_eq!(node.twice().unwrap().name_span, 13..25);
    }

    #[test]
    fn many_names_are_compared_at_once() {
        let fields: String = (0..30_000).map(|i| format!("n{i}: 1, ")).collect();
        let start = std::time::Instant::now();
        assert!(Node::parse(&format!("({fields})")).unwrap().twice().is_none());
        let node = Node::parse(&format!("({fields} n7: 2)")).unwrap();
        assert_eq!(node.twice().unwrap().name, "n7");
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }

    #[test]
    fn a_name_given_twice_is_found_at_its_second_place() {
        let node = Node::parse("(a: {\"x\": 1, \"x\": 2})").unwrap();
        assert_eq!(node.twice().unwrap().name_span, 13..16);
    }
}
