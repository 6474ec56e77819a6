//! The encoder of MoCo v3: a ViT with its projector.

use std::collections::BTreeMap;

use dfdx::prelude::SplitTape;
use plugin_api::{Backbone, Config, EntryMut, Head, Module, ModuleContext, build};
use tensor_ops::{Device, Mode, Recording};

use crate::golden::{Golden, Tensor, relative_error};
use crate::moco::feature_map;

/// A backbone, and the projector in the place of timm's `head`.
struct Encoder {
    backbone: Box<dyn Backbone>,
    projector: Box<dyn Head>,
}

impl Module for Encoder {
    plugin_api::visit! { self;
        "" => *self.backbone,
        "head" => *self.projector,
    }
}

impl Encoder {
    /// The encoder of `golden`, with initial values of its own.
    fn new(golden: &Golden) -> Self {
        let size_px: usize = golden.setting("size");
        let mut context = ModuleContext {
            device: Device::default(),
            n_inputs: 3,
            map: None,
            image_size: (size_px, size_px),
            batch: golden.setting("batch"),
            parts: 1,
            processes: std::sync::Arc::new(plugin_api::processes::Alone),
            seed: 0,
            name: "encoder".into(),
        };
        let [patch, dim, depth, heads] =
            ["patch", "embed", "depth", "heads"].map(|name| golden.setting::<usize>(name));
        let stem = if golden.setting::<String>("conv_stem") == "True" { "Conv" } else { "Patch" };
        let freeze = golden.setting::<String>("stop_grad_conv1") == "True";
        let config = format!(
            "(patch: {patch}, dim: {dim}, depth: {depth}, heads: {heads}, stem: {stem}, \
             freeze_patch_projection: {freeze})"
        );
        let backbone = build::<dyn Backbone>("vit", Config::new(&config), &context).unwrap();
        context.n_inputs = backbone.n_features();
        let (hidden, out): (usize, usize) = (golden.setting("mlp_dim"), golden.setting("dim"));
        let config = format!("(layers: 3, hidden: {hidden}, out: {out}, norm: Batch, last_norm: true)");
        let projector = build::<dyn Head>("mlp", Config::new(&config), &context).unwrap();
        Self { backbone, projector }
    }
}

/// Compares names, shapes, the position table and an evaluation with the reference's.
pub(crate) fn check_evaluation(golden: &Golden) {
    let mut encoder = Encoder::new(golden);
    let prefix = "final/base_encoder.";
    let mut drawn = BTreeMap::new();
    let mut names = Vec::new();
    encoder.visit_mut(&mut |name, entry| {
        let Tensor { shape, values } = golden.tensor(&format!("{prefix}{name}"));
        names.push(name.to_owned());
        match entry {
            EntryMut::Parameter(parameter) => {
                drawn.insert(name.to_owned(), parameter.to_torch().1);
                parameter.set_from_torch(shape, values).unwrap();
            }
            EntryMut::Buffer(buffer) => buffer.set(values).unwrap(),
            EntryMut::Counter(count) => *count = values[0] as u64,
        }
    });
    names.sort_unstable();
    assert_eq!(names, golden.names_under(prefix), "our names are the reference's");
    let error = relative_error(&drawn["pos_embed"], &golden.tensor("final/base_encoder.pos_embed").values);
    assert!(error < 1e-6, "the positions are off by {error:.2e}");

    let images = feature_map(golden.tensor("eval/x"), Recording::Off);
    let features = encoder.backbone.forward(images, Mode::Eval).unwrap();
    let (embeddings, _) = encoder.projector.forward(features, Mode::Eval).unwrap().split_tape();
    let error = relative_error(&embeddings.as_vec(), &golden.tensor("eval/z").values);
    assert!(error < 1e-4, "the embeddings are off by {error:.2e}");
}
