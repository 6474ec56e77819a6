//! What an augmentation must do.

use plugin_api::{
    Augmentation, AugmentationContext, ByteImage, FloatImage, Image, ImageShape, ImageValues, Rng,
};
use rayon::prelude::*;

use crate::calm::calm;
use crate::config::Plugged;
use crate::fault::{Checked, ensure, wrong};
use crate::numbers::{all_finite, same_bits};
use crate::threads::with_threads;

/// `(H, W)` of the images that go in.
const SIZES: [(usize, usize); 4] = [(32, 32), (40, 23), (9, 64), (1, 1)];
/// Channels of the images that go in.
const CHANNELS: [usize; 3] = [3, 1, 4];
/// An augmentation may act only now and then.
const N_SEEDS: u64 = 24;
/// Most draws that are counted.
const MAX_DRAWS: usize = 200_000;

pub(crate) fn check(name: &str, config: Option<&str>) -> Checked {
    let plugged = Plugged::<dyn Augmentation>::find(name, config)?;
    plugged.check_config(&AugmentationContext)?;
    let augmentation = &*plugged.build(&AugmentationContext)?;
    let mut n_accepted = 0;
    let mut refused = None;
    for channels in CHANNELS {
        for values in [ImageValues::Bytes, ImageValues::Floats] {
            for size in SIZES {
                // Of one size that is known, and of one among many.
                for known in [Some(size), None] {
                    let shape = ImageShape { size: known, channels, values };
                    match calm("in `output`", || augmentation.output(shape))? {
                        Ok(declared) => {
                            n_accepted += 1;
                            check_images(augmentation, shape, size, declared)?;
                        }
                        Err(error) => refused = Some(error),
                    }
                }
            }
        }
    }
    if n_accepted == 0 {
        let why = refused.map(|error| error.to_string()).unwrap_or_default();
        return Err(wrong!("`output` accepts no image, neither of bytes nor of floats: {why}"));
    }
    check_threads(augmentation)?;
    check_center(augmentation)?;
    check_normalization(augmentation)
}

/// An image with values of all sizes, another one for each `set`.
fn image((height, width): (usize, usize), channels: usize, values: ImageValues, set: u64) -> Image {
    let mut rng = Rng::new(set, "image", &[height as u64, width as u64, channels as u64]);
    let n = height * width * channels;
    match values {
        ImageValues::Bytes => {
            let values = (0..n).map(|_| rng.below(256) as u8).collect();
            Image::Bytes(ByteImage { width, height, channels, values })
        }
        ImageValues::Floats => {
            let values = (0..n).map(|_| rng.normal() as f32).collect();
            Image::Floats(FloatImage { width, height, channels, values })
        }
    }
}

/// `(H, W)`, channels, values, and how many of them there are.
fn shape_of(image: &Image) -> ((usize, usize), usize, ImageValues, usize) {
    match image {
        Image::Bytes(image) => {
            ((image.height, image.width), image.channels, ImageValues::Bytes, image.values.len())
        }
        Image::Floats(image) => {
            ((image.height, image.width), image.channels, ImageValues::Floats, image.values.len())
        }
    }
}

fn is_same(a: &Image, b: &Image) -> bool {
    match (a, b) {
        (Image::Bytes(a), Image::Bytes(b)) => a == b,
        (Image::Floats(a), Image::Floats(b)) => {
            (a.height, a.width, a.channels) == (b.height, b.width, b.channels)
                && same_bits(&a.values, &b.values)
        }
        _ => false,
    }
}

/// What it makes of images of one shape is what it declares, and it makes the same draws for all of them.
fn check_images(
    augmentation: &dyn Augmentation,
    shape: ImageShape,
    size: (usize, usize),
    declared: ImageShape,
) -> Checked {
    let told = |(height, width): (usize, usize)| {
        let kind = if shape.values == ImageValues::Bytes { "bytes" } else { "floats" };
        format!("{kind} of {height} x {width} pixels with {} channels", shape.channels)
    };
    let mut n_draws = None;
    for seed in 0..N_SEEDS {
        let start = Rng::new(seed, "augmentation", &[]);
        let mut rng = start.clone();
        let input = image(size, shape.channels, shape.values, seed);
        let made =
            calm(&format!("in `apply` on {}", told(size)), || augmentation.apply(input.clone(), &mut rng))?;
        let (made_size, channels, values, len) = shape_of(&made);
        ensure!(
            len == made_size.0 * made_size.1 * channels && len > 0,
            "of {}, `apply` makes an image of {} values, with {} x {} pixels and {channels} channels",
            told(size),
            len,
            made_size.0,
            made_size.1
        );
        if let Some((height, width)) = declared.size {
            ensure!(
                made_size == (height, width),
                "`output` declares {height} x {width} pixels for {}, and `apply` makes {} x {}",
                told(size),
                made_size.0,
                made_size.1
            );
        }
        ensure!(
            channels == declared.channels,
            "`output` declares {} channels for {}, and `apply` makes {channels}",
            declared.channels,
            told(size)
        );
        ensure!(
            values == declared.values,
            "`output` declares {:?} for {}, and `apply` makes {values:?}",
            declared.values,
            told(size)
        );
        if let Image::Floats(image) = &made {
            ensure!(all_finite(&image.values), "of {}, `apply` makes a value that is not finite", told(size));
        }
        let again = augmentation.apply(input, &mut start.clone());
        ensure!(
            is_same(&made, &again),
            "`apply` makes another image of the same one with the same `rng`: all draws must come from it"
        );
        if shape.values == ImageValues::Bytes {
            let n = draws(&start, &rng);
            ensure!(
                *n_draws.get_or_insert(n) == n,
                "`apply` makes {} draws for one image and {} for another of the same size: it must make as many whether it acts \
                 or not",
                shown(n_draws.flatten()),
                shown(n)
            );
        }
    }
    Ok(())
}

