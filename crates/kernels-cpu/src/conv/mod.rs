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
    layout::counted,
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
    /// A convolution of values that are kept in `precision`.
    ///
    /// # Panics
    ///
    /// When `to` has not as many images as `from`, or not the size that `geometry` gives for it, or when a map has more values than
    /// can be counted.
    pub fn new(
        family: Family,
        algorithm: ConvAlgorithm,
        precision: Precision,
        geometry: ConvGeometry,
        from: Layout,
        to: Layout,
    ) -> Self {
        assert_eq!(
            geometry.output(from.h, from.w),
            Ok((to.h, to.w)),
            "what is written has the size of the outputs"
        );
        assert_eq!(from.n, to.n, "there are as many outputs as images");
        assert!(from.len() > 0 && to.len() > 0, "sizes are at least 1");
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
    ///
    /// # Panics
    ///
    /// When there are not as many values, weights or biases as the layouts, the kernel and the groups ask for.
    pub fn forward(&self, weight: &[f32], x: &Values, bias: Option<&[f32]>, is_summed: bool) -> Summed {
        let Problem { from, to, .. } = self.problem;
        self.assert_fits(x, from, weight);
        assert!(bias.is_none_or(|bias| bias.len() == to.c), "there is a bias for each channel");
        let with = match bias {
            _ if is_summed => With::Sums,
            Some(bias) => With::Bias(bias),
            None => With::Nothing,
        };
        let mut summed = self.method.forward(&self.problem, weight, x, with);
        if let (Some(bias), With::Sums) = (bias, with) {
            add_bias(to, &mut summed.values, bias);
        }
        summed
    }

    /// The gradient of the input, added to what was there `before`.
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward).
    pub fn data_gradient(&self, weight: &[f32], gradient: &Values, before: Option<Values>) -> Values {
        let Problem { from, to, .. } = self.problem;
        self.assert_fits(gradient, to, weight);
        assert!(
            before.as_ref().is_none_or(|before| before.len() == from.len()),
            "a sum is like what is added"
        );
        self.method.data(&self.problem, weight, gradient, before)
    }

    /// The gradient of the weights, `(KH, KW, I, O)`.
    ///
    /// # Panics
    ///
    /// When there are not as many values as the layouts have.
    pub fn weight_gradient(&self, x: &Values, gradient: &Values) -> Vec<f32> {
        let Problem { from, to, .. } = self.problem;
        let lens = [x.len(), gradient.len()];
        assert_eq!(lens, [from.len(), to.len()], "there are as many values as the layouts have");
        self.method.weights(&self.problem, x, gradient)
    }

    fn assert_fits(&self, values: &Values, layout: Layout, weight: &[f32]) {
        let Problem { geometry, from, to, groups, .. } = self.problem;
        assert_eq!(values.len(), layout.len(), "there are as many values as the layout has");
        let weight_len = counted([geometry.kernel.0, geometry.kernel.1, from.c / groups, to.c]);
        assert_eq!(weight.len(), weight_len, "there is a weight for each tap, input and output");
    }
}
