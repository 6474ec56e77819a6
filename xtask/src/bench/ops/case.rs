//! What a measurement is.

use std::time::{Duration, Instant};

use tensor_ops::{Device, OpError, Precision, synchronize};

use crate::bench::median;

/// One kernel in one shape.
pub(super) struct Case {
    /// Kernel, sizes, batch: what `--only` looks into.
    pub(super) name: String,
    pub(super) passes: Vec<Pass>,
}

/// What of a kernel is timed.
pub(super) struct Pass {
    /// `forward`, `backward`, or the part of the backward pass.
    pub(super) name: &'static str,
    pub(super) work: Work,
    /// Makes the operands, which only those that are asked for should take time and memory for.
    pub(super) prepare: Box<Prepare>,
}

/// What a pass does at the least, by which its speed is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Work {
    /// Multiplications and additions.
    Flops(usize),
    /// Values that are read or written, for what is bound by memory: those that are `kept` between operations, in whichever
    /// precision, and gradients, which are in single precision.
    Values { kept: usize, gradients: usize },
}

/// What a kernel runs on.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) device: Device,
    /// Of the values between operations.
    pub(super) precision: Precision,
}

/// From a place to what runs once, and says how long it took.
pub(super) type Prepare = dyn Fn(&Place) -> Result<Box<Run>, OpError>;
/// One run.
pub(super) type Run = dyn Fn() -> Result<Duration, OpError>;

const N_RUNS_AT_LEAST: usize = 3;

impl Pass {
    /// A pass that `prepare` makes ready.
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

    /// The median of as many runs as fit into `duration`, and of three at least. One before them does not count.
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

/// How long it takes, without what becomes of the result.
pub(super) fn time<T>(work: impl FnOnce() -> Result<T, OpError>) -> Result<Duration, OpError> {
    synchronize()?;
    let start = Instant::now();
    let result = work()?;
    synchronize()?;
    let took = start.elapsed();
    drop(result);
    Ok(took)
}
