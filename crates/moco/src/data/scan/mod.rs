//! What is in a dataset: formats, sizes, unreadable and repeated images, colors.

mod groups;
mod image;
mod perceptual;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use plugin_api::{Split, UnreadableImage};
use rayon::prelude::*;

use self::image::Look;
use super::DataSource;
use super::colors::{Channel, channels};

/// Images that are looked at between two reports.
const N_PER_THREAD: usize = 16;

/// How a scan ended.
#[derive(Debug)]
pub enum Scanned {
    /// All images were looked at.
    All(Box<Found>),
    /// The caller has stopped it.
    Stopped,
}

/// What a scan found. Images are numbered from 0, training images first.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Images for training and for testing.
    pub n_images: (usize, usize),
    /// Bytes of all image files.
    pub n_bytes: u64,
    /// Files of each format; images that are not files are `pixels`.
    pub formats: BTreeMap<String, usize>,
    /// Sizes of the readable images.
    pub sizes: Sizes,
    /// Those that cannot be read.
    pub unreadable: Vec<(usize, UnreadableImage)>,
    /// Groups of images with the same bytes, in order.
    pub identical: Vec<Vec<usize>>,
    /// Groups of images that look the same and do not have the same bytes: other sizes, formats or qualities of one picture.
    /// Of images with the same bytes, the first stands for all.
    pub alike: Vec<Vec<usize>>,
    /// Groups, of both kinds, with images of different classes.
    pub n_mixed_classes: usize,
    /// Test images that are in a group with a training image.
    pub n_test_in_train: usize,
    /// Mean and standard deviation of each channel, from 0 to 1, every image with the same weight: for `normalize`.
    pub channels: Vec<Channel>,
}

impl Found {
    /// The images that can be read, and of those with the same bytes the first one.
    pub fn kept(&self) -> Vec<usize> {
        let unreadable = self.unreadable.iter().map(|(image, _)| *image);
        let repeated = self.identical.iter().flat_map(|group| group[1..].iter().copied());
        let out: BTreeSet<usize> = unreadable.chain(repeated).collect();
        (0..self.n_images.0 + self.n_images.1).filter(|image| !out.contains(image)).collect()
    }
}

/// Sizes of images, in pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The smallest, the median and the largest shorter side.
    pub shorter: [usize; 3],
    /// The smallest, the median and the largest longer side.
    pub longer: [usize; 3],
    /// The most frequent `(H, W)`, and how many images have it.
    pub most_frequent: Option<((usize, usize), usize)>,
}

/// Looks at every image of `source`.
///
/// `on_progress` is told how many images are done. Images that cannot be read are part of the result.
pub fn scan(source: &DataSource, on_progress: &mut dyn FnMut(usize) -> ControlFlow<()>) -> Scanned {
    let places = source.places();
    let mut looks = Vec::with_capacity(places.len());
    for chunk in places.chunks(N_PER_THREAD * rayon::current_num_threads()) {
        looks.par_extend(chunk.par_iter().map(|place| Look::at(place.images, place.index)));
        if on_progress(looks.len()).is_break() {
            return Scanned::Stopped;
        }
    }
    let n_test = places.iter().filter(|place| place.split == Split::Test).count();
    let mut found = Found { n_images: (places.len() - n_test, n_test), ..Found::default() };
    for (i, look) in looks.iter().enumerate() {
        found.n_bytes += look.n_bytes;
        *found.formats.entry(look.format.clone()).or_default() += 1;
        if let Err(image) = &look.seen {
            found.unreadable.push((i, image.clone()));
        }
    }
    found.sizes = sizes(&looks);
    let seen = looks.iter().filter_map(|look| look.seen.as_ref().ok());
    found.channels = channels(seen.map(|seen| &*seen.moments), source.channels);
    found.identical = groups::identical(&looks);
    found.alike = groups::alike(&looks, &found.identical);
    let label = |image: usize| places[image].images.label(places[image].index);
    let is_test = |image: usize| places[image].split == Split::Test;
    let mut repeated_tests: BTreeSet<usize> = BTreeSet::new();
    for group in found.identical.iter().chain(&found.alike) {
        let classes: BTreeSet<Option<u32>> = group.iter().map(|&image| label(image)).collect();
        found.n_mixed_classes += usize::from(classes.len() > 1);
        if group.iter().any(|&image| !is_test(image)) {
            repeated_tests.extend(group.iter().filter(|&&image| is_test(image)));
        }
    }
    found.n_test_in_train = repeated_tests.len();
    Scanned::All(Box::new(found))
}

fn sizes(looks: &[Look]) -> Sizes {
    let seen: Vec<(usize, usize)> =
        looks.iter().filter_map(|look| look.seen.as_ref().ok()).map(|seen| seen.size).collect();
    let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for size in &seen {
        *counts.entry(*size).or_default() += 1;
    }
    let of = |side: fn(&(usize, usize)) -> usize| {
        let mut sides: Vec<usize> = seen.iter().map(side).collect();
        sides.sort_unstable();
        match &sides[..] {
            [] => [0; 3],
            sides => [sides[0], sides[sides.len() / 2], sides[sides.len() - 1]],
        }
    };
    Sizes {
        shorter: of(|(height, width)| *height.min(width)),
        longer: of(|(height, width)| *height.max(width)),
        most_frequent: counts.into_iter().max_by_key(|(size, n)| (*n, std::cmp::Reverse(*size))),
    }
}
