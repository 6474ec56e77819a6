//! Kernels against oracles in double precision, on the emulated driver.

mod gelu;
mod losses;
mod maps;
mod refusals;
mod rows;
mod rules;
mod tokens;

use kernels_cpu::{
    Precision,
    testing::{assert_close, noise, wide},
};

use crate::{Array, Forms, Memory, Weight, upload};

/// Both precisions, and what rounding may make of a value, as a share of the largest.
const PRECISIONS: [(Precision, f64); 2] = [(Precision::F32, 1e-5), (Precision::Bf16, 1.5e-2)];

/// Values on the device, and what they are there.
fn array(seed: u32, len: usize, precision: Precision) -> (Array, Vec<f64>) {
    let array = Array::upload(noise(seed, len)).unwrap().into_precision(precision).unwrap();
    let values = wide(&array.to_host().unwrap());
    (array, values)
}

/// Weights on the device, and what they are in this precision.
fn weight(seed: u32, len: usize, precision: Precision) -> (Memory<f32>, Vec<f64>) {
    let values = noise(seed, len);
    let (_, rounded) = array(seed, len, precision);
    (upload(&values).unwrap(), rounded)
}

fn check(what: &str, got: &Array, expected: &[f64], tolerance: f64) {
    assert_close(what, &got.to_host().unwrap(), expected, tolerance);
}

/// The product of `(m, k)` and `(k, n)`.
fn product(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let at = |i: usize| (0..k).map(|j| a[i / n * k + j] * b[j * n + i % n]).sum();
    (0..m * n).map(at).collect()
}

fn transposed(a: &[f64], n_rows: usize) -> Vec<f64> {
    let n_columns = a.len() / n_rows;
    (0..a.len()).map(|i| a[i % n_rows * n_columns + i / n_rows]).collect()
}

fn plus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

#[test]
fn copies_of_a_weight_are_made_once() {
    let (values, _) = weight(1, 24, Precision::Bf16);
    let forms = Forms::default();
    let weight = Weight { values: &values, forms: &forms };
    let address = |precision| match weight.plain(precision).unwrap() {
        crate::weight::Form::F32(values) => values.address(),
        crate::weight::Form::Bf16(halves) => halves.address(),
    };
    assert_eq!(address(Precision::Bf16), address(Precision::Bf16));
    assert_ne!(address(Precision::Bf16), address(Precision::F32));
}

#[test]
fn sizes_beyond_what_kernels_count_are_errors() {
    use crate::{Error, launch::Launch, pointwise::POINTWISE};
    // SAFETY: it is refused before it runs.
    let refused = unsafe { Launch::new(&POINTWISE, "sum_splits").int(1 << 31).blocks(1, 1, 1) };
    assert!(matches!(refused, Err(Error::Size { got, .. }) if got == 1 << 31));
    // SAFETY: as above.
    let refused = unsafe { Launch::new(&POINTWISE, "sum_splits").blocks(1, 1 << 16, 1) };
    assert!(matches!(refused, Err(Error::Size { got, .. }) if got == 1 << 16));
}

#[test]
fn memory_of_something_else_is_read_and_left_alone() {
    let values = noise(1, 100);
    let owner = std::rc::Rc::new(upload(&values).unwrap());
    let address = owner.address();
    // SAFETY: the owner has so many values there, and nobody writes to them.
    let lent = || Array::Lent(unsafe { crate::Lent::new(address, 100, owner.clone()) });
    let negative: Vec<f64> = values.iter().map(|&value| f64::from(value.max(0.0))).collect();
    check("relu", &crate::pointwise::relu(&lent()).unwrap(), &negative, 0.0);
    let mut sum = lent();
    crate::pointwise::add(&mut sum, &lent()).unwrap();
    check("sum", &sum, &values.iter().map(|&value| 2.0 * f64::from(value)).collect::<Vec<_>>(), 0.0);
    check("left alone", &lent(), &wide(&values), 0.0);
}

#[test]
fn copies_of_weights_move_with_them() {
    use crate::optimize::{AdamW, Blends, Lion, Momentum, Moves, Moving, Rate};
    const LEN: usize = 9000;
    let of = |seed| upload(&noise(seed, LEN)).unwrap();
    let mut all: Vec<(Memory<f32>, Forms)> = (0..4).map(|seed| (of(seed), Forms::default())).collect();
    for (values, forms) in &all {
        Weight { values, forms }.plain(Precision::Bf16).unwrap();
    }
    let (gradient, towards) = (of(4), of(5));
    let (mut velocity, mut means) = (of(6), [of(7), crate::zeros(LEN).unwrap()]);
    let mut mean = of(8);
    let [(momentum, momentum_forms), (adamw, adamw_forms), (lion, lion_forms), (blend, blend_forms)] =
        &mut all[..]
    else {
        panic!("there are four")
    };
    let mut moves = Moves::default();
    let numbers = Momentum { momentum: 0.9, weight_decay: 0.1, lr: 0.5, rate: Rate::One };
    let moving = Moving { values: momentum, narrow: momentum_forms.changing() };
    moves.push_momentum(moving, &gradient, &mut velocity, numbers);
    let numbers = AdamW {
        shrink: 0.99,
        first_new: 0.1,
        second_kept: 0.9,
        second_new: 0.1,
        root_of_filled: 0.3,
        eps: 1e-3,
        size: 0.1,
    };
    let moving = Moving { values: adamw, narrow: adamw_forms.changing() };
    let [first, second] = &mut means;
    moves.push_adamw(moving, &gradient, [first, second], numbers);
    let numbers = Lion { shrink: 0.99, blend_kept: 0.9, blend_new: 0.1, kept: 0.99, new: 0.01, size: 0.1 };
    let moving = Moving { values: lion, narrow: lion_forms.changing() };
    moves.push_lion(moving, &gradient, &mut mean, numbers);
    moves.run().unwrap();
    let mut blends = Blends::default();
    blends.push(Moving { values: blend, narrow: blend_forms.changing() }, &towards);
    blends.run(0.9).unwrap();
    for (seed, (values, forms)) in (0..4).zip(&all) {
        let moved = crate::download(values).unwrap();
        assert_ne!(moved, noise(seed, LEN));
        let narrow = forms.narrow().expect("the copy is kept").fetch().unwrap();
        let fresh = crate::pointwise::narrow_slice(values).unwrap().fetch().unwrap();
        assert!(narrow == fresh, "the copy is of the values that moved");
    }
}
