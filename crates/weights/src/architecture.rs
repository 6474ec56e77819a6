//! What encoder some weights belong to, and which names and shapes it has.

use run_store::checkpoint::Stored;

use crate::{Tensors, Unrecognized};

/// An encoder, as its weights tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Named as in torchvision.
    ResNet(ResNet),
    /// Named as in timm.
    Vit(Vit),
}

/// A ResNet (He et al. 2016, arXiv:1512.03385).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNet {
    /// The kind of its blocks.
    pub block: Block,
    /// Blocks of each stage.
    pub blocks: [usize; 4],
    /// Channels of the first stage; torchvision: 64.
    pub width: usize,
    /// How an image enters.
    pub stem: ResNetStem,
}

/// The two residual blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 and 1x1 convolutions, the last one 4 times as wide.
    Bottleneck,
}

/// How an image enters a ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResNetStem {
    /// A 7x7 convolution with stride 2 and a max-pool.
    ImageNet,
    /// A 3x3 convolution with stride 1.
    Cifar,
}

/// A vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vit {
    /// Pixels of a patch, in height and width.
    pub patch: usize,
    /// The width of a token.
    pub dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of each attention. Weights do not tell: `None` unless somebody has said it.
    pub heads: Option<usize>,
    /// The width of an MLP's hidden layer.
    pub hidden: usize,
    /// Whether a class token stands before the patches.
    pub class_token: bool,
    /// Tokens that the table of positions has, the class token included; `None` without a table.
    pub positions: Option<usize>,
    /// Whether a layer norm follows the last block.
    pub norm: bool,
    /// How patches become tokens.
    pub stem: VitStem,
}

/// How patches become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VitStem {
    /// One linear projection of each patch.
    Patch,
    /// Four 3x3 convolutions with stride 2, each with batch norm and ReLU, and a 1x1 convolution (MoCo v3).
    Conv,
}

/// What a tensor must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Floats with axes of these lengths.
    Floats(Vec<usize>),
    /// A count.
    Count,
}

impl Shape {
    /// What `stored` is.
    pub fn of(stored: &Stored) -> Self {
        match stored {
            Stored::F32 { shape, .. } => Self::Floats(shape.clone()),
            Stored::U64(_) => Self::Count,
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Floats(shape) => write!(f, "{shape:?}"),
            Self::Count => f.write_str("a count"),
        }
    }
}

impl Block {
    /// Channels that leave a block, for one that its 3x3 convolutions have.
    pub(crate) fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

impl Architecture {
    /// The encoder that `backbone` belongs to, which has the names of torchvision or timm and nothing else in it.
    ///
    /// Looks at a few tensors only; whether all are there, [`Report`](crate::Report) tells.
    ///
    /// # Errors
    /// If it is no ResNet or ViT.
    pub fn detect(backbone: &Tensors) -> Result<Self, Unrecognized> {
        if backbone.contains_key("conv1.weight") {
            ResNet::detect(backbone).map(Self::ResNet)
        } else if backbone.keys().any(|name| name.starts_with("patch_embed.")) {
            Vit::detect(backbone).map(Self::Vit)
        } else {
            Err(Unrecognized::Family { example: backbone.keys().next().cloned() })
        }
    }

    /// The features that it gives.
    pub fn n_features(&self) -> usize {
        match self {
            Self::ResNet(resnet) => 8 * resnet.width * resnet.block.expansion(),
            Self::Vit(vit) => vit.dim,
        }
    }

    /// The names and shapes of its weights, in the order of PyTorch's `state_dict`, without a last linear layer.
    pub fn layout(&self) -> Vec<(String, Shape)> {
        match self {
            Self::ResNet(resnet) => resnet.layout(),
            Self::Vit(vit) => vit.layout(),
        }
    }

