//! The worker threads, and the batches that they fill.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};

use crate::{LimitCheck, LoaderError, UnreadableLog};
use plugin_api::{ByteImage, DecodingScope, FloatImage, Images, Rng, UnreadableImage, ViewTransform};

/// Random replacements to try before all images are tried in order.
const N_DRAWS: u64 = 32;

/// Images to try in place of one. Where so many in a row cannot be read, a search has no end in sight.
const MOST_TRIES: usize = 4096;

/// One view of each image of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The view's name in the pipeline.
    pub name: String,
    /// `(H, W)` in pixels.
    pub size: (usize, usize),
    /// `C`: 3 for RGB.
    pub channels: usize,
    /// `(N, H, W, C)` values.
    pub values: Vec<f32>,
}

/// What the workers need to know.
pub(crate) struct Work {
    pub(crate) images: Arc<dyn Images>,
    pub(crate) views: Vec<(String, Arc<ViewTransform>)>,
    pub(crate) seed: u64,
    pub(crate) unreadable: Arc<UnreadableLog>,
    pub(crate) on_unreadable: OnUnreadable,
}

/// What to do with an image that cannot be decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnUnreadable {
    /// Replace it by another image, drawn from seed, epoch, image and attempt.
    Replace(LimitCheck),
    /// Leave it out.
    LeaveOut,
}

/// A batch, or a part of one, to load.
pub(crate) struct Order {
    pub(crate) epoch: u64,
    pub(crate) step: u64,
    pub(crate) images: Vec<usize>,
    /// The views to make, by index into [`Work::views`].
    pub(crate) views: Arc<[usize]>,
}

/// An index, and why its image cannot be read.
pub(crate) type Unreadable = (usize, UnreadableImage);

/// A loaded batch.
pub(crate) struct LoadedBatch {
    pub(crate) epoch: u64,
    pub(crate) step: u64,
    /// The image in each place; `None` if it was left out.
    pub(crate) images: Vec<Option<usize>>,
    /// Empty if every image was left out.
    pub(crate) views: Vec<View>,
    /// What could not be read for each place, in the order in which it was tried.
    pub(crate) unreadable: Vec<Vec<Unreadable>>,
}

/// Worker threads. Memory is bounded by the batches that were ordered and not yet taken.
///
/// The unit of work is one image, so that all workers fill the batch that is needed next.
pub(crate) struct Workers {
    /// `None` once the workers have been dismissed.
    tasks: Option<Sender<Task>>,
    ordered: VecDeque<Receiver<Result<LoadedBatch, LoaderError>>>,
    /// The oldest ordered batch, once it has been peeked at.
    seen: Option<Result<LoadedBatch, LoaderError>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    unreadable: Arc<UnreadableLog>,
    on_unreadable: OnUnreadable,
}

impl Workers {
    pub(crate) fn start(work: Work, n_workers: usize) -> Result<Self, LoaderError> {
        let (sender, receiver) = unbounded::<Task>();
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = Self {
            tasks: Some(sender),
            ordered: VecDeque::new(),
            seen: None,
            stop: Arc::clone(&stop),
            threads: Vec::new(),
            unreadable: Arc::clone(&work.unreadable),
            on_unreadable: work.on_unreadable,
        };
        let work = Arc::new(work);
        for i in 0..n_workers.max(1) {
            let (work, tasks, stop) = (Arc::clone(&work), receiver.clone(), Arc::clone(&stop));
            let run = move || {
                for task in tasks {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    task.run(&work);
                }
            };
            let thread = std::thread::Builder::new().name(format!("loader-{i}")).spawn(run);
            workers.threads.push(thread.map_err(|error| LoaderError::Thread { message: error.to_string() })?);
        }
        Ok(workers)
    }

    /// The number of batches ordered and not yet taken.
    pub(crate) fn n_ordered(&self) -> usize {
        self.ordered.len() + usize::from(self.seen.is_some())
    }

    pub(crate) fn order(&mut self, order: Order) {
        let (finished, receiver) = bounded(1);
        let n = order.images.len();
        let filled = LoadedBatch {
            epoch: order.epoch,
            step: order.step,
            images: vec![None; n],
            views: Vec::new(),
            unreadable: vec![Vec::new(); n],
        };
        let batch = Arc::new(Unfinished {
            epoch: order.epoch,
            images: order.images,
            views: order.views,
            progress: Mutex::new(Some(Progress { filled, n_left: n })),
            finished,
        });
        if let Some(tasks) = &self.tasks {
            for place in 0..n {
                // This fails if no worker is left: then the batch is dropped, which `take` reports.
                let _ = tasks.send(Task { batch: Arc::clone(&batch), place });
            }
        }
        self.ordered.push_back(receiver);
    }

