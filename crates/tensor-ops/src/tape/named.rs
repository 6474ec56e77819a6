//! The gradients of dfdx's tensors: rows of features, and losses.

use dfdx::{
    shapes::{HasShape as _, Shape},
    tensor::{PutTape as _, SplitTape as _, Storage as _, Tensor},
};

use super::{Pass, Recording, gradients::OfTensors};
use crate::{
    Device, Features, Matrix, Scalar,
    backend::{Backend, Computed},
    device::{self, Stored},
};

/// Finds a gradient among those of dfdx's tensors, or makes zeros there.
type Find = Box<dyn for<'a> Fn(&'a mut OfTensors) -> Computed<&'a mut Stored>>;

/// Names the gradient of a tensor whose values lie one after the other.
///
/// dfdx does not say whether one has arrived, only what it is; where none has, that is zeros. What is computed of them is zeros
/// too, for all that led to rows or a loss that have no part in the loss of the pass, but are recorded with it. Those of a
/// [`Slot`](super::Slot) are known to be there or not.
pub(crate) struct Named {
    find: Find,
    device: Device,
}

impl Named {
    pub(crate) fn of<S: Shape>(tensor: &Tensor<S, f32, Device>) -> Self {
        // dfdx has a handle without values, of a type that has no name outside of it.
        let ghost = tensor.ghost();
        let find: Find = Box::new(move |gradients| gradients.get_or_alloc_mut(&ghost));
        Self { find, device: tensor.device().clone() }
    }

    /// Where to add: what has arrived, or zeros.
    fn growing<'a>(&self, gradients: &'a mut OfTensors) -> Computed<&'a mut Stored> {
        let stored = (self.find)(gradients)?;
        if self.device.len(stored) == 0 {
            // It was moved out after an earlier pass.
            std::mem::swap(stored, (self.find)(&mut OfTensors::leaky())?);
        }
        Ok(stored)
    }

    /// Moves the gradient out, zeros if none has arrived; `None` if it was moved out before.
    pub(crate) fn take<B: Backend>(&self, backend: B, pass: &mut Pass<'_>) -> Computed<Option<B::Values>> {
        backend.take_stored((self.find)(pass.of_tensors)?)
    }

    /// Adds a gradient to what has arrived.
    pub(crate) fn add<B: Backend>(
        &self,
        backend: B,
        pass: &mut Pass<'_>,
        gradient: &B::Values,
    ) -> Computed<()> {
        backend.add_stored(self.growing(pass.of_tensors)?, gradient)
    }
}

impl Named {
    /// A loss as a value, its name, and its recording.
    pub(crate) fn split<B: Backend>(backend: B, loss: Scalar) -> Computed<(B::Values, Self, Recording)> {
        let (loss, recording) = loss.split_tape();
        Ok((backend.of_scalar(&loss)?, Self::of(&loss), recording))
    }

    /// A loss of a value, whose gradient `backward` turns into gradients of what went in.
    pub(crate) fn output<B: Backend>(
        backend: B,
        device: &Device,
        value: B::Values,
        mut recording: Recording,
        backward: impl FnOnce(&mut Pass<'_>, B::Values) -> Computed<()> + 'static,
    ) -> Computed<Scalar> {
        let loss = backend.scalar(device, value)?;
        if recording.is_on() {
            let out = Self::of(&loss);
            recording.record(move |pass| match out.take(backend, pass)? {
                Some(gradient) => backward(pass, gradient),
                None => Ok(()),
            });
        }
        Ok(loss.put_tape(recording))
    }
}

/// Names the gradient of a matrix, whatever its strides.
pub(crate) struct NamedRows {
    name: Named,
    device: Device,
    shape: (usize, usize),
    /// From row to row and from column to column, where the matrix does not lie row after row: dfdx's permuted and broadcast
    /// tensors share the storage of others, and their gradients lie as they do.
    strides: Option<[usize; 2]>,
}

impl NamedRows {
    pub(crate) fn of(matrix: &Matrix) -> Self {
        Self {
            name: Named::of(matrix),
            device: matrix.device().clone(),
            shape: *matrix.shape(),
            strides: device::strides(matrix),
        }
    }

    /// Rows as values, row after row; their name; and their recording.
    pub(crate) fn split<B: Backend>(backend: B, x: Features) -> Computed<(B::Values, Self, Recording)> {
        let (x, recording) = x.split_tape();
        Ok((backend.of_matrix(&x)?, Self::of(&x), recording))
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Number of values of the gradient.
    pub(crate) fn n_values(&self) -> usize {
        self.shape.0 * self.shape.1
    }

    /// Moves the gradient out, row after row, zeros if none has arrived; `None` if it was moved out before.
    pub(crate) fn take<B: Backend>(&self, backend: B, pass: &mut Pass<'_>) -> Computed<Option<B::Values>> {
        let Some(strides) = self.strides else { return self.name.take(backend, pass) };
        let stored = device::take((self.name.find)(pass.of_tensors)?)?;
        if stored.is_empty() {
            return Ok(None);
        }
        let at = |i: usize| stored[place(strides, self.shape.1, i)];
        backend.upload((0..self.shape.0 * self.shape.1).map(at).collect()).map(Some)
    }

    /// Adds a gradient, row after row, to what has arrived.
    pub(crate) fn add<B: Backend>(
        &self,
        backend: B,
        pass: &mut Pass<'_>,
        gradient: &B::Values,
    ) -> Computed<()> {
        let Some(strides) = self.strides else { return self.name.add(backend, pass, gradient) };
        let gradient = backend.to_host(gradient)?;
        let stored = self.name.growing(pass.of_tensors)?;
        let mut sum = device::take(stored)?;
        for (i, value) in gradient.into_iter().enumerate() {
            // A value that stands in several places has the sum of their gradients.
            sum[place(strides, self.shape.1, i)] += value;
        }
        device::put(stored, sum)
    }

    /// Rows whose gradient `backward` turns into gradients of what went in.
    pub(crate) fn output<B: Backend>(
        backend: B,
        device: &Device,
        shape: (usize, usize),
        values: B::Values,
        mut recording: Recording,
        backward: Option<impl FnOnce(&mut Pass<'_>, B::Values) -> Computed<()> + 'static>,
    ) -> Computed<Features> {
        let y = backend.matrix(device, shape, values)?;
        if let (true, Some(backward)) = (recording.is_on(), backward) {
            let out = Named::of(&y);
            recording.record(move |pass| match out.take(backend, pass)? {
                Some(gradient) => backward(pass, gradient),
                None => Ok(()),
            });
        }
        Ok(y.put_tape(recording))
    }
}

/// Where value number `i`, row after row, is in storage.
fn place(strides: [usize; 2], n_columns: usize, i: usize) -> usize {
    i / n_columns * strides[0] + i % n_columns * strides[1]
}
