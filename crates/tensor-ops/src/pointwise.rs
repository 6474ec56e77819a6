//! ReLU, and sums of branches.

use std::sync::Arc;

use rayon::prelude::*;

use crate::{
    FeatureMap, Gradients, OpError,
    device::MapSlot,
    feature_map::join,
    memory::{TASK_LEN, build_evenly},
    values::Values,
};

/// `max(x, 0)`.
///
/// # Errors
///
/// When the device fails.
pub fn relu(x: FeatureMap) -> Result<FeatureMap, OpError> {
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return crate::cuda::relu(x);
    }
    let values = Arc::new(Values::new(rectify(&x.values.whole()), x.precision()));
    let slot = MapSlot::new(x.device(), x.layout.len());
    let (x, recording) = x.split_recording();
    let layout = x.layout;
    let backward = x.needs_gradient.then(|| {
        let (x, output) = (x.slot.clone(), Arc::clone(&values));
        move |gradients: &mut Gradients, gradient: Values| {
            let precision = gradient.precision();
            let mut gradient = gradient.into_whole();
            mask(&mut gradient, &output.whole());
            x.add(gradients, Values::new(gradient, precision))
        }
    });
    Ok(FeatureMap::output(slot, layout, values, recording, backward))
}

/// `a + b`.
///
/// # Errors
///
/// When the shapes differ.
pub fn add(a: FeatureMap, b: FeatureMap) -> Result<FeatureMap, OpError> {
    same_shape(&a, &b)?;
    #[cfg(feature = "cuda")]
    if a.values.on_device().is_some() {
        return crate::cuda::sum(a, b, false);
    }
    sum(a, b, |sum| sum, |_, _| ())
}

/// `max(a + b, 0)`, in one pass over memory.
///
/// # Errors
///
/// When the shapes differ.
pub fn add_relu(a: FeatureMap, b: FeatureMap) -> Result<FeatureMap, OpError> {
    same_shape(&a, &b)?;
    #[cfg(feature = "cuda")]
    if a.values.on_device().is_some() {
        return crate::cuda::sum(a, b, true);
    }
    sum(a, b, |sum| if sum < 0.0 { 0.0 } else { sum }, mask)
}

fn same_shape(a: &FeatureMap, b: &FeatureMap) -> Result<(), OpError> {
    if a.layout != b.layout {
        return Err(OpError::shape("add", "shape of the second term", a.shape(), b.shape()));
    }
    Ok(())
}

fn sum(
    a: FeatureMap,
    b: FeatureMap,
    tail: impl Fn(f32) -> f32 + Sync,
    mask: impl Fn(&mut [f32], &[f32]) + 'static,
) -> Result<FeatureMap, OpError> {
    let layout = a.layout;
    let (a_values, b_values) = (a.values.whole(), b.values.whole());
    let values = build_evenly(layout.len(), |start, out| {
        let terms = a_values[start..].iter().zip(&b_values[start..]);
        for (out, (a, b)) in out.iter_mut().zip(terms) {
            *out = tail(a + b);
        }
    });
    drop((a_values, b_values));
    let values = Arc::new(Values::new(values, a.precision()));
    let slot = MapSlot::new(a.device(), layout.len());
    let (a, recording) = a.split_recording();
    let (b, other) = b.split_recording();
    let slots: Vec<MapSlot> =
        [a, b].into_iter().filter(|term| term.needs_gradient).map(|term| term.slot).collect();
    let backward = (!slots.is_empty()).then(|| {
        let output = Arc::clone(&values);
        move |gradients: &mut Gradients, gradient: Values| {
            let precision = gradient.precision();
            let mut gradient = gradient.into_whole();
            mask(&mut gradient, &output.whole());
            if let [_, second] = &slots[..] {
                second.add(gradients, Values::new(gradient.clone(), precision))?;
            }
            slots[0].add(gradients, Values::new(gradient, precision))
        }
    });
    Ok(FeatureMap::output(slot, layout, values, join(recording, other), backward))
}

/// `max(x, 0)`; NaN stays.
pub(crate) fn rectify(values: &[f32]) -> Vec<f32> {
    build_evenly(values.len(), |start, out| {
        for (out, &value) in out.iter_mut().zip(&values[start..]) {
            *out = if value < 0.0 { 0.0 } else { value };
        }
    })
}

/// Zeros the gradient where ReLU was off.
pub(crate) fn mask(gradient: &mut [f32], output: &[f32]) {
    gradient.par_chunks_mut(TASK_LEN).zip(output.par_chunks(TASK_LEN)).for_each(|(gradient, output)| {
        for (gradient, &output) in gradient.iter_mut().zip(output) {
            *gradient = if output > 0.0 { *gradient } else { 0.0 };
        }
    });
}
