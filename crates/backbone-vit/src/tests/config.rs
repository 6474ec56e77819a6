//! Which configs are accepted, and what they mean.

use plugin_api::{Config, ModuleContext};

use super::{CONV, SMALL, context, parsed, with};
use crate::config::Sizes;
use crate::{Vit, VitConfig};

fn sizes(config: &str, image_size: (usize, usize)) -> Sizes {
    parsed(config).sizes(&context(image_size)).unwrap()
}

/// What `config` is refused with, and the hint.
fn refused_for(config: &str, context: &ModuleContext) -> (String, Option<String>) {
    let config: VitConfig = Config::new(config).parse().unwrap();
    let error = Vit::new(config, context).map(drop).unwrap_err();
    (error.to_string(), error.hint().map(str::to_owned))
}

fn refused(config: &str) -> String {
    refused_for(config, &context((32, 32))).0
}

#[test]
fn presets_are_those_of_the_paper() {
    for (preset, dim, depth, heads) in
        [("Small", 384, 12, 12), ("Base", 768, 12, 12), ("Large", 1024, 24, 16), ("Huge", 1280, 32, 16)]
    {
        let sizes = sizes(&format!("(preset: {preset})"), (224, 224));
        let expected = Sizes { dim, depth, heads, hidden: 4 * dim, grid: (14, 14) };
        assert_eq!(sizes, expected, "{preset}");
    }
}

#[test]
fn a_preset_has_one_block_less_behind_convolutions_and_gives_way_to_what_is_written() {
    assert_eq!(sizes("(preset: Small, stem: Conv)", (224, 224)).depth, 11);
    let sizes = sizes("(preset: Small, stem: Conv, depth: 12, heads: 6, mlp_ratio: 2)", (224, 224));
    assert_eq!((sizes.dim, sizes.depth, sizes.heads, sizes.hidden), (384, 12, 6, 768));
}

#[test]
fn parameters_are_as_many_as_in_timm() {
    // m = timm.create_model("vit_small_patch16_224", num_classes=0); sum(p.numel() for p in m.parameters())
    // (heads do not change the number), and the same for vit_base_patch16_224.
    for (preset, expected) in [("Small", 21_665_664), ("Base", 85_798_656)] {
        let mut n = 0;
        let vit = super::vit(&format!("(preset: {preset})"), (224, 224));
        super::visit_parameters(&vit, |_, parameter| n += parameter.n_elements());
        assert_eq!(n, expected, "{preset}");
    }
}

#[test]
fn a_config_without_sizes_says_which_are_lacking() {
    let (message, hint) = refused_for("()", &context((32, 32)));
    assert_eq!(message, "this ViT has no `dim`, `depth` and `heads`, and no `preset` to take them from");
    assert!(hint.unwrap().starts_with("write `preset: Small`"));
    let message = refused("(dim: 192, heads: 3)");
    assert_eq!(message, "this ViT has no `depth`, and no `preset` to take them from");
}

#[test]
fn sizes_out_of_range_are_refused() {
    for (config, expected) in [
        ("(dim: 0, depth: 2, heads: 2)", "`dim` is 0, but it must be between 1 and 8192"),
        ("(dim: 16384, depth: 2, heads: 2)", "`dim` is 16384, but it must be between 1 and 8192"),
        ("(dim: 16, depth: 0, heads: 2)", "`depth` is 0, but it must be between 1 and 256"),
        ("(dim: 16, depth: 2, heads: 0)", "`heads` is 0, but it must divide the width of 16"),
        ("(dim: 16, depth: 2, heads: 3)", "`heads` is 3, but it must divide the width of 16"),
        ("(preset: Small, heads: 7)", "`heads` is 7, but it must divide the width of 384"),
    ] {
        assert_eq!(refused(config), expected, "{config}");
    }
    for ratio in ["0", "-1", "65", "0.01", "inf", "NaN"] {
        let message = refused(&with(SMALL, &format!("mlp_ratio: {ratio}")));
        assert!(message.starts_with("`mlp_ratio` is ") && message.contains("at most 64"), "{message}");
    }
}

#[test]
fn sines_and_cosines_need_a_width_of_fours() {
    let odd = "(patch: 8, dim: 18, depth: 2, heads: 2";
    assert!(refused(&format!("{odd})")).starts_with("`dim` is 18, but it must be a multiple of 4"));
    for position in ["Learned", "None"] {
        super::vit(&format!("{odd}, position: {position})"), (32, 32));
    }
}

#[test]
fn images_that_cannot_be_cut_into_patches_are_refused() {
    assert_eq!(refused("(patch: 0, dim: 16, depth: 2, heads: 2)"), "`patch` is 0, but it must be at least 1");
    let (message, hint) = refused_for("(preset: Small)", &context((40, 48)));
    assert_eq!(message, "images of 40x48 pixels cannot be cut into patches of 16x16");
    assert_eq!(hint.unwrap(), "use views whose sides are multiples of 16, or for instance `patch: 8`");
    let (_, hint) = refused_for("(preset: Small)", &context((31, 37)));
    assert_eq!(hint.unwrap(), "use views whose sides are multiples of 16");
}

#[test]
fn what_does_not_go_with_a_stem_is_refused() {
    let message = refused(&with(SMALL, "batch_norm_splits: 2"));
    assert!(message.starts_with("`batch_norm_splits` is 2, but it must be 1 unless"), "{message}");
    let message = refused(&with(SMALL, "stem: Conv"));
    assert!(message.starts_with("`patch` is 8, but it must be 16 with"), "{message}");
    let message = refused("(dim: 12, depth: 2, heads: 2, stem: Conv)");
    assert!(message.starts_with("`dim` is 12, but it must be a multiple of 8 with"), "{message}");
    let message = refused(&with(CONV, "freeze_patch_projection: true"));
    assert!(message.starts_with("`freeze_patch_projection` is true, but it must be false with"), "{message}");
    for splits in [0, 3] {
        let message = refused(&with(CONV, &format!("batch_norm_splits: {splits}")));
        assert!(message.ends_with("it must divide the batch of 4 images"), "{message}");
    }
    let split = with(CONV, "batch_norm_splits: 4");
    super::vit(&split, (32, 32));
    assert!(refused_for(&split, &context((16, 16))).0.contains("a single value"));
}

#[test]
fn scales_and_registers_have_their_limits() {
    for (fields, expected) in [
        ("layer_scale: 0", "`layer_scale` is 0, but it must be above 0 and at most 1"),
        ("layer_scale: 2", "`layer_scale` is 2, but it must be above 0 and at most 1"),
        ("registers: 257", "`registers` is 257, but it must be at most 256"),
        (
            "registers: 1, pool: Mean",
            "`registers` is 1, but it must be 0 unless `pool` is ClassToken, because registers are no part of a mean",
        ),
    ] {
        assert_eq!(refused(&with(SMALL, fields)), expected);
    }
}
