//! Both splits of a dataset of image files.

use std::sync::Arc;

use plugin_api::Splits;

use crate::classes::uneven_classes;
use crate::decode::ReadOptions;
use crate::images::{Labels, Part, StoredImages};

/// The splits from their files and labels, whose classes are numbered together. What is odd about the classes comes after
/// `notes`.
pub(crate) fn splits_of(
    train: (Vec<Part>, Labels),
    test: Option<(Vec<Part>, Labels)>,
    read: &ReadOptions,
    mut notes: Vec<String>,
) -> Splits {
    let images = |(parts, labels)| StoredImages::new(parts, labels, read);
    let (train, test) = (images(train), test.map(images));
    notes.extend(test.iter().flat_map(|test| uneven_classes(&train, test)));
    Splits { train: Arc::new(train), test: test.map(|test| Arc::new(test) as _), notes }
}
