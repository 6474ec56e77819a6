//! Image files.

use datasets::{Orientation, ReadOptions, decode_bytes};

/// Image files of any format: an image of as many values as its size says, or a reason in one line.
pub fn image(bytes: &[u8]) {
    let told =
        ReadOptions { bands: Some(vec![0]), range: Some((0.0, 255.0)), orientation: Orientation::Exif };
    for options in [ReadOptions::default(), told] {
        match decode_bytes(bytes, &options) {
            Ok(image) => {
                assert_eq!(image.channels, options.channels());
                assert_eq!(image.values.len(), image.width * image.height * image.channels);
                assert!(image.width > 0 && image.height > 0);
            }
            Err(reason) => assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}"),
        }
    }
}

/// Decoders of others may panic: what calls them makes a reason of it. Where such a panic would end the program, this lets it pass.
pub fn allow_decoders_to_give_up() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !datasets::is_decoding() {
            others(panic);
        }
    }));
}
