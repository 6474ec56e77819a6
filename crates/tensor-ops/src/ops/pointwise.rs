//! ReLU, and sums of branches.

use std::sync::Arc;

use crate::{
    FeatureMap, Features, OpError, Rows as _,
    backend::{Backend, on},
    tape::{NamedRows, Pass, Slot, join},
    values::Place,
};

/// `max(x, 0)`; NaN stays.
///
/// # Errors
///
/// When the device fails.
pub fn relu(x: FeatureMap) -> Result<FeatureMap, OpError> {
    on!(x.values.place(), |backend| relu_on(backend, x))
}

fn relu_on<B: Backend>(backend: B, x: FeatureMap) -> Result<FeatureMap, OpError> {
    let y = Arc::new(B::any(backend.relu(B::of(&x.values))?));
    let (device, layout) = (x.device().clone(), x.layout);
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let (x, output) = (x.slot, Arc::clone(&y));
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            x.add(backend, pass.by_slot, backend.mask(gradient, B::of(&output))?)
        }
    });
    Ok(FeatureMap::output(backend, &device, layout, y, recording, backward))
}

/// `max(x, 0)`; NaN stays.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows, relu_features};
///
/// let x = features_from_rows(&Device::default(), (1, 2), vec![-1.0, 2.0], Recording::Off)?;
/// assert_eq!(relu_features(x)?.rows(), [0.0, 2.0]);
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the device fails.
pub fn relu_features(x: Features) -> Result<Features, OpError> {
    on!(Place::of_process(), |backend| relu_features_on(backend, x))
}

fn relu_features_on<B: Backend>(backend: B, x: Features) -> Result<Features, OpError> {
    let shape = (x.n(), x.d());
    let (x, name, recording) = NamedRows::split(backend, x)?;
    let y = backend.relu(&x)?;
    drop(x);
    let device = name.device().clone();
    let output = recording.is_on().then(|| backend.duplicate(&y)).transpose()?;
    let backward = output.map(|output| {
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            name.add(backend, pass, &backend.mask(gradient, &output)?)
        }
    });
    Ok(NamedRows::output(backend, &device, shape, y, recording, backward)?)
}

/// `a + b`.
///
/// # Errors
///
/// When the shapes differ.
pub fn add(a: FeatureMap, b: FeatureMap) -> Result<FeatureMap, OpError> {
    on!(a.values.place(), |backend| sum(backend, "add", a, b, false))
}

/// `max(a + b, 0)`, in one pass over memory.
///
/// # Errors
///
/// When the shapes differ.
pub fn add_relu(a: FeatureMap, b: FeatureMap) -> Result<FeatureMap, OpError> {
    on!(a.values.place(), |backend| sum(backend, "add_relu", a, b, true))
}

fn sum<B: Backend>(
    backend: B,
    op: &'static str,
    a: FeatureMap,
    b: FeatureMap,
    is_rectified: bool,
) -> Result<FeatureMap, OpError> {
    if a.layout != b.layout {
        return Err(OpError::shape(op, "shape of the second term", a.shape(), b.shape()));
    }
    let (device, layout) = (a.device().clone(), a.layout);
    let y = Arc::new(B::any(backend.sum(B::of(&a.values), B::of(&b.values), is_rectified)?));
    let (a, recording) = a.split_recording();
    let (b, other) = b.split_recording();
    let slots: Vec<Slot> =
        [a, b].into_iter().filter(|term| term.needs_gradient).map(|term| term.slot).collect();
    let backward = (!slots.is_empty()).then(|| {
        let output = is_rectified.then(|| Arc::clone(&y));
        move |pass: &mut Pass<'_>, mut gradient: B::Values| {
            if let Some(output) = output {
                gradient = backend.mask(gradient, B::of(&output))?;
            }
            if let [_, second] = &slots[..] {
                second.add(backend, pass.by_slot, backend.duplicate(&gradient)?)?;
            }
            slots[0].add(backend, pass.by_slot, gradient)
        }
    });
    Ok(FeatureMap::output(backend, &device, layout, y, join(recording, other), backward))
}
