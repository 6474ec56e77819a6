//! Gradients against finite differences, for tests of what is made of operations.

use dfdx::tensor::PutTape as _;

use crate::{
    Features, Matrix, OpError, Recording, Rows as _, Scalar, backward, constant, detach, features_from_rows,
    gradient_of_rows, number,
};

/// How far recorded gradients are from finite differences, and where they are furthest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientCheck {
    /// The largest error: the distance from the difference, relative to the largest gradient in the same input.
    pub largest_error: f64,
    /// The input where it is, from 0.
    pub input: usize,
    /// Its row, from 0.
    pub row: usize,
    /// Its column, from 0.
    pub column: usize,
    /// The gradient that was recorded there.
    pub recorded: f64,
    /// What finite differences say.
    pub difference: f64,
}

/// Compares the gradients that `op` records with finite differences of its value, in every value of every input.
///
/// For tests of a loss or of an operation. A right gradient of a smooth function of numbers near 1 has a `largest_error` below
/// 0.001, a wrong one mostly an error above 0.1; 0.01 is a good limit. An operation whose output is a matrix becomes a loss by
/// [`weighted_sum`](crate::weighted_sum) with weights that differ, so that no error cancels another.
///
/// `op` is called once with recorded inputs, and about ten times for each value of the inputs with others: small inputs do,
/// such as `(4, 3)`. It is called with nothing recorded too, and has to give the same loss for the same inputs. What stands
/// for a stopped gradient belongs in the closure, as a constant: differences would see it change.
///
/// Differences are central ones over several steps, relative to the size of the input's values, each two of them extrapolated
/// to a step of 0; the nearest to the recorded gradient counts, since a small step suffers from rounding and a large one from
/// bends. Near the corner of a function such as `abs` there may be no good one.
///
/// The error is relative to the largest gradient in the same input, or to a thousandth of the loss over the size of the
/// input's values, where gradients are smaller than that: less is lost in the rounding of a loss in single precision.
///
/// ```
/// use tensor_ops::{
///     Device, Recording, check_gradient, custom, detach, features_from_rows, mean_all, square, Rows, weighted_sum,
/// };
///
/// let x = detach(&features_from_rows(&Device::default(), (1, 3), vec![0.5, -1.0, 2.0], Recording::Off)?);
/// let right = check_gradient(|mut x| mean_all(square(x.remove(0))?), &[x.clone()])?;
/// assert!(right.largest_error < 0.01, "{right:?}");
///
/// // A square whose author has forgotten the factor 2 of its gradient.
/// let wrong = check_gradient(
///     |mut x| {
///         let x = x.remove(0);
///         let values = x.rows();
///         let squares = values.iter().map(|x| x * x).collect();
///         let backward = move |gradient: &[f32]| vec![gradient.iter().zip(&values).map(|(g, x)| g * x).collect()];
///         weighted_sum(custom(vec![x], (1, 3), squares, backward)?, &[1.0, -2.0, 3.0])
///     },
///     &[x],
/// )?;
/// assert!(wrong.largest_error > 0.4, "{wrong:?}");
/// assert_eq!((wrong.input, wrong.row, wrong.column), (0, 0, 2));
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When there is no input, the loss is not finite, is another for the same inputs, or is not recorded, and those of `op`.
pub fn check_gradient(
    op: impl Fn(Vec<Features>) -> Result<Scalar, OpError>,
    inputs: &[Matrix],
) -> Result<GradientCheck, OpError> {
    const OP: &str = "check_gradient";
    if inputs.is_empty() {
        return Err(OpError::value(OP, "number of inputs", 0, "there must be at least one"));
    }
    // Copies, since a tensor that `op` has as a constant too would have the gradients of both.
    let inputs = inputs.iter().map(copied).collect::<Result<Vec<_>, _>>()?;
    let loss = op(inputs.iter().map(|input| input.clone().put_tape(Recording::start())).collect())?;
    let value = number(&loss);
    let plain = number(&op(inputs.iter().map(constant).collect())?);
    if !value.is_finite() {
        return Err(OpError::value(OP, "the loss", value, "it must be finite where gradients are compared"));
    }
    if value.to_bits() != plain.to_bits() {
        let must = "it must be the same for the same inputs, whether they are recorded or not";
        return Err(OpError::value(OP, "the loss, computed twice,", (value, plain), must));
    }
    let mut gradients = backward(loss)?;
    let mut worst: Option<GradientCheck> = None;
    for (i, input) in inputs.iter().enumerate() {
        let recorded = gradient_of_rows(input, &mut gradients)?.rows();
        let of_input = check_input(&op, &inputs, i, &recorded, f64::from(value))?;
        // NaN is the worst of all.
        if worst.is_none_or(|worst| of_input.largest_error.total_cmp(&worst.largest_error).is_gt()) {
            worst = Some(of_input);
        }
    }
    worst.ok_or_else(|| OpError::value(OP, "number of inputs", 0, "there must be at least one"))
}

