//! Passes through a backbone: of the images of one step, or of several steps as one batch.

use std::ops::Range;

use tensor_ops::{Device, FeatureMap, Features, Matrix, OpError, Recording, Rows, concat_rows, select_rows};

use super::encode::{Gives, Pass, run_backbone};
use super::forward::{Views, draws, unrecorded};
use super::{Engine, EngineError};
use pipeline::{Encode, Graph, Input, KeyId, QueryId};

impl Engine {
    /// What the trained backbone makes of the views of `steps`, which share a pass; [`rows_of`] says which rows are whose.
    pub(super) fn query_features(
        &mut self,
        graph: &Graph,
        views: &Views,
        steps: &[QueryId],
        recording: Recording,
    ) -> Result<Features, EngineError> {
        let of_steps: Vec<_> = steps.iter().map(|&id| &graph.queries[id]).collect();
        let (backbone, images, pass) = self.images_of(graph, views, &of_steps)?;
        let backbone = &mut *self.modules.encoders.backbones[backbone].module;
        let features = run_backbone(backbone, images.with_recording(recording), pass, self.precision);
        features.map_err(|source| EngineError::Step { step: of_steps[0].id.clone(), source })
    }

    /// As [`query_features`](Self::query_features), by the momentum copy, and without a recording.
    pub(super) fn key_features(
        &mut self,
        graph: &Graph,
        views: &Views,
        steps: &[KeyId],
    ) -> Result<Matrix, EngineError> {
        let of_steps: Vec<_> = steps.iter().map(|&id| &graph.keys[id].encode).collect();
        let (backbone, images, pass) = self.images_of(graph, views, &of_steps)?;
        let backbone = &mut *self.momentum_modules.backbones[backbone].module;
        let features = run_backbone(backbone, images, pass, self.precision);
        features.map(unrecorded).map_err(|source| EngineError::Step { step: of_steps[0].id.clone(), source })
    }

    /// The backbone of `steps`, all of them on views, their images as one batch, and what the pass draws and gives.
    fn images_of<B: Copy, H, S>(
        &self,
        graph: &Graph,
        views: &Views,
        steps: &[&Encode<B, H, S>],
    ) -> Result<(B, FeatureMap, (Pass, Gives)), EngineError> {
        let on_view = |step: &&Encode<B, H, S>| match step.input {
            Input::View { view, backbone } => (view, backbone),
            Input::Step(_) => unreachable!("only steps on views go through a backbone"),
        };
        let (_, backbone) = on_view(&steps[0]);
        let parts = steps.iter().map(|step| views.of(graph, on_view(step).0));
        let images = one_after_another(&self.device, parts.collect::<Result<_, _>>()?)?;
        let ids: Vec<&str> = steps.iter().map(|step| step.id.as_str()).collect();
        let pass = draws(self.seed, self.n_steps, &ids.join("+"), &places(views.places(), steps.len()));
        Ok((backbone, images, (pass, Gives::of(steps[0]))))
    }
}

/// The places of the images in a pass that `n_steps` share, each of which has places of its own.
///
/// The images go step by step. So each of the parts that split batch norm takes its statistics over, which are images whose places
/// leave the same remainder, has all views of its images.
fn places(of_batch: &[usize], n_steps: usize) -> Vec<usize> {
    (0..n_steps).flat_map(|step| of_batch.iter().map(move |place| (step << 32) + place)).collect()
}

/// The images of several steps, all of one size, step by step. Not recorded.
fn one_after_another(device: &Device, mut of_steps: Vec<FeatureMap>) -> Result<FeatureMap, OpError> {
    if of_steps.len() == 1 {
        return Ok(of_steps.remove(0));
    }
    let [n, height, width, channels] = of_steps[0].shape();
    let shape = [n * of_steps.len(), height, width, channels];
    let mut images: Vec<f32> = Vec::with_capacity(shape.iter().product());
    for map in of_steps {
        images.extend_from_slice(&map.to_nhwc());
    }
    FeatureMap::from_nhwc(device, shape, &images, Recording::Off)
}

/// The rows of the step at place `step` of `n_steps` that share a pass, among `n_rows`.
pub(super) fn rows_of(step: usize, n_steps: usize, n_rows: usize) -> Range<usize> {
    let n = n_rows / n_steps;
    step * n..(step + 1) * n
}

/// The rows of each of `n_steps` that share a pass.
pub(super) fn apart(features: Matrix, n_steps: usize) -> Result<Vec<Matrix>, OpError> {
    if n_steps == 1 {
        return Ok(vec![features]);
    }
    let n_rows = features.n();
    let of_step = |step| select_rows(&features, &rows_of(step, n_steps, n_rows).collect::<Vec<usize>>());
    (0..n_steps).map(of_step).collect()
}

/// The opposite of [`apart`].
pub(super) fn together(mut of_steps: Vec<Matrix>) -> Result<Matrix, OpError> {
    match of_steps.len() {
        1 => Ok(of_steps.remove(0)),
        _ => concat_rows(&of_steps.iter().collect::<Vec<_>>()),
    }
}
