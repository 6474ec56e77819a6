//! What is drawn, and from which distribution.

use super::{CONV, context, parameter, parsed, visit_parameters, vit, with};
use crate::Vit;
use crate::positions::{First, sin_cos};

/// Wide enough for statistics.
const WIDE: &str = "(patch: 16, dim: 96, depth: 2, heads: 4)";

/// The largest absolute value, and the root of the mean square.
fn spread(values: &[f32]) -> (f64, f64) {
    let max = values.iter().fold(0.0_f64, |max, value| max.max(f64::from(value.abs())));
    let square = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
    (max, (square / values.len() as f64).sqrt())
}

/// Asserts that values are from `U(−bound, bound)`, as far as they can tell.
#[track_caller]
fn assert_uniform(what: &str, values: &[f32], bound: f64) {
    let (max, rms) = spread(values);
    assert!(max <= bound * (1.0 + 1e-6) && max > 0.9 * bound, "{what}: up to {max}, the bound is {bound}");
    let expected = bound / 3.0_f64.sqrt();
    assert!((rms / expected - 1.0).abs() < 0.1, "{what}: {rms}, expected {expected}");
}

#[test]
fn linear_layers_start_with_xaviers_values_and_queries_keys_and_values_each_on_their_own() {
    let bound = |n_inputs: f64, n_outputs: f64| (6.0 / (n_inputs + n_outputs)).sqrt();
    let vit = vit(WIDE, (32, 32));
    visit_parameters(&vit, |name, parameter| {
        let values = parameter.to_vec();
        match name.rsplit_once('.') {
            Some((_, "bias")) => assert!(values.iter().all(|value| *value == 0.0), "{name}"),
            Some(("patch_embed.proj", _)) => assert_uniform(name, &values, bound(3.0 * 256.0, 96.0)),
            Some((layer, _)) if layer.contains("norm") => {
                assert!(values.iter().all(|value| *value == 1.0), "{name}");
            }
            Some((layer, _)) if layer.ends_with("qkv") => assert_uniform(name, &values, bound(96.0, 96.0)),
            Some((layer, _)) if layer.ends_with("attn.proj") => {
                assert_uniform(name, &values, bound(96.0, 96.0));
            }
            Some(_) => assert_uniform(name, &values, bound(96.0, 384.0)),
            None => {}
        }
    });
}

#[test]
fn convolutions_start_with_pytorchs_values() {
    let vit = vit(&CONV.replace("dim: 16", "dim: 96"), (32, 32));
    for (place, n_inputs) in [(0, 3 * 9), (3, 12 * 9), (6, 24 * 9), (9, 48 * 9), (12, 96)] {
        let name = format!("patch_embed.proj.{place}.weight");
        let bound = 1.0 / f64::from(n_inputs).sqrt();
        assert_uniform(&name, &parameter(&vit, &name).to_vec(), bound);
    }
    let (max, rms) = spread(&parameter(&vit, "patch_embed.proj.12.bias").to_vec());
    let bound = 1.0 / 96.0_f64.sqrt();
    assert!(max <= bound && rms > 0.4 * bound, "{max} {rms}");
}

#[test]
fn the_class_token_starts_almost_at_zero_and_a_trained_table_small() {
    let vit = vit(&with(WIDE, "position: Learned"), (64, 64));
    let (_, rms) = spread(&parameter(&vit, "cls_token").to_vec());
    assert!((0.7e-6..1.3e-6).contains(&rms), "{rms}");
    let (_, rms) = spread(&parameter(&vit, "pos_embed").to_vec());
    assert!((rms / 0.02 - 1.0).abs() < 0.1, "{rms}");
}

#[test]
fn positions_are_sines_and_cosines_of_the_row_first() {
    // d = 4 frequencies, 1, 0.1, 0.01 and 0.001, in a grid of 2 rows and 3 columns behind the class token.
    let vit = vit("(patch: 8, dim: 16, depth: 1, heads: 1)", (16, 24));
    let table = parameter(&vit, "pos_embed");
    assert_eq!(table.torch_shape(), [1, 7, 16]);
    let table = table.to_vec();
    assert_eq!(table[..16], [0.0; 16], "the class token has no place");
    for (place, token) in table[16..].chunks(16).enumerate() {
        let (row, column) = ((place / 3) as f64, (place % 3) as f64);
        for (i, frequency) in [1.0, 0.1, 0.01, 0.001].into_iter().enumerate() {
            let expected = [
                (row * frequency).sin(),
                (row * frequency).cos(),
                (column * frequency).sin(),
                (column * frequency).cos(),
            ];
            for (part, expected) in expected.into_iter().enumerate() {
                let value = f64::from(token[4 * part + i]);
                assert!((value - expected).abs() < 1e-7, "place {place}, part {part}, frequency {frequency}");
            }
        }
    }
    // One value by hand: in the first patch of the second row, sin(1).
    assert!((table[(1 + 3) * 16] - 0.841_470_98).abs() < 1e-6);
}

#[test]
fn without_a_class_token_the_table_starts_with_the_first_patch() {
    let vit = vit("(patch: 8, dim: 16, depth: 1, heads: 1, pool: Mean)", (16, 24));
    let table = parameter(&vit, "pos_embed");
    assert_eq!(table.torch_shape(), [1, 6, 16]);
    assert_eq!(table.to_vec(), sin_cos((2, 3), 16, First::Row));
}

#[test]
fn what_is_fixed_is_not_trainable() {
    let fixed = |config: &str| {
        let mut names = Vec::new();
        visit_parameters(&vit(config, (32, 32)), |name, parameter| {
            if !parameter.is_trainable() {
                names.push(name.to_owned());
            }
        });
        names
    };
    assert_eq!(fixed(WIDE), ["pos_embed"]);
    assert_eq!(
        fixed(&with(WIDE, "freeze_patch_projection: true")),
        ["pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"]
    );
    assert_eq!(fixed(&with(WIDE, "position: Learned")), Vec::<String>::new());
    assert_eq!(fixed(CONV), ["pos_embed"]);
}

#[test]
fn a_momentum_copy_starts_equal_and_each_layer_with_draws_of_its_own() {
    for config in [WIDE, CONV] {
        let values = |vit: &Vit| {
            let mut list = Vec::new();
            visit_parameters(vit, |name, parameter| list.push((name.to_owned(), parameter.to_vec())));
            list
        };
        let build = || Vit::new(parsed(config), &context((32, 32))).unwrap();
        let all = values(&mut build());
        assert!(all == values(&mut build()));
        // Of one scale, so that equal draws would show.
        let drawn: Vec<(&String, f64)> = all
            .iter()
            .filter(|(name, _)| {
                name.ends_with(".weight") && !name.contains("norm") && !name.contains("patch_embed")
            })
            .map(|(name, values)| (name, f64::from(values[0]) / spread(values).0))
            .collect();
        for (i, (name, a)) in drawn.iter().enumerate() {
            assert!(drawn[..i].iter().all(|(_, b)| (a - b).abs() > 1e-6), "{name} repeats another layer");
        }
    }
}
