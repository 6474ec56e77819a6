//! Losses: something must train, and each counts with its weight.

use crate::check_graph::place;
use crate::checker::Checker;
use crate::config::StepConfig;
use crate::graph::{Graph, StepId};
use pipeline_text::Checked;

/// A loss that counts must be there.
pub(crate) fn check_losses(checker: &Checker, graph: &Graph) -> Checked<()> {
    let Some(first) = graph.steps.iter().position(|step| matches!(step, StepId::Loss(_))) else {
        return Err(checker.fault(
            &["graph"],
            "no step is a loss, so nothing would train",
            "add a step that compares queries and keys",
        ));
    };
    if graph.loss_steps.iter().all(|step| step.weight == 0.0) {
        return Err(checker.fault_at(
            &place(first, &["weight"]),
            "every loss has the weight 0, so nothing would train",
            "give one of them a weight above 0",
        ));
    }
    Ok(())
}

/// `weight` and `weights` are a letter apart.
pub(crate) fn check_weight_words(checker: &Checker) -> Checked<()> {
    let n_steps = checker.tree().find(&["graph"]).map_or(0, |graph| graph.child_names().len());
    for i in 0..n_steps {
        let at = place(i, &["weight"]);
        let word = checker.text_at(&at);
        if let Some(word @ ("Query" | "Momentum")) = word {
            return Err(checker.fault_at(
                &at,
                format!("`{word}` is no number, and `weight` scales a loss"),
                format!("did you mean `weights: {word}`?"),
            ));
        }
    }
    Ok(())
}

/// What a loss counts in the sum.
pub(crate) fn check_weight(checker: &Checker, i: usize, step: &StepConfig) -> Checked<f64> {
    let weight = step.weight.unwrap_or(1.0);
    if weight.is_finite() && weight >= 0.0 {
        return Ok(weight);
    }
    Err(checker.fault_at(
        &place(i, &["weight"]),
        format!("the weight is {weight}, but it must be a number of 0 or more"),
        "a loss without `weight` counts once; 0.5 lets it count half",
    ))
}
