//! What a module keeps beside its parameters.

use dfdx::shapes::HasShape;

use super::{Place, Resident, check_len, checked_len};
use crate::{Matrix, OpError, backend::on};

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
        check_len("Buffer::new", "number of values", shape, values.len())?;
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
        self.values = Resident::new(values.to_vec());
        Ok(())
    }

    /// Zeros, which take memory when they are first used.
    pub fn zeros(shape: &[usize]) -> Self {
        // More than can be counted is more than there is room for: that is found where they are used.
        let len = checked_len(shape).unwrap_or(usize::MAX);
        Self { shape: shape.to_vec(), values: Resident::zeros(len) }
    }

    /// Moves the values out, to be changed beside those of others; nothing else works on the buffer until
    /// [`put_values`](Self::put_values).
    pub fn take_values(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.values).into_host()
    }

    /// Moves values in: what [`take_values`](Self::take_values) gave, changed.
    ///
    /// # Errors
    ///
    /// When the number of values is another.
    pub fn put_values(&mut self, values: Vec<f32>) -> Result<(), OpError> {
        check_len("Buffer::put_values", "number of values", &self.shape, values.len())?;
        self.values = Resident::new(values);
        Ok(())
    }

    /// Replaces as many rows of a buffer `(K, C)` as `rows` has, from row `first` on and, after the last, from row 0 on.
    ///
    /// # Errors
    ///
    /// When the widths differ, there is no row `first`, or the buffer has fewer rows.
    pub fn write_rows(&mut self, first: usize, rows: &Matrix) -> Result<(), OpError> {
        const OP: &str = "Buffer::write_rows";
        let (n, d) = *rows.shape();
        let [n_rows, width] = self.shape[..] else {
            return Err(OpError::shape(OP, "number of axes", 2, self.shape.len()));
        };
        if d != width {
            return Err(OpError::shape(OP, "width of a row", width, d));
        }
        if n > n_rows || first >= n_rows {
            let must = "they must fit in the buffer, and the first be one of its rows";
            return Err(OpError::value(OP, "rows, and the first of them", (n, first), must));
        }
        on!(Place::of_process(), |backend| {
            let rows = backend.of_matrix(rows)?;
            backend.write_around(&mut self.values, &rows, first * width)?;
        });
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
