use kernels_cpu::{Family, testing::attention as oracle};
use rayon::ThreadPoolBuilder;

use super::attention_on;
use crate::{
    Device, Recording, Tokens,
    testing::{assert_close, backward_weighted_tokens, families, noise, on_family, tokens, wide},
};

fn noise_of_spread(seed: u32, len: usize, spread: f32) -> Vec<f32> {
    noise(seed, len).iter().map(|value| value * spread).collect()
}

#[test]
fn attention_agrees_with_its_definition_at_all_sizes() {
    for family in families() {
        // Blocks of queries: one, two, and seven. Heads: narrower than a register, wider than a panel, neither.
        for ([n, t, d], heads, spread) in [
            ([1, 1, 1], 1, 1.0),
            ([2, 5, 6], 2, 1.0),
            ([3, 16, 32], 2, 3.0),
            ([1, 17, 9], 1, 30.0),
            ([2, 65, 64], 1, 4.0),
            ([1, 97, 51], 3, 2.0),
            ([1, 197, 40], 2, 1.0),
            ([1, 577, 16], 1, 4.0),
        ] {
            let qkv = noise_of_spread(1, n * t * 3 * d, spread);
            let weights = noise(2, n * t * d);
            let input = tokens([n, t, 3 * d], &qkv);
            let kept = input.share();
            let y = on_family!(family, |backend| attention_on(backend, input, heads)).unwrap();
            let images = wide(&qkv);
            let wide_weights = wide(&weights);
            let images = images.chunks(t * 3 * d).zip(wide_weights.chunks(t * d));
            let (out, gradient): (Vec<_>, Vec<_>) =
                images.map(|(qkv, weights)| oracle(qkv, weights, t, heads)).unzip();
            let what = |part: &str| format!("{family:?}, {n} images of {t} tokens of {d}: {part}");
            assert_close(&what("output"), &y.to_rows(), &out.concat(), 1e-5);
            let mut gradients = backward_weighted_tokens(y, &weights);
            let got = kept.gradient(&mut gradients).unwrap().unwrap();
            assert_close(&what("input"), &got, &gradient.concat(), 2e-5);
        }
    }
}

#[test]
fn logits_far_from_zero_neither_overflow_nor_vanish() {
    // Every query and key is the same: logits of 4e6, all alike.
    let qkv = [vec![2000.0; 2], vec![1.0]].concat().repeat(20);
    let x = Tokens::from_rows(&Device::default(), [1, 20, 3], qkv, Recording::Off).unwrap();
    let y = on_family!(Family::detected(), |backend| attention_on(backend, x, 1)).unwrap();
    assert_close("output", &y.to_rows(), &[1.0; 20], 1e-6);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |n_threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let input = tokens([5, 110, 3 * 24], &noise(1, 5 * 110 * 72));
            let kept = input.share();
            let y = on_family!(Family::detected(), |backend| attention_on(backend, input, 3)).unwrap();
            let values = y.to_rows();
            let mut gradients = backward_weighted_tokens(y, &noise(2, 5 * 110 * 24));
            [values, kept.gradient(&mut gradients).unwrap().unwrap()].concat()
        })
    };
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(run(1)), bits(run(3)));
}
