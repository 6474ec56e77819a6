//! Detects the naming convention of a file, and sorts its weights.

use crate::choice::{Candidate, Choice, Chosen, Place, Side, choose};
use crate::family::Family;
use crate::file::WeightFile;
use crate::plausible::implausible;
use crate::roles::{Role, Sorted, Sorter};
use crate::{EncodersError, ReadError, Tensors};

/// The naming convention of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// A ResNet, as named in torchvision and timm.
    ResNet,
    /// A ResNet, as numbered in a `torch.nn.Sequential` of torchvision's layers.
    Sequence,
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

    fn of(candidate: &Candidate) -> Self {
        match (candidate.place.last(), candidate.family) {
            ("encoder_q" | "encoder_k", Family::ResNet) => Self::Moco,
            ("base_encoder" | "momentum_encoder", Family::ResNet | Family::TimmVit) => Self::MocoV3,
            (_, Family::ResNet) => Self::ResNet,
            (_, Family::Sequence(_)) => Self::Sequence,
            (_, Family::Detectron2) => Self::Detectron2,
            (_, Family::TimmVit) => Self::TimmVit,
            (_, Family::TorchvisionVit) => Self::TorchvisionVit,
        }
    }
}

impl std::fmt::Display for Convention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ResNet => "a ResNet, named as in torchvision and timm",
            Self::Sequence => "a ResNet, numbered as the children of torchvision's",
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
    /// Where the query encoder stands in the file.
    pub place: Place,
    /// The query encoder; or the momentum encoder if it was chosen, or the file has nothing else.
    pub query: EncoderWeights,
    /// The momentum encoder and its place, if both were taken.
    pub momentum: Option<(EncoderWeights, Place)>,
    /// Whether `query` is actually the momentum encoder.
    pub only_momentum: bool,
    /// Where the other encoder stands, if the file has one that was not taken.
    pub other: Option<Place>,
    /// MoCo v3's predictor; empty without one.
    pub predictor: Tensors,
    /// The queue, one key per row, and the position of the next key.
    pub queue: Tensors,
    /// Tensors beside the encoders, with the names of the file: heads of other methods, decoders, and what the choice leaves
    /// out.
    pub left_out: Vec<String>,
    /// The backbone in the pipeline that it was trained by, where this program has exported it: `("resnet", (depth: 50))`.
    pub backbone: Option<String>,
    /// `(H, W)` of the images that the encoder was built for, where the file says it: those that this program has exported do.
    pub image_size: Option<(usize, usize)>,
    /// Tensors that have an encoder's prefix but no name of an encoder, with the names of the file.
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

impl WeightFile {
    /// Reads the encoders that `choice` wants, and sorts their weights by role under our names. The values of others are not
    /// read.
    ///
    /// # Errors
    /// If the names belong to no known encoder, or to several that the choice does not tell apart; if the values cannot be
    /// read, are not finite, or are variances below 0.
    pub fn encoders(&mut self, choice: &Choice) -> Result<Encoders, EncodersError> {
        let names: Vec<(&str, &str)> = self.names().collect();
        let chosen = choose(&names, choice)?;
        let sorter = Sorter { choice, chosen: &chosen, convention: Convention::of(&chosen.query) };
        let roles = sorter.roles(&names, &|item| self.is_inert(item))?;
        let wanted: Vec<usize> = roles
            .iter()
            .filter(|(_, role)| !matches!(role, Role::LeftOut | Role::Unexpected))
            .map(|(item, _)| *item)
            .collect();
        let of_file = |(item, _): &(usize, Role)| names[*item].1.to_owned();
        let named = |is: fn(&Role) -> bool| roles.iter().filter(|(_, role)| is(role)).map(of_file).collect();
        let (left_out, unexpected): (Vec<String>, Vec<String>) =
            (named(|role| matches!(role, Role::LeftOut)), named(|role| matches!(role, Role::Unexpected)));
        let file_names: Vec<String> = wanted.iter().map(|item| names[*item].1.to_owned()).collect();
        let mut sorted = Sorted { left_out, ..Sorted::default() };
        let roles = roles.into_iter().filter(|(_, role)| !matches!(role, Role::LeftOut | Role::Unexpected));
        for (((_, role), stored), name) in roles.zip(self.read_items(&wanted)?).zip(file_names) {
            if let Some(what) = implausible(&name, &stored) {
                return Err(ReadError::Values { path: self.path.clone(), tensor: name, what }.into());
            }
            if let Some(name) = sorted.put(role, stored, name) {
                let reason = format!("`{name}` appears twice");
                return Err(ReadError::Damaged { path: self.path.clone(), reason }.into());
            }
        }
        let Chosen { query, momentum, other } = chosen;
        let Sorted { encoders: [of_query, of_momentum], predictor, queue, left_out } = sorted;
        Ok(Encoders {
            convention: Convention::of(&query),
            only_momentum: query.place.side() == Side::Momentum,
            place: query.place,
            query: of_query,
            momentum: momentum.map(|one| (of_momentum, one.place)),
            other: other.map(|one| one.place),
            predictor,
            queue,
            left_out,
            backbone: self.backbone(),
            image_size: self.image_size(),
            unexpected,
        })
    }
}

