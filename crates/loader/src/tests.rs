//! The loader as a whole, on images that are made up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use pipeline::{Parts, PartsMethod, Pass, batch_shuffle};
use plugin_api::ViewTransform;
use plugin_api::{Augmentation, ConfigError, Images, UnreadableImage};
use plugin_api::{ByteImage, FloatImage, Image, ImageShape, Rng};

/// Images of 2 by 2 pixels that hold their number.
#[derive(Default)]
struct Numbers {
    n: usize,
    unreadable: BTreeSet<usize>,
    panics_at: Option<usize>,
    slow: Option<usize>,
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
        format!("number {index}")
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
        Ok(ByteImage { width: 2, height: 2, rgb: vec![index as u8; 12] })
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
                width: image.width,
                height: image.height,
                values: image.rgb.iter().map(|&byte| f32::from(byte)).map(noisy).collect(),
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
            Image::Bytes(image) if image.rgb[0] == 3 => {
                Image::Floats(FloatImage { width: 4, height: 2, values: vec![0.0; 24] })
            }
            other => other,
        }
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
        first: (0, 0),
        epochs: 3,
        n_workers,
        prefetch_batches: 2,
        unreadable,
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

#[test]
fn batches_are_the_same_bits_with_one_two_and_five_workers() {
    let one = all(plan(some_unreadable(), 1));
    assert_eq!(one.len(), 3 * 6);
    for n_workers in [2, 5] {
        assert_eq!(fixed(&one), fixed(&all(plan(some_unreadable(), n_workers))), "{n_workers} workers");
    }
}

#[test]
fn a_look_ahead_changes_nothing_of_what_comes() {
    let expected = all(plan(some_unreadable(), 3));
    let plan = plan(some_unreadable(), 3);
    let unreadable = Arc::clone(&plan.unreadable);
    let mut loader = Loader::start(plan).unwrap();
    let mut got = Vec::new();
    let mut n_looks = 0;
    loop {
        let n_before = unreadable.len();
        // A batch is loaded at some time; the last look finds none.
        let seen = (0..200).find_map(|_| {
            let seen = loader.look_ahead().map(|seen| ((seen.epoch, seen.step), seen.n, seen.views.to_vec()));
            if seen.is_none() && got.len() < expected.len() {
                std::thread::sleep(Duration::from_millis(5));
            }
            seen
        });
        assert_eq!(unreadable.len(), n_before, "a batch counts when it is given");
        let Some(batch) = loader.next().unwrap() else {
            assert!(seen.is_none());
            break;
        };
        if let Some((at, n, views)) = seen {
            assert_eq!((at, n), ((batch.epoch, batch.step), batch.images.len()));
            assert!(views == batch.views);
            n_looks += 1;
        }
        got.push(batch);
    }
    assert!(n_looks > 0);
    assert_eq!(fixed(&got), fixed(&expected));
    assert_eq!(unreadable.len(), 5);
}

#[test]
fn a_rest_that_is_kept_is_a_smaller_last_batch() {
    let images = || Numbers { n: 50, ..Numbers::default() };
    let batches = all(LoaderPlan { rest: Rest::Kept, ..plan(images(), 2) });
    let lens: Vec<usize> = batches.iter().map(|batch| batch.images.len()).collect();
    assert_eq!(lens, [8, 8, 8, 8, 8, 8, 2].repeat(3));
    for epoch in batches.chunks(7) {
        let seen: BTreeSet<usize> = epoch.iter().flat_map(|batch| batch.images.clone()).collect();
        assert_eq!(seen.len(), 50);
    }
    assert_eq!(batches[6].views[0].values.len(), 2 * 2 * 2 * 3);
    // Fewer images than a batch are one.
    let few = all(LoaderPlan { rest: Rest::Kept, ..plan(Numbers { n: 5, ..Numbers::default() }, 2) });
    assert_eq!(few.iter().map(|batch| batch.images.len()).collect::<Vec<_>>(), [5; 3]);
    let none = LoaderPlan { rest: Rest::Kept, ..plan(Numbers::default(), 2) };
    assert!(matches!(Loader::start(none), Err(LoaderError::TooFewImages { .. })));
}

