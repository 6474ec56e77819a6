//! The image files below a folder, searched by several threads at once.

use std::fs;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use plugin_api::DatasetError;

use super::endings::{ending_of, is_image};
use super::entries::{Entries, SEPARATOR, file_name};
use super::names::{bytes_of, path_of, shown};
use super::own_files::{NAMES_OF_RUNS, has_runs, is_run_folder, own_pictures};
use super::passed_over::{PassedOver, Reason};
use super::patterns::Patterns;
use crate::places::error;

/// Threads that list. More than there are cores, since a network drive answers late.
const N_THREADS: usize = 8;

/// What is below a folder.
#[derive(Default)]
pub(crate) struct Walked {
    /// Image files, sorted by path.
    pub(crate) entries: Entries,
    /// The names of the folders directly in it, sorted.
    pub(crate) top_folders: Vec<Vec<u8>>,
    /// Those that are runs.
    run_folders: Vec<Vec<u8>>,
    pub(crate) passed: PassedOver,
}

/// What is directly in a folder, but for what is hidden or this program's own, sorted.
pub(crate) struct Top {
    pub(crate) folders: Vec<Vec<u8>>,
    pub(crate) images: Vec<Vec<u8>>,
}

/// A folder on the way down.
struct Folder {
    /// Below the root, with a separator at its end; empty for the root.
    relative: Vec<u8>,
    place: Arc<Place>,
}

/// Where a folder really is, and the folders above it.
struct Place {
    real: PathBuf,
    above: Option<Arc<Place>>,
    /// Whether a link led here.
    is_behind_link: bool,
}

impl Place {
    /// Whether `real` is this folder, or one that the walk has passed on the way to it.
    fn is_below(&self, real: &Path) -> bool {
        let mut place = Some(self);
        while let Some(here) = place {
            if here.real == real {
                return true;
            }
            place = here.above.as_deref();
        }
        false
    }
}

/// Folders that wait, and threads at work: the walk ends when there are neither.
struct Queue {
    state: Mutex<(Vec<Folder>, usize)>,
    changed: Condvar,
}

/// The image files below `root`, but for those that `patterns` leave out. No file is opened but for PNG files, which may be
/// pictures that this program drew; of very many, those with usual names.
///
/// # Errors
/// If `root` itself cannot be listed. What cannot be listed below it is counted.
pub(crate) fn walk(root: &Path, patterns: &Patterns) -> Result<Walked, DatasetError> {
    let real = fs::canonicalize(root).map_err(|failure| cannot_list(root, &failure))?;
    fs::read_dir(root).map_err(|failure| cannot_list(root, &failure))?;
    let place = Arc::new(Place { real, above: None, is_behind_link: false });
    let queue = Queue {
        state: Mutex::new((vec![Folder { relative: Vec::new(), place }], 0)),
        changed: Condvar::new(),
    };
    let parts: Vec<Walked> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..N_THREADS).map(|_| scope.spawn(|| Walker { root, patterns, queue: &queue }.run())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let (mut all, mut sorted) = (Walked::default(), Vec::new());
    for part in parts {
        sorted.push(part.entries);
        all.top_folders.extend(part.top_folders);
        all.run_folders.extend(part.run_folders);
        all.passed.append(part.passed);
    }
    all.top_folders.retain(|folder| !all.run_folders.contains(folder));
    all.entries = leave_out_own_pictures(root, Entries::merged(sorted), &mut all.passed);
    all.top_folders.sort_unstable();
    Ok(all)
}

/// What is directly in `root`, as [`walk`] sees it.
///
/// # Errors
/// If it cannot be listed.
pub(crate) fn walk_top(root: &Path, patterns: &Patterns) -> Result<Top, DatasetError> {
    fs::read_dir(root).map_err(|failure| cannot_list(root, &failure))?;
    let mut listed = list(root, b"", patterns);
    let images =
        leave_out_own_pictures(root, std::mem::take(&mut listed.images).sorted(), &mut listed.passed);
    let mut folders = listed.top_folders();
    folders.retain(|folder| !has_runs(&root.join(path_of(folder))));
    folders.sort_unstable();
    Ok(Top { folders, images: images.paths().map(<[u8]>::to_vec).collect() })
}

