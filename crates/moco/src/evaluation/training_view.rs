//! The random view that a full probe and fine-tuning train on.

use std::sync::Arc;

use pipeline::View;
use plugin_api::{
    Augmentation, AugmentationContext, ByteImage, Config, ConfigError, Image, ImageShape, ImageValues, Rng,
    ViewTransform, build,
};

use super::{EvaluationError, names};

/// The smallest and largest area of the published crops, as a share of the image.
const CROP_SCALE: (f64, f64) = (0.08, 1.0);
const FLIP: &str = "(p: 0.5)";
const RGB: usize = 3;

/// What the published view has beside crops and flips.
#[derive(Default)]
pub(super) struct Strengthened {
    /// Whether crops are resized by a bicubic filter.
    pub(super) bicubic_crops: bool,
    /// The magnitude of RandAugment. Only images in red, green and blue have it.
    pub(super) rand_augment: Option<f64>,
    /// Probability of erasing a rectangle.
    pub(super) random_erasing: f64,
}

/// The view `asked` of the pipeline, or the published one: a random resized crop to the size of the view `eval`, a
/// flip, what is in `more`, and `eval`'s normalization.
///
/// # Errors
/// If the pipeline has no such view, or it has another size than `eval`.
pub(super) fn of(
    views: &[View],
    eval: &View,
    asked: Option<&str>,
    more: &Strengthened,
) -> Result<View, EvaluationError> {
    let Some(name) = asked else { return published(eval, more) };
    let Some(view) = views.iter().find(|view| view.name == name) else {
        return Err(EvaluationError::NoTrainView { view: name.into(), known: names(views) });
    };
    if view.size != eval.size {
        return Err(EvaluationError::ViewSizes {
            view: name.into(),
            size: view.size,
            tested: eval.name.clone(),
            tested_size: eval.size,
        });
    }
    Ok(view.clone())
}

fn published(eval: &View, more: &Strengthened) -> Result<View, EvaluationError> {
    let build = |plugin: &str, config: &str| {
        build::<dyn Augmentation>(plugin, Config::new(config), &AugmentationContext)
            .map_err(|source| EvaluationError::Config { what: "view", source })
    };
    let interpolation = if more.bicubic_crops { "Bicubic" } else { "Bilinear" };
    let crop = format!("(size: {:?}, scale: {CROP_SCALE:?}, interpolation: {interpolation})", eval.size);
    let mut steps = vec![build("random-resized-crop", &crop)?, build("flip", FLIP)?];
    if let Some(magnitude) = more.rand_augment.filter(|_| eval.channels == RGB) {
        let config = format!("(magnitude: {magnitude:?}, fill: {:?})", mean_color(eval));
        steps.push(build("rand-augment", &config)?);
    }
    steps.push(Box::new(NormalizeAs {
        first: first_float_step(eval),
        transform: Arc::clone(&eval.transform),
    }));
    if more.random_erasing > 0.0 {
        // timm's range of areas and shapes.
        let config = format!(
            "(p: {:?}, scale: (0.02, {:?}), ratio: (0.3, {:?}), fill: Normal)",
            more.random_erasing,
            1.0 / 3.0,
            1.0 / 0.3
        );
        steps.push(build("random-erasing", &config)?);
    }
    let transform = Arc::new(ViewTransform { steps });
    Ok(View { name: "linear probe".into(), transform, size: eval.size, channels: eval.channels })
}

/// The mean color that `view` normalizes by, as bytes; of a view that tells none, the middle of the range.
fn mean_color(view: &View) -> (u8, u8, u8) {
    let normalization = view.transform.steps.iter().find_map(|step| step.normalization());
    match normalization.as_ref().map(|normalization| &normalization.mean[..]) {
        Some(&[r, g, b]) => {
            let byte = |mean: f32| (255.0 * mean).round_ties_even() as u8;
            (byte(r), byte(g), byte(b))
        }
        _ => (128, 128, 128),
    }
}

/// The step of a view that converts bytes to normalized floats, and the steps after it.
struct NormalizeAs {
    transform: Arc<ViewTransform>,
    first: usize,
}

