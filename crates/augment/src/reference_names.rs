//! Operations by their names in golden files, so that results of torchvision and Pillow can be compared entry by entry.
//!
//! | name | operation |
//! |---|---|
//! | `brightness/F`, `contrast/F`, `saturation/F` | [`brighten`], [`contrast`], [`saturate`] by the factor `F` |
//! | `hue/F` | [`shift_hue`] by `F` turns |
//! | `grayscale`, `hflip` | [`to_gray`], [`flip_horizontally`] |
//! | `gaussian_blur/SIGMA` | [`gaussian_blur`] |
//! | `solarize` | [`solarize`] from 128 on |
//! | `resized_crop/TOP_LEFT_HEIGHT_WIDTH_to_SIZE` | [`resized_crop`] to a square |
//! | `resize_shorter_N` | [`resize_shorter`] |
//! | `center_crop_N` | [`resize_shorter`] to 96, then [`center_crop`] |

use plugin_api::ByteImage;

use crate::{
    Region, brighten, center_crop, contrast, flip_horizontally, gaussian_blur, resize_shorter, resized_crop,
    saturate, shift_hue, solarize, to_gray,
};

/// The shorter side before `center_crop_N`.
const SHORTER_BEFORE_CROP: usize = 96;

/// The result of the operation named `op` on `image`; `None` if the operation is unknown or cannot be applied to the
/// image.
///
/// ```
/// use augment::reference_names::apply_named;
/// use plugin_api::ByteImage;
/// let image = ByteImage::rgb(1, 1, vec![10, 20, 30]);
/// assert_eq!(apply_named("brightness/2", &image).unwrap().values, [20, 40, 60]);
/// assert!(apply_named("sharpness/2", &image).is_none());
/// ```
pub fn apply_named(op: &str, image: &ByteImage) -> Option<ByteImage> {
    if let Some(size) = op.strip_prefix("resize_shorter_") {
        return Some(resize_shorter(image, positive(size)?));
    }
    if let Some(size) = op.strip_prefix("center_crop_") {
        return Some(cropped(&resize_shorter(image, SHORTER_BEFORE_CROP), positive(size)?));
    }
    let (name, parameters) = op.split_once('/').unwrap_or((op, ""));
    if name == "resized_crop" {
        return crop_named(parameters, image);
    }
    let mut changed = image.clone();
    match name {
        "brightness" => brighten(&mut changed, parameters.parse().ok()?),
        "contrast" => contrast(&mut changed, parameters.parse().ok()?),
        "saturation" => saturate(&mut changed, parameters.parse().ok()?),
        "hue" => shift_hue(&mut changed, parameters.parse().ok()?),
        "gaussian_blur" => gaussian_blur(&mut changed, parameters.parse().ok()?),
        "grayscale" => to_gray(&mut changed),
        "hflip" => flip_horizontally(&mut changed),
        "solarize" => solarize(&mut changed, 128),
        _ => return None,
    }
    Some(changed)
}

fn cropped(image: &ByteImage, side: usize) -> ByteImage {
    center_crop(image, (side, side))
}

fn crop_named(parameters: &str, image: &ByteImage) -> Option<ByteImage> {
    let (region, size) = parameters.split_once("_to_")?;
    let numbers: Vec<usize> = region.split('_').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let [top, left, height, width] = numbers[..] else { return None };
    let inside = height > 0 && width > 0 && top + height <= image.height && left + width <= image.width;
    let size = positive(size)?;
    inside.then(|| resized_crop(image, Region { top, left, height, width }, (size, size)))
}

fn positive(text: &str) -> Option<usize> {
    text.parse().ok().filter(|&n| n > 0)
}

#[cfg(test)]
#[allow(clippy::print_stderr)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use safetensors::SafeTensors;

    use super::*;

    /// Operations that match torchvision and Pillow bit for bit.
    const EXACT: [&str; 8] =
        ["brightness", "contrast", "gaussian_blur", "grayscale", "hflip", "hue", "saturation", "solarize"];

    #[test]
    fn every_operation_is_within_a_rounding_error_of_pillow() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden/augment.safetensors");
        let Ok(bytes) = std::fs::read(&path) else {
            let missing = format!("Pillow's own images are not at {}", path.display());
            assert!(
                std::env::var_os("MOCO_SKIP_GOLDEN").is_some(),
                "{missing}; MOCO_SKIP_GOLDEN=1 skips this test"
            );
            eprintln!("SKIPPED: {missing}");
            return;
        };
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let inputs: BTreeMap<String, ByteImage> = file
            .names()
            .into_iter()
            .filter_map(|name| Some((name.strip_suffix("/input")?.to_owned(), image(&file, name))))
            .collect();
        eprintln!("{:44} {:>8} {:>8} {:>4}", "operation", "mean", "off by", "most");
        let mut names = file.names();
        names.sort_unstable();
        for name in names {
            let (index, op) = name.split_once('/').unwrap();
            if op != "input" {
                compare(name, op, &apply_named(op, &inputs[index]).expect(op), &image(&file, name));
            }
        }
        for index in inputs.keys() {
            let resized = image(&file, &format!("{index}/resize_shorter_{SHORTER_BEFORE_CROP}"));
            assert_eq!(cropped(&resized, 64), image(&file, &format!("{index}/center_crop_64")));
        }
    }

    fn compare(name: &str, op: &str, ours: &ByteImage, theirs: &ByteImage) {
        assert_eq!((ours.width, ours.height), (theirs.width, theirs.height), "{name}");
        let errors: Vec<u8> = ours.values.iter().zip(&theirs.values).map(|(a, b)| a.abs_diff(*b)).collect();
        let share = |above: u8| errors.iter().filter(|&&e| e > above).count() as f64 / errors.len() as f64;
        let mean = errors.iter().map(|&e| f64::from(e)).sum::<f64>() / errors.len() as f64;
        let most = errors.iter().max().unwrap();
        eprintln!("{name:44} {mean:8.4} {:7.2}% {most:4}", 100.0 * share(0));
        assert!(mean <= 0.5 && share(2) <= 0.01, "{name}: mean {mean}, above 2: {}", share(2));
        if EXACT.iter().any(|exact| op.starts_with(exact)) {
            assert_eq!(*most, 0, "{name} differs");
        }
    }

    fn image(file: &SafeTensors<'_>, name: &str) -> ByteImage {
        let tensor = file.tensor(name).unwrap();
        let [height, width, 3] = tensor.shape()[..] else { panic!("{name} is no image") };
        ByteImage::rgb(width, height, tensor.data().to_vec())
    }

    #[test]
    fn parameters_that_do_not_fit_give_nothing() {
        let image = ByteImage::rgb(2, 2, vec![0; 12]);
        let ops = [
            "resized_crop/0_0_3_1_to_4",
            "resized_crop/0_0_1_to_4",
            "hue/x",
            "center_crop_0",
            "resize_shorter_",
        ];
        assert!(ops.iter().all(|op| apply_named(op, &image).is_none()));
    }
}
