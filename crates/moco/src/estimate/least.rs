//! What a run takes of memory at the least, known before its first step.

use pipeline::Pipeline;
use plugin_api::Entry;
use plugin_api::architecture::{Architecture, ResNet, ResNetStem, Vit};
use tensor_ops::{Precision, available_host_memory, in_gib};

/// What a run of a pipeline takes of memory at the least, beside the weights that are there already.
///
/// It is a bound from below: gradients and one slot of the optimizer, the order of the images, two batches of views, and the
/// outputs of the convolutions or linear layers of the backbone, which the backward pass needs. A run takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeastMemory {
    /// Bytes, whatever the batch is.
    pub fixed: u64,
    /// Bytes for each image that goes through the network at a time.
    pub per_image: u64,
    /// Images of a batch.
    pub batch: usize,
    /// Those that go through at a time: parts of a batch are loaded one after another.
    pub part: usize,
}

/// A run that this machine has no memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a step takes at least {}, and this machine has {} left", in_gib(*needed), in_gib(*available))]
pub struct MemoryShort {
    /// Bytes that it takes at the least.
    pub needed: u64,
    /// Bytes that are left.
    pub available: u64,
    /// The largest batch, as a power of two, that is not known to take too much; `None` if not even 2 images fit.
    pub batch: Option<usize>,
    /// The same as a part of the batch, where the batch can be divided so.
    pub micro_batch: Option<usize>,
}

impl MemoryShort {
    /// What the reader can do about it.
    pub fn hint(&self) -> String {
        match (self.micro_batch, self.batch) {
            (Some(part), Some(batch)) => format!(
                "`data.micro_batch={part}` might fit, which trains the same in parts; or `data.batch={batch}`, or a smaller encoder"
            ),
            (_, Some(batch)) => {
                format!("`data.batch={batch}` might fit, or smaller views and a smaller encoder")
            }
            (_, None) => "take a smaller encoder, fewer images, or another machine".into(),
        }
    }
}

impl LeastMemory {
    /// Of a run of `pipeline` on `n_train` images.
    pub fn of(pipeline: &Pipeline, n_train: usize) -> Self {
        const BYTES: u64 = size_of::<f32>() as u64;
        let network = &pipeline.network;
        let mut n_trained = 0;
        for (_, entries) in network.modules.named() {
            entries.visit(&mut |_, entry| {
                if let Entry::Parameter(parameter) = entry
                    && parameter.is_trainable()
                {
                    n_trained += parameter.n_elements() as u64;
                }
            });
        }
        let seen = network.graph.views.iter().filter_map(|name| pipeline.view(name));
        let n_values: u64 = seen.map(|view| (view.size.0 * view.size.1 * view.channels) as u64).sum();
        let (height, width) = pipeline.trained_size;
        let backbones = network.modules.encoders.backbones.iter();
        let outputs = backbones.filter_map(|backbone| backbone.module.architecture()).map(|of| match of {
            Architecture::ResNet(resnet) => of_resnet(&resnet, (height, width)),
            Architecture::Vit(vit) => of_vit(&vit, (height, width)),
        });
        let bytes_kept = match Precision::from(network.precision) {
            Precision::Bf16 => BYTES / 2,
            Precision::F32 => BYTES,
        };
        Self {
            // Two orders, of this epoch and of the next, are not there at once.
            fixed: 2 * BYTES * n_trained + 8 * n_train as u64,
            per_image: 2 * BYTES * n_values + bytes_kept * outputs.max().unwrap_or(0),
            batch: pipeline.batch,
            part: pipeline.batch.div_ceil(network.parts.n_parts.max(1)),
        }
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.bytes_with(self.part)
    }

    fn bytes_with(&self, part: usize) -> u64 {
        self.fixed.saturating_add(self.per_image.saturating_mul(part as u64))
    }

    /// Checks it against the bytes that are left.
    ///
    /// # Errors
    /// If they are too few: with what might fit.
    pub fn check(&self, available: u64) -> Result<(), MemoryShort> {
        let needed = self.bytes();
        if needed <= available {
            return Ok(());
        }
        // A bound from below is not to be used to the last byte.
        let powers = (1..usize::BITS - 1).rev().map(|power| 1_usize << power);
        let batch = powers.filter(|n| *n < self.part).find(|n| self.bytes_with(*n) <= available / 4 * 3);
        let micro_batch = batch.filter(|part| *part >= 8 && self.batch.is_multiple_of(*part));
        Err(MemoryShort { needed, available, batch, micro_batch })
    }
}

