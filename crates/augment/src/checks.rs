//! Checks that several augmentations share.

use plugin_api::{ByteImage, ConfigError, Image, ImageShape, ImageValues};

use crate::Size;

/// The largest size that a config may have; larger ones are typos.
const MAX_SIDE: usize = 1 << 14;

/// `p`, if it is a probability.
pub(crate) fn probability(p: f64) -> Result<f64, ConfigError> {
    if (0.0..=1.0).contains(&p) { Ok(p) } else { Err(ConfigError::field("p", p, "it must be from 0 to 1")) }
}

/// `side`, if it is a valid size in pixels.
pub(crate) fn side(field: &'static str, side: usize) -> Result<usize, ConfigError> {
    if (1..=MAX_SIDE).contains(&side) {
        Ok(side)
    } else {
        Err(ConfigError::field(field, side, format!("it must be from 1 to {MAX_SIDE}")))
    }
}

/// `(H, W)` of `size`, if both are valid.
pub(crate) fn size(field: &'static str, size: Size) -> Result<(usize, usize), ConfigError> {
    if [size.height, size.width].iter().all(|side| (1..=MAX_SIDE).contains(side)) {
        Ok((size.height, size.width))
    } else {
        Err(ConfigError::field(field, size, format!("it must be from 1 to {MAX_SIDE}")))
    }
}

/// `range`, if it is in order and within `low..=high`.
pub(crate) fn range(
    field: &'static str,
    range: (f64, f64),
    (low, high): (f64, f64),
    must: &str,
) -> Result<(f64, f64), ConfigError> {
    if low <= range.0 && range.0 <= range.1 && range.1 <= high {
        Ok(range)
    } else {
        Err(ConfigError::field(field, format!("({}, {})", range.0, range.1), must))
    }
}

/// `input`, if it is bytes.
pub(crate) fn bytes(name: &str, input: ImageShape) -> Result<ImageShape, ConfigError> {
    match input.values {
        ImageValues::Bytes => Ok(input),
        ImageValues::Floats => Err(ConfigError::unfit(
            format!("`{name}` works on bytes, but `normalize` before it has made floats of them"),
            "`normalize` must be the last step of a view",
        )),
    }
}

/// `input`, if it is bytes of red, green and blue.
pub(crate) fn rgb(name: &str, input: ImageShape) -> Result<ImageShape, ConfigError> {
    let input = bytes(name, input)?;
    if input.channels == 3 {
        return Ok(input);
    }
    let n = input.channels;
    let images = if n == 1 { "have 1 channel".to_owned() } else { format!("have {n} channels") };
    Err(ConfigError::unfit(
        format!("`{name}` changes colors, red, green and blue, but the images {images}"),
        "remove it from this view; `random-resized-crop`, `flip`, `vertical-flip`, `quarter-turn`, `gaussian-blur`, `gaussian-noise`, \
         `solarize` and `random-erasing` take any channels, and `channel-drop` two or more",
    ))
}

/// Applies `change` to bytes; floats pass unchanged.
pub(crate) fn on_bytes(image: Image, change: impl FnOnce(ByteImage) -> ByteImage) -> Image {
    match image {
        Image::Bytes(image) => Image::Bytes(change(image)),
        floats => floats,
    }
}

/// Applies `change` in place to the bytes of an image if `act`.
pub(crate) fn in_place(mut image: Image, act: bool, change: impl FnOnce(&mut ByteImage)) -> Image {
    if let (Image::Bytes(image), true) = (&mut image, act) {
        change(image);
    }
    image
}
