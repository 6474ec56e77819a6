//! CIFAR-100 (Krizhevsky 2009), in its binary version.

use std::path::PathBuf;

use plugin_api::{ConfigError, Dataset, DatasetError, Splits};

use crate::cifar::Layout;
use crate::flat_folder::check_not_empty;
use crate::roots::at_home;

plugin_api::register! {
    dyn Dataset {
        name: "cifar100",
        summary: "CIFAR-100, from the files of the binary version",
        source: "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
        example: r#"(root: "data/cifar-100-binary")"#,
        build: |config: Cifar100Config, _context| Cifar100::new(config),
    }
}

const LAYOUT: Layout = Layout {
    folder: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    train_files: &["train.bin"],
    test_files: &["test.bin"],
    label_bytes: 2,
    class_names: "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly \
        camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile \
        cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp \
        lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom \
        oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine \
        possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake \
        spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor \
        train trout tulip turtle wardrobe whale willow_tree wolf woman worm",
};

/// The config of [`Cifar100`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cifar100Config {
    /// Folder with `train.bin` and `test.bin`, or its parent. A relative path starts at the working directory.
    pub root: PathBuf,
}

/// CIFAR-100: 50 000 training and 10 000 test images of 32 x 32 pixels, in 100 classes (the fine labels).
#[derive(Debug, Clone)]
pub struct Cifar100 {
    config: Cifar100Config,
}

impl Cifar100 {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If the path is empty.
    pub fn new(config: Cifar100Config) -> Result<Self, ConfigError> {
        check_not_empty("root", Some(&config.root))?;
        Ok(Self { config })
    }
}

impl Dataset for Cifar100 {
    fn open(&self) -> Result<Splits, DatasetError> {
        LAYOUT.open(&at_home(&self.config.root))
    }

    fn describe(&self) -> String {
        format!("CIFAR-100 in {}", self.config.root.display())
    }
}
