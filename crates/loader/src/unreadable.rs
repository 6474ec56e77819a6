//! Counts the images that could not be decoded, up to the allowed number.

use std::collections::{BTreeMap, BTreeSet};
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
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// By name. A list can have one path on many lines, which are as many images.
    by_name: BTreeMap<String, Places>,
    /// Of all names.
    n_places: usize,
}

struct Places {
    reason: String,
    indices: BTreeSet<usize>,
}

impl UnreadableLog {
    /// The default share of unreadable images that a pipeline allows.
    pub const DEFAULT_SHARE: f64 = 0.1;

    /// A log for a dataset of `n_images`, in which a share of `max_share` (0–1), and always 16, may be unreadable.
    pub fn new(n_images: usize, max_share: f64) -> Self {
        Self { n_images, max_share, found: Mutex::default() }
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
        self.found().n_places
    }

    /// Whether all images were readable so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The unreadable images, by name, each name once.
    pub fn list(&self) -> Vec<UnreadableImage> {
        self.found().by_name.iter().map(|(name, places)| unreadable(name, &places.reason)).collect()
    }

    /// The unreadable images with their indices, by name.
    pub fn indexed(&self) -> Vec<(usize, UnreadableImage)> {
        let found = self.found();
        let of_name = |(name, places): (&String, &Places)| -> Vec<(usize, UnreadableImage)> {
            places.indices.iter().map(|&index| (index, unreadable(name, &places.reason))).collect()
        };
        found.by_name.iter().flat_map(of_name).collect()
    }

    /// Adds the image of an index. One that is added again counts once.
    pub fn record(&self, index: usize, image: UnreadableImage) {
        let mut found = self.found();
        let UnreadableImage { name, reason } = image;
        let places = found.by_name.entry(name).or_insert_with(|| Places { reason, indices: BTreeSet::new() });
        let is_new = places.indices.insert(index);
        found.n_places += usize::from(is_new);
    }

    /// Checks whether the run may continue.
    ///
    /// # Errors
    /// [`LoaderError::TooManyUnreadable`].
    pub fn check(&self) -> Result<(), LoaderError> {
        let (found, n_allowed) = (self.found(), self.n_allowed());
        if found.n_places <= n_allowed {
            return Ok(());
        }
        let first = found.by_name.iter().take(N_NAMED);
        Err(LoaderError::TooManyUnreadable {
            n_unreadable: found.n_places,
            n_images: self.n_images,
            n_allowed,
            first: first.map(|(name, places)| unreadable(name, &places.reason)).collect(),
        })
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        // It is always consistent between calls, so a panic in another thread does not damage it.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
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
            log.record(i, bad(i));
            log.record(i, bad(i));
        }
        log.check().unwrap();
        log.record(16, bad(16));
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
    fn lines_with_one_path_count_as_often_as_they_are_there_and_are_named_once() {
        let log = UnreadableLog::new(100, 0.1);
        (0..17).for_each(|i| log.record(i, bad(0)));
        (0..17).for_each(|i| log.record(i, bad(0)));
        assert_eq!((log.len(), log.list().len(), log.indexed().len()), (17, 1, 17));
        assert!(log.check().unwrap_err().to_string().starts_with("17 of 100 images cannot be read"));
    }

    #[test]
    fn the_share_counts_once_it_allows_more_than_sixteen() {
        assert_eq!(UnreadableLog::new(1000, 0.1).n_allowed(), 100);
        assert_eq!(UnreadableLog::new(1000, 0.0).n_allowed(), 16);
    }
}
