//! The programs to export for.

use crate::choice::Side;
use crate::rename::{resnet_to_detectron2, vit_to_torchvision};
use crate::{Architecture, HeadLayers, ResNetStem, Tensors, Vit, VitStem};

/// A program that will load the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// torchvision's `ResNet` and `VisionTransformer`.
    Torchvision,
    /// timm's models.
    Timm,
    /// facebookresearch/deit, which fine-tunes ViTs.
    Deit,
    /// facebookresearch/detectron2, which detects and segments.
    Detectron2,
    /// facebookresearch/moco, v1 and v2.
    Moco,
    /// facebookresearch/moco-v3.
    MocoV3,
    /// An ONNX graph for ONNX Runtime and similar, which is not a safetensors file: see
    /// [`write_onnx`](crate::write_onnx).
    Onnx,
}

/// Why a target cannot represent an encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The reason.
    pub reason: String,
    /// The targets that can.
    pub fitting: Vec<Target>,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 7] =
        [Self::Torchvision, Self::Timm, Self::Deit, Self::Detectron2, Self::Moco, Self::MocoV3, Self::Onnx];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Torchvision => "torchvision",
            Self::Timm => "timm",
            Self::Deit => "deit",
            Self::Detectron2 => "detectron2",
            Self::Moco => "moco",
            Self::MocoV3 => "moco-v3",
            Self::Onnx => "onnx",
        }
    }

    /// The extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            _ => "safetensors",
        }
    }

    /// The target with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Checks that this target can represent `architecture`, trained on images of this height and width, and `head` if
    /// it is exported too.
    ///
    /// # Errors
    /// If it cannot, with the targets that can.
    pub fn check(
        self,
        architecture: &Architecture,
        image_size: (usize, usize),
        head: Option<&HeadLayers>,
    ) -> Result<(), Unfit> {
        let refusal = |target: Self| {
            target
                .refuses(architecture, image_size)
                .or_else(|| head.and_then(|head| target.refuses_head(head)))
        };
        match refusal(self) {
            None => Ok(()),
            Some(reason) => {
                let fitting = Self::ALL.into_iter().filter(|target| refusal(*target).is_none()).collect();
                Err(Unfit { reason, fitting })
            }
        }
    }

    /// Checks that this target can represent `architecture`, trained on images of this height and width, with `classifier`
    /// behind it.
    ///
    /// # Errors
    /// If it cannot, with the targets that can.
    pub fn check_classifier(
        self,
        architecture: &Architecture,
        image_size: (usize, usize),
        classifier: &HeadLayers,
    ) -> Result<(), Unfit> {
        let refusal = |target: Self| {
            target.refuses(architecture, image_size).or_else(|| target.refuses_classifier(classifier))
        };
        match refusal(self) {
            None => Ok(()),
            Some(reason) => {
                let fitting = Self::ALL.into_iter().filter(|target| refusal(*target).is_none()).collect();
                Err(Unfit { reason, fitting })
            }
        }
    }

    fn refuses(self, architecture: &Architecture, image_size: (usize, usize)) -> Option<String> {
        match architecture {
            Architecture::Vit(vit) => self.refuses_vit(vit, image_size),
            Architecture::ResNet(resnet) => match self {
                Self::Timm if resnet.width != 64 => {
                    Some(format!("timm's ResNets have a width of 64, and this one has {}", resnet.width))
                }
                Self::Deit => Some("DeiT supports only ViTs, and this is a ResNet".into()),
                Self::Detectron2 if resnet.channels != 3 => {
                    Some(not_rgb("detectron2's data loader", resnet.channels))
                }
                Self::Detectron2 if resnet.stem == ResNetStem::Cifar => Some(
                    "detectron2's ResNets have the ImageNet stem, and this one has the CIFAR stem".into(),
                ),
                Self::Detectron2 if resnet.depth().is_none() => {
                    Some(format!("detectron2 has no ResNet with {:?} blocks", resnet.blocks))
                }
                _ => None,
            },
        }
    }

    fn refuses_vit(self, vit: &Vit, (height, width): (usize, usize)) -> Option<String> {
        let has_all = vit.class_token && vit.positions.is_some() && vit.norm;
        match self {
            Self::Detectron2 => Some("only ResNets can be exported to detectron2, and this is a ViT".into()),
            Self::Moco => Some("facebookresearch/moco supports only ResNets, and this is a ViT".into()),
            Self::Deit if vit.channels != 3 => Some(not_rgb("DeiT", vit.channels)),
            Self::Torchvision | Self::Timm | Self::Deit if vit.stem == VitStem::Conv => {
                Some(format!("{} has no ViT with MoCo v3's convolution stem", self.name()))
            }
            Self::Torchvision | Self::Deit | Self::MocoV3 if vit.layer_scale || vit.registers > 0 => {
                Some(format!(
                    "{}'s ViT has no {}, and this one does",
                    self.name(),
                    if vit.layer_scale { "layer scale" } else { "registers" }
                ))
            }
            Self::Torchvision | Self::Deit | Self::MocoV3 if !has_all => Some(format!(
                "{}'s ViT has a class token, a position embedding and a final layer norm, but this one lacks {}",
                self.name(),
                if !vit.class_token {
                    "the class token"
                } else if vit.norm {
                    "the position embedding"
                } else {
                    "the layer norm"
                }
            )),
            Self::Torchvision | Self::Deit | Self::MocoV3 if height != width => Some(format!(
                "{}'s ViT takes square images, and this one was trained on {height}x{width}",
                self.name()
            )),
            _ => None,
        }
    }

    fn refuses_head(self, head: &HeadLayers) -> Option<String> {
        match self {
            Self::Deit | Self::Detectron2 => {
                Some(format!("{} has no place for a projection head", self.name()))
            }
            Self::Moco if head.has_batch_norm() => {
                Some("the heads of facebookresearch/moco have no batch norm, and this one does".into())
            }
            Self::MocoV3 if !head.has_batch_norm() => {
                Some("the heads of facebookresearch/moco-v3 have batch norm, and this one does not".into())
            }
            _ => None,
        }
    }

    fn refuses_classifier(self, classifier: &HeadLayers) -> Option<String> {
        match self {
            Self::Detectron2 => Some("detectron2 has no place for a classifier".into()),
            Self::Moco | Self::MocoV3 => Some(format!(
                "facebookresearch/{} trains a classifier of its own on what it loads",
                self.name()
            )),
            Self::Deit if !matches!(classifier, HeadLayers::Linear(_)) => {
                Some("DeiT's classifier is one linear layer, and this one stands on a projection head".into())
            }
            _ => None,
        }
    }

    /// [`rename`](Self::rename) with `classifier` behind `backbone`, by the names that the target's own classifier has.
    ///
    /// [`check_classifier`](Self::check_classifier) must have accepted the two.
    pub fn rename_with_classifier(self, backbone: Tensors, classifier: Tensors) -> Tensors {
        let is_vit = backbone.keys().any(|name| name.starts_with("patch_embed."));
        // torchvision's ViT has one linear layer in a sequence of that name.
        let is_inside = self == Self::Torchvision && is_vit && classifier.contains_key("weight");
        let inside = |(name, stored)| (format!("head.{name}"), stored);
        let classifier = match is_inside {
            true => classifier.into_iter().map(inside).collect(),
            false => classifier,
        };
        self.rename(backbone, classifier, Tensors::new(), false)
    }

    /// Renames `backbone`, and `head` and `predictor` behind it, to this target's names.
    ///
    /// [`check`](Self::check) must have accepted the architecture. Only MoCo v3 uses `predictor`; the others end at the
    /// projector. With `momentum`, the names are those of the momentum encoder, if the target has such names.
    pub fn rename(self, backbone: Tensors, head: Tensors, predictor: Tensors, momentum: bool) -> Tensors {
        let is_vit = backbone.keys().any(|name| name.starts_with("patch_embed."));
        let side = if momentum { Side::Momentum } else { Side::Query };
        let prefix = self.prefix(side);
        let mut renamed = Tensors::new();
        for (name, stored) in backbone {
            let theirs = match self {
                Self::Torchvision if is_vit => vit_to_torchvision(&name),
                Self::Detectron2 => resnet_to_detectron2(&name),
                _ => Some(name.clone()),
            };
            renamed.insert(format!("{prefix}{}", theirs.unwrap_or(name)), stored);
        }
        let place = match (self, is_vit) {
            (Self::Torchvision, true) => "heads",
            (_, true) => "head",
            (_, false) => "fc",
        };
        renamed.extend(head.into_iter().map(|(name, stored)| (format!("{prefix}{place}.{name}"), stored)));
        if self == Self::MocoV3 {
            let predictor = predictor.into_iter();
            renamed.extend(predictor.map(|(name, stored)| (format!("module.predictor.{name}"), stored)));
        }
        renamed
    }

    fn prefix(self, side: Side) -> &'static str {
        match (self, side) {
            (Self::Moco, Side::Query) => "module.encoder_q.",
            (Self::Moco, Side::Momentum) => "module.encoder_k.",
            (Self::MocoV3, Side::Query) => "module.base_encoder.",
            (Self::MocoV3, Side::Momentum) => "module.momentum_encoder.",
            _ => "",
        }
    }
}

