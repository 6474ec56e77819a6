use std::sync::atomic::{AtomicUsize, Ordering};

use plugin_api::{
    Augmentation, AugmentationContext, ByteImage, ConfigError, FloatImage, Image, ImageShape, ImageValues,
    Normalization, Rng,
};

use crate::faulty;

faulty! {
    dyn Augmentation "augmentation", FaultyAugmentation::new;
    OtherSize: ["`output` declares 32 x 32 pixels", "and `apply` makes 31 x 32"];
    ChannelsDropped: ["`output` declares 3 channels", "and `apply` makes 1"];
    FloatsForBytes: ["`output` declares Bytes", "and `apply` makes Floats"];
    ValuesMissing: ["makes an image of", "values, with"];
    DrawsNowAndThen: ["it must make as many whether it acts or not"];
    DrawsOfItsOwn: ["all draws must come from it"];
    PanicsOnASinglePixel: ["it panics in `apply` on bytes of 1 x 1 pixels"];
    NotFinite: ["makes a value that is not finite"];
    AcceptsNothing: ["`output` accepts no image", "never"];
    NotTheCenter: ["`center` says that only 8 x 8 central pixels are kept"];
    OtherForTheCenter: ["`apply_for_center` makes other central 16 x 16 pixels"];
    OtherDrawsForTheCenter: ["`apply_for_center` makes other draws"];
    OtherNormalization: ["by `normalization`"];
}

/// Inverts bytes, now and then.
struct FaultyAugmentation(Fault, AtomicUsize);

impl FaultyAugmentation {
    fn new(fault: Fault, _: &AugmentationContext) -> Result<Self, ConfigError> {
        Ok(Self(fault, AtomicUsize::new(0)))
    }
}

impl Augmentation for FaultyAugmentation {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        match (self.0, input.values) {
            (Fault::AcceptsNothing, _) => Err(ConfigError::unfit("never", "do not")),
            (Fault::OtherNormalization, ImageValues::Bytes) => {
                Ok(ImageShape { values: ImageValues::Floats, ..input })
            }
            _ => Ok(input),
        }
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let Self(fault, n_made) = self;
        let act = rng.chance(0.5);
        if *fault == Fault::DrawsNowAndThen && act {
            rng.bits();
        }
        let mut image = match image {
            Image::Bytes(image) => image,
            Image::Floats(mut image) => {
                if *fault == Fault::NotFinite {
                    image.values[0] = f32::INFINITY;
                }
                return Image::Floats(image);
            }
        };
        assert!(*fault != Fault::PanicsOnASinglePixel || image.width > 1, "too small");
        if act {
            image.values.iter_mut().for_each(|value| *value = 255 - *value);
        }
        match fault {
            Fault::OtherSize if image.height > 1 => {
                image.height -= 1;
                image.values.truncate(image.height * image.width * image.channels);
            }
            Fault::ValuesMissing => image.values.truncate(1),
            Fault::ChannelsDropped => {
                image.values.truncate(image.width * image.height);
                image.channels = 1;
            }
            Fault::DrawsOfItsOwn => image.values[0] = n_made.fetch_add(1, Ordering::Relaxed) as u8,
            Fault::FloatsForBytes | Fault::OtherNormalization => {
                let ByteImage { width, height, channels, values } = image;
                let values = values.into_iter().map(|value| f32::from(value) / 128.0 - 1.0).collect();
                return Image::Floats(FloatImage { width, height, channels, values });
            }
            _ => {}
        }
        Image::Bytes(image)
    }

    fn center(&self) -> Option<(usize, usize)> {
        (self.0 == Fault::NotTheCenter).then_some((8, 8))
    }

    fn apply_for_center(&self, image: Image, _: (usize, usize), rng: &mut Rng) -> Image {
        match self.0 {
            Fault::OtherForTheCenter => {
                self.apply(image.clone(), rng);
                match image {
                    Image::Bytes(mut image) => {
                        image.values.fill(7);
                        Image::Bytes(image)
                    }
                    floats => floats,
                }
            }
            Fault::OtherDrawsForTheCenter => {
                let image = self.apply(image, rng);
                rng.bits();
                image
            }
            _ => self.apply(image, rng),
        }
    }

    fn normalization(&self) -> Option<Normalization> {
        (self.0 == Fault::OtherNormalization).then(|| Normalization { mean: vec![0.4; 3], std: vec![0.5; 3] })
    }
}
