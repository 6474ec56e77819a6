//! One type for "with gradients" and "without".

use dfdx::tensor::{Merge, NoneTape, OwnedTape, Tape};

use super::Pass;
use crate::{Device, backend::Computed};

/// Whether what happens to a tensor is recorded for a backward pass.
///
/// dfdx says this in a tensor's type, which would split every plugin trait in two. This type says it at run time:
/// a module has one `forward`, and records exactly when its input does.
#[derive(Default, Debug)]
pub enum Recording {
    /// Nothing is recorded: keys, evaluation.
    #[default]
    Off,
    /// Operations append their backward pass here.
    On(OwnedTape<f32, Device>),
}

impl Recording {
    /// An empty recording that is on.
    pub fn start() -> Self {
        Self::On(OwnedTape::default())
    }

    /// Whether operations must keep what their backward pass needs.
    pub fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }

    /// Appends the backward pass of an operation.
    pub(crate) fn record(&mut self, backward: impl FnOnce(&mut Pass<'_>) -> Computed<()> + 'static) {
        self.add_backward_op(move |of_tensors| Pass::with_running(of_tensors, backward));
    }
}

/// The recordings of two branches in one.
pub(crate) fn join(a: Recording, b: Recording) -> Recording {
    a.merge(b)
}

impl Tape<f32, Device> for Recording {
    const OWNS_TAPE: bool = true;

    fn add_backward_op<F>(&mut self, operation: F)
    where
        F: 'static
            + FnOnce(
                &mut dfdx::tensor::Gradients<f32, Device>,
            ) -> Result<(), <Device as dfdx::tensor::HasErr>::Err>,
    {
        if let Self::On(tape) = self {
            tape.add_backward_op(operation);
        }
    }
}

impl Merge<NoneTape> for Recording {
    fn merge(self, _: NoneTape) -> Self {
        self
    }
}

impl Merge<Recording> for Recording {
    fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::On(a), Self::On(b)) => Self::On(a.merge(b)),
            (Self::On(tape), Self::Off) | (Self::Off, Self::On(tape)) => Self::On(tape),
            (Self::Off, Self::Off) => Self::Off,
        }
    }
}

/// What every handle on values has that may be recorded: fields `slot` and `recording`.
macro_rules! recorded_handle {
    ($handle:ty) => {
        impl $handle {
            /// Where gradients are kept.
            pub fn device(&self) -> &$crate::Device {
                self.slot.device()
            }

            /// Whether operations on this handle are recorded.
            pub fn is_recorded(&self) -> bool {
                self.recording.is_on()
            }

            /// The same values, with everything recorded so far apart.
            pub fn split_recording(mut self) -> (Self, $crate::Recording) {
                let recording = std::mem::take(&mut self.recording);
                (self, recording)
            }

            /// The same values with another recording.
            pub fn with_recording(mut self, recording: $crate::Recording) -> Self {
                self.recording = recording;
                self
            }
        }
    };
}
pub(crate) use recorded_handle;
