//! Turns by 90 degrees.

use plugin_api::{Augmentation, ByteImage, ConfigError, Image, ImageShape, Rng};

use crate::{checks, region};

plugin_api::register! {
    dyn Augmentation {
        name: "quarter-turn",
        summary: "randomly turns the image by 0, 90, 180 or 270 degrees, for images without an up: cells, tiles from above",
        source: "Pillow Image.transpose, NumPy rot90",
        example: "(turns: [0, 2])",
        build: |config: QuarterTurnConfig, _context| QuarterTurn::new(config),
    }
}

/// The config of [`QuarterTurn`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarterTurnConfig {
    /// The turns to draw from, each as likely, in quarters of a full one, counterclockwise. By default 0 to 3. Images that
    /// are not square change their sides with 1 and 3.
    #[serde(default = "QuarterTurnConfig::all")]
    pub turns: Vec<usize>,
}

impl QuarterTurnConfig {
    fn all() -> Vec<usize> {
        vec![0, 1, 2, 3]
    }
}

/// Turns the image, [`turn`], by one of several numbers of quarters.
///
/// Random draws: one. Which of them.
#[derive(Debug, Clone)]
pub struct QuarterTurn {
    turns: Vec<usize>,
}

impl QuarterTurn {
    /// The augmentation for `config`.
    ///
    /// # Errors
    /// If there is no turn, one is not from 0 to 3, or one is there twice.
    pub fn new(config: QuarterTurnConfig) -> Result<Self, ConfigError> {
        let turns = config.turns;
        let is_set = (0..=3).map(|turn| turns.iter().filter(|other| **other == turn).count()).all(|n| n <= 1);
        if turns.is_empty() || !is_set || turns.iter().any(|turn| *turn > 3) {
            let must = "it must be one or more of 0, 1, 2 and 3, each once";
            return Err(ConfigError::field("turns", format!("{turns:?}"), must));
        }
        Ok(Self { turns })
    }
}

impl Augmentation for QuarterTurn {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        let input = checks::bytes("quarter-turn", input)?;
        let Some((height, width)) = input.size else { return Ok(input) };
        let n_swaps = self.turns.iter().filter(|turn| **turn % 2 == 1).count();
        if height == width || n_swaps == 0 {
            Ok(input)
        } else if n_swaps == self.turns.len() {
            Ok(ImageShape { size: Some((width, height)), ..input })
        } else {
            Err(ConfigError::unfit(
                format!("`quarter-turn` makes images of {width} × {height} px and of {height} × {width} px"),
                "turn before the crop to one size, or write `turns: [0, 2]`, or `turns: [1, 3]` to swap the sides of all",
            ))
        }
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let turns = self.turns[rng.below(self.turns.len())];
        checks::on_bytes(image, |image| if turns == 0 { image } else { turn(&image, turns) })
    }
}

/// The image after `n` quarters of a turn, counterclockwise.
pub fn turn(image: &ByteImage, n: usize) -> ByteImage {
    let ByteImage { width, height, channels, .. } = *image;
    let size = if n.is_multiple_of(2) { (height, width) } else { (width, height) };
    let mut turned = region::black(size, channels);
    for (i, pixel) in turned.values.chunks_exact_mut(channels).enumerate() {
        let (row, column) = (i / size.1, i % size.1);
        let (row, column) = match n % 4 {
            0 => (row, column),
            1 => (column, width - 1 - row),
            2 => (height - 1 - row, width - 1 - column),
            _ => (height - 1 - column, row),
        };
        pixel.copy_from_slice(&image.values[(row * width + column) * channels..][..channels]);
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::ImageValues;

    #[test]
    fn four_quarters_are_a_full_turn() {
        let image = ByteImage { width: 3, height: 2, channels: 2, values: (0..12).collect() };
        let mut turned = image.clone();
        for n in 1..=4 {
            turned = turn(&turned, 1);
            assert_eq!(turned, turn(&image, n), "{n} quarters");
        }
        assert_eq!(turned, image);
        assert_eq!(turn(&image, 1).values, [4, 5, 10, 11, 2, 3, 8, 9, 0, 1, 6, 7]);
    }

    #[test]
    fn every_turn_comes_up_and_no_other() {
        let quarter_turn = QuarterTurn::new(QuarterTurnConfig { turns: vec![0, 3] }).unwrap();
        let image = ByteImage { width: 3, height: 2, channels: 1, values: (0..6).collect() };
        let mut n_swapped = 0;
        for i in 0..1000 {
            let given = quarter_turn.apply(Image::Bytes(image.clone()), &mut Rng::new(i, "turn", &[]));
            if given != Image::Bytes(image.clone()) {
                assert_eq!(given, Image::Bytes(turn(&image, 3)));
                n_swapped += 1;
            }
        }
        assert!((450..550).contains(&n_swapped), "{n_swapped}");
    }

    #[test]
    fn images_of_two_shapes_are_refused() {
        let output = |turns: &[usize], size| {
            let shape = ImageShape { size, channels: 3, values: ImageValues::Bytes };
            let turn = QuarterTurn::new(QuarterTurnConfig { turns: turns.to_vec() }).unwrap();
            turn.output(shape).map(|shape| shape.size)
        };
        assert_eq!(output(&[0, 1, 2, 3], Some((32, 32))).unwrap(), Some((32, 32)));
        assert_eq!(output(&[0, 1, 2, 3], None).unwrap(), None);
        assert_eq!(output(&[0, 2], Some((32, 48))).unwrap(), Some((32, 48)));
        assert_eq!(output(&[3, 1], Some((32, 48))).unwrap(), Some((48, 32)));
        let error = output(&[0, 1], Some((32, 48))).unwrap_err();
        assert_eq!(error.to_string(), "`quarter-turn` makes images of 48 × 32 px and of 32 × 48 px");
    }

    #[test]
    fn turns_that_make_no_sense_are_refused() {
        for turns in [vec![], vec![4], vec![1, 1]] {
            let error = QuarterTurn::new(QuarterTurnConfig { turns }).unwrap_err().to_string();
            assert!(error.contains("it must be one or more of 0, 1, 2 and 3, each once"), "{error}");
        }
    }
}
