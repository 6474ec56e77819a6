//! The host, by the kernels of `kernels-cpu`.

use std::sync::Arc;

use dfdx::tensor::{AsArray as _, Tensor, TensorFromVec as _};
use kernels_cpu::{
    Family, Layout, Precision, Values,
    contrast::{Setting, against_queue, in_batch},
    conv::Convolution,
    matrix::{Packed, RowsProduct, Side, multiply, outer_products, scale},
    norm::{Affine, Backward, ChannelSums, Coefficients, Groups, Statistics, apply},
    pointwise, pool, rows,
    tokens::{
        attention::{self, Normalizer, Sizes},
        layer_norm::LayerNorm,
        rows as token_rows,
    },
    unit_rows,
};

use super::{
    AttentionSpec, Backend, Candidates, Computed, Contrast, ContrastSpec, ConvSpec, LayerNormGradients,
    LayerNormWanted, LinearGradients, LinearSpec, LinearWanted, NormGradients, NormSpec, NormWanted, Tail,
    Window,
};
use crate::{
    BatchNorm, Device, Matrix, Mode,
    device::{self, Stored},
    values::{AnyValues, Resident},
};

/// The host, with the instructions of a family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    family: Family,
}

impl Host {
    /// With the instructions that the process uses.
    pub(crate) fn detected() -> Self {
        Self { family: Family::detected() }
    }

    /// With those of a family.
    #[cfg(test)]
    pub(crate) fn of_family(family: Family) -> Self {
        Self { family }
    }

    fn convolution(self, spec: ConvSpec) -> Convolution {
        let ConvSpec { algorithm, geometry, precision, from, to } = spec;
        Convolution::new(self.family, algorithm, precision, geometry, from, to)
    }
}

/// What a batch norm keeps.
pub(crate) struct KeptNorm {
    statistics: Statistics,
    coefficients: Coefficients,
}

/// What an attention keeps.
pub(crate) struct KeptAttention {
    qkv: Arc<AnyValues>,
    normalizers: Vec<Normalizer>,
}

impl Backend for Host {
    type Values = Values;
    type Sums = Vec<ChannelSums>;
    type Norm = KeptNorm;
    /// Which tap of the window was the largest.
    type Taps = Vec<u8>;
    /// The slope of each: the values before would take as much room, and their slopes another exponential.
    type Gelu = Values;
    type Attention = KeptAttention;
    type LayerNorm = ();

    const MASKS_BY_OUTPUT: bool = false;

    fn any(values: Values) -> AnyValues {
        AnyValues::Host(values)
    }

    fn of(values: &AnyValues) -> &Values {
        match values {
            AnyValues::Host(values) => values,
            #[cfg(feature = "cuda")]
            AnyValues::Cuda(_) => panic!("operations look where the values are before they come here"),
        }
    }

    fn owned(values: AnyValues) -> Values {
        match values {
            AnyValues::Host(values) => values,
            #[cfg(feature = "cuda")]
            AnyValues::Cuda(_) => panic!("operations look where the values are before they come here"),
        }
    }

    fn upload(self, values: Vec<f32>) -> Computed<Values> {
        Ok(Values::F32(values))
    }

    fn to_host(self, values: &Values) -> Computed<Vec<f32>> {
        Ok(values.whole().into_owned())
    }

    fn cast(self, values: Values, precision: Precision) -> Computed<Values> {
        Ok(values.with_precision(precision))
    }

    fn gradient_for(self, gradient: Values, precision: Precision) -> Computed<Values> {
        self.cast(gradient, precision)
    }

    fn duplicate(self, values: &Values) -> Computed<Values> {
        Ok(values.clone())
    }

    fn add(self, sum: &mut Values, other: &Values) -> Computed<()> {
        sum.add(other);
        Ok(())
    }

    fn of_matrix(self, matrix: &Matrix) -> Computed<Values> {
        Ok(Values::F32(device::rows(matrix)))
    }

    fn matrix(self, device: &Device, shape: (usize, usize), values: Values) -> Computed<Matrix> {
        device.try_tensor_from_vec(values.into_whole(), shape)
    }

    fn of_scalar(self, scalar: &Tensor<(), f32, Device>) -> Computed<Values> {
        Ok(Values::F32(vec![scalar.array()]))
    }

