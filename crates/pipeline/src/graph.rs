//! The checked graph: what one training step computes.

use crate::config::Weights;
use plugin_api::Level;

/// The steps of a pipeline, each after what it uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Names of the views that the graph uses, in order of first use.
    pub views: Vec<String>,
    /// Names of the modules, in order of first use.
    pub modules: Vec<String>,
    /// In the order of the file.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name in the file.
    pub id: String,
    /// What it does.
    pub action: Action,
}

/// What a step does; numbers index the lists of [`Graph`].
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Runs a chain of encoder parts.
    Encode {
        /// The parts, in order.
        modules: Vec<usize>,
        /// What goes in.
        input: Value,
        /// Whose weights.
        weights: Weights,
        /// Whether the images are shuffled over the parts of split batch norm, and the results put back in order.
        shuffle_batch: bool,
    },
    /// Computes a loss.
    Loss {
        /// The negatives.
        module: usize,
        /// The step that gives queries.
        queries: usize,
        /// The step that gives keys.
        keys: usize,
        /// What the loss is multiplied by in the sum that is minimized.
        weight: f64,
    },
}

/// What a step can work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Images, by index into [`Graph::views`].
    View(usize),
    /// The result of an earlier step.
    Step(usize),
}

impl Graph {
    /// The step whose modules are the encoder, and those that give features of `level`, in order.
    ///
    /// The backbone is the first module of the first query step on a view. The head is what follows it there, as far as keys pass
    /// through it as well: MoCo v3's predictor is no part of it.
    pub fn encoder(&self, level: Level) -> (usize, &[usize]) {
        let found = self.steps.iter().enumerate().find_map(|(step_idx, step)| match &step.action {
            Action::Encode { modules, input: Value::View(_), weights: Weights::Query, .. } => {
                Some((step_idx, &modules[..]))
            }
            _ => None,
        });
        let (step_idx, modules) =
            found.unwrap_or_else(|| unreachable!("a graph that trains has a query step on a view"));
        let n_modules = match level {
            Level::Backbone => 1,
            Level::Head => {
                let copied = self.momentum_modules();
                modules.iter().take_while(|module| copied.contains(module)).count().max(1)
            }
        };
        (step_idx, &modules[..n_modules])
    }

    /// Indices of the modules that have a momentum copy.
    pub fn momentum_modules(&self) -> Vec<usize> {
        let mut used: Vec<usize> = self
            .steps
            .iter()
            .filter_map(|step| match &step.action {
                Action::Encode { modules, weights: Weights::Momentum, .. } => Some(modules.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    /// How many losses take their keys from different steps: the sets of keys that arrive in one step of training.
    pub fn key_steps(&self, module: usize) -> Vec<usize> {
        let mut steps: Vec<usize> = self
            .steps
            .iter()
            .filter_map(|step| match step.action {
                Action::Loss { module: this, keys, .. } if this == module => Some(keys),
                _ => None,
            })
            .collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// The graph as indented text.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for step in &self.steps {
            let line = match &step.action {
                Action::Encode { modules, input, weights, shuffle_batch } => format!(
                    "{} = {}({}){}{}",
                    step.id,
                    self.chain(modules),
                    self.value_name(*input),
                    if *weights == Weights::Momentum { "  [momentum weights, no gradient]" } else { "" },
                    if *shuffle_batch { "  [batch shuffled]" } else { "" },
                ),
                Action::Loss { module, queries, keys, .. } => format!(
                    "{} = {}(queries {}, keys {})",
                    step.id, self.modules[*module], self.steps[*queries].id, self.steps[*keys].id
                ),
            };
            out.push_str(&line);
            out.push('\n');
        }
        let losses: Vec<String> = self
            .losses()
            .map(|(id, weight)| if weight == 1.0 { id.to_owned() } else { format!("{weight} × {id}") })
            .collect();
        out.push_str(&format!("minimize {}\n", losses.join(" + ")));
        out
    }

    /// The graph in Graphviz's language.
    pub fn to_dot(&self) -> String {
        let mut out = String::from("digraph pipeline {\n  rankdir=LR;\n  node [shape=box];\n");
        for (from, to) in self.arrows() {
            out.push_str(&format!("  {from:?} -> {to:?};\n"));
        }
        for (i, step) in self.steps.iter().enumerate() {
            let style = if self.is_momentum(i) { ", style=dashed" } else { "" };
            out.push_str(&format!("  {:?} [label={:?}{style}];\n", step.id, self.label(i)));
        }
        for view in &self.views {
            out.push_str(&format!("  {view:?} [shape=ellipse];\n"));
        }
        out.push_str("  \"minimize\" [shape=plaintext];\n}\n");
        out
    }

    /// The graph in Mermaid's language, as Markdown pages show it.
    pub fn to_mermaid(&self) -> String {
        let mut out = String::from("flowchart LR\n");
        let node = |name: &str| format!("n_{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        for view in &self.views {
            out.push_str(&format!("  {}([\"{view}\"])\n", node(view)));
        }
        for (i, step) in self.steps.iter().enumerate() {
            out.push_str(&format!("  {}[\"{}\"]\n", node(&step.id), self.label(i).replace('\n', "<br>")));
        }
        out.push_str(&format!("  {}[[\"minimize\"]]\n", node("minimize")));
        for (from, to) in self.arrows() {
            out.push_str(&format!("  {} --> {}\n", node(from), node(to)));
        }
        out
    }

    /// The losses and their weights.
    fn losses(&self) -> impl Iterator<Item = (&str, f64)> {
        self.steps.iter().filter_map(|step| match step.action {
            Action::Loss { weight, .. } => Some((step.id.as_str(), weight)),
            Action::Encode { .. } => None,
        })
    }

    fn arrows(&self) -> Vec<(&str, &str)> {
        let mut arrows = Vec::new();
        for step in &self.steps {
            match &step.action {
                Action::Encode { input, .. } => arrows.push((self.value_name(*input), step.id.as_str())),
                Action::Loss { queries, keys, .. } => {
                    arrows.push((self.steps[*queries].id.as_str(), step.id.as_str()));
                    arrows.push((self.steps[*keys].id.as_str(), step.id.as_str()));
                }
            }
        }
        arrows.extend(self.losses().map(|(id, _)| (id, "minimize")));
        arrows
    }

    fn label(&self, step: usize) -> String {
        let step = &self.steps[step];
        match &step.action {
            Action::Encode { modules, weights, shuffle_batch, .. } => format!(
                "{}\n{}{}{}",
                step.id,
                self.chain(modules),
                if *weights == Weights::Momentum { "\nmomentum weights" } else { "" },
                if *shuffle_batch { "\nbatch shuffled" } else { "" },
            ),
            Action::Loss { module, weight, .. } => {
                let times = if *weight == 1.0 { String::new() } else { format!("\n× {weight}") };
                format!("{}\n{}{times}", step.id, self.modules[*module])
            }
        }
    }

    fn is_momentum(&self, step: usize) -> bool {
        matches!(self.steps[step].action, Action::Encode { weights: Weights::Momentum, .. })
    }

    fn chain(&self, modules: &[usize]) -> String {
        let names: Vec<&str> = modules.iter().map(|module| self.modules[*module].as_str()).collect();
        names.join(" → ")
    }

    fn value_name(&self, value: Value) -> &str {
        match value {
            Value::View(view) => &self.views[view],
            Value::Step(step) => &self.steps[step].id,
        }
    }
}
