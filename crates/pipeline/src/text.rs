//! The text of a pipeline, with the changes of the command line in it.

use std::ops::Range;

use crate::document::{FieldStyle, Node, NodeKind};
use crate::fault::Fault;

/// A pipeline's text after all overrides, which still knows where each piece came from.
#[derive(Clone, Debug)]
pub(crate) struct PipelineText {
    origin: String,
    original: String,
    /// The text to parse.
    pub(crate) text: String,
    edits: Vec<Edit>,
}

/// A piece of the text that came from the command line.
#[derive(Clone, Debug)]
struct Edit {
    /// Where it stands in the text now.
    range: Range<usize>,
    /// How many bytes of the file it replaced.
    n_replaced: usize,
    /// The arguments that put it there.
    argument: String,
    /// Where the value starts in the last argument, and in `range`.
    value_at: (usize, usize),
    /// Length of the name before the value, if the edit added one.
    n_name: usize,
}

impl PipelineText {
    /// The text of the file `origin`, with `overrides` (each `path.to.value=value`) applied in order.
    ///
    /// # Errors
    /// If the text is not RON, or an override is malformed or leads nowhere.
    pub(crate) fn new(origin: &str, text: &str, overrides: &[String]) -> Result<Self, Box<Fault>> {
        let mut this =
            Self { origin: origin.into(), original: text.into(), text: text.into(), edits: Vec::new() };
        this.tree()?;
        for argument in overrides {
            this.apply(argument)?;
        }
        Ok(this)
    }

    /// The tree of the text as it is now.
    pub(crate) fn tree(&self) -> Result<Node, Box<Fault>> {
        let tree =
            Node::parse(&self.text).map_err(|error| self.fault(error.span, error.message, error.hint))?;
        match tree.twice() {
            Some(field) => Err(self.fault(
                field.name_span.clone(),
                format!("`{}` is given twice", field.name),
                Some("keep one of them".into()),
            )),
            None => Ok(tree),
        }
    }

