//! Running statistics while a batch goes through the backbone in parts.

use super::Engine;
use pipeline::{AnyModule, NamedModule};
use plugin_api::{Entry, Module as _};

/// The buffers and counters of all backbones before a batch, and the sums of what its parts made of them.
///
/// Each part starts from the same state, and the batch's result is the mean of theirs. Running statistics move linearly, so
/// that is what batch norm with as many splits does to them.
pub(super) struct Running {
    before: Vec<State>,
    sums: Vec<Vec<f64>>,
    /// Counters after a part, which are the same after each.
    counters: Vec<u64>,
    n_parts: usize,
}

enum State {
    Buffer(Vec<f32>),
    Counter(u64),
}

impl Running {
    pub(super) fn of(engine: &mut Engine) -> Self {
        let mut before = Vec::new();
        visit(engine, |entry| match entry {
            Entry::Buffer(buffer) => before.push(State::Buffer(buffer.to_vec())),
            Entry::Counter(counter) => before.push(State::Counter(*counter)),
            Entry::Parameter(_) => {}
        });
        Self { before, sums: Vec::new(), counters: Vec::new(), n_parts: 0 }
    }

    pub(super) fn start_part(&self, engine: &mut Engine) {
        if self.n_parts > 0 {
            self.set(engine);
        }
    }

    pub(super) fn end_part(&mut self, engine: &mut Engine) {
        let first = self.n_parts == 0;
        self.n_parts += 1;
        self.counters.clear();
        let (sums, counters) = (&mut self.sums, &mut self.counters);
        let mut place = 0;
        visit(engine, |entry| match entry {
            Entry::Buffer(buffer) => {
                buffer.with_values(|values| {
                    if first {
                        sums.push(vec![0.0; values.len()]);
                    }
                    for (sum, value) in sums[place].iter_mut().zip(values) {
                        *sum += f64::from(*value);
                    }
                });
                place += 1;
            }
            Entry::Counter(counter) => counters.push(*counter),
            Entry::Parameter(_) => {}
        });
    }

    pub(super) fn set_means(self, engine: &mut Engine) {
        let n_parts = self.n_parts as f64;
        let mut sums = self.sums.into_iter();
        let mut counters = self.counters.into_iter();
        visit(engine, |entry| match entry {
            Entry::Buffer(buffer) => {
                let means: Vec<f32> =
                    sums.next().unwrap_or_default().iter().map(|sum| (sum / n_parts) as f32).collect();
                set(buffer, &means);
            }
            Entry::Counter(counter) => *counter = counters.next().unwrap_or(*counter),
            Entry::Parameter(_) => {}
        });
    }

    /// Takes back whatever parts did.
    pub(super) fn restore(self, engine: &mut Engine) {
        self.set(engine);
    }

    fn set(&self, engine: &mut Engine) {
        let mut states = self.before.iter();
        visit(engine, |entry| match entry {
            Entry::Buffer(buffer) => {
                if let Some(State::Buffer(values)) = states.next() {
                    set(buffer, values);
                }
            }
            Entry::Counter(counter) => {
                if let Some(State::Counter(value)) = states.next() {
                    *counter = *value;
                }
            }
            Entry::Parameter(_) => {}
        });
    }
}

fn set(buffer: &mut tensor_ops::Buffer, values: &[f32]) {
    buffer.set(values).expect("a buffer keeps its length");
}

/// Every entry of every backbone: the trained ones, then the momentum copies.
fn visit(engine: &mut Engine, mut visitor: impl FnMut(Entry<'_>)) {
    let momentum = engine.momentum_modules.iter_mut().flatten();
    for NamedModule { module, .. } in engine.modules.iter_mut().chain(momentum) {
        if matches!(module, AnyModule::Backbone(_)) {
            module.visit(&mut |_, entry| visitor(entry));
        }
    }
}
