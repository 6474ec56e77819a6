//! The backward pass of a batch norm.

use kernels_cpu::Layout;

use super::{Coefficients, FACTOR, INV_STD, MEAN, NORM, OFFSET, Over, fetch_sums};
use crate::{
    array::{Array, to_add_to},
    error::Result,
    launch::Launch,
    memory::Memory,
    pointwise::{Converted, in_precision, typed},
};

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

/// From the gradient of the output to those of the input, of scale and of shift, half way: the maps have been summed up, and
/// the gradient of the input is still to come.
///
/// Where other values have been normalized together with these, that takes the [`sums`](Self::sums) of all of them.
#[derive(Debug)]
pub struct Backward<'a> {
    maps: Maps<'a>,
    gradient: Array,
    /// Those of the gradient, and of it times the distance from the mean, over chunks of rows, `(groups, chunks, 2, C)`.
    own: Memory<f64>,
    /// Those of all values, `(2, C)`, if there are others.
    of_all: Option<Memory<f64>>,
}

impl<'a> Backward<'a> {
    /// The first pass.
    ///
    /// # Errors
    ///
    /// When the device fails.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn new(
        over: Over,
        coefficients: &'a Coefficients,
        x: &'a Array,
        mask: Mask<'a>,
        gradient: Array,
    ) -> Result<Self> {
        over.check(x.len());
        coefficients.check(over);
        assert_eq!(gradient.len(), x.len(), "a gradient has the length of what it is of");
        let precision = x.precision();
        let output = match mask {
            Mask::Output(output) => {
                assert_eq!(output.len(), x.len(), "a map is as long as its layout says");
                Some(in_precision(output, precision)?)
            }
            _ => None,
        };
        let maps = Maps { over, coefficients, x, output, masks_by_input: matches!(mask, Mask::Input) };
        let gradient = gradient.into_precision(precision)?.into_own()?;
        let own = maps.sums(&gradient)?;
        Ok(Self { maps, gradient, own, of_all: None })
    }

    /// The sums of each channel, to the host: of the gradient, and of it times the distance from the mean.
    ///
    /// # Errors
    ///
    /// When the device fails.
    ///
    /// # Panics
    ///
    /// If there are several groups.
    pub fn sums(&self) -> Result<[Vec<f64>; 2]> {
        let Over { layout, n_groups } = self.maps.over;
        assert_eq!(n_groups, 1, "sums of a whole map are fetched");
        fetch_sums(&self.own, self.maps.over.chunks().0.n, layout.c)
    }

    /// Tells of the [`sums`](Self::sums) of all values that were normalized together. The gradients of scale and shift stay
    /// those of these values.
    ///
    /// # Errors
    ///
    /// When the device fails.
    ///
    /// # Panics
    ///
    /// If there are several groups, or other numbers of channels.
    pub fn set_sums_of_all(&mut self, sums: [Vec<f64>; 2]) -> Result<()> {
        let Over { layout, n_groups } = self.maps.over;
        assert_eq!(n_groups, 1, "sums of a whole map are told");
        assert!(sums.iter().all(|sums| sums.len() == layout.c), "each channel has its sums");
        self.of_all = Some(Memory::send(sums.concat())?);
        Ok(())
    }

    /// The second pass.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn finish(self, Wanted { x: wants_x, before, masked: wants_masked }: Wanted) -> Result<Gradients> {
        let Self { maps, mut gradient, own, of_all } = self;
        let (len, precision) = (maps.x.len(), maps.x.precision());
        let mut sums = maps.finish_sums(&own, maps.over.chunks().0.n)?;
        if let Some(of_all) = of_all {
            sums.spread = maps.finish_sums(&of_all, 1)?.spread;
        }
        let mut by_x = None;
        if wants_x && !wants_masked && before.is_none() {
            let launch = maps.spread().write_array(&mut gradient).write_array(&mut gradient);
            // SAFETY: both results are the gradient, which is of the input's length and precision.
            unsafe { maps.run_spread(launch, false, false, &sums) }?;
            let (scale, shift) = (sums.by_scale, sums.by_shift);
            return Ok(Gradients { scale, shift, masked: None, x: Some(gradient) });
        }
        if wants_x || wants_masked {
            let (sum, adds) = match wants_x {
                true => to_add_to(before, len, precision).map(|(sum, adds)| (Some(sum), adds))?,
                false => (None, false),
            };
            by_x = sum;
            let launch = maps.spread().write_array(&mut gradient).write_array_if(by_x.as_mut());
            // SAFETY: both results are of the input's length and precision, if they are there.
            unsafe { maps.run_spread(launch, adds, wants_masked, &sums) }?;
        }
        let (scale, shift) = (sums.by_scale, sums.by_shift);
        Ok(Gradients { scale, shift, masked: wants_masked.then_some(gradient), x: by_x })
    }
}

/// What both passes over a map read, all of one length and precision.
#[derive(Debug)]
struct Maps<'a> {
    over: Over,
    coefficients: &'a Coefficients,
    x: &'a Array,
    output: Option<Converted<'a>>,
    masks_by_input: bool,
}

/// The gradients of scale and shift, and what that of the input is made of.
struct Sums {
    by_scale: Array,
    by_shift: Array,
    /// Slope and offset of what each value gets, `(groups, C)` each.
    spread: Memory<f32>,
}

impl Maps<'_> {
    fn output(&self) -> Option<&Array> {
        self.output.as_ref().map(|output| output.get())
    }

    /// See [`Backward::own`].
    fn sums(&self, gradient: &Array) -> Result<Memory<f64>> {
        let Self { over, coefficients, x, .. } = self;
        let Over { layout: Layout { c, .. }, n_groups } = *over;
        let (chunks, [columns, rows, groups]) = over.chunks();
        let n_rows = over.rows_of_group();
        let mut partial = Memory::<f64>::unwritten(n_groups * chunks.n * 2 * c)?;
        let launch = Launch::new(&NORM, typed!(x.precision(), "gradient_sums"))
            .read_array(x)
            .read_array_if(self.output())
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
        Ok(partial)
    }

    /// What follows from sums over chunks.
    fn finish_sums(&self, partial: &Memory<f64>, n_chunks: usize) -> Result<Sums> {
        let Self { over, coefficients, .. } = self;
        let Over { layout: Layout { c, .. }, n_groups } = *over;
        assert!(partial.len() >= n_groups * n_chunks * 2 * c, "each chunk of each group has its sums");
        let (mut by_scale, mut by_shift) = (Memory::unwritten(c)?, Memory::unwritten(c)?);
        let mut spread = Memory::unwritten(2 * n_groups * c)?;
        let launch = Launch::new(&NORM, "finish_gradients")
            .read(partial)
            .int(n_chunks)
            .int(n_groups)
            .int(c)
            .double(coefficients.n_values.map_or(0.0, |n| -1.0 / n));
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
        Launch::new(&NORM, kernel).read_array(self.x).read_array_if(self.output())
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
