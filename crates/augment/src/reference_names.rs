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
//! | `vflip`, `quarter_turn/N` | [`flip_vertically`], [`turn`] |
//! | `erase/TOP_LEFT_HEIGHT_WIDTH` | [`erase`] to black |
//! | `autocontrast`, `equalize`, `invert` | [`stretch_contrast`], [`equalize`], [`invert`] |
//! | `posterize/BITS`, `solarize_from/THRESHOLD`, `solarize_add/ADDEND` | [`posterize`], [`solarize_from`], [`add_to_dark`] |
//! | `sharpness/F` | [`sharpen`] by the factor `F` |
//! | `rotate/DEGREES`, `shear_x/SLOPE`, `shear_y/SLOPE` | [`rotate`], [`shear_horizontally`], [`shear_vertically`] |
//! | `translate/DOWN_RIGHT` | [`translate`] |
//! | `resize_bicubic/HEIGHT_WIDTH` | [`resized_crop_by`] of all of it, bicubic |
//! | `resize/HEIGHT_WIDTH`, `crop_middle/HEIGHT_WIDTH` | [`resized_crop`] of all of it, [`center_crop`] |

use plugin_api::ByteImage;

use crate::{
    Interpolation, Region, add_to_dark, brighten, center_crop, contrast, equalize, erase, flip_horizontally,
    flip_vertically, gaussian_blur, invert, posterize, resize_shorter, resized_crop, resized_crop_by, rotate,
    saturate, sharpen, shear_horizontally, shear_vertically, shift_hue, solarize, solarize_from,
    stretch_contrast, to_gray, translate, turn,
};

/// What comes into an image from outside: timm's color for ImageNet.
const FROM_OUTSIDE: [u8; 3] = [124, 116, 104];

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
/// assert!(apply_named("emboss/2", &image).is_none());
/// ```
pub fn apply_named(op: &str, image: &ByteImage) -> Option<ByteImage> {
    if let Some(size) = op.strip_prefix("resize_shorter_") {
        return Some(resize_shorter(image, positive(size)?));
    }
    if let Some(size) = op.strip_prefix("center_crop_") {
        return Some(cropped(&resize_shorter(image, SHORTER_BEFORE_CROP), positive(size)?));
    }
    let (name, parameters) = op.split_once('/').unwrap_or((op, ""));
    match name {
        "resized_crop" => return crop_named(parameters, image),
        "quarter_turn" => return Some(turn(image, parameters.parse().ok()?)),
        "resize" => return Some(resized_crop(image, Region::whole(image), sides(parameters)?)),
        "resize_bicubic" => {
            let size = sides(parameters)?;
            return Some(resized_crop_by(image, Region::whole(image), size, Interpolation::Bicubic));
        }
        "crop_middle" => return Some(center_crop(image, sides(parameters)?)),
        "rotate" => return Some(rotate(image, parameters.parse().ok()?, &FROM_OUTSIDE)),
        "shear_x" => return Some(shear_horizontally(image, parameters.parse().ok()?, &FROM_OUTSIDE)),
        "shear_y" => return Some(shear_vertically(image, parameters.parse().ok()?, &FROM_OUTSIDE)),
        "translate" => {
            let (down, right) = parameters.split_once('_')?;
            return Some(translate(image, (down.parse().ok()?, right.parse().ok()?), &FROM_OUTSIDE));
        }
        _ => {}
    }
    let mut changed = image.clone();
    match name {
        "vflip" => flip_vertically(&mut changed),
        "erase" => erase(&mut changed, region_within(parameters, image)?, |_| 0),
        "brightness" => brighten(&mut changed, parameters.parse().ok()?),
        "contrast" => contrast(&mut changed, parameters.parse().ok()?),
        "saturation" => saturate(&mut changed, parameters.parse().ok()?),
        "hue" => shift_hue(&mut changed, parameters.parse().ok()?),
        "gaussian_blur" => gaussian_blur(&mut changed, parameters.parse().ok()?),
        "grayscale" => to_gray(&mut changed),
        "hflip" => flip_horizontally(&mut changed),
        "solarize" => solarize(&mut changed, 128),
        "autocontrast" => stretch_contrast(&mut changed),
        "equalize" => equalize(&mut changed),
        "invert" => invert(&mut changed),
        "posterize" => posterize(&mut changed, parameters.parse().ok()?),
        "solarize_from" => solarize_from(&mut changed, parameters.parse().ok()?),
        "solarize_add" => add_to_dark(&mut changed, parameters.parse().ok()?),
        "sharpness" => sharpen(&mut changed, parameters.parse().ok()?),
        _ => return None,
    }
    Some(changed)
}

