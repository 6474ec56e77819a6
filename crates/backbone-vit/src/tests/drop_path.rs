//! Blocks that are left out.

use plugin_api::{Backbone as _, PassDraws};
use tensor_ops::{Mode, Recording};

use super::{SMALL, images, vit, with};
use crate::Vit;

const SIZE: (usize, usize) = (16, 16);

fn features(vit: &mut Vit, mode: Mode) -> Vec<f32> {
    let places = (0..4).collect();
    vit.set_draws(PassDraws { seed: 0, pass: "test".into(), step: 0, places });
    vit.forward(images(4, SIZE, Recording::Off), mode).unwrap().as_vec()
}

/// Initial values are keyed by names, so both networks begin with the same block.
#[test]
fn an_image_whose_last_block_is_dropped_has_the_features_of_a_network_without_it() {
    for pool in ["ClassToken", "Mean"] {
        let config = with(SMALL, &format!("pool: {pool}"));
        let shallow = features(&mut vit(&config.replace("depth: 2", "depth: 1"), SIZE), Mode::Eval);
        let mut dropping = vit(&with(&config, "drop_path: 0.9999"), SIZE);
        assert_eq!(features(&mut dropping, Mode::Train), shallow);
        assert_ne!(features(&mut dropping, Mode::Eval), shallow);
    }
}

#[test]
fn nothing_is_dropped_in_eval_mode_and_the_rate_can_be_set() {
    let plain = features(&mut vit(SMALL, SIZE), Mode::Eval);
    let mut dropping = vit(SMALL, SIZE);
    dropping.set_drop_path(0.5).unwrap();
    assert_eq!(features(&mut dropping, Mode::Eval), plain);
    assert_ne!(features(&mut dropping, Mode::Train), plain);
    dropping.set_drop_path(0.0).unwrap();
    assert_eq!(features(&mut dropping, Mode::Train), plain);
    assert!(dropping.set_drop_path(1.0).is_err());
}

#[test]
fn a_pass_in_training_without_draws_is_an_error() {
    let mut vit = vit(&with(SMALL, "drop_path: 0.5"), SIZE);
    let error = vit.forward(images(4, SIZE, Recording::Off), Mode::Train).map(drop).unwrap_err();
    assert!(error.to_string().contains("draws for `drop_path`"), "{error}");
    assert!(vit.forward(images(4, SIZE, Recording::Off), Mode::Eval).is_ok());
}
