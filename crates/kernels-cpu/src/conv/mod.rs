//! Convolution, and its gradients.

mod algorithm;
mod gather;
mod grouped;
mod method;
mod pack;
mod pixelwise;
mod plan;
#[cfg(test)]
mod tests;
mod tiled;
mod weights;
mod winograd;

pub use self::algorithm::ConvAlgorithm;
use self::{
    grouped::Grouped,
    method::{Method, Problem, With, add_bias},
};
use crate::{
    ConvGeometry, Layout, Precision,
    simd::Family,
    values::{Summed, Values},
};

/// One convolution (cross-correlation, as everywhere), from a map laid `from` to one laid `to`.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    problem: Problem,
    method: &'static dyn Method,
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
        let problem = Problem { family, geometry, from, to, groups: 1, precision };
        Self { problem, method: algorithm.method(&problem) }
    }

    /// The same in groups of channels: outputs of each group see the inputs of that group alone, and weights are
    /// `(KH, KW, I / groups, O)`. As many groups as channels are a depthwise convolution.
    ///
    /// # Panics
    ///
    /// If the channels do not divide into groups.
    pub fn in_groups(self, groups: usize) -> Self {
        let Problem { from, to, .. } = self.problem;
        assert!(
            groups > 0 && from.c.is_multiple_of(groups) && to.c.is_multiple_of(groups),
            "channels divide into groups"
        );
        match groups {
            1 => self,
            _ => Self { problem: Problem { groups, ..self.problem }, method: &Grouped },
        }
    }

    /// `(N, H, W, I)` to `(N, OH, OW, O)` by `weight`, `(KH, KW, I, O)`; with the sums of each channel before `bias`, if
    /// they are asked for.
    pub fn forward(&self, weight: &[f32], x: &Values, bias: Option<&[f32]>, is_summed: bool) -> Summed {
        let with = match bias {
            _ if is_summed => With::Sums,
            Some(bias) => With::Bias(bias),
            None => With::Nothing,
        };
        let mut summed = self.method.forward(&self.problem, weight, x, with);
        if let (Some(bias), With::Sums) = (bias, with) {
            add_bias(self.problem.to, &mut summed.values, bias);
        }
        summed
    }

    /// The gradient of the input, added to what was there `before`.
    pub fn data_gradient(&self, weight: &[f32], gradient: &Values, before: Option<Values>) -> Values {
        self.method.data(&self.problem, weight, gradient, before)
    }

    /// The gradient of the weights, `(KH, KW, I, O)`.
    pub fn weight_gradient(&self, x: &Values, gradient: &Values) -> Vec<f32> {
        self.method.weights(&self.problem, x, gradient)
    }
}