    fn scalar(self, device: &Device, value: Values) -> Computed<Tensor<(), f32, Device>> {
        device.try_tensor_from_vec(value.into_whole(), ())
    }

    fn take_stored(self, stored: &mut Stored) -> Computed<Option<Values>> {
        let gradient = device::take(stored)?;
        Ok((!gradient.is_empty()).then_some(Values::F32(gradient)))
    }

    fn add_stored(self, stored: &mut Stored, gradient: &Values) -> Computed<()> {
        let mut sum = device::take(stored)?;
        pointwise::add_to(self.family, &mut sum, &gradient.whole());
        device::put(stored, sum)
    }

    fn pack(self, layout: Layout, nhwc: &[f32]) -> Computed<Values> {
        Ok(Values::F32(layout.pack(nhwc)))
    }

    fn unpack(self, layout: Layout, values: &Values) -> Computed<Vec<f32>> {
        Ok(layout.unpack(&values.whole()))
    }

    fn select_images(self, from: Layout, values: &Values, order: &[usize]) -> Computed<Values> {
        let to = Layout { n: order.len(), ..from };
        let selected = Values::F32(to.gather_images(from, &values.whole(), order));
        Ok(selected.with_precision(values.precision()))
    }

    fn tokens_of_map(self, layout: Layout, values: &Arc<AnyValues>) -> Computed<Arc<AnyValues>> {
        let values = Self::of(values);
        let tokens = Values::new(layout.unpack(&values.whole()), values.precision());
        Ok(Arc::new(Self::any(tokens)))
    }

    fn map_of_tokens(self, layout: Layout, gradient: Values, precision: Precision) -> Computed<Values> {
        Ok(Values::new(layout.pack(&gradient.whole()), precision))
    }

    fn convolve(
        self,
        spec: ConvSpec,
        x: &Values,
        weight: &Resident,
        bias: Option<&Resident>,
        is_summed: bool,
    ) -> Computed<(Values, Option<Vec<ChannelSums>>)> {
        let y = self.convolution(spec).forward(weight, x, bias.map(|bias| &**bias), is_summed);
        Ok((y.values, y.sums))
    }

    fn convolve_data(
        self,
        spec: ConvSpec,
        gradient: &Values,
        weight: &Resident,
        before: Option<Values>,
    ) -> Computed<Values> {
        Ok(self.convolution(spec).data_gradient(weight, gradient, before))
    }

    fn convolve_weights(
        self,
        spec: ConvSpec,
        x: &Values,
        gradient: &Values,
        before: Option<Values>,
    ) -> Computed<Values> {
        let own = Values::F32(self.convolution(spec).weight_gradient(x, gradient));
        Ok(onto(before, own))
    }

    fn normalize(
        self,
        spec: NormSpec,
        norm: &mut BatchNorm,
        x: &Values,
        sums: Option<&Vec<ChannelSums>>,
        residual: Option<&Values>,
    ) -> Computed<(Values, KeptNorm)> {
        let groups = spec.groups();
        let statistics = match (spec.mode, sums) {
            (Mode::Eval, _) => Statistics::running(&norm.running_mean.values, &norm.running_var.values),
            (Mode::Train, Some(sums)) if groups.splits == 1 => Statistics::of_sums(sums, groups),
            (Mode::Train, _) => Statistics::of(self.family, x, groups),
        };
        if spec.mode == Mode::Train {
            let (mean, var) = statistics.for_running(groups);
            norm.move_running(&mean, &var);
        }
        let vector = |parameter: &'_ Option<crate::Parameter>| parameter.as_ref().map(|p| p.share());
        let (scale, shift) = (vector(&norm.scale), vector(&norm.shift));
        let affine = Affine {
            scale: scale.as_ref().map(crate::Parameter::values),
            shift: shift.as_ref().map(crate::Parameter::values),
            eps: norm.eps,
        };
        let coefficients = Coefficients::new(&statistics, affine);
        let y = apply(self.family, groups, &coefficients, x, residual, spec.tail());
        Ok((y, KeptNorm { statistics, coefficients }))
    }

