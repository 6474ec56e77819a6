//! What is compared.

/// One model, with one image size and batch size.
pub(super) struct Row {
    /// Its name for `--only` and in the table.
    pub(super) name: &'static str,
    /// Arguments for `bench step` and for the peer.
    pub(super) arguments: &'static str,
}

/// From small images to large, and from MoCo v2 to v3.
pub(super) const ROWS: [Row; 5] = [
    Row { name: "v2-resnet18", arguments: "--variant v2 --arch resnet18 --width 64 --size 32 --batch 128" },
    Row {
        name: "v2-resnet18-narrow",
        arguments: "--variant v2 --arch resnet18 --width 16 --size 32 --batch 128",
    },
    Row {
        name: "v2-resnet50", // The encoder of the papers.
        arguments: "--variant v2 --arch resnet50 --width 64 --size 224 --batch 16",
    },
    Row {
        name: "v3-vit",
        arguments: "--variant v3 --arch vit --dim-vit 192 --depth 6 --heads 3 --patch 4 --size 32 --batch 64",
    },
    Row {
        name: "v3-vit-small", // ViT-S/16 as MoCo v3 has it: 12 heads where DeiT's has 6.
        arguments: "--variant v3 --arch vit --dim-vit 384 --depth 12 --heads 12 --patch 16 --size 224 --batch 16",
    },
];

/// The names, in the order of the table.
pub(super) fn names() -> [&'static str; ROWS.len()] {
    ROWS.each_ref().map(|row| row.name)
}

impl Row {
    /// The arguments, as a list.
    pub(super) fn arguments(&self) -> impl Iterator<Item = String> {
        self.arguments.split_whitespace().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::bench::step;

    /// `bench step`, alone.
    #[derive(clap::Parser)]
    struct Step {
        #[command(flatten)]
        _arguments: step::Arguments,
    }

    #[test]
    fn bench_step_takes_the_arguments_of_every_row() {
        for row in &ROWS {
            let line = std::iter::once("step".to_owned()).chain(row.arguments());
            assert!(Step::try_parse_from(line).is_ok(), "{}", row.name);
        }
    }
}
