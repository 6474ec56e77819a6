//! The loss of BYOL and SimSiam.

use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, Module, Objective, ObjectiveContext, ObjectiveInputs,
    ObjectiveStep, SortedInputs,
};
use tensor_ops::{OpError, Rows as _, custom, sum_all};

use crate::cosine::{mean_cosine, spread};

/// The config of [`NegativeCosine`].
#[derive(Debug, Clone, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NegativeCosineConfig {}

/// The negative cosine between predictions of one view and projections of another, averaged over images and over all pairs of
/// two views (SimSiam: Chen and He 2021, arXiv:2011.10566, Eq. 1 and 2; BYOL: Grill et al. 2020, arXiv:2006.07733, Eq. 2,
/// whose loss of both directions is 4 + 4 times this one). From -1, where all point the same way, to 1.
///
/// Takes predictions, trained, and as many projections of the same views, fixed, in the same order, each `(N, D)`: those of
/// the momentum encoder for BYOL, of the same encoder with `gradient: None` for SimSiam. With one of each, the two are a pair.
///
/// The metric `output_std` tells a collapse: 1 where predictions point everywhere, 0 where all point the same way.
#[derive(Debug, Clone)]
pub struct NegativeCosine {
    inputs: ObjectiveInputs,
}

impl NegativeCosine {
    /// The loss.
    ///
    /// # Errors
    /// If the inputs are not as many fixed as trained values of one width.
    pub fn new(
        NegativeCosineConfig {}: NegativeCosineConfig,
        context: &ObjectiveContext,
    ) -> Result<Self, ConfigError> {
        let inputs = ObjectiveInputs::of("negative-cosine", context)?;
        let hint = "name a prediction for each view, and from steps with momentum weights or `gradient: None` a \
                    projection for each view, in the same order";
        let is_right = inputs.n_trained > 0 && inputs.n_trained == inputs.n_fixed;
        inputs.require(is_right, context, "as many fixed values as trained ones", hint)?;
        Ok(Self { inputs })
    }

    /// Which prediction is compared with which projection.
    fn pairs(&self) -> Vec<(usize, usize)> {
        let n = self.inputs.n_trained;
        if n == 1 {
            return vec![(0, 0)];
        }
        (0..n).flat_map(|i| (0..n).filter(move |j| *j != i).map(move |j| (i, j))).collect()
    }
}

impl Module for NegativeCosine {
    plugin_api::visit! { self; }
}

impl Objective for NegativeCosine {
    /// One prediction and one projection are a pair of two views; several of each are told by their places.
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        match self.inputs.n_trained {
            1 => self.inputs.require_different_views(inputs),
            _ => self.inputs.require_same_order(inputs),
        }
    }

    fn evaluate(&mut self, inputs: Vec<Input>, _: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let SortedInputs { trained, fixed } = self.inputs.sort(inputs)?;
        let width = self.inputs.width;
        let predictions: Vec<Vec<f32>> = trained.iter().map(|one| one.rows()).collect();
        let projections: Vec<Vec<f32>> = fixed.iter().map(|one| one.rows()).collect();
        let mut gradients: Vec<Vec<f64>> = predictions.iter().map(|rows| vec![0.0; rows.len()]).collect();
        let pairs = self.pairs();
        let factor = -1.0 / pairs.len() as f64;
        let cosines = pairs
            .into_iter()
            .map(|(i, j)| mean_cosine(&predictions[i], &projections[j], width, factor, &mut gradients[i]));
        let value = (factor * cosines.sum::<f64>()) as f32;
        let spreads: f64 = predictions.iter().map(|rows| spread(rows, width)).sum();
        let loss = custom(trained, (1, 1), vec![value], move |scale| {
            let scale = f64::from(scale[0]);
            let scaled = |gradient: &Vec<f64>| gradient.iter().map(|slope| (scale * slope) as f32).collect();
            gradients.iter().map(scaled).collect()
        })?;
        let metrics = vec![(spreads / predictions.len() as f64) as f32];
        Ok(Evaluated { loss: sum_all(loss)?, value, metrics })
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["output_std"]
    }
}

#[cfg(test)]
mod tests {
    use loss_parity::{Trial, context, noise};
    use tensor_ops::{Matrix, concat_rows};

