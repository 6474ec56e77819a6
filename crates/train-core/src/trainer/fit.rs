//! Finds by trial what would fit, after a step ran out of device memory.

use tensor_ops::{Device, FeatureMap, OpError, Recording};

use crate::engine::{Engine, EngineError, Images};
use pipeline::Pipeline;
use processes::Alone;

/// Changes to a pipeline that make its steps fit on the device. Each was tried, halving the size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// The largest `data.micro_batch` that fits.
    pub micro_batch: Option<usize>,
    /// The largest `data.batch` that fits; not searched for if a batch is already processed in parts.
    pub batch: Option<usize>,
    /// A `data.micro_batch` that the pipeline check rejects, and its reason, if it rejects all that are small enough.
    pub refused: Option<(usize, String)>,
}

impl Fit {
    pub(super) fn hint(&self, others_have_memory: bool) -> String {
        let hint = match (self.micro_batch, self.batch, &self.refused) {
            (Some(size), Some(batch), _) => {
                format!("`data.micro_batch: {size}` would fit, or a batch of at most {batch}")
            }
            (Some(size), None, _) => format!("`data.micro_batch: {size}` would fit"),
            (None, Some(batch), Some((size, message))) => format!(
                "a batch of at most {batch} would fit; `data.micro_batch: {size}` needs another change first: {message}"
            ),
            (None, Some(batch), None) => format!("a batch of at most {batch} would fit"),
            (None, None, _) => {
                "nothing would fit, down to the smallest batch: take a smaller network, smaller images or \
                                another device"
                    .to_owned()
            }
        };
        match others_have_memory {
            true => hint + "; `nvidia-smi` lists the other programs",
            false => hint,
        }
    }
}

/// The result for a changed pipeline.
enum Trial {
    Fits,
    TooLarge,
    /// The message of the check.
    Refused(String),
}

/// Searches for changes of the pipeline `text` that fit. It takes `batch` images, `at_once` of them at a time.
///
/// Nothing else may have values on the device.
pub(super) fn find_fit(text: &str, batch: usize, at_once: usize, device: &Device) -> Fit {
    let with = |field: &str, n: usize| attempt(text, &format!("data.{field}={n}"), device);
    let fits = |field: &str, n: usize| matches!(with(field, n), Trial::Fits);
    let sizes = part_sizes(batch, at_once);
    let mut fit =
        Fit { micro_batch: sizes.iter().copied().find(|&size| fits("micro_batch", size)), ..Fit::default() };
    if at_once < batch {
        return fit;
    }
    let mut batches = std::iter::successors(Some(fit.micro_batch.unwrap_or(batch / 2)), |n| Some(n / 2));
    // Batch statistics need two images.
    fit.batch = batches.by_ref().take_while(|&n| n >= 2).find(|&n| fits("batch", n));
    if let (None, Some(largest)) = (fit.micro_batch, fit.batch) {
        fit.refused = sizes.into_iter().find(|&size| size <= largest).and_then(|size| {
            match with("micro_batch", size) {
                Trial::Refused(message) => Some((size, message)),
                Trial::Fits | Trial::TooLarge => None,
            }
        });
    }
    fit
}

/// Divisors of `batch` below `at_once`, each the largest that is at most half of the one before.
fn part_sizes(batch: usize, at_once: usize) -> Vec<usize> {
    std::iter::successors(Some(at_once), |&size| {
        (1..=size / 2).rev().find(|&smaller| batch.is_multiple_of(smaller))
    })
    .skip(1)
    .collect()
}

fn attempt(text: &str, change: &str, device: &Device) -> Trial {
    let pipeline = match Pipeline::parse("pipeline", text, &[change.to_owned()], device) {
        Ok(pipeline) => pipeline,
        Err(fault) => return Trial::Refused(fault.message.clone()),
    };
    let outcome = two_steps(pipeline, device);
    match (outcome, tensor_ops::give_back_memory()) {
        (Ok(()), Ok(())) => Trial::Fits,
        _ => Trial::TooLarge,
    }
}

/// Two steps on random images: in the second one, the optimizer state exists.
fn two_steps(pipeline: Pipeline, device: &Device) -> Result<(), EngineError> {
    let Pipeline { network, seed, batch, views, .. } = pipeline;
    let mut engine = Engine::new(network, seed, device.clone(), std::sync::Arc::new(Alone))?;
    let parts = engine.parts().clone();
    let shape_of = |name: &String| {
        let view = views.iter().find(|view| view.name == *name)?;
        Some([view.size.0, view.size.1, view.channels])
    };
    let shapes: Vec<[usize; 3]> = engine.graph().views.iter().filter_map(shape_of).collect();
    for _ in 0..2 {
        let mut n_given = 0;
        let mut next = || -> Result<Images, EngineError> {
            let pass = &parts.passes[n_given / parts.n_parts];
            n_given += 1;
            let n = batch / parts.n_parts;
            let views = pass.views.iter().map(|&view| made_up(device, n, shapes[view]));
            Ok(of_one_class(n, views.collect::<Result<_, OpError>>()?))
        };
        let mut computed = engine.compute(batch, 0.99, &mut next)?;
        // Whether they are finite does not matter here.
        let _ = engine.gradient_norms(&mut computed.gradients)?;
        engine.enqueue(&computed.keys)?;
        engine.update(&mut computed.gradients, 0.0)?;
    }
    Ok(())
}

/// `n` images that are nowhere, all of one class.
pub(super) fn of_one_class(n: usize, views: Vec<FeatureMap>) -> Images {
    Images { views, indices: (0..n).collect(), labels: vec![0; n] }
}

pub(super) fn made_up(device: &Device, n: usize, [h, w, c]: [usize; 3]) -> Result<FeatureMap, OpError> {
    let values: Vec<f32> = (0..n * h * w * c).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect();
    FeatureMap::from_nhwc(device, [n, h, w, c], &values, Recording::Off)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_divide_the_batch_and_halve() {
        assert_eq!(part_sizes(256, 256), [128, 64, 32, 16, 8, 4, 2, 1]);
        assert_eq!(part_sizes(250, 250), [125, 50, 25, 10, 5, 2, 1]);
        assert_eq!(part_sizes(256, 32), [16, 8, 4, 2, 1]);
        assert_eq!(part_sizes(7, 7), [1]);
    }
}
