//! Labeled images for training and testing.

use std::sync::Arc;

use evaluate::linear::ProbeError;
use loader::{EvalLoader, EvalPlan, LimitCheck, Loader, LoaderError, LoaderPlan, Rest, UnreadableLog};
use pipeline::{Parts, View};
use plugin_api::Images;

/// Batches that are loaded ahead.
const PREFETCH_BATCHES: usize = 2;

/// Labeled images, and how they are loaded.
pub(super) struct LabeledImages<'a> {
    /// The images.
    pub(super) images: &'a Arc<dyn Images>,
    /// The view that they are passed through.
    pub(super) view: &'a View,
    /// The seed for views and order.
    pub(super) seed: u64,
    /// Data loader workers.
    pub(super) n_workers: usize,
    /// Where unreadable images are counted.
    pub(super) unreadable: &'a Arc<UnreadableLog>,
}

impl LabeledImages<'_> {
    /// Batches in random order over `epochs` epochs, from the step `first` on, by epoch and step within it. Another image takes
    /// the place of an unreadable one.
    ///
    /// # Errors
    /// If the workers cannot be started, or there are too few images.
    pub(super) fn shuffled(
        &self,
        batch: usize,
        rest: Rest,
        epochs: usize,
        first: (u64, u64),
    ) -> Result<Loader, LoaderError> {
        Loader::start(LoaderPlan {
            images: Arc::clone(self.images),
            views: vec![(self.view.name.clone(), Arc::clone(&self.view.transform))],
            seed: self.seed,
            shuffle_seed: self.seed,
            batch,
            rest,
            parts: Parts::whole_of(1),
            own_parts: 0..1,
            first,
            epochs: epochs as u64,
            n_workers: self.n_workers,
            prefetch_batches: PREFETCH_BATCHES,
            unreadable: Arc::clone(self.unreadable),
            limit_check: LimitCheck::ByLoader,
        })
    }

    /// Batches in the order of the images, once. Unreadable images are left out.
    ///
    /// # Errors
    /// If the workers cannot be started.
    pub(super) fn in_order(&self, batch: usize) -> Result<EvalLoader, LoaderError> {
        EvalLoader::start(EvalPlan {
            range: 0..self.images.len(),
            images: Arc::clone(self.images),
            view: (self.view.name.clone(), Arc::clone(&self.view.transform)),
            seed: self.seed,
            batch,
            n_workers: self.n_workers,
            prefetch_batches: PREFETCH_BATCHES,
            unreadable: Arc::clone(self.unreadable),
        })
    }

    /// The labels of the images of a batch.
    ///
    /// # Errors
    /// [`ProbeError::NoLabels`].
    pub(super) fn labels(&self, batch: &[usize]) -> Result<Vec<u32>, ProbeError> {
        batch.iter().map(|&image| self.images.label(image)).collect::<Option<_>>().ok_or(ProbeError::NoLabels)
    }
}
