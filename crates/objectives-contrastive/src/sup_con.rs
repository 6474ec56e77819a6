//! The supervised contrastive loss.

use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, Module, Objective, ObjectiveContext, ObjectiveInputs,
    ObjectiveStep, SortedInputs, check_temperature, set_temperature,
};
use tensor_ops::{
    OpError, Recording, Rows as _, features_from_rows, log_softmax, scale_loss, sum_all, times,
};

use crate::pairs::{similarities, without};

/// The config of [`SupCon`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SupConConfig {
    /// Temperature `T`. The paper: 0.1.
    pub temperature: f64,
}

/// The paper's.
impl Default for SupConConfig {
    fn default() -> Self {
        Self { temperature: 0.1 }
    }
}

/// The supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362, Eq. 2, `L_out`): each row is to be told from all
/// others as one of its class, whichever view of whichever image. Without two images of a class in a batch it is SimCLR's.
///
/// Takes two or more trained values `(N, D)`, one for each view, scales their rows to unit length, and needs labels. The
/// authors' program multiplies this by `T / 0.07`, which a learning rate does as well.
#[derive(Debug, Clone)]
pub struct SupCon {
    inputs: ObjectiveInputs,
    temperature: f64,
}

impl SupCon {
    /// The loss for `config`.
    ///
    /// # Errors
    /// If the temperature is not positive, the inputs are not two or more trained values of one width, or a batch has only
    /// one image.
    pub fn new(config: SupConConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let SupConConfig { temperature } = config;
        check_temperature(temperature)?;
        let inputs = ObjectiveInputs::of("sup-con", context)?;
        let hint = "name the embeddings of two or more views, all with gradients";
        let is_right = inputs.n_trained >= 2 && inputs.n_fixed == 0;
        inputs.require(is_right, context, "2 or more trained values", hint)?;
        inputs.require_batch(2, context, "there is nothing to tell an image from")?;
        Ok(Self { inputs, temperature })
    }
}

impl Module for SupCon {
    plugin_api::visit! { self; }
}

/// For each of `n_views` rows of each image, what each other row of its class weighs: all of a row weigh 1 together.
fn weights(labels: &[u32], n_views: usize) -> Vec<f32> {
    let n = labels.len();
    let class = |row: usize| labels[row % n];
    let mut weights = Vec::with_capacity(n * n * n_views * n_views);
    for row in 0..n * n_views {
        let n_right = n_views * labels.iter().filter(|label| **label == class(row)).count() - 1;
        let weight = 1.0 / n_right as f32;
        let is_right = |column: usize| column != row && class(column) == class(row);
        weights.extend((0..n * n_views).map(|column| if is_right(column) { weight } else { 0.0 }));
    }
    weights
}

impl Objective for SupCon {
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        self.inputs.require_different_views(inputs)
    }

    fn evaluate(&mut self, inputs: Vec<Input>, step: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let SortedInputs { trained: views, .. } = self.inputs.sort(inputs)?;
        let n_views = views.len();
        let n = views.first().map_or(0, |view| view.n());
        let labels = step.labels.unwrap_or_default();
        if labels.len() != n {
            let (expected, got) = (n.to_string(), labels.len().to_string());
            return Err(OpError::Shape { op: "sup-con", what: "number of labels", expected, got });
        }
        let n_rows = n * n_views;
        let others = without(similarities(views, self.temperature)?, |row, column| row == column)?;
        let device = others.device().clone();
        let weights = weights(labels, n_views);
        let weights = features_from_rows(&device, (n_rows, n_rows), weights, Recording::Off)?;
        let loss = scale_loss(sum_all(times(log_softmax(others)?, weights)?)?, -1.0 / n_rows as f32)?;
        Ok(Evaluated::new(loss, Vec::new()))
    }

    fn needs_labels(&self) -> bool {
        true
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        set_temperature(&mut self.temperature, field, value)
    }
}

#[cfg(test)]
mod tests {
    use loss_parity::{Trial, context, noise};
    use tensor_ops::Matrix;

