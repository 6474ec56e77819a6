//! Detects the naming convention of a file, and sorts its weights.

use run_store::checkpoint::Stored;

use crate::rename::{resnet_from_detectron2, vit_from_torchvision};
use crate::{Tensors, Unrecognized};

/// The naming convention of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// A ResNet, as named in torchvision and timm.
    ResNet,
    /// A ViT, as named in timm and DeiT.
    TimmVit,
    /// A ViT, as named in torchvision.
    TorchvisionVit,
    /// A ResNet, as named in detectron2.
    Detectron2,
    /// A checkpoint of facebookresearch/moco.
    Moco,
    /// A checkpoint of facebookresearch/moco-v3.
    MocoV3,
}

impl Convention {
    /// Whether heads in such a file are projection heads. Elsewhere they are classifiers.
    pub fn has_projection_heads(self) -> bool {
        matches!(self, Self::Moco | Self::MocoV3)
    }
}

impl std::fmt::Display for Convention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ResNet => "a ResNet, named as in torchvision and timm",
            Self::TimmVit => "a ViT, named as in timm and DeiT",
            Self::TorchvisionVit => "a ViT, named as in torchvision",
            Self::Detectron2 => "a ResNet, named as in detectron2",
            Self::Moco => "a checkpoint of facebookresearch/moco",
            Self::MocoV3 => "a checkpoint of facebookresearch/moco-v3",
        })
    }
}

/// The contents of a file, under our names.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoders {
    /// The naming convention of the file.
    pub convention: Convention,
    /// The query encoder; or the momentum encoder if the file has nothing else.
    pub query: EncoderWeights,
    /// The momentum encoder, if the file has both.
    pub momentum: Option<EncoderWeights>,
    /// Whether `query` is actually the momentum encoder, because the file has no other.
    pub only_momentum: bool,
    /// MoCo v3's predictor; empty without one.
    pub predictor: Tensors,
    /// The queue, one key per row, and the position of the next key.
    pub queue: Tensors,
    /// Unknown tensors, with the names of the file.
    pub unexpected: Vec<String>,
}

/// The weights of one encoder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncoderWeights {
    /// Named as in [`Architecture`](crate::Architecture).
    pub backbone: Tensors,
    /// The layers after the backbone: a projection head or a classifier, named as in its own module.
    pub head: Tensors,
}

/// Sorts `tensors` by their role, and renames them to our names.
///
/// # Errors
/// If the names follow no known convention.
pub fn encoders(tensors: Tensors) -> Result<Encoders, Unrecognized> {
    // The prefix that DataParallel adds to every name.
    let tensors: Tensors = match tensors.keys().all(|name| name.starts_with("module.")) {
        true => {
            tensors.into_iter().map(|(name, stored)| (name["module.".len()..].to_owned(), stored)).collect()
        }
        false => tensors,
    };
    let any = |prefix: &str| tensors.keys().any(|name| name.starts_with(prefix));
    if any("encoder_q.") || any("encoder_k.") {
        Ok(moco(tensors, Convention::Moco, ["encoder_q.", "encoder_k."]))
    } else if any("base_encoder.") || any("momentum_encoder.") {
        Ok(moco(tensors, Convention::MocoV3, ["base_encoder.", "momentum_encoder."]))
    } else {
        let convention = if any("stem.conv1.") {
            Convention::Detectron2
        } else if any("encoder.layers.encoder_layer_") {
            Convention::TorchvisionVit
        } else if any("patch_embed.") {
            Convention::TimmVit
        } else if any("layer1.") {
            Convention::ResNet
        } else {
            return Err(Unrecognized::Family { example: tensors.into_keys().next() });
        };
        Ok(plain(tensors, convention))
    }
}

fn plain(tensors: Tensors, convention: Convention) -> Encoders {
    let mut query = EncoderWeights::default();
    let mut unexpected = Vec::new();
    for (name, stored) in tensors {
        let head = ["fc.", "head.", "heads.", "stem.fc."].iter().find_map(|prefix| name.strip_prefix(prefix));
        if let Some(part) = head {
            query.head.insert(part.to_owned(), stored);
            continue;
        }
        let ours = match convention {
            Convention::Detectron2 => resnet_from_detectron2(&name),
            Convention::TorchvisionVit => vit_from_torchvision(&name),
            _ => Some(name.clone()),
        };
        match ours {
            Some(ours) => drop(query.backbone.insert(ours, stored)),
            None => unexpected.push(name),
        }
    }
    Encoders {
        convention,
        query,
        momentum: None,
        only_momentum: false,
        predictor: Tensors::new(),
        queue: Tensors::new(),
        unexpected,
    }
}

