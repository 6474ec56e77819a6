//! The published settings of linear probes.

use evaluate::linear::PublishedProbe;

/// The settings of a paper, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RecipeName {
    /// MoCo v1 and v2: base learning rate 30, batch size 256, 100 epochs, divided by 10 at epochs 60 and 80.
    V2,
    /// MoCo v3 with a ResNet: base learning rate 0.1, batch size 1024, 90 epochs, cosine.
    V3Resnet,
    /// MoCo v3 with a ViT: base learning rate 3, batch size 1024, 90 epochs, cosine.
    V3Vit,
}

impl RecipeName {
    pub(super) fn recipe(self) -> PublishedProbe {
        match self {
            Self::V2 => PublishedProbe::MOCO_V1_V2,
            Self::V3Resnet => PublishedProbe::MOCO_V3_RESNET,
            Self::V3Vit => PublishedProbe::MOCO_V3_VIT,
        }
    }
}

/// The settings of the paper that a pipeline of these plugins follows: MoCo v3's if negatives come from the batch or
/// the backbone is a ViT, and otherwise those of v1 and v2.
pub(super) fn of_pipeline(plugins: &[String]) -> PublishedProbe {
    let has = |name: &str| plugins.iter().any(|plugin| plugin == name);
    let name = match (has("vit"), has("in-batch")) {
        (true, _) => RecipeName::V3Vit,
        (false, true) => RecipeName::V3Resnet,
        (false, false) => RecipeName::V2,
    };
    name.recipe()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_follows_from_backbone_and_negatives() {
        let of = |plugins: &[&str]| {
            of_pipeline(&plugins.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(of(&["resnet", "mlp", "queue"]), PublishedProbe::MOCO_V1_V2);
        assert_eq!(of(&["resnet", "mlp", "mlp", "in-batch"]), PublishedProbe::MOCO_V3_RESNET);
        assert_eq!(of(&["vit", "mlp", "mlp", "in-batch"]), PublishedProbe::MOCO_V3_VIT);
    }
}
