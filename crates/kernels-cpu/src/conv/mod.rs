//! Convolution, and its gradients.

mod algorithm;
mod gather;
mod pack;
mod pixelwise;
mod plan;
mod weights;
mod winograd;

pub use self::algorithm::ConvAlgorithm;
use self::{
    algorithm::Method,
    gather::Gather,
    pack::{pack_forward, pack_transposed},
    pixelwise::Pixelwise,
    plan::Plan,
    winograd::{Winograd, pairs::PairsWinograd},
};
use crate::{
    ConvGeometry, Layout, Precision,
    rows::add_to_rows,
    simd::Family,
    values::{Summed, Values},
};

/// One convolution (cross-correlation, as everywhere), from a map laid `from` to one laid `to`.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    family: Family,
    method: Method,
    geometry: ConvGeometry,
    from: Layout,
    to: Layout,
    precision: Precision,
}

impl Convolution {
    /// A convolution of values that are kept in `precision`. `to` must have the size that `geometry` gives for `from`.
    pub fn new(
        family: Family,
        algorithm: ConvAlgorithm,
        precision: Precision,
        geometry: ConvGeometry,
        from: Layout,
        to: Layout,
    ) -> Self {
        let method = algorithm.method(family, precision, geometry, (from.c, to.c));
        Self { family, method, geometry, from, to, precision }
    }

    /// `(N, H, W, I)` to `(N, OH, OW, O)` by `weight`, `(KH, KW, I, O)`; with the sums of each channel before `bias`, if
    /// they are asked for.
    pub fn forward(&self, weight: &[f32], x: &Values, bias: Option<&[f32]>, is_summed: bool) -> Summed {
        let Self { family, geometry, from, to, precision, .. } = *self;
        let pack = |precision| pack_forward(family, weight, from.c, to.c, precision);
        let mut summed = match self.method {
            Method::Winograd => {
                let packed = pack(Precision::F32);
                Winograd::forward(family, geometry, from, to, &packed.values)
                    .multiply(x, precision, is_summed)
            }
            Method::PairsWinograd => {
                let packed = pack(Precision::F32);
                PairsWinograd::forward(geometry, from, to, &packed).multiply(x, precision, is_summed)
            }
            Method::Pixelwise => self.pixelwise(weight).forward(x, is_summed),
            Method::Gather => {
                let (packed, plan) = (pack(precision), Plan::forward(geometry, from, to));
                Gather { plan: &plan, from, to, packed: &packed }.multiply(x, precision, is_summed)
            }
        };
        if let Some(bias) = bias {
            let mut sums = summed.values.into_whole();
            add_to_rows(&mut sums, bias);
            summed.values = Values::new(sums, precision);
        }
        summed
    }

    /// The gradient of the input, added to what was there `before`.
    pub fn data_gradient(&self, weight: &[f32], gradient: &Values, before: Option<Values>) -> Values {
        let Self { family, geometry, from, to, precision, .. } = *self;
        let pack = |precision| pack_transposed(family, weight, from.c, to.c, precision);
        match self.method {
            Method::Winograd => {
                let packed = pack(Precision::F32);
                let winograd = Winograd::backward(family, geometry, to, from, &packed.values);
                multiply_onto(
                    before,
                    |sum| winograd.add_to(gradient, sum),
                    || winograd.multiply(gradient, precision, false).values,
                )
            }
            Method::PairsWinograd => {
                let packed = pack(Precision::F32);
                let winograd = PairsWinograd::backward(geometry, to, from, &packed);
                multiply_onto(
                    before,
                    |sum| winograd.add_to(gradient, sum),
                    || winograd.multiply(gradient, precision, false).values,
                )
            }
            Method::Pixelwise => self.pixelwise(weight).backward(gradient, before),
            Method::Gather => {
                let (packed, plan) = (pack(precision), Plan::backward(geometry, from, to));
                let gather = Gather { plan: &plan, from: to, to: from, packed: &packed };
                multiply_onto(
                    before,
                    |sum| gather.add_to(gradient, sum),
                    || gather.multiply(gradient, precision, false).values,
                )
            }
        }
    }

    /// The gradient of the weights, `(KH, KW, I, O)`.
    pub fn weight_gradient(&self, x: &Values, gradient: &Values) -> Vec<f32> {
        let Self { family, geometry, from, to, .. } = *self;
        match self.method {
            Method::Winograd => winograd::gradient(family, geometry, from, &x.whole(), to, &gradient.whole()),
            Method::PairsWinograd => winograd::pairs::gradient(family, geometry, from, x, to, gradient),
            Method::Pixelwise => pixelwise::gradient(family, x, from, to, gradient),
            Method::Gather => weights::gradient(family, geometry, from, x, to, gradient),
        }
    }

    fn pixelwise<'a>(&self, weight: &'a [f32]) -> Pixelwise<'a> {
        let Self { family, from, to, precision, .. } = *self;
        Pixelwise { family, weight, n_in: from.c, n_out: to.c, precision }
    }
}

/// What was there with something added, or the first of its kind.
fn multiply_onto(
    before: Option<Values>,
    add: impl FnOnce(&mut Values),
    multiply: impl FnOnce() -> Values,
) -> Values {
    let Some(mut sum) = before else { return multiply() };
    add(&mut sum);
    sum
}

#[cfg(test)]
mod tests;