    fn normalize_backward(
        self,
        spec: NormSpec,
        kept: &KeptNorm,
        x: &Values,
        output: Option<&Values>,
        gradient: Values,
        wanted: NormWanted<Values>,
    ) -> Computed<NormGradients<Values>> {
        let backward = Backward {
            family: self.family,
            groups: spec.groups(),
            x,
            tail: spec.tail(),
            output,
            statistics: &kept.statistics,
            coefficients: &kept.coefficients,
            is_of_batch: spec.mode == Mode::Train,
        };
        let result = backward.run(gradient, wanted.x, wanted.masked);
        Ok(NormGradients {
            scale: Values::F32(result.scale),
            shift: Values::F32(result.shift),
            masked: result.masked,
            x: result.x.map(|x| onto(wanted.before, x)),
        })
    }

    fn max_pool(self, window: Window, x: &Values) -> Computed<(Values, Vec<u8>)> {
        Ok(pool::largest(self.family, window.geometry, window.from, window.to, x))
    }

    fn max_pool_gradient(
        self,
        window: Window,
        taps: &Vec<u8>,
        gradient: &Values,
        before: Option<Values>,
    ) -> Computed<Values> {
        let Window { geometry, from, to } = window;
        Ok(onto(before, pool::largest_gradient(self.family, geometry, from, to, taps, gradient)))
    }

    fn average_pool(self, window: Window, x: &Values) -> Computed<Values> {
        Ok(pool::average(self.family, window.geometry, window.from, window.to, x))
    }

    fn average_pool_gradient(
        self,
        window: Window,
        gradient: &Values,
        before: Option<Values>,
    ) -> Computed<Values> {
        let Window { geometry, from, to } = window;
        Ok(onto(before, pool::average_gradient(self.family, geometry, from, to, gradient)))
    }

    fn global_pool(self, from: Layout, x: &Values) -> Computed<Values> {
        Ok(Values::F32(pool::global_average(self.family, from, x)))
    }

    fn global_pool_gradient(
        self,
        from: Layout,
        gradient: &Values,
        precision: Precision,
        before: Option<Values>,
    ) -> Computed<Values> {
        let own = pool::global_average_gradient(self.family, from, &gradient.whole(), precision);
        Ok(onto(before, own))
    }

    fn relu(self, x: &Values) -> Computed<Values> {
        Ok(pointwise::relu(self.family, x))
    }

    fn sum(self, a: &Values, b: &Values, is_rectified: bool) -> Computed<Values> {
        Ok(pointwise::sum(self.family, a, b, is_rectified))
    }

    fn mask(self, gradient: Values, output: &Values) -> Computed<Values> {
        Ok(pointwise::masked(self.family, gradient, output))
    }

    fn sum_rows(self, values: &Values, width: usize) -> Computed<Values> {
        Ok(Values::F32(rows::sum(values.lend(), width)))
    }

    fn gather_rows(self, values: &Values, width: usize, order: &[usize]) -> Computed<Values> {
        let values = values.whole();
        Ok(Values::F32(order.iter().flat_map(|&row| &values[row * width..][..width]).copied().collect()))
    }

    fn concat(self, parts: &[Values]) -> Computed<Values> {
        Ok(Values::F32(parts.iter().map(Values::whole).collect::<Vec<_>>().concat()))
    }

    fn add_row(self, x: Arc<AnyValues>, row: &Resident) -> Computed<Values> {
        let mut values = match Arc::try_unwrap(x) {
            Ok(values) => Self::owned(values),
            Err(shared) => Self::of(&shared).clone(),
        };
        rows::add(&mut values, row);
        Ok(values)
    }

    fn unit_rows(self, x: Values, width: usize) -> Computed<(Values, Values)> {
        let mut values = x.into_whole();
        let lengths = unit_rows::normalize(self.family, &mut values, width);
        Ok((Values::F32(values), Values::F32(lengths)))
    }

    fn unit_rows_backward(
        self,
        gradient: Values,
        output: &Values,
        lengths: &Values,
        _: usize,
    ) -> Computed<Values> {
        let mut gradient = gradient.into_whole();
        unit_rows::backward(self.family, &mut gradient, &output.whole(), &lengths.whole());
        Ok(Values::F32(gradient))
    }

    fn write_around(self, to: &mut Resident, rows: &Values, first: usize) -> Computed<()> {
        let (rows, values) = (rows.whole(), to.host_mut());
        let (before, after) = rows.split_at(rows.len().min(values.len() - first));
        values[first..][..before.len()].copy_from_slice(before);
        values[..after.len()].copy_from_slice(after);
        Ok(())
    }