fn copied(matrix: &Matrix) -> Result<Matrix, OpError> {
    let shape = (matrix.n(), matrix.d());
    let copy = features_from_rows(matrix.device(), shape, matrix.rows(), Recording::Off)?;
    Ok(detach(&copy))
}

/// The worst of one input.
fn check_input(
    op: &impl Fn(Vec<Features>) -> Result<Scalar, OpError>,
    inputs: &[Matrix],
    i: usize,
    recorded: &[f32],
    loss: f64,
) -> Result<GradientCheck, OpError> {
    let (shape, values) = ((inputs[i].n(), inputs[i].d()), inputs[i].rows());
    let squares = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
    let size = match (squares / values.len() as f64).sqrt() {
        0.0 => 1.0,
        size => size,
    };
    let at = |place: usize, moved: f32| -> Result<f64, OpError> {
        let mut values = values.clone();
        values[place] = moved;
        let mut all: Vec<Features> = inputs.iter().map(constant).collect();
        all[i] = features_from_rows(inputs[i].device(), shape, values, Recording::Off)?;
        Ok(f64::from(number(&op(all)?)))
    };
    let mut differences = Vec::with_capacity(values.len());
    for (place, (&value, &recorded)) in values.iter().zip(recorded).enumerate() {
        let nearest = nearest_difference(|moved| at(place, moved), value, size, f64::from(recorded))?;
        differences.push(nearest);
    }
    let largest = recorded.iter().map(|&value| f64::from(value)).chain(differences.iter().copied());
    let largest = largest.fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let scale = largest.max(1e-3 * loss.abs() / size).max(f64::MIN_POSITIVE);
    let errors = recorded.iter().zip(&differences).enumerate().map(|(place, (&recorded, &difference))| {
        let recorded = f64::from(recorded);
        let largest_error = (recorded - difference).abs() / scale;
        GradientCheck {
            largest_error,
            input: i,
            row: place / shape.1,
            column: place % shape.1,
            recorded,
            difference,
        }
    });
    errors
        .max_by(|a, b| a.largest_error.total_cmp(&b.largest_error))
        .ok_or_else(|| OpError::value("check_gradient", "shape of an input", shape, "it must have values"))
}

/// The slope of `f` at `value` that differences give, the nearest to `recorded` of those of several steps.
fn nearest_difference(
    f: impl Fn(f32) -> Result<f64, OpError>,
    value: f32,
    size: f64,
    recorded: f64,
) -> Result<f64, OpError> {
    const STEPS: [f64; 5] = [0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625];
    let mut slopes = Vec::with_capacity(STEPS.len());
    for step in STEPS {
        let step = (step * size) as f32;
        let (above, below) = (value + step, value - step);
        // What is added to a large number is rounded.
        let distance = f64::from(above) - f64::from(below);
        slopes.push((f(above)? - f(below)?) / distance);
    }
    // Each step is half of the one before, so that what is left of a quarter of the error cancels.
    let extrapolated = slopes.windows(2).map(|pair| (4.0 * pair[1] - pair[0]) / 3.0);
    let candidates = extrapolated.chain(slopes.iter().copied());
    let distance = |slope: &f64| (slope - recorded).abs();
    // `abs` takes the sign of NaN, which is then the furthest.
    let nearest = candidates.min_by(|a, b| distance(a).total_cmp(&distance(b)));
    Ok(nearest.unwrap_or(f64::NAN))
}