/// `images`, whose paths are below `root` and sorted, without those that this program drew.
fn leave_out_own_pictures(root: &Path, images: Entries, passed: &mut PassedOver) -> Entries {
    let file = |index: usize| root.join(path_of(images.path(index)));
    let own = own_pictures(
        &images,
        |_| false,
        |index, n_bytes| regular_files::beginning(&file(index), n_bytes).unwrap_or_default(),
    );
    own.iter().for_each(|&index| passed.add(Reason::OwnPicture, images.path(index)));
    if own.is_empty() { images } else { images.without(&own) }
}

fn cannot_list(root: &Path, failure: &io::Error) -> DatasetError {
    error(root, format!("it cannot be listed: {failure}"), "check that the folder can be read")
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, (Vec<Folder>, usize)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next folder; `None` at the end of the walk. `is_at_work` says whether the caller had one before.
    fn next(&self, is_at_work: bool) -> Option<Folder> {
        let mut state = self.lock();
        state.1 -= usize::from(is_at_work);
        loop {
            if let Some(folder) = state.0.pop() {
                state.1 += 1;
                return Some(folder);
            }
            if state.1 == 0 {
                self.changed.notify_all();
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn add(&self, folders: Vec<Folder>) {
        if !folders.is_empty() {
            self.lock().0.extend(folders);
            self.changed.notify_all();
        }
    }
}

struct Walker<'a> {
    root: &'a Path,
    patterns: &'a Patterns,
    queue: &'a Queue,
}

/// What is directly in a folder.
#[derive(Default)]
struct Listed {
    /// Names by which the folder of a run is known.
    of_runs: Vec<&'static str>,
    is_run: bool,
    images: Entries,
    folders: Vec<Vec<u8>>,
    links: Vec<(Vec<u8>, PathBuf)>,
    passed: PassedOver,
}

impl Walker<'_> {
    fn run(&self) -> Walked {
        let mut found = Walked::default();
        let mut is_at_work = false;
        while let Some(folder) = self.queue.next(is_at_work) {
            is_at_work = true;
            self.visit(&folder, &mut found);
        }
        found.entries = found.entries.sorted();
        found
    }

    fn visit(&self, folder: &Folder, found: &mut Walked) {
        let is_root = folder.relative.is_empty();
        let path = self.root.join(path_of(&folder.relative));
        let mut listed = list(&path, &folder.relative, self.patterns);
        if !is_root && (listed.is_run || path.ends_with("runs") && has_runs(&path)) {
            let path = &folder.relative[..folder.relative.len() - 1];
            found.passed.add(Reason::RunFolder, path);
            found.run_folders.push(path.to_vec());
            return;
        }
        if is_root {
            found.top_folders = listed.top_folders();
        }
        found.entries.append(&listed.images);
        found.passed.append(std::mem::take(&mut listed.passed));
        self.queue.add(self.folders_below(folder, listed, found));
    }

    fn folders_below(&self, folder: &Folder, listed: Listed, found: &mut Walked) -> Vec<Folder> {
        let relative = |name: &[u8]| [&folder.relative[..], name, &[SEPARATOR]].concat();
        let mut below = Vec::with_capacity(listed.folders.len() + listed.links.len());
        let is_behind_link = folder.place.is_behind_link;
        let folders = listed.folders.into_iter().map(|name| {
            let real = folder.place.real.join(path_of(&name));
            (name, real, is_behind_link)
        });
        for (name, real, is_behind_link) in
            folders.chain(listed.links.into_iter().map(|(name, real)| (name, real, true)))
        {
            // Without links on the way there is no way back up.
            if is_behind_link && folder.place.is_below(&real) {
                let path = relative(&name);
                found.passed.add(Reason::Loop, &path[..path.len() - 1]);
                continue;
            }
            let place = Place { real, above: Some(Arc::clone(&folder.place)), is_behind_link };
            below.push(Folder { relative: relative(&name), place: Arc::new(place) });
        }
        below
    }
}

/// What is directly in the folder at `path`, whose paths start with `relative`.
fn list(path: &Path, relative: &[u8], patterns: &Patterns) -> Listed {
    let mut listed = Listed::default();
    match fs::read_dir(path) {
        Ok(entries) => entries.for_each(|entry| match entry {
            Ok(entry) => listed.take(relative, &entry, patterns),
            Err(failure) => listed.unlistable(relative, &failure),
        }),
        Err(failure) => listed.unlistable(relative, &failure),
    }
    listed.is_run = is_run_folder(|name| listed.of_runs.contains(&name));
    listed
}

impl Listed {
    fn unlistable(&mut self, path: &[u8], failure: &io::Error) {
        let path = path.strip_suffix(&[SEPARATOR]).unwrap_or(path);
        let name = if path.is_empty() { ".".into() } else { shown(path) };
        self.passed.add_text(Reason::Unlistable, format!("{name} ({failure})"));
    }

    /// Sorts `entry` into this. Its kind is known from the listing of the folder; only links are looked up.
    fn take(&mut self, relative: &[u8], entry: &fs::DirEntry, patterns: &Patterns) {
        let file_name = entry.file_name();
        let Some(name) = bytes_of(&file_name) else {
            let name = format!("{}{}", shown(relative), file_name.to_string_lossy());
            return self.passed.add_text(Reason::Unnameable, name);
        };
        if let Some(known) = NAMES_OF_RUNS.iter().find(|known| known.as_bytes() == name) {
            self.of_runs.push(known);
        }
        let path = || [relative, name].concat();
        let mut kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(failure) => return self.unlistable(&path(), &failure),
        };
        let is_link = kind.is_symlink();
        if is_link {
            match fs::metadata(entry.path()) {
                Ok(there) => kind = there.file_type(),
                // As a file that a list names and that is not there: an image that cannot be read.
                Err(_) if is_image(name) && !is_hidden(name) => {}
                Err(_) => return self.passed.add(Reason::DeadLink, &path()),
            }
        }
        if is_hidden(name) {
            if kind.is_dir() || is_image(name) {
                self.passed.add(Reason::Hidden, &path());
            }
        } else if patterns.excludes(&path(), kind.is_dir() || is_image(name)) {
            self.passed.add(Reason::Excluded, &path());
        } else if kind.is_dir() {
            match is_link.then(|| fs::canonicalize(entry.path())) {
                None => self.folders.push(name.to_vec()),
                Some(Ok(real)) => self.links.push((name.to_vec(), real)),
                Some(Err(failure)) => self.unlistable(&path(), &failure),
            }
        } else if is_archive(name) {
            self.passed.add(Reason::Archive, &path());
        } else if !is_image(name) {
            self.passed.add_file(name);
        } else if kind.is_file() || kind.is_symlink() {
            self.images.push(&[relative, name], 0);
        } else {
            self.passed.add(Reason::NoFile, &path());
        }
    }

    /// The folders in it, also those that links lead to.
    fn top_folders(&self) -> Vec<Vec<u8>> {
        self.folders.iter().chain(self.links.iter().map(|(name, _)| name)).cloned().collect()
    }
}

/// Thumbnails, indexes and the like.
pub(crate) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") || name == b"__MACOSX"
}

/// Whether a file of this name is an archive of files.
pub(crate) fn is_archive(path: &[u8]) -> bool {
    matches!(ending_of(file_name(path)).as_str(), "zip" | "tar")
}
