//! Times the backward pass of a single operation.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dfdx::tensor::Tape as _;
use tensor_ops::{
    FeatureMap, OpError, Recording, Scalar, Tokens, backward, global_average_pool, mean_tokens, synchronize,
    weighted_sum,
};

/// The inputs and outputs of an operation.
pub(super) trait Value: Sized {
    /// Splits off everything recorded so far.
    fn split(self) -> (Self, Recording);
    /// The same values with another recording.
    fn join(self, recording: Recording) -> Self;
    /// A loss that gives every value a gradient.
    ///
    /// # Errors
    /// If an operation fails.
    fn into_loss(self) -> Result<Scalar, OpError>;
}

impl Value for FeatureMap {
    fn split(self) -> (Self, Recording) {
        self.split_recording()
    }

    fn join(self, recording: Recording) -> Self {
        self.with_recording(recording)
    }

    fn into_loss(self) -> Result<Scalar, OpError> {
        let n_values = self.n() * self.c();
        weighted_sum(global_average_pool(self)?, &vec![1.0; n_values])
    }
}

impl Value for Tokens {
    fn split(self) -> (Self, Recording) {
        self.split_recording()
    }

    fn join(self, recording: Recording) -> Self {
        self.with_recording(recording)
    }

    fn into_loss(self) -> Result<Scalar, OpError> {
        let n_values = self.n() * self.d();
        weighted_sum(mean_tokens(self, 0)?, &vec![1.0; n_values])
    }
}

/// The time of only the backward pass of `operation` on `x`.
///
/// A recording runs from its end to its start. A clock recorded after the operation starts when the gradient has
/// reached the operation's output, and a clock recorded before it stops when the operation has passed the gradient on.
///
/// # Errors
/// If an operation fails.
pub(super) fn backward_time<X: Value, Y: Value>(
    x: X,
    operation: impl FnOnce(X) -> Result<Y, OpError>,
) -> Result<Duration, OpError> {
    let started = Rc::new(Cell::new(None));
    let took = Rc::new(Cell::new(Duration::ZERO));

    let mut recording = Recording::start();
    let (from, to) = (Rc::clone(&started), Rc::clone(&took));
    recording.add_backward_op(move |_| {
        synchronize().expect("the device that was given work is there");
        to.set(from.get().map_or(Duration::ZERO, |start: Instant| start.elapsed()));
        Ok(())
    });
    let (y, mut recording) = operation(x.join(recording))?.split();
    recording.add_backward_op(move |_| {
        synchronize().expect("the device that was given work is there");
        started.set(Some(Instant::now()));
        Ok(())
    });
    drop(backward(y.join(recording).into_loss()?)?);
    Ok(took.get())
}
