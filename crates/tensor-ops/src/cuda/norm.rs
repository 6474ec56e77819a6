//! Batch normalization.

mod wanted;

use std::sync::Arc;

use cudarc::driver::CudaSlice;
use dfdx::{
    shapes::HasShape as _,
    tensor::{CudaError, PutTape as _, SplitTape as _, Tape as _},
};

use self::wanted::Wanted;
use super::{
    array::{Array, unwritten},
    columns::Chunks,
    launch::Launch,
    pointwise::{add_to, typed},
    program::Program,
    tensor,
};
use crate::{
    BatchNorm, FeatureMap, Features, Gradients, Mode, OpError, Precision,
    device::{self, MapSlot},
    feature_map::join,
    layout::Layout,
    values::Values,
};

pub(super) static NORM: Program =
    Program::new("norm", include_str!("kernels/norm.cu"), include_str!("kernels/norm_typed.cu"));

/// See [`batch_norm`](crate::batch_norm), [`batch_norm_relu`](crate::batch_norm_relu) and
/// [`batch_norm_add_relu`](crate::batch_norm_add_relu).
pub(crate) fn batch_norm(
    x: FeatureMap,
    norm: &mut BatchNorm,
    residual: Option<FeatureMap>,
    with_relu: bool,
    mode: Mode,
) -> Result<FeatureMap, OpError> {
    let layout = x.layout;
    let over = Over::new(layout, norm, mode);
    let input = Place::of(x.values.array());
    let coefficients = Coefficients::new(over, norm, input, mode)?;
    let mut y = Array::unwritten(layout.len(), input.precision)?;
    let other = residual.as_ref().map(|residual| Place::of(residual.values.array()));
    if other.is_some_and(|other| other.precision != input.precision) {
        return Err(OpError::shape(
            "batch_norm_add_relu",
            "precision of the residual",
            input.precision,
            "another",
        ));
    }
    normalize(over, &coefficients, input, other, y.pointer_mut(), with_relu)?;
    let values = Arc::new(Values::Device(y));

    let slot = MapSlot::new(x.device(), layout.len());
    let (x, recording) = x.split_recording();
    let (residual, recording) = match residual {
        None => (None, recording),
        Some(residual) => {
            let (residual, other) = residual.split_recording();
            (Some(residual), join(recording, other))
        }
    };
    let parameters = Wanted::of(norm);
    let wants_x = x.needs_gradient.then(|| x.slot.clone());
    let wants_residual = residual.filter(|residual| residual.needs_gradient).map(|residual| residual.slot);
    let is_wanted = parameters.any() || wants_x.is_some() || wants_residual.is_some();
    let backward = is_wanted.then(|| {
        let (x, output) = (x.values, with_relu.then(|| Arc::clone(&values)));
        move |gradients: &mut Gradients, mut gradient: CudaSlice<f32>| {
            let input = Place::of(x.array());
            let output = output.as_ref().map(|output| Place::of(output.array()).address);
            let sums = Sums::new(over, &coefficients, input, output, &gradient, mode)?;
            let before = match &wants_x {
                Some(slot) => slot.take_slice(gradients)?,
                None => None,
            };
            let keeps_masked = wants_residual.is_some();
            let spread =
                Spread { over, coefficients: &coefficients, sums: &sums, input, output, keeps_masked };
            let by_x = match (&wants_x, before) {
                (None, _) => {
                    spread.run(&mut gradient, None, false)?;
                    None
                }
                (Some(_), Some(mut sum)) => {
                    spread.run(&mut gradient, Some(&mut sum), true)?;
                    Some(sum)
                }
                (Some(_), None) if keeps_masked => {
                    let mut sum = unwritten(layout.len())?;
                    spread.run(&mut gradient, Some(&mut sum), false)?;
                    Some(sum)
                }
                (Some(_), None) => {
                    spread.run_in_place(&mut gradient)?;
                    parameters.give(gradients, sums)?;
                    return match wants_x {
                        Some(slot) => slot.put_slice(gradients, gradient),
                        None => Ok(()),
                    };
                }
            };
            parameters.give(gradients, sums)?;
            if let Some(slot) = wants_residual {
                slot.add_slice(gradients, gradient)?;
            }
            match (wants_x, by_x) {
                (Some(slot), Some(by_x)) => slot.put_slice(gradients, by_x),
                _ => Ok(()),
            }
        }
    });
    Ok(FeatureMap::output_on_device(slot, layout, values, recording, backward))
}

