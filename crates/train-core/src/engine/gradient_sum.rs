//! The gradients of a batch, from those of its parts.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use processes::{Processes, ProcessesError, Summing, Tree};
use tensor_ops::{GradientWatch, Gradients, OpError, Parameter};

use super::{Engine, EngineError};

/// Values that processes exchange at a time. More wait longer for the first, and fewer cost a message each.
const VALUES_IN_A_MESSAGE: usize = 1 << 20;

/// The gradients of parts, as they are added: in an order that does not depend on the number of processes.
#[derive(Default)]
pub(super) struct GradientSum {
    of_parts: Tree<Gradients>,
    /// The sums over several processes, once the last part of this one is under way.
    over_processes: Option<Rc<RefCell<Sums>>>,
}

impl GradientSum {
    /// Has the gradients of the last part summed over all processes while it goes backward, each as soon as it is whole.
    ///
    /// `None` for one process.
    pub(super) fn watch(&mut self, engine: &Engine) -> Result<Option<GradientWatch>, EngineError> {
        if engine.processes.n() == 1 {
            return Ok(None);
        }
        let shares = || engine.parameters.collect(engine.modules.named(), |_, parameter| parameter.share());
        let sums = Rc::new(RefCell::new(Sums {
            processes: Arc::clone(&engine.processes),
            parameters: shares()?,
            earlier: mem::take(&mut self.of_parts).into_sums(),
            message: Message::default(),
            under_way: Vec::new(),
        }));
        self.over_processes = Some(Rc::clone(&sums));
        let take = move |place, gradient| sums.borrow_mut().take(place, Some(gradient));
        Ok(Some(GradientWatch::new(shares()?, Box::new(take))))
    }

    /// Takes the gradients of the next part of this process, but for those that were taken while it went backward. Of `part`,
    /// those of parameters are used.
    pub(super) fn push(&mut self, engine: &Engine, mut part: Gradients) -> Result<(), EngineError> {
        if self.over_processes.is_some() {
            return Ok(());
        }
        let mut of_parameters = Gradients::default();
        engine.add_gradients(&mut of_parameters, &mut part)?;
        self.of_parts.push(of_parameters, |left, mut right| engine.add_gradients(left, &mut right))
    }

    /// The sum over all parts of all processes.
    pub(super) fn finish(self, engine: &Engine) -> Result<Gradients, EngineError> {
        match self.over_processes {
            Some(sums) => sums.borrow_mut().finish(),
            None => {
                let sum = self.of_parts.finish(|left, mut right| engine.add_gradients(left, &mut right))?;
                Ok(sum.unwrap_or_default())
            }
        }
    }
}

/// Sums over several processes.
struct Sums {
    processes: Arc<dyn Processes>,
    parameters: Vec<Parameter>,
    /// The sums of the parts before the last one, see [`Tree::into_sums`].
    earlier: Vec<Gradients>,
    /// What is collected for the next exchange.
    message: Message,
    under_way: Vec<(Vec<Piece>, Summing)>,
}

/// Gradients that travel together.
#[derive(Default)]
struct Message {
    pieces: Vec<Piece>,
    values: Vec<f32>,
}

/// The gradient of one parameter in a message.
struct Piece {
    /// Of the parameter, in the table of all.
    place: usize,
    len: usize,
}

impl Sums {
    /// Takes a gradient of the last part, if it has one, with those of the parts before.
    fn take(&mut self, place: usize, mut gradient: Option<Vec<f32>>) -> Result<(), OpError> {
        for earlier in self.earlier.iter_mut().rev() {
            let Some(left) = self.parameters[place].take_gradient(earlier)? else { continue };
            match &mut gradient {
                None => gradient = Some(left),
                Some(sum) => sum.iter_mut().zip(left).for_each(|(sum, left)| *sum += left),
            }
        }
        let Some(gradient) = gradient else { return Ok(()) };
        self.message.pieces.push(Piece { place, len: gradient.len() });
        match self.message.values.is_empty() {
            true => self.message.values = gradient,
            false => {
                self.message.values.reserve(VALUES_IN_A_MESSAGE);
                self.message.values.extend(gradient);
            }
        }
        if self.message.values.len() >= VALUES_IN_A_MESSAGE {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), ProcessesError> {
        let Message { pieces, values } = mem::take(&mut self.message);
        if !pieces.is_empty() {
            self.under_way.push((pieces, self.processes.start_sum(values)?));
        }
        Ok(())
    }

    /// Waits for all sums.
    fn finish(&mut self) -> Result<Gradients, EngineError> {
        // Of parameters that the last part has not met.
        (0..self.parameters.len()).try_for_each(|place| self.take(place, None))?;
        self.send()?;
        let mut gradients = Gradients::default();
        for (pieces, sum) in mem::take(&mut self.under_way) {
            let sum = sum.wait()?;
            if let [Piece { place, .. }] = pieces[..] {
                self.parameters[place].put_gradient(&mut gradients, sum)?;
                continue;
            }
            let mut rest = &sum[..];
            for Piece { place, len } in pieces {
                let (own, others) = rest.split_at(len);
                self.parameters[place].put_gradient(&mut gradients, own.to_vec())?;
                rest = others;
            }
        }
        Ok(gradients)
    }
}
