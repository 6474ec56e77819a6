//! Counts the images that could not be decoded, up to the allowed number.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::LoaderError;
use plugin_api::UnreadableImage;

/// This many unreadable images never end a run, however small the dataset.
const ALWAYS_ALLOWED: usize = 16;

/// How many of them an error lists.
const N_NAMED: usize = 5;

/// Counts distinct unreadable images, from several threads.
pub struct UnreadableLog {
    n_images: usize,
    max_share: f64,
    reasons: Mutex<BTreeMap<String, String>>,
}

impl UnreadableLog {
    /// The default share of unreadable images that a pipeline allows.
    pub const DEFAULT_SHARE: f64 = 0.1;

    /// A log for a dataset of `n_images`, in which a share of `max_share` (0–1), and always 16, may be unreadable.
    pub fn new(n_images: usize, max_share: f64) -> Self {
        Self { n_images, max_share, reasons: Mutex::default() }
    }

    /// An empty log for the same dataset, for images that are loaded once more.
    pub fn anew(&self) -> Self {
        Self::new(self.n_images, self.max_share)
    }

    /// How many images may be unreadable.
    pub fn n_allowed(&self) -> usize {
        ((self.n_images as f64 * self.max_share) as usize).max(ALWAYS_ALLOWED)
    }

    /// The number of unreadable images.
    pub fn len(&self) -> usize {
        self.reasons().len()
    }

    /// Whether all images were readable so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The unreadable images, by name.
    pub fn list(&self) -> Vec<UnreadableImage> {
        self.reasons().iter().map(|(name, reason)| unreadable(name, reason)).collect()
    }

    /// Adds an image. Repeated images count once.
    pub fn record(&self, image: UnreadableImage) {
        self.reasons().entry(image.name).or_insert(image.reason);
    }

    /// Checks whether the run may continue.
    ///
    /// # Errors
    /// [`LoaderError::TooManyUnreadable`].
    pub fn check(&self) -> Result<(), LoaderError> {
        let (reasons, n_allowed) = (self.reasons(), self.n_allowed());
        if reasons.len() <= n_allowed {
            return Ok(());
        }
        Err(LoaderError::TooManyUnreadable {
            n_unreadable: reasons.len(),
            n_images: self.n_images,
            n_allowed,
            first: reasons.iter().take(N_NAMED).map(|(name, reason)| unreadable(name, reason)).collect(),
        })
    }

    fn reasons(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        // The map is always consistent between calls, so a panic in another thread does not damage it.
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreadable(name: &str, reason: &str) -> UnreadableImage {
    UnreadableImage { name: name.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(i: usize) -> UnreadableImage {
        unreadable(&format!("bad-{i:03}.jpg"), "not a JPEG")
    }

    #[test]
    fn sixteen_unreadable_images_pass_and_the_seventeenth_names_the_first() {
        let log = UnreadableLog::new(20, 0.1);
        for i in (0..16).rev() {
            log.record(bad(i));
            log.record(bad(i));
        }
        log.check().unwrap();
        log.record(bad(16));
        let error = log.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "17 of 20 images cannot be read, and at most 16 may be\n  bad-000.jpg: not a JPEG\n  \
             bad-001.jpg: not a JPEG\n  bad-002.jpg: not a JPEG\n  bad-003.jpg: not a JPEG\n  bad-004.jpg: not a JPEG\
             \n  and 12 more"
        );
        assert_eq!(log.list()[0].name, "bad-000.jpg");
        assert_eq!(log.len(), 17);
    }

    #[test]
    fn the_share_counts_once_it_allows_more_than_sixteen() {
        assert_eq!(UnreadableLog::new(1000, 0.1).n_allowed(), 100);
        assert_eq!(UnreadableLog::new(1000, 0.0).n_allowed(), 16);
    }
}
