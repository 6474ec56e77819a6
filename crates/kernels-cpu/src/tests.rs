//! What does not fit is a panic, of every kernel: nothing is computed of a part of what is given.

use std::panic::catch_unwind;

use crate::{
    ConvGeometry, Family, Layout, Lent, Precision, Values,
    blend::blend,
    contrast::{Setting, against_queue, in_batch},
    conv::{ConvAlgorithm, Convolution},
    matrix::{Packed, RowsProduct, Side, multiply, outer_products, scale},
    memory, pointwise, pool, rows,
    tokens::{
        attention::{self, Normalizer, Sizes},
        layer_norm::LayerNorm,
        rows as token_rows,
    },
    unit_rows,
};

const SETTING: Setting = Setting { temperature: 1.0, wants_gradient: false, keeps_logits: false };
/// Two tokens of one head of two features: 12 values of queries, keys and values.
const SIZES: Sizes = Sizes { t: 2, heads: 1, dh: 2 };
const NORM: LayerNorm<'_> = LayerNorm { scale: &[1.0; 3], eps: 1e-6 };

fn family() -> Family {
    Family::portable()
}

fn ones(n: usize) -> Values {
    Values::F32(vec![1.0; n])
}

/// Three rows by a matrix of 2 by 3, with these addends.
fn product(n: usize, bias: Option<&[f32]>, residual: Option<&[f32]>) -> Values {
    let packed = Packed::new(family(), Side::plain(&[1.0; 6], 2, 3), Precision::F32);
    let product = RowsProduct { packed: &packed, bias, residual: residual.map(Lent::F32) };
    product.multiply(Lent::F32(&vec![1.0; n]), Precision::F32)
}

const WINDOW: ConvGeometry = ConvGeometry { kernel: (2, 2), stride: (2, 2), padding: (0, 0) };
const MAP: Layout = Layout { n: 1, h: 4, w: 4, c: 3 };
const POOLED: Layout = Layout { n: 1, h: 2, w: 2, c: 3 };

/// A convolution of 96 values by 135 weights and 5 biases.
fn convolved(n_x: usize, n_weights: usize, n_biases: usize) -> Values {
    let (weight, bias) = (vec![1.0; n_weights], vec![1.0; n_biases]);
    convolution(4, 2).forward(&weight, &ones(n_x), Some(&bias), false).values
}

fn convolution(h: usize, n: usize) -> Convolution {
    let (from, to) = (Layout { n: 2, h: 4, w: 4, c: 3 }, Layout { n, h, w: 4, c: 5 });
    let geometry = ConvGeometry::square(3, 1, 1);
    Convolution::new(family(), ConvAlgorithm::Auto, Precision::F32, geometry, from, to)
}

