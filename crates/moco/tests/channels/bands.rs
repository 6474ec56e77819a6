//! A dataset of images of any number of channels.

use std::sync::Arc;

use plugin_api::{ByteImage, Dataset, DatasetError, Images, Splits, UnreadableImage};

plugin_api::register! {
    dyn Dataset {
        name: "bands",
        summary: "made-up images of any number of channels, for tests",
        source: "",
        example: "(channels: 4)",
        build: |config: BandsConfig, _context| Ok(Bands { channels: config.channels }),
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct BandsConfig {
    /// Channels of each image.
    channels: usize,
}

/// Images of two classes, with and without stripes.
#[derive(Clone)]
pub(crate) struct Bands {
    pub(crate) channels: usize,
}

impl Bands {
    /// Image number `index`, each of another shape.
    pub(crate) fn image(&self, index: usize) -> ByteImage {
        let (height, width) = (70 + index % 7 * 9, 60 + index % 5 * 13);
        let value = |i: usize| {
            let (channel, pixel) = (i % self.channels, i / self.channels);
            let (row, column) = (pixel / width, pixel % width);
            let stripes = if index.is_multiple_of(2) { (row / 6 + channel) % 2 * 90 } else { 0 };
            (stripes + (row * (channel + 1) + column * 2 + index * 31) % 150) as u8
        };
        let values = (0..height * width * self.channels).map(value).collect();
        ByteImage { width, height, channels: self.channels, values }
    }
}

impl Dataset for Bands {
    fn open(&self) -> Result<Splits, DatasetError> {
        let images: Arc<dyn Images> =
            Arc::new(Split { of: self.clone(), classes: ["stripes", "plain"].map(String::from) });
        Ok(Splits { train: Arc::clone(&images), test: Some(images), notes: Vec::new() })
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn describe(&self) -> String {
        format!("made-up images of {} channels", self.channels)
    }
}

struct Split {
    of: Bands,
    classes: [String; 2],
}

impl Images for Split {
    fn len(&self) -> usize {
        24
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some((index % 2) as u32)
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        format!("bands {index}")
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        Ok(self.of.image(index))
    }
}
