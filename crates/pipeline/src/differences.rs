//! How pipelines differ, value by value.

use pipeline_text::{Checked, Node, NodeKind};

use crate::{base, minimize};

/// A value that several pipelines have otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where it is, as `--set` would name it: `modules.backbone.width`.
    pub path: String,
    /// What each pipeline has there, on one line; `None` where it is not written.
    pub values: Vec<Option<String>>,
}

/// What differs among pipelines that runs have kept, given by what messages call them and by their texts. Comments, spaces and
/// the order of named values do not count, and neither do two ways to write a number.
///
/// # Errors
/// If one of them is not RON.
pub fn differences(pipelines: &[(&str, &str)]) -> Checked<Vec<Difference>> {
    let mut texts = Vec::new();
    for (origin, text) in pipelines {
        let mut text = base::without_file(origin, text)?;
        minimize::remove(&mut text);
        texts.push(text);
    }
    let values: Vec<Option<Value<'_>>> =
        texts.iter().map(|text| Some(Value { node: &text.tree, text: &text.text })).collect();
    let mut found = Vec::new();
    compare("", &values, &mut found);
    Ok(found)
}

/// A value in the text of its pipeline.
#[derive(Clone, Copy)]
struct Value<'a> {
    node: &'a Node,
    text: &'a str,
}

fn compare(path: &str, values: &[Option<Value<'_>>], found: &mut Vec<Difference>) {
    let shown: Vec<Option<String>> = values.iter().map(|value| value.map(Value::shown)).collect();
    if shown.windows(2).all(|pair| pair[0] == pair[1]) {
        return;
    }
    let all: Option<Vec<Value<'_>>> = values.iter().copied().collect();
    let inner: Option<Vec<Vec<(String, Value<'_>)>>> = all.filter(|all| are_alike(all)).and_then(|all| {
        let children = all.into_iter().map(Value::children);
        children.collect()
    });
    let Some(inner) = inner else {
        found.push(Difference { path: path.to_owned(), values: shown });
        return;
    };
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in inner.iter().flatten() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let n_before = found.len();
    for name in names {
        let inner: Vec<_> = inner.iter().map(|children| called(name, children)).collect();
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        compare(&path, &inner, found);
    }
    // The same steps in another order.
    if found.len() == n_before && inner.iter().any(|children| order(children) != order(&inner[0])) {
        found.push(Difference {
            path: path.to_owned(),
            values: inner.iter().map(|children| Some(order(children).join(", "))).collect(),
        });
    }
}

fn called<'a>(name: &str, children: &[(String, Value<'a>)]) -> Option<Value<'a>> {
    children.iter().find(|(child, _)| child == name).map(|(_, value)| *value)
}

/// The names of items in their order; named values have none.
fn order<'a>(children: &'a [(String, Value<'_>)]) -> Vec<&'a str> {
    let are_items = children
        .iter()
        .all(|(name, value)| value.node.plugin().is_some() || value.id() == Some(name.as_str()));
    if are_items { children.iter().map(|(name, _)| name.as_str()).collect() } else { Vec::new() }
}

/// Whether it makes sense to look into the values, and not to show them whole.
fn are_alike(values: &[Value<'_>]) -> bool {
    let kind = |value: &Value<'_>| match (&value.node.kind, value.node.plugin()) {
        (_, Some((name, _))) => Some(format!("plugin {name}")),
        (NodeKind::Fields { style, .. }, _) => Some(format!("{} {style:?}", value.head())),
        (NodeKind::Items(_), _) => Some("items".to_owned()),
        (NodeKind::Text(_) | NodeKind::Word, _) => None,
    };
    let first = values.first().and_then(kind);
    first.is_some() && values.iter().all(|value| kind(value) == first)
}

impl<'a> Value<'a> {
    fn at(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }

    /// What stands before the bracket: `Custom` of `Custom(mean: 0.5)`.
    fn head(self) -> &'a str {
        let own = &self.text[self.node.span.clone()];
        own.split(['(', '[', '{']).next().unwrap_or_default().trim()
    }

    fn id(self) -> Option<&'a str> {
        match self.node.child("id").map(|id| &id.kind) {
            Some(NodeKind::Text(id)) => Some(id),
            _ => None,
        }
    }

    /// The values in it by their names; `None` if some have none, so that it is a list of plain values, or if two have one.
    fn children(self) -> Option<Vec<(String, Self)>> {
        let children: Vec<(String, Self)> = match (&self.node.kind, self.node.plugin()) {
            (_, Some((_, config))) => return self.at(config).children(),
            (NodeKind::Fields { fields, .. }, _) => {
                fields.iter().map(|field| (field.name.clone(), self.at(&field.value))).collect()
            }
            (NodeKind::Items(items), _) => items
                .iter()
                .map(|item| {
                    let item = self.at(item);
                    let name = item.node.plugin().map(|(name, _)| name).or(item.id());
                    Some((name?.to_owned(), item))
                })
                .collect::<Option<_>>()?,
            (NodeKind::Text(_) | NodeKind::Word, _) => return None,
        };
        let is_twice = |at: usize| children[..at].iter().any(|(name, _)| *name == children[at].0);
        if (0..children.len()).any(is_twice) { None } else { Some(children) }
    }

    /// It on one line, without comments, and so that equal values are equal texts.
    fn shown(self) -> String {
        let list = |items: Vec<String>| {
            let own = &self.text[self.node.span.clone()];
            let open = own.find(['(', '[', '{']).map_or("(", |at| &own[at..=at]);
            let close = match open {
                "[" => "]",
                "{" => "}",
                _ => ")",
            };
            format!("{}{open}{}{close}", self.head(), items.join(", "))
        };
        match &self.node.kind {
            NodeKind::Word => {
                let word = self.text[self.node.span.clone()].trim();
                word.parse::<f64>().map_or_else(|_| word.to_owned(), |number| plain(word, number))
            }
            NodeKind::Text(_) => self.text[self.node.span.clone()].trim().to_owned(),
            NodeKind::Items(items) => list(items.iter().map(|item| self.at(item).shown()).collect()),
            NodeKind::Fields { fields, .. } => {
                let mut fields: Vec<String> = fields
                    .iter()
                    .map(|field| {
                        let name = &self.text[field.name_span.clone()];
                        format!("{name}: {}", self.at(&field.value).shown())
                    })
                    .collect();
                fields.sort();
                list(fields)
            }
        }
    }
}

