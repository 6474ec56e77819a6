//! Finds encoders by their names, whatever stands before these.

use crate::choice::{Candidate, Place};
use crate::rename::{resnet_from_detectron2, resnet_from_sequence, vit_from_dinov2, vit_from_torchvision};

/// Whose names an encoder has, once what stands before them is taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// A ResNet, as in torchvision and timm.
    ResNet,
    /// A ResNet whose layers are numbered, as children of a `torch.nn.Sequential`: the number of its first stage.
    Sequence(usize),
    /// A ResNet, as in detectron2.
    Detectron2,
    /// A ViT, as in timm and DeiT.
    TimmVit,
    /// A ViT, as in torchvision.
    TorchvisionVit,
}

impl Family {
    /// Our name of what this family calls `name`; `None` if it has no such name.
    pub(crate) fn ours(self, name: &str) -> Option<String> {
        match self {
            Self::ResNet => Some(name.to_owned()),
            Self::TimmVit => Some(vit_from_dinov2(name).to_owned()),
            Self::Sequence(first) => resnet_from_sequence(name, first),
            Self::Detectron2 => resnet_from_detectron2(name),
            Self::TorchvisionVit => vit_from_torchvision(name),
        }
    }
}

/// What our names of an encoder's weights begin with.
const OURS: [&str; 12] = [
    "conv1.",
    "bn1.",
    "layer1.",
    "layer2.",
    "layer3.",
    "layer4.",
    "cls_token",
    "reg_token",
    "pos_embed",
    "patch_embed.",
    "blocks.",
    "norm.",
];

/// Whether an encoder may have a weight that is called `ours`.
pub(crate) fn may_be_weight(ours: &str) -> bool {
    OURS.iter().any(|start| ours.starts_with(start))
}

/// Names that every encoder of a family has, and no other network.
const ANCHORS: [(&str, Family); 5] = [
    ("layer1.0.conv1.weight", Family::ResNet),
    ("res2.0.conv1.weight", Family::Detectron2),
    ("patch_embed.proj.weight", Family::TimmVit),
    // The convolution stem of MoCo v3.
    ("patch_embed.proj.0.weight", Family::TimmVit),
    ("encoder.layers.encoder_layer_0.ln_1.weight", Family::TorchvisionVit),
];

/// The encoders among `names`, each with the keys of its dictionary, in their order.
pub(crate) fn families(names: &[(&str, &str)]) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    let mut add = |key: &str, prefix: &str, family| {
        let place = Place { key: key.into(), prefix: prefix.into() };
        if !found.iter().any(|one| one.place == place) {
            found.push(Candidate { place, family });
        }
    };
    let mut sequences: Vec<(&str, &str, Vec<usize>)> = Vec::new();
    for (key, name) in names {
        let anchored = ANCHORS.iter().find_map(|(anchor, family)| {
            let prefix = name.strip_suffix(anchor)?;
            (prefix.is_empty() || prefix.ends_with('.')).then_some((prefix, *family))
        });
        if let Some((prefix, family)) = anchored {
            add(key, prefix, family);
        } else if let Some((prefix, number)) = stage(name) {
            let known = sequences.iter_mut().find(|(place, before, _)| (*place, *before) == (*key, prefix));
            match known {
                Some((_, _, numbers)) => numbers.push(number),
                None => sequences.push((key, prefix, vec![number])),
            }
        }
    }
    for (key, prefix, mut numbers) in sequences {
        numbers.sort_unstable();
        let follow = numbers.len() == 4 && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let has_stem =
            names.iter().any(|(place, name)| *place == key && name.strip_prefix(prefix) == Some("0.weight"));
        // The stem's convolution and batch norm come before.
        if follow && has_stem && numbers[0] >= 2 {
            add(key, prefix, Family::Sequence(numbers[0]));
        }
    }
    found
}

/// The prefix and the number of a stage in a sequence whose first convolution is called `name`: `backbone.` and 4 for
/// `backbone.4.0.conv1.weight`.
fn stage(name: &str) -> Option<(&str, usize)> {
    let before = name.strip_suffix(".0.conv1.weight")?;
    let number = before.rsplit('.').next()?;
    Some((before.strip_suffix(number)?, number.parse().ok().filter(|number| *number < 16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[(&str, &str)]) -> Vec<(String, String, Family)> {
        families(names).into_iter().map(|one| (one.place.key, one.place.prefix, one.family)).collect()
    }

    #[test]
    fn what_stands_before_the_names_is_found() {
        let one = |key: &str, prefix: &str, family| vec![(key.to_owned(), prefix.to_owned(), family)];
        for (name, prefix, family) in [
            ("layer1.0.conv1.weight", "", Family::ResNet),
            ("module._orig_mod.layer1.0.conv1.weight", "module._orig_mod.", Family::ResNet),
            ("encoder_q.0.layer1.0.conv1.weight", "encoder_q.0.", Family::ResNet),
            ("model.res2.0.conv1.weight", "model.", Family::Detectron2),
            ("backbone.patch_embed.proj.weight", "backbone.", Family::TimmVit),
            ("net.encoder.layers.encoder_layer_0.ln_1.weight", "net.", Family::TorchvisionVit),
        ] {
            assert_eq!(found(&[("a.b", name), ("a.b", "other")]), one("a.b", prefix, family));
        }
        assert_eq!(found(&[("", "my_layer1.0.conv1.weight"), ("", "decoder_patch_embed.proj.weight")]), []);
    }

    #[test]
    fn numbered_layers_are_a_resnet_where_four_stages_follow_a_stem() {
        let names = |numbers: [usize; 4]| numbers.map(|number| format!("f.{number}.0.conv1.weight"));
        let of = |numbers, stem| {
            let names = names(numbers);
            let mut all: Vec<(&str, &str)> = names.iter().map(|name| ("", name.as_str())).collect();
            all.push(("", stem));
            found(&all)
        };
        let one = |first| vec![(String::new(), "f.".to_owned(), Family::Sequence(first))];
        assert_eq!(of([4, 5, 6, 7], "f.0.weight"), one(4));
        assert_eq!(of([2, 3, 4, 5], "f.0.weight"), one(2));
        assert_eq!(of([4, 5, 6, 7], "g.0.weight"), []);
        assert_eq!(of([4, 5, 7, 8], "f.0.weight"), []);
    }
}
