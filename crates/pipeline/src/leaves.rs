//! The values of a pipeline's text, by their paths.

use std::collections::BTreeMap;

use pipeline_text::{Node, NodeKind};

/// The path of each value in the pipeline `text` and the value as it is written: `learning_rate.base`, `0.03`. Of a plugin, its
/// name is the value at its own path. `None` if the text is not RON.
///
/// To compare what runs have kept of their pipelines.
pub fn leaves(text: &str) -> Option<Vec<(String, String)>> {
    let tree = Node::parse(text).ok()?;
    let mut found = Vec::new();
    collect(text, &tree, "", &mut found);
    Some(found)
}

fn collect(text: &str, node: &Node, path: &str, found: &mut Vec<(String, String)>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if let Some((name, config)) = node.plugin() {
        found.push((path.to_owned(), name.to_owned()));
        return collect(text, config, path, found);
    }
    match &node.kind {
        NodeKind::Fields { fields, .. } => {
            for field in fields {
                collect(text, &field.value, &below(&field.name), found);
            }
        }
        NodeKind::Items(items) if !items.iter().all(is_short) => {
            let mut times = BTreeMap::new();
            for (name, item) in node.child_names().into_iter().zip(items) {
                let n: &mut usize = times.entry(name.clone()).or_default();
                *n += 1;
                // A view may have an augmentation twice.
                let name = if *n > 1 { format!("{name}#{n}") } else { name };
                collect(text, item, &below(&name), found);
            }
        }
        NodeKind::Items(_) | NodeKind::Text(_) | NodeKind::Word => {
            found.push((path.to_owned(), text[node.span.clone()].to_owned()));
        }
    }
}

fn is_short(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Text(_) | NodeKind::Word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_the_path_that_changes_it() {
        let text = r#"Pipeline(
            name: "a", // a comment
            views: { "query": [("crop", (size: 32, scale: (0.2, 1.0))), ("flip", (p: 0.5)), ("flip", (p: 1.0))] },
            modules: { "backbone": ("resnet", (depth: 18)) },
            graph: [(id: "q", run: ["backbone", "head"])],
            checkpoint: (),
        )"#;
        let found = leaves(text).unwrap();
        let expected = [
            ("name", "\"a\""),
            ("views.query.crop", "crop"),
            ("views.query.crop.size", "32"),
            ("views.query.crop.scale", "(0.2, 1.0)"),
            ("views.query.flip", "flip"),
            ("views.query.flip.p", "0.5"),
            ("views.query.flip#2", "flip"),
            ("views.query.flip#2.p", "1.0"),
            ("modules.backbone", "resnet"),
            ("modules.backbone.depth", "18"),
            ("graph.q.id", "\"q\""),
            ("graph.q.run", "[\"backbone\", \"head\"]"),
        ];
        let found: Vec<(&str, &str)> = found.iter().map(|(path, value)| (&path[..], &value[..])).collect();
        assert_eq!(found, expected);
        assert_eq!(leaves("Pipeline("), None);
    }
}
