//! Running statistics while a batch goes through the backbone in parts.

use std::collections::BTreeMap;

use super::{Engine, EngineError};
use pipeline::Named;
use plugin_api::{Entry, EntryMut, NamesError};

/// The buffers and counters of all backbones before a batch, and the sums of what its parts made of them.
///
/// Each part starts from the same state, and the batch's result is the mean of theirs. Running statistics move linearly, so
/// that is what batch norm with as many splits does to them.
pub(super) struct Running {
    /// By name, see [`visit_mut`].
    of: BTreeMap<String, State>,
    n_parts: usize,
}

enum State {
    Buffer {
        before: Vec<f32>,
        sum: Vec<f64>,
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
                    State::Buffer { before: buffer.to_vec(), sum: vec![0.0; buffer.n_elements()] }
                }
                Entry::Counter(before) => State::Counter { before, after: before },
                Entry::Parameter(_) => return,
            };
            of.insert(name, state);
        });
        Self { of, n_parts: 0 }
    }

    pub(super) fn start_part(&self, engine: &mut Engine) -> Result<(), EngineError> {
        if self.n_parts > 0 { self.set(engine) } else { Ok(()) }
    }

    pub(super) fn end_part(&mut self, engine: &Engine) -> Result<(), EngineError> {
        self.n_parts += 1;
        let mut result = Ok(());
        visit(engine, |name, entry| match (entry, self.of.get_mut(&name)) {
            (Entry::Buffer(buffer), Some(State::Buffer { sum, .. })) => buffer.with_values(|values| {
                for (sum, value) in sum.iter_mut().zip(values) {
                    *sum += f64::from(*value);
                }
            }),
            (Entry::Counter(counter), Some(State::Counter { after, .. })) => *after = counter,
            (Entry::Parameter(_), _) => {}
            _ => result = Err(NamesError::New(name)),
        });
        Ok(result?)
    }

    pub(super) fn set_means(self, engine: &mut Engine) -> Result<(), EngineError> {
        let n_parts = self.n_parts as f64;
        self.set_to(engine, |sum, _| sum.iter().map(|sum| (sum / n_parts) as f32).collect(), |_, after| after)
    }

    /// Takes back whatever parts did.
    pub(super) fn restore(self, engine: &mut Engine) -> Result<(), EngineError> {
        self.set(engine)
    }

    fn set(&self, engine: &mut Engine) -> Result<(), EngineError> {
        self.set_to(engine, |_, before| before.to_vec(), |before, _| before)
    }

    fn set_to(
        &self,
        engine: &mut Engine,
        values: impl Fn(&[f64], &[f32]) -> Vec<f32>,
        count: impl Fn(u64, u64) -> u64,
    ) -> Result<(), EngineError> {
        let mut result = Ok(());
        visit_mut(engine, |name, entry| match (entry, self.of.get(&name)) {
            (EntryMut::Buffer(buffer), Some(State::Buffer { before, sum })) => {
                if let Err(error) = buffer.set(&values(sum, before)) {
                    result = Err(error.into());
                }
            }
            (EntryMut::Counter(counter), Some(&State::Counter { before, after })) => {
                *counter = count(before, after);
            }
            (EntryMut::Parameter(_), _) => {}
            _ => result = Err(EngineError::Names(NamesError::New(name))),
        });
        result
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
