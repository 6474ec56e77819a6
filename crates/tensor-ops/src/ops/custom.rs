//! An operation whose value and gradient are computed by its caller.

use dfdx::tensor::{PutTape as _, SplitTape as _};

use crate::{
    Device, Features, OpError, Recording,
    backend::{Backend, Computed, on},
    tape::{NamedRows, Pass, join},
    values::Place,
};

/// An operation that is not in this crate: from any number of inputs to one output of `shape`, `(N, D)`.
///
/// `rows` is the value, `N * D` numbers row after row, which the caller has computed from the inputs;
/// [`Rows::rows`](crate::Rows::rows) reads those. `backward` is given the gradient of the loss in the output, in the same
/// order, and returns the gradients in the inputs: one for each, in the order of `inputs`, each as long as the input. That of
/// an input that is not recorded is thrown away, and may be empty. `backward` runs at most once, and not at all if no input is
/// recorded, or if the recording of the output is not part of that of the loss. If it is, and the output itself has no part in
/// the loss, `backward` is given zeros. What it needs of the inputs or of the output it keeps by itself.
///
/// Values and gradients are in the host's memory: where operations compute on the CUDA device, `rows` and the gradients are
/// copied there, and the gradient of the output is copied from there, in every step.
///
/// [`check_gradient`](crate::check_gradient) compares what `backward` gives with finite differences.
///
/// ```
/// use tensor_ops::{Device, Features, OpError, Recording, Rows, custom, features_from_rows};
///
/// /// `sin(x)`, value by value; its gradient is that of the output times `cos(x)`.
/// fn sine(x: Features) -> Result<Features, OpError> {
///     let (shape, values) = ((x.n(), x.d()), x.rows());
///     let sines = values.iter().map(|x| x.sin()).collect();
///     custom(vec![x], shape, sines, move |gradient| {
///         vec![gradient.iter().zip(&values).map(|(gradient, x)| gradient * x.cos()).collect()]
///     })
/// }
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![0.0, 1.0], Recording::start())?;
/// assert_eq!(sine(x)?.rows(), [0.0, 1.0_f32.sin()]);
/// # Ok::<(), OpError>(())
/// ```
///
/// # Errors
///
/// When there is no input, a size of `shape` is 0, or `rows` has another number of values. A backward pass fails when
/// `backward` gives another number of gradients than there are inputs, or one of another length than its input.
pub fn custom(
    inputs: Vec<Features>,
    shape: (usize, usize),
    rows: Vec<f32>,
    backward: impl FnOnce(&[f32]) -> Vec<Vec<f32>> + 'static,
) -> Result<Features, OpError> {
    const OP: &str = "custom";
    let Some(first) = inputs.first() else {
        return Err(OpError::value(OP, "number of inputs", 0, "there must be at least one"));
    };
    let (n, d) = shape;
    if n == 0 || d == 0 {
        return Err(OpError::value(OP, "shape of the output", shape, "every size must be at least 1"));
    }
    if n.checked_mul(d) != Some(rows.len()) {
        let what = "number of values of an output of this shape";
        return Err(OpError::Shape {
            op: OP,
            what,
            expected: format!("{n} * {d}"),
            got: rows.len().to_string(),
        });
    }
    let device = first.device().clone();
    Ok(on!(Place::of_process(), |backend| record(backend, &device, inputs, (shape, rows), backward))?)
}

fn record<B: Backend>(
    backend: B,
    device: &Device,
    inputs: Vec<Features>,
    (shape, rows): ((usize, usize), Vec<f32>),
    backward: impl FnOnce(&[f32]) -> Vec<Vec<f32>> + 'static,
) -> Computed<Features> {
    let mut recording = Recording::Off;
    let mut names = Vec::with_capacity(inputs.len());
    for input in inputs {
        let (input, own) = input.split_tape();
        names.push(own.is_on().then(|| NamedRows::of(&input)));
        recording = join(recording, own);
    }
    let backward = move |pass: &mut Pass<'_>, gradient: B::Values| {
        let gradients = backward(&backend.to_host(&gradient)?);
        send(backend, pass, &names, gradients)
    };
    NamedRows::output(backend, device, shape, backend.upload(rows)?, recording, Some(backward))
}

/// Adds gradients to those of the inputs that are recorded.
fn send<B: Backend>(
    backend: B,
    pass: &mut Pass<'_>,
    names: &[Option<NamedRows>],
    gradients: Vec<Vec<f32>>,
) -> Computed<()> {
    const OP: &str = "the backward pass of `custom`";
    if gradients.len() != names.len() {
        let what = "number of gradients, one for each input,";
        return Err(pass.fail(OpError::shape(OP, what, names.len(), gradients.len())));
    }
    for (input, (name, gradient)) in names.iter().zip(gradients).enumerate() {
        let Some(name) = name else { continue };
        if gradient.len() != name.n_values() {
            return Err(pass.fail(OpError::Shape {
                op: OP,
                what: "number of values of a gradient",
                expected: format!("{}, that of input {input}", name.n_values()),
                got: gradient.len().to_string(),
            }));
        }
        name.add(backend, pass, &backend.upload(gradient)?)?;
    }
    Ok(())
}

/// The same features, and whether they are recorded: whether their gradient is worth computing.
pub(super) fn inspected(x: Features) -> (Features, bool) {
    let (x, recording) = x.split_tape();
    let is_recorded = recording.is_on();
    (x.put_tape(recording), is_recorded)
}
