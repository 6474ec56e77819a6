//! Convolution.

use std::sync::Arc;

use cudarc::driver::CudaSlice;
use dfdx::tensor::CudaError;

use super::{
    array::{Array, to_add_to, unwritten},
    blas::{Operand, Product},
    columns::sum_rows,
    context::is_tensor_float,
    launch::Launch,
    pointwise::{narrow, sum_splits, transpose_taps},
    program::Program,
};
use crate::{
    ConvGeometry, FeatureMap, Gradients, OpError, Parameter, Precision, device::MapSlot, layout::Layout,
    resident::Resident, values::Values,
};

/// See [`conv2d`](crate::conv2d).
pub(crate) fn conv2d(
    x: FeatureMap,
    weight: &Parameter,
    bias: Option<&Parameter>,
    geometry: ConvGeometry,
    to: Layout,
) -> Result<FeatureMap, OpError> {
    let conv = Convolution { geometry, from: x.layout, to };
    let bias_values = bias.map(|bias| bias.values.on_device()).transpose()?;
    let y = conv.forward(x.values.array(), &weight.values, bias_values)?;
    let values = Arc::new(Values::Device(y));

    let slot = MapSlot::new(x.device(), to.len());
    let (x, recording) = x.split_recording();
    let wants_weight = weight.is_trainable().then(|| (weight.slot.clone(), Arc::clone(&x.values)));
    let wants_bias = bias.filter(|bias| bias.is_trainable()).map(|bias| bias.slot.clone());
    let wants_x = x.needs_gradient.then(|| (x.slot.clone(), Arc::clone(&weight.values)));
    let precision = x.precision();
    drop(x);
    let is_wanted = wants_weight.is_some() || wants_bias.is_some() || wants_x.is_some();
    let backward = is_wanted.then_some(move |gradients: &mut Gradients, gradient: CudaSlice<f32>| {
        if let Some(slot) = wants_bias {
            slot.add_slice(gradients, sum_rows(&gradient, to.c)?)?;
        }
        let gradient = match precision {
            Precision::F32 => Array::F32(gradient),
            Precision::Bf16 => narrow(&gradient)?,
        };
        if let Some((slot, x)) = wants_weight {
            let before = slot.take_slice(gradients)?;
            slot.put_slice(gradients, conv.weight_gradient(x.array(), &gradient, before)?)?;
        }
        if let Some((slot, weight)) = wants_x {
            let before = slot.take_slice(gradients)?;
            slot.put_slice(gradients, conv.data_gradient(&gradient, &weight, before)?)?;
        }
        Ok(())
    });
    Ok(FeatureMap::output_on_device(slot, to, values, recording, backward))
}

/// One convolution: what it is between, and how its window moves.
#[derive(Clone, Copy)]
struct Convolution {
    geometry: ConvGeometry,
    from: Layout,
    to: Layout,
}

impl Convolution {
    /// Whether pixels are rows of one matrix product.
    fn is_pixelwise(self) -> bool {
        let ConvGeometry { kernel, stride, padding } = self.geometry;
        (kernel, stride, padding) == ((1, 1), (1, 1), (0, 0))
    }

    fn n_taps(self) -> usize {
        self.geometry.kernel.0 * self.geometry.kernel.1
    }

    fn forward(
        self,
        x: &Array,
        weight: &Resident,
        bias: Option<&CudaSlice<f32>>,
    ) -> Result<Array, CudaError> {
        let precision = x.precision();
        let mut y = Array::unwritten(self.to.len(), precision)?;
        if self.is_pixelwise() && bias.is_none() {
            let narrowed = in_precision(weight, precision)?;
            Product::new(self.to.n_rows(), self.to.c, self.from.c).run(
                Operand::of(x),
                operand(weight, narrowed.as_ref())?,
                Operand::of_mut(&mut y),
            )?;
            return Ok(y);
        }
        let transposed = transpose_taps(weight, precision, self.n_taps(), self.from.c, self.to.c)?;
        let kernel = Variant::of(precision, self.from.c, self.to.c, self.to.n_rows());
        Launch::new(kernel.program(), "convolve")
            .read_array(x)
            .read_array(&transposed)
            .read_if(bias)
            .write_array(&mut y)
            .pointer(0)
            .int(0)
            .ints(&self.numbers(false))
            .shared(kernel.shared_bytes())
            .blocks(self.to.n_rows().div_ceil(ROWS), self.to.c.div_ceil(kernel.columns), 1)?;
        Ok(y)
    }