    /// In a few words: `resnet50`, `vit, 384 wide, 12 blocks`.
    pub fn describe(&self) -> String {
        match self {
            Self::ResNet(resnet) => resnet.describe(),
            Self::Vit(vit) => vit.describe(),
        }
    }
}

impl ResNet {
    /// torchvision's name of it, if it has one.
    pub fn torchvision_name(&self) -> Option<&'static str> {
        if self.width != 64 || self.stem != ResNetStem::ImageNet {
            return None;
        }
        self.depth().map(|(name, _)| name)
    }

    /// The name and the number of layers of the published ResNet with these blocks.
    pub(crate) fn depth(&self) -> Option<(&'static str, usize)> {
        match (self.block, self.blocks) {
            (Block::Basic, [2, 2, 2, 2]) => Some(("resnet18", 18)),
            (Block::Basic, [3, 4, 6, 3]) => Some(("resnet34", 34)),
            (Block::Bottleneck, [3, 4, 6, 3]) => Some(("resnet50", 50)),
            (Block::Bottleneck, [3, 4, 23, 3]) => Some(("resnet101", 101)),
            (Block::Bottleneck, [3, 8, 36, 3]) => Some(("resnet152", 152)),
            _ => None,
        }
    }

    fn detect(tensors: &Tensors) -> Result<Self, Unrecognized> {
        let &[width, 3, side, _] = floats(tensors, "conv1.weight")? else {
            return Err(Unrecognized::shape("conv1.weight", tensors, "[channels, 3, height, width]"));
        };
        let stem = match side {
            7 => ResNetStem::ImageNet,
            3 => ResNetStem::Cifar,
            _ => return Err(Unrecognized::shape("conv1.weight", tensors, "a kernel of 7x7 or 3x3")),
        };
        let block =
            if tensors.contains_key("layer1.0.conv3.weight") { Block::Bottleneck } else { Block::Basic };
        let blocks = [1, 2, 3, 4].map(|stage| count(tensors, &format!("layer{stage}."), ".conv1.weight"));
        if blocks.contains(&0) {
            return Err(Unrecognized::Stages { blocks });
        }
        Ok(Self { block, blocks, width, stem })
    }

    fn layout(&self) -> Vec<(String, Shape)> {
        let mut layout = Layout::default();
        let side = match self.stem {
            ResNetStem::ImageNet => 7,
            ResNetStem::Cifar => 3,
        };
        layout.convolution("conv1", [self.width, 3, side, side]);
        layout.batch_norm("bn1", self.width);
        let mut n_inputs = self.width;
        for (stage, n_blocks) in self.blocks.into_iter().enumerate() {
            let width = self.width << stage;
            let n_outputs = width * self.block.expansion();
            for i in 0..n_blocks {
                let name = |part: &str| format!("layer{}.{i}.{part}", stage + 1);
                let kernels = match self.block {
                    Block::Basic => vec![[width, n_inputs, 3, 3], [width, width, 3, 3]],
                    Block::Bottleneck => {
                        vec![[width, n_inputs, 1, 1], [width, width, 3, 3], [n_outputs, width, 1, 1]]
                    }
                };
                for (j, kernel) in kernels.into_iter().enumerate() {
                    layout.convolution(&name(&format!("conv{}", j + 1)), kernel);
                    layout.batch_norm(&name(&format!("bn{}", j + 1)), kernel[0]);
                }
                if i == 0 && (stage > 0 || n_inputs != n_outputs) {
                    layout.convolution(&name("downsample.0"), [n_outputs, n_inputs, 1, 1]);
                    layout.batch_norm(&name("downsample.1"), n_outputs);
                }
                n_inputs = n_outputs;
            }
        }
        layout.0
    }

    fn describe(&self) -> String {
        let mut text = match self.depth() {
            Some((name, _)) => name.to_owned(),
            None => format!("resnet of {:?} {:?} blocks", self.blocks, self.block),
        };
        if self.width != 64 {
            text += &format!(", {} channels wide at its start", self.width);
        }
        if self.stem == ResNetStem::Cifar {
            text += ", CIFAR stem";
        }
        text
    }
}

