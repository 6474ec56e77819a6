//! A graph as text, for readers and for other programs.

use crate::graph::{Encode, Graph, Input, LossInputs, LossStep, StepId};

/// A step as all ways of writing have it.
struct Drawn<'a> {
    id: &'a str,
    /// The modules.
    run: String,
    /// The names of what goes in.
    on: Vec<&'a str>,
    /// What is special.
    notes: Vec<String>,
    is_momentum: bool,
    /// Of what encodes.
    has_gradient: bool,
    kind: Drawing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Drawing {
    Encoder,
    Contrast,
    Objective,
}

impl Graph {
    /// The graph, a line a step.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for Drawn { id, run, on, notes, is_momentum, kind, .. } in self.drawn() {
            let value = match (&on[..], kind) {
                ([queries, keys], Drawing::Contrast) => format!("{run}(queries {queries}, keys {keys})"),
                _ if run.is_empty() => on.join(", "),
                _ => format!("{run}({})", on.join(", ")),
            };
            let momentum = if is_momentum { "  [momentum weights, no gradient]" } else { "" };
            let notes = if notes.is_empty() { String::new() } else { format!("  [{}]", notes.join(", ")) };
            out.push_str(&format!("{id} = {value}{momentum}{notes}\n"));
        }
        let term = |LossStep { id, weight, .. }: &LossStep| match *weight {
            1.0 => id.clone(),
            weight => format!("{weight} × {id}"),
        };
        let losses: Vec<String> = self.loss_steps.iter().map(term).collect();
        out.push_str(&format!("minimize {}\n", losses.join(" + ")));
        out
    }

    /// The graph in Graphviz's language.
    pub fn to_dot(&self) -> String {
        let mut out = String::from("digraph pipeline {\n  rankdir=LR;\n  node [shape=box];\n");
        let steps = self.drawn();
        for Arrow { from, to, has_gradient } in arrows(&steps) {
            let style = if has_gradient { "" } else { " [style=dashed]" };
            out.push_str(&format!("  {from:?} -> {to:?}{style};\n"));
        }
        for step in &steps {
            let style = if step.is_momentum { ", style=dashed" } else { "" };
            out.push_str(&format!("  {:?} [label={:?}{style}];\n", step.id, step.label()));
        }
        for view in &self.views {
            out.push_str(&format!("  {view:?} [shape=ellipse];\n"));
        }
        out.push_str(&format!("  {SUM:?} [label=\"minimize\", shape=plaintext];\n}}\n"));
        out
    }

    /// The graph in Mermaid's language, as Markdown pages show it.
    pub fn to_mermaid(&self) -> String {
        let mut out = String::from("flowchart LR\n");
        for view in &self.views {
            out.push_str(&format!("  {}([\"{}\"])\n", node(view), in_mermaid(view)));
        }
        let steps = self.drawn();
        for step in &steps {
            let label = in_mermaid(&step.label()).replace('\n', "<br>");
            out.push_str(&format!("  {}[\"{label}\"]\n", node(step.id)));
        }
        out.push_str(&format!("  {}[[\"minimize\"]]\n", node(SUM)));
        for Arrow { from, to, has_gradient } in arrows(&steps) {
            let line = if has_gradient { "-->" } else { "-.->" };
            out.push_str(&format!("  {} {line} {}\n", node(from), node(to)));
        }
        let dashed: Vec<String> =
            steps.iter().filter(|step| step.is_momentum).map(|step| node(step.id)).collect();
        if !dashed.is_empty() {
            out.push_str("  classDef momentum stroke-dasharray: 5 4\n");
            out.push_str(&format!("  class {} momentum\n", dashed.join(",")));
        }
        out
    }

    fn drawn(&self) -> Vec<Drawn<'_>> {
        self.steps.iter().map(|step| self.draw(*step)).collect()
    }

    fn draw(&self, step: StepId) -> Drawn<'_> {
        match step {
            StepId::Query(id) => {
                let step = &self.queries[id];
                let backbone = |id| &self.backbones[id];
                let mut drawn = self.encode(step, backbone, |id| &self.heads[id], |id| &self.queries[id].id);
                if !step.has_gradient {
                    drawn.notes.push("no gradient".into());
                }
                drawn
            }
            StepId::Key(id) => {
                let step = &self.keys[id];
                let backbone = |id| &self.backbones[self.backbone_copies[id]];
                let head = |id| &self.heads[self.head_copies[id]];
                let mut drawn = self.encode(&step.encode, backbone, head, |id| &self.keys[id].encode.id);
                drawn.is_momentum = true;
                if step.shuffle_batch {
                    drawn.notes.push("batch shuffled".into());
                }
                drawn
            }
            StepId::Loss(id) => {
                let LossStep { id, loss, on, weight } = &self.loss_steps[id];
                Drawn {
                    id,
                    run: self.losses[*loss].clone(),
                    on: on.values().into_iter().map(|value| self.value_name(value)).collect(),
                    notes: if *weight == 1.0 { Vec::new() } else { vec![format!("× {weight}")] },
                    is_momentum: false,
                    has_gradient: true,
                    kind: match on {
                        LossInputs::Contrast { .. } => Drawing::Contrast,
                        LossInputs::Values(_) => Drawing::Objective,
                    },
                }
            }
        }
    }

    fn encode<'a, B: Copy, H: Copy, S: Copy>(
        &'a self,
        step: &'a Encode<B, H, S>,
        backbone: impl Fn(B) -> &'a String,
        head: impl Fn(H) -> &'a String,
        earlier: impl Fn(S) -> &'a String,
    ) -> Drawn<'a> {
        let (first, on) = match step.input {
            Input::View { view, backbone: id } => (Some(backbone(id)), &self.views[view]),
            Input::Step(from) => (None, earlier(from)),
        };
        let heads = step.heads.iter().map(|id| head(*id));
        let run: Vec<&str> = first.into_iter().chain(heads).map(String::as_str).collect();
        Drawn {
            id: &step.id,
            run: run.join(" → "),
            on: vec![on],
            notes: if step.gives_map { vec!["features and map".into()] } else { Vec::new() },
            is_momentum: false,
            has_gradient: step.has_gradient,
            kind: Drawing::Encoder,
        }
    }
}

