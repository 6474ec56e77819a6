//! Weights for images of RGB, made to fit images of other channels.

use run_store::checkpoint::Stored;

use crate::{Architecture, Tensors};

/// Changes the first layer in `backbone`, an encoder of RGB images of this `architecture`, to take images of `channels`: by
/// the rule of timm's `adapt_input_conv`.
///
/// Kernels for one channel are the sums of those for red, green and blue. For more, they are repeated, red, green, blue,
/// red, ..., times 3 / `channels`. So an image with the same values in each channel gives the features of the gray
/// image in RGB, but for rounding, where there is one channel or a multiple of three, and about those otherwise.
///
/// Returns whether it was changed: it is left alone where it is no layer of three channels, or where three are asked for.
pub fn adapt_channels(backbone: &mut Tensors, architecture: &Architecture, channels: usize) -> bool {
    let Some(Stored::F32 { shape, values }) = backbone.get_mut(architecture.first_weight()) else {
        return false;
    };
    let &mut [n_outputs, 3, height, width] = shape.as_mut_slice() else { return false };
    if channels == 3 || channels == 0 || values.len() != n_outputs * 3 * height * width {
        return false;
    }
    let n = height * width;
    let mut adapted = Vec::with_capacity(n_outputs * channels * n);
    for kernels in values.chunks_exact(3 * n) {
        if channels == 1 {
            adapted.extend((0..n).map(|i| kernels[i] + kernels[n + i] + kernels[2 * n + i]));
        } else {
            let factor = 3.0 / channels as f32;
            let of_channel = |c: usize| &kernels[c % 3 * n..][..n];
            adapted.extend((0..channels).flat_map(of_channel).map(|value| value * factor));
        }
    }
    *shape = vec![n_outputs, channels, height, width];
    *values = adapted;
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, ResNet, ResNetStem};

    /// ```python
    /// import torch
    /// from timm.models import adapt_input_conv  # timm 1.0
    /// for channels in (1, 2, 4, 5):
    ///     print(adapt_input_conv(channels, torch.arange(12.0).reshape(2, 3, 1, 2)).flatten().tolist())
    /// ```
    #[test]
    fn the_first_layer_is_that_of_timm() {
        let architecture = Architecture::ResNet(ResNet {
            block: Block::Basic,
            blocks: [1; 4],
            width: 2,
            stem: ResNetStem::Cifar,
            width_per_group: 64,
            groups: 1,
            channels: 3,
        });
        let adapted = |channels| {
            let first = Stored::F32 { shape: vec![2, 3, 1, 2], values: (0..12).map(|i| i as f32).collect() };
            let mut backbone = Tensors::from([("conv1.weight".to_owned(), first)]);
            let changed = adapt_channels(&mut backbone, &architecture, channels);
            let Some(Stored::F32 { shape, values }) = backbone.remove("conv1.weight") else {
                panic!("it stays")
            };
            assert_eq!((shape, changed), (vec![2, channels, 1, 2], channels != 3));
            values
        };
        assert_eq!(adapted(1), [6.0, 9.0, 24.0, 27.0]);
        assert_eq!(adapted(2), [0.0, 1.5, 3.0, 4.5, 9.0, 10.5, 12.0, 13.5]);
        assert_eq!(adapted(3), (0..12).map(|i| i as f32).collect::<Vec<_>>());
        #[rustfmt::skip]
        assert_eq!(adapted(4), [
            0.0, 0.75, 1.5, 2.25, 3.0, 3.75, 0.0, 0.75, 4.5, 5.25, 6.0, 6.75, 7.5, 8.25, 4.5, 5.25,
        ]);
        let of_the_second = &adapted(5)[10..13];
        assert!(
            of_the_second.iter().zip([3.6, 4.2, 4.8]).all(|(a, b)| (a - b).abs() < 1e-6),
            "{of_the_second:?}"
        );
    }
}
