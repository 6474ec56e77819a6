//! What is known of each parameter of a network, found by the parameter's name.

use std::collections::HashMap;

use tensor_ops::Parameter;

use crate::{Entry, EntryMut, Module};

/// A parameter among those of a [`ByName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterId(usize);

impl ParameterId {
    /// Its place in the order of the table, from 0.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A row of type `T` for each parameter of some modules, in a fixed order.
///
/// Built once, it stands for what the modules had then: modules whose names change afterwards are an error, and never
/// quietly another parameter's row.
#[derive(Clone, Debug)]
pub struct ByName<T> {
    names: Vec<String>,
    rows: Vec<T>,
    ids: HashMap<String, ParameterId>,
}

/// Parameters that are not those of a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamesError {
    /// A name stands for two parameters.
    #[error("two parameters are named `{0}`")]
    Twice(String),
    /// There was none of this name before.
    #[error("there is a parameter `{0}` that was not there when the network was built")]
    New(String),
    /// It has disappeared.
    #[error("the parameter `{0}` is gone, which was there when the network was built")]
    Gone(String),
}

impl NamesError {
    /// What the reader can do about it.
    pub fn hint(&self) -> &'static str {
        "a module must give the same names in every visit, and each of them once: please report it to the plugin's author"
    }
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { names: Vec::new(), rows: Vec::new(), ids: HashMap::new() }
    }
}

impl<T> ByName<T> {
    /// A table of the parameters of `modules`, each named `module.parameter`, with the row that `row` makes.
    ///
    /// # Errors
    /// If two have one name.
    pub fn of<'a>(
        modules: impl IntoIterator<Item = (&'a str, &'a dyn Module)>,
        mut row: impl FnMut(&str, &Parameter) -> T,
    ) -> Result<Self, NamesError> {
        let mut table = Self::default();
        let mut result = Ok(());
        visit(modules, |name, parameter| {
            let row = row(name, parameter);
            if let Err(error) = table.push(name.to_owned(), row) {
                result = Err(error);
            }
        });
        result.map(|()| table)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If there is one of this name.
    pub fn push(&mut self, name: String, row: T) -> Result<ParameterId, NamesError> {
        let id = ParameterId(self.rows.len());
        if self.ids.insert(name.clone(), id).is_some() {
            return Err(NamesError::Twice(name));
        }
        self.names.push(name);
        self.rows.push(row);
        Ok(id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All of them, in order.
    pub fn ids(&self) -> impl Iterator<Item = ParameterId> + use<T> {
        (0..self.rows.len()).map(ParameterId)
    }

    /// The one called `name`.
    pub fn id(&self, name: &str) -> Option<ParameterId> {
        self.ids.get(name).copied()
    }

    /// The name of `id`, `module.parameter`.
    ///
    /// # Panics
    /// If `id` is of another table.
    pub fn name(&self, id: ParameterId) -> &str {
        &self.names[id.0]
    }

    /// The rows, in order.
    pub fn rows_mut(&mut self) -> &mut [T] {
        &mut self.rows
    }

    /// Another table of the same parameters.
    pub fn map<U>(self, row: impl FnMut(T) -> U) -> ByName<U> {
        ByName { names: self.names, rows: self.rows.into_iter().map(row).collect(), ids: self.ids }
    }

    /// Another table of the same parameters, from its rows and `more`, which [`collect`](Self::collect) gave.
    pub fn with<V, U>(self, more: Vec<V>, mut row: impl FnMut(T, V) -> U) -> ByName<U> {
        let mut more = more.into_iter();
        self.map(|own| row(own, more.next().expect("`collect` gives one for each row")))
    }

    /// What `read` makes of each parameter of `modules`, in the order of the table; it is called in the order of the visit.
    ///
    /// # Errors
    /// If these are not the parameters of the table.
    pub fn collect<'a, R>(
        &self,
        modules: impl IntoIterator<Item = (&'a str, &'a dyn Module)>,
        mut read: impl FnMut(ParameterId, &Parameter) -> R,
    ) -> Result<Vec<R>, NamesError> {
        let mut found = Found::new(&self.names, &self.ids);
        visit(modules, |name, parameter| found.put(name, |id| read(id, parameter)));
        found.all()
    }

    /// As [`collect`](Self::collect), to change parameters and their rows.
    ///
    /// # Errors
    /// If these are not the parameters of the table. Those that are have been changed.
    pub fn collect_mut<'a, R>(
        &mut self,
        modules: impl IntoIterator<Item = (&'a str, &'a mut dyn Module)>,
        mut change: impl FnMut(ParameterId, &mut T, &mut Parameter) -> R,
    ) -> Result<Vec<R>, NamesError> {
        let Self { names, rows, ids } = self;
        let mut found = Found::new(names, ids);
        for (module, part) in modules {
            part.visit_mut(&mut |name, entry| {
                if let EntryMut::Parameter(parameter) = entry {
                    found.put(&format!("{module}.{name}"), |id| change(id, &mut rows[id.0], parameter));
                }
            });
        }
        found.all()
    }

    /// As [`collect_mut`](Self::collect_mut), with the parameter's own of `values`, which are in the order of the table.
    ///
    /// # Errors
    /// If these are not the parameters of the table. Those that are have been changed.
    pub fn hand_out<'a, V, R>(
        &mut self,
        modules: impl IntoIterator<Item = (&'a str, &'a mut dyn Module)>,
        values: Vec<V>,
        mut take: impl FnMut(V, &mut T, &mut Parameter) -> R,
    ) -> Result<Vec<R>, NamesError> {
        let mut values: Vec<Option<V>> = values.into_iter().map(Some).collect();
        self.collect_mut(modules, |id, row, parameter| {
            let value = values[id.0].take().expect("`collect_mut` stops at a second parameter of a name");
            take(value, row, parameter)
        })
    }
}

