//! Convolution. Feature maps lie `(N, H, W, C)`, one image after the other, and weights `(KH, KW, I / groups, O)`.

mod grouped;
mod variant;

use kernels_cpu::{ConvGeometry, Layout, Precision};

use self::variant::{DEPTH, ROWS, Variant};
pub(crate) use self::{grouped::GROUPED, variant::PROGRAMS};
use crate::{
    array::{Array, to_add_to},
    blas::{Operand, Product, Target},
    error::{Result, at_most},
    launch::Launch,
    memory::Memory,
    pointwise::{in_precision, sum_splits},
    weight::{Form, Weight},
};

/// One convolution: what it is between, and how its window moves.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    /// How the window moves.
    pub geometry: ConvGeometry,
    /// Groups of channels that are convolved apart; they divide the channels of both maps.
    pub groups: usize,
    /// Of the input.
    pub from: Layout,
    /// Of the output.
    pub to: Layout,
}

/// Blocks that keep a large device busy. A number and not the device's own, so that sums are cut alike on all.
const ENOUGH_BLOCKS: usize = 264;
/// Steps that a block should have for its start to be worth it.
const LEAST_STEPS: usize = 8;

impl Convolution {
    /// Whether pixels are rows of one matrix product.
    fn is_pixelwise(self) -> bool {
        let ConvGeometry { kernel, stride, padding } = self.geometry;
        (kernel, stride, padding) == ((1, 1), (1, 1), (0, 0)) && self.from.n_rows() == self.to.n_rows()
    }

    fn n_taps(self) -> usize {
        self.geometry.kernel.0 * self.geometry.kernel.1
    }

    fn n_weights(self) -> usize {
        self.n_taps() * (self.from.c / self.groups) * self.to.c
    }

    /// Refuses sizes beyond what the kernels count with 32 bits, with room for a block beyond the last row.
    ///
    /// # Panics
    ///
    /// If arrays are not as long as the layouts say.
    fn check(self, input_len: usize, output_len: usize, weight_len: usize) -> Result<()> {
        const MOST: usize = (1 << 31) - (1 << 12);
        /// Where no window ever reaches, in `kernels/conv.cu`, is twice as far.
        const MOST_ACROSS: usize = 1 << 28;
        let Self { geometry: ConvGeometry { kernel, stride, padding }, groups, from, to } = self;
        assert!(
            groups > 0 && from.c.is_multiple_of(groups) && to.c.is_multiple_of(groups),
            "channels divide into groups"
        );
        assert!(
            input_len == from.len() && output_len == to.len() && weight_len == self.n_weights(),
            "maps and weights are as long as the convolution says"
        );
        assert!(
            from.n == to.n && kernel.0 * kernel.1 * stride.0 * stride.1 > 0,
            "a window has a size and moves"
        );
        at_most("the number of pixels", from.n_rows().max(to.n_rows()), MOST)?;
        at_most("the number of a kernel's taps and channels", self.n_taps() * from.c.max(to.c), MOST)?;
        for (size, (kernel, (stride, padding))) in [from.h.max(to.h), from.w.max(to.w)]
            .into_iter()
            .zip([(kernel.0, (stride.0, padding.0)), (kernel.1, (stride.1, padding.1))])
        {
            let reach = size.saturating_mul(stride).saturating_add(kernel).saturating_add(padding);
            at_most("a side of an image or a kernel", reach, MOST_ACROSS)?;
        }
        Ok(())
    }

    /// The output, in the precision of the input, with a bias added if there is one.
    ///
    /// # Errors
    ///
    /// When a size is beyond what the kernels count, or the device fails.
    ///
    /// # Panics
    ///
    /// If arrays are not as long as the layouts say.
    pub fn forward(self, x: &Array, weight: Weight<'_>, bias: Option<&Memory<f32>>) -> Result<Array> {
        self.check(x.len(), self.to.len(), weight.len())?;
        assert!(bias.is_none_or(|bias| bias.len() >= self.to.c), "each output channel has a bias");
        if self.groups > 1 {
            return self.forward_in_groups(x, weight, bias);
        }
        let precision = x.precision();
        let mut y = Array::unwritten(self.to.len(), precision)?;
        if self.is_pixelwise() && bias.is_none() {
            Product::new(self.to.n_rows(), self.to.c, self.from.c).run(
                Operand::of(x),
                weight.plain(precision)?.operand(),
                Target::of(&mut y),
            )?;
            return Ok(y);
        }
        let transposed = weight.transposed(precision, (self.from.c, self.to.c))?;
        let kernel = Variant::of(precision, self.from.c, self.to.c, self.to.n_rows());
        let launch = read_form(Launch::new(kernel.program(), "convolve").read_array(x), transposed);
        // SAFETY: maps, weights and bias are as long as the convolution says, and the kernel's numbers hold its sizes.
        unsafe {
            launch
                .read_if(bias)
                .write_array(&mut y)
                .flag(false)
                .ints(&self.numbers(false))
                .shared(kernel.shared_bytes())
                .blocks(self.to.n_rows().div_ceil(ROWS), self.to.c.div_ceil(kernel.columns()), 1)
        }?;
        Ok(y)
    }

