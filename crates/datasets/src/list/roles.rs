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

    /// The lines to test on: those to validate on, or else to test on; where there are neither, those that do not say.
    fn held_out(&self) -> Role {
        let named = [Role::Validation, Role::Test].into_iter().find(|&role| self.count(role) > 0);
        named.unwrap_or(Role::Unsaid)
    }

    /// How the list is divided: `taken` says it of the lines of `roles`, and the others are left out.
    fn told(&self, taken: &str, roles: &[Role]) -> String {
        let rest = match self.of_lines.iter().filter(|role| !roles.contains(role)).count() {
            0 => String::new(),
            n => {
                let is_test = !roles.contains(&Role::Test) && self.count(Role::Test) == n;
                let which = match (is_test, n) {
                    (true, _) => "of `test`",
                    (false, 1) => "other",
                    (false, _) => "others",
                };
                format!(", and {n} {which} {} left out", if n == 1 { "is" } else { "are" })
            }
        };
        format!("the column `{}` divides it: {taken}{rest}", self.column)
    }

    pub(super) fn keep(&mut self, is_kept: &[bool]) {
        let mut is_kept = is_kept.iter();
        self.of_lines.retain(|_| is_kept.next() == Some(&true));
    }
}

/// How to have all lines to train on.
const UNDIVIDED: &str = "; with `split_column: \"\"` all lines are to train on";

fn lines(n: usize) -> String {
    if n == 1 { "1 line".into() } else { format!("{n} lines") }
}

impl List {
    /// The lines to train on and those to test on, as a column says; all lines and none if no column does. Lines that are for
    /// neither are left out, which is told.
    pub(crate) fn divided(mut self) -> (Self, Option<Self>) {
        let Some(roles) = self.take_roles() else { return (self, None) };
        let held_out = roles.held_out();
        if held_out == Role::Unsaid {
            return (self.to_train(&roles), None);
        }
        let (n_train, n_held_out) = (roles.count(Role::Train), roles.count(held_out));
        let taken = format!("{} to train on, {n_held_out} to test on", lines(n_train));
        let told = roles.told(&taken, &[Role::Train, held_out]) + UNDIVIDED;
        let test = self.taken(&roles, held_out, Vec::new());
        let notes = self.notes_with(told);
        (self.taken(&roles, Role::Train, notes), Some(test))
    }

    /// The lines to train on, of a list beside another one to test on.
    pub(crate) fn trained_on(mut self) -> Self {
        match self.take_roles() {
            Some(roles) => self.to_train(&roles),
            None => self,
        }
    }

    /// The lines to test on, of a list that is there for them.
    pub(crate) fn held_out(mut self) -> Self {
        let Some(roles) = self.take_roles() else { return self };
        let held_out = roles.held_out();
        let told = roles.told(&format!("{} to test on", lines(roles.count(held_out))), &[held_out]);
        let notes = self.notes_with(told);
        self.taken(&roles, held_out, notes)
    }

    /// The column, if it divides the list.
    fn take_roles(&mut self) -> Option<Roles> {
        self.roles.take().filter(Roles::divide)
    }

    fn to_train(&self, roles: &Roles) -> Self {
        let taken = format!("{} to train on", lines(roles.count(Role::Train)));
        let notes = self.notes_with(roles.told(&taken, &[Role::Train]) + UNDIVIDED);
        self.taken(roles, Role::Train, notes)
    }

    fn notes_with(&self, note: String) -> Vec<String> {
        self.notes.iter().cloned().chain([note]).collect()
    }

    /// The lines of one role.
    fn taken(&self, roles: &Roles, role: Role, notes: Vec<String>) -> Self {
        let is_taken: Vec<bool> = roles.of_lines.iter().map(|found| *found == role).collect();
        let Part { place, store, entries } = &self.part;
        let entries = kept(entries, &is_taken);
        // A label that only other lines have is no class: it would have no image, and shift the numbers of those that do.
        let labels = self.labels.as_ref().map(|labels| {
            let taken = labels.of_images.iter().zip(&is_taken).filter(|(_, is_taken)| **is_taken);
            ListedLabels::of(taken.map(|(&label, _)| labels.names[label as usize].clone()))
        });
        let part = Part { place: place.clone(), store: store.clone(), entries };
        Self { file: self.file.clone(), part, labels, roles: None, notes }
    }
}
