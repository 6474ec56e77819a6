//! Views: recipes that turn an image into what the encoder sees.

use std::sync::Arc;

use crate::checker::{Checked, Checker};
use crate::config::PipelineConfig;
use crate::graph::Graph;
use plugin_api::ViewTransform;
use plugin_api::{Augmentation, AugmentationContext, Monitor};
use plugin_api::{ImageShape, ImageValues};

/// A declared view.
#[derive(Clone)]
pub struct View {
    /// Its name in the file.
    pub name: String,
    /// Its augmentations, in order.
    pub transform: Arc<ViewTransform>,
    /// `(H, W)` of what it gives, in pixels.
    pub size: (usize, usize),
}

/// Builds the views of `config`, and follows size and values through each.
pub(crate) fn check_views(checker: &Checker, config: &PipelineConfig) -> Checked<Vec<View>> {
    if config.views.is_empty() {
        return Err(checker.fault(
            &["views"],
            "no view is declared",
            "MoCo needs two random views of each image",
        ));
    }
    let mut views = Vec::new();
    for (name, steps) in &config.views {
        let mut shape = ImageShape { size: None, values: ImageValues::Bytes };
        let mut augmentations = Vec::new();
        for i in 0..steps.len() {
            let i = i.to_string();
            let path = ["views", name.as_str(), i.as_str()];
            let augmentation = checker.build::<dyn Augmentation>(&path, &AugmentationContext)?;
            shape = augmentation.output(shape).map_err(|error| checker.unfit(&path, &error))?;
            augmentations.push(augmentation);
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
        views.push(View {
            name: name.clone(),
            transform: Arc::new(ViewTransform { steps: augmentations }),
            size,
        });
    }
    Ok(views)
}

/// A view that neither a step nor a monitor uses is usually a slip.
pub(crate) fn check_all_used(
    checker: &Checker,
    views: &[View],
    graph: &Graph,
    monitors: &[(String, Box<dyn Monitor>)],
) -> Checked<()> {
    for view in views {
        let watched = monitors.iter().any(|(_, monitor)| monitor.views().contains(&view.name.as_str()));
        if !graph.views.contains(&view.name) && !watched {
            return Err(checker.fault_at_name(
                &["views", &view.name],
                format!("nothing uses the view `{}`", view.name),
                "use it in a step of `graph` or in a monitor, or remove it",
            ));
        }
    }
    Ok(())
}
