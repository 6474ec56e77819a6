//! What is known of the images of a folder.

use plugin_api::DatasetConfig;

use super::Chosen;
use crate::data::Channel;

/// The share of images that is held out where a dataset has no test images.
pub const HELD_OUT: f64 = 0.05;

/// Fewer test images would tell nothing.
const FEWEST_TEST_IMAGES: usize = 10;

/// What a look at a folder has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Looked {
    /// What the images are called, for the name of the pipeline: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// The dataset, as a pipeline has it, without anything held out.
    pub dataset: DatasetConfig,
    /// How the dataset was told from what the folder has, in a few words.
    pub why_dataset: String,
    /// Images to train on, before any is held out.
    pub n_images: usize,
    /// Test images that the dataset has of its own.
    pub n_test: usize,
    /// Of `n_images`, those that `split` would hold out with its share of [`HELD_OUT`].
    pub n_held_out: usize,
    /// Classes; 0 without labels.
    pub n_classes: usize,
    /// Shortest, median and longest of the shorter sides of the images that were looked at, in pixels.
    pub shorter_sides: [usize; 3],
    /// Images whose size was looked at.
    pub n_looked_at: usize,
    /// Channels of every image as it is read; 3 for RGB.
    pub channels: usize,
    /// Whether all images that were looked at have gray values, which are read as three equal channels.
    pub is_gray: bool,
    /// Mean and deviation of each channel, from a sample; empty if no image could be read.
    pub colors: Vec<Channel>,
    /// Images that these are from.
    pub n_colored: usize,
}

impl Looked {
    /// Images in color without labels, in the flat folder `name`, of which nothing else is known; `shorter_sides` are the shortest,
    /// the median and the longest.
    pub fn new(name: &str, n_images: usize, shorter_sides: [usize; 3]) -> Self {
        Self {
            name: name.into(),
            dataset: DatasetConfig::new("flat-folder", format!("(root: {name:?})")),
            why_dataset: "all images in the folder".into(),
            n_images,
            n_test: 0,
            n_held_out: (HELD_OUT * n_images as f64).round() as usize,
            n_classes: 0,
            shorter_sides,
            n_looked_at: n_images.min(512),
            channels: 3,
            is_gray: false,
            colors: vec![Channel { mean: 0.45, std: 0.25 }; 3],
            n_colored: n_images.min(512),
        }
    }

    /// The share to hold out.
    pub(crate) fn held_out(&self) -> Chosen<Option<f64>> {
        let n = self.n_held_out;
        if self.n_test > 0 {
            return Chosen::new(
                None,
                format!("{} are there for measuring", images("test image", self.n_test)),
            );
        }
        if n < FEWEST_TEST_IMAGES {
            let why = format!("5 % of {} are too few to measure on", images("image", self.n_images));
            return Chosen::new(None, why);
        }
        let why = format!(
            "{} are held out, never trained on, to measure on; drawn by their names, so that they stay the same",
            images("image", n)
        );
        Chosen::new(Some(HELD_OUT), why)
    }

    /// Neighbors that vote, if there is something to measure.
    pub(super) fn knn(&self, is_held_out: bool, n_train: usize) -> Chosen<Option<usize>> {
        match self.n_classes {
            0 => return Chosen::new(None, "without labels only collapse is watched"),
            1 => {
                let why = "there is one class, with which kNN says nothing: only collapse is watched";
                return Chosen::new(None, why);
            }
            _ => {}
        }
        if self.n_test == 0 && !is_held_out {
            return Chosen::new(None, "without test images only collapse is watched");
        }
        // More neighbors than a class has images would be of other classes.
        let k = if n_train / self.n_classes >= 200 { 200 } else { 20 };
        let why = format!(
            "there are labels of {} classes; kNN tells whether the features know them",
            self.n_classes
        );
        Chosen::new(Some(k), why)
    }

    /// The median of the shorter sides.
    pub(super) fn median(&self) -> usize {
        self.shorter_sides[1]
    }
}

/// `1 image`, `12 images`, `1,234 images`.
pub(super) fn images(one: &str, n: usize) -> String {
    format!("{} {one}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// With commas between thousands.
pub(super) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let groups =
        digits.as_bytes()[first..].chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let head = (first > 0).then(|| digits[..first].to_owned());
    head.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}
