//! Pools. Feature maps lie `(N, H, W, C)`, one image after the other.

use kernels_cpu::{ConvGeometry, Layout, Precision};

use crate::{
    array::{Array, to_add_to},
    error::{Result, at_most},
    launch::Launch,
    memory::Memory,
    pointwise::{in_precision, typed},
    program::Program,
};

pub(crate) static POOL: Program = Program::new("pool", "", include_str!("kernels/pool_typed.cu"));

/// A pool's window, between the layouts of its input and its output.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// How it moves.
    pub geometry: ConvGeometry,
    /// Of the input.
    pub from: Layout,
    /// Of the output.
    pub to: Layout,
}

impl Window {
    fn check(self, input_len: usize, output_len: usize) {
        let Self { geometry, from, to } = self;
        let ConvGeometry { kernel, stride, .. } = geometry;
        assert!(kernel.0 * kernel.1 > 0 && stride.0 * stride.1 > 0, "a window has a size and moves");
        assert!(from.n == to.n && from.c == to.c, "a pool keeps images and channels");
        assert!(input_len == from.len() && output_len == to.len(), "maps are as long as their layouts say");
    }

    fn n_taps(self) -> usize {
        self.geometry.kernel.0 * self.geometry.kernel.1
    }

    /// What each value of a window has in its mean.
    fn share(self) -> f32 {
        1.0 / self.n_taps() as f32
    }

    /// The arguments that all kernels of windows have.
    fn describe(self, launch: Launch) -> Launch {
        let Self { geometry: ConvGeometry { kernel, stride, padding }, from, to } = self;
        [from.h, from.w, from.c, to.h, to.w, kernel.0, kernel.1, stride.0, stride.1, padding.0, padding.1]
            .into_iter()
            .fold(launch, Launch::int)
    }

    /// The gradient of the input: by the largest of each window, or to each its share. In the precision of the gradient.
    fn give(
        self,
        gradient: &Array,
        taps: Option<&Memory<u8>>,
        share: f32,
        before: Option<Array>,
    ) -> Result<Array> {
        let len = self.from.len();
        self.check(len, gradient.len());
        assert!(taps.is_none_or(|taps| taps.len() == self.to.len()), "each window has a largest tap");
        let precision = gradient.precision();
        let (mut sum, adds) = to_add_to(before, len, precision)?;
        let launch = Launch::new(&POOL, typed!(precision, "pool_gradient"))
            .read_array(gradient)
            .read_if(taps)
            .write_array(&mut sum)
            .flag(adds);
        // SAFETY: the maps and the taps are as long as the window says.
        unsafe { self.describe(launch).float(share).long(len).over(len) }?;
        Ok(sum)
    }
}

/// The largest value of each window, and which of its taps that is; padding is never the largest.
///
/// # Errors
///
/// When a window has more than 256 taps, or the device fails.
///
/// # Panics
///
/// If the window does not fit the map.
pub fn largest(window: Window, x: &Array) -> Result<(Array, Memory<u8>)> {
    let Window { to, .. } = window;
    window.check(x.len(), to.len());
    at_most("the size of a window", window.n_taps(), 1 << 8)?;
    let mut y = Array::unwritten(to.len(), x.precision())?;
    let mut taps = Memory::<u8>::unwritten(to.len())?;
    let launch = Launch::new(&POOL, typed!(x.precision(), "max_pool"))
        .read_array(x)
        .write_array(&mut y)
        .write(&mut taps);
    // SAFETY: the maps and the taps are as long as the window says.
    unsafe { window.describe(launch).long(to.len()).over(to.len()) }?;
    Ok((y, taps))
}

/// The gradient of [`largest`]'s input, added to `before`, in the precision of the gradient: to the first of equal values.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the window does not fit what is given.
pub fn largest_gradient(
    window: Window,
    taps: &Memory<u8>,
    gradient: &Array,
    before: Option<Array>,
) -> Result<Array> {
    window.give(gradient, Some(taps), 1.0, before)
}

/// The mean of each window; padding counts as zeros.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the window does not fit the map.
pub fn average(window: Window, x: &Array) -> Result<Array> {
    let Window { to, .. } = window;
    window.check(x.len(), to.len());
    let mut y = Array::unwritten(to.len(), x.precision())?;
    let launch = Launch::new(&POOL, typed!(x.precision(), "average_pool")).read_array(x).write_array(&mut y);
    // SAFETY: the maps are as long as the window says.
    unsafe { window.describe(launch).float(window.share()).long(to.len()).over(to.len()) }?;
    Ok(y)
}

/// The gradient of [`average`]'s input, added to `before`, in the precision of the gradient.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the window does not fit what is given.
pub fn average_gradient(window: Window, gradient: &Array, before: Option<Array>) -> Result<Array> {
    window.give(gradient, None, window.share(), before)
}

/// The mean of each channel over the positions of an image, `(N, C)`, in single precision.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the map is not as long as its layout.
pub fn global(from: Layout, x: &Array) -> Result<Array> {
    assert_eq!(x.len(), from.len(), "a map is as long as its layout says");
    let n_positions = from.h * from.w;
    let mut y = Memory::<f32>::unwritten(from.n * from.c)?;
    // SAFETY: the map is as long as its layout says, and each channel of an image has a mean.
    unsafe {
        Launch::new(&POOL, typed!(x.precision(), "global_pool"))
            .read_array(x)
            .write(&mut y)
            .int(n_positions)
            .int(from.c)
            .float(1.0 / n_positions as f32)
            .long(from.n * from.c)
            .over(from.n * from.c)
    }?;
    Ok(Array::F32(y))
}

/// The gradient of [`global`]'s input, added to `before`, in `precision`.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the gradient is not as long as the layout says.
pub fn global_gradient(
    from: Layout,
    gradient: &Array,
    precision: Precision,
    before: Option<Array>,
) -> Result<Array> {
    assert_eq!(gradient.len(), from.n * from.c, "a gradient has the length of what it is of");
    let gradient = in_precision(gradient, Precision::F32)?;
    let n_positions = from.h * from.w;
    let (mut sum, adds) = to_add_to(before, from.len(), precision)?;
    // SAFETY: as of `global`.
    unsafe {
        Launch::new(&POOL, typed!(precision, "global_pool_gradient"))
            .read_array(gradient.get())
            .write_array(&mut sum)
            .flag(adds)
            .int(n_positions)
            .int(from.c)
            .float(1.0 / n_positions as f32)
            .long(from.len())
            .over(from.len())
    }?;
    Ok(sum)
}
