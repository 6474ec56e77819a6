//! Names, shapes and order of what a checkpoint holds.

use plugin_api::{Backbone as _, Entry, Module as _};

use super::{CONV, SMALL, vit, with};

/// Names with PyTorch's shapes.
fn listed(config: &str) -> Vec<(String, Vec<usize>)> {
    let mut list = Vec::new();
    vit(config, (32, 48)).visit(&mut |name, entry| {
        let shape = match entry {
            Entry::Parameter(parameter) => parameter.torch_shape(),
            Entry::Buffer(buffer) => buffer.shape().to_vec(),
            Entry::Counter(_) => vec![],
        };
        list.push((name.to_owned(), shape));
    });
    list
}

fn named(list: &[(&str, &[usize])]) -> Vec<(String, Vec<usize>)> {
    list.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect()
}

const BLOCK: [(&str, &[usize]); 12] = [
    ("blocks.0.norm1.weight", &[16]),
    ("blocks.0.norm1.bias", &[16]),
    ("blocks.0.attn.qkv.weight", &[48, 16]),
    ("blocks.0.attn.qkv.bias", &[48]),
    ("blocks.0.attn.proj.weight", &[16, 16]),
    ("blocks.0.attn.proj.bias", &[16]),
    ("blocks.0.norm2.weight", &[16]),
    ("blocks.0.norm2.bias", &[16]),
    ("blocks.0.mlp.fc1.weight", &[64, 16]),
    ("blocks.0.mlp.fc1.bias", &[64]),
    ("blocks.0.mlp.fc2.weight", &[16, 64]),
    ("blocks.0.mlp.fc2.bias", &[16]),
];

#[test]
fn names_shapes_and_their_order_are_those_of_timms_state_dict() {
    let list = listed(SMALL);
    let first: [(&str, &[usize]); 4] = [
        ("cls_token", &[1, 1, 16]),
        ("pos_embed", &[1, 25, 16]),
        ("patch_embed.proj.weight", &[16, 3, 8, 8]),
        ("patch_embed.proj.bias", &[16]),
    ];
    assert_eq!(list[..4], named(&first));
    assert_eq!(list[4..16], named(&BLOCK));
    for ((second, second_shape), (first, shape)) in list[16..28].iter().zip(&BLOCK) {
        assert_eq!((second.as_str(), &second_shape[..]), (first.replacen('0', "1", 1).as_str(), *shape));
    }
    assert_eq!(list[28..], named(&[("norm.weight", &[16]), ("norm.bias", &[16])]));
}

#[test]
fn the_convolution_stem_is_numbered_as_in_the_reference() {
    let list = listed(CONV);
    assert_eq!(list[1], ("pos_embed".into(), vec![1, 7, 16]));
    let mut expected = Vec::new();
    for (place, n_inputs, n_outputs) in [(0, 3, 2), (3, 2, 4), (6, 4, 8), (9, 8, 16)] {
        expected.push((format!("patch_embed.proj.{place}.weight"), vec![n_outputs, n_inputs, 3, 3]));
        for name in ["weight", "bias", "running_mean", "running_var"] {
            expected.push((format!("patch_embed.proj.{}.{name}", place + 1), vec![n_outputs]));
        }
        expected.push((format!("patch_embed.proj.{}.num_batches_tracked", place + 1), vec![]));
    }
    expected.push(("patch_embed.proj.12.weight".into(), vec![16, 16, 1, 1]));
    expected.push(("patch_embed.proj.12.bias".into(), vec![16]));
    assert_eq!(list[2..28], expected);
    assert_eq!(list[28..40], named(&BLOCK));
}

#[test]
fn what_is_left_out_has_no_name() {
    let names =
        |fields| -> Vec<String> { listed(&with(SMALL, fields)).into_iter().map(|(name, _)| name).collect() };
    let has = |names: &[String], wanted: &str| names.iter().any(|name| name == wanted);
    let mean = names("pool: Mean");
    assert!(!has(&mean, "cls_token") && has(&mean, "norm.weight"));
    assert_eq!(listed(&with(SMALL, "pool: Mean"))[0], ("pos_embed".into(), vec![1, 24, 16]));
    let bare = names("pool: MeanWithoutNorm, position: None");
    assert!(!["cls_token", "pos_embed", "norm.weight", "norm.bias"].iter().any(|name| has(&bare, name)));
}

#[test]
fn only_the_convolution_stem_has_batch_norm() {
    assert_eq!(vit(SMALL, (32, 32)).batch_norm_splits(), None);
    assert_eq!(vit(CONV, (32, 32)).batch_norm_splits(), Some(1));
    assert_eq!(vit(&with(CONV, "batch_norm_splits: 2"), (32, 32)).batch_norm_splits(), Some(2));
}

#[test]
fn what_makes_tokens_and_each_block_are_a_layer() {
    let vit = vit(SMALL, (32, 32));
    let names = ["cls_token", "patch_embed.proj.weight", "blocks.0.norm1.weight", "blocks.1.mlp.fc1.bias"];
    assert_eq!(names.map(|name| vit.layer_of(name)), [0, 0, 1, 2].map(Some));
    assert_eq!((vit.layer_of("norm.weight"), vit.n_layers()), (None, 3));
}

/// The places of timm's `VisionTransformer(init_values=1e-5, reg_tokens=4)`.
#[test]
fn scales_and_registers_stand_where_timm_has_them() {
    let list = listed(&with(SMALL, "layer_scale: 1e-5, registers: 4"));
    let first: [(&str, &[usize]); 3] =
        [("cls_token", &[1, 1, 16]), ("reg_token", &[1, 4, 16]), ("pos_embed", &[1, 29, 16])];
    assert_eq!(list[..3], named(&first));
    let of_block: Vec<&str> = list.iter().filter_map(|(name, _)| name.strip_prefix("blocks.1.")).collect();
    assert_eq!((of_block[6], of_block[7], of_block[13]), ("ls1.gamma", "norm2.weight", "ls2.gamma"));
    assert_eq!((of_block.len(), list.len()), (14, 35));
}
