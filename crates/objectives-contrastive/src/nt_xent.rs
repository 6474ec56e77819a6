//! SimCLR's loss.

use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, LossRange, Module, Objective, ObjectiveContext,
    ObjectiveInputs, ObjectiveStep, SortedInputs, check_temperature, set_temperature,
};
use tensor_ops::OpError;

use crate::pairs::{Told, nt_xent, nt_xent_range, two_views};

/// The config of [`NtXent`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NtXentConfig {
    /// Temperature `T`. SimCLR: 0.5 on CIFAR-10; 0.1 on ImageNet.
    pub temperature: f64,
}

/// SimCLR's on CIFAR-10.
impl Default for NtXentConfig {
    fn default() -> Self {
        Self { temperature: 0.5 }
    }
}

/// The normalized, temperature-scaled cross entropy of SimCLR (Chen et al. 2020, arXiv:2002.05709, Eq. 1): each of the
/// `2 N` embeddings has the other view of its image as the right answer, among all other rows of both views.
///
/// Takes two trained values `(N, D)`, and scales their rows to unit length.
#[derive(Debug, Clone)]
pub struct NtXent {
    inputs: ObjectiveInputs,
    temperature: f64,
}

impl NtXent {
    /// The loss for `config`.
    ///
    /// # Errors
    /// If the temperature is not positive, the inputs are not two trained values of one width, or a batch has only one
    /// image.
    pub fn new(config: NtXentConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let NtXentConfig { temperature } = config;
        check_temperature(temperature)?;
        Ok(Self { inputs: two_views("nt-xent", context)?, temperature })
    }
}

impl Module for NtXent {
    plugin_api::visit! { self; }
}

impl Objective for NtXent {
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        self.inputs.require_different_views(inputs)
    }

    fn evaluate(&mut self, inputs: Vec<Input>, _: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let SortedInputs { trained, .. } = self.inputs.sort(inputs)?;
        let [first, second] = self.inputs.two(trained)?;
        let Told { loss, value, top1 } = nt_xent(first, second, self.temperature)?;
        Ok(Evaluated { loss, value, metrics: vec![top1] })
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["top1"]
    }

    fn loss_range(&self, n: usize) -> Option<LossRange> {
        Some(nt_xent_range(n, self.temperature))
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        set_temperature(&mut self.temperature, field, value)
    }
}

#[cfg(test)]
mod tests {
    use loss_parity::{Trial, context, noise};
    use tensor_ops::{Matrix, to_rows};

    use super::*;

    fn nt_xent(temperature: f64, shape: (usize, usize)) -> NtXent {
        NtXent::new(NtXentConfig { temperature }, &context(2, 0, shape)).unwrap()
    }

    fn views(shape: (usize, usize)) -> [Matrix; 2] {
        [noise(1, shape).unwrap(), noise(2, shape).unwrap()]
    }

    /// By the definition, in float64.
    fn by_definition(views: &[Matrix; 2], width: usize, temperature: f64) -> f64 {
        let rows: Vec<f64> = views.iter().flat_map(to_rows).map(f64::from).collect();
        let rows: Vec<&[f64]> = rows.chunks(width).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let similar = |i: usize, j: usize| {
            dot(rows[i], rows[j]) / (dot(rows[i], rows[i]) * dot(rows[j], rows[j])).sqrt() / temperature
        };
        let n = rows.len();
        let of_row = |i: usize| {
            let all: f64 = (0..n).filter(|j| *j != i).map(|j| similar(i, j).exp()).sum();
            all.ln() - similar(i, (i + n / 2) % n)
        };
        (0..n).map(of_row).sum::<f64>() / n as f64
    }

    #[test]
    fn the_loss_is_its_definition() {
        for (shape, temperature) in [((2, 1), 1.0), ((3, 5), 0.5), ((17, 4), 0.07)] {
            let views = views(shape);
            let trial = Trial { trained: &views, ..Trial::default() };
            let value = f64::from(trial.evaluate(&mut nt_xent(temperature, shape)).unwrap().value);
            let expected = by_definition(&views, shape.1, temperature);
            assert!((value / expected - 1.0).abs() < 1e-5, "{shape:?}: {value}, expected {expected}");
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        let views = views((4, 3));
        let trial = Trial { trained: &views, ..Trial::default() };
        assert!(trial.gradient_error(&mut nt_xent(0.5, (4, 3))).unwrap() < 0.01);
    }

    #[test]
    fn views_that_are_alike_are_all_told_and_those_of_collapse_are_at_chance() {
        let shape = (8, 64);
        let view = noise(1, shape).unwrap();
        let both = [view.clone(), view];
        let mut loss = nt_xent(0.05, shape);
        let evaluated = Trial { trained: &both, ..Trial::default() }.evaluate(&mut loss).unwrap();
        let LossRange { chance, floor } = loss.loss_range(shape.0).unwrap();
        assert_eq!(evaluated.metrics, [1.0]);
        assert!(f64::from(evaluated.value) < floor + 0.1 * (chance - floor), "{}", evaluated.value);
        let same = noise(1, (1, 64)).unwrap();
        let same = tensor_ops::concat_rows(&[&same; 8]).unwrap();
        let collapsed = [same.clone(), same];
        let value = Trial { trained: &collapsed, ..Trial::default() }.evaluate(&mut loss).unwrap().value;
        assert!((f64::from(value) - chance).abs() < 1e-5, "{value}, chance {chance}");
    }

    #[test]
    fn other_settings_and_inputs_are_refused() {
        let said = |temperature, context| {
            let error = NtXent::new(NtXentConfig { temperature }, &context).unwrap_err();
            (error.to_string(), error.hint().unwrap_or_default().to_owned())
        };
        assert_eq!(
            said(0.0, context(2, 0, (8, 4))).0,
            "`temperature` is 0, but it must be from 0.001 to 1000; papers have 0.04 to 1"
        );
        assert!(said(f64::NAN, context(2, 0, (8, 4))).0.contains("NaN"));
        assert_eq!(
            said(0.5, context(1, 1, (8, 4))),
            (
                "`nt-xent` takes 2 trained values, but `on` has 1 trained and 1 fixed: `t0` (trained), `f0` (fixed)"
                    .into(),
                "name the embeddings of the two views, both with gradients: no `weights: Momentum`, no `gradient: None`".into()
            )
        );
        assert_eq!(
            said(0.5, context(2, 0, (1, 4))).0,
            "`nt-xent` sees a batch of 1: there is nothing to tell an image from"
        );
        let mut uneven = context(2, 0, (8, 4));
        uneven.inputs[1].width = 5;
        assert_eq!(said(0.5, uneven).0, "`nt-xent` takes values of one width, but `t0` has 4 and `t1` 5");
    }

    #[test]
    fn values_of_another_shape_are_an_error() {
        let mut loss = nt_xent(0.5, (8, 4));
        let (eight, seven, wide) =
            (noise(1, (8, 4)).unwrap(), noise(1, (7, 4)).unwrap(), noise(1, (8, 5)).unwrap());
        for trained in [[eight.clone(), seven], [eight.clone(), wide.clone()], [wide.clone(), wide]] {
            assert!(Trial { trained: &trained, ..Trial::default() }.evaluate(&mut loss).is_err());
        }
        let one = [eight.clone()];
        assert!(Trial { trained: &one, ..Trial::default() }.evaluate(&mut loss).is_err());
        let fixed = Trial { trained: &one, fixed: &one, ..Trial::default() };
        assert!(fixed.evaluate(&mut loss).is_err());
    }
}
