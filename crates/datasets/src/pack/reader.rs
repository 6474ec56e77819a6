//! Reads packs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::{ByteImage, DatasetError, DecodingScope, Images, Split, UnreadableImage};

use super::format::{self, Encoding, End, HEAD_BYTES, MAGIC, Meta, Record, VERSION};
use crate::decode::{Looked, ReadOptions, decode_bytes, notes};
use crate::places::{error, relative_hint};
use crate::positioned::{buffer, read_exact_at};

/// More than any list of class names needs.
const MAX_META_BYTES: u64 = 1 << 28;

/// A hundred million images, at 40 bytes each.
const MAX_INDEX_BYTES: u64 = 1 << 32;

/// More than any file name needs.
const MAX_NAME_BYTES: u64 = 1 << 16;

/// A pack that is open: its index is in memory, 40 bytes an image; names and images stay in the file.
pub(super) struct Pack {
    path: PathBuf,
    file: File,
    pub(super) meta: Meta,
    names_offset: u64,
    index: Vec<u8>,
}

/// A pack of which only the end has been read.
struct Located {
    file: File,
    end: End,
    /// Where the end begins.
    end_offset: u64,
}

impl Located {
    fn at(path: &Path) -> Result<Self, DatasetError> {
        let unreadable = |failure| unreadable(path, &failure);
        let no_pack = |reason: &str| {
            error(
                path,
                reason,
                "`moco pack` writes packs; for a folder, use `class-folders` or `flat-folder`",
            )
        };
        let opened = regular_files::open(path).map_err(|failure| match failure.kind() {
            std::io::ErrorKind::IsADirectory | std::io::ErrorKind::InvalidInput => {
                no_pack("this is not a file, and a pack is one")
            }
            _ => unreadable(failure),
        })?;
        let regular_files::Opened { file, n_bytes } = opened;
        if n_bytes < (HEAD_BYTES + End::BYTES) as u64 {
            return Err(no_pack("this is not a pack"));
        }
        let mut head = [0; HEAD_BYTES];
        read_exact_at(&file, &mut head, 0).map_err(unreadable)?;
        if head[..8] != MAGIC {
            return Err(no_pack("this is not a pack"));
        }
        let version = u32::from_le_bytes(*head[8..].first_chunk().expect("a head has 16 bytes"));
        if version != VERSION {
            let reason = format!("it is a pack of version {version}, and version {VERSION} is read");
            return Err(error(path, reason, "pack it again with this program"));
        }
        let mut end = [0; End::BYTES];
        let end_offset = n_bytes - End::BYTES as u64;
        read_exact_at(&file, &mut end, end_offset).map_err(unreadable)?;
        let Some(end) = End::of_bytes(&end) else {
            return Err(damaged(path, "its end is missing"));
        };
        let End { names_offset, index_offset, meta_offset, .. } = end;
        let is_in_order =
            names_offset <= index_offset && index_offset <= meta_offset && meta_offset <= end_offset;
        if !is_in_order
            || end_offset - meta_offset > MAX_META_BYTES
            || meta_offset - index_offset > MAX_INDEX_BYTES
            || !(meta_offset - index_offset).is_multiple_of(Record::BYTES as u64)
        {
            return Err(damaged(path, "its parts lie where they cannot"));
        }
        Ok(Self { file, end, end_offset })
    }

    /// Bytes that lie within the file, so they are no more than it has.
    fn read(&self, from: u64, to: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = buffer((to - from) as usize)?;
        read_exact_at(&self.file, &mut bytes, from)?;
        Ok(bytes)
    }

    fn meta_bytes(&self) -> std::io::Result<Vec<u8>> {
        self.read(self.end.meta_offset, self.end_offset)
    }
}

fn unreadable(path: &Path, failure: &std::io::Error) -> DatasetError {
    let hint = match failure.kind() {
        std::io::ErrorKind::NotFound => relative_hint(path),
        _ => "check that it can be read".into(),
    };
    error(path, format!("it cannot be read: {failure}"), hint)
}

fn damaged(path: &Path, reason: impl std::fmt::Display) -> DatasetError {
    error(path, format!("the pack is damaged: {reason}"), "pack it again")
}

impl Pack {
    /// What the pack at `path` says of itself, without its index. `None` if there is no such pack, which [`open`](Self::open) tells.
    pub(super) fn meta_at(path: &Path) -> Option<Meta> {
        let meta = Located::at(path).ok()?.meta_bytes().ok()?;
        serde_json::from_slice::<Meta>(&meta).ok()
    }

    /// Opens the pack at `path`. No image is read.
    pub(super) fn open(path: &Path) -> Result<Self, DatasetError> {
        let located = Located::at(path)?;
        let End { names_offset, index_offset, meta_offset, hash } = located.end;
        let unreadable = |failure| unreadable(path, &failure);
        let damaged = |reason: String| damaged(path, reason);
        let index = located.read(index_offset, meta_offset).map_err(unreadable)?;
        let meta = located.meta_bytes().map_err(unreadable)?;
        if format::hash(&index, &meta, [names_offset, index_offset, meta_offset]) != hash {
            return Err(damaged("the checksum of its index is wrong".into()));
        }
        let meta: Meta = serde_json::from_slice(&meta).map_err(|failure| damaged(failure.to_string()))?;
        meta.check(index.len() / Record::BYTES).map_err(damaged)?;
        let pack = Self { path: path.to_owned(), file: located.file, meta, names_offset, index };
        let n_name_bytes = index_offset - names_offset;
        pack.check_records(n_name_bytes).map_err(damaged)?;
        Ok(pack)
    }

