//! `minimize`, a field that pipelines had once: it listed the losses, which are all minimized.

use std::ops::Range;

use crate::checker::Checker;
use pipeline_text::Checked;
use pipeline_text::PipelineText;
use pipeline_text::{Node, NodeKind};

/// A pipeline that still has the field is told what to do.
pub(crate) fn check_gone(checker: &Checker) -> Checked<()> {
    match checker.tree().find_name(&["minimize"]) {
        Some(span) => Err(checker.text.fault(
            span,
            "pipelines have no `minimize` any more: every loss of the graph is minimized",
            Some("remove it; `weight` on the step of a loss scales that loss".into()),
        )),
        None => Ok(()),
    }
}

/// Leaves the field out of the text that a run has kept, if it lists all losses and so means what is done now.
pub(crate) fn remove(text: &mut PipelineText) {
    if let Some(line) = line_of_all_losses(&text.text, &text.tree) {
        text.remove_field("minimize", line);
    }
}

/// Where the field stands, if it lists all losses.
fn line_of_all_losses(text: &str, tree: &Node) -> Option<Range<usize>> {
    let field = tree.find_name(&["minimize"])?;
    let value = tree.find(&["minimize"])?;
    let mut listed = texts(value)?;
    let NodeKind::Items(steps) = &tree.find(&["graph"])?.kind else { return None };
    // Encoders take one value, losses two.
    let is_loss = |step: &&Node| step.child("on").and_then(texts).is_some_and(|on| on.len() == 2);
    let mut losses: Vec<&str> =
        steps.iter().filter(is_loss).map(|step| text_of(step.child("id")?)).collect::<Option<_>>()?;
    listed.sort_unstable();
    losses.sort_unstable();
    (listed == losses).then(|| whole_line(text, field.start..value.span.end))
}

fn texts(node: &Node) -> Option<Vec<&str>> {
    match &node.kind {
        NodeKind::Items(items) => items.iter().map(text_of).collect(),
        _ => None,
    }
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.kind {
        NodeKind::Text(text) => Some(text),
        _ => None,
    }
}

/// `field` with the comma after it, and with its line if nothing else stands there.
fn whole_line(text: &str, field: Range<usize>) -> Range<usize> {
    let rest = &text[field.end..];
    let comma = rest.trim_start().strip_prefix(',').map_or(0, |after| rest.len() - after.len());
    let end = field.end + comma;
    let start = text[..field.start].rfind('\n').map_or(0, |newline| newline + 1);
    match text[end..].find('\n') {
        Some(length) if [&text[start..field.start], &text[end..end + length]].concat().trim().is_empty() => {
            start..end + length + 1
        }
        _ => field.start..end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAPH: &str = "(\n  graph: [(id: \"q\", on: [\"x\"]), (id: \"l\", on: [\"q\", \"k\"]), (id: \"m\", on: [\"r\", \"s\"])],\n";

    fn removed(text: &str) -> String {
        let mut text = PipelineText::new("a.ron", text).unwrap();
        remove(&mut text);
        assert_eq!(format!("{:?}", text.tree), format!("{:?}", Node::parse(&text.text).unwrap()));
        text.text
    }

    fn with(minimize: &str) -> String {
        format!("{GRAPH}{minimize}  epochs: 2,\n)")
    }

    #[test]
    fn a_list_of_all_losses_is_removed_with_its_line() {
        let expected = format!("{GRAPH}  epochs: 2,\n)");
        for minimize in ["  minimize: [\"l\", \"m\"],\n", "  minimize: [\"m\", \"l\"],  \n"] {
            assert_eq!(removed(&with(minimize)), expected);
        }
        assert_eq!(removed(&with("  minimize: [\"l\", \"m\"], seed: 1,\n")), with("   seed: 1,\n"));
        let commented = "  minimize: [\"l\", \"m\"], // Both.\n";
        assert_eq!(removed(&with(commented)), with("   // Both.\n"));
    }

    #[test]
    fn a_list_of_anything_else_stays() {
        for minimize in ["[\"l\"]", "[\"l\", \"l\"]", "[\"l\", \"m\", \"q\"]", "\"l\"", "[1]"] {
            let text = with(&format!("  minimize: {minimize},\n"));
            assert_eq!(removed(&text), text);
        }
    }
}
