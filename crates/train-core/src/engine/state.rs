//! Everything that a checkpoint must hold of an engine.

use std::collections::BTreeMap;

use super::Engine;
use pipeline::{LossModule, NamedModule, NamedModuleMut};
use plugin_api::{Entry, EntryMut, Module, NamesError};
use run_store::checkpoint::{Snapshot, Stored};

/// A checkpoint that does not fit the pipeline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The pipeline has it, the checkpoint has not.
    #[error("the checkpoint has no `{0}`")]
    Missing(String),
    /// The checkpoint has it, the pipeline has not.
    #[error("the checkpoint has `{0}`, which this pipeline does not know")]
    Unexpected(String),
    /// They differ in shape or type.
    #[error("`{name}` is {found} in the checkpoint, but {expected} in this pipeline")]
    Shape {
        /// The tensor.
        name: String,
        /// The checkpoint's shape.
        found: String,
        /// The pipeline's.
        expected: String,
    },
    /// Values cannot be set.
    #[error(transparent)]
    Op(tensor_ops::OpError),
    /// A module has not the parameters that it was built with.
    #[error(transparent)]
    Names(#[from] NamesError),
}

impl Engine {
    /// Adds the engine's state to `snapshot`.
    ///
    /// Names: `query.<module>.<name>`, `momentum.<module>.<name>`, `optimizer.<slot>.<module>.<name>`; the names inside
    /// modules, and all shapes and orders of values, are PyTorch's.
    ///
    /// # Errors
    /// If a module has changed its parameters.
    pub fn save(&self, snapshot: &mut Snapshot) -> Result<(), StateError> {
        let tensors = &mut snapshot.tensors;
        save_modules(tensors, "query", self.modules.named());
        save_modules(tensors, "momentum", self.momentum_modules.named());
        self.parameters.collect(self.modules.named(), |id, parameter| {
            for (slot, buffer) in self.parameters[id].slots.iter() {
                let values = buffer.with_values(|values| parameter.order_to_torch(values));
                let stored = Stored::F32 { shape: parameter.torch_shape(), values };
                tensors.insert(slot_name(slot, self.parameters.name(id)), stored);
            }
        })?;
        tensors.insert("optimizer.updates".into(), Stored::U64(vec![self.n_updates]));
        tensors.insert("optimizer.steps".into(), Stored::U64(vec![self.n_steps]));
        Ok(())
    }

    /// Sets the engine's state from `snapshot`, which must hold exactly it.
    ///
    /// # Errors
    /// The first tensor that is missing, unexpected or of another shape. The engine is then half set: drop it.
    pub fn load(&mut self, snapshot: &Snapshot) -> Result<(), StateError> {
        for loss in self.modules.losses.iter_mut() {
            // A step that was not finished, before a run goes back to this state.
            if let LossModule::Objective(objective) = &mut loss.module {
                objective.discard_step();
            }
        }
        let mut left = self.load_all_modules(snapshot)?;
        let shapes = self.parameters.collect(self.modules.named(), |id, parameter| {
            (self.parameters.name(id).to_owned(), parameter.share())
        })?;
        for ((name, parameter), row) in shapes.into_iter().zip(self.parameters.rows_mut()) {
            for (slot, buffer) in row.slots.iter_mut() {
                let found = take_f32(&mut left, &slot_name(slot, &name), &parameter.torch_shape())?;
                buffer.put_values(parameter.order_from_torch(found)).map_err(StateError::Op)?;
            }
        }
        self.n_updates = take_u64(&mut left, "optimizer.updates")?;
        self.n_steps = take_u64(&mut left, "optimizer.steps")?;
        nothing_left(&left)
    }

    /// Sets modules, and not the optimizer, from tensors named as in [`save`](Self::save), for tests against other programs.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_modules(&mut self, snapshot: &Snapshot) -> Result<(), StateError> {
        nothing_left(&self.load_all_modules(snapshot)?)
    }

    /// Sets the modules, and gives what is left of `snapshot`.
    fn load_all_modules<'a>(&mut self, snapshot: &'a Snapshot) -> Result<Left<'a>, StateError> {
        let mut left = all(snapshot);
        load_modules(&mut left, "query", self.modules.named_mut())?;
        load_modules(&mut left, "momentum", self.momentum_modules.named_mut())?;
        Ok(left)
    }
}

