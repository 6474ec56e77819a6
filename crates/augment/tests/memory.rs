//! The memory that views of elongated images take.

use augment as _; // Links the plugins.
use peak_alloc::PeakAlloc;
use plugin_api::{Augmentation, AugmentationContext, ByteImage, Config, Image, Rng, ViewTransform, build};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// `(H, W)` of images that a few kilobytes of a PNG file hold.
const SHAPES: [(usize, usize); 8] = [
    (2, 60_000),
    (60_000, 2),
    (1, 1_000_000),
    (1_000_000, 1),
    (1, 20_000_000),
    (20_000_000, 1),
    (3, 700_001),
    (700_001, 3),
];

const MEGABYTE: usize = 1_000_000;

fn step(name: &str, config: &str) -> Box<dyn Augmentation> {
    build::<dyn Augmentation>(name, Config::new(config), &AugmentationContext).unwrap()
}

fn image((height, width): (usize, usize)) -> ByteImage {
    ByteImage::rgb(width, height, vec![77; 3 * height * width])
}

/// The most bytes that `work` has at a time, besides what was there before.
fn bytes_of<R>(work: impl FnOnce() -> R) -> (R, usize) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = work();
    (result, ALLOCATOR.peak_usage() - before)
}

/// All in one test, because the allocator counts the whole program.
#[test]
fn an_elongated_image_takes_no_more_memory_than_an_ordinary_one() {
    // The recipe of `eval`, which saw all of 7,680,000 by 256 pixels of an image of 60,000 by 2.
    let eval = ViewTransform {
        steps: vec![
            step("resize", "(shorter: 256)"),
            step("center-crop", "(size: 224)"),
            step("normalize", "(statistics: ImageNet)"),
        ],
    };
    let see = |shape| {
        let image = image(shape);
        bytes_of(|| eval.apply(image, 0, 0, 0, "eval"))
    };
    let (_, of_ordinary) = see((375, 500));
    for shape in SHAPES {
        let (seen, n_bytes) = see(shape);
        assert_eq!((seen.height, seen.width), (224, 224));
        assert!(seen.values.chunks(3).all(|pixel| pixel == &seen.values[..3]), "{shape:?} is no longer flat");
        assert!(n_bytes <= of_ordinary, "{shape:?}: {n_bytes} bytes instead of {of_ordinary}");
    }

    // Every step that changes sizes, by itself.
    for (name, config, most) in [
        ("random-resized-crop", "(size: 224)", 2 * MEGABYTE),
        ("random-resized-crop", "(size: 224, scale: (0.9, 1.0), ratio: (0.01, 100.0))", 2 * MEGABYTE),
        ("center-crop", "(size: 224)", MEGABYTE),
        ("resize", "(shorter: 256)", 150 * MEGABYTE),
        ("resize", "(cover: (200, 300))", 150 * MEGABYTE),
        ("resize", "(size: (200, 300))", 50 * MEGABYTE),
    ] {
        let step = step(name, config);
        for shape in SHAPES {
            let image = Image::Bytes(image(shape));
            let (_, n_bytes) = bytes_of(|| step.apply(image, &mut Rng::new(1, "test", &[])));
            assert!(n_bytes <= most, "{name} {config} of {shape:?}: {n_bytes} bytes");
        }
    }
}
