//! One image on its way from a file to a batch.

/// The most channels that an image may have.
pub const MAX_CHANNELS: usize = 16;

/// An image between two augmentations: bytes first, floats after normalization.
#[derive(Clone, Debug, PartialEq)]
pub enum Image {
    /// As decoded.
    Bytes(ByteImage),
    /// As the encoder sees it.
    Floats(FloatImage),
}

/// `(H, W, C)` bytes, row by row, the channels of a pixel side by side. Three channels are red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteImage {
    /// `W`, at least 1.
    pub width: usize,
    /// `H`, at least 1.
    pub height: usize,
    /// `C`, from 1 to [`MAX_CHANNELS`].
    pub channels: usize,
    /// `H * W * C` values.
    pub values: Vec<u8>,
}

impl ByteImage {
    /// An image in RGB of `height * width * 3` values.
    pub fn rgb(width: usize, height: usize, values: Vec<u8>) -> Self {
        Self { width, height, channels: 3, values }
    }
}

/// `(H, W, C)` floats, row by row, the channels of a pixel side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatImage {
    /// `W`, at least 1.
    pub width: usize,
    /// `H`, at least 1.
    pub height: usize,
    /// `C`, from 1 to [`MAX_CHANNELS`].
    pub channels: usize,
    /// `H * W * C` values.
    pub values: Vec<f32>,
}

impl Image {
    /// What it is.
    pub fn shape(&self) -> ImageShape {
        let (height, width, channels, values) = match self {
            Self::Bytes(image) => (image.height, image.width, image.channels, ImageValues::Bytes),
            Self::Floats(image) => (image.height, image.width, image.channels, ImageValues::Floats),
        };
        ImageShape { size: Some((height, width)), channels, values }
    }
}

/// What is known of a [`Image`] before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// `(H, W)` in pixels, if every image has the same.
    pub size: Option<(usize, usize)>,
    /// `C`: 3 for RGB.
    pub channels: usize,
    /// Bytes or floats.
    pub values: ImageValues,
}

/// Which variant of [`Image`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageValues {
    /// [`Image::Bytes`].
    Bytes,
    /// [`Image::Floats`].
    Floats,
}
