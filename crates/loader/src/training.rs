//! Loads batches for training.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::workers::{OnUnreadable, Order, Work, Workers};
use crate::{LoaderError, UnreadableLog, View};
use pipeline::{Parts, batch_shuffle};
use plugin_api::{Images, Rng, ViewTransform};

/// What to do with images that do not fill a batch at the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Drop them; other ones in each epoch. Required by losses over the batch.
    LeftOut,
    /// Use them as a smaller last batch.
    Kept,
}

/// Who checks that no more images are unreadable than a run allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitCheck {
    /// The loader, with each batch.
    ByLoader,
    /// The caller, by [`UnreadableLog::check`], when all batches of a step are loaded, in all processes. The loader still fails
    /// if it gives up on finding a replacement.
    ByCaller,
}

/// What a [`Loader`] loads.
pub struct LoaderPlan {
    /// The training images.
    pub images: Arc<dyn Images>,
    /// The views of each image: name and transform.
    pub views: Vec<(String, Arc<ViewTransform>)>,
    /// The seed for the order of the images and for their views.
    pub seed: u64,
    /// The seed for the order within a shuffled pass: the engine's seed.
    pub shuffle_seed: u64,
    /// `N`, the batch size; at least 1.
    pub batch: usize,
    /// What to do with images that do not fill a batch.
    pub rest: Rest,
    /// How a step processes its batch (in one part or several).
    pub parts: Parts,
    /// The parts to load, in every pass; at least one.
    pub own_parts: Range<usize>,
    /// Epoch, and step within it, of the first batch, counted from 0. A step after the epoch's last means the next
    /// epoch.
    pub first: (u64, u64),
    /// The number of epochs in the run; no more are loaded.
    pub epochs: u64,
    /// Worker threads; 0 counts as 1.
    pub n_workers: usize,
    /// Batches that are prefetched, which bounds memory.
    pub prefetch_batches: usize,
    /// Where unreadable images are counted.
    pub unreadable: Arc<UnreadableLog>,
    /// Who checks that they are not too many.
    pub limit_check: LimitCheck,
}

/// A batch, or a part of one. The rows of its views match.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The step within the epoch, from 0.
    pub step: u64,
    /// The indices of the images; that of the replacement if an image is unreadable.
    pub images: Vec<usize>,
    /// The views, all or those of the pass, in the plan's order.
    pub views: Vec<View>,
    /// How long the caller waited for it.
    pub waited: Duration,
}

/// The next batch, before it is consumed.
#[derive(Clone, Copy, Debug)]
pub struct LookAhead<'a> {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The step within the epoch, from 0.
    pub step: u64,
    /// The number of images in it.
    pub n: usize,
    /// The views, all or those of the pass, in the plan's order.
    pub views: &'a [View],
}

/// Loads the batches of a run in order. If a step processes its batch in parts, it loads the parts of each pass in
/// order.
///
/// Each epoch visits the images in its own random order. An image is decoded once per pass, and all views of the pass
/// are made from it. Dropping the loader stops its threads.
pub struct Loader {
    workers: Workers,
    schedule: EpochOrders,
    prefetch_batches: usize,
    failed: Option<LoaderError>,
}

impl Loader {
    /// Starts the workers, which begin at once.
    ///
    /// # Errors
    /// If there are no images, if they do not fill one batch and the rest is dropped, or if threads cannot be started.
    pub fn start(plan: LoaderPlan) -> Result<Self, LoaderError> {
        let (n_images, batch) = (plan.images.len(), plan.batch);
        let fewest = match plan.rest {
            Rest::LeftOut => batch,
            Rest::Kept => 1,
        };
        if batch == 0 || n_images < fewest {
            return Err(LoaderError::TooFewImages { n_images, batch });
        }
        let schedule = EpochOrders::new(&plan);
        let work = Work {
            images: plan.images,
            views: plan.views,
            seed: plan.seed,
            unreadable: plan.unreadable,
            on_unreadable: OnUnreadable::Replace(plan.limit_check),
        };
        let mut loader = Self {
            workers: Workers::start(work, plan.n_workers)?,
            schedule,
            prefetch_batches: plan.prefetch_batches,
            failed: None,
        };
        loader.order_ahead();
        Ok(loader)
    }

