//! Changes of single values: `--set path.to.value=VALUE`, and `set` of a file that starts from another.

use std::ops::Range;

use crate::argument;
use crate::document::{FieldStyle, Node, NodeKind, SyntaxError};
use crate::fault::Checked;
use crate::fault::Fault;
use crate::text::{Fragment, PipelineText};

/// How messages call the command line.
const COMMAND_LINE: &str = "the command line";
/// What stands before an argument.
const OPTION: &str = "--set ";

/// A path and a value, both with their places in an origin's text.
pub struct Change<'a> {
    /// The origin, as [`PipelineText::add_origin`] gave it.
    pub origin: usize,
    /// Names joined by dots.
    pub path: &'a str,
    /// Where the path begins in the origin's text, in bytes.
    pub path_at: usize,
    /// The value, with its place in the origin's text.
    pub value: Node,
    /// Where it is written.
    pub source: Source,
}

/// Where a change is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In an argument, `--set path=value`.
    CommandLine,
    /// In the field `set` of a file.
    File,
}

impl PipelineText {
    /// Applies the argument `path.to.value=value`.
    ///
    /// # Errors
    /// If it is malformed, or leads nowhere.
    pub fn set(&mut self, argument: &str) -> Checked<()> {
        let shown = format!("{OPTION}{argument}");
        let bad = |span: Range<usize>, message: String, hint: &str| {
            Box::new(Fault {
                origin: COMMAND_LINE.into(),
                text: shown.clone(),
                span,
                message,
                hint: Some(hint.into()),
            })
        };
        let Some((path, value)) = argument.split_once('=') else {
            return Err(bad(
                OPTION.len()..shown.len(),
                "an override needs a path and a value".into(),
                "write `--set path.to.value=VALUE`, for instance `--set data.batch=64`",
            ));
        };
        let value_at = OPTION.len() + path.len() + 1;
        let value = argument::value(path, value, self).map_err(|SyntaxError { span, message, hint }| {
            let end = (value_at + span.end).min(shown.len());
            bad(value_at + span.start..end, message, hint.as_deref().unwrap_or(argument::AS_IN_THE_FILE))
        })?;
        let at = value_at + value.span.start;
        let origin = self.add_origin(COMMAND_LINE, &shown);
        let (path_at, value) = (OPTION.len(), value.moved_to(at));
        self.change(&Change { origin, path, path_at, value, source: Source::CommandLine })
    }

    /// Applies a change: what is at its path is replaced, and a last name that is not there is added.
    ///
    /// # Errors
    /// If the path leads nowhere.
    pub fn change(&mut self, change: &Change<'_>) -> Checked<()> {
        let Change { origin, path, path_at, value, .. } = change;
        let names: Vec<&str> = path.split('.').collect();
        let place = |i: usize| path_at + names[..i].iter().map(|name| name.len() + 1).sum::<usize>();
        if let Some(gap) = names.iter().position(|name| name.is_empty()) {
            let hint = Some("for instance `data.batch`".into());
            return Err(self.fault_in(
                *origin,
                place(gap)..place(gap),
                "a name is missing in this path",
                hint,
            ));
        }
        if let ["views", view, _, ..] = names[..] {
            // It is changed on its own, so it is no longer like another.
            self.write_out_view(view)?;
        }
        let (parents, last) = names.split_at(names.len() - 1);
        let (last, last_at) = (last[0], place(parents.len()));
        let mut node = &self.tree;
        for (depth, name) in parents.iter().enumerate() {
            node = node.child(name).ok_or_else(|| {
                let span = place(depth)..place(depth) + name.len();
                let hint = self.hint(change, node, &names, depth);
                self.fault_in(*origin, span, format!("the pipeline has no `{name}` here"), Some(hint))
            })?;
        }
        let new = Fragment {
            text: self.origin_text(*origin)[value.span.clone()].to_owned(),
            origin: *origin,
            from: value.span.clone(),
        };
        if let Some(target) = node.child(last) {
            let range = target.span.clone();
            return self.replace(range, &[new], value.clone());
        }
        let node = node.plugin().map_or(node, |(_, config)| config);
        if !matches!(node.kind, NodeKind::Fields { .. }) {
            return Err(self.fault_in(
                *origin,
                last_at..last_at + last.len(),
                format!("the pipeline has no `{last}` here"),
                Some(plugin_api::suggest(last, &node.child_names())),
            ));
        }
        if matches!(node.kind, NodeKind::Fields { style: FieldStyle::Struct, .. }) && !is_name(last) {
            return Err(self.fault_in(
                *origin,
                last_at..last_at + last.len(),
                format!("`{last}` is no name of a field"),
                Some(plugin_api::suggest(last, &node.child_names())),
            ));
        }
        let parent = node.clone();
        let key = Fragment { text: String::new(), origin: *origin, from: last_at..last_at + last.len() };
        self.add_field(&parent, last, [key, new], value.clone())
    }

