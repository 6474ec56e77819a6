//! What functions refuse, before anything runs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kernels_cpu::{ConvGeometry, Layout, Precision};

use super::*;
use crate::{
    Error,
    contrast::{Asked, Candidates, contrast},
    conv::Convolution,
    rows::{gather_rows, unit_rows},
    sum_rows, zeros,
};

#[track_caller]
fn refuses<T>(what: &str, work: impl FnOnce() -> T) {
    assert!(catch_unwind(AssertUnwindSafe(work)).is_err(), "{what} is let through");
}

#[test]
fn copies_of_another_weight_are_refused() {
    let layout = Layout { n: 2, h: 5, w: 5, c: 8 };
    for (groups, n_out) in [(1, 16), (4, 16)] {
        let conv = Convolution {
            geometry: ConvGeometry::square(3, 1, 1),
            groups,
            from: layout,
            to: Layout { c: n_out, ..layout },
        };
        let n_weights = 9 * (layout.c / groups) * n_out;
        let (small, _) = weight(1, (layout.c / groups) * n_out, Precision::F32);
        let (large, _) = weight(2, n_weights, Precision::F32);
        for precision in [Precision::F32, Precision::Bf16] {
            let forms = Forms::default();
            let of_small = Weight { values: &small, forms: &forms };
            of_small.plain(precision).unwrap();
            of_small.transposed(precision, (layout.c / groups, n_out)).unwrap();
            of_small.transposed(Precision::F32, (layout.c / groups, n_out)).unwrap();
            let weight = Weight { values: &large, forms: &forms };
            let (x, _) = array(3, layout.len(), precision);
            let (gradient, _) = array(4, conv.to.len(), precision);
            // In groups, the forward pass reads the weight itself.
            if groups == 1 {
                refuses("a forward pass", || conv.forward(&x, weight, None));
            }
            if groups > 1 || precision == Precision::Bf16 {
                refuses("a backward pass", || conv.data_gradient(&gradient, weight, precision, None));
            }
        }
    }
}

#[test]
fn copies_in_other_sizes_are_refused() {
    let (values, _) = weight(1, 24, Precision::F32);
    for precision in [Precision::F32, Precision::Bf16] {
        let forms = Forms::default();
        let weight = Weight { values: &values, forms: &forms };
        weight.transposed(precision, (4, 6)).unwrap();
        weight.transposed(precision, (4, 6)).unwrap();
        refuses("another shape", || weight.transposed(precision, (6, 4)).map(drop));
    }
}

#[test]
fn numbers_of_bytes_that_wrap_around_are_errors() {
    for len in [1 << 62, usize::MAX / 4, usize::MAX] {
        assert!(matches!(zeros(len), Err(Error::Size { got, .. }) if got == len), "{len} values");
    }
    let halves = Array::unwritten(1 << 63, Precision::Bf16);
    assert!(matches!(halves, Err(Error::Size { got, .. }) if got == 1 << 63));
    assert!(matches!(zeros(1 << 60), Err(error) if error.is_out_of_memory()));
}

#[test]
fn parts_of_rows_are_refused() {
    let (x, _) = array(1, 14, Precision::F32);
    refuses("unit rows", || unit_rows(&x, 4).map(drop));
    refuses("a sum of rows", || sum_rows(&x, 4).map(drop));
    refuses("an order of rows", || gather_rows(&x, 4, &[0, 2]).map(drop));
    let asked = Asked { temperature: 1.0, gradient_factor: None, keeps_logits: false };
    for first in [1, usize::MAX] {
        refuses("a positive beyond the keys", || {
            contrast(&x, 7, Candidates::Keys { keys: &x, first }, asked).map(drop)
        });
    }
}

#[test]
fn a_panic_leaves_the_rounding_of_products_as_it_was() {
    use crate::{context::is_tensor_float, with_tensor_float};
    let before = is_tensor_float();
    refuses("a panic", || with_tensor_float(!before, || -> () { panic!("of the test") }));
    assert_eq!(is_tensor_float(), before);
}