fn not_rgb(who: &str, channels: usize) -> String {
    format!("{who} takes RGB images, and this encoder takes images of {channels} channels")
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Unfit {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::tensors_of;
    use crate::{Block, HeadLayer, ResNet, layout};

    fn resnet(width: usize, stem: ResNetStem) -> Architecture {
        Architecture::ResNet(ResNet {
            block: Block::Basic,
            blocks: [2; 4],
            width,
            stem,
            width_per_group: 64,
            groups: 1,
            channels: 3,
        })
    }

    fn vit(stem: VitStem, class_token: bool) -> Architecture {
        Architecture::Vit(Vit {
            patch: 4,
            dim: 16,
            depth: 1,
            heads: Some(2),
            hidden: 64,
            class_token,
            positions: Some(17),
            norm: true,
            stem,
            layer_scale: false,
            registers: 0,
            channels: 3,
        })
    }

    fn fitting(architecture: &Architecture, head: Option<&HeadLayers>) -> Vec<&'static str> {
        let fits = |target: &Target| target.check(architecture, (32, 32), head).is_ok();
        Target::ALL.into_iter().filter(fits).map(Target::name).collect()
    }

    #[test]
    fn each_encoder_goes_where_it_has_a_counterpart() {
        let resnets = ["torchvision", "timm", "detectron2", "moco", "moco-v3", "onnx"];
        assert_eq!(fitting(&resnet(64, ResNetStem::ImageNet), None), resnets);
        assert_eq!(fitting(&resnet(4, ResNetStem::Cifar), None), ["torchvision", "moco", "moco-v3", "onnx"]);
        assert_eq!(
            fitting(&vit(VitStem::Patch, true), None),
            ["torchvision", "timm", "deit", "moco-v3", "onnx"]
        );
        assert_eq!(fitting(&vit(VitStem::Patch, false), None), ["timm", "onnx"]);
        assert_eq!(fitting(&vit(VitStem::Conv, true), None), ["moco-v3", "onnx"]);
        for (layer_scale, registers) in [(true, 0), (false, 4)] {
            let Architecture::Vit(of) = vit(VitStem::Patch, true) else { panic!("it is a ViT") };
            let scaled = Architecture::Vit(Vit { layer_scale, registers, ..of });
            assert_eq!(fitting(&scaled, None), ["timm", "onnx"]);
        }
        let linear = HeadLayer::Linear { n_inputs: 16, n_outputs: 8, bias: true };
        let head = HeadLayers::Linear(linear);
        assert_eq!(
            fitting(&resnet(64, ResNetStem::ImageNet), Some(&head)),
            ["torchvision", "timm", "moco", "onnx"]
        );
        let Architecture::ResNet(of) = resnet(64, ResNetStem::ImageNet) else { panic!("it is a ResNet") };
        let resnext = |blocks| {
            let block = Block::Bottleneck;
            Architecture::ResNet(ResNet { block, blocks, groups: 32, width_per_group: 4, ..of.clone() })
        };
        assert_eq!(fitting(&resnext([3, 4, 6, 3]), None), resnets);
        assert_eq!(fitting(&resnext([1; 4]), None), ["torchvision", "timm", "moco", "moco-v3", "onnx"]);
        let error = Target::Detectron2.check(&vit(VitStem::Conv, true), (32, 32), None).unwrap_err();
        assert_eq!(error.to_string(), "only ResNets can be exported to detectron2, and this is a ViT");
        assert_eq!(error.fitting, [Target::MocoV3, Target::Onnx]);
        let Architecture::Vit(vit_of_rgb) = vit(VitStem::Patch, true) else { panic!("it is a ViT") };
        let of_four = Architecture::Vit(Vit { channels: 4, ..vit_of_rgb });
        assert_eq!(fitting(&of_four, None), ["torchvision", "timm", "moco-v3", "onnx"]);
        let error = Target::Deit.check(&of_four, (32, 32), None).unwrap_err();
        assert_eq!(error.to_string(), "DeiT takes RGB images, and this encoder takes images of 4 channels");
        let error = Target::Deit.check(&vit(VitStem::Patch, true), (32, 48), None).unwrap_err();
        assert_eq!(error.to_string(), "deit's ViT takes square images, and this one was trained on 32x48");
        assert_eq!(error.fitting, [Target::Timm, Target::Onnx]);
    }

    #[test]
    fn classifiers_go_where_there_is_a_place_for_them() {
        let linear = HeadLayer::Linear { n_inputs: 16, n_outputs: 8, bias: true };
        let one = HeadLayers::Linear(linear.clone());
        let fitting = |architecture: &Architecture, classifier: &HeadLayers| -> Vec<&'static str> {
            let fits = |target: &Target| target.check_classifier(architecture, (32, 32), classifier).is_ok();
            Target::ALL.into_iter().filter(fits).map(Target::name).collect()
        };
        assert_eq!(fitting(&resnet(64, ResNetStem::ImageNet), &one), ["torchvision", "timm", "onnx"]);
        assert_eq!(fitting(&vit(VitStem::Patch, true), &one), ["torchvision", "timm", "deit", "onnx"]);
        let on_head = HeadLayers::Sequence(vec![linear.clone(), HeadLayer::Relu, linear]);
        assert_eq!(fitting(&vit(VitStem::Patch, true), &on_head), ["torchvision", "timm", "onnx"]);
        let of = |target: Target, architecture: &Architecture| -> Vec<String> {
            let tensors =
                tensors_of(&["weight", "bias"].map(|name| (name.to_owned(), crate::Shape::Floats(vec![1]))));
            let renamed = target.rename_with_classifier(tensors_of(&layout(architecture)), tensors);
            renamed.into_keys().filter(|name| name.starts_with("head") || name.starts_with("fc")).collect()
        };
        let (resnet, vit) = (resnet(64, ResNetStem::ImageNet), vit(VitStem::Patch, true));
        assert_eq!(of(Target::Torchvision, &resnet), ["fc.bias", "fc.weight"]);
        assert_eq!(of(Target::Torchvision, &vit), ["heads.head.bias", "heads.head.weight"]);
        assert_eq!(of(Target::Timm, &vit), ["head.bias", "head.weight"]);
    }

    #[test]
    fn heads_stand_where_each_target_has_them() {
        let one = |name: &str| tensors_of(&[(name.to_owned(), crate::Shape::Floats(vec![1]))]);
        let backbone = tensors_of(&layout(&vit(VitStem::Patch, true)));
        let names = |target: Target, momentum| -> Vec<String> {
            let renamed = target.rename(backbone.clone(), one("0.weight"), one("3.weight"), momentum);
            renamed.into_keys().filter(|name| name.contains("head") || name.contains("pred")).collect()
        };
        assert_eq!(names(Target::Timm, false), ["head.0.weight"]);
        assert_eq!(names(Target::Torchvision, true), ["heads.0.weight"]);
        let v3 = ["module.momentum_encoder.head.0.weight", "module.predictor.3.weight"];
        assert_eq!(names(Target::MocoV3, true), v3);
        let backbone = tensors_of(&layout(&resnet(4, ResNetStem::ImageNet)));
        let moco = Target::Moco.rename(backbone, one("weight"), Tensors::new(), false);
        assert!(moco.contains_key("module.encoder_q.fc.weight"));
        assert!(moco.contains_key("module.encoder_q.layer4.1.bn2.running_mean"));
        assert!(moco.keys().all(|name| name.starts_with("module.encoder_q.")));
    }
}
