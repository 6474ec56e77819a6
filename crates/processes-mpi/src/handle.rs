//! The processes as the rest of the program sees them.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use processes::{Processes, ProcessesError, Summing, Wire};

use crate::announcement::Kind;
use crate::carrier::{Reply, Request, carry};
use crate::job::Job;

/// A launcher may take this long to start all processes, whatever the limit of an exchange is.
const START: Duration = Duration::from_secs(60);

/// How processes work together.
#[derive(Clone, Copy, Debug)]
pub struct MpiOptions {
    /// How the values of sums travel; the same in all processes.
    pub wire: Wire,
    /// How long to wait for the other processes in one exchange, at most; `None`: as long as it takes. A process that reads
    /// images or writes a checkpoint lets the others wait. The start may take a minute, if this is shorter.
    pub time_out: Option<Duration>,
    /// Is given the last words before an abort, one or more lines with the process and its machine, and prints them at once:
    /// nothing after them is certain to be printed. What is written in several pieces, launchers mix with what other processes
    /// write.
    pub tell: fn(&str),
}

/// The processes that a launcher of MPI has started together (`mpirun`, `srun`); one, if none has.
///
/// One that is dropped waits until all are, and ends MPI. It ends all processes instead, as [`abort`](Processes::abort) does,
/// if an exchange has failed, if the program is panicking, or if another process still exchanges something: otherwise the
/// others would wait forever. So a program prints an error before it drops this. A program that ends without dropping it is
/// ended by its launcher, with all others.
pub struct MpiProcesses {
    job: Arc<Job>,
    hosts: Vec<String>,
    options: MpiOptions,
    requests: Sender<Request>,
    mpi_thread: Option<JoinHandle<()>>,
}

impl MpiProcesses {
    /// Starts MPI, which waits for all processes. A program can do so once.
    ///
    /// # Errors
    /// If MPI does not start, or not in time, or has been started before. If the job has no launcher, it has one process.
    pub fn start(options: MpiOptions) -> Result<Self, ProcessesError> {
        let (requests, asked) = unbounded();
        let (reply, ready) = bounded(1);
        let wake = requests.clone();
        let mpi_thread = thread::Builder::new()
            .name("mpi".into())
            .spawn(move || carry(&asked, wake, &reply, options.tell))
            .map_err(|error| ProcessesError::Carrier {
                library: "MPI",
                message: format!("its thread does not start: {error}"),
            })?;
        let time_out = options.time_out.map(|time_out| time_out.max(START));
        let job = wait(&ready, time_out)?;
        let mut processes = Self { job, hosts: Vec::new(), options, requests, mpi_thread: Some(mpi_thread) };
        let hosts = processes.gather_kind(Kind::Gather, processes.job.host.clone().into_bytes(), time_out)?;
        processes.hosts = hosts.iter().map(|host| String::from_utf8_lossy(host).into_owned()).collect();
        Ok(processes)
    }

    /// The machine of this process.
    pub fn host(&self) -> &str {
        &self.job.host
    }

    /// The machine of each process, in order of rank.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Has every panic of the program, in any of its threads, end all processes after it is printed. Without it, a panic that
    /// does not reach the thread that has `self` leaves the others waiting.
    pub fn abort_on_panic(&self) {
        self.job.abort_on_panic();
    }

    /// Asks the MPI thread for something. The answer comes from the receiver.
    fn ask<T>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<Receiver<Result<T, ProcessesError>>, ProcessesError> {
        match self.job.failure() {
            Some(error) => Err(error),
            None => {
                let (reply, answer) = bounded(1);
                // If the thread is gone, so is the reply, and waiting for it says so.
                let _ = self.requests.send(request(reply));
                Ok(answer)
            }
        }
    }

    fn gather_kind(
        &self,
        kind: Kind,
        own: Vec<u8>,
        time_out: Option<Duration>,
    ) -> Result<Vec<Vec<u8>>, ProcessesError> {
        let answer = self.ask(|reply| Request::Gather { kind, own, reply })?;
        self.job.note(wait(&answer, time_out))
    }

    /// Ends MPI together with the others, however long they take: they may still write files.
    fn leave(&mut self) -> Result<(), ProcessesError> {
        let answer = self.ask(|reply| Request::Leave { reply })?;
        wait(&answer, None)?;
        if let Some(thread) = self.mpi_thread.take() {
            // It has answered, and has nothing left to do.
            let _ = thread.join();
        }
        Ok(())
    }
}

impl Processes for MpiProcesses {
    fn n(&self) -> usize {
        self.job.n
    }

    fn rank(&self) -> usize {
        self.job.rank
    }

    fn gather_bytes(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, ProcessesError> {
        self.gather_kind(Kind::Gather, own.to_vec(), self.options.time_out)
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, ProcessesError> {
        let own = if self.is_first() { bytes } else { Vec::new() };
        Ok(self.gather_kind(Kind::Broadcast, own, self.options.time_out)?.swap_remove(0))
    }

    /// Returns at once: the values travel, and are added, on the MPI thread.
    fn start_sum(&self, values: Vec<f32>) -> Result<Summing, ProcessesError> {
        let answer = self.ask(|reply| Request::Sum { values, wire: self.options.wire, reply })?;
        let (job, time_out) = (Arc::clone(&self.job), self.options.time_out);
        Ok(Summing::new(move || job.note(wait(&answer, time_out))))
    }

    /// Tells `why`, with the number and machine of this process, and ends all processes, this one too: it does not return.
    fn abort(&self, why: &str) {
        self.job.abort(why);
    }
}

impl Drop for MpiProcesses {
    fn drop(&mut self) {
        if thread::panicking() {
            self.job.abort("panicked");
        }
        if let Err(error) = self.leave() {
            self.job.abort(&error.to_string());
        }
    }
}

impl fmt::Debug for MpiProcesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MpiProcesses")
            .field("job", &self.job)
            .field("hosts", &self.hosts)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Waits for an answer of the MPI thread.
fn wait<T>(
    answer: &Receiver<Result<T, ProcessesError>>,
    time_out: Option<Duration>,
) -> Result<T, ProcessesError> {
    let answered = match time_out {
        Some(after) => answer.recv_timeout(after).map_err(|error| match error {
            RecvTimeoutError::Timeout => ProcessesError::TimedOut { after },
            RecvTimeoutError::Disconnected => thread_is_gone(),
        }),
        None => answer.recv().map_err(|_| thread_is_gone()),
    };
    answered?
}

fn thread_is_gone() -> ProcessesError {
    ProcessesError::Carrier { library: "MPI", message: "its thread has ended".into() }
}