    fn linear(
        self,
        spec: LinearSpec,
        x: &Values,
        weight: &Resident,
        bias: Option<&Resident>,
        tail: Tail<'_, Values>,
    ) -> Computed<(Values, Option<Values>)> {
        let LinearSpec { n_in, n_out, precision, .. } = spec;
        let bias = bias.map(|bias| &**bias);
        let side = Side::plain(weight, n_in, n_out);
        if spec.is_of_features {
            let mut y = multiply(self.family, &x.whole(), side);
            if let Some(bias) = bias {
                rows::add_to_rows(&mut y, bias);
            }
            return Ok((Values::F32(y), None));
        }
        let packed = Packed::new(self.family, side, precision);
        let mut product = RowsProduct { packed: &packed, bias, residual: None };
        Ok(match tail {
            Tail::Nothing => (product.multiply(x.lend(), precision), None),
            Tail::Gelu { is_kept: true } => {
                let (y, slopes) = product.multiply_gelu(x.lend(), precision);
                (y, Some(slopes))
            }
            Tail::Gelu { is_kept: false } => (product.multiply_gelu_only(x.lend(), precision), None),
            Tail::Add(residual) => {
                product.residual = Some(residual.lend());
                (product.multiply(x.lend(), precision), None)
            }
        })
    }

    fn linear_backward(
        self,
        spec: LinearSpec,
        weight: &Resident,
        x: Option<&Values>,
        gelu: Option<Values>,
        gradient: Values,
        wanted: LinearWanted<Values>,
    ) -> Computed<LinearGradients<Values>> {
        let LinearSpec { n_in, n_out, precision, .. } = spec;
        let mut gradient = gradient.into_whole();
        let mut slopes = gelu;
        let side = Side::transposed(weight, n_in, n_out);
        let by_x = wanted.x.then(|| {
            if spec.is_of_features {
                return onto(wanted.x_before, Values::F32(multiply(self.family, &gradient, side)));
            }
            let packed = Packed::new(self.family, side, precision);
            let product = RowsProduct::plain(&packed);
            match (slopes.take(), wanted.x_before) {
                (Some(slopes), None) => Values::F32(product.multiply_scaled(&mut gradient, slopes.lend())),
                (None, None) => product.multiply(kernels_cpu::Lent::F32(&gradient), Precision::F32),
                (slopes, Some(mut sum)) => {
                    if let Some(slopes) = slopes {
                        scale(self.family, &mut gradient, &slopes.whole());
                    }
                    product.add_to(kernels_cpu::Lent::F32(&gradient), &mut sum);
                    sum
                }
            }
        });
        if let Some(slopes) = slopes {
            scale(self.family, &mut gradient, &slopes.whole());
        }
        let (mut by_weight, mut by_bias) = (None, None);
        match x {
            Some(x) if wanted.weight => {
                let by_y = (kernels_cpu::Lent::F32(&gradient), n_out);
                let sums = outer_products(self.family, (x.lend(), n_in), by_y, wanted.bias);
                by_weight = Some(onto(wanted.weight_before, Values::F32(sums.weight)));
                by_bias = wanted.bias.then_some(Values::F32(sums.bias));
            }
            _ if wanted.bias => by_bias = Some(Values::F32(rows::sum_rows(&gradient, n_out))),
            _ => {}
        }
        let residual = wanted.residual.then_some(Values::F32(gradient));
        Ok(LinearGradients { x: by_x, weight: by_weight, bias: by_bias, residual })
    }

    fn attention(
        self,
        spec: AttentionSpec,
        qkv: Arc<AnyValues>,
        is_kept: bool,
    ) -> Computed<(Values, Option<KeptAttention>)> {
        let (y, normalizers) = attention::forward(self.family, spec.sizes(), Self::of(&qkv));
        Ok((y, is_kept.then_some(KeptAttention { qkv, normalizers })))
    }

    fn attention_backward(
        self,
        spec: AttentionSpec,
        kept: KeptAttention,
        gradient: Values,
    ) -> Computed<Values> {
        let KeptAttention { qkv, normalizers } = kept;
        let gradient = gradient.into_whole();
        let qkv = Self::of(&qkv);
        Ok(Values::F32(attention::backward(self.family, spec.sizes(), qkv, &normalizers, &gradient)))
    }

