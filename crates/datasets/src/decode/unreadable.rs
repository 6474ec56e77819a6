//! Files that cannot be read, among the few that are looked at.

use plugin_api::{ByteImage, DecodingScope, Images, UnreadableImage};

use super::notes::{Looked, several_images, spread};

/// A file that is looked at, or why it cannot be.
pub(crate) enum Look {
    File(Looked),
    Unreadable(UnreadableImage),
}

impl From<Looked> for Look {
    fn from(looked: Looked) -> Self {
        Self::File(looked)
    }
}

/// Those that cannot be read.
#[derive(Default)]
pub(super) struct Unreadable {
    n_looked_at: usize,
    n: usize,
    first: Option<UnreadableImage>,
}

impl Unreadable {
    /// Counts `look`, and gives the file if there is one.
    pub(super) fn file(&mut self, look: Look) -> Option<Looked> {
        self.n_looked_at += 1;
        match look {
            Look::File(looked) => Some(looked),
            Look::Unreadable(image) => {
                self.add(image);
                None
            }
        }
    }

    /// Takes down `image`, which was counted before.
    pub(super) fn add(&mut self, image: UnreadableImage) {
        self.n += 1;
        self.first.get_or_insert(image);
    }

    /// How many there are, with the first.
    pub(super) fn note(self) -> Option<String> {
        let Self { n_looked_at, n, first } = self;
        let images = if n_looked_at == 1 { "image" } else { "images" };
        first.map(|first| format!("{n} of {n_looked_at} {images} looked at cannot be read: {first}"))
    }
}

/// The image in the bytes of a file, as [`plugin_api::Dataset::decode`] gives it.
pub type Decode<'a> = dyn Fn(&[u8]) -> Option<Result<ByteImage, String>> + 'a;

/// What a look at a few of `images` tells if `decode` reads them, and not the dataset that they are from: an encoder takes other
/// images as it took its own. `None` where `decode` reads no files.
///
/// Where it reads them in another range or other bands, nothing is said of these, since somebody has chosen them.
pub fn notes_as_read(images: &dyn Images, decode: &Decode<'_>) -> Option<Vec<String>> {
    let (mut several, mut unreadable, mut is_same) = (None, Unreadable::default(), true);
    for index in spread(images.len()) {
        let _scope = DecodingScope::begin();
        let look = match images.encoded(index) {
            Ok(bytes) => Look::File(Looked { name: images.name(index), bytes: bytes? }),
            Err(image) => Look::Unreadable(image),
        };
        let Some(Looked { name, bytes }) = unreadable.file(look) else { continue };
        let decoded = decode(&bytes)?;
        is_same &= decoded == images.load(index).map_err(|image| image.reason);
        match decoded {
            Ok(_) => several = several.or_else(|| several_images(&name, &bytes)),
            Err(reason) => unreadable.add(UnreadableImage { name, reason }),
        }
    }
    if is_same {
        return Some(images.notes());
    }
    Some(several.into_iter().chain(unreadable.note()).collect())
}
