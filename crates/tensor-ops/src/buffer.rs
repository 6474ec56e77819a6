//! What a module keeps beside its parameters.

use crate::{OpError, resident::Resident};

/// Values without gradients, such as running statistics.
#[derive(Debug)]
pub struct Buffer {
    shape: Vec<usize>,
    pub(crate) values: Resident,
}

impl Buffer {
    /// A buffer with these values.
    ///
    /// # Errors
    ///
    /// When the number of values is not the product of `shape`.
    pub fn new(shape: &[usize], values: Vec<f32>) -> Result<Self, OpError> {
        let len = shape.iter().product::<usize>();
        if values.len() != len {
            return Err(OpError::shape("Buffer::new", "number of values", len, values.len()));
        }
        Ok(Self { shape: shape.to_vec(), values: Resident::new(values) })
    }

    /// A vector of one value.
    pub(crate) fn filled(len: usize, value: f32) -> Self {
        Self { shape: vec![len], values: Resident::new(vec![value; len]) }
    }

    /// Size along each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of values.
    pub fn n_elements(&self) -> usize {
        self.values.len()
    }

    /// The values.
    pub fn to_vec(&self) -> Vec<f32> {
        self.values.to_vec()
    }

    /// Replaces the values.
    ///
    /// # Errors
    ///
    /// When the number of values is another.
    pub fn set(&mut self, values: &[f32]) -> Result<(), OpError> {
        if values.len() != self.values.len() {
            return Err(OpError::shape("Buffer::set", "number of values", self.values.len(), values.len()));
        }
        self.values.host_mut().copy_from_slice(values);
        Ok(())
    }

    /// Lends the values.
    pub fn with_values<R>(&self, read: impl FnOnce(&[f32]) -> R) -> R {
        read(&self.values)
    }

    /// Lends the values for a change in place.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn update(&mut self, change: impl FnOnce(&mut [f32])) -> Result<(), OpError> {
        change(self.values.host_mut());
        Ok(())
    }
}