    /// A fault at `span` of the present text, shown in the file or argument it came from.
    pub(crate) fn fault(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Box<Fault> {
        // An error at the end of a value may point at what follows it.
        let inside = |edit: &&Edit| edit.range.start <= span.start && span.start <= edit.range.end;
        let (origin, text, span) = match self.edits.iter().find(inside) {
            Some(edit) => {
                let (in_argument, in_range) = edit.value_at;
                let shift = |at: usize| {
                    let at = at - edit.range.start;
                    if at >= in_range {
                        (in_argument + at - in_range).min(edit.argument.len())
                    } else {
                        in_argument.saturating_sub(1 + edit.n_name) + at.min(edit.n_name)
                    }
                };
                ("the command line".to_owned(), edit.argument.clone(), shift(span.start)..shift(span.end))
            }
            None => (
                self.origin.clone(),
                self.original.clone(),
                self.original_offset(span.start)..self.original_offset(span.end),
            ),
        };
        Box::new(Fault { origin, text, span, message: message.into(), hint })
    }

    fn original_offset(&self, at: usize) -> usize {
        let before = self.edits.iter().filter(|edit| edit.range.end <= at);
        let (added, removed) = before
            .fold((0, 0), |(added, removed), edit| (added + edit.range.len(), removed + edit.n_replaced));
        (at + removed).saturating_sub(added)
    }

    fn apply(&mut self, argument: &str) -> Result<(), Box<Fault>> {
        let shown = format!("--set {argument}");
        let bad = |span: Range<usize>, message: String, hint: String| {
            Box::new(Fault {
                origin: "the command line".into(),
                text: shown.clone(),
                span,
                message,
                hint: Some(hint),
            })
        };
        let Some((path, value)) = argument.split_once('=') else {
            return Err(bad(
                6..shown.len(),
                "an override needs a path and a value".into(),
                "write `--set path.to.value=VALUE`, for instance `--set data.batch=64`".into(),
            ));
        };
        let value_start = 6 + path.len() + 1;
        if let Err(error) = Node::parse(value) {
            return Err(bad(
                value_start + error.span.start..(value_start + error.span.end).min(shown.len()),
                error.message,
                "the value is written as in the file; text needs its quotation marks: `--set 'name=\"mine\"'`".into(),
            ));
        }
        let tree = self.tree()?;
        let names: Vec<&str> = path.split('.').collect();
        if let Some(gap) = names.iter().position(|name| name.is_empty()) {
            let at = 6 + names[..gap].iter().map(|name| name.len() + 1).sum::<usize>();
            return Err(bad(
                at..at,
                "a name is missing in this path".into(),
                "for instance `data.batch`".into(),
            ));
        }
        let (parents, last) = names.split_at(names.len() - 1);
        let mut node = &tree;
        let mut at = 6;
        for (depth, name) in parents.iter().enumerate() {
            node = node.child(name).ok_or_else(|| {
                let known = node.child_names();
                let hint = match (plugin_api::nearest(name, &known), &node.kind) {
                    (None, NodeKind::Fields { .. }) => {
                        let under = names[depth + 1..].join(": (");
                        let close = ")".repeat(names.len() - depth - 1);
                        let whole = [&names[..depth], &[*name]].concat().join(".");
                        format!("to add it, write `--set '{whole}=({under}: {value}{close}'`")
                    }
                    _ => plugin_api::suggest(name, &known),
                };
                bad(at..at + name.len(), format!("the pipeline has no `{name}` here"), hint)
            })?;
            at += name.len() + 1;
        }
        let last = last[0];
        if let Some(target) = node.child(last) {
            let range = target.span.clone();
            self.replace(range, value, &shown, (value_start, 0), 0);
            return Ok(());
        }
        let node = node.plugin().map_or(node, |(_, config)| config);
        let NodeKind::Fields { fields, style } = &node.kind else {
            return Err(bad(
                at..at + last.len(),
                format!("the pipeline has no `{last}` here"),
                plugin_api::suggest(last, &node.child_names()),
            ));
        };
        let key = match style {
            FieldStyle::Struct => format!("{last}: "),
            FieldStyle::Map => format!("\"{last}\": "),
        };
        let comma = if fields.is_empty() { "" } else { ", " };
        let open = node.span.start + self.text[node.span.clone()].find(['(', '{']).map_or(0, |i| i + 1);
        // The key is part of the edit, so that an unknown one is reported as the argument's.
        self.replace(
            open..open,
            &format!("{key}{value}{comma}"),
            &shown,
            (value_start, key.len()),
            last.len(),
        );
        Ok(())
    }

    fn replace(
        &mut self,
        range: Range<usize>,
        with: &str,
        argument: &str,
        value_at: (usize, usize),
        n_name: usize,
    ) {
        let n_replaced = range.len();
        self.text.replace_range(range.clone(), with);
        let grow = |at: usize| at + with.len() - n_replaced;
        for edit in &mut self.edits {
            if edit.range.start <= range.start && range.end <= edit.range.end && !edit.range.is_empty() {
                edit.range.end = grow(edit.range.end);
                edit.argument = argument.to_owned();
                edit.value_at = (value_at.0, range.start - edit.range.start + value_at.1);
                return;
            }
        }
        // An edit that swallows earlier ones replaces what they had replaced.
        let mut n_original = n_replaced;
        self.edits.retain(|edit| {
            let swallowed = range.start <= edit.range.start && edit.range.end <= range.end;
            if swallowed {
                n_original = n_original + edit.n_replaced - edit.range.len();
            }
            !swallowed
        });
        for edit in &mut self.edits {
            if edit.range.start >= range.end {
                edit.range = grow(edit.range.start)..grow(edit.range.end);
            }
        }
        self.edits.push(Edit {
            range: range.start..range.start + with.len(),
            n_replaced: n_original,
            argument: argument.to_owned(),
            value_at,
            n_name,
        });
        self.edits.sort_by_key(|edit| edit.range.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "(\n  name: \"a\",\n  data: (batch: 128),\n  modules: {\"b\": (\"resnet\", (width: 64))},\n  epochs: 5,\n)";

    fn with(overrides: &[&str]) -> Result<PipelineText, Box<Fault>> {
        PipelineText::new("a.ron", FILE, &overrides.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_override_replaces_a_value_or_adds_a_field() {
        let text =
            with(&["data.batch=64", "modules.b.width=8", "modules.b.stem=Cifar", "seed=3"]).unwrap().text;
        assert!(text.contains("batch: 64"), "{text}");
        assert!(text.contains("(stem: Cifar, width: 8)"), "{text}");
        assert!(text.starts_with("(seed: 3, \n"), "{text}");
    }

    #[test]
    fn a_place_after_an_override_is_still_found_in_the_file() {
        let text = with(&["data.batch=1", "modules.b.width=123456789"]).unwrap();
        let at = text.text.find("epochs").unwrap();
        let fault = text.fault(at..at + 6, "x", None);
        assert_eq!((fault.origin.as_str(), fault.position()), ("a.ron", (5, 3)));
    }

    #[test]
    fn a_place_in_an_override_is_found_on_the_command_line() {
        let text = with(&["data.batch=1", "data.batch=77"]).unwrap();
        let at = text.text.find("77").unwrap();
        let fault = text.fault(at..at + 2, "x", None);
        assert_eq!(&fault.text[fault.span.clone()], "77");
        assert_eq!(fault.text, "--set data.batch=77");
    }

    #[test]
    fn a_path_that_leads_nowhere_suggests_the_nearest_name() {
        let fault = with(&["dta.batch=1"]).unwrap_err();
        assert_eq!(&fault.text[fault.span.clone()], "dta");
        assert_eq!(fault.hint.as_deref(), Some("did you mean `data`?"));
    }

    #[test]
    fn a_malformed_override_says_how_it_is_written() {
        assert!(with(&["data.batch"]).unwrap_err().message.contains("path and a value"));
        assert!(with(&["data.batch=(1"]).unwrap_err().message.contains("never closed"));
        assert_eq!(with(&["data..batch=1"]).unwrap_err().position(), (1, 12));
    }
}
