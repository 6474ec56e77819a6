//! What holds for every augmentation of this crate.

use augment as _; // Links the plugins.
use plugin_api::{
    Augmentation, AugmentationContext, ByteImage, Config, FloatImage, Image, ImageShape, ImageValues, Plugin,
    Rng, find,
};

const NAMES: [&str; 15] = [
    "center-crop",
    "channel-drop",
    "color-jitter",
    "flip",
    "gaussian-blur",
    "gaussian-noise",
    "grayscale",
    "normalize",
    "quarter-turn",
    "rand-augment",
    "random-erasing",
    "random-resized-crop",
    "resize",
    "solarize",
    "vertical-flip",
];

/// A plugin and what its example builds.
type Built = (&'static Plugin<dyn Augmentation>, Box<dyn Augmentation>);

fn plugins() -> Vec<Built> {
    NAMES
        .into_iter()
        .map(|name| {
            let plugin = find::<dyn Augmentation>(name).expect(name);
            let built = (plugin.build)(Config::new(plugin.example), &AugmentationContext);
            (plugin, built.unwrap_or_else(|error| panic!("{name}: {error}")))
        })
        .collect()
}

fn image(height: usize, width: usize) -> Image {
    let rgb = (0..height * width * 3).map(|i| (i * 37 % 256) as u8).collect();
    Image::Bytes(ByteImage::rgb(width, height, rgb))
}

fn shape(image: &Image) -> ImageShape {
    let (size, values) = match image {
        Image::Bytes(image) => ((image.height, image.width), ImageValues::Bytes),
        Image::Floats(image) => ((image.height, image.width), ImageValues::Floats),
    };
    ImageShape { size: Some(size), channels: 3, values }
}

#[test]
fn no_plugin_is_missing_from_the_list() {
    let registered = plugin_api::inventory::iter::<Plugin<dyn Augmentation>>.into_iter().count();
    assert_eq!(registered, NAMES.len());
}

#[test]
fn every_example_builds_and_gives_the_shape_that_it_announces() {
    for (plugin, augmentation) in plugins() {
        for (height, width) in [(32, 32), (40, 57), (1, 9)] {
            for seed in 0..8 {
                let image = image(height, width);
                let announced = augmentation.output(shape(&image)).unwrap();
                let given = augmentation.apply(image, &mut Rng::new(seed, "test", &[]));
                assert_eq!(shape(&given), announced, "{}", plugin.name);
                let n_values = match &given {
                    Image::Bytes(image) => image.values.len(),
                    Image::Floats(image) => image.values.len(),
                };
                let (height, width) = announced.size.unwrap();
                assert_eq!(n_values, height * width * 3, "{}", plugin.name);
            }
        }
    }
}

/// Those that change colors.
const OF_RGB: [&str; 4] = ["color-jitter", "grayscale", "normalize", "rand-augment"];

#[test]
fn images_of_any_channels_go_through_every_step_that_is_not_of_colors() {
    for n_channels in 1..=16 {
        for (plugin, augmentation) in plugins() {
            let shape = ImageShape { size: Some((20, 31)), channels: n_channels, values: ImageValues::Bytes };
            let announced = augmentation.output(shape);
            let is_alone = plugin.name == "channel-drop" && n_channels == 1;
            if is_alone || OF_RGB.contains(&plugin.name) && n_channels != 3 {
                let error = announced.unwrap_err();
                assert!(error.hint().is_some(), "{}: {error}", plugin.name);
                assert!(error.to_string().contains(&n_channels.to_string()), "{}: {error}", plugin.name);
                continue;
            }
            let announced = announced.unwrap();
            assert_eq!(announced.channels, n_channels);
            let values = (0..20 * 31 * n_channels).map(|i| (i * 37 % 256) as u8).collect();
            let image = ByteImage { width: 31, height: 20, channels: n_channels, values };
            let given = augmentation.apply(Image::Bytes(image), &mut Rng::new(3, "test", &[]));
            let (size, n_values) = match &given {
                Image::Bytes(image) => ((image.height, image.width), image.values.len()),
                Image::Floats(image) => ((image.height, image.width), image.values.len()),
            };
            assert_eq!((Some(size), n_values), (announced.size, size.0 * size.1 * n_channels));
        }
    }
}

#[test]
fn a_size_is_known_afterwards_where_it_does_not_depend_on_the_image() {
    let unknown = ImageShape { size: None, channels: 3, values: ImageValues::Bytes };
    for (plugin, augmentation) in plugins() {
        let known = augmentation.output(unknown).unwrap().size;
        let fixed = ["center-crop", "random-resized-crop"].contains(&plugin.name);
        assert_eq!(known, fixed.then_some((224, 224)), "{}", plugin.name);
    }
}

#[test]
fn nothing_comes_after_normalization() {
    let floats = ImageShape { size: Some((2, 2)), channels: 3, values: ImageValues::Floats };
    let image = Image::Floats(FloatImage { width: 2, height: 2, channels: 3, values: vec![0.5; 12] });
    for (plugin, augmentation) in plugins() {
        let error = augmentation.output(floats).unwrap_err();
        assert!(error.hint().is_some(), "{}: {error}", plugin.name);
        assert_eq!(
            augmentation.apply(image.clone(), &mut Rng::new(0, "test", &[])),
            image,
            "{}",
            plugin.name
        );
    }
}

#[test]
fn the_same_draws_give_the_same_image() {
    for (plugin, augmentation) in plugins() {
        let run = || augmentation.apply(image(20, 30), &mut Rng::new(5, "test", &[1]));
        assert_eq!(run(), run(), "{}", plugin.name);
    }
}

#[test]
fn a_misspelled_field_is_answered_with_the_right_one() {
    let plugin = find::<dyn Augmentation>("random-resized-crop").unwrap();
    let Err(error) = (plugin.build)(Config::new("(size: 32, scales: (0.2, 1.0))"), &AugmentationContext)
    else {
        panic!("`scales` is no field")
    };
    assert!(error.hint().is_some_and(|hint| hint.contains("`scale`")), "{error}");
}