fn cropped(image: &ByteImage, side: usize) -> ByteImage {
    center_crop(image, (side, side))
}

fn crop_named(parameters: &str, image: &ByteImage) -> Option<ByteImage> {
    let (region, size) = parameters.split_once("_to_")?;
    let size = positive(size)?;
    Some(resized_crop(image, region_within(region, image)?, (size, size)))
}

fn region_within(text: &str, image: &ByteImage) -> Option<Region> {
    let [top, left, height, width] = numbers(text)?[..] else { return None };
    let inside = height > 0 && width > 0 && top + height <= image.height && left + width <= image.width;
    inside.then_some(Region { top, left, height, width })
}

fn sides(text: &str) -> Option<(usize, usize)> {
    let [height, width] = numbers(text)?[..] else { return None };
    (height > 0 && width > 0).then_some((height, width))
}

fn numbers(text: &str) -> Option<Vec<usize>> {
    text.split('_').map(|number| number.parse().ok()).collect()
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
    use crate::add_noise;

    /// Operations that match torchvision and Pillow bit for bit.
    const EXACT: [&str; 12] = [
        "brightness",
        "contrast",
        "crop_middle",
        "erase",
        "gaussian_blur",
        "grayscale",
        "hflip",
        "hue",
        "quarter_turn",
        "saturation",
        "solarize",
        "vflip",
    ];

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

    /// What `tests/torchvision/make.py` has made.
    #[test]
    fn operations_on_small_images_are_those_of_torchvision() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torchvision/golden.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut n_compared = 0;
        for name in file.names() {
            let (index, op) = name.split_once('/').unwrap();
            if ["input", "noise"].contains(&op) {
                continue;
            }
            let input = image(&file, &format!("{index}/input"));
            let ours = match op.strip_prefix("gaussian_noise/") {
                Some(sigma) => {
                    let noise = file.tensor(&format!("{index}/noise")).unwrap();
                    let mut draws = noise.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
                    let mut noisy = input;
                    add_noise(&mut noisy, sigma.parse().unwrap(), || draws.next().unwrap());
                    assert_eq!(noisy, image(&file, name), "{name}");
                    noisy
                }
                None => apply_named(op, &input).expect(op),
            };
            compare(name, op, &ours, &image(&file, name));
            n_compared += 1;
        }
        assert_eq!(n_compared, 2 * 17);
    }

    /// What `tests/timm/make.py` has made, bit for bit.
    #[test]
    fn operations_of_rand_augment_are_those_of_timm() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/timm/golden.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut n_compared = 0;
        for name in file.names() {
            let (index, op) = name.split_once('/').unwrap();
            if op == "input" {
                continue;
            }
            let input = image(&file, &format!("{index}/input"));
            let (ours, theirs) = (apply_named(op, &input).expect(op), image(&file, name));
            let n_differing = ours.values.iter().zip(&theirs.values).filter(|(a, b)| a != b).count();
            assert_eq!(n_differing, 0, "{name}: values that differ");
            n_compared += 1;
        }
        assert_eq!(n_compared, 3 * 22);
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
            "resize/3",
            "resize/3_0",
            "erase/0_0_3_1",
            "quarter_turn/",
        ];
        assert!(ops.iter().all(|op| apply_named(op, &image).is_none()));
    }
}
