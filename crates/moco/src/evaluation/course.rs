//! How the training of a classifier goes on, stops, and is kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use loader::{digests_of_a_few, may_be_the_same};
use pipeline::View;
use plugin_api::Images;
use run_store::checkpoint::{self, Snapshot, Stored};

use super::{Evaluation, EvaluationError};

/// How a training goes on, stops, and is kept. The result does not depend on it, nor on how often it was stopped.
pub struct Course<'a> {
    /// What an earlier training of the same settings has saved, to go on from.
    pub from: Option<&'a Snapshot>,
    /// Set from elsewhere to stop after the step under way, or the batch that is tested.
    pub stop: &'a AtomicBool,
    /// Gets what is needed to go on: after each epoch, but the last of a probe, and when it stops. A fine-tuned
    /// encoder is saved before it is tested.
    pub save: &'a mut dyn FnMut(&Snapshot) -> Result<(), EvaluationError>,
}

/// Where a training is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Position {
    /// The next step, by epoch and step within it.
    pub(super) next: (u64, u64),
    /// Images that went through so far.
    pub(super) n_done: usize,
}

const POSITION: &str = "position";

/// What is in a few images of both splits, and how these are called.
const CONTENTS: [(&str, &str); 2] =
    [("in the training images", "training images"), ("in the test images", "test images")];

impl Course<'_> {
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Checks that what is gone on from was started with `settings`, texts by name.
    ///
    /// # Errors
    /// The first that differs.
    pub(super) fn check(&self, settings: &BTreeMap<String, String>) -> Result<(), EvaluationError> {
        let Some(from) = self.from else { return Ok(()) };
        let before = |name: &str| from.metadata.get(name).map_or("", String::as_str);
        let is_contents = |name: &str| CONTENTS.iter().any(|(contents, _)| *contents == name);
        for (name, now) in settings.iter().filter(|(name, _)| !is_contents(name)) {
            if before(name) != now {
                return Err(EvaluationError::OtherTraining {
                    what: name.clone(),
                    before: before(name).to_owned(),
                    now: now.clone(),
                });
            }
        }
        // Of other numbers of images, the contents say nothing.
        for (name, images) in CONTENTS {
            let now = settings.get(name).map_or("", String::as_str).split(' ').map(str::to_owned);
            if !may_be_the_same(before(name), &now.collect::<Vec<_>>()) {
                return Err(EvaluationError::OtherImages { images });
            }
        }
        Ok(())
    }
}

impl Position {
    /// The position of `snapshot`.
    ///
    /// # Errors
    /// If it has none.
    pub(super) fn of(snapshot: &Snapshot) -> Result<Self, EvaluationError> {
        match snapshot.tensors.get(POSITION) {
            Some(Stored::U64(values)) if values.len() == 3 => {
                Ok(Self { next: (values[0], values[1]), n_done: values[2] as usize })
            }
            _ => Err(lacking(POSITION)),
        }
    }

    pub(super) fn save(&self, tensors: &mut BTreeMap<String, Stored>) {
        let values = vec![self.next.0, self.next.1, self.n_done as u64];
        tensors.insert(POSITION.into(), Stored::U64(values));
    }
}

impl Evaluation {
    /// What a training must be gone on with, texts by name.
    pub(super) fn training_settings(
        &self,
        kind: &str,
        protocol: String,
        view: &View,
    ) -> BTreeMap<String, String> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        [
            ("the kind", kind.to_owned()),
            ("the settings", protocol),
            ("the training view", format!("`{}` of {:?}", view.name, view.size)),
            ("the test view", format!("`{}`", self.view.name)),
            ("the checkpoint", name(&self.run.checkpoint)),
            ("the encoder", self.encoder_digest()),
            ("the seed", self.options.seed.to_string()),
            ("the level", format!("{:?}", self.options.level)),
            ("the training images", described(&**self.train_images())),
            ("the test images", described(&**self.test_images())),
            (CONTENTS[0].0, digests_of_a_few(&**self.train_images()).join(" ")),
            (CONTENTS[1].0, digests_of_a_few(&**self.test_images()).join(" ")),
            ("the number of classes", self.train_images().class_names().len().to_string()),
        ]
        .map(|(what, text)| (what.to_owned(), text))
        .into()
    }

    /// A digest of the encoder's values.
    fn encoder_digest(&self) -> String {
        let snapshot = Snapshot { tensors: self.encoder.tensors(), ..Snapshot::default() };
        blake3::hash(&checkpoint::to_bytes(&snapshot)).to_hex()[..16].to_owned()
    }
}

/// The number of `images`, and a digest of their labels and names. Of a name only what follows the folders counts, so that images
/// may move.
fn described(images: &dyn Images) -> String {
    let mut hasher = blake3::Hasher::new();
    for image in 0..images.len() {
        let name = images.name(image);
        hasher.update(name.rsplit('/').next().unwrap_or_default().as_bytes());
        hasher.update(&images.label(image).map_or(u64::MAX, u64::from).to_le_bytes());
    }
    format!("{}, digest {}", images.len(), &hasher.finalize().to_hex()[..16])
}

/// Numbers in double precision, kept by their bits.
pub(super) fn doubles(values: &[f64]) -> Stored {
    Stored::U64(values.iter().map(|value| value.to_bits()).collect())
}

/// The numbers of [`doubles`] by this name.
///
/// # Errors
/// If there are none, or not `n` of them.
pub(super) fn take_doubles(snapshot: &Snapshot, name: &str, n: usize) -> Result<Vec<f64>, EvaluationError> {
    match snapshot.tensors.get(name) {
        Some(Stored::U64(bits)) if bits.len() == n => {
            Ok(bits.iter().map(|&bits| f64::from_bits(bits)).collect())
        }
        _ => Err(lacking(name)),
    }
}

/// The error for what a checkpoint of a training should have.
pub(super) fn lacking(name: &str) -> EvaluationError {
    EvaluationError::State(train_core::engine::StateError::Missing(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_images_of_the_same_names_are_others_as_far_as_they_can_be_read() {
        let settings = |names: &str, contents: &str| -> BTreeMap<String, String> {
            [("the training images", names), (CONTENTS[0].0, contents), (CONTENTS[1].0, "t u")]
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .into()
        };
        let snapshot = Snapshot { metadata: settings("2, digest x", "a b"), ..Snapshot::default() };
        let course =
            Course { from: Some(&snapshot), stop: &AtomicBool::new(false), save: &mut |_| unreachable!() };
        let said = |names: &str, contents: &str| match course.check(&settings(names, contents)) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said("2, digest x", "a b"), "");
        assert_eq!(said("2, digest x", "a -"), "");
        assert!(said("2, digest x", "a c").starts_with("the training images are not those"));
        // The number says more.
        assert!(said("1, digest y", "c").contains("started with the training images 2, digest x"));
    }
}
