//! Classes from the folders that images are in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use plugin_api::{DatasetError, Images};

use crate::images::{Labels, Part, StoredImages};
use crate::listing::{shown, shown_path, split_first};
use crate::places::{error, no_images};
use crate::root::Found;

/// Names that a note gives.
const N_TOLD: usize = 10;

/// Images in class folders, of one split.
#[derive(Default)]
pub(crate) struct Classed {
    pub(crate) parts: Vec<Part>,
    /// How many images of which class follow each other.
    runs: Vec<(Vec<u8>, usize)>,
    /// Class folders, with images or without.
    folders: BTreeSet<Vec<u8>>,
    /// What is odd, one sentence each.
    pub(crate) notes: Vec<String>,
}

impl Classed {
    /// Adds the images that are in class folders of `found`. Those beside them are left out.
    pub(crate) fn add(&mut self, found: Found) {
        self.notes.extend(found.notes());
        self.folders.extend(found.top_folders);
        let mut part = found.part;
        let loose: Vec<&[u8]> = part.entries.paths().filter(|path| split_first(path).is_none()).collect();
        if !loose.is_empty() {
            let files = listed(loose.iter().map(|path| shown(path)));
            self.notes.push(format!(
                "{}: {} beside the class folders, without a class, and left out: {files}",
                shown_path(&part.place),
                if loose.len() == 1 { "1 image is".into() } else { format!("{} images are", loose.len()) },
            ));
            part.entries = part.entries.filtered(|path| split_first(path).is_some());
        }
        for path in part.entries.paths() {
            let Some((class, _)) = split_first(path) else { continue };
            match self.runs.last_mut() {
                Some((last, n)) if last == class => *n += 1,
                _ => self.runs.push((class.to_vec(), 1)),
            }
        }
        self.parts.push(part);
    }

    /// # Errors
    /// If there is no class folder, or no image in any of them.
    pub(crate) fn check(&self) -> Result<(), DatasetError> {
        let place = self.parts.first().map_or(Path::new(""), |part| &part.place);
        if self.folders.is_empty() {
            let hint = self
                .notes
                .iter()
                .map(String::as_str)
                .chain(["for images without class folders, use `flat-folder`"]);
            return Err(error(
                place,
                "there are no class folders in it",
                hint.collect::<Vec<_>>().join("; "),
            ));
        }
        if self.runs.is_empty() { Err(no_images(place, &self.notes)) } else { Ok(()) }
    }

    fn classes(&self) -> BTreeSet<&[u8]> {
        self.runs.iter().map(|(class, _)| class.as_slice()).collect()
    }

    fn labels(&self, numbers: &BTreeMap<&[u8], u32>, class_names: &Arc<[String]>) -> Labels {
        let run = |(class, n): &(Vec<u8>, usize)| std::iter::repeat_n(numbers[class.as_slice()], *n);
        let of_images = self.runs.iter().flat_map(run).collect();
        Labels { of_images: Some(of_images), class_names: Arc::clone(class_names) }
    }
}

/// The labels of both splits, whose classes are numbered together in the order of their names, and what to say of class
/// folders without images.
pub(crate) fn number_classes(
    train: &Classed,
    test: Option<&Classed>,
) -> (Labels, Option<Labels>, Option<String>) {
    let (of_train, of_test) = (train.classes(), test.map(Classed::classes));
    let all: BTreeSet<&[u8]> = of_train.iter().chain(of_test.iter().flatten()).copied().collect();
    let numbers: BTreeMap<&[u8], u32> = all.iter().copied().zip(0..).collect();
    let class_names: Arc<[String]> = all.iter().map(|class| shown(class)).collect();

    let folders: BTreeSet<&[u8]> =
        train.folders.iter().chain(test.iter().flat_map(|test| &test.folders)).map(Vec::as_slice).collect();
    let empty: Vec<String> = folders.difference(&all).map(|name| shown(name)).collect();
    let n = empty.len();
    let list = listed(empty.into_iter());
    let note = match n {
        0 => None,
        1 => Some(format!("1 class folder has no image and is left out: {list}")),
        n => Some(format!("{n} class folders have no image and are left out: {list}")),
    };
    let train_labels = train.labels(&numbers, &class_names);
    let test_labels = test.map(|test| test.labels(&numbers, &class_names));
    (train_labels, test_labels, note)
}

/// What to say of classes that only one of two splits has, whose classes are numbered together.
pub(crate) fn uneven_classes(train: &StoredImages, test: &StoredImages) -> Vec<String> {
    let of = |images: &StoredImages| -> BTreeSet<u32> {
        (0..images.len()).filter_map(|index| images.label(index)).collect()
    };
    let (of_train, of_test) = (of(train), of(test));
    let told = |only: BTreeSet<u32>, one: &str, many: &str| {
        let names = listed(only.iter().map(|&class| train.class_names()[class as usize].clone()));
        match only.len() {
            0 => None,
            1 => Some(format!("1 {one}: {names}")),
            n => Some(format!("{n} {many}: {names}")),
        }
    };
    let only_train = told(&of_train - &of_test, "class has no test image", "classes have no test image");
    let only_test = told(
        &of_test - &of_train,
        "class has test images and no training image, so that it cannot be recognized",
        "classes have test images and no training image, so that they cannot be recognized",
    );
    only_train.into_iter().chain(only_test).collect()
}

/// The first of `names`, and dots if there are more.
pub(crate) fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = if names.len() > N_TOLD { ", ..." } else { "" };
    names.take(N_TOLD).collect::<Vec<_>>().join(", ") + more
}
