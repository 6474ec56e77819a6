//! Chains of encoder parts.

use pipeline::{Encoders, Id};
use plugin_api::{Backbone, Head, PassDraws};
use tensor_ops::{FeatureMap, Features, Mode, OpError, Precision};

/// What `backbone` and then `heads` make of `images`.
pub(super) fn encode<B: Id, H: Id>(
    encoders: &mut Encoders<B, H>,
    backbone: B,
    heads: &[H],
    images: FeatureMap,
    pass: Pass,
    precision: Precision,
) -> Result<Features, OpError> {
    let mode = match pass {
        Pass::Train(_) => Mode::Train,
        Pass::Eval => Mode::Eval,
    };
    let features = run_backbone(&mut *encoders.backbones[backbone].module, images, pass, precision)?;
    run_heads(encoders, heads, features, mode)
}

/// What a pass through a backbone is for.
pub(super) enum Pass {
    /// Training, with these draws.
    Train(PassDraws),
    /// Evaluation, which draws nothing.
    Eval,
}

/// What `backbone` makes of `images`, with values between its layers kept in `precision`.
pub(super) fn run_backbone(
    backbone: &mut dyn Backbone,
    images: FeatureMap,
    pass: Pass,
    precision: Precision,
) -> Result<Features, OpError> {
    let mode = match pass {
        Pass::Train(draws) => {
            backbone.set_draws(draws);
            Mode::Train
        }
        Pass::Eval => Mode::Eval,
    };
    backbone.forward(images.with_precision(precision)?, mode)
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
        head.forward(features, mode)
    };
    heads.iter().try_fold(features, run)
}
