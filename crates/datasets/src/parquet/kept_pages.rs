//! The pages that were read last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parquet::data_type::ByteArray;

/// Bytes of pages that are kept; the last one is kept whatever it has.
const KEPT_BYTES: usize = 128 << 20;

/// The files of a page; `None` for rows without one.
pub(super) type Files = Arc<[Option<ByteArray>]>;

/// Pages of the files of one dataset, which share the memory.
#[derive(Default)]
pub(super) struct KeptPages {
    /// The one that was wanted last comes first.
    pages: Mutex<VecDeque<KeptPage>>,
}

struct KeptPage {
    file: usize,
    page: usize,
    n_bytes: usize,
    /// Filled by the thread that wants it first, while others who want it wait.
    files: Arc<Mutex<Option<Files>>>,
}

impl KeptPages {
    /// Page `page` of file `file`, if it is kept.
    pub(super) fn kept(&self, file: usize, page: usize) -> Option<Files> {
        let pages = unpoisoned(&self.pages);
        let kept = pages.iter().find(|kept| (kept.file, kept.page) == (file, page))?;
        let place = Arc::clone(&kept.files);
        drop(pages);
        // One that is read just now is waited for by `get`.
        place.try_lock().ok()?.clone()
    }

    /// Page `page` of file `file`, which has `n_bytes`, from those that are kept or by `read`. `read` must wait for nothing that
    /// another one who wants the page may have.
    ///
    /// # Errors
    /// That of `read`. It is called again for the next one who wants the page.
    pub(super) fn get(
        &self,
        file: usize,
        page: usize,
        n_bytes: usize,
        read: impl FnOnce() -> Result<Files, String>,
    ) -> Result<Files, String> {
        let place = self.place(file, page, n_bytes);
        let mut files = unpoisoned(&place);
        match &*files {
            Some(files) => Ok(Arc::clone(files)),
            None => Ok(Arc::clone(files.insert(read()?))),
        }
    }

    /// The place of a page, which is moved to the front. What is too much then goes.
    fn place(&self, file: usize, page: usize, n_bytes: usize) -> Arc<Mutex<Option<Files>>> {
        let mut pages = unpoisoned(&self.pages);
        let found = pages.iter().position(|kept| (kept.file, kept.page) == (file, page));
        let kept = found.and_then(|at| pages.remove(at)).unwrap_or_else(|| KeptPage {
            file,
            page,
            n_bytes,
            files: Arc::default(),
        });
        let place = Arc::clone(&kept.files);
        pages.push_front(kept);
        let mut n_kept = 0;
        let n = pages.iter().take_while(|kept| {
            n_kept += kept.n_bytes;
            n_kept <= KEPT_BYTES
        });
        let n = n.count().max(1);
        pages.truncate(n);
        place
    }
}

/// A reader that failed has left nothing half done.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_once_until_others_take_its_place() {
        let kept = KeptPages::default();
        let mut n_read = 0;
        let mut get = |page, n_bytes| {
            let read = || {
                n_read += 1;
                Ok(Files::from(vec![None; page]))
            };
            assert_eq!(kept.get(0, page, n_bytes, read).unwrap().len(), page);
            n_read
        };
        assert_eq!([get(1, KEPT_BYTES / 2), get(2, KEPT_BYTES / 2), get(1, KEPT_BYTES / 2)], [1, 2, 2]);
        // The third needs room, and page 2 was wanted longest ago.
        assert_eq!([get(3, 1), get(1, KEPT_BYTES / 2), get(2, KEPT_BYTES / 2)], [3, 3, 4]);
        assert_eq!([get(4, 2 * KEPT_BYTES), get(4, 2 * KEPT_BYTES), get(1, 1)], [5, 5, 6]);
        assert_eq!(kept.get(0, 9, 1, || Err("damaged".into())).err(), Some("damaged".into()));
        assert!(kept.get(0, 9, 1, || Ok(Files::from(vec![]))).is_ok());
    }
}