impl<T> std::ops::Index<ParameterId> for ByName<T> {
    type Output = T;

    fn index(&self, id: ParameterId) -> &T {
        &self.rows[id.0]
    }
}

impl<T> std::ops::IndexMut<ParameterId> for ByName<T> {
    fn index_mut(&mut self, id: ParameterId) -> &mut T {
        &mut self.rows[id.0]
    }
}

fn visit<'a>(
    modules: impl IntoIterator<Item = (&'a str, &'a dyn Module)>,
    mut visitor: impl FnMut(&str, &Parameter),
) {
    for (module, part) in modules {
        part.visit(&mut |name, entry| {
            if let Entry::Parameter(parameter) = entry {
                visitor(&format!("{module}.{name}"), parameter);
            }
        });
    }
}

/// What a visit has found so far.
struct Found<'a, R> {
    names: &'a [String],
    ids: &'a HashMap<String, ParameterId>,
    found: Vec<Option<R>>,
    error: Option<NamesError>,
}

impl<'a, R> Found<'a, R> {
    fn new(names: &'a [String], ids: &'a HashMap<String, ParameterId>) -> Self {
        Self { names, ids, found: names.iter().map(|_| None).collect(), error: None }
    }

    fn put(&mut self, name: &str, make: impl FnOnce(ParameterId) -> R) {
        let error = match self.ids.get(name) {
            Some(&id) if self.found[id.0].is_none() => {
                self.found[id.0] = Some(make(id));
                return;
            }
            Some(_) => NamesError::Twice(name.to_owned()),
            None => NamesError::New(name.to_owned()),
        };
        self.error.get_or_insert(error);
    }

    fn all(self) -> Result<Vec<R>, NamesError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let named = self.found.into_iter().zip(self.names);
        named.map(|(found, name)| found.ok_or_else(|| NamesError::Gone(name.clone()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use tensor_ops::{Device, ParameterKind};

    use super::*;

    /// Parameters whose names may change.
    struct Unsteady(Vec<(&'static str, Parameter)>);

    impl Unsteady {
        fn new(names: &[&'static str]) -> Self {
            let one = || Parameter::new(&Device::default(), ParameterKind::Vector, &[1], vec![0.0]).unwrap();
            Self(names.iter().map(|name| (*name, one())).collect())
        }
    }

    impl Module for Unsteady {
        fn visit(&self, visitor: &mut crate::Visitor<'_>) {
            self.0.iter().for_each(|(name, parameter)| visitor(name, Entry::Parameter(parameter)));
        }

        fn visit_mut(&mut self, visitor: &mut crate::VisitorMut<'_>) {
            self.0.iter_mut().for_each(|(name, parameter)| visitor(name, EntryMut::Parameter(parameter)));
        }
    }

    fn table() -> ByName<String> {
        let module = Unsteady::new(&["a", "b"]);
        ByName::of([("m", &module as &dyn Module)], |name, _| name.to_uppercase()).unwrap()
    }

    #[test]
    fn a_row_follows_its_name_whatever_the_order_of_a_visit() {
        let mut table = table();
        assert_eq!(table.id("m.b").map(|id| table[id].clone()).as_deref(), Some("M.B"));
        let mut turned = Unsteady::new(&["b", "a"]);
        let mut order = Vec::new();
        let rows = table.collect_mut([("m", &mut turned as &mut dyn Module)], |id, row, _| {
            order.push(id);
            row.clone()
        });
        assert_eq!(rows.unwrap(), ["M.A", "M.B"]);
        assert_eq!(order.iter().map(|&id| table.name(id)).collect::<Vec<_>>(), ["m.b", "m.a"]);
    }

    #[test]
    fn names_that_change_between_visits_are_an_error() {
        let table = table();
        for (names, error) in [
            (&["a"][..], NamesError::Gone("m.b".into())),
            (&["a", "b", "c"], NamesError::New("m.c".into())),
            (&["a", "b", "a"], NamesError::Twice("m.a".into())),
        ] {
            let module = Unsteady::new(names);
            let modules = [("m", &module as &dyn Module)];
            assert_eq!(table.collect(modules, |_, _| ()).unwrap_err(), error);
        }
        let twice = Unsteady::new(&["a", "a"]);
        let modules = [("m", &twice as &dyn Module)];
        assert_eq!(ByName::of(modules, |_, _| ()).unwrap_err(), NamesError::Twice("m.a".into()));
    }
}
