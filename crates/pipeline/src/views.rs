//! Views: recipes that turn an image into what the encoder sees.

use std::sync::Arc;

use crate::checker::Checker;
use crate::config::PipelineConfig;
use crate::graph::Graph;
use crate::measuring::MEASURING;
use crate::pixels;
use pipeline_text::Checked;
use pipeline_text::Fault;
use pipeline_text::{Node, NodeKind};
use plugin_api::{Augmentation, AugmentationContext, ImageShape, ImageValues, Monitor, ViewTransform};

/// Channels where nothing tells of others.
const RGB: usize = 3;

/// A declared view.
#[derive(Clone)]
pub struct View {
    /// Its name in the file.
    pub name: String,
    /// Its augmentations, in order.
    pub transform: Arc<ViewTransform>,
    /// `(H, W)` of what it gives, in pixels.
    pub size: (usize, usize),
    /// Channels of what it gives: 3 for RGB.
    pub channels: usize,
}

impl View {
    /// What must be known of a figure that was measured through this view on an encoder which was trained on images of
    /// another size, `(H, W)` in pixels: `images of 64 × 64 px, trained on 32 × 32 px`. `None` if they are the same.
    pub fn size_note(&self, trained: (usize, usize)) -> Option<String> {
        let note = || format!("images of {}, trained on {}", pixels(self.size), pixels(trained));
        (self.size != trained).then(note)
    }
}

/// What of a pipeline must be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    /// All of it, to train.
    All,
    /// All of it, to go on with what a run has kept: names of steps that it was started with stay as they are.
    Kept,
    /// What leads from an image to its features. What is only for training may name plugins that are not linked in.
    Encoder,
}

/// The views that can be built, and why the others cannot.
pub(crate) struct Views {
    pub(crate) built: Vec<View>,
    pub(crate) faults: Vec<(String, Box<Fault>)>,
}

impl Views {
    /// The view called `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&View> {
        self.built.iter().find(|view| view.name == name)
    }
}

/// Builds the views of `config`, of images of so many `channels`; see [`check_view`].
pub(crate) fn check_views(
    checker: &Checker,
    config: &PipelineConfig,
    channels: Option<usize>,
    needed: Needed,
) -> Checked<Views> {
    if config.views.is_empty() {
        return Err(checker.fault(
            &["views"],
            "no view is declared",
            "most losses need two random views of each image",
        ));
    }
    let mut views = Views { built: Vec::new(), faults: Vec::new() };
    for name in config.views.keys() {
        match check_view(checker, name, channels) {
            Ok(view) => views.built.push(view),
            Err(fault) if needed != Needed::Encoder => return Err(fault),
            Err(fault) => views.faults.push((name.clone(), fault)),
        }
    }
    if views.built.is_empty() {
        return Err(views.faults.swap_remove(0).1);
    }
    Ok(views)
}

/// Builds the view called `name`, and follows size, channels and values through it. Where the dataset does not tell its
/// `channels`, the view must fit images of as many as it normalizes, or RGB.
pub(crate) fn check_view(checker: &Checker, name: &str, channels: Option<usize>) -> Checked<View> {
    let mut steps = Vec::new();
    for i in 0..n_steps(checker, name) {
        let path = ["views", name, &i.to_string()];
        steps.push(checker.build::<dyn Augmentation>(&path, &AugmentationContext)?);
    }
    let normalized = || steps.iter().find_map(|step| Some(step.normalization()?.mean.len()));
    let channels = channels.or_else(normalized).unwrap_or(RGB);
    let mut shape = ImageShape { size: None, channels, values: ImageValues::Bytes };
    for (i, step) in steps.iter().enumerate() {
        let path = ["views", name, &i.to_string()];
        shape = step.output(shape).map_err(|error| checker.unfit(&path, &error))?;
    }
    if shape.values != ImageValues::Floats {
        return Err(checker.fault_at_name(
            &["views", name],
            format!("the view `{name}` ends in bytes, but an encoder takes normalized values"),
            "add `(\"normalize\", ..)` as its last step",
        ));
    }
    let Some(size) = shape.size else {
        return Err(checker.fault_at_name(
            &["views", name],
            format!("the view `{name}` gives images of any size, but an encoder takes one size"),
            "add `(\"random-resized-crop\", (size: ..))` to train, or `(\"resize\", ..), (\"center-crop\", ..)` to evaluate",
        ));
    };
    let transform = Arc::new(ViewTransform { steps });
    Ok(View { name: name.to_owned(), transform, size, channels: shape.channels })
}

fn n_steps(checker: &Checker, view: &str) -> usize {
    match checker.tree().find(&["views", view]) {
        Some(Node { kind: NodeKind::Items(steps), .. }) => steps.len(),
        _ => 0,
    }
}

/// A view that neither a step nor a monitor uses is usually a slip; the one for measuring is used after training.
pub(crate) fn check_all_used(
    checker: &Checker,
    views: &Views,
    graph: &Graph,
    monitors: &[(String, Box<dyn Monitor>)],
) -> Checked<()> {
    for view in &views.built {
        let watched = monitors.iter().any(|(_, monitor)| monitor.views().contains(&view.name.as_str()));
        if !graph.views.contains(&view.name) && !watched && view.name != MEASURING {
            return Err(checker.fault_at_name(
                &["views", &view.name],
                format!("nothing uses the view `{}`", view.name),
                "use it in a step of `graph` or in a monitor, or remove it",
            ));
        }
    }
    Ok(())
}
