//! Feature maps, laid as [`Layout`] says.

use std::sync::Arc;

use kernels_cpu::{
    Layout, Precision, Values,
    conv::Convolution,
    norm::{Affine, Backward, ChannelSums, Coefficients, Groups, Statistics, Tail, Wanted, apply},
    pointwise, pool,
};

use super::{Host, onto};
use crate::{
    BatchNorm, Mode, Parameter,
    backend::{
        Computed, ConvSpec, Maps, NormGradients, NormMoments, NormSpec, NormWanted, Storage as _, Window,
    },
    values::{AnyValues, Resident},
};

/// What a batch norm keeps.
pub(crate) struct KeptNorm {
    statistics: Statistics,
    coefficients: Coefficients,
}

impl Host {
    fn convolution(self, spec: ConvSpec) -> Convolution {
        let ConvSpec { algorithm, geometry, groups, precision, from, to } = spec;
        Convolution::new(self.family, algorithm, precision, geometry, from, to).in_groups(groups)
    }
}

impl NormSpec {
    fn groups(self) -> Groups {
        Groups { layout: self.layout, splits: self.splits }
    }

    fn tail(self) -> Tail {
        if self.with_relu { Tail::Relu } else { Tail::Plain }
    }
}

impl Maps for Host {
    type Sums = Vec<ChannelSums>;
    type Norm = KeptNorm;
    /// Which tap of the window was the largest.
    type Taps = Vec<u8>;

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

    fn statistics(self, spec: NormSpec, x: &Values, sums: Option<&Vec<ChannelSums>>) -> Computed<Statistics> {
        let groups = spec.groups();
        Ok(match sums {
            Some(sums) if groups.splits == 1 => Statistics::of_sums(sums, groups),
            _ => Statistics::of(self.family, x, groups),
        })
    }

    fn normalize(
        self,
        spec: NormSpec,
        norm: &mut BatchNorm,
        x: &Values,
        moments: NormMoments<'_, Vec<ChannelSums>>,
        residual: Option<&Values>,
    ) -> Computed<(Values, KeptNorm)> {
        let groups = spec.groups();
        let statistics = match (spec.mode, moments) {
            (Mode::Eval, _) => Statistics::running(&norm.running_mean.values, &norm.running_var.values),
            (Mode::Train, NormMoments::Own(sums)) => self.statistics(spec, x, sums)?,
            (Mode::Train, NormMoments::Given(statistics)) => statistics,
        };
        if spec.mode == Mode::Train {
            let (mean, var) = statistics.for_running(groups);
            norm.move_running(&mean, &var);
        }
        let vector = |parameter: &'_ Option<Parameter>| parameter.as_ref().map(|p| p.share());
        let (scale, shift) = (vector(&norm.scale), vector(&norm.shift));
        let affine = Affine {
            scale: scale.as_ref().map(Parameter::values),
            shift: shift.as_ref().map(Parameter::values),
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
        wanted: NormWanted<'_, Values>,
    ) -> Computed<NormGradients<Values>> {
        let backward = Backward {
            family: self.family,
            groups: spec.groups(),
            x,
            tail: spec.tail(),
            output,
            statistics: &kept.statistics,
            coefficients: &kept.coefficients,
        };
        let asked = Wanted { x: wanted.x, masked: wanted.masked };
        let result = match wanted.of_all {
            None => backward.run(gradient, asked),
            Some(of_all) => backward.run_among(gradient, asked, of_all)?,
        };
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
}
