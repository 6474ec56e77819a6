//! What a dataset must do.

use std::collections::BTreeSet;

use plugin_api::{Dataset, DatasetContext, Images, MAX_CHANNELS};
use rayon::prelude::*;

use crate::calm::calm;
use crate::config::Plugged;
use crate::fault::{Checked, ensure, wrong};

/// Most images of a split that are read.
const N_READ: usize = 64;
/// Most images of a split whose labels and names are looked at.
const N_LISTED: usize = 4096;

pub(crate) fn check(name: &str, config: Option<&str>) -> Checked {
    let plugged = Plugged::<dyn Dataset>::find(name, config)?;
    let context = DatasetContext { seed: 3 };
    plugged.check_config(&context)?;
    let dataset = plugged.build(&context)?;
    let channels = dataset.channels();
    ensure!(
        (1..=MAX_CHANNELS).contains(&channels),
        "its images have {channels} channels, and may have from 1 to {MAX_CHANNELS}"
    );
    let described = dataset.describe();
    ensure!(
        !described.trim().is_empty() && !described.contains('\n'),
        "`describe` gives `{described}`, and should give one line"
    );
    for bytes in [&b"no image"[..], b""] {
        let decoded = calm("in `decode` on bytes that are no image", || dataset.decode(bytes))?;
        ensure!(
            decoded.is_none_or(|decoded| decoded.is_err()),
            "`decode` makes an image of bytes that are none"
        );
    }
    let splits = match calm("in `open`", || dataset.open())? {
        Ok(splits) => splits,
        // What the config names need not be on this machine.
        Err(error) => {
            ensure!(
                !error.reason.trim().is_empty() && !error.hint.trim().is_empty(),
                "it cannot be opened, and its error lacks a reason or a hint: {error:?}"
            );
            return Ok(());
        }
    };
    let again = plugged.build(&context)?.open();
    let again = again.map_err(|error| wrong!("it can be opened once, and the second time fails: {error}"))?;
    ensure!(!splits.train.is_empty(), "its training split has no images: `open` should say so with an error");
    check_images("training", &*splits.train, &*again.train, channels)?;
    match (&splits.test, &again.test) {
        (Some(test), Some(again)) => {
            check_images("test", &**test, &**again, channels)?;
            ensure!(
                test.class_names() == splits.train.class_names() || test.class_names().is_empty(),
                "the classes of the test images are not those of the training images"
            );
            Ok(())
        }
        (None, None) => Ok(()),
        _ => Err(wrong!("it has a test split the one time it is opened, and not the other")),
    }
}

/// Up to `n` places of `images`, from the first to the last.
fn places(images: &dyn Images, n: usize) -> Vec<usize> {
    let len = images.len();
    let n = n.min(len);
    (0..n).map(|i| if n == len { i } else { i * (len - 1) / (n - 1) }).collect()
}

fn check_images(split: &str, images: &dyn Images, again: &dyn Images, channels: usize) -> Checked {
    ensure!(
        images.len() == again.len(),
        "it has {} {split} images, and {} when it is opened again",
        images.len(),
        again.len()
    );
    let n_images = images.len();
    ensure!(images.is_empty() == (n_images == 0), "`is_empty` is not what `len` says");
    check_classes(split, images)?;
    let mut keys = BTreeSet::new();
    for index in places(images, N_LISTED) {
        let (name, key) = (images.name(index), images.key(index));
        ensure!(!name.trim().is_empty(), "{split} image {index} has no name");
        ensure!(keys.insert(key.clone()), "two {split} images have the key `{key}`");
        ensure!(
            again.key(index) == key && again.label(index) == images.label(index),
            "{split} image {index} has another key or label when the dataset is opened again"
        );
    }
    let places = places(images, N_READ);
    let mut n_read = 0;
    let mut first_reason = None;
    for &index in &places {
        let image = match calm(&format!("in `load` of {split} image {index}"), || images.load(index))? {
            Ok(image) => image,
            Err(error) => {
                first_reason.get_or_insert(error);
                continue;
            }
        };
        n_read += 1;
        ensure!(
            image.channels == channels,
            "{split} image {index} has {} channels, and `channels` says {channels}",
            image.channels
        );
        ensure!(
            image.width > 0
                && image.height > 0
                && image.values.len() == image.width * image.height * image.channels,
            "{split} image {index} has {} values, and {} x {} pixels of {channels} channels",
            image.values.len(),
            image.height,
            image.width
        );
        ensure!(
            again.load(index).as_ref() == Ok(&image) && images.load(index).as_ref() == Ok(&image),
            "{split} image {index} has other bytes when it is read again, with the same seed"
        );
    }
    if let (0, Some(reason)) = (n_read, first_reason) {
        return Err(wrong!("none of the {split} images can be read: {reason}"));
    }
    let alone: Vec<_> = places.iter().map(|index| images.load(*index).ok()).collect();
    let together: Vec<_> = places.par_iter().map(|index| images.load(*index).ok()).collect();
    ensure!(alone == together, "{split} images have other bytes when several threads read at once");
    for note in images.notes() {
        ensure!(!note.trim().is_empty(), "`notes` has an empty sentence");
    }
    Ok(())
}

/// Labels are of classes that have names.
fn check_classes(split: &str, images: &dyn Images) -> Checked {
    let classes = images.class_names();
    let unique: BTreeSet<&String> = classes.iter().collect();
    ensure!(unique.len() == classes.len(), "two classes of the {split} images have one name");
    let mut n_labeled = 0;
    let listed = places(images, N_LISTED);
    for &index in &listed {
        let Some(label) = images.label(index) else { continue };
        n_labeled += 1;
        ensure!(
            (label as usize) < classes.len(),
            "{split} image {index} has the label {label}, and there are {} class names: labels count from 0",
            classes.len()
        );
    }
    ensure!(
        n_labeled == 0 || n_labeled == listed.len(),
        "{n_labeled} of {} {split} images have labels: all or none must",
        listed.len()
    );
    Ok(())
}
