//! Several processes in the threads of one program.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::{Processes, ProcessesError, Summing, sum_in_order};

/// Makes groups of "processes" that are threads of one program: for tests, and for what drives several devices.
#[derive(Debug)]
pub struct ThreadGroup;

/// One of the threads of a [`ThreadGroup`].
///
/// One that is dropped has left: what the others exchange after it fails.
#[derive(Debug)]
pub struct ThreadProcess {
    rank: usize,
    n: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What has been given for the exchange under way, by rank.
    given: Vec<Option<Given>>,
    /// The last exchange that all have given something for, and how many have still to take it.
    done: Arc<Vec<Given>>,
    n_to_take: usize,
    /// Who ended it, and why.
    ended: Option<(usize, Option<String>)>,
}

#[derive(Clone, Debug)]
enum Given {
    Bytes(Vec<u8>),
    Values(Vec<f32>),
}

impl ThreadGroup {
    /// The `n` processes of a group, in order of rank.
    pub fn of(n: usize) -> Vec<ThreadProcess> {
        let state = State { given: vec![None; n], ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), ..Shared::default() });
        (0..n).map(|rank| ThreadProcess { rank, n, shared: Arc::clone(&shared) }).collect()
    }
}

impl ThreadProcess {
    /// Gives something, and waits for what all have given.
    fn exchange(&self, own: Given) -> Result<Arc<Vec<Given>>, ProcessesError> {
        let mut state = self.state();
        // Others may not have taken the last exchange yet.
        while state.n_to_take > 0 && state.ended.is_none() {
            state = self.wait(state);
        }
        state.check()?;
        state.given[self.rank] = Some(own);
        if state.given.iter().all(Option::is_some) {
            state.done = Arc::new(state.given.iter_mut().filter_map(Option::take).collect());
            state.n_to_take = self.n;
            self.shared.changed.notify_all();
        } else {
            while state.n_to_take == 0 {
                state.check()?;
                state = self.wait(state);
            }
        }
        state.n_to_take -= 1;
        let done = match state.n_to_take {
            0 => mem::take(&mut state.done),
            _ => Arc::clone(&state.done),
        };
        drop(state);
        self.shared.changed.notify_all();
        Ok(done)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.shared.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn end(&self, why: Option<String>) {
        self.state().ended.get_or_insert((self.rank, why));
        self.shared.changed.notify_all();
    }
}

impl State {
    fn check(&self) -> Result<(), ProcessesError> {
        match &self.ended {
            None => Ok(()),
            Some((rank, why)) => Err(ProcessesError::Ended { rank: *rank, why: why.clone() }),
        }
    }
}

impl Drop for ThreadProcess {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl Processes for ThreadProcess {
    fn n(&self) -> usize {
        self.n
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn gather_bytes(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, ProcessesError> {
        let all = self.exchange(Given::Bytes(own.to_vec()))?;
        all.iter()
            .enumerate()
            .map(|(rank, given)| match given {
                Given::Bytes(bytes) => Ok(bytes.clone()),
                Given::Values(values) => Err(self.out_of_step("bytes", rank, values.len())),
            })
            .collect()
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, ProcessesError> {
        let own = if self.rank == 0 { bytes } else { Vec::new() };
        Ok(self.gather_bytes(&own)?.swap_remove(0))
    }

    fn start_sum(&self, values: Vec<f32>) -> Result<Summing, ProcessesError> {
        let len = values.len();
        let all = self.exchange(Given::Values(values))?;
        let of_ranks = all.iter().enumerate().map(|(rank, given)| match given {
            Given::Values(values) if values.len() == len => Ok(values.clone()),
            Given::Values(values) => Err(self.out_of_step(&format!("{len} values"), rank, values.len())),
            Given::Bytes(_) => Err(self.out_of_step(&format!("{len} values"), rank, 0)),
        });
        let mut of_ranks: Vec<Vec<f32>> = of_ranks.collect::<Result<_, _>>()?;
        sum_in_order(&mut of_ranks);
        Ok(Summing::done(of_ranks.swap_remove(0)))
    }

    /// What the others exchange from now on fails with `why`.
    fn abort(&self, why: &str) {
        self.end(Some(why.to_owned()));
    }
}

impl ThreadProcess {
    fn out_of_step(&self, own: &str, rank: usize, n_values: usize) -> ProcessesError {
        let theirs = match n_values {
            0 => "bytes".into(),
            n => format!("{n} values"),
        };
        ProcessesError::OutOfStep { own_rank: self.rank, own: own.into(), rank, theirs }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// What each of `n` processes makes of `work`, in order of rank.
    fn run<R: Send>(n: usize, work: impl Fn(ThreadProcess) -> R + Sync) -> Vec<R> {
        thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> =
                ThreadGroup::of(n).into_iter().map(|process| scope.spawn(move || work(process))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn every_process_gets_what_all_have_given() {
        let gathered = run(3, |process| {
            let mut all = Vec::new();
            for round in 0..50 {
                let own = vec![process.rank() as f32 + 10.0 * round as f32; process.rank() + 1];
                all.extend(process.gather(&own).unwrap());
                all.extend(process.sum(vec![process.rank() as f32; 2]).unwrap());
            }
            (all, process.broadcast(vec![process.rank() as u8 + 7]).unwrap())
        });
        assert_eq!(gathered[0].0[..8], [0.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0]);
        assert_eq!(gathered[0].1, [7]);
        assert!(gathered.iter().all(|of_rank| *of_rank == gathered[0]));
        assert_eq!(run(2, |process| process.any(process.rank() == 1).unwrap()), [true, true]);
        assert_eq!(run(2, |process| process.any(false).unwrap()), [false, false]);
    }

    #[test]
    fn one_that_ends_ends_the_others() {
        let errors = run(3, |process| match process.rank() {
            1 => {
                process.abort("no room");
                None
            }
            _ => process.gather(&[1.0]).err(),
        });
        let ended = ProcessesError::Ended { rank: 1, why: Some("no room".into()) };
        assert_eq!(errors, [Some(ended.clone()), None, Some(ended)]);
    }

    #[test]
    fn a_thread_that_is_gone_is_an_error_and_not_a_hang() {
        let errors = run(2, |process| match process.rank() {
            0 => process.sum(vec![1.0]).err(),
            _ => None,
        });
        assert_eq!(errors[0], Some(ProcessesError::Ended { rank: 1, why: None }));
    }

    #[test]
    fn processes_out_of_step_are_told() {
        let errors = run(2, |process| process.sum(vec![1.0; 1 + process.rank()]).unwrap_err());
        assert!(matches!(&errors[0], ProcessesError::OutOfStep { rank: 1, .. }), "{errors:?}");
        let errors = run(2, |process| match process.rank() {
            0 => process.sum(vec![1.0]).map(drop).unwrap_err(),
            _ => process.gather_bytes(&[1]).map(drop).unwrap_err(),
        });
        assert_eq!(errors[0].to_string(), "process 1 exchanges bytes where process 0 exchanges 1 values");
    }
}
