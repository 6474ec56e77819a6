//! The random view that a full probe, and fine-tuning, train on.

use std::sync::Arc;

use augment::{Flip, FlipConfig, RandomResizedCrop, RandomResizedCropConfig};
use pipeline::View;
use plugin_api::ViewTransform;
use plugin_api::{Augmentation, ConfigError};
use plugin_api::{ByteImage, Image, ImageShape, ImageValues, Rng};

use crate::failure::Failure;
use crate::trained::{Trained, unknown_view};

/// What the published crops have of an image's area at least, and at most.
const CROP_SCALE: (f64, f64) = (0.08, 1.0);
const CROP_RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);
const FLIP_P: f64 = 0.5;

/// The view `asked` of the pipeline, or the published one: a random-resized crop to the size of the view `eval`, a flip, and
/// `eval`'s own normalization.
///
/// # Errors
/// If the pipeline has no such view, or `eval` is not square, which crops are.
pub(crate) fn of(trained: &Trained, eval: &str, asked: Option<&str>) -> Result<View, Failure> {
    let find = |name: &str, option: &str| {
        let found = trained.views.iter().find(|view| view.name == name);
        found.cloned().ok_or_else(|| unknown_view(&trained.views, name, option))
    };
    let eval = find(eval, "--view")?;
    match asked {
        Some(name) => {
            let view = find(name, "--train-view")?;
            if view.size != eval.size {
                return Err(Failure::new(
                    format!(
                        "the view `{name}` is {} by {} pixels, and `{}` is {} by {}",
                        view.size.0, view.size.1, eval.name, eval.size.0, eval.size.1
                    ),
                    "train on a view of the size that is tested",
                ));
            }
            Ok(view)
        }
        None => published(&eval),
    }
}

fn published(eval: &View) -> Result<View, Failure> {
    let (height, width) = eval.size;
    if height != width {
        return Err(Failure::new(
            format!(
                "the view `{}` is {height} by {width} pixels, and the published probe trains on square crops",
                eval.name
            ),
            "name a random view of the pipeline with `--train-view`",
        ));
    }
    let invalid = |error: ConfigError| Failure::plain(format!("the probe's view cannot be built: {error}"));
    let crop = RandomResizedCropConfig { size: height, scale: CROP_SCALE, ratio: CROP_RATIO };
    let steps: Vec<Box<dyn Augmentation>> = vec![
        Box::new(RandomResizedCrop::new(crop).map_err(invalid)?),
        Box::new(Flip::new(FlipConfig { p: FLIP_P }).map_err(invalid)?),
        Box::new(NormalizeAs { first: first_float_step(eval), transform: Arc::clone(&eval.transform) }),
    ];
    Ok(View { name: "linear probe".into(), transform: Arc::new(ViewTransform { steps }), size: eval.size })
}

/// The step of a view that turns bytes into normalized values, and what follows it.
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
    let mut image = Image::Bytes(ByteImage { width, height, rgb: vec![0; width * height * 3] });
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
    use augment::{CenterCrop, CenterCropConfig, Normalize, NormalizeConfig, Statistics};

    use super::*;

    fn eval(size: usize) -> View {
        let steps: Vec<Box<dyn Augmentation>> = vec![
            Box::new(CenterCrop::new(CenterCropConfig { size }).unwrap()),
            Box::new(Normalize::new(NormalizeConfig { statistics: Statistics::Cifar10 }).unwrap()),
        ];
        View { name: "eval".into(), transform: Arc::new(ViewTransform { steps }), size: (size, size) }
    }

    #[test]
    fn a_plain_image_is_normalized_as_the_eval_view_does_it() {
        let gray = || ByteImage { width: 50, height: 40, rgb: vec![77; 50 * 40 * 3] };
        let view = published(&eval(32)).unwrap();
        assert_eq!(view.size, (32, 32));
        let seen = view.transform.apply(gray(), 3, 1, 2, &view.name);
        let tested = eval(32).transform.apply(gray(), 3, 0, 2, "eval");
        assert_eq!((seen.width, seen.height), (32, 32));
        assert_eq!(seen.values, tested.values);
    }

    #[test]
    fn crops_change_from_epoch_to_epoch() {
        let noisy = || ByteImage {
            width: 50,
            height: 40,
            rgb: (0..6000_u32).map(|i| (i * 7919 % 251) as u8).collect(),
        };
        let view = published(&eval(32)).unwrap();
        let seen = |epoch| view.transform.apply(noisy(), 3, epoch, 2, &view.name).values;
        assert_ne!(seen(0), seen(1));
        assert_eq!(seen(0), seen(0));
    }

    #[test]
    fn a_view_that_is_not_square_needs_a_training_view_of_its_own() {
        let wide = View { size: (32, 64), ..eval(32) };
        assert!(published(&wide).err().unwrap().to_string().contains("32 by 64"));
    }
}
