//! The view for measuring, where a pipeline declares none.

use crate::checker::Checker;
use crate::config::PipelineConfig;
use crate::graph::Graph;
use crate::views::{Views, check_view};
use pipeline_text::Checked;
use pipeline_text::{Node, NodeKind};
use plugin_api::{Augmentation, AugmentationContext, ImageShape, ImageValues, find};

/// What the view is called through which images are seen to measure an encoder, unless one asks for another.
pub(crate) const MEASURING: &str = "eval";

/// The plugins that it is made of, before the normalization of the view that is trained on.
const RESIZE: &str = "resize";
const CENTER_CROP: &str = "center-crop";

/// Declares the view for measuring: the middle of the image, in the size and with the normalization of the view that the
/// encoder is trained on, of several sizes the largest.
///
/// Nothing is declared where there is one, or where its plugins are not linked in.
pub(crate) fn declare(
    checker: &mut Checker,
    config: &PipelineConfig,
    views: &mut Views,
    channels: Option<usize>,
    graph: &Graph,
) -> Checked<()> {
    let is_named = config.views.contains_key(MEASURING);
    let is_linked = [RESIZE, CENTER_CROP].iter().all(|name| find::<dyn Augmentation>(name).is_some());
    let n_pixels = |view| views.get(&graph.views[view]).map_or(0, |view| view.size.0 * view.size.1);
    let trained_on = &graph.views[graph.trained_view(n_pixels)];
    let Some(view) = views.get(trained_on) else { return Ok(()) };
    let (height, width) = view.size;
    if is_named || !is_linked {
        return Ok(());
    }
    let Some(normalization) = normalization(checker, trained_on, view.channels) else { return Ok(()) };
    let span = normalization.span.clone();
    let normalize = &checker.text.text[span.clone()];
    let steps = match height == width {
        true => format!("(\"{RESIZE}\", (shorter: {height})), (\"{CENTER_CROP}\", (size: {height}))"),
        false => {
            let size = format!("({height}, {width})");
            format!("(\"{RESIZE}\", (cover: {size})), (\"{CENTER_CROP}\", (size: {size}))")
        }
    };
    let recipe = format!("[{steps}, {normalize}]");
    checker.text.add_view(MEASURING, &recipe, span)?;
    views.built.push(check_view(checker, MEASURING, channels)?);
    Ok(())
}

/// The step of a view that makes floats of bytes of so many channels.
fn normalization<'a>(checker: &'a Checker, view: &str, channels: usize) -> Option<&'a Node> {
    let NodeKind::Items(steps) = &checker.tree().find(&["views", view])?.kind else { return None };
    let mut shape = ImageShape { size: None, channels, values: ImageValues::Bytes };
    for (i, step) in steps.iter().enumerate() {
        let path = ["views", view, &i.to_string()];
        let augmentation = checker.build::<dyn Augmentation>(&path, &AugmentationContext).ok()?;
        shape = augmentation.output(shape).ok()?;
        if shape.values == ImageValues::Floats {
            return Some(step);
        }
    }
    None
}
