//! The model card of an encoder.

use pipeline::Pipeline;
use plugin_api::Metric;
use weights::Facts;

use super::Exported;
use super::folder::ENCODER_FOLDER;

/// What a card tells.
pub(super) struct Card<'a> {
    /// The name of the run.
    pub(super) run: &'a str,
    pub(super) pipeline: &'a Pipeline,
    pub(super) exported: &'a Exported,
    pub(super) facts: &'a Facts<'a>,
    /// What the shorter side of an image was made, before its center was cut out.
    pub(super) resized_to: Option<usize>,
    /// The files beside it.
    pub(super) files: &'a [&'static str],
    /// Metrics before the training.
    pub(super) before: &'a [Metric],
    /// Metrics after it.
    pub(super) after: &'a [Metric],
}

/// The card as Markdown, with the front matter that model hubs read. The license is left to whoever hands the weights on.
pub(super) fn card(card: &Card<'_>) -> String {
    let Card { run, pipeline, exported, facts, resized_to, files, before, after } = card;
    let has = |name: &str| files.contains(&name);
    let library = if has("config.json") { "library_name: timm\n" } else { "" };
    let (height, width) = facts.image_size;
    let position = |key: &str| exported.metadata.get(key).map_or("", String::as_str);
    let mut text = format!(
        "---\n{library}tags: [image-feature-extraction, self-supervised, moco]\nlicense:\n---\n\n\
         # Encoder of {run}\n\n\
         {}, trained without labels by momentum contrast with moco-rs {}.\n\n\
         | | |\n|---|---|\n\
         | data | {} |\n\
         | training | pipeline `{}`, seed {}, {} epochs with a batch of {}; these weights are from epoch {}, step {} |\n\
         | input | {height} x {width} pixels{}, {}, scaled to 0-1, minus {:?}, divided by {:?} |\n\
         | output | {} features |\n\
         | values | {} |\n",
        exported.architecture.describe(),
        env!("CARGO_PKG_VERSION"),
        cell(&pipeline.dataset.describe()),
        cell(&pipeline.name),
        pipeline.seed,
        pipeline.epochs,
        pipeline.batch,
        position("epoch"),
        position("step"),
        resized_to.map_or(String::new(), |side| format!(
            ", the center of an image whose shorter side is resized to {side}"
        )),
        match exported.architecture.channels() {
            3 => "RGB".into(),
            1 => "1 channel".into(),
            n => format!("{n} channels"),
        },
        facts.mean,
        facts.std,
        exported.architecture.n_features(),
        exported.n_values,
    );
    text += "\n## What it is worth\n\n";
    if after.is_empty() {
        text += "The pipeline measured nothing.\n";
    } else {
        text += "| metric | before | after | how it was measured |\n|---|---|---|---|\n";
        for metric in *after {
            let earlier = before.iter().find(|earlier| earlier.name == metric.name);
            text += &format!(
                "| {} | {} | {} | {} |\n",
                cell(&metric.name),
                earlier.map_or("-".into(), Metric::shown_value),
                metric.shown_value(),
                cell(&metric.protocol)
            );
        }
    }
    text += "\n## Loading it\n\n";
    if has("config.json") {
        text += &format!(
            "```python\nimport timm\nmodel = timm.create_model(\"local-dir:{ENCODER_FOLDER}\", pretrained=True).eval()\n```\n\n"
        );
    }
    text += &format!("`load.py` does it strictly:\n\n```python\n{}```\n", exported.python);
    if has("encoder.onnx") {
        text += "\n`encoder.onnx` computes the same features in ONNX Runtime.\n";
    }
    text + &format!("\n## Pipeline\n\n```ron\n{}\n```\n", pipeline.text.trim_end())
}

/// `text` as one cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_one() {
        assert_eq!(cell("a|b\nc"), "a\\|b c");
    }
}
