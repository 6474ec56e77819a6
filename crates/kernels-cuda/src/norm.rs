//! Batch normalization. Feature maps lie `(N, H, W, C)`, one image after the other.

use kernels_cpu::Layout;

use crate::{
    array::{Array, to_add_to},
    columns::Chunks,
    error::Result,
    launch::Launch,
    memory::Memory,
    pointwise::{in_precision, typed},
    program::Program,
};

pub(crate) static NORM: Program =
    Program::new("norm", include_str!("kernels/norm.cu"), include_str!("kernels/norm_typed.cu"));

/// What is normalized, and in how many groups apart: group `g` has the images `n` that are `g` modulo their number.
#[derive(Clone, Copy, Debug)]
pub struct Over {
    /// Of the map.
    pub layout: Layout,
    /// Groups; 1 where statistics are not those of the batch.
    pub n_groups: usize,
}

impl Over {
    fn check(self, len: usize) {
        assert_eq!(len, self.layout.len(), "a map is as long as its layout says");
        assert!(
            self.n_groups > 0 && self.layout.n.is_multiple_of(self.n_groups),
            "each group has as many images"
        );
    }

    fn rows_of_group(self) -> usize {
        self.layout.n_rows() / self.n_groups
    }

    fn n_positions(self) -> usize {
        self.layout.h * self.layout.w
    }

    /// The grid of the kernels that sum over the rows of each chunk, and the chunks.
    fn chunks(self) -> (Chunks, [usize; 3]) {
        let chunks = Chunks::of(self.rows_of_group());
        let grid = [self.layout.c.div_ceil(32), chunks.n, self.n_groups];
        (chunks, grid)
    }
}

/// What is learned, `C` values each, and the number that keeps variances from 0.
#[derive(Clone, Copy, Debug)]
pub struct Learned<'a> {
    /// What normalized values are multiplied by; 1 where there is none.
    pub scale: Option<&'a Memory<f32>>,
    /// What is added; 0 where there is none.
    pub shift: Option<&'a Memory<f32>>,
    /// Added to every variance.
    pub eps: f64,
}

impl Learned<'_> {
    fn check(self, c: usize) {
        let fits = |values: Option<&Memory<f32>>| values.is_none_or(|values| values.len() >= c);
        assert!(fits(self.scale) && fits(self.shift), "each channel has its numbers");
    }
}

/// Statistics that move with each batch, `C` values each.
#[derive(Debug)]
pub struct Running<'a> {
    /// Means.
    pub mean: &'a mut Memory<f32>,
    /// Variances.
    pub var: &'a mut Memory<f32>,
    /// How much of a batch they take in.
    pub momentum: f64,
}

/// Sums of each channel and of its squares, over chunks of rows, `(groups, chunks, 2, C)`.
#[derive(Debug)]
pub struct Moments {
    partial: Memory<f64>,
    n_chunks: usize,
    n_groups: usize,
    c: usize,
}

impl Moments {
    /// Of a map.
    ///
    /// # Errors
    ///
    /// When the device fails.
    ///
    /// # Panics
    ///
    /// If the map is not as long as its layout.
    pub fn of(over: Over, x: &Array) -> Result<Self> {
        over.check(x.len());
        let Over { layout: Layout { c, .. }, n_groups } = over;
        let (chunks, [columns, rows, groups]) = over.chunks();
        let mut partial = Memory::<f64>::unwritten(n_groups * chunks.n * 2 * c)?;
        // SAFETY: the map has so many rows, and each chunk of each group has two rows of sums.
        unsafe {
            Launch::new(&NORM, typed!(x.precision(), "moments"))
                .read_array(x)
                .write(&mut partial)
                .long(over.rows_of_group())
                .int(c)
                .int(over.n_positions())
                .long(chunks.rows)
                .blocks(columns, rows, groups)
        }?;
        Ok(Self { partial, n_chunks: chunks.n, n_groups, c })
    }
}

