//! Tokens put before others, taken from among them, averaged, and scaled image by image.
//!
//! Where tokens are moved, each output row is a row of an operand, or nothing: values are moved as they are kept.

use crate::{
    Precision,
    cut::lens,
    memory::{build, build_beside, build_evenly},
    rows::rows_in_task,
    simd::{Element, Family, Kernel, Lanes, for_registers, read_some, write_some},
    values::{Lent, Operand, Values},
};

/// `tokens`, `R` of `D` values, before those of every image: `(N, T, D)` to `(N, R + T, D)`.
///
/// # Panics
///
/// If they are not whole tokens.
pub fn prepend(x: &Values, tokens: &[f32], [n, t, d]: [usize; 3]) -> Values {
    match x {
        Values::F32(x) => prepend_to(x, tokens, [n, t, d]),
        Values::Bf16(x) => prepend_to(x, tokens, [n, t, d]),
    }
}

fn prepend_to<E: Operand>(x: &[E], tokens: &[f32], [n, t, d]: [usize; 3]) -> Values {
    assert!(tokens.len().is_multiple_of(d), "tokens are whole");
    let r = tokens.len() / d;
    let tokens: &[E] = &tokens.iter().map(|&value| E::nearest(value)).collect::<Vec<E>>();
    rows(n * (r + t), d, |row| {
        let (image, at) = (row / (r + t), row % (r + t));
        Some(if at < r { &tokens[at * d..][..d] } else { &x[(image * t + at - r) * d..][..d] })
    })
}

/// `count` tokens of every image from token `first` on: `(N, T, D)` to `(N, count, D)`.
///
/// # Panics
///
/// When there are not so many tokens, or not so many values.
pub fn take(x: &Values, [n, t, d]: [usize; 3], first: usize, count: usize) -> Values {
    match x {
        Values::F32(x) => take_from(x, [n, t, d], first, count),
        Values::Bf16(x) => take_from(x, [n, t, d], first, count),
    }
}

fn take_from<E: Operand>(x: &[E], [n, t, d]: [usize; 3], first: usize, count: usize) -> Values {
    assert!(first + count <= t, "there are {t} tokens");
    rows(n * count, d, |row| {
        let (image, at) = (row / count, first + row % count);
        Some(&x[(image * t + at) * d..][..d])
    })
}

/// The gradient of [`take`]'s input, from that of its output: `(N, count, D)` to `(N, T, D)`, zeros elsewhere.
///
/// # Panics
///
/// As [`take`].
pub fn spread(gradient: &Values, [n, t, d]: [usize; 3], first: usize, count: usize) -> Values {
    match gradient {
        Values::F32(gradient) => spread_from(gradient, [n, t, d], first, count),
        Values::Bf16(gradient) => spread_from(gradient, [n, t, d], first, count),
    }
}

fn spread_from<E: Operand>(gradient: &[E], [n, t, d]: [usize; 3], first: usize, count: usize) -> Values {
    assert!(first + count <= t, "there are {t} tokens");
    rows(n * t, d, |row| {
        let (image, at) = (row / t, row % t);
        (first..first + count).contains(&at).then(|| &gradient[(image * count + at - first) * d..][..d])
    })
}

/// The mean of `count` tokens of every image from token `first` on: `(N, T, D)` to `(N, D)`.
///
/// # Panics
///
/// When there are not so many tokens, or not so many values.
pub fn mean(family: Family, x: &Values, [n, t, d]: [usize; 3], first: usize, count: usize) -> Vec<f32> {
    assert!(first + count <= t, "there are {t} tokens");
    let tokens = |image: usize| x.lend().part((image * t + first) * d..(image * t + first + count) * d);
    build_beside(&vec![d; n], (0..n).map(tokens).collect(), |_, tokens, mean| match tokens {
        Lent::F32(tokens) => family.run(Mean { tokens, mean }),
        Lent::Bf16(tokens) => family.run(Mean { tokens, mean }),
    })
}

/// The gradient of [`mean`]'s input, from that of its output, `(N, D)`: `(N, T, D)`, zeros elsewhere.
///
/// # Panics
///
/// As [`take`].
pub fn spread_mean(
    gradient: &[f32],
    [n, t, d]: [usize; 3],
    first: usize,
    count: usize,
    precision: Precision,
) -> Values {
    let share = 1.0 / count as f32;
    let shares = Values::new(gradient.iter().map(|value| value * share).collect(), precision);
    match &shares {
        Values::F32(shares) => repeat(shares, [n, t, d], first, count),
        Values::Bf16(shares) => repeat(shares, [n, t, d], first, count),
    }
}

