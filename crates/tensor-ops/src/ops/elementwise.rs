//! Functions of each value by itself.

use rayon::prelude::*;

use super::custom::custom;
use crate::{
    Features, OpError, Rows as _,
    backend::{Backend, Computed, on},
    tape::{NamedRows, Pass},
    values::Place,
};

/// `x * factor`, `(N, D)`; stays on the device.
///
/// The gradient of the input is that of the output times `factor`.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, scaled};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![1.0, -2.0], Recording::Off)?;
/// assert_eq!(scaled(x, 0.5)?.rows(), [0.5, -1.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn scaled(x: Features, factor: f32) -> Result<Features, OpError> {
    Ok(on!(Place::of_process(), |backend| scaled_on(backend, x, factor))?)
}

fn scaled_on<B: Backend>(backend: B, x: Features, factor: f32) -> Computed<Features> {
    let shape = (x.n(), x.d());
    let (x, name, recording) = NamedRows::split(backend, x)?;
    let y = backend.scaled(&x, factor)?;
    let device = name.device().clone();
    let backward = move |pass: &mut Pass<'_>, gradient: B::Values| {
        name.add(backend, pass, &backend.scaled(&gradient, factor)?)
    };
    NamedRows::output(backend, &device, shape, y, recording, Some(backward))
}

/// `x + number`, `(N, D)`.
///
/// The gradient of the input is that of the output.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, shifted};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![1.0, -2.0], Recording::Off)?;
/// assert_eq!(shifted(x, 0.5)?.rows(), [1.5, -1.5]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn shifted(x: Features, number: f32) -> Result<Features, OpError> {
    let number = f64::from(number);
    each(x, move |x| x + number, |_, _| 1.0)
}

/// The exponential of each value, `(N, D)`.
///
/// With the output `y` and its gradient `g`, that of the input is `g y`.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, exp, features_from_rows};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![0.0, 1.0], Recording::Off)?;
/// assert_eq!(exp(x)?.rows(), [1.0, std::f32::consts::E]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn exp(x: Features) -> Result<Features, OpError> {
    each(x, f64::exp, |_, y| y)
}

/// The natural logarithm of each value, `(N, D)`; minus infinity of 0, and NaN of what is negative.
///
/// With the gradient `g` of the output, that of the input is `g / x`.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, log};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![1.0, 0.0], Recording::Off)?;
/// assert_eq!(log(x)?.rows(), [0.0, f32::NEG_INFINITY]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn log(x: Features) -> Result<Features, OpError> {
    each(x, f64::ln, |x, _| 1.0 / x)
}

/// The square of each value, `(N, D)`.
///
/// With the gradient `g` of the output, that of the input is `2 g x`.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, square};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![1.0, -3.0], Recording::Off)?;
/// assert_eq!(square(x)?.rows(), [1.0, 9.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn square(x: Features) -> Result<Features, OpError> {
    each(x, |x| x * x, |x, _| 2.0 * x)
}

/// The square root of each value, `(N, D)`; NaN of what is negative.
///
/// With the output `y` and its gradient `g`, that of the input is `g / (2 y)`, which is infinite at 0: a small number that is
/// added before keeps it finite, see [`shifted`].
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, square_root};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![0.0, 9.0], Recording::Off)?;
/// assert_eq!(square_root(x)?.rows(), [0.0, 3.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn square_root(x: Features) -> Result<Features, OpError> {
    each(x, f64::sqrt, |_, y| 0.5 / y)
}

/// The absolute value of each value, `(N, D)`.
///
/// The gradient of the input is that of the output with the sign of `x`, and 0 where `x` is 0, as in PyTorch.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, abs, features_from_rows};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![1.0, -3.0], Recording::Off)?;
/// assert_eq!(abs(x)?.rows(), [1.0, 3.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn abs(x: Features) -> Result<Features, OpError> {
    each(x, f64::abs, |x, _| if x == 0.0 { 0.0 } else { x.signum() })
}

/// Each value, but at least `low` and at most `high`, `(N, D)`; NaN stays. A bound may be infinite: from 0 to infinity it is
/// [`relu_features`](crate::relu_features).
///
/// The gradient of the input is that of the output where `low <= x <= high`, bounds included as in PyTorch, and 0 elsewhere.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, clamp, features_from_rows};
///
/// let x = features_from_rows(&Device::default(), (1, 3), vec![-1.0, 0.5, 3.0], Recording::Off)?;
/// assert_eq!(clamp(x, 0.0, 1.0)?.rows(), [0.0, 0.5, 1.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When `low` is more than `high`, one of them is NaN, or the device fails.
pub fn clamp(x: Features, low: f32, high: f32) -> Result<Features, OpError> {
    if low.is_nan() || high.is_nan() || low > high {
        let must = "the first must be at most the second";
        return Err(OpError::value("clamp", "bounds", (low, high), must));
    }
    let (low, high) = (f64::from(low), f64::from(high));
    let slope = move |x: f64, _: f64| if (low..=high).contains(&x) { 1.0 } else { 0.0 };
    each(x, move |x| x.clamp(low, high), slope)
}

/// Values that a thread takes at least.
const MIN_LEN: usize = 1024;

/// A number of each value in double precision, and its slope, which is given `x` and the number.
fn each(
    x: Features,
    number: impl Fn(f64) -> f64 + Sync,
    slope: impl Fn(f64, f64) -> f64 + Sync + 'static,
) -> Result<Features, OpError> {
    let (shape, values) = ((x.n(), x.d()), x.rows());
    let y: Vec<f32> =
        values.par_iter().with_min_len(MIN_LEN).map(|&value| number(f64::from(value)) as f32).collect();
    let kept = y.clone();
    custom(vec![x], shape, y, move |gradient| {
        let at = |((&gradient, &value), &y): ((&f32, &f32), &f32)| {
            (f64::from(gradient) * slope(f64::from(value), f64::from(y))) as f32
        };
        let all = gradient.par_iter().zip(&values).zip(&kept);
        vec![all.with_min_len(MIN_LEN).map(at).collect()]
    })
}
