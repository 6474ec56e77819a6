//! CIFAR-10 (Krizhevsky 2009), in its binary version.

use std::path::PathBuf;

use plugin_api::{ConfigError, Dataset, DatasetError, Splits};

use crate::cifar::Layout;
use crate::flat_folder::check_not_empty;
use crate::roots::at_home;

plugin_api::register! {
    dyn Dataset {
        name: "cifar10",
        summary: "CIFAR-10, from the files of the binary version",
        source: "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
        example: r#"(root: "data/cifar-10-batches-bin")"#,
        build: |config: Cifar10Config, _context| Cifar10::new(config),
    }
}

const LAYOUT: Layout = Layout {
    folder: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    train_files: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test_files: &["test_batch.bin"],
    label_bytes: 1,
    class_names: "airplane automobile bird cat deer dog frog horse ship truck",
};

/// The config of [`Cifar10`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cifar10Config {
    /// Folder with `data_batch_1.bin` and `test_batch.bin`, or its parent. A relative path starts at the working
    /// directory.
    pub root: PathBuf,
}

/// CIFAR-10: 50 000 training and 10 000 test images of 32 x 32 pixels, in 10 classes.
#[derive(Debug, Clone)]
pub struct Cifar10 {
    config: Cifar10Config,
}

impl Cifar10 {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If the path is empty.
    pub fn new(config: Cifar10Config) -> Result<Self, ConfigError> {
        check_not_empty("root", Some(&config.root))?;
        Ok(Self { config })
    }
}

impl Dataset for Cifar10 {
    fn open(&self) -> Result<Splits, DatasetError> {
        LAYOUT.open(&at_home(&self.config.root))
    }

    fn describe(&self) -> String {
        format!("CIFAR-10 in {}", self.config.root.display())
    }
}
