//! Batch normalization. Feature maps lie `(N, H, W, C)`, one image after the other.

mod backward;

use kernels_cpu::Layout;

pub use self::backward::{Backward, Gradients, Mask, Wanted};
use crate::{
    array::Array,
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

    /// Values of each channel and group.
    pub fn n_values(self) -> f64 {
        self.rows_of_group() as f64
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

    /// The sum of each channel and that of its squares, to the host.
    ///
    /// # Errors
    ///
    /// When the device fails.
    ///
    /// # Panics
    ///
    /// If there are several groups.
    pub fn fetch(&self) -> Result<[Vec<f64>; 2]> {
        assert_eq!(self.n_groups, 1, "sums of a whole map are fetched");
        fetch_sums(&self.partial, self.n_chunks, self.c)
    }
}

/// The sums over the chunks of one group, `(chunks, 2, C)`, to the host.
fn fetch_sums(partial: &Memory<f64>, n_chunks: usize, c: usize) -> Result<[Vec<f64>; 2]> {
    assert!(partial.len() >= n_chunks * 2 * c, "each chunk has its sums");
    let mut sums = Memory::<f64>::unwritten(2 * c)?;
    // SAFETY: each chunk has two rows of sums, and the result is as long as two.
    unsafe {
        Launch::new(&NORM, "fold_chunks").read(partial).int(n_chunks).int(c).write(&mut sums).blocks(
            c.div_ceil(32),
            1,
            1,
        )
    }?;
    let mut first = sums.fetch()?;
    let second = first.split_off(c);
    Ok([first, second])
}

/// What turns values into normalized ones: mean, one over the standard deviation, factor and offset, each `(groups, C)`, one
/// after the other.
#[derive(Debug)]
pub struct Coefficients {
    numbers: Memory<f32>,
    /// Of each.
    len: usize,
    /// How many values each of the statistics is of; `None` for running ones, which do not move with the batch.
    n_values: Option<f64>,
}

/// The place of each among the [`Coefficients`].
const MEAN: usize = 0;
const INV_STD: usize = 1;
const FACTOR: usize = 2;
const OFFSET: usize = 3;

impl Coefficients {
    fn unwritten(len: usize, n_values: Option<f64>) -> Result<Self> {
        Ok(Self { numbers: Memory::unwritten(4 * len)?, len, n_values })
    }

    fn write_all(&mut self, launch: Launch) -> Launch {
        [MEAN, INV_STD, FACTOR, OFFSET]
            .into_iter()
            .fold(launch, |launch, which| launch.write_from(&mut self.numbers, which * self.len))
    }

    /// What is learned goes in, the running statistics move, and the coefficients come out.
    fn write_in_training(&mut self, launch: Launch, learned: Learned<'_>, running: Running<'_>) -> Launch {
        let launch = launch
            .read_if(learned.scale)
            .read_if(learned.shift)
            .double(learned.eps)
            .double(running.momentum)
            .write(running.mean)
            .write(running.var);
        self.write_all(launch)
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
        let n_values = over.n_values();
        let mut new = Self::unwritten(n_groups * c, Some(n_values))?;
        let launch = Launch::new(&NORM, "finish_moments")
            .read(&moments.partial)
            .int(moments.n_chunks)
            .int(n_groups)
            .int(c)
            .double(n_values);
        // SAFETY: every array has its numbers for each channel, those of a batch for each group.
        unsafe { new.write_in_training(launch, learned, running).blocks(c.div_ceil(32), 1, 1) }?;
        Ok(new)
    }

    /// Of means and biased variances, `C` each, that are of `n_values` values a channel; the running statistics move.
    ///
    /// # Errors
    ///
    /// When the device fails.
    ///
    /// # Panics
    ///
    /// If there are more means than variances or fewer, or a channel has no running statistics.
    pub fn of_statistics(
        mean: &[f64],
        var: &[f64],
        n_values: f64,
        learned: Learned<'_>,
        running: Running<'_>,
    ) -> Result<Self> {
        let c = mean.len();
        assert_eq!(c, var.len(), "each channel has a mean and a variance");
        learned.check(c);
        assert!(running.mean.len() >= c && running.var.len() >= c, "each channel has its numbers");
        let statistics = Memory::send([mean, var].concat())?;
        let mut new = Self::unwritten(c, Some(n_values))?;
        let launch = Launch::new(&NORM, "given_coefficients").read(&statistics).int(c).double(n_values);
        // SAFETY: every array has its numbers for each channel.
        unsafe { new.write_in_training(launch, learned, running).over(c) }?;
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
        let mut new = Self::unwritten(c, None)?;
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
