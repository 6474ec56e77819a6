//! Shared code of monitors that need no labels, and several views of an image.

use std::sync::Arc;

use plugin_api::{ConfigError, Embed, EmbedViews, Embedding, FeatureExtractor, Level, MonitorError, Split};

/// Views of some images of the first split that has any.
pub(crate) struct Seen {
    /// The split's name.
    pub(crate) split: &'static str,
    /// For each view, features of the same images.
    pub(crate) views: Vec<Arc<Embedding>>,
}

impl Seen {
    /// The number of images.
    pub(crate) fn n(&self) -> usize {
        self.views[0].n
    }
}

/// Features of `n_views` views of `n_images` test images, or of training images if there are none; `None` if there are fewer
/// than two images.
///
/// # Errors
/// If the encoder or the images fail, or a feature is not finite.
pub(crate) fn seen(
    features: &mut dyn FeatureExtractor,
    (view, level): (&str, Level),
    (n_images, n_views): (usize, usize),
) -> Result<Option<Seen>, MonitorError> {
    for (name, split) in [("test", Split::Test), ("train", Split::Train)] {
        let of = Embed { split, view, level };
        let Some(views) = features.embed_views(EmbedViews { of, n_images, n_views })? else { continue };
        if views.len() < 2 || views[0].n < 2 {
            continue;
        }
        if views.iter().flat_map(|view| &view.rows).any(|value| !value.is_finite()) {
            return Err(MonitorError::NotFinite);
        }
        return Ok(Some(Seen { split: name, views }));
    }
    Ok(None)
}

/// Why nothing is measured without images.
pub(crate) const NO_IMAGES: &str = "there are fewer than two images to measure on";

/// The number of images to look at is within what a measurement can take.
pub(crate) fn check_images(images: usize) -> Result<(), ConfigError> {
    if (2..=4096).contains(&images) {
        return Ok(());
    }
    Err(ConfigError::field("images", images, "it must be in 2-4096"))
}
