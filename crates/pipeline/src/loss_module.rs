//! A loss of either kind.

use crate::graph::Graph;
use crate::modules::Modules;
use plugin_api::{ContrastiveLoss, LossRange, Module, Objective, PastKeys};

/// The module of a loss.
pub enum LossModule {
    /// Queries against keys.
    Contrast(Box<dyn ContrastiveLoss>),
    /// Any number of values.
    Objective(Box<dyn Objective>),
}

impl LossModule {
    /// What is visited.
    pub fn module(&self) -> &dyn Module {
        match self {
            Self::Contrast(loss) => &**loss,
            Self::Objective(loss) => &**loss,
        }
    }

    /// As [`module`](Self::module), to change it.
    pub fn module_mut(&mut self) -> &mut dyn Module {
        match self {
            Self::Contrast(loss) => &mut **loss,
            Self::Objective(loss) => &mut **loss,
        }
    }

    /// Chance and floor for a batch of `n` images, where they are known.
    pub fn loss_range(&self, n: usize) -> Option<LossRange> {
        match self {
            Self::Contrast(loss) => Some(loss.loss_range(n)),
            Self::Objective(loss) => loss.loss_range(n),
        }
    }

    /// Whether a batch may be compared in parts, as [`ContrastiveLoss::is_separable`]; an objective sees whole batches.
    pub fn is_separable(&self) -> bool {
        match self {
            Self::Contrast(loss) => loss.is_separable(),
            Self::Objective(_) => false,
        }
    }

    /// The keys of earlier steps that are kept, if any are.
    pub fn past_keys(&self) -> Option<PastKeys> {
        match self {
            Self::Contrast(loss) => loss.past_keys(),
            Self::Objective(loss) => loss.past_keys(),
        }
    }

    /// Whether images must have labels.
    pub fn needs_labels(&self) -> bool {
        match self {
            Self::Contrast(_) => false,
            Self::Objective(loss) => loss.needs_labels(),
        }
    }
}

/// Chance and floor of the sum of all losses of `graph`, each times its weight, for batches of `n` images, if all are known.
pub fn loss_range(graph: &Graph, modules: &Modules, n: usize) -> Option<LossRange> {
    let none = LossRange { chance: 0.0, floor: 0.0 };
    graph.loss_steps.iter().try_fold(none, |sum, step| {
        let one = modules.losses[step.loss].module.loss_range(n)?;
        Some(LossRange {
            chance: sum.chance + step.weight * one.chance,
            floor: sum.floor + step.weight * one.floor,
        })
    })
}
