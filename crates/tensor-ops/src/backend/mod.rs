//! Where operations compute: on the host, or on the CUDA device.
//!
//! An operation is written once, over [`Backend`]: its checks, what it records, and where its gradients go. What differs is the
//! arithmetic, which [`Host`] has from `kernels-cpu` and [`Cuda`] from `kernels-cuda`.

#[cfg(feature = "cuda")]
mod cuda;
mod host;

use std::{fmt::Debug, sync::Arc};

use dfdx::tensor::Tensor;
use kernels_cpu::{ConvGeometry, Layout, Precision};

#[cfg(feature = "cuda")]
pub(crate) use self::cuda::Cuda;
pub(crate) use self::host::Host;
use crate::{
    BatchNorm, ConvAlgorithm, Device, Matrix, Mode,
    device::{DeviceError, Stored},
    values::{AnyValues, Resident},
};

/// What a function of a backend gives.
pub(crate) type Computed<T> = Result<T, DeviceError>;

/// Something to compute with. Sizes have been checked by the operation.
///
/// Where a gradient is added to what has reached the same place before, that is an argument `before`, so that a kernel can
/// add in its last pass over memory.
pub(crate) trait Backend: Copy + Debug + 'static {
    /// Values between operations and gradients, in either precision.
    type Values: Debug + 'static;
    /// Sums of channels that a convolution takes for the batch norm behind it.
    type Sums: Debug + Send + Sync + 'static;
    /// What a batch norm keeps for its backward pass, beside its input.
    type Norm: 'static;
    /// What a max pool keeps.
    type Taps: 'static;
    /// What a GELU keeps.
    type Gelu: 'static;
    /// What an attention keeps.
    type Attention: 'static;
    /// What a layer norm keeps, beside its input.
    type LayerNorm: 'static;

    /// Whether a batch norm with ReLU masks its gradient by its output; by its input otherwise, which says as much where
    /// there is no residual.
    const MASKS_BY_OUTPUT: bool;

    // Values.

    fn any(values: Self::Values) -> AnyValues;
    /// # Panics
    ///
    /// If the values are elsewhere: an operation looks first.
    fn of(values: &AnyValues) -> &Self::Values;
    /// # Panics
    ///
    /// As [`of`](Self::of).
    fn owned(values: AnyValues) -> Self::Values;
    /// Single-precision values.
    fn upload(self, values: Vec<f32>) -> Computed<Self::Values>;
    fn to_host(self, values: &Self::Values) -> Computed<Vec<f32>>;
    /// The same values in another precision.
    fn cast(self, values: Self::Values, precision: Precision) -> Computed<Self::Values>;
    /// The gradient of values that are kept in `precision`, in what their backward pass computes with.
    fn gradient_for(self, gradient: Self::Values, precision: Precision) -> Computed<Self::Values>;
    fn duplicate(self, values: &Self::Values) -> Computed<Self::Values>;
    /// `sum += other`, value by value.
    fn add(self, sum: &mut Self::Values, other: &Self::Values) -> Computed<()>;

    // dfdx's tensors.

    /// The values of a matrix, row after row, whatever its strides.
    fn of_matrix(self, matrix: &Matrix) -> Computed<Self::Values>;
    /// A matrix `(N, D)` of these single-precision values.
    fn matrix(self, device: &Device, shape: (usize, usize), values: Self::Values) -> Computed<Matrix>;
    fn of_scalar(self, scalar: &Tensor<(), f32, Device>) -> Computed<Self::Values>;
    fn scalar(self, device: &Device, value: Self::Values) -> Computed<Tensor<(), f32, Device>>;
    /// Moves a gradient of dfdx's out, and leaves next to nothing behind; `None` if it was taken before.
    fn take_stored(self, stored: &mut Stored) -> Computed<Option<Self::Values>>;
    /// Adds to a gradient of dfdx's, of the same length.
    fn add_stored(self, stored: &mut Stored, gradient: &Self::Values) -> Computed<()>;

    // Feature maps.

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

    // Convolution. Weights are `(KH, KW, I, O)`.

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

    /// In training, the running statistics of `norm` move.
    fn normalize(
        self,
        spec: NormSpec,
        norm: &mut BatchNorm,
        x: &Self::Values,
        sums: Option<&Self::Sums>,
        residual: Option<&Self::Values>,
    ) -> Computed<(Self::Values, Self::Norm)>;
    /// `output` is there where there was ReLU and the gradient is masked by it.
    fn normalize_backward(
        self,
        spec: NormSpec,
        kept: &Self::Norm,
        x: &Self::Values,
        output: Option<&Self::Values>,
        gradient: Self::Values,
        wanted: NormWanted<Self::Values>,
    ) -> Computed<NormGradients<Self::Values>>;

    // Pools.

    fn max_pool(self, window: Window, x: &Self::Values) -> Computed<(Self::Values, Self::Taps)>;
    fn max_pool_gradient(
        self,
        window: Window,
        taps: &Self::Taps,
        gradient: &Self::Values,
        before: Option<Self::Values>,
    ) -> Computed<Self::Values>;
    fn average_pool(self, window: Window, x: &Self::Values) -> Computed<Self::Values>;
    fn average_pool_gradient(
        self,
        window: Window,
        gradient: &Self::Values,
        before: Option<Self::Values>,
    ) -> Computed<Self::Values>;
    /// `(N, C)`, in single precision.
    fn global_pool(self, from: Layout, x: &Self::Values) -> Computed<Self::Values>;
    /// `precision` is that of the map.
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

    // Rows.

    /// The sum of all rows of `width` values, in single precision.
    fn sum_rows(self, values: &Self::Values, width: usize) -> Computed<Self::Values>;
    /// Row `i` of the result is row `order[i]`, of `width` values.
    fn gather_rows(self, values: &Self::Values, width: usize, order: &[usize]) -> Computed<Self::Values>;
    /// One after the other, in single precision.
    fn concat(self, parts: &[Self::Values]) -> Computed<Self::Values>;
    /// Adds `row` to every row; in place where no other handle is left.
    fn add_row(self, x: Arc<AnyValues>, row: &Resident) -> Computed<Self::Values>;
    /// Each row of `width` values divided by its length, and the lengths.
    fn unit_rows(self, x: Self::Values, width: usize) -> Computed<(Self::Values, Self::Values)>;
    fn unit_rows_backward(
        self,
        gradient: Self::Values,
        output: &Self::Values,
        lengths: &Self::Values,
        width: usize,
    ) -> Computed<Self::Values>;
    /// Writes rows to a buffer from value number `first` on, going on at the start.
    fn write_around(self, to: &mut Resident, rows: &Self::Values, first: usize) -> Computed<()>;

    // Linear layers. Weights are `(in, out)`.

    fn linear(
        self,
        spec: LinearSpec,
        x: &Self::Values,
        weight: &Resident,
        bias: Option<&Resident>,
        tail: Tail<'_, Self::Values>,
    ) -> Computed<(Self::Values, Option<Self::Gelu>)>;
    /// `x` is there where the gradient of the weights is wanted.
    fn linear_backward(
        self,
        spec: LinearSpec,
        weight: &Resident,
        x: Option<&Self::Values>,
        gelu: Option<Self::Gelu>,
        gradient: Self::Values,
        wanted: LinearWanted<Self::Values>,
    ) -> Computed<LinearGradients<Self::Values>>;

    // Tokens, `(N, T, D)`.

    fn attention(
        self,
        spec: AttentionSpec,
        qkv: Arc<AnyValues>,
        is_kept: bool,
    ) -> Computed<(Self::Values, Option<Self::Attention>)>;
    fn attention_backward(
        self,
        spec: AttentionSpec,
        kept: Self::Attention,
        gradient: Self::Values,
    ) -> Computed<Self::Values>;
    fn layer_norm(
        self,
        x: &Self::Values,
        scale: &Resident,
        shift: &Resident,
        eps: f32,
        is_kept: bool,
    ) -> Computed<(Self::Values, Option<Self::LayerNorm>)>;
    fn layer_norm_backward(
        self,
        kept: &Self::LayerNorm,
        x: &Self::Values,
        scale: &Resident,
        eps: f32,
        gradient: Self::Values,
        wanted: LayerNormWanted<Self::Values>,
    ) -> Computed<LayerNormGradients<Self::Values>>;
    /// `(N, T + 1, D)`.
    fn prepend(self, x: &Self::Values, token: &Resident, shape: [usize; 3]) -> Computed<Self::Values>;
    /// `count` tokens from `first` on, `(N, count, D)`.
    fn take_tokens(
        self,
        x: &Self::Values,
        shape: [usize; 3],
        first: usize,
        count: usize,
    ) -> Computed<Self::Values>;
    /// The mean of `count` tokens from `first` on, `(N, D)`, in single precision.
    fn mean_tokens(
        self,
        x: &Self::Values,
        shape: [usize; 3],
        first: usize,
        count: usize,
    ) -> Computed<Self::Values>;
    /// The gradient of the input of [`mean_tokens`](Self::mean_tokens), and, of one token, of
    /// [`take_tokens`](Self::take_tokens); `precision` is that of the input.
    fn spread_tokens(
        self,
        gradient: &Self::Values,
        shape: [usize; 3],
        first: usize,
        count: usize,
        precision: Precision,
    ) -> Computed<Self::Values>;

    // Losses, of single-precision values.

    fn contrast(
        self,
        queries: (&Self::Values, usize),
        candidates: Candidates<'_, Self::Values>,
        spec: ContrastSpec,
    ) -> Computed<Contrast<Self::Values>>;
    /// The sum of all products, one value.
    fn dot(self, a: &Self::Values, b: &Self::Values) -> Computed<Self::Values>;
    fn scaled(self, values: &Self::Values, factor: f32) -> Computed<Self::Values>;
    /// Times a value that stays where it is.
    fn scaled_by(self, values: &Self::Values, factor: &Self::Values) -> Computed<Self::Values>;
}

