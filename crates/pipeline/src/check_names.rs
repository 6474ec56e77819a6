//! The names of steps: each its own, and used after it is made.

use std::collections::BTreeSet;

use crate::check_graph::place;
use crate::checker::Checker;
use crate::config::{PipelineConfig, StepConfig};
use crate::measuring::MEASURING;
use pipeline_text::Checked;
use pipeline_text::Fault;
use plugin_api::suggest;

/// Whether step `i` has a name of its own.
pub(crate) fn check_id(
    checker: &Checker,
    config: &PipelineConfig,
    i: usize,
    step: &StepConfig,
) -> Checked<()> {
    let at = place(i, &["id"]);
    if step.id.is_empty() {
        return Err(checker.fault_at(&at, "a step needs a name", "for instance `id: \"q\"`"));
    }
    if config.graph[..i].iter().any(|earlier| earlier.id == step.id) {
        return Err(checker.fault_at(
            &at,
            format!("two steps are named `{}`", step.id),
            "rename one of them",
        ));
    }
    if config.views.contains_key(&step.id) {
        return Err(checker.fault_at(
            &at,
            format!("`{}` is already the name of a view", step.id),
            "rename the step",
        ));
    }
    Ok(())
}

/// Whether steps are called so that metrics, charts and drawings can have their names. Earlier runs may have others.
pub(crate) fn check_letters(checker: &Checker, config: &PipelineConfig) -> Checked<()> {
    for (i, step) in config.graph.iter().enumerate() {
        if let Some(letter) =
            step.id.chars().find(|letter| !(letter.is_alphanumeric() || "._-".contains(*letter)))
        {
            return Err(checker.fault_at(
                &place(i, &["id"]),
                format!("{:?} cannot name a step: {letter:?} is no letter, digit, `-`, `_` or `.`", step.id),
                "metrics and charts are called by it: use letters, digits, `-`, `_` and `.`",
            ));
        }
        if step.id == MEASURING {
            return Err(checker.fault_at(
                &place(i, &["id"]),
                format!("`{MEASURING}` is the name of the view for measuring, and no step can have it"),
                "rename the step",
            ));
        }
    }
    Ok(())
}

/// The fault of step `i`, whose input `j` names nothing that is made before.
pub(crate) fn no_value(
    checker: &Checker,
    config: &PipelineConfig,
    i: usize,
    j: usize,
    name: &str,
) -> Box<Fault> {
    let at = place(i, &["on", &j.to_string()]);
    let Some(later) = config.graph.iter().position(|step| step.id == name) else {
        let names: Vec<&String> =
            config.views.keys().chain(config.graph[..i].iter().map(|step| &step.id)).collect();
        return checker.fault_at(&at, format!("nothing is named `{name}`"), suggest(name, &names));
    };
    let start = &config.graph[i].id;
    let (message, hint) = match cycle(config, later, i) {
        Some(steps) => (
            format!("the steps go in a circle: {start} → {}", steps.join(" → ")),
            "a step can only use what needs nothing of it".to_owned(),
        ),
        None => {
            (format!("`{name}` is used before it is made"), format!("move step `{name}` above `{start}`"))
        }
    };
    checker.fault_at(&at, message, hint)
}

/// The names on a way from step `from` through its inputs to step `to`.
fn cycle(config: &PipelineConfig, from: usize, to: usize) -> Option<Vec<String>> {
    fn walk(
        config: &PipelineConfig,
        at: usize,
        to: usize,
        seen: &mut BTreeSet<usize>,
    ) -> Option<Vec<String>> {
        let name = config.graph[at].id.clone();
        if at == to {
            return Some(vec![name]);
        }
        if !seen.insert(at) {
            return None;
        }
        config.graph[at].on.iter().find_map(|input| {
            let next = config.graph.iter().position(|step| step.id == *input)?;
            let mut way = walk(config, next, to, seen)?;
            way.insert(0, name.clone());
            Some(way)
        })
    }
    walk(config, from, to, &mut BTreeSet::new())
}
