//! Packs: all images of a dataset in one file, which [`PackWriter`] writes.

mod format;
mod reader;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, MAX_CHANNELS, Split, Splits};

pub use self::format::Encoding;
use self::reader::{Pack, PackImages};
pub use self::writer::{PackError, PackPlan, PackWriter, Packed};
use crate::decode::{ReadOptions, decode_bytes};
use crate::places::error;
use crate::roots::OneOrMore;

plugin_api::register! {
    dyn Dataset {
        name: "pack",
        summary: "all images in one file, or in several that follow one another, which `moco pack` has written",
        source: "",
        example: r#"(path: "photos.pack")"#,
        build: |config: PackConfig, _context| PackFile::new(config),
    }
}

/// The config of [`PackFile`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackConfig {
    /// The pack, or a list of packs that follow one another. A relative path starts at the working directory.
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
    paths: Vec<PathBuf>,
    channels: usize,
    read: ReadOptions,
}

impl PackFile {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If no path is given, or an empty one, or one twice.
    pub fn new(config: PackConfig) -> Result<Self, ConfigError> {
        let paths = match config.path {
            OneOrMore::One(path) => vec![path],
            OneOrMore::More(paths) => paths,
        };
        if paths.is_empty() {
            return Err(ConfigError::field("path", "[]", "it must have a path"));
        }
        for (i, path) in paths.iter().enumerate() {
            if path.as_os_str().is_empty() {
                return Err(ConfigError::field("path", "\"\"", "it must be a path"));
            }
            if paths[..i].contains(path) {
                return Err(ConfigError::field("path", path.display(), "each pack may be listed once"));
            }
        }
        config.read.check()?;
        let channels = config.channels.unwrap_or_else(|| config.read.channels());
        if !(1..=MAX_CHANNELS).contains(&channels) {
            let must = format!("it must be from 1 to {MAX_CHANNELS}");
            return Err(ConfigError::field("channels", channels, must));
        }
        Ok(Self { paths, channels, read: config.read })
    }
}

impl Dataset for PackFile {
    fn open(&self) -> Result<Splits, DatasetError> {
        let packs: Vec<Arc<Pack>> =
            self.paths.iter().map(|path| Pack::open(path).map(Arc::new)).collect::<Result<_, _>>()?;
        let first = &packs[0];
        for (pack, path) in packs.iter().zip(&self.paths) {
            if pack.meta.class_names != first.meta.class_names {
                return Err(error(
                    path,
                    format!("it has other classes than {}", self.paths[0].display()),
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
            return Err(error(&self.paths[0], "there are no training images in it", "pack them again"));
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
        match &self.paths[..] {
            [path] => format!("the pack {}", path.display()),
            paths => format!("{} packs, {} and so on", paths.len(), paths[0].display()),
        }
    }
}
