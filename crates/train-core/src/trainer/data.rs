//! The images of a run, and how they are loaded.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use pipeline::{Graph, Parts, View};
use plugin_api::{Images, Splits};
use rayon::prelude::*;

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

    /// Counts those of the images in `listed`, lines of [`run_store::RunFolder::unreadable`], that still cannot be read: a run
    /// that goes on has the same limit as one that was never stopped, and images that were mended meanwhile count no more.
    pub(super) fn count_again(&mut self, listed: &[String]) {
        // A name may have a colon as well.
        let names: BTreeSet<&str> =
            listed.iter().flat_map(|line| line.match_indices(": ").map(|(end, _)| &line[..end])).collect();
        if names.is_empty() {
            return;
        }
        let own = self.own.all().iter().map(|own| &own.splits);
        for splits in std::iter::once(&self.splits).chain(own) {
            for images in std::iter::once(&splits.train).chain(&splits.test) {
                let is_listed = |image: &usize| names.contains(&*listed_name(&**images, *image));
                let again: Vec<usize> = (0..images.len()).filter(is_listed).collect();
                again.par_iter().for_each(|&image| {
                    if let Err(unreadable) = images.load(image) {
                        self.unreadable.record(image, unreadable);
                    }
                });
            }
        }
        self.n_unreadable_reported = self.unreadable.len();
    }

    /// The number of unreadable images, if it has grown since the last call.
    pub(super) fn more_unreadable(&mut self) -> Option<usize> {
        let n_images = self.unreadable.len();
        let is_news = n_images != self.n_unreadable_reported;
        self.n_unreadable_reported = n_images;
        is_news.then_some(n_images)
    }
}

/// How the list of unreadable images has the name of `image`.
fn listed_name(images: &dyn Images, image: usize) -> String {
    run_store::one_line(&images.name(image))
}

#[cfg(test)]
mod tests {
    use plugin_api::{ByteImage, UnreadableImage};

    use super::*;

    /// Images whose names begin with `bad` cannot be read.
    struct Named(Vec<&'static str>);

    impl Images for Named {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn label(&self, _: usize) -> Option<u32> {
            None
        }

        fn class_names(&self) -> &[String] {
            &[]
        }

        fn name(&self, index: usize) -> String {
            self.0[index].into()
        }

        fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
            match self.0[index].starts_with("bad") {
                true => Err(UnreadableImage { name: self.name(index), reason: "it is cut short".into() }),
                false => Ok(ByteImage::rgb(1, 1, vec![0; 3])),
            }
        }
    }

    #[test]
    fn listed_images_that_still_cannot_be_read_count_and_others_do_not() {
        let train: Arc<dyn Images> = Arc::new(Named(vec!["bad: a", "mended", "bad, not listed", "good"]));
        let test: Arc<dyn Images> = Arc::new(Named(vec!["bad\nb"]));
        let splits = Splits { train, test: Some(test), notes: Vec::new() };
        let mut data = Data::new((splits, OwnData::default()), (Vec::new(), (1, 1)), 1, 0.1);
        let lines = ["bad: a: it is cut: short", "mended: it was cut short", "bad b: no", "gone: no"];
        data.count_again(&lines.map(str::to_owned));
        let names: Vec<String> = data.unreadable.list().into_iter().map(|image| image.name).collect();
        assert_eq!(names, ["bad\nb", "bad: a"]);
        assert_eq!(data.more_unreadable(), None, "they were told before");
    }
}
