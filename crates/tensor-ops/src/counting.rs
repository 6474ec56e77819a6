//! Counts the products of operations, for who wants to know what a network costs.
//!
//! Operations tell it themselves, so a network of any plugin can be counted, without a word from the plugin.

use std::cell::RefCell;

/// Tells one [`Parameter`](crate::Parameter) from all others of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterId(pub(crate) u64);

/// An operation that multiplies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The operation, for instance `conv2d`.
    pub op: &'static str,
    /// The weight that it multiplies by; `None` where both factors are computed, as in attention and in losses.
    pub weight: Option<ParameterId>,
    /// The shape of its output: images first.
    pub output: Vec<usize>,
    /// Multiplications, each with an addition, of the forward pass, as the operation is defined. Padding counts, and an algorithm
    /// that multiplies less does not change it.
    pub products: u64,
    /// Those of the backward pass that was recorded; 0 without a recording.
    pub backward_products: u64,
}

thread_local! {
    static COUNTED: RefCell<Option<Vec<Counted>>> = const { RefCell::new(None) };
}

/// Computes, and says what operations of this thread multiplied, in their order. Operations of convolutions, linear layers,
/// attention and losses are counted; all others multiply a vanishing share.
pub fn count_products<R>(compute: impl FnOnce() -> R) -> (R, Vec<Counted>) {
    let _outer = Outer(COUNTED.replace(Some(Vec::new())));
    let result = compute();
    (result, COUNTED.take().unwrap_or_default())
}

/// What was counted outside, which goes on where this ends: by a panic too, after which nobody would count otherwise.
struct Outer(Option<Vec<Counted>>);

impl Drop for Outer {
    fn drop(&mut self) {
        COUNTED.set(self.0.take());
    }
}

/// Tells of an operation, if anybody counts.
pub(crate) fn count(operation: impl FnOnce() -> Counted) {
    COUNTED.with_borrow_mut(|counted| {
        if let Some(counted) = counted {
            counted.push(operation());
        }
    });
}

/// Products for one side of a matrix multiplication: `sizes` multiplied.
pub(crate) fn product(sizes: &[usize]) -> u64 {
    sizes.iter().map(|&size| size as u64).product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;
    use crate::{
        ConvAlgorithm, ConvGeometry, Device, FeatureMap, Parameter, ParameterKind, Recording, attention,
        conv2d, features_from_rows, linear, linear_tokens, tokens_from_map,
    };

    fn parameter(kind: ParameterKind, shape: &[usize]) -> Parameter {
        let values = noise(1, shape.iter().product());
        Parameter::new(&Device::default(), kind, shape, values).unwrap()
    }

    fn images(recording: Recording) -> FeatureMap {
        FeatureMap::from_nhwc(&Device::default(), [2, 4, 4, 3], &noise(2, 96), recording).unwrap()
    }

    #[test]
    fn a_convolution_counts_each_tap_of_each_output() {
        let weight = parameter(ParameterKind::Kernel, &[3, 3, 3, 5]);
        let geometry = ConvGeometry::square(3, 2, 1);
        let forward = |recording| {
            let ((), counted) = count_products(|| {
                conv2d(images(recording), &weight, None, geometry, ConvAlgorithm::Auto).map(drop).unwrap();
            });
            counted
        };
        let [alone] = &forward(Recording::Off)[..] else { panic!("one operation") };
        assert_eq!(
            (alone.op, alone.weight, &alone.output[..]),
            ("conv2d", Some(weight.id()), &[2, 2, 2, 5][..])
        );
        assert_eq!((alone.products, alone.backward_products), (2 * 2 * 2 * 5 * 27, 0));
        // Images need no gradient, and the weights do.
        let [recorded] = &forward(Recording::start())[..] else { panic!("one operation") };
        assert_eq!(recorded.backward_products, recorded.products);
    }

    #[test]
    fn linear_layers_and_attention_count_their_matrices() {
        let device = Device::default();
        let (matrix, wide) =
            (parameter(ParameterKind::Matrix, &[6, 4]), parameter(ParameterKind::Matrix, &[3, 12]));
        let (_, counted) = count_products(|| {
            let x = features_from_rows(&device, (5, 6), noise(3, 30), Recording::start()).unwrap();
            linear(x, &matrix, None).unwrap();
            let tokens = tokens_from_map(images(Recording::Off)).unwrap();
            attention(linear_tokens(tokens, &wide, None).unwrap(), 2).unwrap();
        });
        let products: Vec<(u64, u64)> =
            counted.iter().map(|counted| (counted.products, counted.backward_products)).collect();
        assert_eq!(products, [(5 * 6 * 4, 2 * 5 * 6 * 4), (32 * 3 * 12, 0), (2 * 2 * 2 * 16 * 16 * 2, 0)]);
        assert_eq!(counted[2].weight, None);
    }

    #[test]
    fn nothing_is_kept_when_nobody_counts() {
        let ((), outer) = count_products(|| {
            let ((), inner) = count_products(|| count(|| panic_free("inner")));
            assert_eq!(inner.len(), 1);
            count(|| panic_free("outer"));
        });
        assert_eq!(outer.len(), 1);
        count(|| unreachable!("nobody counts"));
    }

    #[test]
    fn nobody_counts_after_a_panic() {
        let panics = || count_products(|| panic!("made to fail"));
        let ((), outer) = count_products(|| {
            assert!(std::panic::catch_unwind(panics).is_err());
            count(|| panic_free("outer"));
        });
        assert_eq!(outer.len(), 1);
        assert!(std::panic::catch_unwind(panics).is_err());
        count(|| unreachable!("nobody counts"));
    }

    fn panic_free(op: &'static str) -> Counted {
        Counted { op, weight: None, output: Vec::new(), products: 1, backward_products: 0 }
    }
}