/// What nothing has taken yet, by name.
pub type Left<'a> = BTreeMap<&'a str, &'a Stored>;

/// All tensors of `snapshot`.
pub fn all(snapshot: &Snapshot) -> Left<'_> {
    snapshot.tensors.iter().map(|(name, stored)| (name.as_str(), stored)).collect()
}

pub(super) fn nothing_left(left: &Left<'_>) -> Result<(), StateError> {
    match left.keys().next() {
        Some(name) => Err(StateError::Unexpected((*name).to_owned())),
        None => Ok(()),
    }
}

fn save_modules(tensors: &mut BTreeMap<String, Stored>, prefix: &str, modules: Vec<NamedModule<'_>>) {
    for (name, module) in modules {
        save_module(tensors, &format!("{prefix}.{name}"), module);
    }
}

/// Adds the values of a module, each with `prefix` and a dot before its name, in PyTorch's shapes and orders.
pub fn save_module(tensors: &mut BTreeMap<String, Stored>, prefix: &str, module: &dyn Module) {
    module.visit(&mut |name, entry| {
        let stored = match entry {
            Entry::Parameter(parameter) => {
                let (shape, values) = parameter.to_torch();
                Stored::F32 { shape, values }
            }
            Entry::Buffer(buffer) => Stored::F32 { shape: buffer.shape().to_vec(), values: buffer.to_vec() },
            Entry::Counter(count) => Stored::U64(vec![count]),
        };
        tensors.insert(format!("{prefix}.{name}"), stored);
    });
}

fn load_modules(
    left: &mut Left<'_>,
    prefix: &str,
    modules: Vec<NamedModuleMut<'_>>,
) -> Result<(), StateError> {
    for (name, module) in modules {
        load_module(left, &format!("{prefix}.{name}"), module)?;
    }
    Ok(())
}

/// Sets a module from the tensors whose names start with `prefix` and a dot, and takes them out of `left`.
///
/// # Errors
/// The first tensor that is missing or of another shape. The module is then half set.
pub fn load_module(left: &mut Left<'_>, prefix: &str, module: &mut dyn Module) -> Result<(), StateError> {
    let mut result = Ok(());
    module.visit_mut(&mut |name, entry| {
        if result.is_err() {
            return;
        }
        let name = format!("{prefix}.{name}");
        result = match entry {
            EntryMut::Parameter(parameter) => {
                let shape = parameter.torch_shape();
                take_f32(left, &name, &shape)
                    .and_then(|values| parameter.set_from_torch(&shape, values).map_err(StateError::Op))
            }
            EntryMut::Buffer(buffer) => take_f32(left, &name, buffer.shape())
                .and_then(|values| buffer.set(values).map_err(StateError::Op)),
            EntryMut::Counter(count) => take_u64(left, &name).map(|found| *count = found),
        };
    });
    result
}

/// How a checkpoint calls a slot of the optimizer.
fn slot_name(slot: &str, parameter: &str) -> String {
    format!("optimizer.{slot}.{parameter}")
}

/// Takes floats of this shape out of `left`.
///
/// # Errors
/// If they are missing, or of another shape.
pub fn take_f32<'a>(left: &mut Left<'a>, name: &str, expected: &[usize]) -> Result<&'a [f32], StateError> {
    match left.remove(name) {
        None => Err(StateError::Missing(name.to_owned())),
        Some(Stored::F32 { shape, values }) if shape == expected => Ok(values),
        Some(Stored::F32 { shape, .. }) => Err(StateError::Shape {
            name: name.to_owned(),
            found: format!("{shape:?}"),
            expected: format!("{expected:?}"),
        }),
        Some(Stored::U64(_)) => Err(StateError::Shape {
            name: name.to_owned(),
            found: "a count".into(),
            expected: format!("{expected:?}"),
        }),
    }
}

fn take_u64(left: &mut Left<'_>, name: &str) -> Result<u64, StateError> {
    match left.remove(name) {
        None => Err(StateError::Missing(name.to_owned())),
        Some(Stored::U64(values)) if values.len() == 1 => Ok(values[0]),
        Some(_) => Err(StateError::Shape {
            name: name.to_owned(),
            found: "a tensor".into(),
            expected: "a count".into(),
        }),
    }
}
