//! Convolution in groups of channels. Weights, `(KH, KW, I / groups, O)`, are multiplied in single precision.

use kernels_cpu::Precision;

use super::{Convolution, ENOUGH_BLOCKS};
use crate::{
    array::{Array, to_add_to},
    error::Result,
    launch::{BLOCK, Launch, MOST_ACROSS},
    memory::Memory,
    pointwise::{in_precision, sum_splits, typed},
    program::Program,
    weight::{Form, Weight},
};

pub(crate) static GROUPED: Program = Program::new(
    "grouped conv",
    include_str!("../kernels/conv_grouped.cu"),
    include_str!("../kernels/conv_grouped_typed.cu"),
);

/// Pixels of a thread, as in `kernels/conv_grouped.cu`.
const PIXELS: usize = 4;
/// Inputs of a thread of a gradient of weights, as there.
const INPUTS: usize = 4;
/// Pixels that a thread of such a gradient should have for its start to be worth it.
const LEAST_PIXELS: usize = 64;
/// Blocks that a multiprocessor runs side by side.
const BLOCKS_SIDE_BY_SIDE: usize = 8;

impl Convolution {
    pub(super) fn forward_in_groups(
        self,
        x: &Array,
        weight: Weight<'_>,
        bias: Option<&Memory<f32>>,
    ) -> Result<Array> {
        let mut y = Array::unwritten(self.to.len(), x.precision())?;
        let n = self.to.n_rows().div_ceil(PIXELS) * self.to.c;
        let launch =
            Launch::new(&GROUPED, typed!(x.precision(), "convolve_groups")).read_array(x).read(weight.values);
        // SAFETY: maps, weights and bias are as long as the convolution says, which `forward` has checked, and the kernel's numbers
        // hold its sizes.
        unsafe {
            launch
                .read_if(bias)
                .write_array(&mut y)
                .flag(false)
                .ints(&self.numbers_in_groups(false))
                .long(n)
                .over(n)
        }?;
        Ok(y)
    }

    pub(super) fn data_gradient_in_groups(
        self,
        gradient: &Array,
        weight: Weight<'_>,
        precision: Precision,
        before: Option<Array>,
    ) -> Result<Array> {
        let gradient = in_precision(gradient, precision)?;
        let (mut sum, adds) = to_add_to(before, self.from.len(), precision)?;
        // Neighboring threads have neighboring inputs.
        let transposed = weight.transposed(Precision::F32, (self.from.c / self.groups, self.to.c))?;
        let n = self.from.n_rows().div_ceil(PIXELS) * self.from.c;
        let launch = Launch::new(&GROUPED, typed!(precision, "convolve_groups")).read_array(gradient.get());
        let launch = match transposed {
            Form::F32(values) => launch.read(values),
            Form::Bf16(_) => unreachable!("single precision was asked for"),
        };
        // SAFETY: as of `forward_in_groups`.
        unsafe {
            launch.null().write_array(&mut sum).flag(adds).ints(&self.numbers_in_groups(true)).long(n).over(n)
        }?;
        Ok(sum)
    }

    pub(super) fn weight_gradient_in_groups(
        self,
        x: &Array,
        gradient: &Array,
        before: Option<Array>,
    ) -> Result<Array> {
        let gradient = in_precision(gradient, x.precision())?;
        let (len, n_pixels) = (self.n_weights(), self.to.n_rows());
        let n_inputs = self.from.c / self.groups;
        let n_threads = self.n_taps() * n_inputs.div_ceil(INPUTS) * self.to.c;
        let blocks = n_threads.div_ceil(BLOCK as usize);
        let most_splits = n_pixels.div_ceil(LEAST_PIXELS).min(MOST_ACROSS);
        let splits = (ENOUGH_BLOCKS * BLOCKS_SIDE_BY_SIDE / blocks).clamp(1, most_splits);
        let pixels_of_split = n_pixels.div_ceil(splits);
        let splits = n_pixels.div_ceil(pixels_of_split);
        let mut partial = Memory::<f32>::unwritten(splits * len)?;
        // SAFETY: as of `forward_in_groups`, and each split has its own weights.
        unsafe {
            Launch::new(&GROUPED, typed!(x.precision(), "convolve_groups_weights"))
                .read_array(x)
                .read_array(gradient.get())
                .write(&mut partial)
                .int(pixels_of_split)
                .ints(&self.numbers_in_groups(false))
                .blocks(blocks, splits, 1)
        }?;
        if splits == 1 && before.is_none() {
            return Ok(Array::F32(partial));
        }
        sum_splits(&partial, splits, len, before)
    }

    /// What the kernels call `Grouped`.
    fn numbers_in_groups(self, is_backward: bool) -> [i32; 15] {
        let mut numbers = [self.groups as i32; 15];
        numbers[..14].copy_from_slice(&self.numbers(is_backward));
        numbers
    }
}
