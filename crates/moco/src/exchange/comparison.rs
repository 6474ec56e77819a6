//! Weights of a file beside those of a module.

use std::collections::BTreeMap;
use std::path::Path;

use plugin_api::{Entry, Module};
use weights::{Report, Shape};

use super::error::{Counterpart, ExchangeError, Mismatch};

/// Fails with the first mismatch.
pub(super) fn check(
    path: &Path,
    part: &'static str,
    report: &Report,
    of: &Counterpart,
) -> Result<(), ExchangeError> {
    let name = |name: &String| name.clone();
    let misshapen = report.misshapen.first().map(|(name, found, expected)| Mismatch::Shape {
        name: name.clone(),
        shapes: Box::new((found.clone(), expected.clone())),
    });
    let missing = report.missing.first().map(name);
    let unexpected = report.unexpected.first().map(name);
    let mismatch = misshapen
        .or(missing.map(|name| Mismatch::Missing { name }))
        .or(unexpected.map(|name| Mismatch::Unexpected { name }));
    match mismatch {
        None => Ok(()),
        Some(mismatch) => Err(ExchangeError::Mismatch { part, path: path.into(), of: of.clone(), mismatch }),
    }
}

/// Whether the layer `first`, which images enter, takes other channels than those that the images have.
pub(super) fn other_channels(report: &Report, first: &str) -> Option<Mismatch> {
    let channels = |shape: &Shape| match shape {
        Shape::Floats(shape) => {
            <[usize; 4]>::try_from(shape.as_slice()).ok().map(|[_, channels, ..]| channels)
        }
        Shape::Count => None,
    };
    let (_, found, expected) = report.misshapen.iter().find(|(name, ..)| name == first)?;
    let (weights, images) = channels(found).zip(channels(expected))?;
    (weights != images).then_some(Mismatch::Channels { weights, images })
}

/// The names and shapes of a module's weights.
pub(super) fn layout_of_module<M: Module + ?Sized>(module: &M) -> BTreeMap<String, Shape> {
    let mut layout = BTreeMap::new();
    module.visit(&mut |name, entry| {
        let shape = match entry {
            Entry::Parameter(parameter) => Shape::Floats(parameter.torch_shape()),
            Entry::Buffer(buffer) => Shape::Floats(buffer.shape().to_vec()),
            Entry::Counter(_) => Shape::Count,
        };
        layout.insert(name.to_owned(), shape);
    });
    layout
}