/// See [`batch_norm_features`](crate::batch_norm_features).
pub(crate) fn batch_norm_features(
    x: Features,
    norm: &mut BatchNorm,
    mode: Mode,
) -> Result<Features, OpError> {
    let (n, c) = *x.shape();
    let layout = Layout { n, h: 1, w: 1, c };
    let over = Over::new(layout, norm, mode);
    let (x, mut recording) = x.split_tape();
    let place = |x: &crate::Matrix| Place { address: tensor::address(x), precision: Precision::F32 };
    let coefficients = Coefficients::new(over, norm, place(&x), mode)?;
    let (y, address) = tensor::matrix(x.device(), (n, c))?;
    normalize(over, &coefficients, place(&x), None, address, false)?;
    if recording.is_on() {
        let parameters = Wanted::of(norm);
        let out = y.ghost();
        recording.add_backward_op(move |gradients| {
            let gradient = device::take_slice(gradients.get_or_alloc_mut(&out)?)?;
            let input = place(&x);
            let sums = Sums::new(over, &coefficients, input, None, &gradient, mode)?;
            let spread = Spread {
                over,
                coefficients: &coefficients,
                sums: &sums,
                input,
                output: None,
                keeps_masked: false,
            };
            let mut gradient = gradient;
            spread.run_in_place(&mut gradient)?;
            add_to(&mut *gradients.get_or_alloc_mut(&x)?, &gradient)?;
            parameters.give(gradients, sums)
        });
    }
    Ok(y.put_tape(recording))
}

/// Values that are read where they are.
#[derive(Clone, Copy)]
struct Place {
    address: u64,
    precision: Precision,
}

impl Place {
    fn of(array: &Array) -> Self {
        Self { address: array.pointer(), precision: array.precision() }
    }
}

/// What is normalized, and in how many groups apart.
#[derive(Clone, Copy)]
struct Over {
    layout: Layout,
    n_groups: usize,
}

impl Over {
    fn new(layout: Layout, norm: &BatchNorm, mode: Mode) -> Self {
        Self { layout, n_groups: if mode == Mode::Train { norm.splits } else { 1 } }
    }

    fn rows_of_group(self) -> usize {
        self.layout.n_rows() / self.n_groups
    }

    fn n_positions(self) -> usize {
        self.layout.h * self.layout.w
    }
}

/// What turns values into normalized ones: mean, one over the standard deviation, factor and offset, each `(groups, C)`, one
/// after the other.
struct Coefficients {
    numbers: CudaSlice<f32>,
    /// Of each.
    len: usize,
}

/// The place of each among the [`Coefficients`].
const MEAN: usize = 0;
const INV_STD: usize = 1;
const FACTOR: usize = 2;
const OFFSET: usize = 3;

impl Coefficients {
    /// Of this batch, in training, when the running statistics move; or of those.
    fn new(over: Over, norm: &mut BatchNorm, x: Place, mode: Mode) -> Result<Self, OpError> {
        let Over { layout, n_groups } = over;
        let c = layout.c;
        let len = n_groups * c;
        let new = Self { numbers: unwritten(4 * len)?, len };
        let scale = norm.scale.as_ref().map(|scale| scale.values.on_device()).transpose()?;
        let shift = norm.shift.as_ref().map(|shift| shift.values.on_device()).transpose()?;
        if mode == Mode::Eval {
            Launch::new(&NORM, "running_coefficients")
                .read(norm.running_mean.values.on_device()?)
                .read(norm.running_var.values.on_device()?)
                .read_if(scale)
                .read_if(shift)
                .double(norm.eps)
                .part(&new.numbers, MEAN * len)
                .part(&new.numbers, INV_STD * len)
                .part(&new.numbers, FACTOR * len)
                .part(&new.numbers, OFFSET * len)
                .int(c)
                .over(c)?;
            return Ok(new);
        }
        let rows = over.rows_of_group();
        let chunks = Chunks::of(rows);
        let mut partial = unwritten::<f64>(n_groups * chunks.n * 2 * c)?;
        Launch::new(&NORM, typed!(x.precision, "moments"))
            .pointer(x.address)
            .write(&mut partial)
            .long(rows)
            .int(c)
            .int(over.n_positions())
            .long(chunks.rows)
            .blocks(c.div_ceil(32), chunks.n, n_groups)?;
        Launch::new(&NORM, "finish_moments")
            .read(&partial)
            .int(chunks.n)
            .int(n_groups)
            .int(c)
            .double(rows as f64)
            .read_if(scale)
            .read_if(shift)
            .double(norm.eps)
            .double(norm.momentum)
            .write(norm.running_mean.values.on_device_mut()?)
            .write(norm.running_var.values.on_device_mut()?)
            .part(&new.numbers, MEAN * len)
            .part(&new.numbers, INV_STD * len)
            .part(&new.numbers, FACTOR * len)
            .part(&new.numbers, OFFSET * len)
            .blocks(c.div_ceil(32), 1, 1)?;
        norm.n_batches += 1;
        Ok(new)
    }
}