/// Checks that this machine has the memory that a run of `pipeline` on `n_train` images takes at the least. A GPU, which has
/// memory of its own, says by itself what fits.
///
/// # Errors
/// If it surely has not.
pub fn check_memory(pipeline: &Pipeline, n_train: usize) -> Result<(), MemoryShort> {
    let is_on_gpu = tensor_ops::device_status().is_ok_and(|status| status.is_some());
    match available_host_memory() {
        Some(available) if !is_on_gpu => LeastMemory::of(pipeline, n_train).check(available),
        _ => Ok(()),
    }
}

/// Outputs of all convolutions, for one image.
fn of_resnet(resnet: &ResNet, (height, width): (usize, usize)) -> u64 {
    let halved = |(height, width): (usize, usize)| (height.div_ceil(2), width.div_ceil(2));
    let area = |(height, width): (usize, usize)| (height * width) as u64;
    let (first, mut size) = match resnet.stem {
        ResNetStem::Cifar => ((height, width), (height, width)),
        ResNetStem::ImageNet => (halved((height, width)), halved(halved((height, width)))),
    };
    let mut n = area(first) * resnet.width as u64;
    for (stage, &n_blocks) in resnet.blocks.iter().enumerate() {
        if stage > 0 {
            size = halved(size);
        }
        let out = (resnet.width << stage) * resnet.block.expansion();
        let inner = match resnet.block.expansion() {
            1 => out,
            _ => 2 * resnet.inner_width(stage),
        };
        n += area(size) * n_blocks as u64 * (inner + out) as u64;
    }
    n
}

/// Outputs of the linear layers of all blocks, for one image.
fn of_vit(vit: &Vit, (height, width): (usize, usize)) -> u64 {
    let n_tokens = (height / vit.patch.max(1)) * (width / vit.patch.max(1))
        + usize::from(vit.class_token)
        + vit.registers;
    // Queries, keys and values, what attention gives, and the hidden layer.
    (n_tokens * vit.depth) as u64 * (4 * vit.dim + vit.hidden) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: LeastMemory = LeastMemory { fixed: 1000, per_image: 100, batch: 256, part: 256 };

    #[test]
    fn what_is_too_much_is_refused_with_what_might_fit() {
        assert_eq!(STEP.bytes(), 26_600);
        assert_eq!(STEP.check(26_600), Ok(()));
        let short = STEP.check(20_000).unwrap_err();
        assert_eq!((short.batch, short.micro_batch), (Some(128), Some(128)));
        assert!(short.hint().contains("data.micro_batch=128") && short.hint().contains("data.batch=128"));
        let short = STEP.check(2000).unwrap_err();
        assert_eq!((short.batch, short.micro_batch), (Some(4), None));
        assert!(short.hint().starts_with("`data.batch=4`"));
        assert_eq!(
            LeastMemory { batch: 250, part: 250, ..STEP }.check(20_000).unwrap_err().micro_batch,
            None
        );
        assert_eq!(STEP.check(900).unwrap_err().batch, None);
        let whole = LeastMemory { fixed: 3 << 30, ..STEP };
        assert_eq!(
            whole.check(1 << 30).unwrap_err().to_string(),
            "a step takes at least 3.0 GiB, and this machine has 1.0 GiB left"
        );
        let huge = LeastMemory { part: usize::MAX, ..STEP };
        assert!(huge.check(u64::MAX - 1).is_err());
    }

    #[test]
    fn outputs_of_published_encoders_are_counted() {
        use plugin_api::architecture::{Block, VitStem};
        let resnet50 = ResNet {
            block: Block::Bottleneck,
            blocks: [3, 4, 6, 3],
            width: 64,
            width_per_group: 64,
            groups: 1,
            stem: ResNetStem::ImageNet,
            channels: 3,
        };
        // 112² × 64 of the stem, and 56² × (128 + 256) × 3 and so on of the stages.
        let stages = 56 * 56 * 384 * 3 + 28 * 28 * 768 * 4 + 14 * 14 * 1536 * 6 + 7 * 7 * 3072 * 3;
        assert_eq!(of_resnet(&resnet50, (224, 224)), 112 * 112 * 64 + stages);
        let vit = Vit {
            patch: 16,
            dim: 384,
            depth: 12,
            heads: Some(12),
            hidden: 1536,
            class_token: true,
            positions: Some(197),
            norm: true,
            layer_scale: false,
            registers: 0,
            stem: VitStem::Patch,
            channels: 3,
        };
        assert_eq!(of_vit(&vit, (224, 224)), 197 * 12 * (4 * 384 + 1536));
    }
}