#[test]
fn an_epoch_visits_every_image_at_most_once_and_no_two_epochs_are_in_the_same_order() {
    let batches = all(plan(Numbers { n: 48, ..Numbers::default() }, 2));
    let orders: Vec<Vec<usize>> = batches
        .chunks(6)
        .map(|epoch| epoch.iter().flat_map(|batch| batch.images.clone()).collect())
        .collect();
    for order in &orders {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..48).collect::<Vec<_>>());
    }
    assert_ne!(orders[0], orders[1]);
    assert_eq!((batches[7].epoch, batches[7].step), (1, 1));
}

#[test]
fn rows_belong_to_their_images_and_views_differ() {
    for batch in all(plan(Numbers { n: 20, ..Numbers::default() }, 3)) {
        assert_eq!(batch.views[0].size, (2, 2));
        for view in &batch.views {
            for (row, &image) in view.values.chunks(12).zip(&batch.images) {
                assert!(row.iter().all(|value| (0.0..2.0).contains(&(value - image as f32))));
            }
        }
        assert_ne!(batch.views[0].values, batch.views[1].values);
    }
}

#[test]
fn a_run_that_starts_in_the_middle_goes_on_as_if_it_had_never_stopped() {
    let whole = all(plan(some_unreadable(), 2));
    let resumed = all(LoaderPlan { first: (1, 4), ..plan(some_unreadable(), 2) });
    assert_eq!(fixed(&whole[10..]), fixed(&resumed));
    let at_the_end_of_an_epoch = all(LoaderPlan { first: (0, 6), ..plan(some_unreadable(), 2) });
    assert_eq!(fixed(&whole[6..]), fixed(&at_the_end_of_an_epoch));
    assert!(all(LoaderPlan { first: (2, 6), ..plan(some_unreadable(), 2) }).is_empty());
}

#[test]
fn an_unreadable_image_is_replaced_and_counted_once() {
    let plan = plan(some_unreadable(), 2);
    let unreadable = Arc::clone(&plan.unreadable);
    let batches = all(plan);
    for batch in &batches {
        assert_eq!(batch.images.len(), 8);
        assert!(batch.images.iter().all(|image| ![0, 7, 8, 33, 49].contains(image)));
    }
    let names: Vec<String> = unreadable.list().into_iter().map(|image| image.name).collect();
    assert_eq!(names, ["number 0", "number 33", "number 49", "number 7", "number 8"]);
}

