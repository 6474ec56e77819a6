//! Writes a pack.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use plugin_api::{ByteImage, ConfigError, Split};
use tempfile::NamedTempFile;

use super::format::{self, Encoding, End, Meta, Record};

/// What a pack will have, beside its images.
#[derive(Clone, Debug)]
pub struct PackPlan {
    /// What its images are.
    pub encoding: Encoding,
    /// Channels of the images, 1 to 16.
    pub channels: usize,
    /// The classes in order of their numbers; empty where images have no labels.
    pub class_names: Vec<String>,
    /// How files become images, as the field `read` has it, in RON; `None` for the default, and for [`Encoding::Pixels`].
    pub read: Option<String>,
    /// Where the images are from, in words.
    pub source: String,
}

/// An image for a pack.
#[derive(Clone, Debug)]
pub enum Packed {
    /// The bytes of its file, for [`Encoding::Files`].
    File(Vec<u8>),
    /// Its pixels, for [`Encoding::Pixels`].
    Pixels(ByteImage),
}

/// Writes one pack, image by image. The file appears when it is whole, and not before.
pub struct PackWriter {
    path: PathBuf,
    plan: PackPlan,
    file: BufWriter<NamedTempFile>,
    n_bytes: u64,
    names: Vec<u8>,
    index: Vec<u8>,
    n_train: usize,
    n_test: usize,
}

/// A pack that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The file cannot be written.
    #[error("{}: it cannot be written: {error}", path.display())]
    Write {
        /// The pack.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is a file of that name.
    #[error("{}: there is a file of this name", path.display())]
    Exists {
        /// The pack.
        path: PathBuf,
    },
    /// What a dataset says of how its files are read is not what the dataset `pack` has.
    #[error("{}: its files cannot be read as `{read}`, as their dataset says: {error}", path.display())]
    Read {
        /// The pack.
        path: PathBuf,
        /// What the dataset says.
        read: String,
        /// What is wrong with it.
        error: ConfigError,
    },
    /// An image does not fit.
    #[error("{name}: {reason}")]
    Image {
        /// The image.
        name: String,
        /// Why.
        reason: String,
    },
}

impl PackWriter {
    /// Starts a pack that will be called `path`.
    ///
    /// # Errors
    /// If there is a file of that name, none can be made in that folder, or `read` of the plan is no text of the field `read`.
    pub fn create(path: &Path, plan: PackPlan) -> Result<Self, PackError> {
        if path.symlink_metadata().is_ok() {
            return Err(PackError::Exists { path: path.into() });
        }
        let read = plan.read.as_deref();
        format::options_of(read).map_err(|error| PackError::Read {
            path: path.into(),
            read: read.unwrap_or_default().into(),
            error,
        })?;
        let failed = |error| PackError::Write { path: path.into(), error };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".packing-");
        // As for any new file, the user's mask decides who may read it.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder).map_err(failed)?;
        let mut writer = Self {
            path: path.into(),
            plan,
            file: BufWriter::with_capacity(1 << 16, file),
            n_bytes: 0,
            names: Vec::new(),
            index: Vec::new(),
            n_train: 0,
            n_test: 0,
        };
        writer.write(&format::head())?;
        Ok(writer)
    }

    /// Adds an image. Images of [`Split::Train`] come first.
    ///
    /// # Errors
    /// If the file cannot be written, or if the image is not of the kind, the channels or the order that the pack has.
    pub fn push(
        &mut self,
        split: Split,
        name: &str,
        label: Option<u32>,
        image: &Packed,
    ) -> Result<(), PackError> {
        let unfit = |reason: &str| PackError::Image { name: name.into(), reason: reason.into() };
        let n_classes = self.plan.class_names.len();
        if label.is_some() != (n_classes > 0) || label.is_some_and(|label| label as usize >= n_classes) {
            return Err(unfit("its label is not one of the classes of the pack"));
        }
        let (bytes, [width, height]) = match (image, self.plan.encoding) {
            (Packed::File(bytes), Encoding::Files) => (bytes, [0; 2]),
            (Packed::Pixels(image), Encoding::Pixels) if image.channels == self.plan.channels => {
                let side = |side: usize| u32::try_from(side).map_err(|_| unfit("it has too many pixels"));
                (&image.values, [side(image.width)?, side(image.height)?])
            }
            (Packed::Pixels(_), Encoding::Pixels) => {
                return Err(unfit("it has another number of channels than the dataset says"));
            }
            _ => return Err(unfit("files and pixels do not mix in a pack")),
        };
        let len = u32::try_from(bytes.len()).map_err(|_| unfit("it has more than 4 GiB"))?;
        match split {
            Split::Train if self.n_test > 0 => {
                return Err(unfit("training images come before test images in a pack"));
            }
            Split::Train => self.n_train += 1,
            Split::Test => self.n_test += 1,
        }
        self.names.extend_from_slice(name.as_bytes());
        let record = Record {
            offset: self.n_bytes,
            len,
            label,
            width,
            height,
            name_end: self.names.len() as u64,
            checksum: format::checksum(bytes),
        };
        self.index.extend_from_slice(&record.to_bytes());
        self.write(bytes)
    }

    /// Images so far.
    pub fn n_images(&self) -> usize {
        self.n_train + self.n_test
    }

    /// Bytes so far.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Writes the rest, and gives the pack its name.
    ///
    /// # Errors
    /// If the file cannot be written, or if another of that name has appeared. Then nothing is left of it.
    pub fn finish(mut self) -> Result<(), PackError> {
        let meta = Meta {
            encoding: self.plan.encoding,
            channels: self.plan.channels,
            n_train: self.n_train,
            n_test: self.n_test,
            class_names: std::mem::take(&mut self.plan.class_names),
            read: std::mem::take(&mut self.plan.read),
            source: std::mem::take(&mut self.plan.source),
            made_by: format!("moco {}", env!("CARGO_PKG_VERSION")),
        };
        let meta = serde_json::to_vec(&meta).expect("plain values are JSON");
        let (names, index) = (std::mem::take(&mut self.names), std::mem::take(&mut self.index));
        let names_offset = self.n_bytes;
        self.write(&names)?;
        let index_offset = self.n_bytes;
        self.write(&index)?;
        let meta_offset = self.n_bytes;
        self.write(&meta)?;
        let hash = format::hash(&index, &meta, [names_offset, index_offset, meta_offset]);
        self.write(&End { names_offset, index_offset, meta_offset, hash }.to_bytes())?;
        let Self { path, file, .. } = self;
        let failed = |error| PackError::Write { path: path.clone(), error };
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist_noclobber(&path).map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => PackError::Exists { path: path.clone() },
            _ => failed(error.error),
        })?;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        self.n_bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| PackError::Write { path: self.path.clone(), error })
    }
}
