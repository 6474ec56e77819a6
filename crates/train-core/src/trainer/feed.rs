//! Moves batches to the device; on CUDA, the next batch while a step computes.

use std::time::Duration;

use tensor_ops::{Device, FeatureMap, OpError, Recording};

use super::TrainError;
use crate::engine::EngineError;
use loader::{Loader, View};

/// The loader, and the part of its next batch that is already on the device.
///
/// The loader is only peeked at to send data ahead; it gives and counts a batch when its step starts. So a feed that is
/// dropped, by a rollback or at a stop, loses nothing.
pub(super) struct Feed {
    loader: Loader,
    ahead: Option<Ahead>,
}

/// The views of a batch that the loader has not yet given.
struct Ahead {
    /// Epoch and step.
    at: (u64, u64),
    views: Vec<FeatureMap>,
}

/// A batch, or a part of one, on the device.
pub(super) struct Fed {
    pub(super) views: Vec<FeatureMap>,
    /// The indices of the images.
    pub(super) images: Vec<usize>,
    /// How long the step waited for the loader.
    pub(super) waited: Duration,
}

impl Feed {
    pub(super) fn new(loader: Loader) -> Self {
        Self { loader, ahead: None }
    }

    /// The next batch, or part of one.
    pub(super) fn next(&mut self, device: &Device) -> Result<Fed, TrainError> {
        let batch = self.loader.next()?.ok_or(TrainError::TooFewBatches)?;
        let ahead = self.ahead.take().filter(|ahead| ahead.at == (batch.epoch, batch.step));
        let views = match ahead {
            Some(ahead) => ahead.views,
            None => to_device(device, batch.images.len(), &batch.views).map_err(EngineError::from)?,
        };
        Ok(Fed { views, images: batch.images, waited: batch.waited })
    }

    /// Sends the views of the next batch to the device, if it is loaded. Waiting here would keep the host from the rest
    /// of its step; the next step waits, and records it.
    pub(super) fn send_ahead(&mut self, device: &Device) -> Result<(), EngineError> {
        if self.ahead.is_some() {
            return Ok(());
        }
        let Some(batch) = self.loader.look_ahead() else { return Ok(()) };
        self.ahead = match to_device(device, batch.n, batch.views) {
            Ok(views) => Some(Ahead { at: (batch.epoch, batch.step), views }),
            // There is memory once this step is done.
            Err(OpError::OutOfMemory { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }
}

fn to_device(device: &Device, n: usize, views: &[View]) -> Result<Vec<FeatureMap>, OpError> {
    let to_images = |view: &View| {
        let shape = [n, view.size.0, view.size.1, view.channels];
        FeatureMap::from_nhwc(device, shape, &view.values, Recording::Off)
    };
    views.iter().map(to_images).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use loader::{LimitCheck, LoaderPlan, Rest, UnreadableLog};
    use pipeline::Parts;
    use plugin_api::ViewTransform;
    use plugin_api::{Augmentation, ConfigError, Images, UnreadableImage};
    use plugin_api::{ByteImage, FloatImage, Image, ImageShape, Rng};

    /// 21 images of 2 by 2 pixels that hold their number; number 7 cannot be read.
    struct Numbers;

    impl Images for Numbers {
        fn len(&self) -> usize {
            21
        }

        fn label(&self, _: usize) -> Option<u32> {
            None
        }

        fn class_names(&self) -> &[String] {
            &[]
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
            if index == 7 {
                return Err(UnreadableImage { name: self.name(index), reason: "made to fail".into() });
            }
            Ok(ByteImage::rgb(2, 2, vec![index as u8; 12]))
        }
    }

    struct Noise;

    impl Augmentation for Noise {
        fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
            Ok(input)
        }

        fn apply(&self, image: Image, rng: &mut Rng) -> Image {
            let Image::Bytes(image) = image else { return image };
            let values = image.values.iter().map(|&byte| f32::from(byte) + rng.unit() as f32).collect();
            Image::Floats(FloatImage {
                width: image.width,
                height: image.height,
                channels: image.channels,
                values,
            })
        }
    }

    fn feed(first: (u64, u64)) -> (Feed, Arc<UnreadableLog>) {
        let unreadable = Arc::new(UnreadableLog::new(21, UnreadableLog::DEFAULT_SHARE));
        let transform = || Arc::new(ViewTransform { steps: vec![Box::new(Noise)] });
        let loader = Loader::start(LoaderPlan {
            images: Arc::new(Numbers),
            views: vec![("a".into(), transform()), ("b".into(), transform())],
            seed: 3,
            shuffle_seed: 3,
            batch: 4,
            rest: Rest::LeftOut,
            parts: Parts::whole_of(2),
            own_parts: 0..1,
            first,
            epochs: 2,
            n_workers: 2,
            prefetch_batches: 2,
            unreadable: Arc::clone(&unreadable),
            limit_check: LimitCheck::ByCaller,
        });
        (Feed::new(loader.unwrap()), unreadable)
    }

    /// The values of each batch from `first` on, and the unreadable images counted by then.
    fn batches(
        first: (u64, u64),
        n: usize,
        mut before: impl FnMut(&mut Feed),
    ) -> Vec<(Vec<Vec<f32>>, usize)> {
        let device = Device::default();
        let (mut feed, unreadable) = feed(first);
        let next = |_| {
            before(&mut feed);
            let fed = feed.next(&device).unwrap();
            (fed.views.iter().map(FeatureMap::to_nhwc).collect(), unreadable.len())
        };
        (0..n).map(next).collect()
    }

    fn send_one_ahead(feed: &mut Feed) {
        while feed.ahead.is_none() {
            feed.send_ahead(&Device::default()).unwrap();
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_batch_sent_ahead_is_the_one_that_would_have_come() {
        let expected = batches((0, 0), 10, |_| ());
        assert_eq!(expected.last().unwrap().1, 1);
        assert!(batches((0, 0), 10, send_one_ahead) == expected);
        let mut n = 0;
        let now_and_then = |feed: &mut Feed| {
            n += 1;
            if n % 3 == 0 {
                send_one_ahead(feed);
            }
        };
        assert!(batches((0, 0), 10, now_and_then) == expected);
    }

    #[test]
    fn a_feed_that_is_dropped_takes_no_count_with_it() {
        let (mut feed, unreadable) = feed((0, 0));
        let at_7 =
            batches((0, 0), 10, |_| ()).iter().position(|(_, n_unreadable)| *n_unreadable == 1).unwrap();
        for _ in 0..at_7 {
            feed.next(&Device::default()).unwrap();
        }
        send_one_ahead(&mut feed);
        drop(feed);
        assert_eq!(unreadable.len(), 0);
        // What goes on from there meets it.
        assert_eq!(batches((0, at_7 as u64), 1, send_one_ahead)[0].1, 1);
    }
}
