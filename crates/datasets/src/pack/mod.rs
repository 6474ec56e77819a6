//! Packs: all images of a dataset in one file, which [`PackWriter`] writes.

mod format;
mod reader;
mod writer;

use std::sync::Arc;

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, DatasetFiles, MAX_CHANNELS, Split, Splits};

pub use self::format::Encoding;
use self::reader::{Pack, PackImages};
pub use self::writer::{PackError, PackPlan, PackWriter, Packed};
use crate::decode::{ReadOptions, decode_bytes};
use crate::places::error;
use crate::roots::{OneOrMore, check_paths, expanded};

plugin_api::register! {
    dyn Dataset {
        name: "pack",
        summary: "all images in one file, or in several that follow one another, which `moco pack` has written",
        source: "",
        example: r#"(path: "photos.pack")"#,
        build: |config: PackConfig, _context| PackFile::new(config),
    }
}

plugin_api::inventory::submit! {
    DatasetFiles {
        dataset: "pack",
        field: "path",
        endings: &["pack"],
        what: "a pack",
        takes_several: true,
    }
}

/// The config of [`PackFile`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackConfig {
    /// The pack, or a list of packs that follow one another. A relative path starts at the working directory, `~` is the home
    /// folder, and a pattern such as `photos-*.pack` stands for all that it matches.
    pub path: OneOrMore,
    /// Channels of decoded images. By default 3, RGB, or as many as `read` takes of a file.
    #[serde(default)]
    pub channels: Option<usize>,
    /// How the files become images; for packs of files.
    #[serde(default)]
    pub read: ReadOptions,
}

/// A dataset in one file or more: its images with their labels, names and order.
///
/// A pack of files gives the same images, bit for bit, as the files themselves.
#[derive(Debug, Clone)]
pub struct PackFile {
    path: OneOrMore,
    channels: usize,
    read: ReadOptions,
}

impl PackFile {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If no path is given, or an empty one, or one twice; if `channels` or `read` make no sense.
    pub fn new(config: PackConfig) -> Result<Self, ConfigError> {
        check_paths("path", &config.path)?;
        config.read.check()?;
        let channels = config.channels.unwrap_or_else(|| config.read.channels());
        if !(1..=MAX_CHANNELS).contains(&channels) {
            let must = format!("it must be from 1 to {MAX_CHANNELS}");
            return Err(ConfigError::field("channels", channels, must));
        }
        Ok(Self { path: config.path, channels, read: config.read })
    }
}

impl Dataset for PackFile {
    fn open(&self) -> Result<Splits, DatasetError> {
        let paths = expanded(&self.path)?;
        let packs: Vec<Arc<Pack>> =
            paths.iter().map(|path| Pack::open(path).map(Arc::new)).collect::<Result<_, _>>()?;
        let first = &packs[0];
        for (pack, path) in packs.iter().zip(&paths) {
            if pack.meta.class_names != first.meta.class_names {
                return Err(error(
                    path,
                    format!("it has other classes than {}", paths[0].display()),
                    "list packs of one dataset, as `moco pack --shards` writes them",
                ));
            }
            let found = match pack.meta.encoding {
                Encoding::Files => self.read.channels(),
                Encoding::Pixels => pack.meta.channels,
            };
            if found != self.channels {
                let reason = format!("its images have {found} channels, and `channels` is {}", self.channels);
                return Err(error(path, reason, format!("set `channels: {found}`")));
            }
        }
        let Some(train) = PackImages::of(&packs, Split::Train, &self.read) else {
            return Err(error(&paths[0], "there are no training images in it", "pack them again"));
        };
        Ok(Splits { train, test: PackImages::of(&packs, Split::Test, &self.read), notes: Vec::new() })
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn decode(&self, bytes: &[u8]) -> Option<Result<ByteImage, String>> {
        Some(decode_bytes(bytes, &self.read))
    }

    fn describe(&self) -> String {
        format!("the pack {}", self.path.told())
    }
}