impl Vit {
    fn detect(tensors: &Tensors) -> Result<Self, Unrecognized> {
        let (stem, kernel) = match tensors.contains_key("patch_embed.proj.weight") {
            true => (VitStem::Patch, "patch_embed.proj.weight"),
            false => (VitStem::Conv, "patch_embed.proj.12.weight"),
        };
        let &[dim, _, side, _] = floats(tensors, kernel)? else {
            return Err(Unrecognized::shape(kernel, tensors, "[dim, channels, height, width]"));
        };
        let &[hidden, _] = floats(tensors, "blocks.0.mlp.fc1.weight")? else {
            return Err(Unrecognized::shape("blocks.0.mlp.fc1.weight", tensors, "[hidden, dim]"));
        };
        let positions = match tensors.get("pos_embed") {
            None => None,
            Some(Stored::F32 { shape, .. }) if shape.len() == 3 => Some(shape[1]),
            Some(_) => return Err(Unrecognized::shape("pos_embed", tensors, "[1, tokens, dim]")),
        };
        Ok(Self {
            // The four halving layers of the convolution stem.
            patch: if stem == VitStem::Patch { side } else { 16 },
            dim,
            depth: count(tensors, "blocks.", ".norm1.weight"),
            heads: None,
            hidden,
            class_token: tensors.contains_key("cls_token"),
            positions,
            norm: tensors.contains_key("norm.weight"),
            stem,
        })
    }

    fn layout(&self) -> Vec<(String, Shape)> {
        let (dim, hidden) = (self.dim, self.hidden);
        let mut layout = Layout::default();
        if self.class_token {
            layout.floats("cls_token", &[1, 1, dim]);
        }
        if let Some(n) = self.positions {
            layout.floats("pos_embed", &[1, n, dim]);
        }
        match self.stem {
            VitStem::Patch => {
                layout.convolution("patch_embed.proj", [dim, 3, self.patch, self.patch]);
                layout.floats("patch_embed.proj.bias", &[dim]);
            }
            VitStem::Conv => {
                let mut n_inputs = 3;
                for (i, n) in [dim / 8, dim / 4, dim / 2, dim].into_iter().enumerate() {
                    layout.convolution(&format!("patch_embed.proj.{}", 3 * i), [n, n_inputs, 3, 3]);
                    layout.batch_norm(&format!("patch_embed.proj.{}", 3 * i + 1), n);
                    n_inputs = n;
                }
                layout.convolution("patch_embed.proj.12", [dim, n_inputs, 1, 1]);
                layout.floats("patch_embed.proj.12.bias", &[dim]);
            }
        }
        for i in 0..self.depth {
            let name = |part: &str| format!("blocks.{i}.{part}");
            layout.affine(&name("norm1"), &[dim]);
            layout.affine(&name("attn.qkv"), &[3 * dim, dim]);
            layout.affine(&name("attn.proj"), &[dim, dim]);
            layout.affine(&name("norm2"), &[dim]);
            layout.affine(&name("mlp.fc1"), &[hidden, dim]);
            layout.affine(&name("mlp.fc2"), &[dim, hidden]);
        }
        if self.norm {
            layout.affine("norm", &[dim]);
        }
        layout.0
    }

    fn describe(&self) -> String {
        let heads = self.heads.map(|heads| format!(" of {heads} heads")).unwrap_or_default();
        let mut text =
            format!("vit, {} wide, {} blocks{heads}, patches of {} pixels", self.dim, self.depth, self.patch);
        if self.stem == VitStem::Conv {
            text += ", convolution stem";
        }
        if !self.class_token {
            text += ", mean of tokens";
        }
        text
    }
}

/// Names and shapes, as they are added.
#[derive(Default)]
struct Layout(Vec<(String, Shape)>);

impl Layout {
    fn floats(&mut self, name: &str, shape: &[usize]) {
        self.0.push((name.to_owned(), Shape::Floats(shape.to_vec())));
    }

