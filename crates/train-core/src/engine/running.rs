//! Running statistics while a batch goes through the backbone in parts.

use std::collections::BTreeMap;

use super::{Engine, EngineError};
use pipeline::Named;
use plugin_api::{Entry, EntryMut, NamesError};

/// The buffers and counters of all backbones before a batch, and what its parts made of them.
///
/// Each part starts from the same state, and the batch's result is the mean of theirs. Running statistics move linearly, so
/// that is what batch norm with as many splits does to them.
pub(super) struct Running {
    /// By name, see [`visit_mut`].
    of: BTreeMap<String, State>,
    /// The buffers after each part of this process, one after another in the order of their names.
    after: Vec<f32>,
    n_parts: usize,
}

enum State {
    Buffer {
        before: Vec<f32>,
        after: Vec<f32>,
    },
    /// A counter is the same after each part.
    Counter {
        before: u64,
        after: u64,
    },
}

impl Running {
    pub(super) fn of(engine: &Engine) -> Self {
        let mut of = BTreeMap::new();
        visit(engine, |name, entry| {
            let state = match entry {
                Entry::Buffer(buffer) => {
                    let before = buffer.to_vec();
                    State::Buffer { after: before.clone(), before }
                }
                Entry::Counter(before) => State::Counter { before, after: before },
                Entry::Parameter(_) => return,
            };
            of.insert(name, state);
        });
        Self { of, after: Vec::new(), n_parts: 0 }
    }

    pub(super) fn start_part(&self, engine: &mut Engine) -> Result<(), EngineError> {
        if self.n_parts > 0 { self.set(engine, Moment::Before) } else { Ok(()) }
    }

    pub(super) fn end_part(&mut self, engine: &Engine) -> Result<(), EngineError> {
        self.n_parts += 1;
        let mut result = Ok(());
        visit(engine, |name, entry| match (entry, self.of.get_mut(&name)) {
            (Entry::Buffer(buffer), Some(State::Buffer { after, .. })) => {
                buffer.with_values(|values| after.copy_from_slice(values));
            }
            (Entry::Counter(counter), Some(State::Counter { after, .. })) => *after = counter,
            (Entry::Parameter(_), _) => {}
            _ => result = Err(NamesError::New(name)),
        });
        for state in self.of.values() {
            if let State::Buffer { after, .. } = state {
                self.after.extend(after);
            }
        }
        Ok(result?)
    }

    /// Sets all buffers to their means over the parts of all processes.
    pub(super) fn set_means(mut self, engine: &mut Engine) -> Result<(), EngineError> {
        let all = engine.processes.gather(&self.after)?;
        let n_values = self.after.len() / self.n_parts.max(1);
        let mut sums = vec![0.0; n_values];
        for part in all.chunks(n_values.max(1)) {
            for (sum, value) in sums.iter_mut().zip(part) {
                *sum += f64::from(*value);
            }
        }
        let n_parts = engine.parts.n_parts as f64;
        let mut means = sums.into_iter().map(|sum| (sum / n_parts) as f32);
        for state in self.of.values_mut() {
            if let State::Buffer { after, .. } = state {
                after.fill_with(|| means.next().expect("a mean of every value"));
            }
        }
        self.set(engine, Moment::After)
    }

    /// Takes back whatever parts did.
    pub(super) fn restore(self, engine: &mut Engine) -> Result<(), EngineError> {
        self.set(engine, Moment::Before)
    }

    fn set(&self, engine: &mut Engine, moment: Moment) -> Result<(), EngineError> {
        let mut result = Ok(());
        visit_mut(engine, |name, entry| match (entry, self.of.get(&name)) {
            (EntryMut::Buffer(buffer), Some(State::Buffer { before, after })) => {
                if let Err(error) = buffer.set(moment.of(before, after)) {
                    result = Err(error.into());
                }
            }
            (EntryMut::Counter(counter), Some(State::Counter { before, after })) => {
                *counter = *moment.of(before, after);
            }
            (EntryMut::Parameter(_), _) => {}
            _ => result = Err(EngineError::Names(NamesError::New(name))),
        });
        result
    }
}

/// Which values to set.
#[derive(Clone, Copy)]
enum Moment {
    Before,
    After,
}

impl Moment {
    fn of<'a, T: ?Sized>(self, before: &'a T, after: &'a T) -> &'a T {
        match self {
            Self::Before => before,
            Self::After => after,
        }
    }
}

/// Every entry of every backbone, named `query.module.name`, or `momentum.module.name` in a momentum copy.
fn visit(engine: &Engine, mut visitor: impl FnMut(String, Entry<'_>)) {
    let trained = engine.modules.encoders.backbones.iter().map(|backbone| ("query", backbone));
    let copies = engine.momentum_modules.backbones.iter().map(|backbone| ("momentum", backbone));
    for (side, Named { name: module, module: part }) in trained.chain(copies) {
        part.visit(&mut |name, entry| visitor(format!("{side}.{module}.{name}"), entry));
    }
}

/// As [`visit`], to change the entries.
fn visit_mut(engine: &mut Engine, mut visitor: impl FnMut(String, EntryMut<'_>)) {
    let trained = engine.modules.encoders.backbones.iter_mut().map(|backbone| ("query", backbone));
    let copies = engine.momentum_modules.backbones.iter_mut().map(|backbone| ("momentum", backbone));
    for (side, Named { name: module, module: part }) in trained.chain(copies) {
        part.visit_mut(&mut |name, entry| visitor(format!("{side}.{module}.{name}"), entry));
    }
}
