//! Gradients against finite differences.

use plugin_api::{EntryMut, Rng};
use tensor_ops::Mode;

use crate::calm::calm;
use crate::fault::{Checked, wrong};
use crate::numbers::normal;
use crate::subject::{Made, Subject};

/// Steps, as shares of the values' size: what is curved asks for small ones, rounding for large ones, so one must agree.
const STEPS: [f64; 7] = [1e-2, 3e-3, 3e-2, 1e-3, 1e-1, 3e-4, 1e-4];
/// How far a difference may be from what the gradient says, as a share.
const TOLERANCE: f64 = 0.03;
/// A difference below so many times the rounding errors says nothing.
const TELLING: f64 = 10.0;
/// So many parameters are moved, from the first to the last.
const N_PARAMETERS: usize = 16;

/// What is moved.
enum Moved<'a> {
    Input(usize),
    Parameter(&'a str),
}

/// Moves inputs and parameters a little, in the direction of their gradients and in a random one, and compares what becomes of
/// the sum with what the gradients of `made` say.
pub(crate) fn check(
    subject: &mut dyn Subject,
    inputs: &[Vec<f32>],
    mode: Mode,
    made: &Made,
    method: &str,
) -> Checked {
    let Some(gradients) = &made.gradients else { return Ok(()) };
    let rounding = rounding(subject, inputs, mode, made)?;
    let mut differences = Differences { subject, inputs, mode, rounding, method };
    for (place, gradient) in gradients.inputs.iter().enumerate() {
        if let Some(gradient) = gradient {
            differences.compare(&Moved::Input(place), gradient)?;
        }
    }
    let trained: Vec<(&str, &[f32])> = gradients
        .parameters
        .iter()
        .filter(|parameter| parameter.is_trainable)
        .filter_map(|parameter| Some((parameter.name.as_str(), parameter.gradient.as_deref()?)))
        .collect();
    let n = trained.len().min(N_PARAMETERS);
    for i in 0..n {
        // Both ends, and evenly between them.
        let (name, gradient) = trained[if n == 1 { 0 } else { i * (trained.len() - 1) / (n - 1) }];
        differences.compare(&Moved::Parameter(name), gradient)?;
    }
    Ok(())
}

/// By how much the sum changes where inputs change by nearly nothing.
fn rounding(subject: &mut dyn Subject, inputs: &[Vec<f32>], mode: Mode, made: &Made) -> Checked<f64> {
    let magnitude: f64 = made
        .values
        .iter()
        .zip(crate::subject::weights(made.values.len()))
        .map(|(value, weight)| (f64::from(*value) * f64::from(weight)).powi(2))
        .sum::<f64>()
        .sqrt();
    let mut largest = f64::from(f32::EPSILON) * magnitude;
    for set in 0..3 {
        let moved: Vec<Vec<f32>> = inputs
            .iter()
            .map(|values| {
                let noise = normal("rounding", set, values.len());
                values.iter().zip(noise).map(|(v, noise)| v * (1.0 + 1e-7 * noise)).collect()
            })
            .collect();
        let sum = sum_of(subject, &moved, mode)?;
        largest = largest.max((sum - made.sum()).abs());
    }
    Ok(2.0 * largest)
}

fn sum_of(subject: &mut dyn Subject, inputs: &[Vec<f32>], mode: Mode) -> Checked<f64> {
    let made = calm("on other values", || subject.pass(inputs, mode, false))?;
    Ok(made.map_err(|error| wrong!("a pass on other values fails: {error}"))?.sum())
}

struct Differences<'a> {
    subject: &'a mut dyn Subject,
    inputs: &'a [Vec<f32>],
    mode: Mode,
    rounding: f64,
    method: &'a str,
}