fn normalize(
    over: Over,
    coefficients: &Coefficients,
    x: Place,
    residual: Option<Place>,
    y: u64,
    with_relu: bool,
) -> Result<(), CudaError> {
    let Over { layout, n_groups } = over;
    let (kernel, n) = match layout.c.is_multiple_of(4) {
        true => (typed!(x.precision, "normalize_four"), layout.len() / 4),
        false => (typed!(x.precision, "normalize"), layout.len()),
    };
    Launch::new(&NORM, kernel)
        .pointer(x.address)
        .pointer(residual.map_or(0, |residual| residual.address))
        .pointer(y)
        .part(&coefficients.numbers, FACTOR * coefficients.len)
        .part(&coefficients.numbers, OFFSET * coefficients.len)
        .int(layout.c)
        .int(over.n_positions())
        .int(n_groups)
        .int(usize::from(with_relu))
        .long(n)
        .over(n)
}

/// The gradients of scale and shift, and what that of the input is made of.
struct Sums {
    by_scale: CudaSlice<f32>,
    by_shift: CudaSlice<f32>,
    /// Slope and offset of what each value gets, `(groups, C)` each.
    spread: CudaSlice<f32>,
}

impl Sums {
    fn new(
        over: Over,
        coefficients: &Coefficients,
        x: Place,
        output: Option<u64>,
        gradient: &CudaSlice<f32>,
        mode: Mode,
    ) -> Result<Self, CudaError> {
        let Over { layout, n_groups } = over;
        let c = layout.c;
        let rows = over.rows_of_group();
        let chunks = Chunks::of(rows);
        let mut partial = unwritten::<f64>(n_groups * chunks.n * 2 * c)?;
        Launch::new(&NORM, typed!(x.precision, "gradient_sums"))
            .pointer(x.address)
            .pointer(output.unwrap_or(0))
            .read(gradient)
            .part(&coefficients.numbers, MEAN * coefficients.len)
            .write(&mut partial)
            .long(rows)
            .int(c)
            .int(over.n_positions())
            .long(chunks.rows)
            .blocks(c.div_ceil(32), chunks.n, n_groups)?;
        let mut sums =
            Self { by_scale: unwritten(c)?, by_shift: unwritten(c)?, spread: unwritten(2 * n_groups * c)? };
        Launch::new(&NORM, "finish_gradients")
            .read(&partial)
            .int(chunks.n)
            .int(n_groups)
            .int(c)
            .double(if mode == Mode::Train { -1.0 / rows as f64 } else { 0.0 })
            .part(&coefficients.numbers, INV_STD * coefficients.len)
            .part(&coefficients.numbers, FACTOR * coefficients.len)
            .write(&mut sums.by_scale)
            .write(&mut sums.by_shift)
            .part(&sums.spread, 0)
            .part(&sums.spread, n_groups * c)
            .blocks(c.div_ceil(32), 1, 1)?;
        Ok(sums)
    }
}

/// From the gradient of the output to that of the input.
struct Spread<'a> {
    over: Over,
    coefficients: &'a Coefficients,
    sums: &'a Sums,
    input: Place,
    output: Option<u64>,
    keeps_masked: bool,
}

impl Spread<'_> {
    fn run(
        &self,
        gradient: &mut CudaSlice<f32>,
        by_x: Option<&mut CudaSlice<f32>>,
        adds: bool,
    ) -> Result<(), CudaError> {
        self.launch(|launch| launch.write(gradient).write_if(by_x), adds)
    }

    fn run_in_place(&self, gradient: &mut CudaSlice<f32>) -> Result<(), CudaError> {
        self.launch(|launch| launch.write(gradient).write(gradient), false)
    }

    fn launch(&self, results: impl FnOnce(Launch) -> Launch, adds: bool) -> Result<(), CudaError> {
        let Over { layout, n_groups } = self.over;
        let (kernel, n) = match layout.c.is_multiple_of(4) {
            true => (typed!(self.input.precision, "spread_gradient_four"), layout.len() / 4),
            false => (typed!(self.input.precision, "spread_gradient"), layout.len()),
        };
        let launch = Launch::new(&NORM, kernel).pointer(self.input.address).pointer(self.output.unwrap_or(0));
        results(launch)
            .int(usize::from(adds))
            .int(usize::from(self.keeps_masked))
            .part(&self.coefficients.numbers, FACTOR * self.coefficients.len)
            .part(&self.coefficients.numbers, MEAN * self.coefficients.len)
            .part(&self.sums.spread, 0)
            .part(&self.sums.spread, self.coefficients.len)
            .int(layout.c)
            .int(self.over.n_positions())
            .int(n_groups)
            .long(n)
            .over(n)
    }
}
