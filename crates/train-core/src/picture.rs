//! One image on its way from a file to a batch.

/// An image between two augmentations: bytes first, floats after normalisation.
#[derive(Clone, Debug, PartialEq)]
pub enum Picture {
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

/// What is known of a [`Picture`] before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureShape {
    /// `(H, W)` in pixels, if every image has the same.
    pub size: Option<(usize, usize)>,
    /// Bytes or floats.
    pub values: PictureValues,
}

/// Which variant of [`Picture`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureValues {
    /// [`Picture::Bytes`].
    Bytes,
    /// [`Picture::Floats`].
    Floats,
}