/// What turns values into normalized ones: mean, one over the standard deviation, factor and offset, each `(groups, C)`, one
/// after the other.
#[derive(Debug)]
pub struct Coefficients {
    numbers: Memory<f32>,
    /// Of each.
    len: usize,
    /// Whether the statistics are those of the batch.
    are_of_batch: bool,
}

/// The place of each among the [`Coefficients`].
const MEAN: usize = 0;
const INV_STD: usize = 1;
const FACTOR: usize = 2;
const OFFSET: usize = 3;

impl Coefficients {
    fn unwritten(len: usize, are_of_batch: bool) -> Result<Self> {
        Ok(Self { numbers: Memory::unwritten(4 * len)?, len, are_of_batch })
    }

    fn write_all(&mut self, launch: Launch) -> Launch {
        [MEAN, INV_STD, FACTOR, OFFSET]
            .into_iter()
            .fold(launch, |launch, which| launch.write_from(&mut self.numbers, which * self.len))
    }

    fn read(&self, launch: Launch, which: usize) -> Launch {
        launch.read_from(&self.numbers, which * self.len)
    }

    /// Of a batch; the running statistics move.
    ///
    /// # Errors
    ///
    /// When the device fails.
    ///
    /// # Panics
    ///
    /// If the sums are of another shape, or a channel has no running statistics.
    pub fn of_batch(
        over: Over,
        moments: &Moments,
        learned: Learned<'_>,
        running: Running<'_>,
    ) -> Result<Self> {
        let Over { layout: Layout { c, .. }, n_groups } = over;
        assert!(moments.n_groups == n_groups && moments.c == c, "sums are of what is normalized");
        learned.check(c);
        assert!(running.mean.len() >= c && running.var.len() >= c, "each channel has its numbers");
        let mut new = Self::unwritten(n_groups * c, true)?;
        let launch = Launch::new(&NORM, "finish_moments")
            .read(&moments.partial)
            .int(moments.n_chunks)
            .int(n_groups)
            .int(c)
            .double(over.rows_of_group() as f64)
            .read_if(learned.scale)
            .read_if(learned.shift)
            .double(learned.eps)
            .double(running.momentum)
            .write(running.mean)
            .write(running.var);
        // SAFETY: every array has its numbers for each channel, those of a batch for each group.
        unsafe { new.write_all(launch).blocks(c.div_ceil(32), 1, 1) }?;
        Ok(new)
    }

    /// Of running statistics, `C` values each.
    ///
    /// # Errors
    ///
    /// When the device fails.
    ///
    /// # Panics
    ///
    /// If a channel has no numbers.
    pub fn of_running(c: usize, mean: &Memory<f32>, var: &Memory<f32>, learned: Learned<'_>) -> Result<Self> {
        learned.check(c);
        assert!(mean.len() >= c && var.len() >= c, "each channel has its numbers");
        let mut new = Self::unwritten(c, false)?;
        let launch = Launch::new(&NORM, "running_coefficients")
            .read(mean)
            .read(var)
            .read_if(learned.scale)
            .read_if(learned.shift)
            .double(learned.eps);
        // SAFETY: every array has a number for each channel.
        unsafe { new.write_all(launch).int(c).over(c) }?;
        Ok(new)
    }

    fn check(&self, over: Over) {
        assert_eq!(self.len, over.n_groups * over.layout.c, "coefficients are of what is normalized");
    }
}

/// `x * factor + offset`, plus a residual if there is one; with ReLU behind it, or not.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the lengths differ.
pub fn normalize(
    over: Over,
    coefficients: &Coefficients,
    x: &Array,
    residual: Option<&Array>,
    with_relu: bool,
) -> Result<Array> {
    over.check(x.len());
    coefficients.check(over);
    assert!(residual.is_none_or(|residual| residual.len() == x.len()), "terms have one length");
    let precision = x.precision();
    let residual = residual.map(|residual| in_precision(residual, precision)).transpose()?;
    let mut y = Array::unwritten(x.len(), precision)?;
    let Over { layout, n_groups } = over;
    let (kernel, n) = match layout.c.is_multiple_of(4) {
        true => (typed!(precision, "normalize_four"), layout.len() / 4),
        false => (typed!(precision, "normalize"), layout.len()),
    };
    let launch = Launch::new(&NORM, kernel)
        .read_array(x)
        .read_array_if(residual.as_ref().map(|residual| residual.get()))
        .write_array(&mut y);
    let launch = coefficients.read(launch, FACTOR);
    let launch = coefficients.read(launch, OFFSET);
    // SAFETY: all maps are as long as the layout says, and each channel of each group has its coefficients.
    unsafe { launch.int(layout.c).int(over.n_positions()).int(n_groups).flag(with_relu).long(n).over(n) }?;
    Ok(y)
}

