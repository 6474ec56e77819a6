//! NNCLR's loss.

use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, LossRange, Module, Objective, ObjectiveContext,
    ObjectiveInputs, ObjectiveStep, SortedInputs, check_temperature, set_temperature,
};
use tensor_ops::{
    Features, Matrix, OpError, constant, detach, matmul_transposed, scale_loss, select_rows, sum_losses,
    top1_row,
};

use crate::pairs::{Told, nt_xent, nt_xent_range};
use nn::{Bank, unit_rows};

/// The config of [`NnClr`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NnClrConfig {
    /// Length `K` of the bank of past projections. The paper: 98304 for ImageNet.
    pub len: usize,
    /// Temperature `T`. The paper: 0.1.
    pub temperature: f64,
}

/// A bank for a small dataset, and the paper's temperature.
impl Default for NnClrConfig {
    fn default() -> Self {
        Self { len: 4096, temperature: 0.1 }
    }
}

/// NNCLR's loss (Dwibedi et al. 2021, arXiv:2104.14548, Eq. 4): SimCLR's between the prediction of one view and the nearest
/// row of a bank to the projection of the other, in both directions, halved. Other images are the negatives on both sides,
/// as lightly has it.
///
/// Takes predictions `p0` and `p1`, trained, and projections `z0` and `z1` of the same two views, fixed, each `(N, D)`; `z0`
/// chooses what `p1` is compared with. After a step the bank takes in the projections `z1`, of unit length.
pub struct NnClr {
    bank: Bank,
    inputs: ObjectiveInputs,
    temperature: f64,
}

impl NnClr {
    /// The loss for `config`, with a bank of random unit rows.
    ///
    /// # Errors
    /// If the bank has no row or does not fit in memory, the temperature is not positive, the inputs are others, or a batch
    /// has only one image.
    pub fn new(config: NnClrConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let NnClrConfig { len, temperature } = config;
        check_temperature(temperature)?;
        let inputs = ObjectiveInputs::of("nnclr", context)?;
        let is_right = (inputs.n_trained, inputs.n_fixed) == (2, 2);
        let hint =
            "name the predictions of the two views, and their projections from steps with `gradient: None`";
        inputs.require(is_right, context, "2 trained and 2 fixed values", hint)?;
        inputs.require_batch(2, context, "there is nothing to tell an image from")?;
        Ok(Self { bank: Bank::new(len, inputs.width, context)?, inputs, temperature })
    }
}

/// For each of `projections` the nearest row of `bank`, `(N, D)`.
fn neighbors(projections: &Matrix, bank: &Matrix) -> Result<Features, OpError> {
    let projections = constant(&unit_rows(projections)?);
    let nearest = top1_row(&matmul_transposed(projections, constant(bank))?);
    Ok(constant(&select_rows(bank, &nearest)?))
}

impl Module for NnClr {
    plugin_api::visit! { self;
        "" => self.bank,
    }
}

impl Objective for NnClr {
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        self.inputs.require_same_order(inputs)
    }

    fn evaluate(&mut self, inputs: Vec<Input>, _: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let SortedInputs { trained, fixed } = self.inputs.sort(inputs)?;
        let ([p0, p1], [z0, z1]) = (self.inputs.two(trained)?, self.inputs.two(fixed)?);
        let bank = detach(&self.bank.rows(&p0.device().clone())?);
        let first = nt_xent(neighbors(&z0, &bank)?, p1, self.temperature)?;
        let second = nt_xent(neighbors(&z1, &bank)?, p0, self.temperature)?;
        self.bank.put_aside(&z1)?;
        let Told { loss, value, top1 } = first;
        let loss = scale_loss(sum_losses(vec![loss, second.loss])?, 0.5)?;
        let value = (value + second.value) / 2.0;
        Ok(Evaluated { loss, value, metrics: vec![(top1 + second.top1) / 2.0] })
    }

    fn end_step(&mut self) -> Result<(), OpError> {
        self.bank.end_step()
    }

    fn discard_step(&mut self) {
        self.bank.discard_step();
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
    use plugin_api::Entry;

    use super::*;
    use crate::{NtXent, NtXentConfig};

    const SHAPE: (usize, usize) = (4, 3);

    fn nnclr(len: usize) -> NnClr {
        NnClr::new(NnClrConfig { len, temperature: 0.3 }, &context(2, 2, SHAPE)).unwrap()
    }

    fn rows(seed: u64) -> Matrix {
        noise(seed, SHAPE).unwrap()
    }

    fn bank(loss: &NnClr) -> Vec<f32> {
        let mut values = Vec::new();
        loss.visit(&mut |name, entry| {
            if let ("bank", Entry::Buffer(buffer)) = (name, entry) {
                values = buffer.to_vec();
            }
        });
        values
    }

    #[test]
    fn once_the_bank_holds_the_projections_they_are_their_own_neighbors() {
        let (p, z) = ([rows(1), rows(2)], [rows(3), rows(4)]);
        let mut loss = nnclr(4);
        // The bank has room for z1 alone, and z0 of the next step is the same.
        Trial { trained: &p, fixed: &z, ..Trial::default() }.evaluate(&mut loss).unwrap();
        loss.end_step().unwrap();
        let again = [z[1].clone(), z[1].clone()];
        let value =
            Trial { trained: &p, fixed: &again, ..Trial::default() }.evaluate(&mut loss).unwrap().value;
        let of_pair = |prediction: &Matrix| {
            let pair = [z[1].clone(), prediction.clone()];
            let mut simclr = NtXent::new(NtXentConfig { temperature: 0.3 }, &context(2, 0, SHAPE)).unwrap();
            Trial { trained: &pair, ..Trial::default() }.evaluate(&mut simclr).unwrap().value
        };
        let expected = (of_pair(&p[0]) + of_pair(&p[1])) / 2.0;
        assert!((value - expected).abs() < 1e-5, "{value}, expected {expected}");
    }

    #[test]
    fn gradients_are_finite_differences() {
        let (p, z) = ([rows(1), rows(2)], [rows(3), rows(4)]);
        let trial = Trial { trained: &p, fixed: &z, ..Trial::default() };
        assert!(trial.gradient_error(&mut nnclr(16)).unwrap() < 0.01);
    }

    #[test]
    fn the_bank_takes_in_the_second_projections_when_the_step_ends() {
        let (p, z) = ([rows(1), rows(2)], [rows(3), rows(4)]);
        let mut loss = nnclr(6);
        let before = bank(&loss);
        Trial { trained: &p, fixed: &z, ..Trial::default() }.evaluate(&mut loss).unwrap();
        assert_eq!(bank(&loss), before, "evaluating has changed the bank");
        loss.end_step().unwrap();
        let (after, taken) = (bank(&loss), tensor_ops::to_rows(&unit_rows(&z[1]).unwrap()));
        assert_eq!(after[..12], taken);
        assert_eq!(after[12..], before[12..]);
        let mut names = Vec::new();
        loss.visit(&mut |name, _| names.push(name.to_owned()));
        assert_eq!(names, ["bank", "pointer"]);
    }

    #[test]
    fn other_inputs_are_refused() {
        let error = NnClr::new(NnClrConfig::default(), &context(2, 1, SHAPE)).err().unwrap().to_string();
        assert!(
            error.starts_with("`nnclr` takes 2 trained and 2 fixed values, but `on` has 2 trained and 1"),
            "{error}"
        );
    }
}