fn repeat<E: Operand>(shares: &[E], [n, t, d]: [usize; 3], first: usize, count: usize) -> Values {
    assert!(first + count <= t, "there are {t} tokens");
    rows(n * t, d, |row| {
        let (image, at) = (row / t, row % t);
        (first..first + count).contains(&at).then(|| &shares[image * d..][..d])
    })
}

/// All values of each image times its own of `factors`.
///
/// # Panics
///
/// If the values are not as many for each factor.
pub fn scale_images(x: &Values, factors: &[f32]) -> Values {
    match x {
        Values::F32(x) => scale_each(x, factors),
        Values::Bf16(x) => scale_each(x, factors),
    }
}

fn scale_each<E: Operand>(x: &[E], factors: &[f32]) -> Values {
    assert!(x.len().is_multiple_of(factors.len()), "there is a factor for each image");
    let n_of_image = x.len() / factors.len();
    E::values(build_evenly(x.len(), |start, out: &mut [E]| {
        for (i, (out, value)) in out.iter_mut().zip(&x[start..]).enumerate() {
            *out = E::nearest(value.single() * factors[(start + i) / n_of_image]);
        }
    }))
}

/// Every row times `factors`, value by value.
///
/// # Panics
///
/// If the rows are not as long as the factors.
pub fn scale_features(x: &Values, factors: &[f32]) -> Values {
    match x {
        Values::F32(x) => scale_columns(x, factors),
        Values::Bf16(x) => scale_columns(x, factors),
    }
}

fn scale_columns<E: Operand>(x: &[E], factors: &[f32]) -> Values {
    assert!(x.len().is_multiple_of(factors.len()), "rows are as long as the factors");
    E::values(build_evenly(x.len(), |start, out: &mut [E]| {
        let factors = factors.iter().cycle().skip(start % factors.len());
        for ((out, value), factor) in out.iter_mut().zip(&x[start..]).zip(factors) {
            *out = E::nearest(value.single() * factor);
        }
    }))
}

/// Value times value, in single precision.
///
/// # Panics
///
/// If there are not as many of both.
pub fn products(a: &Values, b: &Values) -> Vec<f32> {
    let (a, b) = (a.whole(), b.whole());
    assert_eq!(a.len(), b.len(), "there are as many of both");
    build_evenly(a.len(), |start, out: &mut [f32]| {
        for ((out, a), b) in out.iter_mut().zip(&a[start..]).zip(&b[start..]) {
            *out = a * b;
        }
    })
}

/// Rows of `d` values, each a copy of what `source(row)` gives, or zeros.
fn rows<'a, E: Operand>(n_rows: usize, d: usize, source: impl Fn(usize) -> Option<&'a [E]> + Sync) -> Values {
    let n_in_task = rows_in_task(d);
    E::values(build(&lens(n_rows * d, n_in_task * d), |task, to| {
        for (i, to) in to.chunks_exact_mut(d).enumerate() {
            if let Some(from) = source(task * n_in_task + i) {
                to.copy_from_slice(from);
            }
        }
    }))
}

struct Mean<'a, E> {
    tokens: &'a [E],
    /// Zeros.
    mean: &'a mut [f32],
}

