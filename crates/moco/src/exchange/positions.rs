//! Weights of an encoder for images of another size.

use plugin_api::{Backbone, OfOtherSize, Resized};
use run_store::checkpoint::Stored;
use weights::{Shape, Tensors};

use super::comparison::layout_of_module;

/// Those of `tensors`, under names that begin with `prefix`, whose shape is another than that of the backbone's.
pub(crate) fn others(backbone: &dyn Backbone, tensors: &Tensors, prefix: &str) -> Tensors {
    let mut others = Tensors::new();
    for (name, expected) in layout_of_module(backbone) {
        let name = format!("{prefix}{name}");
        match tensors.get(&name) {
            Some(stored) if Shape::of(stored) != expected => drop(others.insert(name, stored.clone())),
            _ => {}
        }
    }
    others
}

/// Fits those of `tensors`, weights of a network like `backbone` that was built for images of another size, whose shape is another
/// than the backbone's. Its names are what follows `prefix`. Gives what was done under each name.
pub(crate) fn resize(
    backbone: &dyn Backbone,
    tensors: &mut Tensors,
    prefix: &str,
    image_size: Option<(usize, usize)>,
) -> Vec<(String, Resized)> {
    let mut resized = Vec::new();
    for (name, expected) in layout_of_module(backbone) {
        let (Shape::Floats(expected), Some(Stored::F32 { shape, values })) =
            (expected, tensors.get_mut(&format!("{prefix}{name}")))
        else {
            continue;
        };
        if *shape == expected {
            continue;
        }
        let Some(fitted) = backbone.resized(&name, OfOtherSize { shape, values, image_size }) else {
            continue;
        };
        if fitted.values.len() == expected.iter().product::<usize>() {
            values.clone_from(&fitted.values);
            *shape = expected;
            resized.push((name, fitted));
        }
    }
    resized
}