impl Augmentation for NormalizeAs {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        Ok(ImageShape { values: ImageValues::Floats, ..input })
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        self.transform.steps[self.first..].iter().fold(image, |image, step| step.apply(image, rng))
    }
}

fn first_float_step(view: &View) -> usize {
    let (height, width) = view.size;
    let channels = view.channels;
    let values = vec![0; width * height * channels];
    let mut image = Image::Bytes(ByteImage { width, height, channels, values });
    let mut rng = Rng::new(0, "which step normalizes", &[]);
    for (i, step) in view.transform.steps.iter().enumerate() {
        image = step.apply(image, &mut rng);
        if matches!(image, Image::Floats(_)) {
            return i;
        }
    }
    view.transform.steps.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(size: usize) -> View {
        let step = |plugin, config: &str| {
            build::<dyn Augmentation>(plugin, Config::new(config), &AugmentationContext).unwrap()
        };
        let steps =
            vec![step("center-crop", &format!("(size: {size})")), step("normalize", "(statistics: Cifar10)")];
        let transform = Arc::new(ViewTransform { steps });
        View { name: "eval".into(), transform, size: (size, size), channels: 3 }
    }

    #[test]
    fn a_plain_image_is_normalized_as_the_eval_view_does_it() {
        let gray = || ByteImage::rgb(50, 40, vec![77; 50 * 40 * 3]);
        let view = published(&eval(32), &Strengthened::default()).unwrap();
        assert_eq!(view.size, (32, 32));
        let seen = view.transform.apply(gray(), 3, 1, 2, &view.name);
        let tested = eval(32).transform.apply(gray(), 3, 0, 2, "eval");
        assert_eq!((seen.width, seen.height), (32, 32));
        assert_eq!(seen.values, tested.values);
    }

    #[test]
    fn crops_change_from_epoch_to_epoch() {
        let noisy = || ByteImage {
            channels: 3,
            width: 50,
            height: 40,
            values: (0..6000_u32).map(|i| (i * 7919 % 251) as u8).collect(),
        };
        let view = published(&eval(32), &Strengthened::default()).unwrap();
        let seen = |epoch| view.transform.apply(noisy(), 3, epoch, 2, &view.name).values;
        assert_ne!(seen(0), seen(1));
        assert_eq!(seen(0), seen(0));
    }

    #[test]
    fn a_stronger_view_augments_color_images_and_erases_after_normalization() {
        let more = Strengthened { bicubic_crops: true, rand_augment: Some(9.0), random_erasing: 1.0 };
        assert_eq!(mean_color(&eval(32)), (125, 123, 114));
        let noisy = |channels: usize| ByteImage {
            channels,
            width: 50,
            height: 40,
            values: (0..2000 * channels as u32).map(|i| (i * 7919 % 251) as u8).collect(),
        };
        let view = published(&eval(32), &more).unwrap();
        assert_eq!(view.transform.steps.len(), 5);
        let seen = |view: &View, image| view.transform.apply(image, 3, 1, 2, &view.name).values;
        assert_eq!(seen(&view, noisy(3)).len(), 32 * 32 * 3);
        let plain = published(&eval(32), &Strengthened::default()).unwrap();
        assert_ne!(seen(&view, noisy(3)), seen(&plain, noisy(3)));
        // No byte is normalized to so much: it is what was put where something was erased.
        let largest = seen(&view, noisy(3)).into_iter().fold(0.0, f32::max);
        assert!(largest > 2.2, "{largest}");
        let gray = View { channels: 1, ..eval(32) };
        assert_eq!(published(&gray, &more).unwrap().transform.steps.len(), 4);
    }

    #[test]
    fn a_view_that_is_not_square_is_trained_on_crops_of_its_height_and_width() {
        let wide = View { size: (32, 64), ..eval(32) };
        let view = published(&wide, &Strengthened::default()).unwrap();
        let seen = view.transform.apply(ByteImage::rgb(50, 40, vec![77; 6000]), 3, 1, 2, &view.name);
        assert_eq!((seen.height, seen.width), (32, 64));
    }
}
