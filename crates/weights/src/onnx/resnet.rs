//! A ResNet as a graph.

use super::graph::{Graph, With};
use crate::{Block, ResNet, ResNetStem};

/// Adds `resnet` on the images called `x`, and returns its features.
pub(super) fn add(graph: &mut Graph<'_>, resnet: &ResNet, x: &str) -> Result<String, String> {
    let mut x = match resnet.stem {
        ResNetStem::ImageNet => graph.convolution(x, "conv1", (2, 3), false)?,
        ResNetStem::Cifar => graph.convolution(x, "conv1", (1, 1), false)?,
    };
    x = graph.batch_norm(&x, "bn1")?;
    x = graph.node("Relu", &[&x], []);
    if resnet.stem == ResNetStem::ImageNet {
        let with = [
            With::Ints("kernel_shape", vec![3; 2]),
            With::Ints("strides", vec![2; 2]),
            With::Ints("pads", vec![1; 4]),
        ];
        x = graph.node("MaxPool", &[&x], with);
    }
    for (stage, n_blocks) in resnet.blocks.into_iter().enumerate() {
        for i in 0..n_blocks {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            let has_shortcut = i == 0 && (stage > 0 || resnet.block == Block::Bottleneck);
            x = block(graph, resnet, &format!("layer{}.{i}", stage + 1), stride, has_shortcut, &x)?;
        }
    }
    x = graph.node("GlobalAveragePool", &[&x], []);
    Ok(graph.node("Flatten", &[&x], []))
}

fn block(
    graph: &mut Graph<'_>,
    resnet: &ResNet,
    name: &str,
    stride: usize,
    has_shortcut: bool,
    x: &str,
) -> Result<String, String> {
    // As in torchvision, the 3x3 convolution has the stride.
    let layers: &[((usize, usize), usize)] = match resnet.block {
        Block::Basic => &[((stride, 1), 1), ((1, 1), 1)],
        Block::Bottleneck => &[((1, 0), 1), ((stride, 1), resnet.groups), ((1, 0), 1)],
    };
    let mut main = x.to_owned();
    for (i, (steps, groups)) in layers.iter().enumerate() {
        if i > 0 {
            main = graph.node("Relu", &[&main], []);
        }
        main = graph.grouped_convolution(&main, &format!("{name}.conv{}", i + 1), *steps, *groups, false)?;
        main = graph.batch_norm(&main, &format!("{name}.bn{}", i + 1))?;
    }
    let mut shortcut = x.to_owned();
    if has_shortcut {
        shortcut = graph.convolution(&shortcut, &format!("{name}.downsample.0"), (stride, 0), false)?;
        shortcut = graph.batch_norm(&shortcut, &format!("{name}.downsample.1"))?;
    }
    let sum = graph.node("Add", &[&main, &shortcut], []);
    Ok(graph.node("Relu", &[&sum], []))
}
