//! A residual block.

use nn::{Builder, ConvNorm};
use plugin_api::{ConfigError, Module, Visitor, VisitorMut};
use tensor_ops::{FeatureMap, Mode, OpError};

use crate::config::BlockKind;
use crate::layers::{Common, Names, Shape};

/// `relu(main(x) + shortcut(x))`.
pub(crate) struct Block {
    /// All but the last layer, each followed by a ReLU.
    inner: Vec<ConvNorm>,
    last: ConvNorm,
    /// The shortcut if the shape changes; the identity otherwise.
    downsample: Option<ConvNorm>,
}

/// The configuration of a block.
pub(crate) struct Place {
    /// Input channels.
    pub(crate) n_inputs: usize,
    /// Output channels, but for the block's expansion.
    pub(crate) width: usize,
    /// Channels of a bottleneck's inner layers.
    pub(crate) inner: usize,
    /// Groups of a bottleneck's 3x3 convolution.
    pub(crate) groups: usize,
    /// The stride.
    pub(crate) stride: usize,
}

impl Block {
    /// A block with torchvision's initialization.
    pub(crate) fn new(
        kind: BlockKind,
        place: Place,
        common: &Common,
        builder: &Builder<'_>,
    ) -> Result<Self, ConfigError> {
        let Place { n_inputs, width, inner, groups, stride } = place;
        let n_outputs = width * kind.expansion();
        let shape =
            |n_inputs, n_outputs, side_px, stride| Shape { n_inputs, n_outputs, groups: 1, side_px, stride };
        let mut shapes = match kind {
            BlockKind::Basic => vec![shape(n_inputs, width, 3, stride), shape(width, width, 3, 1)],
            // The stride is in the 3x3 convolution, as in torchvision; the paper has it in the first 1x1.
            BlockKind::Bottleneck => {
                vec![
                    shape(n_inputs, inner, 1, 1),
                    Shape { groups, ..shape(inner, inner, 3, stride) },
                    shape(inner, n_outputs, 1, 1),
                ]
            }
        };
        let last = shapes.pop().expect("both kinds have layers");
        let last_number = shapes.len() + 1;
        let mut inner = Vec::new();
        for (i, shape) in shapes.into_iter().enumerate() {
            inner.push(common.conv_norm(builder, Names::numbered(i + 1), shape)?);
        }
        let last = common.conv_norm(builder, Names::numbered(last_number), last)?;
        let downsample = if stride != 1 || n_inputs != n_outputs {
            Some(common.conv_norm(builder, Names::downsample(), shape(n_inputs, n_outputs, 1, stride))?)
        } else {
            None
        };
        Ok(Self { inner, last, downsample })
    }

    /// Makes the block start as the identity.
    pub(crate) fn zero_last_scale(&mut self) -> Result<(), ConfigError> {
        self.last.zero_scale()
    }

    /// `(N, H, W, C)` to `(N, H / stride, W / stride, C')`.
    pub(crate) fn forward(&mut self, x: FeatureMap, mode: Mode) -> Result<FeatureMap, OpError> {
        let residual = match &mut self.downsample {
            Some(downsample) => downsample.forward(x.fork(), mode)?,
            None => x.share(),
        };
        let mut x = x;
        for layer in &mut self.inner {
            x = layer.forward_relu(x, mode)?;
        }
        self.last.forward_add_relu(x, residual, mode)
    }
}

/// The order of torchvision's `state_dict`: the main path, then the shortcut.
impl Module for Block {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        let layers = self.inner.iter().chain([&self.last]).chain(&self.downsample);
        layers.for_each(|layer| layer.visit(visitor));
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        let layers = self.inner.iter_mut().chain([&mut self.last]).chain(&mut self.downsample);
        layers.for_each(|layer| layer.visit_mut(visitor));
    }
}
