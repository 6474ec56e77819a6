//! DINO's loss.

use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, LossRange, Module, Objective, ObjectiveContext,
    ObjectiveInputs, ObjectiveStep, SortedInputs, check_temperature_of,
};
use tensor_ops::{
    Buffer, Features, Matrix, OpError, Recording, Rows as _, constant, detach, features_from_rows,
    log_softmax, log_sum_exp, mean_all, minus, number, plus, scale_loss, scaled, softmax, sum_all,
    sum_losses, times,
};

use crate::warm_up::WarmUp;

/// The config of [`Dino`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DinoConfig {
    /// Temperature of the student. The paper: 0.1.
    pub student_temperature: f64,
    /// Temperature of the teacher after its warm-up: the lower, the surer its targets. The paper: 0.04 to 0.07.
    pub teacher_temperature: f64,
    /// Temperature of the teacher in the first epoch.
    pub warmup_teacher_temperature: f64,
    /// Epochs in which the teacher's temperature rises linearly.
    pub warmup_epochs: usize,
    /// How much of the center is kept in a step; the rest is the mean of what the teacher says in it. The paper: 0.9.
    pub center_momentum: f64,
}

/// The authors' program's, without a rise.
impl Default for DinoConfig {
    fn default() -> Self {
        Self {
            student_temperature: 0.1,
            teacher_temperature: 0.04,
            warmup_teacher_temperature: 0.04,
            warmup_epochs: 0,
            center_momentum: 0.9,
        }
    }
}

impl DinoConfig {
    fn check(&self) -> Result<(), ConfigError> {
        for (field, temperature) in [
            ("student_temperature", self.student_temperature),
            ("teacher_temperature", self.teacher_temperature),
            ("warmup_teacher_temperature", self.warmup_teacher_temperature),
        ] {
            check_temperature_of(field, temperature)?;
        }
        if !(0.0..=1.0).contains(&self.center_momentum) {
            let must = "it must be between 0 and 1";
            return Err(ConfigError::field("center_momentum", self.center_momentum, must));
        }
        Ok(())
    }
}

/// DINO's loss (Caron et al. 2021, arXiv:2104.14294, Eq. 3 and 4): the cross entropy between what the teacher says of a crop,
/// centered and sharpened, and what the student says of every other crop, averaged over images and pairs of crops.
///
/// Takes what the student says of any number of crops, trained, and what the teacher says of the first of these crops, fixed,
/// each `(N, K)` and both in the order of the crops. The center is the moving average of all that the teacher has said; it
/// changes after a step.
///
/// Metrics: `center_norm`, the center's length; and `target_entropy`, the mean entropy of the targets in nats: 0 where each is
/// sure, `ln K` where they say nothing, both a collapse if they stay there.
pub struct Dino {
    /// `(K)`.
    center: Buffer,
    inputs: ObjectiveInputs,
    config: DinoConfig,
    warm_up: WarmUp,
    /// What the teacher has said in the losses of a step.
    said: Vec<Matrix>,
}

impl Dino {
    /// The loss for `config`, with a center of zeros.
    ///
    /// # Errors
    /// If a number is out of range, the inputs are of several widths, or no crop of the student differs from one of the
    /// teacher.
    pub fn new(config: DinoConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        config.check()?;
        let inputs = ObjectiveInputs::of("dino", context)?;
        let takes = "trained values of crops, and fixed values of the first of them";
        let hint = "name the student's values of at least two crops, and of the first of them the momentum encoder's";
        inputs.require(n_pairs(inputs) > 0, context, takes, hint)?;
        let warm_up = WarmUp {
            from: config.warmup_teacher_temperature,
            to: config.teacher_temperature,
            epochs: config.warmup_epochs,
        };
        Ok(Self { center: Buffer::zeros(&[inputs.width]), inputs, config, warm_up, said: Vec::new() })
    }

    /// The teacher's values of a crop as targets, and their mean entropy.
    fn target(&self, said: &Matrix, temperature: f64) -> Result<(Matrix, f32), OpError> {
        let device = said.device().clone();
        let center =
            features_from_rows(&device, (1, self.inputs.width), self.center.to_vec(), Recording::Off)?;
        let sharp = detach(&scaled(minus(constant(said), center)?, (1.0 / temperature) as f32)?);
        let shares = detach(&softmax(constant(&sharp))?);
        let all = number(&mean_all(log_sum_exp(constant(&sharp))?)?);
        let own = number(&sum_all(times(constant(&shares), constant(&sharp))?)?) / said.n() as f32;
        Ok((shares, all - own))
    }
}

/// Pairs of crops, of which the teacher sees one and the student the other.
fn n_pairs(ObjectiveInputs { n_trained, n_fixed, .. }: ObjectiveInputs) -> usize {
    n_trained * n_fixed - n_trained.min(n_fixed)
}