    fn layer_norm(
        self,
        x: &Values,
        scale: &Resident,
        shift: &Resident,
        eps: f32,
        is_kept: bool,
    ) -> Computed<(Values, Option<()>)> {
        Ok((LayerNorm { scale, eps }.forward(self.family, x, shift), is_kept.then_some(())))
    }

    fn layer_norm_backward(
        self,
        (): &(),
        x: &Values,
        scale: &Resident,
        eps: f32,
        gradient: Values,
        wanted: LayerNormWanted<Values>,
    ) -> Computed<LayerNormGradients<Values>> {
        let before = wanted.before.map(Values::into_whole);
        let result = LayerNorm { scale, eps }.backward(self.family, x, gradient.into_whole(), before);
        Ok(LayerNormGradients {
            x: wanted.x.then_some(Values::F32(result.x)),
            scale: wanted.scale.then_some(Values::F32(result.scale)),
            shift: wanted.shift.then_some(Values::F32(result.shift)),
        })
    }

    fn prepend(self, x: &Values, token: &Resident, shape: [usize; 3]) -> Computed<Values> {
        Ok(token_rows::prepend(x, token, shape))
    }

    fn take_tokens(self, x: &Values, shape: [usize; 3], first: usize, count: usize) -> Computed<Values> {
        Ok(token_rows::take(x, shape, first, count))
    }

    fn mean_tokens(self, x: &Values, shape: [usize; 3], first: usize, count: usize) -> Computed<Values> {
        Ok(Values::F32(token_rows::mean(x, shape, first, count)))
    }

    fn spread_tokens(
        self,
        gradient: &Values,
        shape: [usize; 3],
        first: usize,
        count: usize,
        _: Precision,
    ) -> Computed<Values> {
        Ok(token_rows::spread_mean(&gradient.whole(), shape, first, count, Precision::F32))
    }

    fn contrast(
        self,
        (queries, c): (&Values, usize),
        candidates: Candidates<'_, Values>,
        spec: ContrastSpec,
    ) -> Computed<Contrast<Values>> {
        let ContrastSpec { temperature, gradient_factor, keeps_logits } = spec;
        let setting = Setting { temperature, wants_gradient: gradient_factor.is_some(), keeps_logits };
        let queries = &*queries.whole();
        let result = match candidates {
            Candidates::Queue { positives, queue } => {
                against_queue(self.family, (queries, c), &positives.whole(), queue, setting)
            }
            Candidates::Keys { keys, first } => {
                in_batch(self.family, (queries, c), &keys.whole(), first, setting)
            }
        };
        let gradient = gradient_factor.map(|factor| {
            Values::F32(result.directions.iter().map(|value| (value * factor) as f32).collect())
        });
        let (cross_entropy, n_right) = (result.cross_entropy, result.n_right);
        Ok(Contrast { cross_entropy, n_right, gradient, logits: result.logits })
    }

    fn dot(self, a: &Values, b: &Values) -> Computed<Values> {
        let products = |(&a, &b): (&f32, &f32)| f64::from(a) * f64::from(b);
        let sum: f64 = a.whole().iter().zip(&*b.whole()).map(products).sum();
        Ok(Values::F32(vec![sum as f32]))
    }

    fn scaled(self, values: &Values, factor: f32) -> Computed<Values> {
        Ok(Values::F32(values.whole().iter().map(|value| value * factor).collect()))
    }

    fn scaled_by(self, values: &Values, factor: &Values) -> Computed<Values> {
        self.scaled(values, factor.whole()[0])
    }
}

/// What was there with something added, or that.
fn onto(before: Option<Values>, values: Values) -> Values {
    let Some(mut sum) = before else { return values };
    sum.add(&values);
    sum
}

impl NormSpec {
    fn groups(self) -> Groups {
        Groups { layout: self.layout, splits: self.splits }
    }

    fn tail(self) -> kernels_cpu::norm::Tail {
        use kernels_cpu::norm::Tail;
        if self.with_relu { Tail::Relu } else { Tail::Plain }
    }
}

impl AttentionSpec {
    fn sizes(self) -> Sizes {
        Sizes { t: self.t, heads: self.heads, dh: self.dh }
    }
}