    /// Steps per epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.schedule.steps_per_epoch
    }

    /// The next batch; `None` after the last one of the run.
    ///
    /// # Errors
    /// After an error, the same error again.
    #[expect(clippy::should_implement_trait, reason = "an iterator of results would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Batch>, LoaderError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let outcome = self.try_next();
        if let Err(error) = &outcome {
            self.failed = Some(error.clone());
        }
        outcome
    }

    /// The next batch, if it is loaded. [`next`](Self::next) still returns it, and only then counts its unreadable
    /// images.
    pub fn look_ahead(&mut self) -> Option<LookAhead<'_>> {
        if self.failed.is_some() {
            return None;
        }
        let filled = self.workers.look()?;
        let n = filled.images.iter().flatten().count();
        Some(LookAhead { epoch: filled.epoch, step: filled.step, n, views: &filled.views })
    }

    fn try_next(&mut self) -> Result<Option<Batch>, LoaderError> {
        self.order_ahead();
        let start = Instant::now();
        let Some(filled) = self.workers.take().transpose()? else { return Ok(None) };
        Ok(Some(Batch {
            epoch: filled.epoch,
            step: filled.step,
            // No image is left out, because unreadable images are replaced.
            images: filled.images.into_iter().flatten().collect(),
            views: filled.views,
            waited: start.elapsed(),
        }))
    }

    fn order_ahead(&mut self) {
        while self.workers.n_ordered() <= self.prefetch_batches
            && let Some(order) = self.schedule.next()
        {
            self.workers.order(order);
        }
    }
}

/// Decides which images go into which batch, and in which order.
struct EpochOrders {
    seed: u64,
    shuffle_seed: u64,
    n_images: usize,
    batch: usize,
    epochs: u64,
    steps_per_epoch: u64,
    parts: Parts,
    own_parts: Range<usize>,
    /// For each pass.
    views: Vec<Arc<[usize]>>,
    /// Epoch and step.
    next: (u64, u64),
    /// Pass and part of that step.
    next_part: (usize, usize),
    /// The order of epoch `next.0`, once it is computed.
    order: Option<Vec<usize>>,
}

impl EpochOrders {
    fn new(plan: &LoaderPlan) -> Self {
        Self {
            seed: plan.seed,
            shuffle_seed: plan.shuffle_seed,
            n_images: plan.images.len(),
            batch: plan.batch,
            epochs: plan.epochs,
            steps_per_epoch: match plan.rest {
                Rest::LeftOut => plan.images.len() / plan.batch,
                Rest::Kept => plan.images.len().div_ceil(plan.batch),
            } as u64,
            views: plan.parts.passes.iter().map(|pass| pass.views.as_slice().into()).collect(),
            next_part: (0, plan.own_parts.start),
            parts: plan.parts.clone(),
            own_parts: plan.own_parts.clone(),
            next: plan.first,
            order: None,
        }
    }
}

impl Iterator for EpochOrders {
    type Item = Order;

    fn next(&mut self) -> Option<Order> {
        if self.next.1 >= self.steps_per_epoch {
            self.next = (self.next.0 + 1, 0);
            self.order = None;
        }
        let (epoch, step) = self.next;
        if epoch >= self.epochs {
            return None;
        }
        let order = self
            .order
            .get_or_insert_with(|| Rng::new(self.seed, "epoch order", &[epoch]).permutation(self.n_images));
        let first = step as usize * self.batch;
        let batch = &order[first..order.len().min(first + self.batch)];
        let (pass, part) = self.next_part;
        let places = self.parts.places(part, batch.len());
        let images = if self.parts.passes[pass].is_shuffled {
            let shuffle = batch_shuffle(self.shuffle_seed, epoch * self.steps_per_epoch + step, batch.len());
            places.map(|place| batch[shuffle[place]]).collect()
        } else {
            places.map(|place| batch[place]).collect()
        };
        self.next_part = (pass, part + 1);
        if self.next_part.1 == self.own_parts.end {
            self.next_part = (pass + 1, self.own_parts.start);
        }
        if self.next_part.0 == self.parts.passes.len() {
            self.next_part = (0, self.own_parts.start);
            self.next.1 += 1;
        }
        Some(Order { epoch, step, images, views: Arc::clone(&self.views[pass]) })
    }
}