/// How many draws lie between `start` and `end`.
fn draws(start: &Rng, end: &Rng) -> Option<usize> {
    let next = end.clone().bits();
    let mut rng = start.clone();
    (0..MAX_DRAWS).find(|_| rng.bits() == next)
}

fn shown(n: Option<usize>) -> String {
    n.map_or_else(|| "very many".into(), |n| n.to_string())
}

/// From many threads at once, it makes what it makes from one.
fn check_threads(augmentation: &dyn Augmentation) -> Checked {
    let size = (24, 24);
    for values in [ImageValues::Bytes, ImageValues::Floats] {
        let shape = ImageShape { size: Some(size), channels: 3, values };
        if augmentation.output(shape).is_err() {
            continue;
        }
        let apply = |seed: u64| {
            augmentation.apply(image(size, 3, values, seed), &mut Rng::new(seed, "augmentation", &[]))
        };
        let alone: Vec<Image> = (0..32).map(apply).collect();
        let together: Vec<Image> = with_threads(3, || (0..32_u64).into_par_iter().map(apply).collect())?;
        ensure!(
            alone.iter().zip(&together).all(|(a, b)| is_same(a, b)),
            "`apply` makes other images from several threads at once: it keeps something from image to image"
        );
    }
    Ok(())
}

/// Where along an axis the central `n` of `whole` begin.
fn central(whole: usize, n: usize) -> usize {
    (whole.saturating_sub(n) as f64 / 2.0).round_ties_even() as usize
}

/// The central pixels of an image, along each axis on which it is longer.
fn cut(image: &Image, (height, width): (usize, usize)) -> Image {
    fn of<T: Copy>(values: &[T], (rows, columns): (usize, usize), n: usize, size: (usize, usize)) -> Vec<T> {
        let (top, left) = (central(rows, size.0), central(columns, size.1));
        let row = |y: usize| &values[n * ((top + y) * columns + left)..][..n * size.1];
        (0..size.0).flat_map(row).copied().collect()
    }
    let ((rows, columns), channels, ..) = shape_of(image);
    let (height, width) = (height.min(rows), width.min(columns));
    match image {
        Image::Bytes(ByteImage { values, .. }) => {
            let values = of(values, (rows, columns), channels, (height, width));
            Image::Bytes(ByteImage { width, height, channels, values })
        }
        Image::Floats(FloatImage { values, .. }) => {
            let values = of(values, (rows, columns), channels, (height, width));
            Image::Floats(FloatImage { width, height, channels, values })
        }
    }
}

/// What it keeps of the middle is what it says, and what it makes for the middle is the middle of what it makes.
fn check_center(augmentation: &dyn Augmentation) -> Checked {
    for values in [ImageValues::Bytes, ImageValues::Floats] {
        for size in [(41, 30), (30, 41), (33, 64)] {
            let shape = ImageShape { size: Some(size), channels: 3, values };
            if augmentation.output(shape).is_err() {
                continue;
            }
            for seed in 0..4 {
                let start = Rng::new(seed, "augmentation", &[]);
                let input = image(size, 3, values, seed);
                let whole_rng = &mut start.clone();
                let whole = augmentation.apply(input.clone(), whole_rng);
                if let Some(center) = augmentation.center() {
                    let of_center = augmentation.apply(cut(&input, center), &mut start.clone());
                    ensure!(
                        is_same(&whole, &of_center),
                        "`center` says that only {} x {} central pixels are kept, and `apply` makes another image of them alone",
                        center.0,
                        center.1
                    );
                }
                for center in [(16, 16), (9, 50)] {
                    let rng = &mut start.clone();
                    let part = calm("in `apply_for_center`", || {
                        augmentation.apply_for_center(input.clone(), center, rng)
                    })?;
                    ensure!(
                        is_same(&cut(&whole, center), &cut(&part, center)),
                        "`apply_for_center` makes other central {} x {} pixels than `apply`",
                        center.0,
                        center.1
                    );
                    ensure!(
                        rng.clone().bits() == whole_rng.clone().bits(),
                        "`apply_for_center` makes other draws than `apply`"
                    );
                }
            }
        }
    }
    Ok(())
}

/// If it normalizes, it does so as it says.
fn check_normalization(augmentation: &dyn Augmentation) -> Checked {
    let Some(normalization) = augmentation.normalization() else { return Ok(()) };
    let n = normalization.mean.len();
    ensure!(
        normalization.std.len() == n && n > 0,
        "`normalization` has {n} means and {} standard deviations",
        normalization.std.len()
    );
    ensure!(
        normalization.std.iter().all(|std| *std > 0.0) && all_finite(&normalization.mean),
        "`normalization` has numbers that cannot be used: {normalization:?}"
    );
    let input = image((8, 8), n, ImageValues::Bytes, 0);
    let Image::Bytes(bytes) = &input else { return Ok(()) };
    let Image::Floats(made) = augmentation.apply(input.clone(), &mut Rng::new(0, "augmentation", &[])) else {
        return Err(wrong!("it has a `normalization`, and `apply` makes bytes"));
    };
    for (place, (byte, made)) in bytes.values.iter().zip(&made.values).enumerate() {
        let channel = place % n;
        let expected = (f32::from(*byte) / 255.0 - normalization.mean[channel]) / normalization.std[channel];
        ensure!(
            (made - expected).abs() <= 1e-4 * expected.abs().max(1.0),
            "`apply` makes {made} of a byte of {byte}, and {expected} by `normalization`"
        );
    }
    Ok(())
}
