//! Gradients that are handed over before their pass is over.

use super::BySlot;
use crate::{Gradients, OpError, Parameter};

/// What takes the gradient of a watched parameter, by its place in the list.
pub type TakeGradient = Box<dyn FnMut(usize, Vec<f32>) -> Result<(), OpError>>;

/// Parameters whose gradients are handed over while a backward pass runs, each when nothing can be added to it any more.
///
/// That is so when no operation that is recorded and has still to run has a handle of the parameter.
pub struct GradientWatch {
    watched: Vec<Watched>,
    take: TakeGradient,
}

struct Watched {
    /// The place in the list that was given.
    place: usize,
    parameter: Parameter,
    /// Handles of it where nothing is recorded.
    n_handles: usize,
    is_taken: bool,
}

impl GradientWatch {
    /// Watches `parameters`, for a pass whose operations are recorded after this and whose gradients `take` takes, in our order
    /// (see [`ParameterKind`](crate::ParameterKind)). Until the pass is over, no other handles of them may come or go.
    pub fn new(parameters: impl IntoIterator<Item = Parameter>, take: TakeGradient) -> Self {
        let watched = parameters.into_iter().enumerate().map(|(place, parameter)| {
            let n_handles = parameter.slot.n_handles();
            Watched { place, parameter, n_handles, is_taken: false }
        });
        Self { watched: watched.collect(), take }
    }

    /// Hands over what has become complete. A parameter whose gradient has not begun to arrive is looked at again.
    pub(super) fn look(&mut self, by_slot: &mut BySlot) -> Result<(), OpError> {
        for watched in self.watched.iter_mut().filter(|watched| !watched.is_taken) {
            if watched.parameter.slot.n_handles() == watched.n_handles
                && let Some(gradient) = watched.parameter.take_by_slot(by_slot)?
            {
                watched.is_taken = true;
                (self.take)(watched.place, gradient)?;
            }
        }
        Ok(())
    }

    /// Hands over all that is left, after the pass.
    pub(super) fn finish(mut self, gradients: &mut Gradients) -> Result<(), OpError> {
        for watched in self.watched {
            let Some(gradient) = watched.parameter.take_gradient(gradients)? else { continue };
            if watched.is_taken {
                let shape = watched.parameter.shape();
                return Err(OpError::value(
                    "backward_watched",
                    "shape of a parameter",
                    shape,
                    "a handle of it has gone during the pass, so a part of its gradient was handed over as the whole",
                ));
            }
            (self.take)(watched.place, gradient)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use dfdx::tensor::PutTape as _;

    use super::*;
    use crate::{
        Device, Features, ParameterKind, Recording, backward, backward_onto, backward_watched,
        features_from_rows, linear, sum_losses, weighted_sum,
    };

    /// Two layers, of which the second one is used twice, and their loss.
    fn loss(first: &Parameter, second: &Parameter) -> crate::Scalar {
        let x = features_from_rows(&Device::default(), (2, 2), vec![1.0, -2.0, 0.5, 3.0], Recording::start());
        let hidden = linear(x.unwrap(), first, None).unwrap();
        let (hidden, recording) = dfdx::tensor::SplitTape::split_tape(hidden);
        let again: Features = hidden.clone().put_tape(Recording::start());
        let sums = [hidden.put_tape(recording), again].map(|x| {
            let y = linear(x, second, None).unwrap();
            let y = linear(y, second, None).unwrap();
            weighted_sum(y, &[1.0, 0.5, -1.0, 2.0]).unwrap()
        });
        sum_losses(sums.into()).unwrap()
    }

    fn parameters() -> [Parameter; 3] {
        [vec![0.5, -1.0, 2.0, 0.25], vec![1.5, 1.0, -0.5, 0.75], vec![1.0; 4]]
            .map(|values| Parameter::new(&Device::default(), ParameterKind::Matrix, &[2, 2], values).unwrap())
    }

    #[test]
    fn gradients_are_handed_over_whole_and_in_the_order_of_the_pass() {
        let [first, second, unused] = parameters();
        let mut expected = backward(loss(&first, &second)).unwrap();
        let mut all = |parameter: &Parameter| parameter.take_gradient(&mut expected).unwrap();
        let expected = [all(&first).unwrap(), all(&second).unwrap()];
        assert!(all(&unused).is_none());

        // What an earlier pass has left is part of it.
        for n_passes in [1, 2] {
            let mut gradients = Gradients::default();
            if n_passes == 2 {
                gradients = backward_onto(loss(&first, &second), gradients).unwrap();
            }
            let taken = Rc::new(RefCell::new(Vec::new()));
            let to = Rc::clone(&taken);
            let watch = GradientWatch::new(
                [first.share(), second.share(), unused.share()],
                Box::new(move |place, gradient| {
                    to.borrow_mut().push((place, gradient));
                    Ok(())
                }),
            );
            let mut rest = backward_watched(loss(&first, &second), gradients, watch).unwrap();
            let times =
                |gradient: &[f32]| gradient.iter().map(|value| value * n_passes as f32).collect::<Vec<_>>();
            assert_eq!(taken.take(), [(1, times(&expected[1])), (0, times(&expected[0]))]);
            assert!(first.take_gradient(&mut rest).unwrap().is_none());
        }
    }

    #[test]
    fn an_error_of_who_takes_them_ends_the_pass() {
        let [first, second, _] = parameters();
        let refuse = || Err(OpError::value("test", "gradient", 1, "made to fail"));
        let watch = GradientWatch::new([first.share(), second.share()], Box::new(move |_, _| refuse()));
        let error = backward_watched(loss(&first, &second), Gradients::default(), watch).unwrap_err();
        assert_eq!(error.to_string(), refuse().unwrap_err().to_string());
    }
}
