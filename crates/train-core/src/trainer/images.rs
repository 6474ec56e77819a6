//! Which images a run has: what its checkpoints say of them, to know them again.

use std::collections::BTreeMap;
use std::fmt;

use loader::{digests_of_a_few, may_be_the_same};
use pipeline::Moved;
use plugin_api::{Images, Split, Splits};

/// The images of both splits of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageSets {
    train: ImageSet,
    /// `None` without test images.
    test: Option<ImageSet>,
}

/// How many images, and which: a digest of their names in order, and digests of the contents of a few.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ImageSet {
    n: usize,
    digest: String,
    /// `-` for one that cannot be read.
    contents: Vec<String>,
}

/// A split with other images than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedImages {
    /// The split.
    pub split: Split,
    /// The number of images when the checkpoint was written.
    pub before: usize,
    /// The number of images now.
    pub now: usize,
}

impl fmt::Display for ChangedImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { split, before, now } = self;
        let split = match split {
            Split::Train => "training",
            Split::Test => "test",
        };
        match before == now {
            true => write!(f, "there are {now} {split} images, as before, but not the same ones"),
            false => write!(f, "there were {before} {split} images, and there are {now} now"),
        }
    }
}

const TRAIN: &str = "train_images";
const TEST: &str = "test_images";
const TRAIN_CONTENTS: &str = "train_contents";
const TEST_CONTENTS: &str = "test_contents";

impl ImageSets {
    /// The images of `splits`, by the names that they had before they were `moved`.
    pub(super) fn of(splits: &Splits, moved: &Moved) -> Self {
        let set = |images: &dyn Images| ImageSet::of(images, moved);
        Self { train: set(&*splits.train), test: splits.test.as_ref().map(|images| set(&**images)) }
    }

    /// Writes them into a checkpoint's metadata.
    pub(super) fn save(&self, metadata: &mut BTreeMap<String, String>) {
        metadata.insert(TRAIN.into(), self.train.to_string());
        metadata.insert(TEST.into(), self.test.as_ref().map_or("none".into(), ToString::to_string));
        metadata.insert(TRAIN_CONTENTS.into(), self.train.contents.join(" "));
        if let Some(test) = &self.test {
            metadata.insert(TEST_CONTENTS.into(), test.contents.join(" "));
        }
    }

    /// Whether a checkpoint's metadata say something of images.
    pub(super) fn are_told(metadata: &BTreeMap<String, String>) -> bool {
        metadata.contains_key(TRAIN)
    }

    /// What `environment.json` says of both splits; null without test images.
    pub(super) fn described(&self) -> [serde_json::Value; 2] {
        let described = |set: &ImageSet| serde_json::json!({ "count": set.n, "digest": set.digest });
        [described(&self.train), self.test.as_ref().map(described).unwrap_or_default()]
    }

    /// The first split that differs from what a checkpoint's metadata say. Those of an imported start say nothing.
    pub(super) fn change_since(&self, metadata: &BTreeMap<String, String>) -> Option<ChangedImages> {
        let change = |split, [key, contents]: [&str; 2], now: Option<&ImageSet>| {
            let before = metadata.get(key)?;
            let n_before = before.split_once(' ').and_then(|(n, _)| n.parse().ok()).unwrap_or(0);
            let has_same_names = *before == now.map_or("none".into(), ToString::to_string);
            let is_same = has_same_names && now.is_none_or(|now| now.may_be(metadata.get(contents)));
            let changed = ChangedImages { split, before: n_before, now: now.map_or(0, |set| set.n) };
            (!is_same).then_some(changed)
        };
        change(Split::Train, [TRAIN, TRAIN_CONTENTS], Some(&self.train)).or(change(
            Split::Test,
            [TEST, TEST_CONTENTS],
            self.test.as_ref(),
        ))
    }
}

/// Writes into a checkpoint's metadata `to` what those of another say of images.
pub(super) fn carry_images(from: &BTreeMap<String, String>, to: &mut BTreeMap<String, String>) {
    let known =
        [TRAIN, TEST, TRAIN_CONTENTS, TEST_CONTENTS].into_iter().filter_map(|key| from.get_key_value(key));
    to.extend(known.map(|(key, images)| (key.clone(), images.clone())));
}

impl ImageSet {
    fn of(images: &dyn Images, moved: &Moved) -> Self {
        let name = |index| moved.before(&images.name(index));
        let shared = shared_folder((0..images.len()).map(name));
        let mut hasher = blake3::Hasher::new();
        for index in 0..images.len() {
            hasher.update(&name(index).as_bytes()[shared..]);
            hasher.update(b"\n");
        }
        // Half of it is far more than enough to tell sets apart.
        let digest = hasher.finalize().to_hex()[..32].to_owned();
        Self { n: images.len(), digest, contents: digests_of_a_few(images) }
    }

    /// Whether these can be the images with such `contents`. What could not be read then, or cannot now, is no difference, and
    /// checkpoints of an earlier version tell of none.
    fn may_be(&self, contents: Option<&String>) -> bool {
        may_be_the_same(contents.map(String::as_str).unwrap_or_default(), &self.contents)
    }
}

