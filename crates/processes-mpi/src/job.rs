//! What all threads of this process know of the job, and how they end it.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crossbeam::channel::Sender;
use mpi::topology::SimpleCommunicator;
use mpi::traits::Communicator;
use processes::ProcessesError;

use crate::carrier::Request;

/// How long last words travel to the launcher: MPICH's drops what it has not read when a job aborts.
const WORDS: Duration = Duration::from_millis(200);
/// How long the MPI thread may take to end the job.
const GRACE: Duration = Duration::from_secs(5);

/// The processes that were started together, as one of them sees them.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) n: usize,
    pub(crate) rank: usize,
    pub(crate) host: String,
    mpi_thread: ThreadId,
    wake: Sender<Request>,
    tell: fn(&str),
    is_ending: AtomicBool,
    has_left: AtomicBool,
    failure: OnceLock<ProcessesError>,
}

impl Job {
    /// Called by the MPI thread.
    pub(crate) fn new(n: usize, rank: usize, host: String, wake: Sender<Request>, tell: fn(&str)) -> Self {
        Self {
            n,
            rank,
            host,
            mpi_thread: thread::current().id(),
            wake,
            tell,
            is_ending: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            failure: OnceLock::new(),
        }
    }

    /// The first error of an exchange.
    pub(crate) fn failure(&self) -> Option<ProcessesError> {
        self.failure.get().cloned()
    }

    /// Remembers an error: nothing more can be exchanged.
    pub(crate) fn note<T>(&self, result: Result<T, ProcessesError>) -> Result<T, ProcessesError> {
        result.inspect_err(|error| {
            // The first one counts.
            let _ = self.failure.set(error.clone());
        })
    }

    /// Whether the MPI thread is to end the job.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// Remembers that this process has nothing to do with the others anymore.
    pub(crate) fn leave(&self) {
        self.has_left.store(true, Ordering::Release);
    }

    /// Tells why, and ends all processes of the job, this one too.
    pub(crate) fn abort(&self, why: &str) -> ! {
        (self.tell)(&format!("process {} of {} on {}: {why}", self.rank, self.n, self.host));
        thread::sleep(WORDS);
        if thread::current().id() == self.mpi_thread {
            SimpleCommunicator::world().abort(1);
        }
        self.is_ending.store(true, Ordering::Release);
        // It waits for a request or looks at `is_ending`. If it does neither, the library holds it: a process that ends without
        // a word to the library has its launcher end the others.
        let _ = self.wake.send(Request::End);
        thread::sleep(GRACE);
        std::process::abort();
    }

    /// Has every panic of the program end the job, as long as this process is part of it.
    pub(crate) fn abort_on_panic(self: &Arc<Self>) {
        let job = Arc::clone(self);
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            print(info);
            if job.has_left.load(Ordering::Acquire) {
                return;
            }
            let payload = info.payload();
            let message = payload.downcast_ref::<&str>().copied();
            let message =
                message.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
            let place = info.location().map(|place| format!(" at {place}")).unwrap_or_default();
            job.abort(&format!("panicked{place}: {message}"));
        }));
    }
}
