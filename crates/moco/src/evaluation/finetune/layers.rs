//! How deep in an encoder a parameter lies.

/// The layer of the encoder's parameter `name`, counted from the images: 0 for the stem, then the stages of a ResNet
/// (`layer1.`) or the blocks of a ViT (`blocks.0.`). `None` for what follows the last of them.
fn layer(name: &str) -> Option<usize> {
    let number = |rest: &str| rest.split('.').next().and_then(|digits| digits.parse::<usize>().ok());
    if let Some(stage) = name.strip_prefix("layer").and_then(number) {
        return Some(stage);
    }
    if let Some(block) = name.strip_prefix("blocks.").and_then(number) {
        return Some(block + 1);
    }
    (!name.starts_with("norm.")).then_some(0)
}

/// The factor on the learning rate of each parameter, `decay` to the power of the layers above it (ELECTRA's layer-wise
/// decay, Clark et al. 2020, arXiv:2003.10555, as BEiT has it, arXiv:2106.08254): 1 for the classifier, `decay` for the
/// last block and what follows it, and so on down to the stem.
pub(super) fn factors(names: &[String], decay: f64) -> Vec<f64> {
    let layers: Vec<Option<usize>> = names.iter().map(|name| layer(name)).collect();
    let last = layers.iter().flatten().copied().max().unwrap_or(0);
    layers.into_iter().map(|layer| decay.powi((last + 1 - layer.unwrap_or(last)) as i32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Vec<f64> {
        factors(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), 0.5)
    }

    #[test]
    fn the_rate_falls_from_block_to_block_down_to_the_stem() {
        let vit = [
            "cls_token",
            "patch_embed.proj.weight",
            "blocks.0.norm1.weight",
            "blocks.1.mlp.fc1.bias",
            "norm.weight",
        ];
        assert_eq!(of(&vit), [0.125, 0.125, 0.25, 0.5, 0.5]);
        let resnet = ["conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer4.1.bn2.bias"];
        assert_eq!(of(&resnet), [0.03125, 0.03125, 0.0625, 0.5]);
        assert_eq!(factors(&["conv1.weight".to_owned()], 1.0), [1.0]);
    }
}