impl fmt::Display for ImageSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.n, self.digest)
    }
}

/// The length of the folder that all names start with: a set is the same in another place.
fn shared_folder(mut names: impl Iterator<Item = String>) -> usize {
    let Some(first) = names.next() else { return 0 };
    let mut n = first.rfind('/').map_or(0, |slash| slash + 1);
    for name in names {
        let shared = first.bytes().zip(name.bytes()).take(n).take_while(|(a, b)| a == b).count();
        if shared < n {
            n = first.as_bytes()[..shared]
                .iter()
                .rposition(|byte| *byte == b'/')
                .map_or(0, |slash| slash + 1);
        }
    }
    n
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plugin_api::{ByteImage, UnreadableImage};

    use super::*;

    /// Names, and the gray of all images, if they can be read.
    struct Named(Vec<String>, Option<u8>);

    impl Images for Named {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn label(&self, _: usize) -> Option<u32> {
            None
        }
        fn class_names(&self) -> &[String] {
            &[]
        }
        fn name(&self, index: usize) -> String {
            self.0[index].clone()
        }
        fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
            match self.1 {
                Some(gray) => Ok(ByteImage::rgb(1, 1, vec![gray; 3])),
                None => Err(UnreadableImage { name: self.name(index), reason: "it is not there".into() }),
            }
        }
    }

    fn named(names: &[&str]) -> Arc<dyn Images> {
        gray(names, None)
    }

    fn gray(names: &[&str], gray: Option<u8>) -> Arc<dyn Images> {
        Arc::new(Named(names.iter().map(|name| (*name).to_owned()).collect(), gray))
    }

    fn sets(train: &[&str], test: Option<&[&str]>, moved: &[&str]) -> ImageSets {
        let splits = Splits { train: named(train), test: test.map(named), notes: Vec::new() };
        ImageSets::of(&splits, &moved.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn change(before: &ImageSets, now: &ImageSets) -> Option<String> {
        let mut metadata = BTreeMap::new();
        before.save(&mut metadata);
        now.change_since(&metadata).map(|change| change.to_string())
    }

    #[test]
    fn a_set_is_known_again_in_another_place() {
        let before = sets(&["/a/x/1.jpg", "/a/y/2.jpg"], Some(&["/a/x/3.jpg"]), &[]);
        assert_eq!(change(&before, &sets(&["b/x/1.jpg", "b/y/2.jpg"], Some(&["b/3.jpg"]), &[])), None);
        // Of several places, each may have moved on its own.
        let apart = sets(&["/c/1.jpg", "/d/2.jpg"], Some(&["3.jpg"]), &["/a/x=/c", "/a/y=/d"]);
        assert_eq!(change(&before, &apart), None);
    }

    #[test]
    fn other_images_are_told_with_both_numbers() {
        let before = sets(&["a/1", "a/2"], Some(&["a/3"]), &[]);
        for (train, test, told) in [
            (&["a/1"][..], Some(&["a/3"][..]), "there were 2 training images, and there are 1 now"),
            (
                &["a/1", "a/4"],
                Some(&["a/3"]),
                "there are 2 training images, as before, but not the same ones",
            ),
            (
                &["a/2", "a/1"],
                Some(&["a/3"]),
                "there are 2 training images, as before, but not the same ones",
            ),
            (&["a/1", "a/2"], None, "there were 1 test images, and there are 0 now"),
            (&["a/1", "a/2"], Some(&["a/3", "a/4"]), "there were 1 test images, and there are 2 now"),
        ] {
            assert_eq!(change(&before, &sets(train, test, &[])).as_deref(), Some(told));
        }
        let without = sets(&["a/1", "a/2"], None, &[]);
        assert_eq!(change(&without, &before).unwrap(), "there were 0 test images, and there are 1 now");
    }

    #[test]
    fn other_images_of_the_same_names_are_others_as_far_as_they_can_be_read() {
        let set = |shade| {
            let splits = Splits { train: gray(&["a/1", "a/2"], shade), test: None, notes: Vec::new() };
            ImageSets::of(&splits, &Moved::default())
        };
        let (dark, bright, gone) = (set(Some(1)), set(Some(200)), set(None));
        assert_eq!(change(&dark, &set(Some(1))), None);
        let told = change(&dark, &bright).unwrap();
        assert_eq!(told, "there are 2 training images, as before, but not the same ones");
        assert_eq!((change(&dark, &gone), change(&gone, &dark)), (None, None));
        // A checkpoint of an earlier version tells of names only.
        let mut metadata = BTreeMap::new();
        dark.save(&mut metadata);
        metadata.remove(TRAIN_CONTENTS);
        assert_eq!(bright.change_since(&metadata), None);
    }

    #[test]
    fn metadata_without_images_know_of_no_change() {
        let now = sets(&["a/1"], None, &[]);
        assert_eq!(now.change_since(&BTreeMap::new()), None);
    }
}
