//! Writes packs, with all threads.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use datasets::{Encoding, PackError, PackPlan, PackWriter, Packed, ReadOptions};
use loader::UnreadableLog;
use plugin_api::{
    Augmentation, AugmentationContext, ByteImage, Config, ConfigError, DecodingScope, Image, Rng, Split,
    UnreadableImage,
};
use rayon::prelude::*;

use super::source::Place;
use super::{DataError, DataSource};

/// Images that a thread prepares before the next ones are written.
const N_PER_THREAD: usize = 8;
/// Prepared images that wait for the writer hold no more, but for one of each thread.
const MOST_HELD_BYTES: usize = 1 << 29;

/// All shards are open until the last is whole.
const MOST_SHARDS: usize = 1024;

/// How to pack.
#[derive(Clone, Debug)]
pub struct PackOptions {
    /// Keep decoded pixels, with the shorter side of larger images reduced to this many; `None` keeps the files' own bytes.
    pub shorter: Option<usize>,
    /// Files to divide the pack into, from 1 to 1024, and no more than there are training images.
    pub n_shards: usize,
    /// The share of images, 0–1, that may be unreadable; 16 always may be.
    pub max_unreadable: f64,
}

impl Default for PackOptions {
    /// One file with the files' own bytes.
    fn default() -> Self {
        Self { shorter: None, n_shards: 1, max_unreadable: UnreadableLog::DEFAULT_SHARE }
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct PackProgress {
    /// Images that are done.
    pub n_done: usize,
    /// Bytes that are written.
    pub n_bytes: u64,
}

/// What became of it.
#[derive(Debug)]
pub enum Packing {
    /// The pack is written.
    Done {
        /// The pack, or its shards in order.
        files: Vec<PathBuf>,
        /// Images in it, for training and for testing.
        n_images: (usize, usize),
        /// Its length.
        n_bytes: u64,
        /// Images that are not in it.
        left_out: Vec<UnreadableImage>,
    },
    /// The caller has stopped it; nothing is written.
    Stopped,
}

/// Packs all images of `source` to the file `path`, or to as many shards beside it.
///
/// Images keep their order, names and labels, so a pack of files gives the same training, bit for bit, where all can be read.
/// Each is decoded once; those that cannot be read are left out and told.
///
/// # Errors
/// If there are too many shards, a file exists or cannot be written, or too many images cannot be read. Then no file is left.
pub fn pack(
    source: &DataSource,
    path: &Path,
    options: &PackOptions,
    on_progress: &mut dyn FnMut(PackProgress) -> ControlFlow<()>,
) -> Result<Packing, DataError> {
    let preparation = Preparation::of(options)?;
    let most = MOST_SHARDS.min(source.splits.train.len());
    if !(1..=most).contains(&options.n_shards) {
        let must =
            format!("it must be from 1 to {most}: at most {MOST_SHARDS}, and each needs a training image");
        return Err(ConfigError::field("n_shards", options.n_shards, must).into());
    }
    let files = shard_names(path, options.n_shards);
    let plan = PackPlan {
        encoding: if options.shorter.is_some() { Encoding::Pixels } else { Encoding::Files },
        channels: source.channels,
        class_names: source.splits.train.class_names().to_vec(),
        read: source.read.clone().filter(|_| options.shorter.is_none()),
        source: source.description.clone(),
    };
    let unreadable = UnreadableLog::new(source.n_images(), options.max_unreadable);
    let mut writers = Vec::new();
    let (mut n_done, mut n_images) = (0, (0, 0));
    for (shard, file) in files.iter().enumerate() {
        let mut writer = PackWriter::create(file, plan.clone())?;
        let done_bytes: u64 = writers.iter().map(PackWriter::n_bytes).sum();
        let mine: Vec<Place<'_>> = source
            .parts()
            .iter()
            .flat_map(|(split, images)| {
                let range = images.len() * shard / files.len()..images.len() * (shard + 1) / files.len();
                range.map(|index| Place { split: *split, images: &***images, index })
            })
            .collect();
        for chunk in mine.chunks(N_PER_THREAD * rayon::current_num_threads()) {
            let n_held = AtomicUsize::new(0);
            let prepared: Vec<_> =
                chunk.par_iter().map(|place| preparation.prepare_within(place, &n_held)).collect();
            for (place, image) in chunk.iter().zip(prepared) {
                let image = match image? {
                    Some(image) => image,
                    None => preparation.prepare(place)?,
                };
                match image {
                    Ok(image) => {
                        let label = place.images.label(place.index);
                        writer.push(place.split, &place.images.name(place.index), label, &image)?;
                        match place.split {
                            Split::Train => n_images.0 += 1,
                            Split::Test => n_images.1 += 1,
                        }
                    }
                    Err(image) => unreadable.record(place.index, image),
                }
            }
            unreadable.check()?;
            n_done += chunk.len();
            if on_progress(PackProgress { n_done, n_bytes: done_bytes + writer.n_bytes() }).is_break() {
                return Ok(Packing::Stopped);
            }
        }
        writers.push(writer);
    }
    finish(writers, &files)?;
    let n_bytes = files.iter().filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum();
    Ok(Packing::Done { files, n_images, n_bytes, left_out: unreadable.list() })
}

/// Gives all shards their names, or none.
fn finish(writers: Vec<PackWriter>, files: &[PathBuf]) -> Result<(), PackError> {
    for (i, writer) in writers.into_iter().enumerate() {
        if let Err(error) = writer.finish() {
            for file in &files[..i] {
                // They are ours, from a moment ago; if one cannot be removed, the error tells enough.
                let _ = std::fs::remove_file(file);
            }
            return Err(error);
        }
    }
    Ok(())
}

/// `photos.pack`, or `photos-00000-of-00004.pack` and so on.
fn shard_names(path: &Path, n: usize) -> Vec<PathBuf> {
    if n == 1 {
        return vec![path.into()];
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension =
        path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    (0..n).map(|i| path.with_file_name(format!("{stem}-{i:05}-of-{n:05}{extension}"))).collect()
}

/// What is done to an image before it is written.
struct Preparation {
    /// `None`: the bytes of the file.
    reduce: Option<(usize, Box<dyn Augmentation>)>,
}

impl Preparation {
    fn of(options: &PackOptions) -> Result<Self, DataError> {
        let Some(shorter) = options.shorter else { return Ok(Self { reduce: None }) };
        let config = format!("(shorter: {shorter})");
        let resize =
            plugin_api::build::<dyn Augmentation>("resize", Config::new(&config), &AugmentationContext)?;
        Ok(Self { reduce: Some((shorter, resize)) })
    }

    /// [`prepare`](Self::prepare); `None` where so many bytes are held already that the image has to wait for its turn.
    fn prepare_within(
        &self,
        place: &Place<'_>,
        n_held: &AtomicUsize,
    ) -> Result<Option<Result<Packed, UnreadableImage>>, DataError> {
        if n_held.load(Ordering::Relaxed) > MOST_HELD_BYTES {
            return Ok(None);
        }
        let prepared = self.prepare(place)?;
        let n_bytes = match &prepared {
            Ok(Packed::File(bytes)) => bytes.len(),
            Ok(Packed::Pixels(image)) => image.values.len(),
            Err(_) => 0,
        };
        n_held.fetch_add(n_bytes, Ordering::Relaxed);
        Ok(Some(prepared))
    }

    /// The inner error is an image to leave out.
    fn prepare(&self, place: &Place<'_>) -> Result<Result<Packed, UnreadableImage>, DataError> {
        let _scope = DecodingScope::begin();
        let Some((shorter, resize)) = &self.reduce else {
            return match place.images.encoded(place.index) {
                Ok(Some(bytes)) => Ok(check(&bytes, place).map(|()| Packed::File(bytes))),
                Ok(None) => Err(DataError::NoFile { name: place.images.name(place.index) }),
                Err(error) => Ok(Err(error)),
            };
        };
        Ok(place.images.load(place.index).map(|image| {
            if image.width.min(image.height) <= *shorter {
                return Packed::Pixels(image);
            }
            Packed::Pixels(reduced(&**resize, image))
        }))
    }
}

/// Fails if the file of an image cannot be read, which is known when it has been decoded, and not before.
///
/// Which bands and which range to take is for those to say who read the pack: a file that lacks only that is whole.
fn check(bytes: &[u8], place: &Place<'_>) -> Result<(), UnreadableImage> {
    let told = ReadOptions { bands: Some(vec![0]), range: Some((0.0, 1.0)), ..ReadOptions::default() };
    if [ReadOptions::default(), told].iter().any(|read| datasets::decode_bytes(bytes, read).is_ok()) {
        return Ok(());
    }
    // A plugin may have files of its own, which only it decodes. Otherwise this gives the reason.
    place.images.load(place.index).map(drop)
}

/// `resize` draws nothing.
fn reduced(resize: &dyn Augmentation, image: ByteImage) -> ByteImage {
    match resize.apply(Image::Bytes(image), &mut Rng::new(0, "pack", &[])) {
        Image::Bytes(image) => image,
        Image::Floats(_) => unreachable!("`resize` gives bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_read_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let photos = folder.path().join("photos");
        std::fs::create_dir(&photos).unwrap();
        std::fs::write(photos.join("0.ppm"), b"P6 1 1 255\n\x01\x02\x03").unwrap();
        std::fs::write(photos.join("1.ppm"), b"P6 2 2 255\n\x01\x02\x03").unwrap();
        std::fs::write(photos.join("2.jpg"), "version https://git-lfs.github.com/spec/v1\n").unwrap();
        let source = DataSource::open(&[photos]).unwrap();
        let packed = |name: &str, max_unreadable| {
            let options = PackOptions { max_unreadable, ..PackOptions::default() };
            pack(&source, &folder.path().join(name), &options, &mut |_| ControlFlow::Continue(()))
        };
        let Packing::Done { n_images, left_out, .. } = packed("a.pack", 0.0).unwrap() else {
            panic!("it stops")
        };
        assert_eq!((n_images, left_out.len()), ((1, 0), 2), "{left_out:?}");
        assert!(left_out[1].reason.starts_with("a Git LFS pointer"), "{left_out:?}");
    }

    /// A gray image of one pixel, `value`, as a TIFF of floats.
    fn float_tiff(value: f32) -> Vec<u8> {
        const N_TAGS: u16 = 10;
        let values_at = 8 + 2 + 12 * u32::from(N_TAGS) + 4;
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend(N_TAGS.to_le_bytes());
        // Size, bits, compression, color, strips and the kind of numbers; each is one number of 16 bits.
        let tags: [(u16, u32); N_TAGS as usize] = [
            (256, 1),
            (257, 1),
            (258, 32),
            (259, 1),
            (262, 1),
            (273, values_at),
            (277, 1),
            (278, 1),
            (279, 4),
            (339, 3),
        ];
        for (tag, number) in tags {
            bytes.extend([tag.to_le_bytes(), 3_u16.to_le_bytes()].concat());
            bytes.extend([1_u32.to_le_bytes(), number.to_le_bytes()].concat());
        }
        bytes.extend([[0; 4], value.to_le_bytes()].concat());
        bytes
    }

    #[test]
    fn files_that_need_bands_or_a_range_are_packed_whole() {
        let folder = tempfile::tempdir().unwrap();
        let photos = folder.path().join("photos");
        std::fs::create_dir(&photos).unwrap();
        let tiff = float_tiff(3060.0);
        std::fs::write(photos.join("0.tif"), &tiff).unwrap();
        std::fs::write(photos.join("1.tif"), &tiff[..tiff.len() - 2]).unwrap();
        let source = DataSource::open(&[photos]).unwrap();
        let reason = source.splits.train.load(0).unwrap_err().reason;
        assert!(reason.contains("say with `range`"), "{reason}");
        let file = folder.path().join("a.pack");
        let packing = pack(&source, &file, &PackOptions::default(), &mut |_| ControlFlow::Continue(()));
        let Packing::Done { n_images, left_out, .. } = packing.unwrap() else { panic!("it stops") };
        assert_eq!((n_images, left_out.len()), ((1, 0), 1), "{left_out:?}");
        let packed = DataSource::open(&[file]).unwrap();
        assert_eq!(packed.splits.train.encoded(0).unwrap(), Some(tiff));
    }

    #[test]
    fn shards_are_numbered() {
        assert_eq!(shard_names(Path::new("d/a.pack"), 1), [Path::new("d/a.pack")]);
        let names = shard_names(Path::new("d/a.b.pack"), 2);
        assert_eq!(names, [Path::new("d/a.b-00000-of-00002.pack"), Path::new("d/a.b-00001-of-00002.pack")]);
    }
}
