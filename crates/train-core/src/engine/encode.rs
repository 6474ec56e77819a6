//! Chains of encoder parts.

use pipeline::{Encode, Encoders, Id};
use plugin_api::{Backbone, Head, MapShape, PassDraws};
use tensor_ops::{FeatureMap, Features, Mode, OpError, Precision, Rows};

/// What `backbone` and then `heads` make of `images`.
pub(super) fn encode<B: Id, H: Id>(
    encoders: &mut Encoders<B, H>,
    backbone: B,
    heads: &[H],
    images: FeatureMap,
    (pass, gives): (Pass, Gives),
    precision: Precision,
) -> Result<Features, OpError> {
    let mode = match pass {
        Pass::Train(_) => Mode::Train,
        Pass::Eval => Mode::Eval,
    };
    let backbone = &mut *encoders.backbones[backbone].module;
    let features = run_backbone(backbone, images, (pass, gives), precision)?;
    run_heads(encoders, heads, features, mode)
}

/// What a pass through a backbone is for.
pub(super) enum Pass {
    /// Training, with these draws.
    Train(PassDraws),
    /// Evaluation, which draws nothing.
    Eval,
}

/// What a pass through a backbone gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    Features,
    /// With the map behind them.
    FeaturesAndMap,
}

impl Gives {
    pub(super) fn of<B, H, S>(step: &Encode<B, H, S>) -> Self {
        if step.gives_map { Self::FeaturesAndMap } else { Self::Features }
    }
}

/// What `backbone` makes of `images`, with values between its layers kept in `precision`.
pub(super) fn run_backbone(
    backbone: &mut dyn Backbone,
    images: FeatureMap,
    (pass, gives): (Pass, Gives),
    precision: Precision,
) -> Result<Features, OpError> {
    let mode = match pass {
        Pass::Train(draws) => {
            backbone.set_draws(draws);
            Mode::Train
        }
        Pass::Eval => Mode::Eval,
    };
    let (n, is_recorded) = (images.n(), images.is_recorded());
    let size = (images.h(), images.w());
    let images = images.with_precision(precision)?;
    if gives == Gives::Features {
        let features = backbone.forward(images, mode)?;
        return kept(features, "backbone", (n, backbone.n_features()), is_recorded);
    }
    let (features, map) = backbone.forward_with_map(images, mode)?;
    let features = kept(features, "backbone", (n, backbone.n_features()), is_recorded)?;
    let declared = backbone.map_shape(size).map(|map| [n, map.n_positions(), map.channels]);
    if declared != Some(map.shape()) {
        return Err(OpError::shape(
            "backbone",
            "shape of its map",
            declared.unwrap_or_default(),
            map.shape(),
        ));
    }
    if map.is_recorded() != is_recorded {
        let must = "the map of `forward_with_map` is recorded exactly if the images are";
        return Err(OpError::value("backbone", "whether its map is recorded", map.is_recorded(), must));
    }
    MapShape::behind(features, map)
}

/// What a module was to give: a plugin that drops a row or the recording would train something else without a word.
fn kept(
    features: Features,
    op: &'static str,
    shape: (usize, usize),
    is_recorded: bool,
) -> Result<Features, OpError> {
    let got = (features.n(), features.d());
    if got != shape {
        return Err(OpError::shape(op, "shape of what `forward` gives", shape, got));
    }
    let (features, recording) = features.split_recording();
    if recording.is_on() != is_recorded {
        let must = "what `forward` gives is recorded exactly if its input is";
        return Err(OpError::value(op, "whether its result is recorded", recording.is_on(), must));
    }
    Ok(features.with_recording(recording))
}

/// What `heads` make of `features`, one after another.
pub(super) fn run_heads<B: Id, H: Id>(
    encoders: &mut Encoders<B, H>,
    heads: &[H],
    features: Features,
    mode: Mode,
) -> Result<Features, OpError> {
    let run = |features, head: &H| {
        let head: &mut dyn Head = &mut *encoders.heads[*head].module;
        let (features, recording) = Rows::split_recording(features);
        let (n, is_recorded) = (features.n(), recording.is_on());
        let embeddings = head.forward(features.with_recording(recording), mode)?;
        kept(embeddings, "head", (n, head.n_outputs()), is_recorded)
    };
    heads.iter().try_fold(features, run)
}