/// A number in one way: `1e-4` and `0.0001` are the same. Long whole numbers, such as seeds, are no floats.
fn plain(word: &str, number: f64) -> String {
    match word.parse::<i128>() {
        Ok(whole) => whole.to_string(),
        Err(_) if number == number.trunc() && number.abs() < 1e15 => format!("{number:.0}"),
        Err(_) => format!("{number:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(texts: &[&str]) -> Vec<String> {
        let pipelines: Vec<(&str, &str)> = texts.iter().map(|text| ("it", *text)).collect();
        let shown = |difference: Difference| {
            let values: Vec<String> =
                difference.values.into_iter().map(|value| value.unwrap_or("-".into())).collect();
            format!("{}: {}", difference.path, values.join(" | "))
        };
        differences(&pipelines).unwrap().into_iter().map(shown).collect()
    }

    #[test]
    fn equal_pipelines_written_otherwise_have_no_differences() {
        let a = "Pipeline(name: \"a\", lr: 1e-4, x: {\"b\": [(\"flip\", (p: 0.5, q: 2))]}, s: (1, 2),)";
        let b = "Pipeline(\n  lr: 0.0001, // a comment\n  name: \"a\", s: (1.0,2), x: {\"b\": [ (\"flip\", (q: 2.0, p: 0.5)), ]})";
        assert_eq!(told(&[a, b]), Vec::<String>::new());
    }

    #[test]
    fn differences_are_told_value_by_value_at_their_path() {
        let a = r#"(epochs: 2, views: {"q": [("crop", (size: 32, scale: (0.2, 1.0))), ("flip", ())]},
            modules: {"backbone": ("resnet", (depth: 18, width: 64)), "head": ("mlp", (out: 8))},
            graph: [(id: "q", on: ["x"]), (id: "k", on: ["x"], weights: Momentum)], seed: 18446744073709551615)"#;
        let b = r#"(epochs: 3, views: {"q": [("crop", (size: 32, scale: (0.08, 1.0))), ("blur", (p: 0.5))]},
            modules: {"backbone": ("resnet", (depth: 18)), "head": ("linear", (out: 8))},
            graph: [(id: "q", on: ["y"]), (id: "k", on: ["x"], weights: Momentum)], seed: 18446744073709551614)"#;
        assert_eq!(
            told(&[a, b]),
            [
                "epochs: 2 | 3",
                "views.q.crop.scale: (0.2, 1) | (0.08, 1)",
                "views.q.flip: (\"flip\", ()) | -",
                "views.q.blur: - | (\"blur\", (p: 0.5))",
                "modules.backbone.width: 64 | -",
                "modules.head: (\"mlp\", (out: 8)) | (\"linear\", (out: 8))",
                "graph.q.on: [\"x\"] | [\"y\"]",
                "seed: 18446744073709551615 | 18446744073709551614",
            ]
        );
        assert_eq!(told(&[a, a, b])[0], "epochs: 2 | 2 | 3");
    }

    #[test]
    fn the_order_of_steps_counts_and_repeated_steps_are_shown_whole() {
        let list = |items: &str| format!("(views: {{\"q\": [{items}]}})");
        let (a, b) = (list("(\"flip\", ()), (\"blur\", ())"), list("(\"blur\", ()), (\"flip\", ())"));
        assert_eq!(told(&[&a, &b]), ["views.q: flip, blur | blur, flip"]);
        let (a, b) = (list("(\"flip\", ()), (\"flip\", ())"), list("(\"flip\", ())"));
        assert_eq!(told(&[&a, &b]), ["views.q: [(\"flip\", ()), (\"flip\", ())] | [(\"flip\", ())]"]);
    }

    #[test]
    fn a_choice_with_fields_is_told_by_its_name() {
        let of = |statistics: &str| format!("(statistics: {statistics})");
        let (a, b) = (of("Cifar10"), of("Custom(mean: 0.5)"));
        assert_eq!(told(&[&a, &b]), ["statistics: Cifar10 | Custom(mean: 0.5)"]);
        let (a, b) = (of("Custom(mean: 0.25)"), of("Custom(mean: 0.5)"));
        assert_eq!(told(&[&a, &b]), ["statistics.mean: 0.25 | 0.5"]);
    }
}
