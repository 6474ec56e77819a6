//! What a listing leaves out, and the sentences that tell it.

use std::collections::{BTreeMap, BTreeSet};

use super::endings::{ending_of, is_foreign_image};
use super::names::shown;

/// Names that a note gives as examples.
const N_EXAMPLES: usize = 3;
/// Endings that are counted apart; more are counted together.
const MAX_ENDINGS: usize = 1000;
/// Endings that a note counts apart.
const MAX_TOLD: usize = 12;

/// Why a file or folder is no part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// A link that leads nowhere, and does not end like an image.
    DeadLink,
    /// A pattern of `exclude`.
    Excluded,
    /// A name that begins with a dot, or `__MACOSX`.
    Hidden,
    /// A link to a folder above it.
    Loop,
    /// It ends like an image, and is no file.
    NoFile,
    /// This program drew it.
    OwnPicture,
    /// A run, or a folder of runs.
    RunFolder,
    /// It cannot be listed.
    Unlistable,
    /// An archive that is no part of the folder around it.
    Archive,
    /// A name that is no text, on a system where it should be.
    Unnameable,
}

/// Counts of what was left out, with the first names in the order of their bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct PassedOver {
    /// Files of other kinds, by ending.
    endings: BTreeMap<String, u64>,
    /// Files whose endings are too many to count apart.
    n_other: u64,
    reasons: BTreeMap<Reason, Tally>,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    n: u64,
    examples: BTreeSet<String>,
}

impl Tally {
    fn add(&mut self, n: u64, examples: impl IntoIterator<Item = String>) {
        self.n += n;
        self.examples.extend(examples);
        while self.examples.len() > N_EXAMPLES {
            self.examples.pop_last();
        }
    }
}

impl PassedOver {
    /// Counts a file that does not end like an image.
    pub(crate) fn add_file(&mut self, path: &[u8]) {
        self.add_ending(ending_of(path), 1);
    }

    pub(crate) fn add(&mut self, reason: Reason, path: &[u8]) {
        self.add_text(reason, shown(path));
    }

    pub(crate) fn add_text(&mut self, reason: Reason, text: String) {
        self.reasons.entry(reason).or_default().add(1, [text]);
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.n_other += other.n_other;
        other.endings.into_iter().for_each(|(ending, n)| self.add_ending(ending, n));
        for (reason, tally) in other.reasons {
            self.reasons.entry(reason).or_default().add(tally.n, tally.examples);
        }
    }

    fn add_ending(&mut self, ending: String, n: u64) {
        if self.endings.len() < MAX_ENDINGS || self.endings.contains_key(&ending) {
            *self.endings.entry(ending).or_default() += n;
        } else {
            self.n_other += n;
        }
    }

    /// One sentence for each kind, about `place`.
    pub(crate) fn notes(&self, place: &str) -> Vec<String> {
        let (foreign, others): (Vec<_>, Vec<_>) = self
            .endings
            .iter()
            .map(|(ending, n)| (ending.as_str(), *n))
            .partition(|(e, _)| is_foreign_image(e));
        let foreign = counted(foreign, 0).map(|(n, list)| {
            format!(
                "{place}: {} not read, because of the format: {list}; convert them, for instance to JPEG",
                verb(n, "image is", "images are")
            )
        });
        let others = counted(others, self.n_other).map(|(n, list)| {
            let verb = verb(n, "file is passed over, since it does", "files are passed over, since they do");
            format!("{place}: {verb} not end like an image: {list}")
        });
        let reasons = self.reasons.iter().map(|(reason, tally)| {
            let examples: Vec<&str> = tally.examples.iter().map(String::as_str).collect();
            let more = if tally.n > examples.len() as u64 { ", ..." } else { "" };
            format!("{place}: {}: {}{more}", reason.told(tally.n), examples.join(", "))
        });
        foreign.into_iter().chain(others).chain(reasons).collect()
    }
}

impl Reason {
    fn told(self, n: u64) -> String {
        match self {
            Self::DeadLink => verb(n, "link leads nowhere", "links lead nowhere"),
            Self::Excluded => {
                verb(n, "image or folder is", "images or folders are") + " left out by `exclude`"
            }
            Self::Hidden => {
                verb(n, "hidden image or folder is", "hidden images or folders are") + " passed over"
            }
            Self::Loop => verb(n, "link leads", "links lead") + " back to a folder above and is not followed",
            Self::NoFile => verb(n, "name ends", "names end") + " like an image and is no file",
            Self::OwnPicture => {
                let whom = if n == 1 { "it" } else { "them" };
                verb(n, "picture is", "pictures are") + " passed over, since this program drew " + whom
            }
            Self::RunFolder => verb(n, "folder of runs is", "folders of runs are") + " no part of the data",
            Self::Unlistable => verb(n, "folder or file", "folders or files") + " cannot be listed",
            Self::Archive => {
                let whom = if n == 1 { "it" } else { "one" };
                let are = verb(n, "archive is", "archives are");
                format!("{are} passed over: name {whom} as `root`, or use the dataset `archive`")
            }
            Self::Unnameable => verb(n, "name is", "names are") + " no text",
        }
    }
}

/// `1 image is` or `3 images are`.
fn verb(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// The sum and the list of `endings`, the most frequent first; `None` if there are none.
fn counted(mut endings: Vec<(&str, u64)>, n_other: u64) -> Option<(u64, String)> {
    endings.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
    let n = endings.iter().map(|(_, n)| n).sum::<u64>() + n_other;
    let told = endings.iter().take(MAX_TOLD).map(|(ending, n)| match *ending {
        "" => format!("{n} without an ending"),
        ending => format!("{n} {ending}"),
    });
    let mut list: Vec<String> = told.collect();
    let n_rest = endings.iter().skip(MAX_TOLD).map(|(_, n)| n).sum::<u64>() + n_other;
    if n_rest > 0 {
        list.push(format!("{n_rest} others"));
    }
    (n > 0).then(|| (n, list.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_by_ending_and_images_of_other_formats_apart() {
        let mut passed = PassedOver::default();
        for file in ["a.HEIC", "b.heic", "c.avif", "d.txt", "e", "f.xml", "g.xml"] {
            passed.add_file(file.as_bytes());
        }
        let notes = passed.notes("photos");
        let expected = [
            "photos: 3 images are not read, because of the format: 2 heic, 1 avif; convert them, for instance to JPEG",
            "photos: 4 files are passed over, since they do not end like an image: 2 xml, 1 without an ending, 1 txt",
        ];
        assert_eq!(notes, expected);
        assert!(PassedOver::default().notes("photos").is_empty());
    }

    #[test]
    fn examples_are_the_first_names_in_whatever_order_they_are_met() {
        let mut passed = PassedOver::default();
        ["d", "b", "c"].iter().for_each(|name| passed.add(Reason::Hidden, name.as_bytes()));
        let mut other = PassedOver::default();
        ["e", "a"].iter().for_each(|name| other.add(Reason::Hidden, name.as_bytes()));
        other.append(passed);
        assert_eq!(other.notes("x"), ["x: 5 hidden images or folders are passed over: a, b, c, ..."]);
    }

    #[test]
    fn many_endings_take_little_memory() {
        let mut passed = PassedOver::default();
        (0..5000).for_each(|number| passed.add_file(format!("x.{number}").as_bytes()));
        assert_eq!(passed.endings.len(), MAX_ENDINGS);
        assert!(passed.notes("x")[0].contains("5000 files") && passed.notes("x")[0].ends_with("4988 others"));
    }
}