#[test]
fn too_many_unreadable_images_end_the_run_for_good() {
    let images = Numbers { n: 50, unreadable: (0..40).collect(), ..Numbers::default() };
    let mut loader = Loader::start(plan(images, 2)).unwrap();
    let error = loop {
        match loader.next() {
            Ok(batch) => assert!(batch.is_some(), "the run ended without an error"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LoaderError::TooManyUnreadable { n_images: 50, n_allowed: 16, .. }), "{error}");
    assert!(error.hint().is_some());
    assert!(loader.next().is_err());
}

#[test]
fn a_small_dataset_of_unreadable_images_is_an_error_and_no_endless_search() {
    let images = Numbers { n: 10, unreadable: (0..10).collect(), ..Numbers::default() };
    let error = Loader::start(plan(images, 2)).unwrap().next().unwrap_err();
    assert!(matches!(error, LoaderError::NoneReadable { n_images: 10 }), "{error}");
    let images = Numbers { n: 10, unreadable: (0..9).collect(), ..Numbers::default() };
    assert!(all(plan(images, 2)).iter().all(|batch| batch.images == [9; 8]));
}

#[test]
fn a_panic_of_a_worker_is_an_error_that_names_the_image() {
    for n_workers in [1, 3] {
        let images = Numbers { n: 50, panics_at: Some(12), ..Numbers::default() };
        let mut loader = Loader::start(plan(images, n_workers)).unwrap();
        let error = loop {
            match loader.next() {
                Ok(batch) => assert!(batch.is_some(), "the run ended without an error"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("number 12") && error.contains("a bad codec"), "{error}");
        assert!(loader.next().is_err());
    }
}

#[test]
fn no_more_is_loaded_ahead_than_was_asked_for() {
    let images = Arc::new(Numbers { n: 400, slow: Some(3), ..Numbers::default() });
    let base = plan(Numbers { n: 400, ..Numbers::default() }, 4);
    let mut loader = Loader::start(LoaderPlan { images: Arc::clone(&images) as _, ..base }).unwrap();
    for n_taken in 1..=10 {
        loader.next().unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let n_loads = images.n_loads.load(Ordering::SeqCst);
        assert!(n_loads <= (n_taken + 2) * 8, "{n_loads} loads after {n_taken} batches");
    }
}

#[test]
fn a_loader_that_is_dropped_early_stops_its_threads() {
    let images = Arc::new(Numbers { n: 400, ..Numbers::default() });
    let base = plan(Numbers { n: 400, ..Numbers::default() }, 4);
    let mut loader =
        Loader::start(LoaderPlan { images: Arc::clone(&images) as _, prefetch_batches: 40, ..base }).unwrap();
    loader.next().unwrap();
    drop(loader);
    // The threads are joined, so nothing of theirs is left.
    assert_eq!(Arc::strong_count(&images), 1);
}

#[test]
fn images_of_two_sizes_in_one_view_are_an_error() {
    let uneven = Arc::new(ViewTransform { steps: vec![Box::new(Uneven) as _] });
    let views = vec![("x".into(), uneven), ("y".into(), noisy())];
    let mut loader =
        Loader::start(LoaderPlan { views, ..plan(Numbers { n: 8, ..Numbers::default() }, 1) }).unwrap();
    let error = loader.next().unwrap_err();
    assert!(matches!(&error, LoaderError::Size { view, .. } if view == "x"), "{error}");
}

#[test]
fn fewer_images_than_a_batch_are_refused() {
    let error = Loader::start(plan(Numbers { n: 7, ..Numbers::default() }, 1)).err().unwrap();
    assert_eq!(error.to_string(), "there are 7 images, and a batch takes 8");
}

#[test]
fn evaluation_gives_every_readable_image_once_in_order() {
    for n_workers in [1, 2, 5] {
        let mut unreadable = BTreeSet::from([0, 7, 8, 33, 49]);
        unreadable.extend(16..24); // A whole batch.
        let images = Numbers { n: 50, unreadable: unreadable.clone(), ..Numbers::default() };
        let mut loader = EvalLoader::start(EvalPlan {
            unreadable: Arc::new(UnreadableLog::new(images.n, 1.0)),
            images: Arc::new(images),
            view: ("plain".into(), plain()),
            seed: 0,
            batch: 8,
            n_workers,
            prefetch_batches: 1,
        })
        .unwrap();
        let mut seen = Vec::new();
        while let Some(batch) = loader.next().unwrap() {
            assert_eq!(batch.size, (2, 2));
            for (row, &image) in batch.values.chunks(12).zip(&batch.images) {
                assert_eq!(row, [image as f32 / 255.0; 12]);
            }
            assert_eq!(batch.values.len(), batch.images.len() * 12);
            seen.extend(batch.images);
        }
        assert_eq!(seen, (0..50).filter(|image| !unreadable.contains(image)).collect::<Vec<_>>());
    }
}

#[test]
fn parts_hold_the_images_and_views_of_whole_batches() {
    let whole = all(plan(some_unreadable(), 2));
    for is_shuffled in [false, true] {
        let parts = all(LoaderPlan { parts: in_parts(4, is_shuffled), ..plan(some_unreadable(), 3) });
        assert_eq!(parts.len(), whole.len() * 8);
        for (step, (batch, parts)) in whole.iter().zip(parts.chunks(8)).enumerate() {
            for (pass, (name, parts)) in ["x2", "x1"].into_iter().zip(parts.chunks(4)).enumerate() {
                let shuffle = batch_shuffle(6, step as u64, 8);
                let view = batch.views.iter().find(|view| view.name == name).unwrap();
                for (part_idx, part) in parts.iter().enumerate() {
                    assert_eq!((part.epoch, part.step), (batch.epoch, batch.step));
                    assert_eq!(part.views.len(), 1);
                    for (i, image) in part.images.iter().enumerate() {
                        let place = part_idx + 4 * i;
                        let place = if is_shuffled && pass == 0 { shuffle[place] } else { place };
                        assert_eq!(*image, batch.images[place]);
                        assert_eq!(part.views[0].values[12 * i..][..12], view.values[12 * place..][..12]);
                    }
                }
            }
        }
    }
}

#[test]
fn the_unreadable_are_counted_batch_by_batch_whatever_the_number_of_workers() {
    let broken = || Numbers { n: 50, unreadable: (0..25).collect(), ..Numbers::default() };
    let mut told = BTreeSet::new();
    for n_workers in [1, 2, 3, 8] {
        let mut loader = Loader::start(plan(broken(), n_workers)).unwrap();
        let error = loop {
            if let Err(error) = loader.next() {
                break error;
            }
        };
        told.insert(error.to_string());
    }
    assert_eq!(told.len(), 1, "{told:?}");
}
