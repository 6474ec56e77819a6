//! Which split each line of a table belongs to, where a column says it.

use super::List;
use super::builder::{ListedLabels, kept};
use crate::images::Part;

/// What a column of splits is called, in lower case.
pub(super) const NAMES: [&str; 4] = ["split", "set", "subset", "fold"];

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Train,
    Validation,
    Test,
    /// The line does not say.
    Unsaid,
}

impl Role {
    /// The split that `value` names, in letters of any case.
    pub(super) fn of(value: &[u8]) -> Option<Self> {
        match value.to_ascii_lowercase().as_slice() {
            b"train" | b"training" => Some(Self::Train),
            b"val" | b"valid" | b"validation" | b"dev" => Some(Self::Validation),
            b"test" | b"testing" => Some(Self::Test),
            b"" => Some(Self::Unsaid),
            _ => None,
        }
    }
}

/// What a column says of each line.
#[derive(Clone, Debug)]
pub(super) struct Roles {
    /// The name of the column.
    pub(super) column: String,
    pub(super) of_lines: Vec<Role>,
}

impl Roles {
    fn count(&self, role: Role) -> usize {
        self.of_lines.iter().filter(|found| **found == role).count()
    }

    /// Whether some lines are to train on, and some are not.
    pub(super) fn divide(&self) -> bool {
        (1..self.of_lines.len()).contains(&self.count(Role::Train))
    }

    pub(super) fn keep(&mut self, is_kept: &[bool]) {
        let mut is_kept = is_kept.iter();
        self.of_lines.retain(|_| is_kept.next() == Some(&true));
    }
}

impl List {
    /// The lines to train on and those to test on, as a column says; all lines and none if no column does. Lines that are for
    /// neither are left out, which is told.
    pub(crate) fn divided(mut self) -> (Self, Option<Self>) {
        let Some(roles) = self.roles.take().filter(Roles::divide) else { return (self, None) };
        let held_out = match roles.count(Role::Validation) {
            0 => Role::Test,
            _ => Role::Validation,
        };
        let (n_train, n_held_out) = (roles.count(Role::Train), roles.count(held_out));
        let n_rest = roles.of_lines.len() - n_train - n_held_out;
        let rest = match n_rest {
            0 => String::new(),
            n if held_out == Role::Validation && roles.count(Role::Test) == n => {
                format!(", and {n} of `test` are left out")
            }
            n => format!(", and {n} others are left out"),
        };
        let lines = if n_train == 1 { "1 line".into() } else { format!("{n_train} lines") };
        self.notes.push(format!(
            "the column `{}` divides it: {lines} to train on, {n_held_out} to test on{rest}; with `split_column: \"\"` all \
             lines are to train on",
            roles.column
        ));
        let of = |role| -> Vec<bool> { roles.of_lines.iter().map(|found| *found == role).collect() };
        let test = (n_held_out > 0).then(|| self.taken(&of(held_out), Vec::new()));
        let notes = std::mem::take(&mut self.notes);
        (self.taken(&of(Role::Train), notes), test)
    }

    /// The lines to test on, of a list that is there for them.
    pub(crate) fn held_out(self) -> Self {
        let notes = self.notes.clone();
        match self.divided() {
            (_, Some(mut test)) => {
                test.notes = notes;
                test.notes.push("the lines of it that are to train on are left out".into());
                test
            }
            (all, None) => all,
        }
    }

    fn taken(&self, is_taken: &[bool], notes: Vec<String>) -> Self {
        let Part { place, store, entries } = &self.part;
        let entries = kept(entries, is_taken);
        let labels = self.labels.as_ref().map(|labels| {
            let of_images = labels.of_images.iter().zip(is_taken).filter(|(_, is_taken)| **is_taken);
            ListedLabels {
                of_images: of_images.map(|(label, _)| *label).collect(),
                names: labels.names.clone(),
            }
        });
        let part = Part { place: place.clone(), store: store.clone(), entries };
        Self { file: self.file.clone(), part, labels, roles: None, notes }
    }
}
