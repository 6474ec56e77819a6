//! Memory that the images of all threads share while they are decoded.
//!
//! Each image has a limit of its own, which its dataset keeps; this is the one of all together, so that it does not grow with
//! the number of workers. An image that takes little never waits. One that takes much waits until others have ended, in no
//! fixed order: what is decoded is the same.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The most bytes that all images take together while they are decoded, but for small ones and for one that takes more by
/// itself.
pub const MAX_DECODING_TOGETHER_BYTES: usize = 1 << 30;

/// An image that takes no more is decoded at once: 4 million pixels in RGB.
const SMALL_BYTES: usize = 12 << 20;

thread_local! {
    /// What this thread's image takes, if there is a scope.
    static MINE: Cell<Option<Mine>> = const { Cell::new(None) };
}

#[derive(Clone, Copy, Default)]
struct Mine {
    /// Scopes inside of one another.
    depth: usize,
    /// Bytes of the file.
    file: usize,
    /// Bytes beside it.
    decoding: usize,
    /// What of both is counted in the budget.
    counted: usize,
}

/// Lasts while this thread has one image that is read, decoded or used; at its end, what was counted is free for others.
///
/// A scope within another one is part of it. A thread may have one image at a time in a scope.
#[derive(Debug)]
#[must_use = "nothing is counted without the scope"]
pub struct DecodingScope(());

impl DecodingScope {
    /// Begins one.
    pub fn begin() -> Self {
        let mine = MINE.get().unwrap_or_default();
        MINE.set(Some(Mine { depth: mine.depth + 1, ..mine }));
        Self(())
    }

    /// Counts the `n_bytes` of a file before they are read, and waits while others have too much. Without a scope nothing is
    /// counted, and nothing waits.
    pub fn count_file(n_bytes: usize) {
        count(|mine| Mine { file: mine.file.max(n_bytes), ..mine });
    }

    /// Counts the `n_bytes` that decoding takes at once beside the file, as [`count_file`](Self::count_file) does.
    pub fn count_decoding(n_bytes: usize) {
        count(|mine| Mine { decoding: mine.decoding.max(n_bytes), ..mine });
    }
}

impl Drop for DecodingScope {
    fn drop(&mut self) {
        let Some(mine) = MINE.get() else { return };
        if mine.depth > 1 {
            MINE.set(Some(Mine { depth: mine.depth - 1, ..mine }));
            return;
        }
        MINE.set(None);
        BUDGET.give_back(mine.counted);
    }
}

fn count(with: impl FnOnce(Mine) -> Mine) {
    let Some(mine) = MINE.get().map(with) else { return };
    let wanted = mine.file.saturating_add(mine.decoding);
    let mut counted = mine.counted;
    if wanted > SMALL_BYTES && wanted > counted {
        BUDGET.raise(counted, wanted);
        counted = wanted;
    }
    MINE.set(Some(Mine { counted, ..mine }));
}

static BUDGET: Budget = Budget::new();

struct Budget {
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    n_taken: usize,
    /// Threads that have some.
    n_having: usize,
    /// Those of them that wait for more.
    n_stuck: usize,
}

impl Budget {
    const fn new() -> Self {
        Self { state: Mutex::new(State { n_taken: 0, n_having: 0, n_stuck: 0 }), freed: Condvar::new() }
    }

    /// What a thread has goes from `from` to `to` bytes, as soon as there is room.
    ///
    /// Where all that have some wait for more, one of them goes on with more than there is: else none ever would.
    fn raise(&self, from: usize, to: usize) {
        let has_some = from > 0;
        let mut state = self.lock();
        if has_some {
            state.n_stuck += 1;
            if state.n_stuck == state.n_having {
                // One that waits already may go on in the place of this one.
                self.freed.notify_all();
            }
        }
        let has_room = |state: &State| {
            let fits = state.n_taken.saturating_add(to - from) <= MAX_DECODING_TOGETHER_BYTES;
            fits || if has_some { state.n_stuck == state.n_having } else { state.n_having == 0 }
        };
        while !has_room(&state) {
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match has_some {
            true => state.n_stuck -= 1,
            false => state.n_having += 1,
        }
        state.n_taken = state.n_taken.saturating_add(to - from);
    }

    fn give_back(&self, n: usize) {
        if n == 0 {
            return;
        }
        let mut state = self.lock();
        state.n_taken -= n;
        state.n_having -= 1;
        drop(state);
        self.freed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The numbers are right between calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};
    use std::time::Duration;

    use super::*;

    fn in_threads(n: usize, work: impl Fn() + Send + Sync + 'static) {
        let work = Arc::new(work);
        let threads: Vec<_> =
            (0..n).map(|_| Arc::clone(&work)).map(|work| std::thread::spawn(move || work())).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn no_more_is_taken_together_than_there_is() {
        const EACH: usize = MAX_DECODING_TOGETHER_BYTES / 3;
        let shared = Arc::new((Budget::new(), AtomicUsize::new(0), AtomicUsize::new(0)));
        let of_threads = Arc::clone(&shared);
        in_threads(8, move || {
            let (budget, now, most) = &*of_threads;
            for _ in 0..20 {
                budget.raise(0, EACH);
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_micros(300));
                now.fetch_sub(1, Ordering::SeqCst);
                budget.give_back(EACH);
            }
        });
        let most = shared.2.load(Ordering::SeqCst);
        assert!((1..=3).contains(&most), "{most}");
        let state = shared.0.lock();
        assert_eq!((state.n_taken, state.n_having, state.n_stuck), (0, 0, 0));
    }

    #[test]
    fn threads_that_all_want_more_go_on_one_after_the_other() {
        const FIRST: usize = MAX_DECODING_TOGETHER_BYTES / 4;
        let shared = Arc::new((Budget::new(), Barrier::new(4)));
        let of_threads = Arc::clone(&shared);
        in_threads(4, move || {
            let (budget, all_have_some) = &*of_threads;
            budget.raise(0, FIRST);
            all_have_some.wait();
            budget.raise(FIRST, 2 * FIRST);
            std::thread::sleep(Duration::from_millis(1));
            budget.give_back(2 * FIRST);
        });
        assert_eq!(shared.0.lock().n_taken, 0);
    }

    #[test]
    fn one_image_that_takes_more_than_there_is_goes_on_alone() {
        let budget = Budget::new();
        budget.raise(0, 2 * MAX_DECODING_TOGETHER_BYTES);
        budget.give_back(2 * MAX_DECODING_TOGETHER_BYTES);
        assert_eq!(budget.lock().n_having, 0);
    }

    #[test]
    fn small_images_are_not_counted_and_the_outermost_scope_gives_back() {
        let counted = || MINE.get().map_or(0, |mine| mine.counted);
        DecodingScope::count_file(MAX_DECODING_TOGETHER_BYTES);
        assert_eq!(counted(), 0, "outside of a scope");
        {
            let _scope = DecodingScope::begin();
            DecodingScope::count_file(1 << 20);
            DecodingScope::count_decoding(2 << 20);
            assert_eq!(counted(), 0);
            {
                let _inner = DecodingScope::begin();
                DecodingScope::count_decoding(40 << 20);
                assert_eq!(counted(), 41 << 20);
            }
            assert_eq!(counted(), 41 << 20, "until the outer one ends");
        }
        assert_eq!(counted(), 0);
    }
}
