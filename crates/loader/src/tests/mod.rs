//! The loader as a whole, on images that are made up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use pipeline::{Parts, PartsMethod, Pass, batch_shuffle};
use plugin_api::{
    Augmentation, ByteImage, ConfigError, FloatImage, Image, ImageShape, ImageValues, Images, Rng,
    UnreadableImage, ViewTransform,
};

mod faults;
mod order;

/// Images of 2 by 2 pixels that hold their number.
#[derive(Default)]
struct Numbers {
    n: usize,
    unreadable: BTreeSet<usize>,
    panics_at: Option<usize>,
    slow: Option<usize>,
    /// As many lines of a list with one path in it.
    same_name: bool,
    n_loads: AtomicUsize,
}

impl Images for Numbers {
    fn len(&self) -> usize {
        self.n
    }

    fn label(&self, _index: usize) -> Option<u32> {
        None
    }

    fn class_names(&self) -> &[String] {
        &[]
    }

    fn name(&self, index: usize) -> String {
        if self.same_name { "one for all".into() } else { format!("number {index}") }
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        self.n_loads.fetch_add(1, Ordering::SeqCst);
        if self.slow == Some(index) {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_ne!(self.panics_at, Some(index), "a bad codec");
        if self.unreadable.contains(&index) {
            return Err(UnreadableImage { name: self.name(index), reason: "made to fail".into() });
        }
        Ok(ByteImage::rgb(2, 2, vec![index as u8; 12]))
    }
}

/// Bytes to floats, plus noise.
struct Noise;

impl Augmentation for Noise {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        Ok(input)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Image {
        let noisy = |value: f32| value + rng.unit() as f32;
        match image {
            Image::Bytes(image) => Image::Floats(FloatImage {
                channels: 3,
                width: image.width,
                height: image.height,
                values: image.values.iter().map(|&byte| f32::from(byte)).map(noisy).collect(),
            }),
            Image::Floats(mut image) => {
                image.values = image.values.into_iter().map(noisy).collect();
                Image::Floats(image)
            }
        }
    }
}

/// Leaves image 3 wider than the others.
struct Uneven;

impl Augmentation for Uneven {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        Ok(input)
    }

    fn apply(&self, image: Image, _draws: &mut Rng) -> Image {
        match image {
            Image::Bytes(image) if image.values[0] == 3 => {
                Image::Floats(FloatImage { width: 4, height: 2, channels: 3, values: vec![0.0; 24] })
            }
            other => other,
        }
    }
}

/// Says one thing and does another.
struct Untrue {
    size: (usize, usize),
    values: ImageValues,
}

impl Augmentation for Untrue {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        Ok(ImageShape { size: Some(self.size), values: self.values, ..input })
    }

    fn apply(&self, image: Image, _draws: &mut Rng) -> Image {
        image
    }
}

fn noisy() -> Arc<ViewTransform> {
    Arc::new(ViewTransform { steps: vec![Box::new(Noise), Box::new(Noise)] })
}

fn plain() -> Arc<ViewTransform> {
    Arc::new(ViewTransform { steps: Vec::new() })
}

fn plan(images: Numbers, n_workers: usize) -> LoaderPlan {
    let unreadable = Arc::new(UnreadableLog::new(images.n, UnreadableLog::DEFAULT_SHARE));
    LoaderPlan {
        images: Arc::new(images),
        views: vec![("x1".into(), noisy()), ("x2".into(), noisy())],
        seed: 5,
        shuffle_seed: 6,
        batch: 8,
        rest: Rest::LeftOut,
        parts: in_parts(1, false),
        own_parts: 0..1,
        first: (0, 0),
        epochs: 3,
        n_workers,
        prefetch_batches: 2,
        unreadable,
        limit_check: LimitCheck::ByLoader,
    }
}

/// One pass over both views; or a pass over the second view, then one over the first.
fn in_parts(n_parts: usize, is_shuffled: bool) -> Parts {
    if n_parts == 1 {
        let passes = vec![Pass { views: vec![0, 1], is_shuffled }];
        return Parts { n_parts, method: PartsMethod::Whole, passes };
    }
    let keys = Pass { views: vec![1], is_shuffled };
    let queries = Pass { views: vec![0], is_shuffled: false };
    Parts { n_parts, method: PartsMethod::Accumulate, passes: vec![keys, queries] }
}

fn all(plan: LoaderPlan) -> Vec<Batch> {
    let mut loader = Loader::start(plan).unwrap();
    std::iter::from_fn(|| loader.next().unwrap()).collect()
}

/// Everything of a batch that may not depend on timing, floats as bits.
#[derive(Debug, PartialEq)]
struct Fixed {
    place: (u64, u64),
    images: Vec<usize>,
    bits: Vec<u32>,
}

fn fixed(batches: &[Batch]) -> Vec<Fixed> {
    let of = |batch: &Batch| Fixed {
        place: (batch.epoch, batch.step),
        images: batch.images.clone(),
        bits: batch.views.iter().flat_map(|view| &view.values).map(|value| value.to_bits()).collect(),
    };
    batches.iter().map(of).collect()
}

fn some_unreadable() -> Numbers {
    Numbers { n: 50, unreadable: BTreeSet::from([0, 7, 8, 33, 49]), slow: Some(20), ..Numbers::default() }
}
