//! What training changes by gradients.

mod gradient;

use std::sync::Arc;

use kernels_cpu::blend::blend;

use super::{Place, Resident, check_len, transpose::transpose};
use crate::{Device, OpError, ParameterId, tape::Slot};

/// What the axes of a parameter mean, and so in what order PyTorch has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// A convolution's weights, `(KH, KW, I, O)`. PyTorch: `(O, I, KH, KW)`.
    Kernel,
    /// A linear layer's weights, `(in, out)`. PyTorch: `(out, in)`.
    Matrix,
    /// Biases, scales, position tables: anything that has the same order in both.
    Vector,
}

/// PyTorch's shape, and values in PyTorch's order.
pub type TorchValues = (Vec<usize>, Vec<f32>);

/// Values that gradients are computed for.
///
/// There is no `Clone`, since a copy that is trained apart from the original is rarely what is meant: say
/// [`duplicate`](Self::duplicate).
#[derive(Debug)]
pub struct Parameter {
    kind: ParameterKind,
    shape: Vec<usize>,
    is_trainable: bool,
    pub(crate) values: Arc<Resident>,
    pub(crate) slot: Slot,
}

impl Parameter {
    /// A trainable parameter with these values, in our order (see [`ParameterKind`]).
    ///
    /// # Errors
    ///
    /// When the number of values is not the product of `shape`, or `shape` has not the number of axes of `kind`.
    pub fn new(
        device: &Device,
        kind: ParameterKind,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<Self, OpError> {
        let n_axes = match kind {
            ParameterKind::Kernel => 4,
            ParameterKind::Matrix => 2,
            ParameterKind::Vector => shape.len(),
        };
        if shape.len() != n_axes {
            return Err(OpError::shape("Parameter::new", "number of axes", n_axes, shape));
        }
        check_len("Parameter::new", "number of values", shape, values.len())?;
        let slot = Slot::new(device, values.len());
        Ok(Self {
            kind,
            shape: shape.to_vec(),
            is_trainable: true,
            values: Arc::new(Resident::new(values)),
            slot,
        })
    }

    /// A parameter of its own with the same values.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn duplicate(&self) -> Result<Self, OpError> {
        Ok(Self {
            kind: self.kind,
            shape: self.shape.clone(),
            is_trainable: self.is_trainable,
            values: Arc::new(self.values.duplicate()?),
            slot: Slot::new(self.slot.device(), self.n_elements()),
        })
    }

    /// A second handle to the same values and gradient, without a copy. A change of one handle is not seen by the other.
    pub fn share(&self) -> Self {
        Self {
            kind: self.kind,
            shape: self.shape.clone(),
            is_trainable: self.is_trainable,
            values: Arc::clone(&self.values),
            slot: self.slot.clone(),
        }
    }

    /// Tells it from all other parameters of this process; handles that [`share`](Self::share) its gradient share it.
    pub fn id(&self) -> ParameterId {
        self.slot.id()
    }

    /// Where it lives.
    pub fn device(&self) -> &Device {
        self.slot.device()
    }

    /// In our order.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// What the axes mean.
    pub fn kind(&self) -> ParameterKind {
        self.kind
    }

    /// Number of values.
    pub fn n_elements(&self) -> usize {
        self.slot.len()
    }

    /// Whether gradients are computed for it.
    pub fn is_trainable(&self) -> bool {
        self.is_trainable
    }

    /// Freezes the parameter, or thaws it.
    pub fn set_trainable(&mut self, is_trainable: bool) {
        self.is_trainable = is_trainable;
    }

    /// The values, in our order.
    pub fn to_vec(&self) -> Vec<f32> {
        self.values.to_vec()
    }

    /// Replaces the values, in our order.
    ///
    /// # Errors
    ///
    /// When the number of values is another.
    pub fn set(&mut self, values: &[f32]) -> Result<(), OpError> {
        if values.len() != self.n_elements() {
            return Err(OpError::shape(
                "Parameter::set",
                "number of values",
                self.n_elements(),
                values.len(),
            ));
        }
        self.values = Arc::new(Resident::new(values.to_vec()));
        Ok(())
    }

    /// Lends the values, in our order.
    pub fn with_values<R>(&self, read: impl FnOnce(&[f32]) -> R) -> R {
        read(&self.values)
    }

    /// The values, in our order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Moves the values out, in our order, to be changed beside those of other parameters: unlike a parameter, which
    /// belongs to its device, they go to any thread.
    ///
    /// Nothing else works on the parameter until [`put_values`](Self::put_values).
    pub fn take_values(&mut self) -> Vec<f32> {
        match Arc::try_unwrap(std::mem::take(&mut self.values)) {
            Ok(values) => values.into_host(),
            Err(shared) => shared.to_vec(),
        }
    }

