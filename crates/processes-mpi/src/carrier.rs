//! The thread that makes every call of the MPI library.

use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender};
use mpi::Threading;
use mpi::topology::SimpleCommunicator;
use mpi::traits::Communicator;
use processes::{ProcessesError, Wire};

use crate::announcement::Kind;
use crate::job::Job;
use crate::link::Link;
use crate::sums::{self, Room};

/// Where an answer goes. Nobody may want it anymore.
pub(crate) type Reply<T> = Sender<Result<T, ProcessesError>>;

/// What the thread is asked for. It answers in the order of requests.
#[derive(Debug)]
pub(crate) enum Request {
    Gather {
        kind: Kind,
        own: Vec<u8>,
        reply: Reply<Vec<Vec<u8>>>,
    },
    Sum {
        values: Vec<f32>,
        wire: Wire,
        reply: Reply<Vec<f32>>,
    },
    /// All processes end in good order.
    Leave {
        reply: Reply<()>,
    },
    /// The job is being aborted.
    End,
}

/// Starts MPI, tells `ready` of the job, and answers requests until the process leaves.
pub(crate) fn carry(
    requests: &Receiver<Request>,
    wake: Sender<Request>,
    ready: &Reply<Arc<Job>>,
    tell: fn(&str),
) {
    let failed = |message: &str| Err(ProcessesError::Carrier { library: "MPI", message: message.into() });
    // Only this thread calls the library, which takes the thread that starts it for the main one.
    let Some((universe, threading)) = mpi::initialize_with_threading(Threading::Funneled) else {
        let _ = ready.send(failed("it has been started before in this program, and starts only once"));
        return;
    };
    if threading < Threading::Funneled {
        let _ = ready.send(failed("this library does not work in programs with several threads"));
        return;
    }
    let world = SimpleCommunicator::world();
    let host = mpi::environment::processor_name().unwrap_or_else(|_| "a machine without a name".into());
    let job = Arc::new(Job::new(world.size() as usize, world.rank() as usize, host, wake, tell));
    let mut link = Link::new(world, Arc::clone(&job));
    let mut room = Room::default();
    let _ = ready.send(Ok(Arc::clone(&job)));

    for request in requests {
        link.end_if_asked();
        match request {
            Request::Gather { kind, own, reply } => {
                let _ = reply.send(job.note(link.gather(kind, own)));
            }
            Request::Sum { values, wire, reply } => {
                let _ = reply.send(job.note(sums::sum(&mut link, values, wire, &mut room)));
            }
            Request::Leave { reply } => {
                let left = job.note(link.leave());
                if left.is_ok() {
                    // Waits for the others in the library.
                    drop(universe);
                    job.leave();
                    let _ = reply.send(left);
                    return;
                }
                let _ = reply.send(left);
            }
            Request::End => {}
        }
    }
}