impl Differences<'_> {
    /// Compares in two directions.
    fn compare(&mut self, moved: &Moved<'_>, gradient: &[f32]) -> Checked {
        let values = self.values(moved);
        let size = rms(&values);
        let size = if size > 0.0 { size } else { 1.0 };
        let steepest = rms(gradient);
        if steepest > 0.0 {
            let along = gradient.iter().map(|g| f64::from(*g) / steepest * size).collect();
            self.compare_along(moved, gradient, &values, along, "along its gradient")?;
        }
        let mut rng = Rng::new(1, "direction", &[values.len() as u64]);
        let random = values.iter().map(|_| rng.normal() * size).collect();
        self.compare_along(moved, gradient, &values, random, "in a random direction")
    }

    fn compare_along(
        &mut self,
        moved: &Moved<'_>,
        gradient: &[f32],
        values: &[f32],
        direction: Vec<f64>,
        how: &str,
    ) -> Checked {
        let mut nearest: Option<(f64, f64, f64)> = None;
        for step in STEPS {
            let at = |sign: f64| -> Vec<f32> {
                let moved = values.iter().zip(&direction);
                moved.map(|(value, along)| (f64::from(*value) + sign * step * along) as f32).collect()
            };
            let (ahead, behind) = (at(1.0), at(-1.0));
            // Of the values as they were rounded.
            let moves = ahead.iter().zip(&behind).map(|(a, b)| f64::from(*a) - f64::from(*b));
            let expected: f64 = gradient.iter().zip(moves.clone()).map(|(g, by)| f64::from(*g) * by).sum();
            // A random direction may be nearly at a right angle to the gradient: then what is usual counts.
            let length = moves.map(|by| by * by).sum::<f64>().sqrt();
            let usual = rms(gradient) * length;
            let found = self.sum_at(moved, ahead)? - self.sum_at(moved, behind)?;
            let size = expected.abs().max(found.abs()).max(usual);
            if size <= TELLING * self.rounding {
                continue;
            }
            let error = (found - expected).abs();
            if error <= TOLERANCE * size + self.rounding {
                nearest = None;
                break;
            }
            if nearest.is_none_or(|(share, ..)| error / size < share) {
                nearest = Some((error / size, found, expected));
            }
        }
        self.put(moved, values)?;
        match nearest {
            None => Ok(()),
            Some((_, found, expected)) => {
                let what = match moved {
                    Moved::Input(place) if self.inputs.len() == 1 => {
                        debug_assert_eq!(*place, 0, "there is one input");
                        "its input".to_owned()
                    }
                    Moved::Input(place) => format!("input {place}, counted from 0,"),
                    Moved::Parameter(name) => format!("the parameter `{name}`"),
                };
                let mode = match self.mode {
                    Mode::Train => "training",
                    Mode::Eval => "evaluation",
                };
                Err(wrong!(
                    "the gradient of {what} is wrong in `{}` in {mode} mode: where it moves a little {how}, the result changes \
                     by {found:.3e}, and by {expected:.3e} by the gradient",
                    self.method
                ))
            }
        }
    }

    fn values(&mut self, moved: &Moved<'_>) -> Vec<f32> {
        match moved {
            Moved::Input(place) => self.inputs[*place].clone(),
            Moved::Parameter(name) => {
                let mut values = Vec::new();
                self.subject.module().visit_mut(&mut |other, entry| {
                    if let EntryMut::Parameter(parameter) = entry
                        && other == *name
                    {
                        values = parameter.to_vec();
                    }
                });
                values
            }
        }
    }

    fn sum_at(&mut self, moved: &Moved<'_>, values: Vec<f32>) -> Checked<f64> {
        match moved {
            Moved::Input(place) => {
                let mut inputs = self.inputs.to_vec();
                inputs[*place] = values;
                sum_of(self.subject, &inputs, self.mode)
            }
            Moved::Parameter(_) => {
                self.put(moved, &values)?;
                sum_of(self.subject, self.inputs, self.mode)
            }
        }
    }

    fn put(&mut self, moved: &Moved<'_>, values: &[f32]) -> Checked {
        let Moved::Parameter(name) = moved else { return Ok(()) };
        let mut result = Ok(());
        self.subject.module().visit_mut(&mut |other, entry| {
            if let EntryMut::Parameter(parameter) = entry
                && other == *name
            {
                result = parameter.set(values);
            }
        });
        result.map_err(|error| wrong!("the parameter `{name}` cannot be set: {error}"))
    }
}

/// The root of the mean square.
fn rms(values: &[f32]) -> f64 {
    let squares: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
    (squares / values.len().max(1) as f64).sqrt()
}