    /// Moves values in, in our order: what [`take_values`](Self::take_values) gave, changed.
    ///
    /// # Errors
    ///
    /// When the number of values is another.
    pub fn put_values(&mut self, values: Vec<f32>) -> Result<(), OpError> {
        let expected = self.n_elements();
        if values.len() != expected {
            return Err(OpError::shape("Parameter::put_values", "number of values", expected, values.len()));
        }
        self.values = Arc::new(Resident::new(values));
        Ok(())
    }

    /// Lends the values for a change in place, in our order.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn update(&mut self, change: impl FnOnce(&mut [f32])) -> Result<(), OpError> {
        change(self.own()?.host_mut());
        Ok(())
    }

    /// `self = momentum * self + (1 - momentum) * towards`, rounded as PyTorch rounds it.
    ///
    /// # Errors
    ///
    /// When the shapes differ.
    pub fn blend(&mut self, towards: &Parameter, momentum: f32) -> Result<(), OpError> {
        if towards.shape != self.shape {
            return Err(OpError::shape("Parameter::blend", "shape", &self.shape, &towards.shape));
        }
        match Place::of_process() {
            Place::Host => blend(self.own()?.host_mut(), &towards.values, momentum),
            #[cfg(feature = "cuda")]
            Place::Cuda => crate::backend::cuda_update::blend_all(
                std::slice::from_mut(self),
                std::slice::from_ref(towards),
                momentum,
            )?,
        }
        Ok(())
    }

    /// Moves the values to a handle of their own, so that many parameters can be changed together.
    ///
    /// Nothing else works on the parameter until [`put_back`](Self::put_back).
    pub fn take(&mut self) -> Self {
        let values = std::mem::take(&mut self.values);
        Self {
            kind: self.kind,
            shape: self.shape.clone(),
            is_trainable: self.is_trainable,
            values,
            slot: self.slot.clone(),
        }
    }

    /// Moves the values back that [`take`](Self::take) gave.
    pub fn put_back(&mut self, taken: Self) {
        debug_assert_eq!(self.shape, taken.shape, "what is put back was taken from here");
        self.values = taken.values;
    }

    /// The values, shared with no other handle.
    pub(crate) fn own(&mut self) -> Result<&mut Resident, OpError> {
        if Arc::get_mut(&mut self.values).is_none() {
            self.values = Arc::new(self.values.duplicate()?);
        }
        Ok(Arc::get_mut(&mut self.values).expect("the lines above leave one handle"))
    }

    /// PyTorch's shape, and the values in PyTorch's order.
    pub fn to_torch(&self) -> TorchValues {
        (self.torch_shape(), self.order_to_torch(&self.values))
    }

    /// Replaces the values by values in PyTorch's order.
    ///
    /// # Errors
    ///
    /// When `shape` is not PyTorch's shape of this parameter, or the number of values is another.
    pub fn set_from_torch(&mut self, shape: &[usize], values: &[f32]) -> Result<(), OpError> {
        let torch_shape = self.torch_shape();
        if shape != torch_shape {
            return Err(OpError::shape("Parameter::set_from_torch", "shape", torch_shape, shape));
        }
        if values.len() != self.n_elements() {
            let expected = self.n_elements();
            return Err(OpError::shape(
                "Parameter::set_from_torch",
                "number of values",
                expected,
                values.len(),
            ));
        }
        let ours = self.order_from_torch(values);
        self.set(&ours)
    }

    /// One value for each of the parameter's, from PyTorch's order to ours.
    pub fn order_from_torch(&self, values: &[f32]) -> Vec<f32> {
        match self.kind {
            // PyTorch's (O, I·KH·KW) to (I·KH·KW, O), and then (I, KH·KW) to (KH·KW, I) with O innermost.
            ParameterKind::Kernel => {
                let (n_taps, i, o) = (self.shape[0] * self.shape[1], self.shape[2], self.shape[3]);
                transpose(&transpose(values, o, i * n_taps, 1), i, n_taps, o)
            }
            ParameterKind::Matrix => transpose(values, self.shape[1], self.shape[0], 1),
            ParameterKind::Vector => values.to_vec(),
        }
    }

    /// The shape that PyTorch gives this parameter.
    pub fn torch_shape(&self) -> Vec<usize> {
        let s = &self.shape;
        match self.kind {
            ParameterKind::Kernel => vec![s[3], s[2], s[0], s[1]],
            ParameterKind::Matrix => vec![s[1], s[0]],
            ParameterKind::Vector => s.clone(),
        }
    }

    /// One value for each of the parameter's, from our order to PyTorch's.
    pub fn order_to_torch(&self, values: &[f32]) -> Vec<f32> {
        match self.kind {
            ParameterKind::Kernel => {
                let (n_taps, i, o) = (self.shape[0] * self.shape[1], self.shape[2], self.shape[3]);
                transpose(&transpose(values, n_taps, i, o), i * n_taps, o, 1)
            }
            ParameterKind::Matrix => transpose(values, self.shape[0], self.shape[1], 1),
            ParameterKind::Vector => values.to_vec(),
        }
    }
}
