//! What can be embedded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datasets::OpenedImages;
use image::{DynamicImage, RgbImage};
use plugin_api::{ByteImage, Dataset, DatasetError, Images, UnreadableImage};

/// An image, or the path of one.
pub trait ImageSource {
    /// The image for the data loader. An image in memory is copied, as RGB.
    fn give(&self) -> Given;
}

/// An image for the encoder.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// An image file, which is read as the run's dataset reads its own.
    File(PathBuf),
    /// Its pixels.
    Pixels(ByteImage),
}

impl<T: ImageSource + ?Sized> ImageSource for &T {
    fn give(&self) -> Given {
        (**self).give()
    }
}

impl ImageSource for DynamicImage {
    fn give(&self) -> Given {
        pixels(self.to_rgb8())
    }
}

impl ImageSource for RgbImage {
    fn give(&self) -> Given {
        pixels(self.clone())
    }
}

/// Pixels in the channels that the encoder takes.
impl ImageSource for ByteImage {
    fn give(&self) -> Given {
        Given::Pixels(self.clone())
    }
}

impl ImageSource for Path {
    fn give(&self) -> Given {
        Given::File(self.into())
    }
}

impl ImageSource for PathBuf {
    fn give(&self) -> Given {
        Given::File(self.clone())
    }
}

impl ImageSource for str {
    fn give(&self) -> Given {
        Given::File(self.into())
    }
}

impl ImageSource for String {
    fn give(&self) -> Given {
        Given::File(self.into())
    }
}

/// The images at `path`: a folder, of which every image at any depth is taken, sorted by path; a .zip, .tar or Parquet file; a pack; a
/// text file with one path per line; or an image. No image is read yet. Notes tell what was passed over.
///
/// # Errors
/// If the path leads nowhere, or to no image.
pub fn open_images(path: impl AsRef<Path>) -> Result<OpenedImages, DatasetError> {
    datasets::open_images(&[path.as_ref().to_owned()])
}

fn pixels(image: RgbImage) -> Given {
    let (width, height) = (image.width() as usize, image.height() as usize);
    Given::Pixels(ByteImage::rgb(width, height, image.into_raw()))
}

/// Images as the encoder was trained on: files are read as its dataset reads them, and those with other than so many
/// channels cannot be read.
pub(crate) struct AsTrained {
    pub(crate) images: Arc<dyn Images>,
    /// The dataset of the run, if its plugin is there.
    pub(crate) dataset: Option<Arc<dyn Dataset>>,
    pub(crate) channels: usize,
}

impl AsTrained {
    fn decode(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        if let Some(dataset) = &self.dataset
            && let Some(bytes) = self.images.encoded(index)?
            && let Some(decoded) = dataset.decode(&bytes)
        {
            return decoded.map_err(|reason| UnreadableImage { name: self.name(index), reason });
        }
        self.images.load(index)
    }
}

impl Images for AsTrained {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(index)
    }

    fn class_names(&self) -> &[String] {
        self.images.class_names()
    }

    fn name(&self, index: usize) -> String {
        self.images.name(index)
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        let image = self.decode(index)?;
        if image.channels == self.channels {
            return Ok(image);
        }
        let reason = format!("it has {} channels, but the encoder takes {}", image.channels, self.channels);
        Err(UnreadableImage { name: self.name(index), reason })
    }

    fn notes(&self) -> Vec<String> {
        self.images.notes()
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        self.images.encoded(index)
    }
}

/// Images for the data loader.
pub(crate) struct GivenImages(pub(crate) Vec<Given>);

impl Images for GivenImages {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }

    fn class_names(&self) -> &[String] {
        &[]
    }

    fn name(&self, index: usize) -> String {
        match &self.0[index] {
            Given::File(path) => path.display().to_string(),
            Given::Pixels(_) => format!("image {index}"),
        }
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        match &self.0[index] {
            Given::File(path) => datasets::decode_file(path, &datasets::ReadOptions::default()),
            Given::Pixels(image) if image.values.is_empty() => {
                Err(UnreadableImage { name: self.name(index), reason: "it has no pixels".into() })
            }
            Given::Pixels(image) if image.values.len() != image.width * image.height * image.channels => {
                let ByteImage { width, height, channels, values } = image;
                let reason =
                    format!("it has {} values instead of {width} x {height} x {channels}", values.len());
                Err(UnreadableImage { name: self.name(index), reason })
            }
            Given::Pixels(image) => Ok(image.clone()),
        }
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        match &self.0[index] {
            Given::File(path) => datasets::read_image_file(path).map(Some),
            Given::Pixels(_) => Ok(None),
        }
    }
}