    /// The gradient of the input, added to what has reached it before.
    fn data_gradient(
        self,
        gradient: &Array,
        weight: &Resident,
        before: Option<CudaSlice<f32>>,
    ) -> Result<CudaSlice<f32>, CudaError> {
        let precision = gradient.precision();
        let (mut sum, adds) = to_add_to(before, self.from.len())?;
        let narrowed = in_precision(weight, precision)?;
        if self.is_pixelwise() {
            Product::new(self.from.n_rows(), self.from.c, self.to.c).adding(adds).run(
                Operand::of(gradient),
                operand(weight, narrowed.as_ref())?.transposed(),
                Operand::of_slice_mut(&mut sum),
            )?;
            return Ok(sum);
        }
        let kernel = Variant::of(precision, self.to.c, self.from.c, self.from.n_rows());
        let launch = Launch::new(kernel.program(), "convolve").read_array(gradient);
        match &narrowed {
            None => launch.read(weight.on_device()?),
            Some(narrowed) => launch.read_array(narrowed),
        }
        .pointer(0)
        .pointer(0)
        .write(&mut sum)
        .int(usize::from(adds))
        .ints(&self.numbers(true))
        .shared(kernel.shared_bytes())
        .blocks(self.from.n_rows().div_ceil(ROWS), self.from.c.div_ceil(kernel.columns), 1)?;
        Ok(sum)
    }

    /// The gradient of the weights, added to what has reached them before.
    fn weight_gradient(
        self,
        x: &Array,
        gradient: &Array,
        before: Option<CudaSlice<f32>>,
    ) -> Result<CudaSlice<f32>, CudaError> {
        let depth = self.n_taps() * self.from.c;
        let len = depth * self.to.c;
        let n_pixels = self.to.n_rows();
        if self.is_pixelwise() {
            let (mut sum, adds) = to_add_to(before, len)?;
            Product::new(self.from.c, self.to.c, n_pixels).adding(adds).run(
                Operand::of(x).transposed(),
                Operand::of(gradient),
                Operand::of_slice_mut(&mut sum),
            )?;
            return Ok(sum);
        }
        let kernel = Variant::of(x.precision(), self.from.c, self.to.c, usize::MAX);
        let (rows, columns) = (depth.div_ceil(ROWS), self.to.c.div_ceil(kernel.columns));
        let n_steps = n_pixels.div_ceil(DEPTH);
        let splits = (ENOUGH_BLOCKS / (rows * columns)).clamp(1, n_steps.div_ceil(LEAST_STEPS));
        let steps_of_split = n_steps.div_ceil(splits);
        let splits = n_steps.div_ceil(steps_of_split);
        let mut partial = unwritten::<f32>(splits * len)?;
        Launch::new(kernel.program(), "convolve_weights")
            .read_array(x)
            .read_array(gradient)
            .write(&mut partial)
            .int(steps_of_split)
            .ints(&self.numbers(false))
            .shared(kernel.shared_bytes_of_weights())
            .blocks(rows, columns, splits)?;
        if splits == 1 && before.is_none() {
            return Ok(partial);
        }
        sum_splits(&partial, splits, len, before)
    }

    /// What the kernels call `Geometry`.
    fn numbers(self, is_backward: bool) -> [i32; 14] {
        let Self { geometry: ConvGeometry { kernel, stride, padding }, from, to } = self;
        let (from, to) = if is_backward { (to, from) } else { (from, to) };
        [
            from.n,
            from.h,
            from.w,
            from.c,
            to.h,
            to.w,
            to.c,
            kernel.0,
            kernel.1,
            stride.0,
            stride.1,
            padding.0,
            padding.1,
            usize::from(is_backward),
        ]
        .map(|size| i32::try_from(size).expect("sides of images and kernels are below 2^31"))
    }
}