/// The sum of all targets but that of the crop itself; `None` if there is no other.
fn of_others(targets: &[Matrix], crop: usize) -> Result<Option<Features>, OpError> {
    let mut others =
        targets.iter().enumerate().filter(|(i, _)| *i != crop).map(|(_, target)| constant(target));
    let Some(first) = others.next() else { return Ok(None) };
    others.try_fold(first, plus).map(Some)
}

impl Module for Dino {
    plugin_api::visit! { self;
        "center" => self.center,
    }
}

impl Objective for Dino {
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        self.inputs.require_same_order(inputs)
    }

    fn evaluate(&mut self, inputs: Vec<Input>, step: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let SortedInputs { trained: student, fixed: teacher } = self.inputs.sort(inputs)?;
        let temperature = self.warm_up.at(step.at.epoch);
        let said: Vec<(Matrix, f32)> =
            teacher.iter().map(|said| self.target(said, temperature)).collect::<Result<_, _>>()?;
        let n = teacher.first().map_or(1, |said| said.n());
        let (targets, entropies): (Vec<Matrix>, Vec<f32>) = said.into_iter().unzip();
        let mut losses = Vec::with_capacity(student.len());
        for (crop, score) in student.into_iter().enumerate() {
            if let Some(target) = of_others(&targets, crop)? {
                let told = log_softmax(scaled(score, (1.0 / self.config.student_temperature) as f32)?)?;
                losses.push(sum_all(times(told, target)?)?);
            }
        }
        let loss = scale_loss(sum_losses(losses)?, -1.0 / (n_pairs(self.inputs) * n) as f32)?;
        self.said.extend(teacher);
        let value = number(&loss);
        let center =
            self.center.with_values(|center| center.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>());
        let entropy = entropies.iter().sum::<f32>() / entropies.len() as f32;
        Ok(Evaluated { loss, value, metrics: vec![center.sqrt() as f32, entropy] })
    }

    fn discard_step(&mut self) {
        self.said.clear();
    }

    fn end_step(&mut self) -> Result<(), OpError> {
        let said = std::mem::take(&mut self.said);
        if said.is_empty() {
            return Ok(());
        }
        let mut sums = vec![0.0_f64; self.inputs.width];
        let mut n_rows = 0;
        for rows in said.iter().map(|said| said.rows()) {
            for row in rows.chunks(self.inputs.width) {
                n_rows += 1;
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            }
        }
        let kept = self.config.center_momentum;
        self.center.update(|center| {
            for (center, sum) in center.iter_mut().zip(&sums) {
                *center = (kept * f64::from(*center) + (1.0 - kept) * sum / f64::from(n_rows)) as f32;
            }
        })
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["center_norm", "target_entropy"]
    }

    /// A student that says nothing of any image, and one that is as sure as its targets.
    fn loss_range(&self, _: usize) -> Option<LossRange> {
        Some(LossRange { chance: (self.inputs.width as f64).ln(), floor: 0.0 })
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        let mut config = self.config.clone();
        match field {
            "student_temperature" => config.student_temperature = value,
            "teacher_temperature" if config.warmup_epochs > 0 => {
                return Err(ConfigError::unfit(
                    "`teacher_temperature` is reached by `warmup_epochs` already",
                    "leave `warmup_epochs` out for a ramp of your own",
                ));
            }
            "teacher_temperature" => config.teacher_temperature = value,
            "center_momentum" => config.center_momentum = value,
            _ => {
                let names = ["student_temperature", "teacher_temperature", "center_momentum"];
                return Err(ConfigError::stays_fixed(field, &names));
            }
        }
        config.check()?;
        self.warm_up.to = config.teacher_temperature;
        self.config = config;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use loss_parity::{Trial, context, noise};
    use tensor_ops::to_rows;

    use super::*;

    const SHAPE: (usize, usize) = (4, 5);

    fn dino(n_student: usize, n_teacher: usize) -> Dino {
        let config = DinoConfig {
            teacher_temperature: 0.5,
            warmup_teacher_temperature: 0.25,
            warmup_epochs: 3,
            student_temperature: 0.4,
            ..DinoConfig::default()
        };
        Dino::new(config, &context(n_student, n_teacher, SHAPE)).unwrap()
    }

    fn rows(seeds: std::ops::Range<u64>) -> Vec<Matrix> {
        seeds.map(|seed| noise(seed, SHAPE).unwrap()).collect()
    }

    fn log_shares(row: &[f32], center: &[f32], temperature: f64) -> Vec<f64> {
        let scores: Vec<f64> =
            row.iter().zip(center).map(|(v, c)| (f64::from(*v) - f64::from(*c)) / temperature).collect();
        let sum: f64 = scores.iter().map(|score| score.exp()).sum();
        scores.into_iter().map(|score| score - sum.ln()).collect()
    }

    fn by_definition(student: &[Matrix], teacher: &[Matrix], center: &[f32], temperature: f64) -> f64 {
        let (mut sum, mut n) = (0.0, 0);
        for (i, said) in teacher.iter().map(to_rows).enumerate() {
            for (j, told) in student.iter().map(to_rows).enumerate().filter(|(j, _)| *j != i) {
                let _ = j;
                for (said, told) in said.chunks(SHAPE.1).zip(told.chunks(SHAPE.1)) {
                    let target = log_shares(said, center, temperature);
                    let told = log_shares(told, &[0.0; SHAPE.1], 0.4);
                    sum -= target.iter().zip(&told).map(|(target, told)| target.exp() * told).sum::<f64>();
                    n += 1;
                }
            }
        }
        sum / f64::from(n)
    }

    #[test]
    fn the_loss_is_its_definition_for_any_numbers_of_crops() {
        for (n_student, n_teacher) in [(2, 2), (6, 2), (2, 1), (1, 2), (3, 3)] {
            let (student, teacher) = (rows(0..n_student), rows(20..20 + n_teacher));
            let mut loss = dino(n_student as usize, n_teacher as usize);
            loss.center.set(&[0.5, -0.5, 0.1, 0.0, 1.0]).unwrap();
            let center = loss.center.to_vec();
            for (epoch, temperature) in [(0, 0.25), (1, 0.375), (2, 0.5), (7, 0.5)] {
                let trial = Trial { trained: &student, fixed: &teacher, epoch, ..Trial::default() };
                let value = f64::from(trial.evaluate(&mut loss).unwrap().value);
                let expected = by_definition(&student, &teacher, &center, temperature);
                assert!(
                    (value / expected - 1.0).abs() < 1e-5,
                    "{n_student} {n_teacher} {epoch}: {value} {expected}"
                );
            }
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        let (student, teacher) = (rows(0..3), rows(3..5));
        let trial = Trial { trained: &student, fixed: &teacher, ..Trial::default() };
        assert!(trial.gradient_error(&mut dino(3, 2)).unwrap() < 0.01);
    }

    #[test]
    fn the_center_follows_all_that_the_teacher_says_in_a_step() {
        let (student, teacher) = (rows(0..2), rows(2..4));
        let mut loss = dino(2, 2);
        let trial = Trial { trained: &student, fixed: &teacher, ..Trial::default() };
        trial.evaluate(&mut loss).unwrap();
        assert_eq!(loss.center.to_vec(), [0.0; SHAPE.1], "evaluating has moved the center");
        // A second loss of the same step, with the crops exchanged, says the same.
        let exchanged = [teacher[1].clone(), teacher[0].clone()];
        Trial { fixed: &exchanged, ..trial }.evaluate(&mut loss).unwrap();
        loss.end_step().unwrap();
        let all = teacher.iter().flat_map(to_rows).collect::<Vec<f32>>();
        for (column, center) in loss.center.to_vec().into_iter().enumerate() {
            let mean = all.iter().skip(column).step_by(SHAPE.1).sum::<f32>() / 8.0;
            assert!((center - 0.1 * mean).abs() < 1e-6, "{center}, a tenth of {mean}");
        }
        let before = loss.center.to_vec();
        loss.end_step().unwrap();
        assert_eq!(loss.center.to_vec(), before, "a step without a loss moves nothing");
        let norm = before.iter().map(|value| value * value).sum::<f32>().sqrt();
        assert!((trial.evaluate(&mut loss).unwrap().metrics[0] - norm).abs() < 1e-6);
    }

    #[test]
    fn the_entropy_tells_both_kinds_of_collapse() {
        let entropy = |scale: f32| {
            let teacher = tensor_ops::scaled(constant(&noise(1, SHAPE).unwrap()), scale).unwrap();
            let trained = rows(0..2);
            let trial = Trial { trained: &trained, fixed: &[detach(&teacher)], ..Trial::default() };
            trial.evaluate(&mut dino(2, 1)).unwrap().metrics[1]
        };
        assert!(entropy(100.0) < 0.01 && (entropy(0.0) - 5.0_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn other_settings_and_inputs_are_refused() {
        let said = |config, context| Dino::new(config, &context).err().unwrap().to_string();
        let usual = DinoConfig::default;
        let fits = || context(2, 2, SHAPE);
        let cold = DinoConfig { warmup_teacher_temperature: 0.0, ..usual() };
        assert_eq!(
            said(cold, fits()),
            "`warmup_teacher_temperature` is 0, but it must be from 0.001 to 1000; papers have 0.04 to 1"
        );
        let forgetful = DinoConfig { center_momentum: 1.5, ..usual() };
        assert_eq!(said(forgetful, fits()), "`center_momentum` is 1.5, but it must be between 0 and 1");
        for (n_student, n_teacher) in [(1, 1), (2, 0), (0, 2)] {
            let error = said(usual(), context(n_student, n_teacher, SHAPE));
            assert!(error.starts_with("`dino` takes trained values of crops, and fixed"), "{error}");
        }
    }
}