/// A convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvSpec {
    pub(crate) algorithm: ConvAlgorithm,
    pub(crate) geometry: ConvGeometry,
    pub(crate) precision: Precision,
    pub(crate) from: Layout,
    pub(crate) to: Layout,
}

/// A batch normalization.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormSpec {
    pub(crate) layout: Layout,
    /// Groups that are normalized apart.
    pub(crate) splits: usize,
    pub(crate) mode: Mode,
    /// Whether ReLU follows, behind the sum with a residual if there is one.
    pub(crate) with_relu: bool,
}

/// What is computed of a batch norm's gradients beside those of scale and shift.
#[derive(Debug)]
pub(crate) struct NormWanted<V> {
    pub(crate) x: bool,
    /// What has reached `x` before.
    pub(crate) before: Option<V>,
    /// The gradient behind the mask of ReLU: that of the residual.
    pub(crate) masked: bool,
}

/// The gradients of a batch norm.
#[derive(Debug)]
pub(crate) struct NormGradients<V> {
    pub(crate) scale: V,
    pub(crate) shift: V,
    pub(crate) masked: Option<V>,
    pub(crate) x: Option<V>,
}

/// A pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) geometry: ConvGeometry,
    pub(crate) from: Layout,
    pub(crate) to: Layout,
}

