//! Image files of folders and archives, as a numbered set.

use std::path::PathBuf;
use std::sync::Arc;

use plugin_api::{ByteImage, DecodingScope, Images, UnreadableImage};

use crate::decode::{Look, Looked, ReadOptions, decode_bytes, notes};
use crate::listing::{Entries, path_of, shown, shown_path};
use crate::store::Store;

/// Image files of one place.
#[derive(Clone)]
pub(crate) struct Part {
    /// What their paths start at, for messages.
    pub(crate) place: PathBuf,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) entries: Entries,
}

/// Labels, one per image, and the classes that they number.
pub(crate) struct Labels {
    pub(crate) of_images: Option<Vec<u32>>,
    pub(crate) class_names: Arc<[String]>,
}

/// Image files of one place after the other, and their classes if they have any.
pub(crate) struct StoredImages {
    parts: Vec<Part>,
    /// The index of each part's first image.
    firsts: Vec<usize>,
    n: usize,
    labels: Labels,
    read: ReadOptions,
}

impl Labels {
    pub(crate) fn none() -> Self {
        Self { of_images: None, class_names: Arc::new([]) }
    }
}

impl StoredImages {
    pub(crate) fn new(parts: Vec<Part>, labels: Labels, read: &ReadOptions) -> Self {
        let mut n = 0;
        let mut firsts = Vec::with_capacity(parts.len());
        for part in &parts {
            firsts.push(n);
            n += part.entries.len();
        }
        Self { parts, firsts, n, labels, read: read.clone() }
    }

    /// The part of image `index`, and its index there.
    fn locate(&self, index: usize) -> (&Part, usize) {
        let part = self.firsts.partition_point(|&first| first <= index) - 1;
        (&self.parts[part], index - self.firsts[part])
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>, UnreadableImage> {
        let (part, at) = self.locate(index);
        let bytes = part.store.read(part.entries.path(at), part.entries.number(at));
        bytes.map_err(|reason| UnreadableImage { name: self.name(index), reason })
    }
}

impl Images for StoredImages {
    fn len(&self) -> usize {
        self.n
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.of_images.as_ref().map(|labels| labels[index])
    }

    fn class_names(&self) -> &[String] {
        &self.labels.class_names
    }

    fn name(&self, index: usize) -> String {
        let (part, at) = self.locate(index);
        shown_path(&part.place.join(path_of(part.entries.path(at))))
    }

    fn key(&self, index: usize) -> String {
        let (part, at) = self.locate(index);
        shown(part.entries.path(at))
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        let _scope = DecodingScope::begin();
        let bytes = self.bytes(index)?;
        decode_bytes(&bytes, &self.read).map_err(|reason| UnreadableImage { name: self.name(index), reason })
    }

    fn notes(&self) -> Vec<String> {
        let look = |index| {
            Some(match self.bytes(index) {
                Ok(bytes) => Look::File(Looked { name: self.name(index), bytes }),
                Err(image) => Look::Unreadable(image),
            })
        };
        notes(self.n, &look, &self.read)
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        let _scope = DecodingScope::begin();
        self.bytes(index).map(Some)
    }

    fn beginning(&self, index: usize, n_bytes: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        let _scope = DecodingScope::begin();
        let (part, at) = self.locate(index);
        let bytes = part.store.read_beginning(part.entries.path(at), part.entries.number(at), n_bytes);
        bytes.map(Some).map_err(|reason| UnreadableImage { name: self.name(index), reason })
    }
}
