//! Rows of features.

use dfdx::{
    shapes::HasShape,
    tensor::{NoneTape, PutTape, SplitTape, Tensor, TensorFromVec},
};

use crate::{
    Device, Features, Gradients, Matrix, OpError, Recording,
    backend::{Backend, Computed, on},
    device,
    tape::{NamedRows, Pass},
    values::{Place, check_len},
};

/// A matrix out of its rows, `(N, D)`.
///
/// ```
/// use tensor_ops::{Device, Recording, Rows, features_from_rows};
///
/// let x = features_from_rows(&Device::default(), (2, 2), vec![1.0, 2.0, 3.0, 4.0], Recording::Off)?;
/// assert_eq!((x.n(), x.d(), x.rows()), (2, 2, vec![1.0, 2.0, 3.0, 4.0]));
/// # Ok::<(), tensor_ops::OpError>(())
/// ```
///
/// # Errors
///
/// When the number of values is not `N * D`, or a size is 0.
pub fn features_from_rows(
    device: &Device,
    shape: (usize, usize),
    rows: Vec<f32>,
    recording: Recording,
) -> Result<Features, OpError> {
    let (n, d) = shape;
    if n == 0 || d == 0 {
        return Err(OpError::value("features_from_rows", "shape", shape, "every size must be at least 1"));
    }
    check_len("features_from_rows", "number of values", &[n, d], rows.len())?;
    Ok(device.try_tensor_from_vec(rows, shape)?.put_tape(recording))
}

/// What [`FeatureMap`](crate::FeatureMap) has as methods, for rows `(N, D)`.
pub trait Rows: Sized {
    /// `N`.
    fn n(&self) -> usize;

    /// `D`.
    fn d(&self) -> usize;

    /// The values, row after row.
    fn rows(&self) -> Vec<f32>;

    /// The rows, and the recording that they carry; [`Recording::is_on`] tells whether they were recorded.
    fn split_recording(self) -> (Matrix, Recording);

    /// The same rows with another recording.
    fn with_recording(self, recording: Recording) -> Features {
        self.split_recording().0.put_tape(recording)
    }
}

impl Rows for Features {
    fn n(&self) -> usize {
        self.shape().0
    }

    fn d(&self) -> usize {
        self.shape().1
    }

    fn rows(&self) -> Vec<f32> {
        device::rows(self)
    }

    fn split_recording(self) -> (Matrix, Recording) {
        self.split_tape()
    }
}

impl Rows for Matrix {
    fn n(&self) -> usize {
        self.shape().0
    }

    fn d(&self) -> usize {
        self.shape().1
    }

    fn rows(&self) -> Vec<f32> {
        device::rows(self)
    }

    fn split_recording(self) -> (Matrix, Recording) {
        (self, Recording::Off)
    }
}

/// The values, row after row, whatever the strides.
pub fn to_rows<T>(matrix: &Tensor<(usize, usize), f32, Device, T>) -> Vec<f32> {
    device::rows(matrix)
}

/// Row `i` of the result is row `order[i]`. Not recorded.
///
/// # Errors
///
/// When `order` is empty or names a row that is not there.
pub fn select_rows<T: std::fmt::Debug>(
    matrix: &Tensor<(usize, usize), f32, Device, T>,
    order: &[usize],
) -> Result<Matrix, OpError> {
    let (n, _) = *matrix.shape();
    if order.is_empty() {
        return Err(OpError::value("select_rows", "number of rows", 0, "at least one must be selected"));
    }
    if let Some(&out_of_range) = order.iter().find(|&&row| row >= n) {
        let must = "every row must be below the number of rows";
        return Err(OpError::value("select_rows", "a row of the order", out_of_range, must));
    }
    let untaped = matrix.retaped::<NoneTape>();
    Ok(on!(Place::of_process(), |backend| select(backend, &untaped, order))?)
}

fn select<B: Backend>(backend: B, matrix: &Matrix, order: &[usize]) -> Computed<Matrix> {
    let d = matrix.shape().1;
    let selected = backend.gather_rows(&backend.of_matrix(matrix)?, d, order)?;
    backend.matrix(matrix.device(), (order.len(), d), selected)
}

/// The rows of several matrices of one width, one matrix after the other. Not recorded.
///
/// # Errors
///
/// When there is no matrix, or their widths differ.
pub fn concat_rows(parts: &[&Matrix]) -> Result<Matrix, OpError> {
    let Some(first) = parts.first() else {
        return Err(OpError::value("concat_rows", "number of matrices", 0, "there must be at least one"));
    };
    let d = first.shape().1;
    if let Some(other) = parts.iter().map(|part| part.shape().1).find(|width| *width != d) {
        return Err(OpError::shape("concat_rows", "width of a matrix", d, other));
    }
    let n = parts.iter().map(|part| part.shape().0).sum();
    Ok(on!(Place::of_process(), |backend| concat(backend, parts, (n, d)))?)
}

fn concat<B: Backend>(backend: B, parts: &[&Matrix], shape: (usize, usize)) -> Computed<Matrix> {
    let values = parts.iter().map(|part| backend.of_matrix(part)).collect::<Computed<Vec<_>>>()?;
    backend.matrix(parts[0].device(), shape, backend.concat(&values)?)
}

/// The gradient that reached `features`, a value that a recording started from: `(N, D)`; zeros if none did.
///
/// Moves the gradient out of `gradients`.
///
/// # Errors
///
/// When the device fails.
pub fn gradient_of_rows(features: &Matrix, gradients: &mut Gradients) -> Result<Matrix, OpError> {
    Ok(on!(Place::of_process(), |backend| gradient(backend, features, gradients))?)
}

fn gradient<B: Backend>(backend: B, features: &Matrix, gradients: &mut Gradients) -> Computed<Matrix> {
    let Gradients { of_tensors, by_slot } = gradients;
    let shape = *features.shape();
    let gradient =
        match NamedRows::of(features).take(backend, &mut Pass { of_tensors, by_slot, failure: None })? {
            Some(gradient) => gradient,
            None => backend.upload(vec![0.0; shape.0 * shape.1])?,
        };
    backend.matrix(features.device(), shape, gradient)
}
