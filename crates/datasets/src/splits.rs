//! Both splits of a dataset of image files.

use std::sync::Arc;

use plugin_api::Splits;

use crate::classes::uneven_classes;
use crate::decode::ReadOptions;
use crate::images::{Labels, Part, StoredImages};
use crate::list::{ListedLabels, number_both};

/// The image files of a split, one place after the other, and their labels if all of them have some.
pub(crate) struct Listed {
    pub(crate) parts: Vec<Part>,
    pub(crate) labels: Option<ListedLabels>,
    /// What is odd, one sentence each.
    pub(crate) notes: Vec<String>,
}

/// The splits of which each has labels or none; classes are numbered together.
pub(crate) fn splits_of_listed(train: Listed, test: Option<Listed>, read: &ReadOptions) -> Splits {
    let mut notes = train.notes;
    notes.extend(test.iter().flat_map(|test| test.notes.clone()));
    let (labels, test_labels) = match (&train.labels, test.as_ref().map(|test| test.labels.as_ref())) {
        (Some(labels), Some(Some(test))) => number_both(labels, Some(test)),
        (Some(labels), None) => number_both(labels, None),
        (None, None) => (Labels::none(), None),
        (with, Some(_)) => {
            if with.is_some() {
                notes.push("the training images have labels and the test images have none".into());
            }
            (Labels::none(), Some(Labels::none()))
        }
    };
    let test = test.map(|test| test.parts).zip(test_labels);
    splits_of((train.parts, labels), test, read, notes)
}

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
