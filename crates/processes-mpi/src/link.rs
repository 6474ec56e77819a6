//! Messages between this process and the others, on the MPI thread.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mpi::request::multiple_scope;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Equivalence, Source};
use processes::ProcessesError;

use crate::announcement::{self, Announcement, Kind, N_INLINE};
use crate::job::Job;

/// Which messages belong together: those of one process to another with one tag arrive in the order they were sent in.
pub(crate) mod tag {
    /// Announcements, with what travels with them.
    pub(crate) const FIRST: i32 = 1;
    /// Bytes that do not fit there.
    pub(crate) const REST: i32 = 2;
    /// Values on the way to the process that adds them.
    pub(crate) const GIVEN: i32 = 3;
    /// Sums on the way to all.
    pub(crate) const ADDED: i32 = 4;
}

/// MPI counts by `i32`, and a message of this many bytes is far from it.
const MESSAGE: usize = 64 << 20;
/// How long a wait tests without a pause. Processes that compute the same amount arrive within this of each other.
const SPIN: Duration = Duration::from_micros(100);

/// This process, and the way to the others.
pub(crate) struct Link {
    world: SimpleCommunicator,
    job: Arc<Job>,
    n_exchanges: u64,
    /// Where announcements are received, one after the other.
    firsts: Vec<u8>,
}