#[cfg(test)]
mod tests {
    use run_store::checkpoint::Stored;

    use super::*;
    use crate::file::in_memory;
    use crate::report::tests::tensors_of;
    use crate::{Architecture, Block, ResNet, ResNetStem, Shape, Target, layout};

    fn resnet() -> Tensors {
        let resnet = ResNet {
            block: Block::Basic,
            blocks: [1; 4],
            width: 2,
            stem: ResNetStem::Cifar,
            width_per_group: 64,
            groups: 1,
            channels: 3,
        };
        tensors_of(&layout(&Architecture::ResNet(resnet)))
    }

    fn encoders(tensors: Tensors) -> Result<Encoders, EncodersError> {
        in_memory(tensors).encoders(&Choice::default())
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
        assert_eq!(found.momentum.unwrap().0.backbone, found.query.backbone);
        assert_eq!(found.left_out, ["module.extra"]);
        let rows = vec![0.0, 10.0, 1.0, 11.0, 2.0, 12.0];
        assert_eq!(found.queue["queue"], Stored::F32 { shape: vec![3, 2], values: rows });
        assert_eq!(found.queue["pointer"], Stored::U64(vec![1]));
        let mut tensors = Target::Moco.rename(resnet(), Tensors::new(), Tensors::new(), false);
        tensors.insert("module.queue".into(), Stored::F32 { shape: vec![0, usize::MAX], values: vec![] });
        assert_eq!(encoders(tensors).unwrap().left_out, ["module.queue"]);
    }

    #[test]
    fn the_side_that_is_chosen_has_its_own_values() {
        let filled = |value: f32| -> Tensors {
            let of = |stored| match stored {
                Stored::F32 { shape, values } => Stored::F32 { shape, values: vec![value; values.len()] },
                count => count,
            };
            resnet().into_iter().map(|(name, stored)| (name, of(stored))).collect()
        };
        // The student has no prefix, so that the teacher's names seem to be the student's.
        let mut tensors = filled(1.0);
        tensors.extend(filled(2.0).into_iter().map(|(name, stored)| (format!("teacher.{name}"), stored)));
        let of = |side| {
            let choice = Choice { side, ..Choice::default() };
            in_memory(tensors.clone()).encoders(&choice).unwrap()
        };
        let both = of(None);
        assert_eq!((&both.query.backbone, &both.momentum.unwrap().0.backbone), (&filled(1.0), &filled(2.0)));
        let (query, momentum) = (of(Some(Side::Query)), of(Some(Side::Momentum)));
        assert_eq!((query.query.backbone, query.only_momentum), (filled(1.0), false));
        assert_eq!((momentum.query.backbone, momentum.only_momentum), (filled(2.0), true));
        assert_eq!((query.left_out, momentum.left_out), (vec![], vec![]));
    }

    #[test]
    fn a_file_with_the_momentum_encoder_alone_says_so() {
        let found = encoders(Target::MocoV3.rename(resnet(), one("weight"), Tensors::new(), true)).unwrap();
        assert!(found.only_momentum && found.momentum.is_none());
        assert_eq!(found.query.backbone, resnet());
    }

    #[test]
    fn values_that_no_encoder_has_are_refused_by_their_name_in_the_file() {
        let told = |name: &str, value: f32| {
            let mut tensors = Target::Moco.rename(resnet(), one("weight"), Tensors::new(), false);
            let Some(Stored::F32 { values, .. }) = tensors.get_mut(name) else { panic!("{name}") };
            *values.last_mut().unwrap() = value;
            encoders(tensors).unwrap_err().to_string()
        };
        for (name, value, expected) in [
            ("module.encoder_q.conv1.weight", f32::NAN, "1 of 54 values that are not finite, NaN first"),
            ("module.encoder_q.conv1.weight", f32::INFINITY, "1 of 54 values that are not finite, inf first"),
            ("module.encoder_q.fc.weight", f32::NAN, "1 of 1 values that are not finite, NaN first"),
            ("module.encoder_q.bn1.running_var", -1.0, "1 of 2 values that are variances below 0, -1 first"),
        ] {
            assert_eq!(told(name, value), format!("`memory`: `{name}` has {expected}"));
        }
    }

    #[test]
    fn names_of_nobody_are_refused() {
        let error = encoders(one("text_model.weight")).unwrap_err();
        assert!(error.to_string().contains("`text_model.weight` belongs to no known ResNet"), "{error}");
    }
}
