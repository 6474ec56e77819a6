//! The images of a run, and how they are loaded.

use std::ops::Range;
use std::sync::Arc;

use pipeline::{Graph, Parts, View};
use plugin_api::Splits;

use super::course::Course;
use super::own_data::OwnData;
use super::position::Position;
use loader::{LimitCheck, Loader, LoaderError, LoaderPlan, Rest, UnreadableLog};

/// Batches that workers may prefetch.
const PREFETCH_BATCHES: usize = 3;

/// The dataset, the views of its images, and the workers.
pub(super) struct Data {
    pub(super) splits: Splits,
    /// What monitors measure on instead.
    pub(super) own: OwnData,
    pub(super) views: Vec<View>,
    /// `(H, W)` that the encoder is trained on.
    pub(super) trained_size: (usize, usize),
    /// Data loader workers.
    pub(super) n_workers: usize,
    pub(super) unreadable: Arc<UnreadableLog>,
    n_unreadable_reported: usize,
}

impl Data {
    pub(super) fn new(
        (splits, own): (Splits, OwnData),
        (views, trained_size): (Vec<View>, (usize, usize)),
        n_workers: usize,
        max_unreadable: f64,
    ) -> Self {
        let n_images = splits.train.len() + splits.test.as_ref().map_or(0, |test| test.len());
        let unreadable = Arc::new(UnreadableLog::new(n_images + own.n_images(), max_unreadable));
        Self { splits, own, views, trained_size, n_workers, unreadable, n_unreadable_reported: 0 }
    }

    /// The batches of a run from `position` on.
    pub(super) fn loader(
        &self,
        graph: &Graph,
        parts: &Parts,
        own_parts: Range<usize>,
        course: &Course,
        position: &Position,
    ) -> Result<Loader, LoaderError> {
        Loader::start(self.plan(graph, parts, own_parts, course, position))
    }

    /// What [`loader`](Self::loader) loads.
    pub(super) fn plan(
        &self,
        graph: &Graph,
        parts: &Parts,
        own_parts: Range<usize>,
        course: &Course,
        position: &Position,
    ) -> LoaderPlan {
        let views = graph
            .views
            .iter()
            .filter_map(|name| self.views.iter().find(|view| view.name == *name))
            .map(|view| (view.name.clone(), Arc::clone(&view.transform)))
            .collect();
        LoaderPlan {
            images: Arc::clone(&self.splits.train),
            views,
            seed: position.data_seed(course.seed),
            shuffle_seed: course.seed,
            batch: course.batch,
            rest: Rest::LeftOut,
            parts: parts.clone(),
            own_parts,
            first: (position.epoch as u64, position.step as u64),
            epochs: course.epochs as u64,
            n_workers: self.n_workers,
            prefetch_batches: PREFETCH_BATCHES,
            unreadable: Arc::clone(&self.unreadable),
            limit_check: LimitCheck::ByCaller,
        }
    }

    /// The number of unreadable images, if it has grown since the last call.
    pub(super) fn more_unreadable(&mut self) -> Option<usize> {
        let n_images = self.unreadable.len();
        let is_news = n_images != self.n_unreadable_reported;
        self.n_unreadable_reported = n_images;
        is_news.then_some(n_images)
    }
}