/// Where the gradient of the output passes.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a> {
    /// Everywhere: there was no ReLU.
    Nothing,
    /// Where the output is positive.
    Output(&'a Array),
    /// Where what the input is normalized to is positive, where there is no residual.
    Input,
}

/// What is computed beside the gradients of scale and shift.
#[derive(Debug)]
pub struct Wanted {
    /// The gradient of the input.
    pub x: bool,
    /// What has reached the input before.
    pub before: Option<Array>,
    /// The gradient behind the mask.
    pub masked: bool,
}

/// The gradients of a batch norm. Maps are of the input's precision.
#[derive(Debug)]
pub struct Gradients {
    /// `C` values.
    pub scale: Array,
    /// `C` values.
    pub shift: Array,
    /// The gradient behind the mask, if it was wanted.
    pub masked: Option<Array>,
    /// That of the input, if it was wanted.
    pub x: Option<Array>,
}

/// From the gradient of the output to those of the input, of scale and of shift.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the lengths differ.
pub fn backward(
    over: Over,
    coefficients: &Coefficients,
    x: &Array,
    mask: Mask<'_>,
    gradient: Array,
    Wanted { x: wants_x, before, masked: wants_masked }: Wanted,
) -> Result<Gradients> {
    over.check(x.len());
    coefficients.check(over);
    assert_eq!(gradient.len(), x.len(), "a gradient has the length of what it is of");
    let precision = x.precision();
    let converted = match mask {
        Mask::Output(output) => {
            assert_eq!(output.len(), x.len(), "a map is as long as its layout says");
            Some(in_precision(output, precision)?)
        }
        _ => None,
    };
    let backward = Backward {
        over,
        coefficients,
        x,
        output: converted.as_ref().map(|output| output.get()),
        masks_by_input: matches!(mask, Mask::Input),
    };
    let mut gradient = gradient.into_precision(precision)?.into_own()?;
    let sums = backward.sums(&gradient)?;
    let mut by_x = None;
    if wants_x && !wants_masked && before.is_none() {
        let launch = backward.spread().write_array(&mut gradient).write_array(&mut gradient);
        // SAFETY: both results are the gradient, which is of the input's length and precision.
        unsafe { backward.run_spread(launch, false, false, &sums) }?;
        let (scale, shift) = (sums.by_scale, sums.by_shift);
        return Ok(Gradients { scale, shift, masked: None, x: Some(gradient) });
    }
    if wants_x || wants_masked {
        let (sum, adds) = match wants_x {
            true => to_add_to(before, x.len(), precision).map(|(sum, adds)| (Some(sum), adds))?,
            false => (None, false),
        };
        by_x = sum;
        let launch = backward.spread().write_array(&mut gradient).write_array_if(by_x.as_mut());
        // SAFETY: both results are of the input's length and precision, if they are there.
        unsafe { backward.run_spread(launch, adds, wants_masked, &sums) }?;
    }
    let (scale, shift) = (sums.by_scale, sums.by_shift);
    Ok(Gradients { scale, shift, masked: wants_masked.then_some(gradient), x: by_x })
}

/// What both passes over a map read, all of one length and precision.
struct Backward<'a> {
    over: Over,
    coefficients: &'a Coefficients,
    x: &'a Array,
    output: Option<&'a Array>,
    masks_by_input: bool,
}

