//! Update rules against their formulas.

use super::*;
use crate::{
    download,
    optimize::{AdamW, Blends, Lion, Momentum, Moves, Moving, Rate},
};

/// More than one block's values, and fewer.
const LENS: [usize; 2] = [9000, 7];
const TOLERANCE: f64 = 2e-6;

fn values(seed: u32) -> [Vec<f32>; 2] {
    LENS.map(|len| noise(seed, len))
}

fn on_device(seed: u32) -> [Memory<f32>; 2] {
    values(seed).map(|values| upload(&values).unwrap())
}

fn is_right(what: &str, got: &Memory<f32>, expected: &[f64]) {
    assert_close(what, &download(got).unwrap(), expected, TOLERANCE);
}

fn length(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn momentum_is_its_formula() {
    let (momentum, weight_decay, lr) = (0.9_f32, 0.1, 0.5_f32);
    for rate in [Rate::One, Rate::OfWhole { trust: 0.02 }, Rate::OfSum { trust: 0.02 }] {
        let (mut p, g, mut v) = (on_device(1), on_device(2), on_device(3));
        let mut moves = Moves::default();
        for ((p, g), v) in p.iter_mut().zip(&g).zip(&mut v) {
            let moving = Moving { values: p, narrow: None };
            moves.push_momentum(moving, g, v, Momentum { momentum, weight_decay, lr, rate });
        }
        moves.run().unwrap();
        for i in 0..LENS.len() {
            let [before, gradient, velocity] = [1, 2, 3].map(|seed| wide(&values(seed)[i]));
            let decayed: Vec<f64> = gradient.iter().zip(&before).map(|(g, p)| g + weight_decay * p).collect();
            let rate_of = match rate {
                Rate::One => 1.0,
                Rate::OfWhole { trust } => trust * length(&before) / length(&decayed),
                Rate::OfSum { trust } => {
                    trust * length(&before) / (length(&gradient) + weight_decay * length(&before) + 1e-8)
                }
            };
            let velocity: Vec<f64> = velocity
                .iter()
                .zip(&decayed)
                .map(|(v, decayed)| f64::from(momentum) * v + rate_of * decayed)
                .collect();
            let after: Vec<f64> = before.iter().zip(&velocity).map(|(p, v)| p - f64::from(lr) * v).collect();
            is_right(&format!("{rate:?}, velocity"), &v[i], &velocity);
            is_right(&format!("{rate:?}, values"), &p[i], &after);
        }
    }
}

#[test]
fn a_rate_of_nothing_is_one() {
    for (rate, decays) in [(Rate::OfWhole { trust: 0.5 }, true), (Rate::OfSum { trust: 0.5 }, false)] {
        let mut p = upload(&[2.0, -1.0]).unwrap();
        let (g, mut v) = (upload(&[0.0, 0.0]).unwrap(), upload(&[1.0, 0.0]).unwrap());
        // Without a decay, the length of what moves the parameter is 0 for either.
        let weight_decay = if decays { 0.0 } else { 0.25 };
        let mut moves = Moves::default();
        let numbers = Momentum { momentum: 0.5, weight_decay, lr: 1.0, rate };
        moves.push_momentum(Moving { values: &mut p, narrow: None }, &g, &mut v, numbers);
        moves.run().unwrap();
        assert_eq!(download(&p).unwrap(), [1.5, -1.0], "{rate:?}");
    }
}

#[test]
fn adamw_is_its_formula() {
    let numbers = AdamW {
        shrink: 0.99,
        first_new: 0.1,
        second_kept: 0.9,
        second_new: 0.1,
        root_of_filled: 0.3,
        eps: 1e-3,
        size: 0.1,
    };
    let (mut p, g, mut first, mut second) = (on_device(1), on_device(2), on_device(3), on_device(4));
    // A mean of squares is not below 0.
    let squares = values(4).map(|values| values.iter().map(|value| value.abs()).collect::<Vec<f32>>());
    for (second, squares) in second.iter_mut().zip(&squares) {
        *second = upload(squares).unwrap();
    }
    let mut moves = Moves::default();
    for (((p, g), first), second) in p.iter_mut().zip(&g).zip(&mut first).zip(&mut second) {
        moves.push_adamw(Moving { values: p, narrow: None }, g, [first, second], numbers);
    }
    moves.run().unwrap();
    let AdamW { shrink, first_new, second_kept, second_new, root_of_filled, eps, size } = numbers;
    let [shrink, first_new, second_kept, second_new, root_of_filled, eps, size] =
        [shrink, first_new, second_kept, second_new, root_of_filled, eps, size].map(f64::from);
    for i in 0..LENS.len() {
        let [before, gradient, mean] = [1, 2, 3].map(|seed| wide(&values(seed)[i]));
        let mean: Vec<f64> = mean.iter().zip(&gradient).map(|(m, g)| m + first_new * (g - m)).collect();
        let square: Vec<f64> = wide(&squares[i])
            .iter()
            .zip(&gradient)
            .map(|(v, g)| second_kept * v + second_new * g * g)
            .collect();
        let step = |i: usize| mean[i] / (square[i].sqrt() / root_of_filled + eps);
        let after: Vec<f64> = before.iter().enumerate().map(|(i, p)| shrink * p - size * step(i)).collect();
        is_right("mean", &first[i], &mean);
        is_right("mean of squares", &second[i], &square);
        is_right("values", &p[i], &after);
    }
}

const LION: Lion = Lion { shrink: 0.99, blend_kept: 0.75, blend_new: 0.25, kept: 0.99, new: 0.01, size: 0.1 };

#[test]
fn lion_is_its_formula() {
    let (mut p, g, mut m) = (on_device(1), on_device(2), on_device(3));
    let mut moves = Moves::default();
    for ((p, g), m) in p.iter_mut().zip(&g).zip(&mut m) {
        moves.push_lion(Moving { values: p, narrow: None }, g, m, LION);
    }
    moves.run().unwrap();
    let Lion { shrink, blend_kept, blend_new, kept, new, size } = LION;
    let [shrink, blend_kept, blend_new, kept, new, size] =
        [shrink, blend_kept, blend_new, kept, new, size].map(f64::from);
    for i in 0..LENS.len() {
        let [before, gradient, mean] = [1, 2, 3].map(|seed| wide(&values(seed)[i]));
        let pairs = || mean.iter().zip(&gradient);
        let signs = pairs().map(|(m, g)| (blend_kept * m + blend_new * g).signum());
        let after: Vec<f64> = before.iter().zip(signs).map(|(p, sign)| shrink * p - size * sign).collect();
        let mean: Vec<f64> = pairs().map(|(m, g)| kept * m + new * g).collect();
        is_right("mean", &m[i], &mean);
        is_right("values", &p[i], &after);
    }
}

#[test]
fn the_sign_of_nothing_is_nothing() {
    let mut p = upload(&[1.0, 1.0, 1.0]).unwrap();
    let (g, mut m) = (upload(&[0.0, f32::NAN, 3.0]).unwrap(), upload(&[0.0, 0.0, -1.0]).unwrap());
    let mut moves = Moves::default();
    moves.push_lion(Moving { values: &mut p, narrow: None }, &g, &mut m, Lion { shrink: 0.5, ..LION });
    moves.run().unwrap();
    let p = download(&p).unwrap();
    assert!(p[0] == 0.5 && p[1].is_nan() && p[2] == 0.5, "{p:?}");
}

#[test]
fn moving_averages_are_their_formula() {
    let (mut own, towards) = (on_device(1), on_device(2));
    let mut blends = Blends::default();
    for (own, towards) in own.iter_mut().zip(&towards) {
        blends.push(Moving { values: own, narrow: None }, towards);
    }
    blends.run(0.9).unwrap();
    let momentum = f64::from(0.9_f32);
    for (i, own) in own.iter().enumerate() {
        let [before, towards] = [1, 2].map(|seed| wide(&values(seed)[i]));
        let pairs = before.iter().zip(&towards);
        let after: Vec<f64> = pairs.map(|(own, to)| momentum * own + (1.0 - momentum) * to).collect();
        is_right("average", own, &after);
    }
}
