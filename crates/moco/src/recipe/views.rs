//! What is made of an image.

use super::{Chosen, Looked, Method, RecipeError, Wishes};

/// Sizes of views by the median of the shorter sides: up to the first, the second.
const SIZES: [(usize, usize); 3] = [(48, 32), (80, 64), (160, 96)];
/// For all larger ones.
const LARGE: usize = 224;
/// Larger views are typos.
const LARGEST: usize = 1024;

/// Smaller views are not blurred.
const FIRST_BLURRED_PX: usize = 64;

pub(super) fn size(looked: &Looked, wishes: &Wishes) -> Result<Chosen<usize>, RecipeError> {
    if let Some(size) = wishes.size {
        if !(8..=LARGEST).contains(&size) {
            let must = format!("from 8 to {LARGEST} pixels");
            return Err(RecipeError::OutOfRange { what: "the size", value: size, must });
        }
        return Ok(Chosen::given(size));
    }
    let median = looked.median();
    let size = SIZES.iter().find(|(up_to, _)| median <= *up_to).map_or(LARGE, |(_, size)| *size);
    Ok(Chosen::new(size, format!("the shorter side of the images is {median} px in the middle")))
}

/// How views are made.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewChoices {
    /// The smallest crop, as a share of the image.
    pub smallest_crop: Chosen<f64>,
    /// How much colors change.
    pub colors: Chosen<Colors>,
    /// The largest sigma of the blur, in pixels; `None` for none.
    pub blur: Chosen<Option<f64>>,
    /// `normalize` of each channel.
    pub statistics: Chosen<String>,
}

/// How much colors change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// As in the paper of the method.
    All,
    /// Brightness and contrast, for gray images in three channels.
    Gray,
    /// Not at all, for images that are not red, green and blue.
    None,
}

impl ViewChoices {
    pub(super) fn of(looked: &Looked, method: Method, size: usize) -> Self {
        let colors = match (looked.channels, looked.is_gray) {
            (3, false) => Chosen::new(Colors::All, format!("changes of color as in {method}")),
            (3, true) => Chosen::new(
                Colors::Gray,
                "the images are gray: brightness and contrast change, and there is no hue",
            ),
            (n, _) => Chosen::new(
                Colors::None,
                format!("changes of color are for red, green and blue, and these have {n} channels"),
            ),
        };
        let blur = match (method, size) {
            (Method::V1, _) => Chosen::new(None, "v1 does not blur"),
            (_, ..FIRST_BLURRED_PX) => Chosen::new(
                None,
                format!("below {FIRST_BLURRED_PX} px a blur takes away what there is to see"),
            ),
            (_, ..LARGE) => Chosen::new(
                Some(1.0),
                format!("half of the papers' blur: their images have {LARGE} px, and these {size}"),
            ),
            _ => Chosen::new(Some(2.0), "the papers' blur"),
        };
        Self {
            smallest_crop: Chosen::new(0.2, "crops of a fifth of the image or more, as in v1 and v2"),
            colors,
            blur,
            statistics: statistics(looked),
        }
    }
}

/// A deviation of 0, of images of one color, cannot be divided by.
const LEAST_STD: f64 = 0.01;

fn statistics(looked: &Looked) -> Chosen<String> {
    let channels = &looked.colors;
    if channels.len() != looked.channels {
        let list = |value: &str| format!("[{}]", vec![value; looked.channels].join(", "));
        let text = format!("Custom(mean: {}, std: {})", list("0.45"), list("0.25"));
        return Chosen::new(text, "no image could be read to measure its colors");
    }
    let list = |value: &dyn Fn(usize) -> f64| {
        let values: Vec<String> = (0..channels.len()).map(|i| format!("{:.4}", value(i))).collect();
        format!("[{}]", values.join(", "))
    };
    let (mean, std) = (list(&|i| channels[i].mean), list(&|i| channels[i].std.max(LEAST_STD)));
    let why = match looked.n_colored {
        n if n == looked.n_images => "mean and deviation of all images".to_owned(),
        n => format!("mean and deviation of {} of the images", super::looked::grouped(n)),
    };
    Chosen::new(format!("Custom(mean: {mean}, std: {std})"), why)
}