/// A value that goes from one box to another.
struct Arrow<'a> {
    from: &'a str,
    to: &'a str,
    /// Whether a gradient comes back along it.
    has_gradient: bool,
}

impl Drawn<'_> {
    fn label(&self) -> String {
        let momentum = self.is_momentum.then(|| "momentum weights".to_owned());
        let run = (!self.run.is_empty()).then(|| self.run.clone());
        let lines = [self.id.to_owned()].into_iter().chain(run).chain(momentum);
        lines.chain(self.notes.iter().cloned()).collect::<Vec<_>>().join("\n")
    }
}

/// The box of the sum of all losses, as no step can be called.
const SUM: &str = "sum of losses";

/// Images have no gradient either way, and their arrows are whole.
fn arrows<'a>(steps: &[Drawn<'a>]) -> Vec<Arrow<'a>> {
    // Nothing comes back out of a target, and nothing that went into one gets anything back.
    let comes_back = |from: &str, to: &Drawn<'_>| {
        let step = steps.iter().find(|step| step.id == from);
        step.is_none_or(|step| step.has_gradient && to.has_gradient)
    };
    let inputs = steps.iter().flat_map(|step| {
        step.on.iter().map(move |&from| Arrow { from, to: step.id, has_gradient: comes_back(from, step) })
    });
    let losses = steps.iter().filter(|step| step.kind != Drawing::Encoder);
    let losses = losses.map(|step| Arrow { from: step.id, to: SUM, has_gradient: true });
    inputs.chain(losses).collect()
}

/// The node of what is called `name`, in Mermaid's letters. Names that differ are nodes that differ.
fn node(name: &str) -> String {
    let mut node = String::from("n_");
    for c in name.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => node.push(c),
            c => node += &format!("_{:x}_", u32::from(c)),
        }
    }
    node
}

/// `text` in a label of Mermaid, which ends at a quote and shows HTML.
fn in_mermaid(text: &str) -> String {
    let mut label = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '#' | '&' | '<' | '>' | '\'' | '`' | '\\' => label += &format!("#{};", u32::from(c)),
            c if c.is_control() && c != '\n' => label += &format!("#{};", u32::from('\u{fffd}')),
            c => label.push(c),
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_no_label_and_is_no_html_and_is_a_node_of_its_own() {
        let label = in_mermaid("a\"]<img src=x onerror=alert(1)>&#35;");
        assert!(!label.contains(['"', '<', '>', '&']), "{label}");
        assert_eq!(in_mermaid("× 0.5, query → head"), "× 0.5, query → head");
        assert_eq!(node("k1"), "n_k1");
        assert_ne!(node("a-b"), node("a_b"));
    }
}