fn moco(tensors: Tensors, convention: Convention, sides: [&str; 2]) -> Encoders {
    let mut encoders = [EncoderWeights::default(), EncoderWeights::default()];
    let (mut predictor, mut queue, mut unexpected) = (Tensors::new(), Tensors::new(), Vec::new());
    for (name, stored) in tensors {
        let side = sides.iter().position(|prefix| name.starts_with(prefix));
        if let Some(side) = side {
            let encoder = &mut encoders[side];
            let part = &name[sides[side].len()..];
            match part.strip_prefix("fc.").or_else(|| part.strip_prefix("head.")) {
                Some(part) => encoder.head.insert(part.to_owned(), stored),
                None => encoder.backbone.insert(part.to_owned(), stored),
            };
        } else if let Some(part) = name.strip_prefix("predictor.") {
            predictor.insert(part.to_owned(), stored);
        } else if let ("queue", Some(rows)) = (name.as_str(), transposed(&stored)) {
            queue.insert("queue".into(), rows);
        } else if let ("queue_ptr", Stored::U64(_)) = (name.as_str(), &stored) {
            queue.insert("pointer".into(), stored);
        } else {
            unexpected.push(name);
        }
    }
    let [query, momentum] = encoders;
    let only_momentum = query.backbone.is_empty();
    let (query, momentum) = match (query.backbone.is_empty(), momentum.backbone.is_empty()) {
        (true, _) => (momentum, None),
        (false, true) => (query, None),
        (false, false) => (query, Some(momentum)),
    };
    Encoders { convention, query, momentum, only_momentum, predictor, queue, unexpected }
}

/// `(C, K)`, one key per column, to `(K, C)`; `None` unless it has two axes and is not empty.
fn transposed(stored: &Stored) -> Option<Stored> {
    match stored {
        Stored::F32 { shape, values } => {
            let &[c @ (1..), k] = shape.as_slice() else { return None };
            let values = (0..k).flat_map(|key| (0..c).map(move |i| values[i * k + key])).collect();
            Some(Stored::F32 { shape: vec![k, c], values })
        }
        Stored::U64(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::tensors_of;
    use crate::{Architecture, Block, ResNet, ResNetStem, Shape, Target, layout};

    fn resnet() -> Tensors {
        let resnet =
            ResNet { block: Block::Basic, blocks: [1; 4], width: 2, stem: ResNetStem::Cifar, channels: 3 };
        tensors_of(&layout(&Architecture::ResNet(resnet)))
    }

    fn one(name: &str) -> Tensors {
        tensors_of(&[(name.to_owned(), Shape::Floats(vec![1]))])
    }

    #[test]
    fn what_was_exported_is_sorted_as_it_was() {
        for (target, convention) in [
            (Target::Torchvision, Convention::ResNet),
            (Target::Detectron2, Convention::Detectron2),
            (Target::Moco, Convention::Moco),
            (Target::MocoV3, Convention::MocoV3),
        ] {
            let found = encoders(target.rename(resnet(), one("weight"), one("0.weight"), false)).unwrap();
            assert_eq!(found.convention, convention);
            assert_eq!((&found.query.backbone, found.query.head.len()), (&resnet(), 1), "{target}");
            assert_eq!(found.predictor.len(), usize::from(target == Target::MocoV3));
            assert_eq!((found.momentum, found.unexpected), (None, vec![]));
        }
    }

    #[test]
    fn both_encoders_and_the_queue_of_a_checkpoint_are_found() {
        let mut tensors = Target::Moco.rename(resnet(), one("weight"), Tensors::new(), false);
        tensors.extend(Target::Moco.rename(resnet(), one("weight"), Tensors::new(), true));
        let values = vec![0.0, 1.0, 2.0, 10.0, 11.0, 12.0];
        tensors.insert("module.queue".into(), Stored::F32 { shape: vec![2, 3], values });
        tensors.insert("module.queue_ptr".into(), Stored::U64(vec![1]));
        tensors.insert("module.extra".into(), Stored::U64(vec![1]));
        let found = encoders(tensors).unwrap();
        assert!(!found.only_momentum);
        assert_eq!(found.momentum.unwrap().backbone, found.query.backbone);
        assert_eq!(found.unexpected, ["extra"]);
        let rows = vec![0.0, 10.0, 1.0, 11.0, 2.0, 12.0];
        assert_eq!(found.queue["queue"], Stored::F32 { shape: vec![3, 2], values: rows });
        assert_eq!(found.queue["pointer"], Stored::U64(vec![1]));
        let mut tensors = Target::Moco.rename(resnet(), Tensors::new(), Tensors::new(), false);
        tensors.insert("module.queue".into(), Stored::F32 { shape: vec![0, usize::MAX], values: vec![] });
        assert_eq!(encoders(tensors).unwrap().unexpected, ["queue"]);
    }

    #[test]
    fn a_file_with_the_momentum_encoder_alone_says_so() {
        let found = encoders(Target::MocoV3.rename(resnet(), one("weight"), Tensors::new(), true)).unwrap();
        assert!(found.only_momentum && found.momentum.is_none());
        assert_eq!(found.query.backbone, resnet());
    }

    #[test]
    fn names_of_nobody_are_refused() {
        let error = encoders(one("text_model.weight")).unwrap_err();
        assert!(error.to_string().contains("`text_model.weight` belongs to no known ResNet"), "{error}");
    }
}
