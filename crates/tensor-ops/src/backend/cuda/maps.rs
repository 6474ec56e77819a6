//! Feature maps.

use std::sync::Arc;

use kernels_cpu::{
    Layout, Precision,
    norm::{GradientSums, Statistics},
};
use kernels_cuda::{Array, Memory, norm, pointwise, pool};

use super::{Cuda, OnDevice as _, sizes};
use crate::{
    BatchNorm,
    backend::{
        Computed, ConvSpec, Maps, NormGradients, NormMoments, NormSpec, NormWanted, Rows as _, Storage as _,
        Window,
    },
    values::{AnyValues, Resident},
};

impl Maps for Cuda {
    type Sums = std::convert::Infallible;
    type Norm = norm::Coefficients;
    /// Which tap of the window was the largest.
    type Taps = Memory<u8>;

    fn pack(self, _: Layout, nhwc: &[f32]) -> Computed<Array> {
        kernels_cuda::upload_image_batch(nhwc).map(Array::F32).computed()
    }

    fn unpack(self, _: Layout, values: &Array) -> Computed<Vec<f32>> {
        self.to_host(values)
    }

    fn select_images(self, from: Layout, values: &Array, order: &[usize]) -> Computed<Array> {
        self.gather_rows(values, from.h * from.w * from.c, order)
    }

    fn tokens_of_map(self, _: Layout, values: &Arc<AnyValues>) -> Computed<Arc<AnyValues>> {
        Ok(Arc::clone(values))
    }

    fn map_of_tokens(self, _: Layout, gradient: Array, precision: Precision) -> Computed<Array> {
        self.cast(gradient, precision)
    }

    fn convolve(
        self,
        spec: ConvSpec,
        x: &Array,
        weight: &Resident,
        bias: Option<&Resident>,
        _: bool,
    ) -> Computed<(Array, Option<Self::Sums>)> {
        let bias = bias.map(Resident::on_device).transpose()?;
        Ok((spec.convolution().forward(x, weight.as_weight()?, bias).computed()?, None))
    }

    fn convolve_data(
        self,
        spec: ConvSpec,
        gradient: &Array,
        weight: &Resident,
        before: Option<Array>,
    ) -> Computed<Array> {
        let weight = weight.as_weight()?;
        spec.convolution().data_gradient(gradient, weight, spec.precision, before).computed()
    }

    fn convolve_weights(
        self,
        spec: ConvSpec,
        x: &Array,
        gradient: &Array,
        before: Option<Array>,
    ) -> Computed<Array> {
        spec.convolution().weight_gradient(x, gradient, before).computed()
    }

    fn statistics(self, spec: NormSpec, x: &Array, _: Option<&Self::Sums>) -> Computed<Statistics> {
        let over = spec.over();
        let [sum, squares] = norm::Moments::of(over, x).and_then(|moments| moments.fetch()).computed()?;
        let n = over.n_values();
        let mean: Vec<f64> = sum.iter().map(|sum| sum / n).collect();
        let var = squares.iter().zip(&mean).map(|(squares, mean)| (squares / n - mean * mean).max(0.0));
        Ok(Statistics { var: var.collect(), mean, n_values: Some(n) })
    }

    fn normalize(
        self,
        spec: NormSpec,
        norm: &mut BatchNorm,
        x: &Array,
        moments: NormMoments<'_, Self::Sums>,
        residual: Option<&Array>,
    ) -> Computed<(Array, norm::Coefficients)> {
        let given = match &moments {
            NormMoments::Own(_) => None,
            NormMoments::Given(statistics) => Some(statistics),
        };
        let coefficients = sizes::coefficients(spec, norm, x, given)?;
        let y = norm::normalize(spec.over(), &coefficients, x, residual, spec.with_relu).computed()?;
        Ok((y, coefficients))
    }

    fn normalize_backward(
        self,
        spec: NormSpec,
        kept: &norm::Coefficients,
        x: &Array,
        output: Option<&Array>,
        gradient: Array,
        NormWanted { x: wants_x, before, masked, of_all }: NormWanted<'_, Array>,
    ) -> Computed<NormGradients<Array>> {
        let mask = match output {
            Some(output) => norm::Mask::Output(output),
            None if spec.with_relu => norm::Mask::Input,
            None => norm::Mask::Nothing,
        };
        let wanted = norm::Wanted { x: wants_x, before, masked };
        let mut backward = norm::Backward::new(spec.over(), kept, x, mask, gradient).computed()?;
        if let (Some(of_all), true) = (of_all, wants_x) {
            let [plain, with_distance] = backward.sums().computed()?;
            let GradientSums { plain, with_distance } = of_all(GradientSums { plain, with_distance })?;
            backward.set_sums_of_all([plain, with_distance]).computed()?;
        }
        let norm::Gradients { scale, shift, masked, x } = backward.finish(wanted).computed()?;
        Ok(NormGradients { scale, shift, masked, x })
    }

    fn max_pool(self, window: Window, x: &Array) -> Computed<(Array, Memory<u8>)> {
        pool::largest(window.on_device(), x).computed()
    }

    fn max_pool_gradient(
        self,
        window: Window,
        taps: &Memory<u8>,
        gradient: &Array,
        before: Option<Array>,
    ) -> Computed<Array> {
        pool::largest_gradient(window.on_device(), taps, gradient, before).computed()
    }

    fn average_pool(self, window: Window, x: &Array) -> Computed<Array> {
        pool::average(window.on_device(), x).computed()
    }

    fn average_pool_gradient(
        self,
        window: Window,
        gradient: &Array,
        before: Option<Array>,
    ) -> Computed<Array> {
        pool::average_gradient(window.on_device(), gradient, before).computed()
    }

    fn global_pool(self, from: Layout, x: &Array) -> Computed<Array> {
        pool::global(from, x).computed()
    }

    fn global_pool_gradient(
        self,
        from: Layout,
        gradient: &Array,
        precision: Precision,
        before: Option<Array>,
    ) -> Computed<Array> {
        pool::global_gradient(from, gradient, precision, before).computed()
    }

    fn relu(self, x: &Array) -> Computed<Array> {
        pointwise::relu(x).computed()
    }

    fn sum(self, a: &Array, b: &Array, is_rectified: bool) -> Computed<Array> {
        pointwise::sum(a, b, is_rectified).computed()
    }

    fn mask(self, gradient: Array, output: &Array) -> Computed<Array> {
        pointwise::mask(gradient, output).computed()
    }
}