    fn convolution(&mut self, name: &str, kernel: [usize; 4]) {
        self.floats(&format!("{name}.weight"), &kernel);
    }

    /// A weight of this shape, and a bias for its first axis.
    fn affine(&mut self, name: &str, weight: &[usize]) {
        self.floats(&format!("{name}.weight"), weight);
        self.floats(&format!("{name}.bias"), &weight[..1]);
    }

    fn batch_norm(&mut self, name: &str, n: usize) {
        for part in ["weight", "bias", "running_mean", "running_var"] {
            self.floats(&format!("{name}.{part}"), &[n]);
        }
        self.0.push((format!("{name}.num_batches_tracked"), Shape::Count));
    }
}

/// The shape of the floats called `name`.
fn floats<'a>(tensors: &'a Tensors, name: &str) -> Result<&'a [usize], Unrecognized> {
    match tensors.get(name) {
        Some(Stored::F32 { shape, .. }) if !shape.contains(&0) => Ok(shape),
        Some(_) => Err(Unrecognized::shape(name, tensors, "floats, and not none of them,")),
        None => Err(Unrecognized::Missing { name: name.to_owned() }),
    }
}

/// How many of `prefix0suffix`, `prefix1suffix`... there are, without a gap.
fn count(tensors: &Tensors, prefix: &str, suffix: &str) -> usize {
    (0..).take_while(|i| tensors.contains_key(&format!("{prefix}{i}{suffix}"))).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::tensors_of;

    fn resnet(block: Block, blocks: [usize; 4], width: usize, stem: ResNetStem) -> Architecture {
        Architecture::ResNet(ResNet { block, blocks, width, stem })
    }

    fn vit(stem: VitStem) -> Vit {
        Vit {
            patch: 16,
            dim: 16,
            depth: 3,
            heads: None,
            hidden: 64,
            class_token: true,
            positions: Some(5),
            norm: true,
            stem,
        }
    }

    #[test]
    fn an_encoder_is_recognized_by_its_own_layout() {
        for architecture in [
            resnet(Block::Basic, [2, 2, 2, 2], 64, ResNetStem::ImageNet),
            resnet(Block::Bottleneck, [1, 2, 1, 1], 4, ResNetStem::Cifar),
            Architecture::Vit(vit(VitStem::Patch)),
            Architecture::Vit(vit(VitStem::Conv)),
            Architecture::Vit(Vit {
                class_token: false,
                positions: None,
                norm: false,
                patch: 4,
                ..vit(VitStem::Patch)
            }),
        ] {
            assert_eq!(Architecture::detect(&tensors_of(&architecture.layout())).unwrap(), architecture);
        }
    }

    #[test]
    fn what_is_no_encoder_is_told_by_what_it_lacks() {
        let told = |tensors: &Tensors| Architecture::detect(tensors).unwrap_err().to_string();
        assert_eq!(told(&Tensors::new()), "there are no weights");
        let mut tensors = tensors_of(&resnet(Block::Basic, [1; 4], 4, ResNetStem::Cifar).layout());
        tensors.remove("layer3.0.conv1.weight");
        assert_eq!(told(&tensors), "a ResNet has blocks in each of four stages, and here are [1, 1, 0, 1]");
        tensors
            .insert("conv1.weight".into(), Stored::F32 { shape: vec![4, 3, 5, 5], values: vec![0.0; 300] });
        assert_eq!(told(&tensors), "`conv1.weight` is [4, 3, 5, 5], and a kernel of 7x7 or 3x3 is expected");
        let mut tensors = tensors_of(&Architecture::Vit(vit(VitStem::Patch)).layout());
        tensors.remove("blocks.0.mlp.fc1.weight");
        assert_eq!(told(&tensors), "there is no `blocks.0.mlp.fc1.weight`");
        let one = tensors_of(&[("visual.proj".into(), Shape::Floats(vec![2]))]);
        assert!(told(&one).starts_with("`visual.proj` belongs to no ResNet"), "{}", told(&one));
    }
}
