//! Loads images of a split once, for evaluation.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::workers::{LoadedBatch, OnUnreadable, Order, Work, Workers};
use crate::{LoaderError, UnreadableLog};
use plugin_api::{Images, ViewTransform};

/// What an [`EvalLoader`] loads.
pub struct EvalPlan {
    /// The images.
    pub images: Arc<dyn Images>,
    /// Those of them to load.
    pub range: Range<usize>,
    /// The view: name and transform.
    pub view: (String, Arc<ViewTransform>),
    /// The pipeline's seed, for random views.
    pub seed: u64,
    /// The batch size; the last batch may be smaller. 0 counts as 1.
    pub batch: usize,
    /// Worker threads; 0 counts as 1.
    pub n_workers: usize,
    /// Batches that are prefetched, which bounds memory.
    pub prefetch_batches: usize,
    /// Where unreadable images are counted.
    pub unreadable: Arc<UnreadableLog>,
}

/// One batch of one view.
#[derive(Clone, Debug)]
pub struct EvalBatch {
    /// The indices of its images, in order, without those that cannot be read.
    pub images: Vec<usize>,
    /// `(H, W)` in pixels.
    pub size: (usize, usize),
    /// `C`: 3 for RGB.
    pub channels: usize,
    /// `(N, H, W, C)` values, one row per entry of `images`.
    pub values: Vec<f32>,
    /// How long the caller waited for it.
    pub waited: Duration,
}

/// Loads images once, in order, with one view.
pub struct EvalLoader {
    workers: Workers,
    batch: usize,
    /// What is left to order.
    rest: Range<usize>,
    prefetch_batches: usize,
    failed: Option<LoaderError>,
}

impl EvalLoader {
    /// Starts the workers, which begin at once.
    ///
    /// # Errors
    /// If threads cannot be started.
    pub fn start(plan: EvalPlan) -> Result<Self, LoaderError> {
        let work = Work {
            images: plan.images,
            views: vec![plan.view],
            seed: plan.seed,
            unreadable: plan.unreadable,
            on_unreadable: OnUnreadable::LeaveOut,
        };
        let mut loader = Self {
            workers: Workers::start(work, plan.n_workers)?,
            batch: plan.batch.max(1),
            rest: plan.range,
            prefetch_batches: plan.prefetch_batches,
            failed: None,
        };
        loader.order_ahead();
        Ok(loader)
    }

    /// The next batch, with at least one image; `None` after the last.
    ///
    /// # Errors
    /// After an error, the same error again.
    #[expect(clippy::should_implement_trait, reason = "an iterator of results would go on after an error")]
    pub fn next(&mut self) -> Result<Option<EvalBatch>, LoaderError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let start = Instant::now();
        loop {
            self.order_ahead();
            match self.workers.take() {
                None => return Ok(None),
                Some(Err(error)) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
                Some(Ok(filled)) => {
                    if let Some(batch) = present(filled, start) {
                        return Ok(Some(batch));
                    }
                }
            }
        }
    }

    fn order_ahead(&mut self) {
        while self.workers.n_ordered() <= self.prefetch_batches && !self.rest.is_empty() {
            let end = (self.rest.start + self.batch).min(self.rest.end);
            let step = (self.rest.start / self.batch) as u64;
            let images = (self.rest.start..end).collect();
            self.workers.order(Order { epoch: 0, step, images, views: Arc::new([0]) });
            self.rest.start = end;
        }
    }
}

/// Removes the places of unreadable images from a batch; `None` if nothing is left.
fn present(filled: LoadedBatch, start: Instant) -> Option<EvalBatch> {
    let view = filled.views.into_iter().next()?;
    let len = view.size.0 * view.size.1 * view.channels;
    let mut values = view.values;
    let mut images = Vec::with_capacity(filled.images.len());
    for (place, image) in filled.images.into_iter().enumerate() {
        let Some(image) = image else { continue };
        if images.len() < place {
            values.copy_within(place * len..(place + 1) * len, images.len() * len);
        }
        images.push(image);
    }
    values.truncate(images.len() * len);
    Some(EvalBatch { images, size: view.size, channels: view.channels, values, waited: start.elapsed() })
}
