//! The files of `rejected/`: changes to `small.ron` that must be refused, and the message for each.
//!
//! ```text
//! == epochs_zero: Nothing to train.
//! -    epochs: 2,
//! +    epochs: 0, // <- here
//!
//! error: there is no epoch to train
//! ...
//! ```
//!
//! A change is written as a unified diff has it: lines that go (`-`), that come (`+`), and that stay around them (space).
//! `...` stands between two changes, each of which is looked for after the one before. A change that names no line of
//! `small.ron` is the whole file.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::support::here;

/// What a message may say in any words, without its being wrong: such as the names of all plugins.
const ANYTHING: &str = "[..]";

/// The cases of one file.
pub(crate) struct Topic {
    path: PathBuf,
    pub(crate) cases: Vec<Case>,
}

/// One change to `small.ron`, and what is said of it.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    title: String,
    change: String,
    pub(crate) expected: String,
}

/// All of `rejected/`.
pub(crate) fn topics() -> Vec<Topic> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(here("rejected")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(Topic::read).collect()
}

/// The case called `name`.
pub(crate) fn case(name: &str) -> Case {
    let mut cases = topics().into_iter().flat_map(|topic| topic.cases);
    cases.find(|case| case.name == name).unwrap_or_else(|| panic!("no case is named {name}"))
}

impl Topic {
    fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap();
        let text =
            text.strip_prefix("== ").unwrap_or_else(|| panic!("{} starts with no case", path.display()));
        let cases = text.split("\n== ").map(Case::parse).collect();
        Self { path, cases }
    }

    /// Writes the file anew, with the messages that the cases have now.
    pub(crate) fn write(&self) {
        let cases: Vec<String> = self.cases.iter().map(Case::to_text).collect();
        std::fs::write(&self.path, cases.join("\n")).unwrap();
    }
}

impl Case {
    fn parse(text: &str) -> Self {
        let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
        let (name, title) = head.split_once(": ").unwrap_or_else(|| panic!("`{head}` is no name and title"));
        let (change, expected) = rest.split_once("\n\n").unwrap_or((rest, ""));
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            change: change.trim_end().to_owned(),
            expected: expected.trim_end().to_owned(),
        }
    }

    fn to_text(&self) -> String {
        let Self { name, title, change, expected } = self;
        format!("== {name}: {title}\n{change}\n\n{expected}\n")
    }

    /// The file's name.
    pub(crate) fn file(&self) -> String {
        format!("{}.ron", self.name)
    }

    /// Writes the file into `folder`; gives its text.
    pub(crate) fn write(&self, folder: &Path) -> String {
        let text = self.pipeline();
        std::fs::write(folder.join(self.file()), &text).unwrap();
        text
    }

    /// `small.ron` with the change in it.
    fn pipeline(&self) -> String {
        let small = std::fs::read_to_string(here("small.ron")).unwrap();
        let small: Vec<&str> = small.lines().collect();
        let mut lines: Vec<&str> = Vec::new();
        let mut at = 0;
        for change in self.change.split("\n...\n") {
            let sides = |signs: [char; 2]| -> Vec<&str> {
                change.lines().filter(|line| line.starts_with(signs)).map(|line| &line[1..]).collect()
            };
            let (old, new) = (sides([' ', '-']), sides([' ', '+']));
            if old.is_empty() {
                return new.join("\n") + "\n";
            }
            let found = (at..small.len()).find(|&start| small[start..].starts_with(&old));
            let start =
                found.unwrap_or_else(|| panic!("{}: small.ron has no\n{}", self.name, old.join("\n")));
            lines.extend(&small[at..start]);
            lines.extend(new);
            at = start + old.len();
        }
        lines.extend(&small[at..]);
        lines.join("\n") + "\n"
    }

    /// Whether `said` is the message that is expected.
    pub(crate) fn expects(&self, said: &str) -> bool {
        let (said, expected): (Vec<&str>, Vec<&str>) =
            (said.trim_end().lines().collect(), self.expected.lines().collect());
        said.len() == expected.len() && expected.iter().zip(said).all(|(pattern, line)| fits(pattern, line))
    }

    /// The message that is expected, and what was said.
    pub(crate) fn difference(&self, said: &str) -> String {
        let mut text = String::new();
        write!(text, "said\n{said}\nexpected\n{}", self.expected).unwrap();
        text
    }
}

fn fits(pattern: &str, line: &str) -> bool {
    let Some((start, rest)) = pattern.split_once(ANYTHING) else { return pattern == line };
    let Some(line) = line.strip_prefix(start) else { return false };
    let ends = (0..=line.len()).filter(|&end| line.is_char_boundary(end));
    ends.into_iter().any(|end| fits(rest, &line[end..]))
}

#[test]
fn a_pattern_leaves_open_what_it_does_not_say() {
    for (pattern, line, expected) in [
        ("choose from `a`", "choose from `a`", true),
        ("choose from `a`", "choose from `a`, `b`", false),
        ("choose from [..]`b`[..]", "choose from `a`, `b`", true),
        ("choose from [..]`b`[..]", "choose from `a`, `c`", false),
    ] {
        assert_eq!(fits(pattern, line), expected, "{pattern} {line}");
    }
}