/// The gradients of scale and shift, and what that of the input is made of.
struct Sums {
    by_scale: Array,
    by_shift: Array,
    /// Slope and offset of what each value gets, `(groups, C)` each.
    spread: Memory<f32>,
}

impl Backward<'_> {
    fn sums(&self, gradient: &Array) -> Result<Sums> {
        let Self { over, coefficients, x, .. } = self;
        let Over { layout: Layout { c, .. }, n_groups } = *over;
        let (chunks, [columns, rows, groups]) = over.chunks();
        let n_rows = over.rows_of_group();
        let mut partial = Memory::<f64>::unwritten(n_groups * chunks.n * 2 * c)?;
        let launch = Launch::new(&NORM, typed!(x.precision(), "gradient_sums"))
            .read_array(x)
            .read_array_if(self.output)
            .read_array(gradient);
        let launch = self.read_mask(launch);
        // SAFETY: the maps have so many rows, and each chunk of each group has two rows of sums.
        unsafe {
            coefficients
                .read(launch, MEAN)
                .write(&mut partial)
                .long(n_rows)
                .int(c)
                .int(over.n_positions())
                .long(chunks.rows)
                .blocks(columns, rows, groups)
        }?;
        let (mut by_scale, mut by_shift) = (Memory::unwritten(c)?, Memory::unwritten(c)?);
        let mut spread = Memory::unwritten(2 * n_groups * c)?;
        let launch = Launch::new(&NORM, "finish_gradients")
            .read(&partial)
            .int(chunks.n)
            .int(n_groups)
            .int(c)
            .double(if coefficients.are_of_batch { -1.0 / n_rows as f64 } else { 0.0 });
        let launch = coefficients.read(launch, INV_STD);
        // SAFETY: each channel has its sums and coefficients, those of a batch for each group.
        unsafe {
            coefficients
                .read(launch, FACTOR)
                .write(&mut by_scale)
                .write(&mut by_shift)
                .write_from(&mut spread, 0)
                .write_from(&mut spread, n_groups * c)
                .blocks(c.div_ceil(32), 1, 1)
        }?;
        Ok(Sums { by_scale: Array::F32(by_scale), by_shift: Array::F32(by_shift), spread })
    }

    /// Factor and offset of what the mask is taken from, if that is the input.
    fn read_mask(&self, launch: Launch) -> Launch {
        if !self.masks_by_input {
            return launch.null().null();
        }
        let launch = self.coefficients.read(launch, FACTOR);
        self.coefficients.read(launch, OFFSET)
    }

    fn spread(&self) -> Launch {
        let (precision, c) = (self.x.precision(), self.over.layout.c);
        let kernel = match c.is_multiple_of(4) {
            true => typed!(precision, "spread_gradient_four"),
            false => typed!(precision, "spread_gradient"),
        };
        Launch::new(&NORM, kernel).read_array(self.x).read_array_if(self.output)
    }

    /// # Safety
    ///
    /// The launch is [`spread`](Self::spread), with the gradient and the result, each of the input's length and precision, the
    /// second of which may be missing.
    unsafe fn run_spread(&self, launch: Launch, adds: bool, keeps_masked: bool, sums: &Sums) -> Result<()> {
        let Over { layout, n_groups } = self.over;
        let n = if layout.c.is_multiple_of(4) { layout.len() / 4 } else { layout.len() };
        let launch = launch.flag(adds).flag(keeps_masked);
        let launch = match self.masks_by_input {
            true => self.coefficients.read(launch, OFFSET),
            false => launch.null(),
        };
        let launch = self.coefficients.read(launch, FACTOR);
        // SAFETY: maps are as long as the layout says, and each channel of each group has its coefficients.
        unsafe {
            self.coefficients
                .read(launch, MEAN)
                .read_from(&sums.spread, 0)
                .read_from(&sums.spread, n_groups * layout.c)
                .int(layout.c)
                .int(self.over.n_positions())
                .int(n_groups)
                .long(n)
                .over(n)
        }
    }
}
