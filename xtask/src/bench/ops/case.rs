//! The definition of a measurement.

use std::time::{Duration, Instant};

use tensor_ops::{Device, OpError, Precision, synchronize};

use crate::bench::median;

/// One kernel in one shape.
pub(super) struct Case {
    /// Kernel, sizes, batch size: the name that `--only` matches.
    pub(super) name: String,
    pub(super) passes: Vec<Pass>,
}

/// The part of a kernel that is timed.
pub(super) struct Pass {
    /// `forward`, `backward`, or the part of the backward pass.
    pub(super) name: &'static str,
    pub(super) work: Work,
    /// Creates the operands. They are only created for the kernels that run.
    pub(super) prepare: Box<Prepare>,
}

/// The minimum work of a pass, which defines its speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Work {
    /// Multiplications and additions.
    Flops(usize),
    /// Values that are read or written, for memory-bound kernels: those that are `kept` between operations, in either
    /// precision, and gradients, which are in single precision.
    Values { kept: usize, gradients: usize },
}

/// Where and how a kernel runs.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) device: Device,
    /// The precision of values between operations.
    pub(super) precision: Precision,
}

/// Maps a place to a function that runs once and returns its time.
pub(super) type Prepare = dyn Fn(&Place) -> Result<Box<Run>, OpError>;
/// One run.
pub(super) type Run = dyn Fn() -> Result<Duration, OpError>;

const N_RUNS_AT_LEAST: usize = 3;

impl Pass {
    /// A pass whose operands are created by `prepare`.
    pub(super) fn new<R>(
        name: &'static str,
        work: Work,
        prepare: impl Fn(&Place) -> Result<R, OpError> + 'static,
    ) -> Self
    where
        R: Fn() -> Result<Duration, OpError> + 'static,
    {
        Self { name, work, prepare: Box::new(move |place| Ok(Box::new(prepare(place)?))) }
    }

    /// The median of as many runs as fit into `duration`, and at least three. One run before them is not counted.
    ///
    /// # Errors
    /// If an operation fails.
    pub(super) fn median_seconds(&self, place: &Place, duration: Duration) -> Result<f64, OpError> {
        let run = (self.prepare)(place)?;
        run()?;
        let mut seconds = Vec::new();
        let start = Instant::now();
        while seconds.len() < N_RUNS_AT_LEAST || start.elapsed() < duration {
            seconds.push(run()?.as_secs_f64());
        }
        Ok(median(&seconds).expect("there are some, by the loop above"))
    }
}

/// Returns the time, and drops the result.
pub(super) fn time<T>(work: impl FnOnce() -> Result<T, OpError>) -> Result<Duration, OpError> {
    synchronize()?;
    let start = Instant::now();
    let result = work()?;
    synchronize()?;
    let took = start.elapsed();
    drop(result);
    Ok(took)
}