    /// A label without a class would be a panic later.
    fn check_records(&self, n_name_bytes: u64) -> Result<(), String> {
        let n_classes = self.meta.class_names.len();
        let mut name_start = 0;
        for i in 0..self.index.len() / Record::BYTES {
            let record = self.record(i);
            if record.offset.checked_add(record.len.into()).is_none_or(|end| end > self.names_offset) {
                return Err(format!("image {i} is said to lie beyond the images"));
            }
            if record.name_end < name_start || record.name_end > n_name_bytes {
                return Err(format!("the name of image {i} is said to lie beyond the names"));
            }
            if record.label.is_some() != (n_classes > 0)
                || record.label.is_some_and(|label| label as usize >= n_classes)
            {
                return Err(format!("image {i} has the label {:?} of {n_classes} classes", record.label));
            }
            name_start = record.name_end;
        }
        Ok(())
    }

    fn record(&self, index: usize) -> Record {
        let at = index * Record::BYTES;
        Record::of_bytes(self.index[at..].first_chunk().expect("the caller keeps within the index"))
    }

    fn name(&self, index: usize) -> std::io::Result<String> {
        let start = if index == 0 { 0 } else { self.record(index - 1).name_end };
        let len = (self.record(index).name_end - start).min(MAX_NAME_BYTES);
        let mut name = buffer(len as usize)?;
        read_exact_at(&self.file, &mut name, self.names_offset + start)?;
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    fn bytes(&self, record: &Record) -> Result<Vec<u8>, String> {
        DecodingScope::count_file(record.len as usize);
        let read = || {
            let mut bytes = buffer(record.len as usize)?;
            read_exact_at(&self.file, &mut bytes, record.offset)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|failure: std::io::Error| failure.to_string())?;
        if format::checksum(&bytes) != record.checksum {
            return Err("its checksum is wrong: the pack is damaged here".into());
        }
        Ok(bytes)
    }

    fn image(&self, record: &Record, read: &ReadOptions) -> Result<ByteImage, String> {
        let values = self.bytes(record)?;
        match self.meta.encoding {
            Encoding::Files => decode_bytes(&values, read),
            Encoding::Pixels => {
                let [width, height] = [record.width as usize, record.height as usize];
                let channels = self.meta.channels;
                let n = width.checked_mul(height).and_then(|n| n.checked_mul(channels));
                if n != Some(values.len()) || values.is_empty() {
                    return Err(format!(
                        "{width} x {height} pixels of {channels} channels are not {} bytes",
                        values.len()
                    ));
                }
                Ok(ByteImage { width, height, channels, values })
            }
        }
    }
}

/// A split of one or more packs, one after another.
pub(super) struct PackImages {
    parts: Vec<Part>,
    len: usize,
    class_names: Arc<[String]>,
    read: ReadOptions,
}

/// The images that a split has from one pack.
struct Part {
    pack: Arc<Pack>,
    /// The number of its first image in the split.
    first: usize,
    /// The place of its first image in the pack.
    from: usize,
}

impl PackImages {
    /// The images that `packs` have in `split`; `None` if there are none.
    pub(super) fn of(packs: &[Arc<Pack>], split: Split, read: &ReadOptions) -> Option<Arc<dyn Images>> {
        let mut images = Self { parts: Vec::new(), len: 0, class_names: Arc::new([]), read: read.clone() };
        for pack in packs {
            let n = pack.meta.n_images(split);
            let from = if split == Split::Test { pack.meta.n_train } else { 0 };
            images.class_names = pack.meta.class_names.clone().into();
            if n > 0 {
                images.parts.push(Part { pack: Arc::clone(pack), first: images.len, from });
                images.len += n;
            }
        }
        (images.len > 0).then(|| Arc::new(images) as _)
    }

    /// The pack of image `index`, and its place there.
    fn locate(&self, index: usize) -> (&Pack, usize) {
        let part = &self.parts[self.parts.partition_point(|part| part.first <= index) - 1];
        (&part.pack, part.from + index - part.first)
    }

    fn named<T>(&self, index: usize, result: Result<T, String>) -> Result<T, UnreadableImage> {
        result.map_err(|reason| UnreadableImage { name: self.name(index), reason })
    }
}

impl Images for PackImages {
    fn len(&self) -> usize {
        self.len
    }

    fn label(&self, index: usize) -> Option<u32> {
        let (pack, place) = self.locate(index);
        pack.record(place).label
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn name(&self, index: usize) -> String {
        let (pack, place) = self.locate(index);
        pack.name(place).unwrap_or_else(|_| format!("{}, image {place}", pack.path.display()))
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        let _scope = DecodingScope::begin();
        let (pack, place) = self.locate(index);
        self.named(index, pack.image(&pack.record(place), &self.read))
    }

    fn notes(&self) -> Vec<String> {
        let look = |index| Some(Looked { name: self.name(index), bytes: self.encoded(index).ok()?? });
        notes(self.len, &look, &self.read)
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        let (pack, place) = self.locate(index);
        if pack.meta.encoding == Encoding::Pixels {
            return Ok(None);
        }
        self.named(index, pack.bytes(&pack.record(place)).map(Some))
    }
}
