//! What to say of a value that is right, but belongs in another place.

use std::ops::Range;

use pipeline_text::{Node, NodeKind, PipelineText};

/// Places that a message names at most.
const MOST: usize = 3;

/// What one may call a field of the pipeline, and where it is.
const OTHER_NAMES: [(&str, &str); 6] = [
    ("lr", "learning_rate.base"),
    ("base_lr", "learning_rate.base"),
    ("batch_size", "data.batch"),
    ("dataset", "data.source"),
    ("m", "momentum.start"),
    ("max_epochs", "epochs"),
];

/// Structs of the pipeline, with those of their fields that are a number or a name and may be left out of a file.
const FIELDS: [(&str, &[&str]); 6] = [
    ("data", &["source", "batch", "micro_batch", "max_unreadable"]),
    ("learning_rate", &["base", "scale"]),
    ("momentum", &["start"]),
    ("checkpoint", &["every_epochs", "every_minutes", "keep", "keep_every", "best"]),
    ("early_stopping", &["metric", "patience"]),
    ("stability", &["clip_norm", "on_spike", "on_nonfinite"]),
];

/// Structs that are mostly one number, and that number.
const MAINLY: [(&str, &str); 2] = [("learning_rate", "base"), ("momentum", "start")];

/// What to do about the fault `message` at `span`, if the value only belongs in another place.
pub(crate) fn hint(text: &PipelineText, span: &Range<usize>, message: &str) -> Option<String> {
    let found = text.text.get(span.clone())?.trim_matches('"');
    if message.starts_with("unknown field `") && message.ends_with("` in `Pipeline`") {
        return elsewhere(&text.tree, found);
    }
    if message.starts_with("expected `(`") {
        let NodeKind::Fields { fields, .. } = &text.tree.kind else { return None };
        let field = fields.iter().find(|field| field.value.span.start == span.start)?;
        let (name, number) = MAINLY.iter().find(|(name, _)| *name == field.name)?;
        found.parse::<f64>().ok()?;
        return Some(format!("the number is its `{number}`: `{name}.{number}={found}`"));
    }
    None
}

/// Where the pipeline has fields called `name`.
fn elsewhere(tree: &Node, name: &str) -> Option<String> {
    let mut paths = Vec::new();
    let mut add = |path: String| {
        if !paths.contains(&path) {
            paths.push(path);
        }
    };
    if let Some((_, path)) = OTHER_NAMES.iter().find(|(other, _)| *other == name) {
        add((*path).to_owned());
    }
    for (of, fields) in FIELDS {
        if fields.contains(&name) {
            add(format!("{of}.{name}"));
        }
    }
    collect(tree, &mut Vec::new(), name, &mut add);
    let more = paths.len().saturating_sub(MOST);
    let shown: Vec<String> = paths.iter().take(MOST).map(|path| format!("`{path}`")).collect();
    let (last, others) = shown.split_last()?;
    let shown = if others.is_empty() { last.clone() } else { format!("{} or {last}", others.join(", ")) };
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    Some(format!("did you mean {shown}{more}?"))
}

fn collect(node: &Node, path: &mut Vec<String>, name: &str, add: &mut impl FnMut(String)) {
    for child in node.child_names() {
        let Some(inner) = node.child(&child) else { continue };
        path.push(child);
        if path.len() > 1 && path.last().is_some_and(|last| last == name) {
            add(path.join("."));
        }
        collect(inner, path, name, add);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_stands_elsewhere_is_named_with_its_path() {
        let tree = Node::parse(
            r#"(data: (batch: 8), modules: {"b": ("resnet", (width: 8)), "c": ("queue", (len: 8, t: 1))},
            views: {"q": [("flip", (p: 1)), ("blur", (p: 1))], "k": [("flip", (p: 1)), ("blur", (p: 1))]})"#,
        )
        .unwrap();
        for (name, expected) in [
            ("batch", Some("did you mean `data.batch`?")),
            ("lr", Some("did you mean `learning_rate.base`?")),
            ("keep", Some("did you mean `checkpoint.keep`?")),
            ("width", Some("did you mean `modules.b.width`?")),
            ("p", Some("did you mean `views.q.flip.p`, `views.q.blur.p` or `views.k.flip.p` (and 1 more)?")),
            // At the top, it is where it belongs.
            ("data", None),
            ("nothing", None),
        ] {
            assert_eq!(elsewhere(&tree, name).as_deref(), expected, "{name}");
        }
    }
}