    /// Counts what could not be read for a batch. Batches are counted when they are taken, so the count does not depend
    /// on the speed of the workers.
    fn count(&self, filled: &mut LoadedBatch) -> Result<(), LoaderError> {
        for (index, image) in filled.unreadable.drain(..).flatten() {
            self.unreadable.record(index, image);
        }
        let is_whole = filled.images.iter().all(Option::is_some);
        match self.on_unreadable {
            OnUnreadable::Replace(LimitCheck::ByCaller) if is_whole => Ok(()),
            _ => self.unreadable.check(),
        }
    }

    /// Peeks at the oldest ordered batch if it is complete: [`take`](Self::take) still returns and counts it.
    pub(crate) fn look(&mut self) -> Option<&LoadedBatch> {
        if self.seen.is_none() {
            self.seen = Some(self.ordered.front()?.try_recv().ok()?);
            self.ordered.pop_front();
        }
        self.seen.as_ref()?.as_ref().ok()
    }

    /// Takes the oldest ordered batch, waiting until it is complete; `None` if none is ordered.
    pub(crate) fn take(&mut self) -> Option<Result<LoadedBatch, LoaderError>> {
        let filled = match self.seen.take() {
            Some(seen) => seen,
            None => self.ordered.pop_front()?.recv().unwrap_or_else(|_| {
                Err(LoaderError::Panicked {
                    image: "a batch".into(),
                    message: "the data loader workers have ended".into(),
                })
            }),
        };
        Some(filled.and_then(|mut filled| {
            self.count(&mut filled)?;
            Ok(filled)
        }))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks = None;
        for thread in self.threads.drain(..) {
            // A worker's panic was caught and reported with its batch.
            let _ = thread.join();
        }
    }
}

/// One image of one batch.
struct Task {
    batch: Arc<Unfinished>,
    place: usize,
}

impl Task {
    fn run(self, work: &Work) {
        let batch = &self.batch;
        if batch.is_over() {
            return;
        }
        let image_idx = batch.images[self.place];
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let made = work.make(batch.epoch, image_idx, &batch.views)?;
            batch.put(self.place, made, work)
        }));
        let outcome = outcome.unwrap_or_else(|panic| {
            // The name comes from the same plugin that has just panicked.
            let image = catch_unwind(AssertUnwindSafe(|| work.images.name(image_idx)))
                .unwrap_or_else(|_| format!("image {image_idx}"));
            Err(LoaderError::Panicked { image, message: message_of(&*panic) })
        });
        if let Err(error) = outcome {
            batch.fail(error);
        }
    }
}

/// The result for one place of a batch.
struct LoadedImage {
    /// The image that was used, and its views; `None` if there is none.
    image: Option<(usize, Vec<FloatImage>)>,
    /// What was tried before.
    unreadable: Vec<Unreadable>,
}

impl Work {
    /// The views of an image, or of its replacement.
    fn make(&self, epoch: u64, image_idx: usize, views: &[usize]) -> Result<LoadedImage, LoaderError> {
        // The memory of a large image counts until its views are made.
        let _scope = DecodingScope::begin();
        let mut unreadable = Vec::new();
        let Some((used, image)) = self.load(epoch, image_idx, &mut unreadable)? else {
            return Ok(LoadedImage { image: None, unreadable });
        };
        // A replacement is augmented with the draws of the image that it replaces. If it also appears by itself in the
        // same batch, the two differ.
        let key = image_idx as u64;
        let mut image = Some(image);
        let last = views.len().saturating_sub(1);
        let mut made = Vec::with_capacity(views.len());
        for (i, &view) in views.iter().enumerate() {
            let (name, transform) = &self.views[view];
            let image = if i == last { image.take() } else { image.clone() };
            let image = image.expect("the image is taken by the last view");
            let view = transform.apply_checked(image, self.seed, epoch, key, name);
            made.push(view.map_err(|wrong| LoaderError::Declared {
                view: name.clone(),
                image: self.images.name(used),
                wrong: Box::new(wrong),
            })?);
        }
        Ok(LoadedImage { image: Some((used, made)), unreadable })
    }

