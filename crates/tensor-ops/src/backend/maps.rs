//! Feature maps, `(N, H, W, C)`.

use std::{fmt::Debug, sync::Arc};

use kernels_cpu::{Layout, Precision, norm::Statistics};

use super::{Computed, ConvSpec, NormGradients, NormMoments, NormSpec, NormWanted, Storage, Window};
use crate::{
    BatchNorm,
    values::{AnyValues, Resident},
};

/// What computes on feature maps.
pub(crate) trait Maps: Storage {
    /// Sums of channels that a convolution takes for the batch norm behind it.
    type Sums: Debug + Send + Sync + 'static;
    /// What a batch norm keeps for its backward pass, beside its input.
    type Norm: 'static;
    /// What a max pool keeps.
    type Taps: 'static;

    /// From one image after the other, `(N, H, W, C)`.
    fn pack(self, layout: Layout, nhwc: &[f32]) -> Computed<Self::Values>;
    /// To one image after the other, `(N, H, W, C)`.
    fn unpack(self, layout: Layout, values: &Self::Values) -> Computed<Vec<f32>>;
    /// The images of `order`.
    fn select_images(self, from: Layout, values: &Self::Values, order: &[usize]) -> Computed<Self::Values>;
    /// One token a position, the rows of an image one after the other.
    fn tokens_of_map(self, layout: Layout, values: &Arc<AnyValues>) -> Computed<Arc<AnyValues>>;
    /// The gradient of a map from that of its tokens; `precision` is the map's.
    fn map_of_tokens(
        self,
        layout: Layout,
        gradient: Self::Values,
        precision: Precision,
    ) -> Computed<Self::Values>;

    // Convolution. Weights are `(KH, KW, I / groups, O)`.

    /// The output, and, if `is_summed` asks for them and the backend takes them, the sums of its channels.
    fn convolve(
        self,
        spec: ConvSpec,
        x: &Self::Values,
        weight: &Resident,
        bias: Option<&Resident>,
        is_summed: bool,
    ) -> Computed<(Self::Values, Option<Self::Sums>)>;
    /// The gradient of the input.
    fn convolve_data(
        self,
        spec: ConvSpec,
        gradient: &Self::Values,
        weight: &Resident,
        before: Option<Self::Values>,
    ) -> Computed<Self::Values>;
    /// The gradient of the weights.
    fn convolve_weights(
        self,
        spec: ConvSpec,
        x: &Self::Values,
        gradient: &Self::Values,
        before: Option<Self::Values>,
    ) -> Computed<Self::Values>;

    // Batch normalization.

    /// Of `x` as one group, which a convolution may have summed up.
    fn statistics(self, spec: NormSpec, x: &Self::Values, sums: Option<&Self::Sums>) -> Computed<Statistics>;
    /// The normalized values, and what their gradient needs. In training, the running statistics of `norm` move; in evaluation,
    /// `moments` are not looked at.
    fn normalize(
        self,
        spec: NormSpec,
        norm: &mut BatchNorm,
        x: &Self::Values,
        moments: NormMoments<'_, Self::Sums>,
        residual: Option<&Self::Values>,
    ) -> Computed<(Self::Values, Self::Norm)>;
    /// The gradients that are wanted. `output` is there where ReLU stood behind a residual, and masks the gradient then; without
    /// a residual `x` says as much.
    fn normalize_backward(
        self,
        spec: NormSpec,
        kept: &Self::Norm,
        x: &Self::Values,
        output: Option<&Self::Values>,
        gradient: Self::Values,
        wanted: NormWanted<'_, Self::Values>,
    ) -> Computed<NormGradients<Self::Values>>;

    // Pools.

    /// The largest value of each window, and which it was.
    fn max_pool(self, window: Window, x: &Self::Values) -> Computed<(Self::Values, Self::Taps)>;
    /// The gradient of the input: all of a window's goes where the largest value was.
    fn max_pool_gradient(
        self,
        window: Window,
        taps: &Self::Taps,
        gradient: &Self::Values,
        before: Option<Self::Values>,
    ) -> Computed<Self::Values>;
    /// The mean of each window; padding counts as zeros.
    fn average_pool(self, window: Window, x: &Self::Values) -> Computed<Self::Values>;
    /// The gradient of the input: a window's goes to all of its values alike.
    fn average_pool_gradient(
        self,
        window: Window,
        gradient: &Self::Values,
        before: Option<Self::Values>,
    ) -> Computed<Self::Values>;
    /// The mean of each channel over all positions, `(N, C)`, in single precision.
    fn global_pool(self, from: Layout, x: &Self::Values) -> Computed<Self::Values>;
    /// The gradient of the map, whose precision is `precision`.
    fn global_pool_gradient(
        self,
        from: Layout,
        gradient: &Self::Values,
        precision: Precision,
        before: Option<Self::Values>,
    ) -> Computed<Self::Values>;

    // Element by element.

    /// `max(x, 0)`; NaN stays.
    fn relu(self, x: &Self::Values) -> Computed<Self::Values>;
    /// `a + b`, or `max(a + b, 0)`.
    fn sum(self, a: &Self::Values, b: &Self::Values, is_rectified: bool) -> Computed<Self::Values>;
    /// The gradient where ReLU was on, by its output.
    fn mask(self, gradient: Self::Values, output: &Self::Values) -> Computed<Self::Values>;
}
