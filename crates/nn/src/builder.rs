//! What layers are built with.

use std::rc::Rc;

use plugin_api::{ConfigError, ModuleContext, Rng};
use tensor_ops::{Device, OpError, Parameter, ParameterKind, available_host_memory, in_gib};

use crate::Init;

/// Where the parameters of a module live, what they are called in it, and what their initial values are drawn from.
///
/// Each parameter has draws of its own, keyed by its name, so no value depends on the order in which layers are built.
#[derive(Clone)]
pub struct Builder<'a> {
    device: &'a Device,
    draws: Rc<dyn Fn(&str) -> Rng + 'a>,
    /// Empty, or a name with a dot behind it.
    prefix: String,
}

impl<'a> Builder<'a> {
    /// For the module of `context`.
    pub fn of(context: &'a ModuleContext) -> Self {
        Self::new(&context.device, |parameter| context.rng(parameter))
    }

    /// For parameters whose initial values come from `draws`, which is told their names.
    pub fn new(device: &'a Device, draws: impl Fn(&str) -> Rng + 'a) -> Self {
        Self { device, draws: Rc::new(draws), prefix: String::new() }
    }

    /// For the part called `name`.
    pub fn part(&self, name: &str) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// The device of the parameters.
    pub fn device(&self) -> &'a Device {
        self.device
    }

    /// The parameter called `name`; `shape` is in our order, see [`ParameterKind`].
    ///
    /// # Errors
    /// If the machine or the device has no room for it.
    pub fn parameter(
        &self,
        name: &str,
        kind: ParameterKind,
        shape: &[usize],
        init: Init,
    ) -> Result<Parameter, ConfigError> {
        let name = format!("{}{name}", self.prefix);
        let n = room_for(&name, shape)?;
        let mut rng = (self.draws)(&name);
        let values = init.values(&mut rng, n);
        self.given(kind, shape, values)
    }

    /// A parameter with these values, in our order.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn given(
        &self,
        kind: ParameterKind,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<Parameter, ConfigError> {
        Parameter::new(self.device, kind, shape, values).map_err(unplaced)
    }
}

/// The number of values of a parameter, if the machine has memory for them. Without it, the program would be ended where it
/// asks for the memory.
fn room_for(name: &str, shape: &[usize]) -> Result<usize, ConfigError> {
    /// What is smaller is not worth asking the system.
    const SMALL_BYTES: usize = 1 << 22;
    let n_bytes =
        shape.iter().try_fold(size_of::<f32>(), |n, length| n.checked_mul(*length)).unwrap_or(usize::MAX);
    let available = if n_bytes > SMALL_BYTES { available_host_memory() } else { None };
    match available {
        Some(available) if n_bytes as u64 > available => Err(ConfigError::unfit(
            format!(
                "the parameter `{name}` of shape {shape:?} takes {}, and this machine has {} left",
                in_gib(n_bytes as u64),
                in_gib(available)
            ),
            "use a narrower or shallower module",
        )),
        _ => Ok(n_bytes / size_of::<f32>()),
    }
}

/// Building only fails on the device, because the shapes are valid.
pub(crate) fn unplaced(error: OpError) -> ConfigError {
    ConfigError::unfit(
        format!("the parameters cannot be placed: {error}"),
        "use a narrower or shallower module",
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_no_machine_has_room_for_is_refused_before_it_is_drawn() {
        let device = Device::default();
        let builder = Builder::new(&device, |name| Rng::new(0, name, &[])).part("conv1");
        for shape in [&[1 << 16, 1 << 16, 1 << 10][..], &[usize::MAX, 2]] {
            let error = builder.parameter("weight", ParameterKind::Vector, shape, Init::ZEROS).err().unwrap();
            let told = error.to_string();
            assert!(told.starts_with("the parameter `conv1.weight` of shape ["), "{told}");
            assert!(told.contains("and this machine has ") && error.hint().is_some(), "{told}");
        }
        assert!(builder.parameter("bias", ParameterKind::Vector, &[4], Init::ZEROS).is_ok());
    }
}
