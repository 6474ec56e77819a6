//! What has parameters, as something that makes one value of its inputs and gradients of it.

use plugin_api::{Entry, Module};
use tensor_ops::{
    ConvAlgorithm, ConvGeometry, Device, FeatureMap, Features, Gradients, Matrix, Mode, OpError, Parameter,
    ParameterKind, Recording, Rows as _, Scalar, backward, conv2d, features_from_rows, gradient_of_rows,
    linear, weighted_sum,
};

use crate::fault::Checked;
use crate::numbers::normal;

/// Builds what is checked, from a seed: the same seed, the same values.
pub(crate) trait Factory: Sync {
    type Subject: Subject;

    /// Whether training and evaluation differ.
    const HAS_MODES: bool;
    /// How messages call a pass of it: `forward`.
    const METHOD: &'static str;

    fn build(&self, seed: u64) -> Checked<Self::Subject>;

    /// Values for each input: another `set`, other values.
    fn inputs(&self, set: u64) -> Vec<Vec<f32>>;
}

/// Something built.
pub(crate) trait Subject {
    fn module(&mut self) -> &mut dyn Module;

    /// The shape that it declares for what it makes of the inputs.
    fn declared(&self) -> (usize, usize);

    /// One pass; recorded, with its gradients.
    fn pass(&mut self, inputs: &[Vec<f32>], mode: Mode, is_recorded: bool) -> Result<Made, OpError>;

    /// Goes on by a step: its state moves, if it has any that does.
    fn advance(&mut self, inputs: &[Vec<f32>]) -> Result<(), OpError>;
}

/// What a pass has made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) shape: (usize, usize),
    pub(crate) values: Vec<f32>,
    pub(crate) is_recorded: bool,
    /// Of a recorded one.
    pub(crate) gradients: Option<Backward>,
}

/// Gradients of the sum of what was made, each value times a weight of its own.
#[derive(Debug)]
pub(crate) struct Backward {
    /// Of each input; `None` where none arrived.
    pub(crate) inputs: Vec<Option<Vec<f32>>>,
    /// Of each parameter, by name.
    pub(crate) parameters: Vec<OfParameter>,
    /// Gradients of what is neither.
    pub(crate) n_unclaimed: usize,
}

#[derive(Debug)]
pub(crate) struct OfParameter {
    pub(crate) name: String,
    pub(crate) is_trainable: bool,
    pub(crate) gradient: Option<Vec<f32>>,
}

/// The weights of a sum over `n` values; of a single one, 1.
pub(crate) fn weights(n: usize) -> Vec<f32> {
    if n == 1 { vec![1.0] } else { normal("weights of a sum", 0, n) }
}

impl Made {
    /// What is differentiated, as precisely as the values allow.
    pub(crate) fn sum(&self) -> f64 {
        let terms = self.values.iter().zip(weights(self.values.len()));
        terms.map(|(value, weight)| f64::from(*value) * f64::from(weight)).sum()
    }

    /// Of features, with the gradients of what went in, which `of_inputs` takes.
    pub(crate) fn of_features(
        features: Features,
        module: &dyn Module,
        of_inputs: impl FnOnce(&mut Gradients) -> Result<Vec<Option<Vec<f32>>>, OpError>,
    ) -> Result<Self, OpError> {
        let (matrix, recording) = features.split_recording();
        let (shape, values) = ((matrix.n(), matrix.d()), matrix.rows());
        let is_recorded = recording.is_on();
        let gradients = match is_recorded {
            true => {
                let sum = weighted_sum(matrix.with_recording(recording), &weights(values.len()))?;
                Some(Backward::of(sum, module, of_inputs)?)
            }
            false => None,
        };
        Ok(Self { shape, values, is_recorded, gradients })
    }

    /// Of a loss.
    pub(crate) fn of_loss(
        loss: Scalar,
        value: f32,
        module: &dyn Module,
        of_inputs: impl FnOnce(&mut Gradients) -> Result<Vec<Option<Vec<f32>>>, OpError>,
    ) -> Result<Self, OpError> {
        use dfdx::prelude::{PutTape as _, SplitTape as _};
        let (loss, recording) = loss.split_tape();
        let is_recorded = recording.is_on();
        let gradients = match is_recorded {
            true => Some(Backward::of(loss.put_tape(recording), module, of_inputs)?),
            false => None,
        };
        Ok(Self { shape: (1, 1), values: vec![value], is_recorded, gradients })
    }
}

impl Backward {
    fn of(
        sum: Scalar,
        module: &dyn Module,
        of_inputs: impl FnOnce(&mut Gradients) -> Result<Vec<Option<Vec<f32>>>, OpError>,
    ) -> Result<Self, OpError> {
        let mut gradients = backward(sum)?;
        let inputs = of_inputs(&mut gradients)?;
        let (mut parameters, mut failed) = (Vec::new(), None);
        module.visit(&mut |name, entry| {
            let Entry::Parameter(parameter) = entry else { return };
            match parameter.take_gradient(&mut gradients) {
                Ok(gradient) => parameters.push(OfParameter {
                    name: name.to_owned(),
                    is_trainable: parameter.is_trainable(),
                    gradient,
                }),
                Err(error) => failed = Some(error),
            }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(Self { inputs, parameters, n_unclaimed: gradients.n_of_parameters() }),
        }
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&OfParameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }
}

/// Rows that go in, and what their gradient is asked of: the rows before an operation that does nothing, so that a module that
/// drops what was recorded before it is found.
pub(crate) struct Recorded {
    pub(crate) features: Features,
    pub(crate) handle: Matrix,
}

impl Recorded {
    pub(crate) fn new(shape: (usize, usize), rows: &[f32], is_recorded: bool) -> Result<Self, OpError> {
        let recording = if is_recorded { Recording::start() } else { Recording::Off };
        let features = features_from_rows(&Device::default(), shape, rows.to_vec(), recording)?;
        let (matrix, recording) = features.split_recording();
        let (handle, features) = (matrix.clone(), matrix.with_recording(recording));
        Ok(Self { handle, features: if is_recorded { same(features, shape.1)? } else { features } })
    }

    /// The gradient that reached `handle`; `None` if all of it is 0, which stands for none.
    pub(crate) fn gradient(handle: &Matrix, gradients: &mut Gradients) -> Result<Option<Vec<f32>>, OpError> {
        let gradient = gradient_of_rows(handle, gradients)?.rows();
        Ok(gradient.iter().any(|value| *value != 0.0).then_some(gradient))
    }
}

/// The same rows, by a product with the unit matrix.
fn same(features: Features, width: usize) -> Result<Features, OpError> {
    let one = unit(ParameterKind::Matrix, &[width, width], width)?;
    linear(features, &one, None)
}

/// The same images, by a convolution of single pixels.
pub(crate) fn same_images(images: FeatureMap) -> Result<FeatureMap, OpError> {
    let n = images.c();
    let one = unit(ParameterKind::Kernel, &[1, 1, n, n], n)?;
    conv2d(images, &one, None, ConvGeometry::square(1, 1, 0), ConvAlgorithm::Direct)
}

/// `n` times `n` values, 1 on the diagonal; not trained.
fn unit(kind: ParameterKind, shape: &[usize], n: usize) -> Result<Parameter, OpError> {
    let values = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
    let mut unit = Parameter::new(&Device::default(), kind, shape, values)?;
    unit.set_trainable(false);
    Ok(unit)
}

/// A matrix of rows.
pub(crate) fn matrix(shape: (usize, usize), rows: &[f32]) -> Result<Matrix, OpError> {
    Ok(Recorded::new(shape, rows, false)?.handle)
}
