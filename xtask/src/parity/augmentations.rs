//! Compares augmentations with a golden file.

use plugin_api::ByteImage;

use super::golden::{Golden, Tensor, Values};
use super::report::{Line, Share};
use moco_cli::Failure;

/// The limit of the mean difference, of 255.
const MEAN_LIMIT: f64 = 0.5;
/// The share of values that must be within 2.
const SHARE_LIMIT: f64 = 0.99;

/// One line per image and operation: `0/hue/0.07`.
pub(super) fn compare(golden: &Golden) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for (name, tensor) in golden.under("") {
        let Some((image, op)) = name.split_once('/') else {
            return Err(golden.wrong(format!("`{name}` is not named IMAGE/OPERATION")));
        };
        if op == "input" {
            continue;
        }
        let input_name = format!("{image}/input");
        let (_, input) = golden
            .under("")
            .find(|(name, _)| *name == input_name)
            .ok_or_else(|| golden.wrong(format!("it has no `{input_name}`")))?;
        let input = byte_image(golden, &input_name, input)?;
        let theirs = byte_image(golden, name, tensor)?;
        let ours = augment::reference_names::apply_named(op, &input)
            .ok_or_else(|| golden.wrong(format!("`{op}` is an unknown augmentation")))?;
        lines.push(line(name, &ours, &theirs));
    }
    Ok(lines)
}

fn byte_image(golden: &Golden, name: &str, tensor: &Tensor) -> Result<ByteImage, Failure> {
    match (&tensor.values, tensor.shape.as_slice()) {
        (Values::Bytes(rgb), &[height, width, 3]) if height > 0 && width > 0 => {
            Ok(ByteImage::rgb(width, height, rgb.clone()))
        }
        _ => Err(golden.wrong(format!("`{name}` is not an image of bytes, (H, W, 3)"))),
    }
}

fn line(name: &str, ours: &ByteImage, theirs: &ByteImage) -> Line {
    let mut line = Line {
        group: name.into(),
        error: f64::INFINITY,
        limit: MEAN_LIMIT,
        share: Some(Share { within_2: 0.0, at_least: SHARE_LIMIT }),
        worst: Vec::new(),
    };
    if (ours.width, ours.height) != (theirs.width, theirs.height) {
        let size = |image: &ByteImage| format!("{} x {}", image.width, image.height);
        line.worst.push(format!("ours is {} px, theirs {}", size(ours), size(theirs)));
        return line;
    }
    let n = theirs.values.len() as f64;
    let differences = || ours.values.iter().zip(&theirs.values).map(|(ours, theirs)| ours.abs_diff(*theirs));
    line.error = differences().map(f64::from).sum::<f64>() / n;
    let n_near = differences().filter(|difference| *difference <= 2).count();
    line.share = Some(Share { within_2: n_near as f64 / n, at_least: SHARE_LIMIT });
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(rgb: &[u8]) -> ByteImage {
        ByteImage::rgb(rgb.len() / 3, 1, rgb.to_vec())
    }

    #[test]
    fn both_bounds_count() {
        let theirs = image(&[100; 300]);
        assert!(line("a", &theirs, &theirs).is_ok());
        let mut ours = theirs.clone();
        ours.values[..150].fill(101);
        assert!(line("a", &ours, &theirs).is_ok());
        ours.values[..160].fill(101);
        assert!(!line("a", &ours, &theirs).is_ok());
        let mut ours = theirs.clone();
        ours.values[..4].fill(103);
        assert!(!line("a", &ours, &theirs).is_ok());
        assert!(!line("a", &image(&[100; 297]), &theirs).is_ok());
    }
}
