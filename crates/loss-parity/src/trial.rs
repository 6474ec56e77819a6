//! Evaluates objectives on given rows, for their tests.

use std::cell::RefCell;

use plugin_api::{Evaluated, Input, InputShape, Objective, ObjectiveContext, ObjectiveStep, Progress, Rng};
use tensor_ops::{
    Device, Matrix, OpError, Recording, Rows as _, check_gradient, constant, features_from_rows,
};

/// Normal draws of `seed`, `(N, D)`.
///
/// # Errors
/// If a size is 0.
pub fn noise(seed: u64, (n, d): (usize, usize)) -> Result<Matrix, OpError> {
    let mut rng = Rng::new(seed, "rows of a test", &[]);
    let rows = (0..n * d).map(|_| rng.normal() as f32).collect();
    Ok(features_from_rows(&Device::default(), (n, d), rows, Recording::Off)?.split_recording().0)
}

/// What an objective is told that has so many trained inputs, `t0` and so on, and fixed ones, `f0` and so on, each of the
/// shape `(N, D)`.
pub fn context(n_trained: usize, n_fixed: usize, (n, d): (usize, usize)) -> ObjectiveContext {
    let input = |name, place, is_trained| InputShape {
        name: format!("{name}{place}"),
        width: d,
        map: None,
        is_trained,
    };
    let trained = (0..n_trained).map(|place| input("t", place, true));
    let fixed = (0..n_fixed).map(|place| input("f", place, false));
    ObjectiveContext {
        device: Device::default(),
        inputs: trained.chain(fixed).collect(),
        batch: n,
        epochs: 10,
        seed: 7,
        name: "loss".into(),
    }
}

/// What an objective is given in a test.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trial<'a> {
    /// Inputs that are trained.
    pub trained: &'a [Matrix],
    /// Inputs that are fixed, which stand behind the others.
    pub fixed: &'a [Matrix],
    /// A class for each row.
    pub labels: Option<&'a [u32]>,
    /// The epoch.
    pub epoch: usize,
}

impl Trial<'_> {
    /// The loss, without gradients.
    ///
    /// # Errors
    /// If the objective does not take the inputs.
    pub fn evaluate(self, objective: &mut dyn Objective) -> Result<Evaluated, OpError> {
        let trained = self.trained.iter().map(|rows| Input::Trained(constant(rows))).collect();
        self.evaluate_on(objective, trained)
    }

    /// How far gradients are from finite differences, see [`check_gradient`].
    ///
    /// # Errors
    /// If the objective does not take the inputs, or gives another loss when it is asked again within a step.
    pub fn gradient_error(self, objective: &mut dyn Objective) -> Result<f64, OpError> {
        let objective = RefCell::new(objective);
        let loss = |features: Vec<_>| {
            let trained = features.into_iter().map(Input::Trained).collect();
            Ok(self.evaluate_on(*objective.borrow_mut(), trained)?.loss)
        };
        Ok(check_gradient(loss, self.trained)?.largest_error)
    }

    fn evaluate_on(
        self,
        objective: &mut dyn Objective,
        mut inputs: Vec<Input>,
    ) -> Result<Evaluated, OpError> {
        let n = inputs.first().map_or(0, |input| input.shape().0);
        inputs.extend(self.fixed.iter().map(|rows| Input::Fixed(rows.clone())));
        let indices: Vec<usize> = (0..n).collect();
        let at = Progress { epoch: self.epoch, step: 0, steps_per_epoch: 1, epochs: self.epoch + 1 };
        objective.evaluate(inputs, ObjectiveStep { seed: 7, at, indices: &indices, labels: self.labels })
    }
}
