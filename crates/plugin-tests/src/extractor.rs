//! An encoder for monitors: features of made-up images.

use std::sync::Arc;

use plugin_api::{Embed, EmbedViews, Embedding, FeatureExtractor, KeysAnew, Level, MonitorError, Split};

use crate::numbers::normal;

/// Classes of the images.
const N_CLASSES: usize = 4;
/// Width of features.
const WIDTH: usize = 24;
/// Steps of which keys are kept.
const N_STEPS: usize = 8;

/// What a dataset has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) has_test: bool,
    pub(crate) has_labels: bool,
}

/// Gives features that lie about one center a class, and notes what it is asked for.
pub(crate) struct MadeUp {
    data: Data,
    /// Views that it was asked for.
    pub(crate) asked: Vec<String>,
}

impl MadeUp {
    pub(crate) fn new(data: Data) -> Self {
        Self { data, asked: Vec::new() }
    }

    /// `n` rows of a split; another `draw`, another view of the same images.
    fn features(&self, split: Split, level: Level, n: usize, draw: u64) -> Embedding {
        let d = if level == Level::Head { WIDTH / 2 } else { WIDTH };
        let set = u64::from(split == Split::Test);
        let centers = normal("centers", 0, N_CLASSES * d);
        let (of_image, of_view) = (normal("of images", set, n * d), normal("of views", draw, n * d));
        let rows = (0..n * d)
            .map(|i| centers[(i / d) % N_CLASSES * d + i % d] + 0.5 * of_image[i] + 0.1 * of_view[i]);
        Embedding {
            n,
            d,
            rows: rows.collect(),
            labels: self.data.has_labels.then(|| (0..n).map(|row| (row % N_CLASSES) as u32).collect()),
            n_classes: if self.data.has_labels { N_CLASSES } else { 0 },
        }
    }

    fn has(&self, split: Split) -> bool {
        split == Split::Train || self.data.has_test
    }
}

fn n_images(split: Split) -> usize {
    match split {
        Split::Train => 160,
        Split::Test => 80,
    }
}

impl FeatureExtractor for MadeUp {
    fn embed(&mut self, request: Embed<'_>) -> Result<Option<Arc<Embedding>>, MonitorError> {
        self.asked.push(request.view.to_owned());
        let features = || self.features(request.split, request.level, n_images(request.split), 0);
        Ok(self.has(request.split).then(features).map(Arc::new))
    }

    fn embed_views(&mut self, request: EmbedViews<'_>) -> Result<Option<Vec<Arc<Embedding>>>, MonitorError> {
        let EmbedViews { of: Embed { split, view, level }, n_images: wanted, n_views } = request;
        self.asked.push(view.to_owned());
        let n = n_images(split).min(wanted);
        let views =
            || (1..=n_views as u64).map(|draw| Arc::new(self.features(split, level, n, draw))).collect();
        Ok(self.has(split).then(views))
    }

    fn kept_steps(&mut self) -> Result<usize, String> {
        Ok(N_STEPS)
    }

    fn keys_anew(&mut self, steps_ago: usize) -> Result<KeysAnew, MonitorError> {
        if steps_ago >= N_STEPS {
            return Err(MonitorError::NoKeys);
        }
        let anew = normal("keys", steps_ago as u64, 16 * WIDTH);
        let drift = normal("drift", steps_ago as u64, 16 * WIDTH);
        let share = 0.05 * steps_ago as f32;
        let mut kept: Vec<f32> = anew.iter().zip(drift).map(|(key, drift)| key + share * drift).collect();
        for key in kept.chunks_mut(WIDTH) {
            let length = key.iter().map(|v| v * v).sum::<f32>().sqrt();
            key.iter_mut().for_each(|v| *v /= length);
        }
        Ok(KeysAnew { d: WIDTH, kept, anew })
    }
}
