//! What a module shows its visitors.

use std::collections::BTreeMap;

use plugin_api::{Entry, EntryMut, Module};
use tensor_ops::ParameterId;

use crate::fault::{Checked, Wrong, ensure, wrong};
use crate::numbers::{all_finite, same_bits};

/// The values of one entry.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Parameter(Vec<f32>),
    Buffer(Vec<f32>),
    Counter(u64),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Parameter(_) => "a parameter",
            Self::Buffer(_) => "a buffer",
            Self::Counter(_) => "a counter",
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Parameter(a), Self::Parameter(b)) | (Self::Buffer(a), Self::Buffer(b)) => same_bits(a, b),
            (Self::Counter(a), Self::Counter(b)) => a == b,
            _ => false,
        }
    }
}

/// Names and values, in the order of a visit.
#[derive(Clone, Debug)]
pub(crate) struct Entries(Vec<(String, Value)>);

impl Entries {
    pub(crate) fn of(module: &dyn Module) -> Self {
        let mut entries = Vec::new();
        module.visit(&mut |name, entry| {
            let value = match entry {
                Entry::Parameter(parameter) => Value::Parameter(parameter.to_vec()),
                Entry::Buffer(buffer) => Value::Buffer(buffer.to_vec()),
                Entry::Counter(count) => Value::Counter(count),
            };
            entries.push((name.to_owned(), value));
        });
        Self(entries)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Fails unless the names are those of `before`; `when` says what happened in between.
    pub(crate) fn check_names(&self, before: &Self, when: &str) -> Checked {
        if let Some(new) = self.names().find(|name| !before.names().any(|other| other == *name)) {
            return Err(wrong!(
                "there is a new name `{new}` {when}: names must stay as they are when it is built"
            ));
        }
        if let Some(gone) = before.names().find(|name| !self.names().any(|other| other == *name)) {
            return Err(wrong!(
                "the name `{gone}` is gone {when}: names must stay as they are when it is built"
            ));
        }
        ensure!(self.names().eq(before.names()), "its names come in another order {when}");
        Ok(())
    }

    /// The first name whose value is another one than in `other`.
    pub(crate) fn first_changed(&self, other: &Self) -> Option<&str> {
        let mut pairs = self.0.iter().zip(&other.0);
        pairs.find(|((_, a), (_, b))| !a.is_same(b)).map(|((name, _), _)| name.as_str())
    }

    pub(crate) fn check_finite(&self, when: &str) -> Checked {
        let broken = self.0.iter().find(|(_, value)| match value {
            Value::Parameter(values) | Value::Buffer(values) => !all_finite(values),
            Value::Counter(_) => false,
        });
        match broken {
            Some((name, value)) => {
                Err(wrong!("{} `{name}` has a value that is not finite {when}", value.kind()))
            }
            None => Ok(()),
        }
    }

    /// Puts the values into a module of the same kind.
    pub(crate) fn put_into(&self, module: &mut dyn Module) -> Checked {
        let by_name: BTreeMap<&str, &Value> =
            self.0.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let mut unfit = None;
        module.visit_mut(&mut |name, entry| {
            let put = match (entry, by_name.get(name)) {
                (EntryMut::Parameter(parameter), Some(Value::Parameter(values))) => {
                    parameter.set(values).ok()
                }
                (EntryMut::Buffer(buffer), Some(Value::Buffer(values))) => buffer.set(values).ok(),
                (EntryMut::Counter(count), Some(Value::Counter(value))) => {
                    *count = *value;
                    Some(())
                }
                _ => None,
            };
            if put.is_none() {
                unfit.get_or_insert_with(|| name.to_owned());
            }
        });
        match unfit {
            Some(name) => Err(wrong!(
                "it has another shape with another seed: what is saved of one does not fit `{name}` of the other"
            )),
            None => Ok(()),
        }
    }
}

/// Fails unless every name is there once, both visits are alike, and each parameter has one name.
pub(crate) fn check_visits(module: &mut dyn Module) -> Checked<Entries> {
    let entries = Entries::of(module);
    let mut seen = BTreeMap::new();
    for (name, value) in &entries.0 {
        ensure!(!name.is_empty(), "{} is visited without a name", value.kind());
        if let Some(other) = seen.insert(name.as_str(), value.kind()) {
            return Err(wrong!("the name `{name}` stands for two things, {other} and {}", value.kind()));
        }
    }
    let mut by_id: BTreeMap<ParameterId, String> = BTreeMap::new();
    let mut twice = None;
    module.visit(&mut |name, entry| {
        if let Entry::Parameter(parameter) = entry
            && let Some(other) = by_id.insert(parameter.id(), name.to_owned())
        {
            twice = Some((other, name.to_owned()));
        }
    });
    if let Some((a, b)) = twice {
        return Err(wrong!(
            "one parameter is visited twice, as `{a}` and as `{b}`: an optimizer would move it twice"
        ));
    }
    let mut place = 0;
    let mut differs: Option<Wrong> = None;
    module.visit_mut(&mut |name, entry| {
        let kind = match entry {
            EntryMut::Parameter(_) => "a parameter",
            EntryMut::Buffer(_) => "a buffer",
            EntryMut::Counter(_) => "a counter",
        };
        let expected = entries.0.get(place);
        if expected.is_none_or(|(expected, value)| expected != name || value.kind() != kind) {
            differs.get_or_insert_with(|| {
                let other = expected
                    .map_or("nothing more".to_owned(), |(name, value)| format!("{} `{name}`", value.kind()));
                wrong!("`visit_mut` comes to {kind} `{name}`, where `visit` comes to {other}")
            });
        }
        place += 1;
    });
    if let Some(wrong) = differs {
        return Err(wrong);
    }
    if let Some((name, _)) = entries.0.get(place) {
        return Err(wrong!("`visit_mut` leaves out `{name}`, which `visit` has"));
    }
    entries.check_finite("when it is built")?;
    Ok(entries)
}