/// A linear layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinearSpec {
    #[cfg_attr(
        not(feature = "cuda"),
        expect(dead_code, reason = "the host sees it by the number of values")
    )]
    pub(crate) n_rows: usize,
    pub(crate) n_in: usize,
    pub(crate) n_out: usize,
    pub(crate) precision: Precision,
    /// Whether rows are features, one an image, in single precision: few of them, with nothing behind the product.
    pub(crate) is_of_features: bool,
}

/// What follows a linear layer's product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tail<'a, V> {
    Nothing,
    /// GELU; kept for a backward pass or not.
    Gelu {
        is_kept: bool,
    },
    /// The sum with a residual.
    Add(&'a V),
}

/// What is computed of a linear layer's gradients.
#[derive(Debug)]
pub(crate) struct LinearWanted<V> {
    pub(crate) x: bool,
    pub(crate) x_before: Option<V>,
    pub(crate) weight: bool,
    pub(crate) weight_before: Option<V>,
    pub(crate) bias: bool,
    /// The gradient that came, which is that of the residual.
    pub(crate) residual: bool,
}

/// The gradients of a linear layer.
#[derive(Debug)]
pub(crate) struct LinearGradients<V> {
    pub(crate) x: Option<V>,
    pub(crate) weight: Option<V>,
    pub(crate) bias: Option<V>,
    pub(crate) residual: Option<V>,
}

/// An attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionSpec {
    /// Images.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(dead_code, reason = "the host sees it by the number of values")
    )]
    pub(crate) n: usize,
    /// Tokens.
    pub(crate) t: usize,
    pub(crate) heads: usize,
    /// Features of a head.
    pub(crate) dh: usize,
}

/// What is computed of a layer norm's gradients.
#[derive(Debug)]
pub(crate) struct LayerNormWanted<V> {
    pub(crate) x: bool,
    pub(crate) before: Option<V>,
    pub(crate) scale: bool,
    pub(crate) shift: bool,
}

/// The gradients of a layer norm.
#[derive(Debug)]
pub(crate) struct LayerNormGradients<V> {
    pub(crate) x: Option<V>,
    pub(crate) scale: Option<V>,
    pub(crate) shift: Option<V>,
}

/// What queries are told apart from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Candidates<'a, V> {
    /// Negatives, and a positive of its own for each query.
    Queue { positives: &'a V, queue: &'a Resident },
    /// Keys, of which number `first` is the positive of the first query, and so on.
    Keys { keys: &'a V, first: usize },
}

/// What is asked of a contrastive loss.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContrastSpec {
    pub(crate) temperature: f32,
    /// What the mean key under the softmax, less the positive, is multiplied by; `None`: no gradient.
    pub(crate) gradient_factor: Option<f64>,
    pub(crate) keeps_logits: bool,
}

/// What comes of a comparison.
#[derive(Debug)]
pub(crate) struct Contrast<V> {
    /// The mean over the queries, in nats.
    pub(crate) cross_entropy: f64,
    /// Queries that are nearest to their own key.
    pub(crate) n_right: usize,
    /// `(N, C)`.
    pub(crate) gradient: Option<V>,
    /// Against a queue `(N, 1 + K)`, the positive first; in a batch `(N, M)`.
    pub(crate) logits: Option<Vec<f32>>,
}

/// `on!(place, |backend| work)`: the work with the backend of a [`Place`](crate::values::Place).
macro_rules! on {
    ($place:expr, |$backend:ident| $work:expr) => {
        match $place {
            $crate::values::Place::Host => {
                let $backend = $crate::backend::Host::detected();
                $work
            }
            #[cfg(feature = "cuda")]
            $crate::values::Place::Cuda => {
                let $backend = $crate::backend::Cuda;
                $work
            }
        }
    };
}
pub(crate) use on;