/// Outputs of a block along the rows, as in `kernels/conv.cu`.
const ROWS: usize = 128;
/// Columns of the left factor in shared memory at a time, as there.
const DEPTH: usize = 32;
/// Steps whose factors are in shared memory, as there.
const STAGES: usize = 3;
/// Blocks that keep a large device busy. A number and not the device's own, so that sums are cut alike on all.
const ENOUGH_BLOCKS: usize = 264;
/// Steps that a block should have for its start to be worth it.
const LEAST_STEPS: usize = 8;

/// How the kernels are compiled.
#[derive(Clone, Copy)]
struct Variant {
    precision: Precision,
    columns: usize,
    is_vector: bool,
}

impl Variant {
    /// For `n_rows` outputs of `n_out` channels, of `n_in`.
    fn of(precision: Precision, n_in: usize, n_out: usize, n_rows: usize) -> Self {
        let lanes = match precision {
            Precision::F32 => 4,
            Precision::Bf16 => 8,
        };
        let is_vector = n_in.is_multiple_of(lanes) && n_out.is_multiple_of(lanes);
        let wide_blocks = n_rows.div_ceil(ROWS).saturating_mul(n_out.div_ceil(128));
        // Three products in place of one leave no registers for more columns.
        let is_exact = precision == Precision::F32 && !is_tensor_float();
        let is_wide = is_vector && !is_exact && n_out > 64 && wide_blocks >= ENOUGH_BLOCKS;
        Self { precision, columns: if is_wide { 128 } else { 64 }, is_vector }
    }

    fn lanes(self) -> (usize, usize) {
        match self.precision {
            Precision::F32 => (4, 4),
            Precision::Bf16 => (8, 2),
        }
    }

    fn shared_bytes(self) -> u32 {
        let (lanes, size) = self.lanes();
        (STAGES * (ROWS + self.columns) * (DEPTH + lanes) * size) as u32
    }

    fn shared_bytes_of_weights(self) -> u32 {
        let (_, size) = self.lanes();
        (STAGES * DEPTH * (ROWS + 8 + self.columns + 8) * size) as u32
    }

    fn program(self) -> &'static Program {
        let is_exact = !is_tensor_float();
        match (self.precision, self.columns, self.is_vector, is_exact) {
            (Precision::F32, 64, true, false) => &F32_64,
            (Precision::F32, _, true, false) => &F32_128,
            (Precision::F32, _, false, false) => &F32_ANY,
            (Precision::F32, _, true, true) => &EXACT_64,
            (Precision::F32, _, false, true) => &EXACT_ANY,
            (Precision::Bf16, 64, true, _) => &BF16_64,
            (Precision::Bf16, _, true, _) => &BF16_128,
            (Precision::Bf16, _, false, _) => &BF16_ANY,
        }
    }
}

macro_rules! variant {
    ($name:ident, $half:literal, $columns:literal, $vector:literal, $exact:literal) => {
        pub(super) static $name: Program = Program::with_macros(
            concat!("conv ", stringify!($name)),
            include_str!("kernels/conv.cu"),
            "",
            concat!(
                "#define HALF ",
                $half,
                "\n#define COLUMNS ",
                $columns,
                "\n#define VECTOR ",
                $vector,
                "\n#define EXACT ",
                $exact
            ),
        );
    };
}
variant!(F32_64, 0, 64, 1, 0);
variant!(F32_128, 0, 128, 1, 0);
variant!(F32_ANY, 0, 64, 0, 0);
variant!(EXACT_64, 0, 64, 1, 1);
variant!(EXACT_ANY, 0, 64, 0, 1);
variant!(BF16_64, 1, 64, 1, 0);
variant!(BF16_128, 1, 128, 1, 0);
variant!(BF16_ANY, 1, 64, 0, 0);

/// A copy in bfloat16, if that is wanted.
pub(super) fn in_precision(weight: &Resident, precision: Precision) -> Result<Option<Array>, CudaError> {
    match precision {
        Precision::F32 => Ok(None),
        Precision::Bf16 => Ok(Some(narrow(weight.on_device()?)?)),
    }
}

/// Weights, or their copy, as a factor.
pub(super) fn operand(weight: &Resident, narrowed: Option<&Array>) -> Result<Operand, CudaError> {
    Ok(match narrowed {
        Some(narrowed) => Operand::of(narrowed),
        None => Operand::of_slice(weight.on_device()?),
    })
}
