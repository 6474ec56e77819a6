//! What layers are built with.

use std::rc::Rc;

use plugin_api::{ConfigError, ModuleContext, Rng};
use tensor_ops::{Device, OpError, Parameter, ParameterKind};

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
    /// If the device has no room for it.
    pub fn parameter(
        &self,
        name: &str,
        kind: ParameterKind,
        shape: &[usize],
        init: Init,
    ) -> Result<Parameter, ConfigError> {
        let mut rng = (self.draws)(&format!("{}{name}", self.prefix));
        let values = init.values(&mut rng, shape.iter().product());
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

/// Building only fails on the device, because the shapes are valid.
pub(crate) fn unplaced(error: OpError) -> ConfigError {
    ConfigError::unfit(
        format!("the parameters cannot be placed: {error}"),
        "use a narrower or shallower module",
    )
}
