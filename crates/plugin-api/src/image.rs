//! One image on its way from a file to a batch.

/// An image between two augmentations: bytes first, floats after normalization.
#[derive(Clone, Debug, PartialEq)]
pub enum Image {
    /// As decoded.
    Bytes(ByteImage),
    /// As the encoder sees it.
    Floats(FloatImage),
}

/// `(H, W, 3)` bytes, RGB, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteImage {
    /// `W`, at least 1.
    pub width: usize,
    /// `H`, at least 1.
    pub height: usize,
    /// `H * W * 3` values.
    pub rgb: Vec<u8>,
}

/// `(H, W, 3)` floats, RGB, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatImage {
    /// `W`, at least 1.
    pub width: usize,
    /// `H`, at least 1.
    pub height: usize,
    /// `H * W * 3` values.
    pub values: Vec<f32>,
}

/// What is known of a [`Image`] before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// `(H, W)` in pixels, if every image has the same.
    pub size: Option<(usize, usize)>,
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
