//! Packs: all images of a dataset in one file, which [`PackWriter`] writes.

mod format;
mod reader;
mod writer;

use std::sync::Arc;

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, DatasetFiles, MAX_CHANNELS, Split, Splits};

pub use self::format::Encoding;
use self::format::Meta;
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
    /// Channels of decoded images. By default as many as the pack has, or as `read` takes of a file.
    #[serde(default)]
    pub channels: Option<usize>,
    /// How the files become images; for packs of files. By default as they did where they were packed from.
    #[serde(default)]
    pub read: Option<ReadOptions>,
}

/// A dataset in one file or more: its images with their labels, names and order.
///
/// A pack of files gives the same images, bit for bit, as the files themselves.
#[derive(Debug, Clone)]
pub struct PackFile {
    path: OneOrMore,
    channels: usize,
    /// As the config says, or the first pack.
    read: ReadOptions,
    /// Whether the config says it.
    is_told: bool,
}

impl PackFile {
    /// The dataset for `config`. The first pack, if it is there, is asked how its images are read; nothing else is read yet.
    ///
    /// # Errors
    /// If no path is given, or an empty one, or one twice; if `channels` or `read` make no sense.
    pub fn new(config: PackConfig) -> Result<Self, ConfigError> {
        check_paths("path", &config.path)?;
        let is_told = config.read.is_some();
        let of_first = || Pack::meta_at(expanded(&config.path).ok()?.first()?);
        let first = if is_told && config.channels.is_some() { None } else { of_first() };
        // What is wrong with the pack is told when it is opened.
        let first = first.filter(|meta| meta.check_images().is_ok());
        let of_pack = |meta: &Meta| meta.read_options().ok();
        let read = config.read.or_else(|| first.as_ref().and_then(of_pack)).unwrap_or_default();
        read.check()?;
        let known = first.as_ref().map_or_else(|| read.channels(), |meta| meta.n_channels(&read));
        let channels = config.channels.unwrap_or(known);
        if !(1..=MAX_CHANNELS).contains(&channels) {
            let must = format!("it must be from 1 to {MAX_CHANNELS}");
            return Err(ConfigError::field("channels", channels, must));
        }
        Ok(Self { path: config.path, channels, read, is_told })
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
            let is_of_files = pack.meta.encoding == Encoding::Files;
            if self.is_told && !is_of_files {
                let reason = "it has decoded pixels, and `read` is about files";
                return Err(error(path, reason, "remove `read`"));
            }
            let packed = pack.meta.read_options().unwrap_or_default();
            if is_of_files && !self.is_told && packed != self.read {
                let packed = packed.written().unwrap_or_else(|| "()".into());
                let reason =
                    format!("its images were read in another way when it was packed: `read: {packed}`");
                return Err(error(path, reason, "say with `read` how those of all packs are read"));
            }
            let found = pack.meta.n_channels(&self.read);
            if found != self.channels {
                let reason = format!("its images have {found} channels, and `channels` is {}", self.channels);
                return Err(error(path, reason, format!("set `channels: {found}`")));
            }
        }
        let Some(train) = PackImages::of(&packs, Split::Train, &self.read) else {
            return Err(error(&paths[0], "there are no training images in it", "pack them again"));
        };
        let notes = match self.read.written() {
            Some(read) if !self.is_told => vec![format!(
                "{}: images are read as they were when it was packed: `read: {read}`",
                paths[0].display()
            )],
            _ => Vec::new(),
        };
        Ok(Splits { train, test: PackImages::of(&packs, Split::Test, &self.read), notes })
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn decode(&self, bytes: &[u8]) -> Option<Result<ByteImage, String>> {
        Some(decode_bytes(bytes, &self.read))
    }

    fn read_options(&self) -> Option<String> {
        self.read.written()
    }

    fn describe(&self) -> String {
        format!("the pack {}", self.path.told())
    }
}
