//! Batches of earlier steps, which are made again.

use std::sync::Arc;

use loader::{Loader, LoaderError, LoaderPlan};
use pipeline::Parts;

use super::course::Course;
use super::data::Data;
use super::position::Position;
use crate::engine::{Engine, KeptKeys};
use crate::features::{FeaturesError, feature_map};

/// The batches of the run up to a position. All that is random about one follows from its place in the run, so that it can be
/// made again.
#[derive(Clone, Copy)]
pub(super) struct PastBatches<'a> {
    pub(super) data: &'a Data,
    pub(super) course: &'a Course,
    pub(super) position: &'a Position,
}

impl PastBatches<'_> {
    /// How many of the last steps had batches as they would be made now.
    pub(super) fn n_steps(&self) -> usize {
        (self.position.steps_done - self.position.drawn_since.min(self.position.steps_done)) as usize
    }

    /// The keys that the momentum encoder of now makes of the batch of the step `steps_ago` before the last one; see
    /// [`Engine::keys_anew`].
    pub(super) fn keys_anew(
        &self,
        engine: &mut Engine,
        kept: &KeptKeys,
        steps_ago: usize,
    ) -> Result<Vec<f32>, FeaturesError> {
        let device = engine.device().clone();
        let mut loader = self.loader(engine, steps_ago)?;
        let mut next = || {
            let batch = loader.next()?.ok_or(LoaderError::TooFewImages {
                n_images: self.data.splits.train.len(),
                batch: self.course.batch,
            })?;
            let views = batch.views.iter();
            let views = views
                .map(|view| feature_map(&device, [view.size.0, view.size.1, view.channels], &view.values));
            Ok(views.collect::<Result<_, _>>().map_err(crate::engine::EngineError::from)?)
        };
        engine.keys_anew::<FeaturesError>(kept, steps_ago, self.course.batch, &mut next)
    }

    /// Loads what the keys of that step are made of. Images that cannot be read were counted then.
    fn loader(&self, engine: &Engine, steps_ago: usize) -> Result<Loader, LoaderError> {
        let Self { data, course, position } = *self;
        let steps = position.epoch * course.steps_per_epoch + position.step;
        let step = steps.saturating_sub(1 + steps_ago);
        let (epoch, step) = (step / course.steps_per_epoch, step % course.steps_per_epoch);
        let parts = Parts { passes: vec![engine.key_pass()], ..engine.parts().clone() };
        let plan = data.plan(engine.graph(), &parts, engine.own_parts(), course, position);
        Loader::start(LoaderPlan {
            first: (epoch as u64, step as u64),
            prefetch_batches: 0,
            unreadable: Arc::new(data.unreadable.anew()),
            ..plan
        })
    }
}