    /// The image, or a replacement; `None` if it is left out, or if more images are unreadable than any run allows.
    fn load(
        &self,
        epoch: u64,
        image_idx: usize,
        unreadable: &mut Vec<Unreadable>,
    ) -> Result<Option<(usize, ByteImage)>, LoaderError> {
        let n = self.images.len();
        let drawn = (0..N_DRAWS).map(|attempt| {
            let key = [epoch, image_idx as u64, attempt];
            Rng::new(self.seed, "replacement of an unreadable image", &key).below(n)
        });
        let in_turn = (1..n).map(|offset| (image_idx + offset) % n);
        let candidates = std::iter::once(image_idx).chain(drawn).chain(in_turn);
        let mut tried = HashSet::new();
        for candidate in candidates.take(MOST_TRIES) {
            match self.images.load(candidate) {
                Ok(image) => return Ok(Some((candidate, image))),
                // Draws repeat.
                Err(error) if tried.insert(candidate) => unreadable.push((candidate, error)),
                Err(_) => {}
            }
            if self.on_unreadable == OnUnreadable::LeaveOut || tried.len() > self.unreadable.n_allowed() {
                return Ok(None);
            }
        }
        match unreadable.last() {
            Some((_, last)) if n > MOST_TRIES => {
                Err(LoaderError::NoneFound { n_tried: MOST_TRIES, last: last.clone() })
            }
            _ => Err(LoaderError::NoneReadable { n_images: n }),
        }
    }
}

/// A batch that workers are filling.
struct Unfinished {
    epoch: u64,
    images: Vec<usize>,
    views: Arc<[usize]>,
    /// `None` once the batch has been sent or has failed.
    progress: Mutex<Option<Progress>>,
    finished: Sender<Result<LoadedBatch, LoaderError>>,
}

struct Progress {
    filled: LoadedBatch,
    n_left: usize,
}

impl Unfinished {
    fn is_over(&self) -> bool {
        self.progress().is_none()
    }

    fn put(&self, place: usize, made: LoadedImage, work: &Work) -> Result<(), LoaderError> {
        let mut guard = self.progress();
        let Some(progress) = guard.as_mut() else { return Ok(()) };
        progress.filled.unreadable[place] = made.unreadable;
        if let Some((used, images)) = made.image {
            let filled = &mut progress.filled;
            if filled.views.is_empty() {
                let names = self.views.iter().map(|&view| &work.views[view].0);
                filled.views = empty_views(self.images.len(), names, &images);
            }
            for (view, image) in filled.views.iter_mut().zip(&images) {
                copy_into(view, place, image, || work.images.name(used))?;
            }
            filled.images[place] = Some(used);
        }
        progress.n_left -= 1;
        if progress.n_left == 0
            && let Some(Progress { filled, .. }) = guard.take()
        {
            // This fails only if the loader is gone.
            let _ = self.finished.try_send(Ok(filled));
        }
        Ok(())
    }

    fn fail(&self, error: LoaderError) {
        *self.progress() = None;
        // This fails if the loader is gone, or if another image of the batch has failed before.
        let _ = self.finished.try_send(Err(error));
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Option<Progress>> {
        // After a panic, the batch has failed, and its contents are dropped.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn empty_views<'a>(n: usize, names: impl Iterator<Item = &'a String>, images: &[FloatImage]) -> Vec<View> {
    names
        .zip(images)
        .map(|(name, image)| View {
            name: name.clone(),
            size: (image.height, image.width),
            channels: image.channels,
            values: vec![0.0; n * image.values.len()],
        })
        .collect()
}

fn copy_into(
    view: &mut View,
    place: usize,
    image: &FloatImage,
    name: impl FnOnce() -> String,
) -> Result<(), LoaderError> {
    let found = (image.height, image.width);
    if found != view.size {
        return Err(LoaderError::Size { view: view.name.clone(), image: name(), found, expected: view.size });
    }
    if image.channels != view.channels {
        let (found, expected) = (image.channels, view.channels);
        return Err(LoaderError::Channels { view: view.name.clone(), image: name(), found, expected });
    }
    let len = image.values.len();
    view.values[place * len..(place + 1) * len].copy_from_slice(&image.values);
    Ok(())
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}