    /// What to do about the name at `depth` of a path, which `node` does not have.
    fn hint(&self, change: &Change<'_>, node: &Node, names: &[&str], depth: usize) -> String {
        let known = node.child_names();
        match (plugin_api::nearest(names[depth], &known), &node.kind) {
            (None, NodeKind::Fields { .. }) => {
                let under = names[depth + 1..].join(": (");
                let close = ")".repeat(names.len() - depth - 1);
                let whole = names[..=depth].join(".");
                let value = &self.origin_text(change.origin)[change.value.span.clone()];
                match change.source {
                    Source::CommandLine => {
                        format!("to add it, write `--set '{whole}=({under}: {value}{close}'`")
                    }
                    Source::File => format!("to add it, write `\"{whole}\": ({under}: {value}{close}`"),
                }
            }
            _ => plugin_api::suggest(names[depth], &known),
        }
    }
}

/// Whether a field can be called so. Names of views and modules, which stand in quotation marks, can be any text.
fn is_name(name: &str) -> bool {
    name.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "(\n  name: \"a\",\n  data: (batch: 128),\n  modules: {\"b\": (\"resnet\", (width: 64))},\n  epochs: 5,\n)";

    fn with(overrides: &[&str]) -> Checked<PipelineText> {
        let mut text = PipelineText::new("a.ron", FILE)?;
        for argument in overrides {
            text.set(argument)?;
            // The tree is kept, and must be that of the text.
            assert_eq!(format!("{:?}", text.tree), format!("{:?}", Node::parse(&text.text).unwrap()));
        }
        Ok(text)
    }

    #[test]
    fn an_override_replaces_a_value_or_adds_a_field() {
        let text =
            with(&["data.batch=64", "modules.b.width=8", "modules.b.stem=Cifar", "seed=3", "modules.c=1"])
                .unwrap()
                .text;
        assert!(text.contains("batch: 64"), "{text}");
        assert!(text.contains("(stem: Cifar, width: 8)"), "{text}");
        assert!(text.contains("{\"c\": 1, \"b\": "), "{text}");
        assert!(text.starts_with("(seed: 3, \n"), "{text}");
    }

    #[test]
    fn a_value_that_was_set_can_be_changed_and_added_to() {
        let text = with(&[
            "modules={}",
            "modules.b=(\"mlp\", ())",
            "modules.b.out=1 // what follows is not set",
            "modules.b.out=/* two */ 22",
            "modules.c=(\"vit\", (dim: 3))",
            "data.batch=7",
        ]);
        let text = text.unwrap().text;
        assert!(
            text.contains("modules: {\"c\": (\"vit\", (dim: 3)), \"b\": (\"mlp\", (out: 22))},\n"),
            "{text}"
        );
    }

    #[test]
    fn a_place_after_an_override_is_still_found_in_the_file() {
        let text = with(&["data.batch=1", "modules.b.width=123456789", "seed=5"]).unwrap();
        let at = text.text.find("epochs").unwrap();
        let fault = text.fault(at..at + 6, "x", None);
        assert_eq!((fault.origin.as_str(), fault.position()), ("a.ron", (5, 3)));
        assert_eq!(&fault.text[fault.span], "epochs");
    }

    #[test]
    fn a_place_in_an_override_is_found_on_the_command_line() {
        let text = with(&["data.batch=1", "data.batch=77", "seed=66"]).unwrap();
        let found = |piece: &str| {
            let at = text.text.find(piece).unwrap();
            let fault = text.fault(at..at + piece.len(), "x", None);
            (fault.text.clone(), fault.text[fault.span].to_owned())
        };
        assert_eq!(found("77"), ("--set data.batch=77".into(), "77".into()));
        assert_eq!(found("seed"), ("--set seed=66".into(), "seed".into()));
        assert_eq!(found("66"), ("--set seed=66".into(), "66".into()));
    }

    #[test]
    fn a_path_that_leads_nowhere_suggests_the_nearest_name() {
        let fault = with(&["dta.batch=1"]).unwrap_err();
        assert_eq!(&fault.text[fault.span.clone()], "dta");
        assert_eq!(fault.hint.as_deref(), Some("did you mean `data`?"));
        let fault = with(&["checkpoint.keep=1"]).unwrap_err();
        assert_eq!(fault.hint.as_deref(), Some("to add it, write `--set 'checkpoint=(keep: 1)'`"));
    }

    #[test]
    fn a_name_is_added_as_it_is_and_not_as_its_escapes_mean_it() {
        let text = with(&[r"modules.a\u{62}=1", r#"modules.c"d=2"#, r"modules.e\=3"]).unwrap();
        for (name, value) in [(r"a\u{62}", "1"), (r#"c"d"#, "2"), (r"e\", "3")] {
            let node = text.tree.find(&["modules", name]).unwrap();
            assert_eq!(&text.text[node.span.clone()], value, "{}", text.text);
        }
        assert_eq!(with(&["data.a b=1"]).unwrap_err().message, "`a b` is no name of a field");
    }

    #[test]
    fn a_field_is_added_behind_the_bracket_and_not_in_a_comment_before_it() {
        let of = |text: &str, argument: &str| {
            let mut text = PipelineText::new("a.ron", text).unwrap();
            text.set(argument).unwrap();
            text.text
        };
        for before in ["", "/* v3 (Chen et al.) {x} */ ", "// (old)\n", "/* a /* ( */ */ "] {
            let text = of(&format!("Pipeline {before}(name: \"a\", data: Data {before}())"), "seed=3");
            assert_eq!(text, format!("Pipeline {before}(seed: 3, name: \"a\", data: Data {before}())"));
            let text = of(&format!("({before}name: \"a\", views: {{{before}\"x\": []}})"), "views.y=[]");
            assert_eq!(text, format!("({before}name: \"a\", views: {{\"y\": [], {before}\"x\": []}})"));
        }
    }

    #[test]
    fn a_malformed_override_says_how_it_is_written() {
        assert!(with(&["data.batch"]).unwrap_err().message.contains("path and a value"));
        assert!(with(&["data.batch=(1"]).unwrap_err().message.contains("never closed"));
        assert_eq!(with(&["data..batch=1"]).unwrap_err().position(), (1, 12));
        assert!(with(&["data=(batch: 1, batch: 2)"]).unwrap_err().message.contains("given twice"));
        let deep = format!("data={}", "(".repeat(100_000));
        assert!(with(&[&deep]).unwrap_err().message.contains("more than 64 brackets"));
        let long = format!("data=\"{}\"", "x".repeat(2_000_000));
        assert!(with(&[&long]).unwrap_err().message.contains("more than 1048576 bytes"));
    }
}