impl<E: Element> Kernel for Mean<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { tokens, mean } = self;
        let d = mean.len();
        let share = L::splat(1.0 / (tokens.len() / d) as f32);
        for_registers!(L, d, |at, n| {
            let mut sum = L::zero();
            for token in tokens.chunks_exact(d) {
                sum = L::add(sum, read_some::<L, _>(token, at, n, 0.0));
            }
            write_some::<L, _>(mean, at, n, L::mul(sum, share));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, families, noise};

    const SHAPES: [([usize; 3], usize, usize); 4] =
        [([1, 1, 1], 0, 1), ([3, 5, 7], 1, 4), ([2, 9, 33], 4, 1), ([5, 197, 384], 1, 196)];

    /// Values that either precision has.
    fn both(len: usize) -> [Values; 2] {
        let halves = Values::new(noise(1, len), Precision::Bf16);
        [Values::F32(halves.whole().into_owned()), halves]
    }

    #[test]
    fn a_token_goes_before_all_others() {
        for ([n, t, d], ..) in SHAPES {
            let token: Vec<f32> = (0..d).map(|i| (i % 128) as f32).collect();
            for x in both(n * t * d) {
                let got = prepend(&x, &token, [n, t, d]);
                assert_eq!(got.precision(), x.precision());
                let images = x.whole();
                let expected: Vec<f32> =
                    images.chunks(t * d).flat_map(|image| [&token, image].concat()).collect();
                assert_eq!(got.into_whole(), expected);
            }
        }
    }

    #[test]
    fn some_tokens_are_taken_and_their_gradients_go_back_to_where_they_were() {
        for ([n, t, d], first, count) in SHAPES {
            for x in both(n * t * d) {
                let taken = take(&x, [n, t, d], first, count);
                let of_some = |token: usize| (first..first + count).contains(&token);
                let whole = x.whole();
                let tokens = || whole.chunks(d).enumerate().map(|(row, token)| (of_some(row % t), token));
                let expected: Vec<f32> = tokens()
                    .filter(|(is_taken, _)| *is_taken)
                    .flat_map(|(_, token)| token)
                    .copied()
                    .collect();
                assert_eq!((&*taken.whole(), taken.precision()), (&*expected, x.precision()));
                let back = spread(&taken, [n, t, d], first, count);
                let expected: Vec<f32> = tokens()
                    .flat_map(|(is_taken, token)| token.iter().map(move |x| if is_taken { *x } else { 0.0 }))
                    .collect();
                assert_eq!((&*back.whole(), back.precision()), (&*expected, x.precision()));
            }
        }
    }

    #[test]
    fn several_tokens_go_before_all_others_in_their_order() {
        for ([n, t, d], ..) in SHAPES {
            let tokens: Vec<f32> = (0..3 * d).map(|i| (i % 128) as f32).collect();
            for x in both(n * t * d) {
                let got = prepend(&x, &tokens, [n, t, d]);
                let expected: Vec<f32> =
                    x.whole().chunks(t * d).flat_map(|image| [&tokens, image].concat()).collect();
                assert_eq!(got.into_whole(), expected);
            }
        }
    }

    #[test]
    fn each_feature_is_scaled_by_its_own_factor() {
        for ([n, t, d], ..) in SHAPES {
            let factors: Vec<f32> = (0..d).map(|i| [0.0, 1.25, -2.0][i % 3]).collect();
            for x in both(n * t * d) {
                let scaled = scale_features(&x, &factors);
                let whole = x.whole();
                let expected: Vec<f32> =
                    whole.iter().enumerate().map(|(i, value)| value * factors[i % d]).collect();
                let expected_of = Values::new(expected.clone(), x.precision());
                assert_eq!((scaled.precision(), scaled.whole()), (x.precision(), expected_of.whole()));
                let repeated: Vec<f32> = factors.iter().copied().cycle().take(n * t * d).collect();
                assert_eq!(products(&x, &Values::F32(repeated)), expected);
            }
        }
    }

    #[test]
    fn each_image_is_scaled_by_its_own_factor() {
        // More than a task handles, and fewer.
        for [n, t, d] in [[1, 1, 1], [3, 5, 7], [5, 197, 384]] {
            let factors: Vec<f32> = (0..n).map(|i| [0.0, 1.25, -2.0][i % 3]).collect();
            for x in both(n * t * d) {
                let scaled = scale_images(&x, &factors);
                let whole = x.whole();
                let expected = whole.iter().enumerate().map(|(i, value)| value * factors[i / (t * d)]);
                let expected = Values::new(expected.collect(), x.precision());
                assert_eq!((scaled.precision(), scaled.whole()), (x.precision(), expected.whole()));
            }
        }
    }

    #[test]
    fn means_agree_with_double_precision_and_their_gradients_are_shared_out() {
        for family in families() {
            for ([n, t, d], first, count) in SHAPES {
                for x in both(n * t * d) {
                    let whole = x.whole();
                    let mut expected = vec![0.0; n * d];
                    for (image, mean) in expected.chunks_mut(d).enumerate() {
                        for token in whole[(image * t + first) * d..].chunks(d).take(count) {
                            let shares = token.iter().map(|&value| f64::from(value) / count as f64);
                            mean.iter_mut().zip(shares).for_each(|(mean, share)| *mean += share);
                        }
                    }
                    assert_close("mean", &mean(family, &x, [n, t, d], first, count), &expected, 2e-6);
                }
            }
        }
        for ([n, t, d], first, count) in SHAPES {
            for precision in [Precision::F32, Precision::Bf16] {
                let gradient = noise(2, n * d);
                let got = spread_mean(&gradient, [n, t, d], first, count, precision);
                let at = |row: usize, column: usize| {
                    let is_in = (first..first + count).contains(&(row % t));
                    if is_in { gradient[row / t * d + column] * (1.0 / count as f32) } else { 0.0 }
                };
                let expected = (0..n * t).flat_map(|row| (0..d).map(move |column| (row, column)));
                let expected = expected.map(|(row, column)| at(row, column)).collect();
                assert_eq!(
                    (got.precision(), got.whole()),
                    (precision, Values::new(expected, precision).whole())
                );
            }
        }
    }
}