    /// The gradient of the input, added to what has reached it before, in `precision`, as which the gradient is read as well.
    ///
    /// # Errors
    ///
    /// As of [`forward`](Self::forward).
    ///
    /// # Panics
    ///
    /// As of [`forward`](Self::forward).
    pub fn data_gradient(
        self,
        gradient: &Array,
        weight: Weight<'_>,
        precision: Precision,
        before: Option<Array>,
    ) -> Result<Array> {
        self.check(self.from.len(), gradient.len(), weight.len())?;
        if self.groups > 1 {
            return self.data_gradient_in_groups(gradient, weight, precision, before);
        }
        let gradient = in_precision(gradient, precision)?;
        let (mut sum, adds) = to_add_to(before, self.from.len(), precision)?;
        let plain = weight.plain(precision)?;
        if self.is_pixelwise() {
            Product::new(self.from.n_rows(), self.from.c, self.to.c).adding(adds).run(
                Operand::of(gradient.get()),
                plain.operand().transposed(),
                Target::of(&mut sum),
            )?;
            return Ok(sum);
        }
        let kernel = Variant::of(precision, self.to.c, self.from.c, self.from.n_rows());
        let launch = read_form(Launch::new(kernel.program(), "convolve").read_array(gradient.get()), plain);
        // SAFETY: as of `forward`.
        unsafe {
            launch
                .null()
                .write_array(&mut sum)
                .flag(adds)
                .ints(&self.numbers(true))
                .shared(kernel.shared_bytes())
                .blocks(self.from.n_rows().div_ceil(ROWS), self.from.c.div_ceil(kernel.columns()), 1)
        }?;
        Ok(sum)
    }

    /// The gradient of the weights, of single precision, added to what has reached them before. The gradient is read in the
    /// precision of `x`.
    ///
    /// # Errors
    ///
    /// As of [`forward`](Self::forward).
    ///
    /// # Panics
    ///
    /// As of [`forward`](Self::forward).
    pub fn weight_gradient(self, x: &Array, gradient: &Array, before: Option<Array>) -> Result<Array> {
        self.check(x.len(), gradient.len(), self.n_weights())?;
        if self.groups > 1 {
            return self.weight_gradient_in_groups(x, gradient, before);
        }
        let gradient = in_precision(gradient, x.precision())?;
        let depth = self.n_taps() * self.from.c;
        let (len, n_pixels) = (self.n_weights(), self.to.n_rows());
        if self.is_pixelwise() {
            let (mut sum, adds) = to_add_to(before, len, Precision::F32)?;
            Product::new(self.from.c, self.to.c, n_pixels).adding(adds).run(
                Operand::of(x).transposed(),
                Operand::of(gradient.get()),
                Target::of(&mut sum),
            )?;
            return Ok(sum);
        }
        let kernel = Variant::of(x.precision(), self.from.c, self.to.c, usize::MAX);
        let (rows, columns) = (depth.div_ceil(ROWS), self.to.c.div_ceil(kernel.columns()));
        let n_steps = n_pixels.div_ceil(DEPTH);
        let splits = (ENOUGH_BLOCKS / (rows * columns)).clamp(1, n_steps.div_ceil(LEAST_STEPS));
        let steps_of_split = n_steps.div_ceil(splits);
        let splits = n_steps.div_ceil(steps_of_split);
        let mut partial = Memory::<f32>::unwritten(splits * len)?;
        // SAFETY: as of `forward`, and each split has its own weights.
        unsafe {
            Launch::new(kernel.program(), "convolve_weights")
                .read_array(x)
                .read_array(gradient.get())
                .write(&mut partial)
                .int(steps_of_split)
                .ints(&self.numbers(false))
                .shared(kernel.shared_bytes_of_weights())
                .blocks(rows, columns, splits)
        }?;
        if splits == 1 && before.is_none() {
            return Ok(Array::F32(partial));
        }
        sum_splits(&partial, splits, len, before)
    }

    /// What the kernels call `Geometry`. Sizes have been checked.
    fn numbers(self, is_backward: bool) -> [i32; 14] {
        let Self { geometry: ConvGeometry { kernel, stride, padding }, from, to, .. } = self;
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
        .map(|size| size as i32)
    }
}

fn read_form(launch: Launch, form: Form<'_>) -> Launch {
    match form {
        Form::F32(values) => launch.read(values),
        Form::Bf16(halves) => launch.read(halves),
    }
}
