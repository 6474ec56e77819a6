//! The names and shapes of an encoder's weights in torchvision and timm.

use run_store::checkpoint::Stored;

use crate::{Architecture, Block, ResNet, ResNetStem, Vit, VitStem};

/// The expected type and shape of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Floats with axes of these lengths.
    Floats(Vec<usize>),
    /// A count.
    Count,
}

impl Shape {
    /// The shape of `stored`.
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

/// The names and shapes of the weights of `architecture`, in the order of PyTorch's `state_dict`, without the final
/// linear layer.
pub fn layout(architecture: &Architecture) -> Vec<(String, Shape)> {
    match architecture {
        Architecture::ResNet(of) => resnet(of),
        Architecture::Vit(of) => vit(of),
    }
}

fn resnet(resnet: &ResNet) -> Vec<(String, Shape)> {
    let mut layout = Layout::default();
    let side = match resnet.stem {
        ResNetStem::ImageNet => 7,
        ResNetStem::Cifar => 3,
    };
    layout.convolution("conv1", [resnet.width, resnet.channels, side, side]);
    layout.batch_norm("bn1", resnet.width);
    let mut n_inputs = resnet.width;
    for (stage, n_blocks) in resnet.blocks.into_iter().enumerate() {
        let width = resnet.width << stage;
        let n_outputs = width * resnet.block.expansion();
        let inner = resnet.inner_width(stage);
        for i in 0..n_blocks {
            let name = |part: &str| format!("layer{}.{i}.{part}", stage + 1);
            let kernels = match resnet.block {
                Block::Basic => vec![[width, n_inputs, 3, 3], [width, width, 3, 3]],
                Block::Bottleneck => {
                    let of_group = inner / resnet.groups;
                    vec![[inner, n_inputs, 1, 1], [inner, of_group, 3, 3], [n_outputs, inner, 1, 1]]
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

fn vit(vit: &Vit) -> Vec<(String, Shape)> {
    let (dim, hidden) = (vit.dim, vit.hidden);
    let mut layout = Layout::default();
    if vit.class_token {
        layout.floats("cls_token", &[1, 1, dim]);
    }
    if vit.registers > 0 {
        layout.floats("reg_token", &[1, vit.registers, dim]);
    }
    if let Some(n) = vit.positions {
        layout.floats("pos_embed", &[1, n, dim]);
    }
    match vit.stem {
        VitStem::Patch => {
            layout.convolution("patch_embed.proj", [dim, vit.channels, vit.patch, vit.patch]);
            layout.floats("patch_embed.proj.bias", &[dim]);
        }
        VitStem::Conv => {
            let mut n_inputs = vit.channels;
            for (i, n) in [dim / 8, dim / 4, dim / 2, dim].into_iter().enumerate() {
                layout.convolution(&format!("patch_embed.proj.{}", 3 * i), [n, n_inputs, 3, 3]);
                layout.batch_norm(&format!("patch_embed.proj.{}", 3 * i + 1), n);
                n_inputs = n;
            }
            layout.convolution("patch_embed.proj.12", [dim, n_inputs, 1, 1]);
            layout.floats("patch_embed.proj.12.bias", &[dim]);
        }
    }
    for i in 0..vit.depth {
        let name = |part: &str| format!("blocks.{i}.{part}");
        layout.affine(&name("norm1"), &[dim]);
        layout.affine(&name("attn.qkv"), &[3 * dim, dim]);
        layout.affine(&name("attn.proj"), &[dim, dim]);
        if vit.layer_scale {
            layout.floats(&name("ls1.gamma"), &[dim]);
        }
        layout.affine(&name("norm2"), &[dim]);
        layout.affine(&name("mlp.fc1"), &[hidden, dim]);
        layout.affine(&name("mlp.fc2"), &[dim, hidden]);
        if vit.layer_scale {
            layout.floats(&name("ls2.gamma"), &[dim]);
        }
    }
    if vit.norm {
        layout.affine("norm", &[dim]);
    }
    layout.0
}

/// Names and shapes, in the order in which they are added.
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