/// Messages that travel at the same time.
pub(crate) struct Messages<'a, T> {
    sent: Vec<(usize, i32, &'a [T])>,
    received: Vec<(usize, i32, &'a mut [T])>,
}

impl<'a, T> Messages<'a, T> {
    pub(crate) fn new() -> Self {
        Self { sent: Vec::new(), received: Vec::new() }
    }

    /// A message to process `rank`.
    pub(crate) fn send(&mut self, rank: usize, tag: i32, values: &'a [T]) {
        self.sent.push((rank, tag, values));
    }

    /// A message of process `rank`, of at most the length of `values`.
    pub(crate) fn receive(&mut self, rank: usize, tag: i32, values: &'a mut [T]) {
        self.received.push((rank, tag, values));
    }
}

impl Link {
    pub(crate) fn new(world: SimpleCommunicator, job: Arc<Job>) -> Self {
        let firsts = vec![0; job.n.saturating_sub(1) * (announcement::LEN + N_INLINE)];
        Self { world, job, n_exchanges: 0, firsts }
    }

    pub(crate) fn n(&self) -> usize {
        self.job.n
    }

    pub(crate) fn rank(&self) -> usize {
        self.job.rank
    }

    /// The other processes.
    pub(crate) fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let rank = self.rank();
        (0..self.n()).filter(move |other| *other != rank)
    }

    /// Sends and receives all messages, and calls `work` in between until it says that nothing is left to do. Gives the lengths
    /// of what was received.
    ///
    /// Does not return if the job is being aborted.
    pub(crate) fn transfer<T: Equivalence>(
        &self,
        messages: Messages<'_, T>,
        mut work: impl FnMut() -> bool,
    ) -> Vec<usize> {
        let n_received = messages.received.len();
        let mut lens = vec![0; n_received];
        multiple_scope(n_received + messages.sent.len(), |scope, requests| {
            for (rank, tag, values) in messages.received {
                let source = self.world.process_at_rank(rank as i32);
                requests.add(source.immediate_receive_into_with_tag(scope, values, tag));
            }
            for (rank, tag, values) in messages.sent {
                let destination = self.world.process_at_rank(rank as i32);
                requests.add(destination.immediate_send_with_tag(scope, values, tag));
            }
            let mut n_open = requests.incomplete();
            let mut has_work = true;
            let mut quiet_since = Instant::now();
            while n_open > 0 {
                self.end_if_asked();
                if let Some((i, status, _)) = requests.test_any() {
                    if let Some(len) = lens.get_mut(i) {
                        *len = usize::try_from(status.count(T::equivalent_datatype())).unwrap_or(0);
                    }
                    n_open -= 1;
                    quiet_since = Instant::now();
                } else if has_work {
                    has_work = work();
                    quiet_since = Instant::now();
                } else {
                    pause(quiet_since.elapsed());
                }
            }
            while has_work {
                has_work = work();
            }
        });
        lens
    }

    /// Ends all processes if one of the threads here has asked for it.
    pub(crate) fn end_if_asked(&self) {
        if self.job.is_ending() {
            self.world.abort(1);
        }
    }

    /// Tells all others what comes next, and what of it travels with that, and hears the same of them, in order of rank.
    fn announce(
        &mut self,
        kind: Kind,
        len: usize,
        inline: &[u8],
    ) -> Result<Vec<(Announcement, Vec<u8>)>, ProcessesError> {
        // An exchange that has failed has left the others in an unknown state.
        if let Some(error) = self.job.failure() {
            return Err(error);
        }
        let own = Announcement { kind, number: self.n_exchanges, len };
        self.n_exchanges += 1;
        let message = [&own.to_bytes(), inline].concat();
        let mut firsts = std::mem::take(&mut self.firsts);
        let mut messages = Messages::new();
        for (rank, first) in self.others().zip(firsts.chunks_mut(announcement::LEN + N_INLINE)) {
            messages.receive(rank, tag::FIRST, first);
            messages.send(rank, tag::FIRST, &message);
        }
        let lens = self.transfer(messages, || false);
        let mut all: Vec<_> = self
            .others()
            .zip(firsts.chunks(announcement::LEN + N_INLINE).zip(lens))
            .map(|(rank, (first, len))| {
                let first = &first[..len];
                let theirs = Announcement::from_bytes(first)
                    .filter(|theirs| theirs.n_inline() == len - announcement::LEN)
                    .ok_or_else(|| ProcessesError::Carrier {
                        library: "MPI",
                        message: format!("process {rank} sent {len} bytes that announce no exchange"),
                    })?;
                own.check(self.rank(), rank, theirs)?;
                Ok((theirs, first[announcement::LEN..].to_vec()))
            })
            .collect::<Result<_, _>>()?;
        self.firsts = firsts;
        all.insert(self.rank(), (own, Vec::new()));
        Ok(all)
    }

    /// What all processes give, in order of rank.
    pub(crate) fn gather(&mut self, kind: Kind, own: Vec<u8>) -> Result<Vec<Vec<u8>>, ProcessesError> {
        let n_inline = own.len().min(N_INLINE);
        let announced = self.announce(kind, own.len(), &own[..n_inline])?;
        let mut all: Vec<Vec<u8>> = Vec::with_capacity(self.n());
        for (announcement, mut bytes) in announced {
            bytes.resize(if all.len() == self.rank() { 0 } else { announcement.len }, 0);
            all.push(bytes);
        }
        let mut messages = Messages::new();
        for (rank, bytes) in all.iter_mut().enumerate().filter(|(_, bytes)| bytes.len() > N_INLINE) {
            for piece in bytes[N_INLINE..].chunks_mut(MESSAGE) {
                messages.receive(rank, tag::REST, piece);
            }
        }
        for rank in self.others() {
            for piece in own[n_inline..].chunks(MESSAGE) {
                messages.send(rank, tag::REST, piece);
            }
        }
        self.transfer(messages, || false);
        all[self.rank()] = own;
        Ok(all)
    }

    /// Hears that all others give as many values, and gives `inline` along.
    pub(crate) fn announce_sum(
        &mut self,
        kind: Kind,
        n_values: usize,
        inline: &[u8],
    ) -> Result<Vec<Vec<u8>>, ProcessesError> {
        Ok(self.announce(kind, n_values, inline)?.into_iter().map(|(_, inline)| inline).collect())
    }

    /// Hears that all others end, too.
    pub(crate) fn leave(&mut self) -> Result<(), ProcessesError> {
        self.announce(Kind::Leave, 0, &[]).map(drop)
    }
}

/// Lets others have the processor, the longer the longer nothing has come.
fn pause(quiet: Duration) {
    if quiet < SPIN {
        thread::yield_now();
    } else {
        thread::sleep((quiet / 8).clamp(Duration::from_micros(20), Duration::from_micros(200)));
    }
}