    use super::*;
    use crate::{NtXent, NtXentConfig};

    fn sup_con(n_views: usize, shape: (usize, usize)) -> SupCon {
        SupCon::new(SupConConfig { temperature: 0.5 }, &context(n_views, 0, shape)).unwrap()
    }

    fn views(n: u64, shape: (usize, usize)) -> Vec<Matrix> {
        (0..n).map(|seed| noise(seed, shape).unwrap()).collect()
    }

    #[test]
    fn without_two_images_of_a_class_it_is_simclrs() {
        let shape = (5, 6);
        let views = views(2, shape);
        let trial = Trial { trained: &views, labels: Some(&[3, 1, 0, 9, 4]), ..Trial::default() };
        let own = trial.evaluate(&mut sup_con(2, shape)).unwrap().value;
        let mut simclr = NtXent::new(NtXentConfig { temperature: 0.5 }, &context(2, 0, shape)).unwrap();
        let expected = trial.evaluate(&mut simclr).unwrap().value;
        assert!((own - expected).abs() < 1e-5, "{own}, expected {expected}");
    }

    #[test]
    fn the_loss_is_its_definition() {
        // z = F.normalize(torch.cat(views), dim=1); y = labels.repeat(2); s = z @ z.T / .5
        // eye = torch.eye(len(y), dtype=bool); p = (y[:, None] == y) & ~eye
        // logp = s - s.masked_fill(eye, -torch.inf).logsumexp(1, keepdim=True)
        // -((logp * p).sum(1) / p.sum(1)).mean()
        let shape = (6, 3);
        let views = views(2, shape);
        let labels = [0, 1, 1, 0, 2, 1];
        let rows: Vec<f32> = views.iter().flat_map(tensor_ops::to_rows).collect();
        let unit = |row: &[f32]| {
            let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            row.iter().map(|v| f64::from(*v) / length).collect::<Vec<f64>>()
        };
        let rows: Vec<Vec<f64>> = rows.chunks(3).map(unit).collect();
        let n = rows.len();
        let similar =
            |i: usize, j: usize| rows[i].iter().zip(&rows[j]).map(|(a, b)| a * b).sum::<f64>() / 0.5;
        let of_row = |i: usize| {
            let others = || (0..n).filter(|j| *j != i);
            let log_sum = others().map(|j| similar(i, j).exp()).sum::<f64>().ln();
            let right: Vec<usize> = others().filter(|j| labels[j % 6] == labels[i % 6]).collect();
            right.iter().map(|j| log_sum - similar(i, *j)).sum::<f64>() / right.len() as f64
        };
        let expected = (0..n).map(of_row).sum::<f64>() / n as f64;
        let trial = Trial { trained: &views, labels: Some(&labels), ..Trial::default() };
        let value = f64::from(trial.evaluate(&mut sup_con(2, shape)).unwrap().value);
        assert!((value / expected - 1.0).abs() < 1e-5, "{value}, expected {expected}");
    }

    #[test]
    fn gradients_are_finite_differences() {
        let views = views(3, (4, 3));
        let trial = Trial { trained: &views, labels: Some(&[0, 1, 0, 2]), ..Trial::default() };
        assert!(trial.gradient_error(&mut sup_con(3, (4, 3))).unwrap() < 0.01);
    }

    #[test]
    fn labels_must_be_there_and_every_view_be_trained() {
        let mut loss = sup_con(2, (4, 3));
        assert!(loss.needs_labels());
        let views = views(2, (4, 3));
        let trial = Trial { trained: &views, ..Trial::default() };
        let error = trial.evaluate(&mut loss).err().unwrap().to_string();
        assert_eq!(error, "sup-con: number of labels must be 4, got 0");
        for (n_trained, n_fixed) in [(1, 0), (2, 1)] {
            let context = context(n_trained, n_fixed, (4, 3));
            let error = SupCon::new(SupConConfig::default(), &context).unwrap_err().to_string();
            assert!(error.starts_with("`sup-con` takes 2 or more trained values, but"), "{error}");
        }
    }
}