    use super::*;

    const SHAPE: (usize, usize) = (4, 3);

    fn negative_cosine(n_views: usize, shape: (usize, usize)) -> NegativeCosine {
        NegativeCosine::new(NegativeCosineConfig {}, &context(n_views, n_views, shape)).unwrap()
    }

    fn rows(seeds: std::ops::Range<u64>) -> Vec<Matrix> {
        seeds.map(|seed| noise(seed, SHAPE).unwrap()).collect()
    }

    fn value(trained: &[Matrix], fixed: &[Matrix]) -> f32 {
        let mut loss = negative_cosine(trained.len(), trained[0].shape_of());
        Trial { trained, fixed, ..Trial::default() }.evaluate(&mut loss).unwrap().value
    }

    trait ShapeOf {
        fn shape_of(&self) -> (usize, usize);
    }

    impl ShapeOf for Matrix {
        fn shape_of(&self) -> (usize, usize) {
            (self.n(), self.d())
        }
    }

    #[test]
    fn two_views_cross_and_a_pair_does_not() {
        let (p, z) = (rows(0..2), rows(2..4));
        let of = |p: &Matrix, z: &Matrix| value(std::slice::from_ref(p), std::slice::from_ref(z));
        let expected = (of(&p[0], &z[1]) + of(&p[1], &z[0])) / 2.0;
        assert!((value(&p, &z) - expected).abs() < 1e-6);
        assert!((of(&p[0], &p[0]) + 1.0).abs() < 1e-6);
    }

    #[test]
    fn more_views_are_all_compared() {
        let (p, z) = (rows(0..3), rows(3..6));
        let of = |i: usize, j: usize| value(&p[i..=i], &z[j..=j]);
        let expected = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)].map(|(i, j)| of(i, j));
        assert!((value(&p, &z) - expected.iter().sum::<f32>() / 6.0).abs() < 1e-6);
    }

    #[test]
    fn gradients_are_finite_differences() {
        for n_views in [1, 2, 3] {
            let (p, z) = (rows(0..n_views), rows(10..10 + n_views));
            let mut loss = negative_cosine(n_views as usize, SHAPE);
            let error = Trial { trained: &p, fixed: &z, ..Trial::default() }.gradient_error(&mut loss);
            assert!(error.unwrap() < 0.01, "{n_views} views");
        }
    }

    #[test]
    fn a_row_of_zeros_has_no_nan() {
        let zeros = tensor_ops::select_rows(&noise(1, (1, 3)).unwrap(), &[0, 0, 0, 0]).unwrap();
        let zeros = tensor_ops::detach(&tensor_ops::scaled(tensor_ops::constant(&zeros), 0.0).unwrap());
        let evaluated = Trial {
            trained: std::slice::from_ref(&zeros),
            fixed: std::slice::from_ref(&zeros),
            ..Trial::default()
        }
        .evaluate(&mut negative_cosine(1, SHAPE))
        .unwrap();
        assert_eq!((evaluated.value, evaluated.metrics[0]), (0.0, 0.0));
    }

    #[test]
    fn the_metric_tells_what_is_spread_from_what_has_collapsed() {
        let std = |rows: Matrix| {
            let shape = rows.shape_of();
            let mut loss = negative_cosine(1, shape);
            let trial = Trial {
                trained: std::slice::from_ref(&rows),
                fixed: std::slice::from_ref(&rows),
                ..Trial::default()
            };
            trial.evaluate(&mut loss).unwrap().metrics[0]
        };
        let one = noise(1, (1, 64)).unwrap();
        assert!(std(concat_rows(&[&one; 512]).unwrap()) < 1e-3);
        let spread = std(noise(1, (512, 64)).unwrap());
        assert!((spread - 1.0).abs() < 0.02, "{spread}");
    }

    #[test]
    fn as_many_fixed_values_as_trained_ones_are_asked_for() {
        for (n_trained, n_fixed) in [(2, 1), (2, 0), (0, 2)] {
            let context = context(n_trained, n_fixed, SHAPE);
            let error = NegativeCosine::new(NegativeCosineConfig {}, &context).unwrap_err();
            let expected = "`negative-cosine` takes as many fixed values as trained ones, but `on` has";
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