/// Each is right but for one length.
const WRONG: [(&str, fn()); 53] = [
    ("a shorter addend", || ones(3).add(&ones(2))),
    ("a longer addend", || ones(3).add(&ones(4))),
    ("parts of fewer values", || memory::change(&mut [1.0; 5], &[2, 2], vec![(), ()], |_, (), _| {})),
    ("a part with nothing of its own", || memory::change(&mut [1.0; 4], &[2, 2], vec![()], |_, (), _| {})),
    ("a sum of fewer", || drop(pointwise::sum(family(), &ones(3), &ones(2), false))),
    ("a mask of fewer", || drop(pointwise::masked(family(), ones(3), &ones(2)))),
    ("a mask in place of fewer", || pointwise::mask(family(), &mut [1.0; 3], &[1.0; 2])),
    ("a sum in place of fewer", || pointwise::add_to(family(), &mut [1.0; 3], &[1.0; 2])),
    ("an average of fewer", || blend(&mut [1.0; 3], &[1.0; 2], 0.5)),
    ("rows to add to", || rows::add(family(), &mut ones(7), &[1.0; 3])),
    ("rows to add to in single precision", || rows::add_to_rows(family(), &mut [1.0; 7], &[1.0; 3])),
    ("rows to sum", || drop(rows::sum(family(), Lent::F32(&[1.0; 7]), 3))),
    ("rows to normalize", || drop(unit_rows::normalize(family(), &mut [1.0; 7], 3))),
    ("a gradient of unit rows", || unit_rows::backward(family(), &mut [1.0; 5], &[1.0; 6], &[1.0; 2])),
    ("lengths of unit rows", || unit_rows::backward(family(), &mut [1.0; 7], &[1.0; 7], &[1.0; 2])),
    ("rows of a layer norm", || drop(NORM.forward(family(), &ones(7), &[1.0; 3]))),
    ("a shorter shift", || drop(NORM.forward(family(), &ones(6), &[1.0; 2]))),
    ("a longer shift", || drop(NORM.forward(family(), &ones(6), &[1.0; 4]))),
    ("rows of a layer norm's gradient", || drop(NORM.backward(family(), &ones(7), ones(7), None))),
    ("a layer norm's gradient", || drop(NORM.backward(family(), &ones(6), ones(9), None))),
    ("a layer norm's sum", || drop(NORM.backward(family(), &ones(6), ones(6), Some(ones(9))))),
    ("images of an attention", || drop(attention::forward(family(), SIZES, &ones(13)))),
    ("images of an attention's gradient", || {
        drop(attention::backward(family(), SIZES, &ones(13), &[Normalizer::default(); 2], &ones(4)));
    }),
    ("an attention's normalizers", || {
        drop(attention::backward(family(), SIZES, &ones(12), &[Normalizer::default(); 3], &ones(4)));
    }),
    ("an attention's gradient", || {
        drop(attention::backward(family(), SIZES, &ones(12), &[Normalizer::default(); 2], &ones(5)));
    }),
    ("a row of inputs", || outer(7, 4)),
    ("a row of gradients", || outer(6, 5)),
    ("more rows of gradients", || outer(6, 6)),
    ("a matrix", || drop(multiply(family(), &[1.0; 4], Side::plain(&[1.0; 7], 2, 3)))),
    ("a transposed matrix", || drop(multiply(family(), &[1.0; 4], Side::transposed(&[1.0; 7], 3, 2)))),
    ("rows of a product", || drop(multiply(family(), &[1.0; 5], Side::plain(&[1.0; 6], 2, 3)))),
    ("many rows of a product", || drop(multiply(family(), &[1.0; 2001], Side::plain(&[1.0; 6], 2, 3)))),
    ("rows of a packed product", || drop(product(5, None, None))),
    ("a shorter bias", || drop(product(6, Some(&[1.0; 2]), None))),
    ("a longer bias", || drop(product(6, Some(&[1.0; 4]), None))),
    ("a longer residual", || drop(product(6, None, Some(&[1.0; 12])))),
    ("fewer factors", || scale(family(), &mut ones(3), &ones(2))),
    ("rows of queries", || drop(against_queue(family(), (&[1.0; 7], 3), &[1.0; 7], &[1.0; 9], SETTING))),
    ("fewer keys than queries", || {
        drop(against_queue(family(), (&[1.0; 6], 3), &[1.0; 3], &[1.0; 9], SETTING));
    }),
    ("rows of keys", || drop(in_batch(family(), (&[1.0; 6], 3), &[1.0; 10], 0, SETTING))),
    ("another size of the output", || drop(Box::new(convolution(3, 2)))),
    ("other images of the output", || drop(Box::new(convolution(4, 3)))),
    ("a window's output", || {
        drop(pool::average(family(), WINDOW, MAP, Layout { h: 3, ..POOLED }, &ones(48)));
    }),
    ("a map to pool", || drop(pool::average(family(), WINDOW, MAP, POOLED, &ones(49)))),
    ("a gradient of windows", || drop(pool::average_gradient(family(), WINDOW, MAP, POOLED, &ones(13)))),
    ("a map to find the largest of", || drop(pool::largest(family(), WINDOW, MAP, POOLED, &ones(49)))),
    ("fewer taps", || {
        drop(pool::largest_gradient(family(), WINDOW, MAP, POOLED, &[0; 11], &ones(12)));
    }),
    ("a map to average", || drop(pool::global_average(family(), MAP, &ones(49)))),
    ("gradients of means", || {
        drop(pool::global_average_gradient(family(), MAP, &[1.0; 4], Precision::F32));
    }),
    ("a map to convolve", || drop(convolved(97, 135, 5))),
    ("weights", || drop(convolved(96, 136, 5))),
    ("biases", || drop(convolved(96, 135, 6))),
    ("tokens to average", || drop(token_rows::mean(family(), &ones(11), [2, 3, 2], 1, 2))),
];

fn outer(n_x: usize, n_gradient: usize) {
    let (x, gradient) = (vec![1.0; n_x], vec![1.0; n_gradient]);
    outer_products(family(), (Lent::F32(&x), 3), (Lent::F32(&gradient), 2), true);
}

#[test]
fn what_does_not_fit_is_a_panic() {
    let taken: Vec<&str> =
        WRONG.into_iter().filter(|(_, work)| catch_unwind(work).is_ok()).map(|(what, _)| what).collect();
    assert!(taken.is_empty(), "taken: {taken:?}");
}

#[test]
fn what_fits_is_not() {
    ones(3).add(&ones(3));
    outer(6, 4);
    assert_eq!(product(6, Some(&[1.0; 3]), Some(&[1.0; 9])).into_whole(), [4.0; 9]);
    assert_eq!(convolved(96, 135, 5).len(), 160);
    assert_eq!(pool::largest(family(), WINDOW, MAP, POOLED, &ones(48)).0.len(), 12);
    drop(attention::forward(family(), SIZES, &ones(12)));
    drop(NORM.backward(family(), &ones(6), ones(6), Some(ones(6))));
    assert_eq!(rows::sum(family(), Lent::F32(&[1.0; 6]), 3), [2.0; 3]);
}
