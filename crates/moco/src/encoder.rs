//! The encoder itself.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loader::{EvalPlan, LoaderError, UnreadableLog};
use pipeline::{EncoderPipeline, Fault, PipelineError, View, Weights};
use plugin_api::{Dataset, Embeddings, Images, Level, UnreadableImage};
use rayon::{ThreadPool, ThreadPoolBuilder};
use train_core::engine::{EngineError, FrozenEncoder};
use train_core::features::{self, BatchEncoder};

use crate::device::within;
use crate::source::GivenImages;
use crate::{EmbedError, ImageSource, LoadError, OpenRun, Which, device};

/// Batches that are decoded ahead of the encoder.
const PREFETCH_BATCHES: usize = 2;

/// Which encoder of a run, and how it uses the machine.
#[derive(Clone, Debug)]
pub struct EncoderOptions {
    /// Which checkpoint, if a folder is loaded and not one checkpoint.
    pub checkpoint: Which,
    /// The trained weights, or the momentum encoder's.
    pub weights: Weights,
    /// Where in the encoder features are taken.
    pub level: Level,
    /// The view of the pipeline through which images are seen. One that draws, such as a random crop, draws by the seed
    /// of the run and the place of the image in its list.
    pub view: String,
    /// Images that go through the encoder at once; `None` for the pipeline's batch. It bounds memory and changes no value.
    pub batch: Option<usize>,
    /// Threads that decode; `None` for one a core.
    pub workers: Option<usize>,
    /// Threads that compute; `None` for those of rayon's global pool, which is one a core unless the program says
    /// otherwise. A CUDA build takes those in any case.
    pub threads: Option<usize>,
}

impl Default for EncoderOptions {
    /// Backbone features of the newest checkpoint's trained weights, seen through the view `eval`.
    fn default() -> Self {
        Self {
            checkpoint: Which::Latest,
            weights: Weights::Query,
            level: Level::Backbone,
            view: "eval".into(),
            batch: None,
            workers: None,
            threads: None,
        }
    }
}

/// A trained encoder.
pub struct Encoder {
    encoder: FrozenEncoder,
    view: View,
    seed: u64,
    batch: usize,
    n_workers: usize,
    pool: Option<ThreadPool>,
    checkpoint: PathBuf,
    dataset: Result<Box<dyn Dataset>, Box<Fault>>,
    max_unreadable: f64,
}

impl Encoder {
    /// The encoder of the run at `path`, a run's folder or one checkpoint in it: backbone features of the newest
    /// checkpoint, seen through the view `eval`.
    ///
    /// # Errors
    /// If it is no run, has no checkpoint or no such view, or if its files cannot be used.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::load_with(path, &EncoderOptions::default())
    }

    /// [`load`](Self::load) with other choices.
    ///
    /// # Errors
    /// As [`load`](Self::load), and if there is no momentum encoder where one is asked for.
    pub fn load_with(path: impl AsRef<Path>, options: &EncoderOptions) -> Result<Self, LoadError> {
        crate::check_process()?;
        let device = device()?;
        let pool = options.threads.map(pool).transpose()?;
        let run = OpenRun::open(path.as_ref(), options.checkpoint)?;
        let pipeline = EncoderPipeline::read(&run.folder.pipeline(), options.level, &device)?;
        let view = view(&pipeline, &options.view)?;
        if options.weights == Weights::Momentum && !pipeline.has_momentum {
            return Err(LoadError::NoMomentum);
        }
        let encoder =
            FrozenEncoder::new(pipeline.modules, pipeline.precision, &run.snapshot, options.weights, device)
                .map_err(|source| LoadError::State { path: run.checkpoint.clone(), source })?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            encoder,
            view,
            seed: pipeline.seed,
            batch: options.batch.unwrap_or(pipeline.batch).max(1),
            n_workers: options.workers.unwrap_or_else(cores).max(1),
            pool,
            checkpoint: run.checkpoint,
            dataset: pipeline.dataset,
            max_unreadable: pipeline.max_unreadable,
        })
    }

    /// `D`, the number of features.
    pub fn n_features(&self) -> usize {
        self.encoder.n_features()
    }

    /// `(H, W)` in pixels of what the encoder sees of an image.
    pub fn image_size(&self) -> (usize, usize) {
        self.view.size
    }

    /// The checkpoint's file.
    pub fn checkpoint(&self) -> &Path {
        &self.checkpoint
    }

    /// Where the run's images came from. Opening it reads no image.
    ///
    /// # Errors
    /// If its plugin is not linked in, or refuses its config.
    pub fn dataset(&self) -> Result<&dyn Dataset, LoadError> {
        self.dataset.as_deref().map_err(|fault| PipelineError::from(fault.clone()).into())
    }

    /// The share of images, 0–1, that may be unreadable in the run.
    pub fn max_unreadable(&self) -> f64 {
        self.max_unreadable
    }

    /// Features of `images`, a row each, in order.
    ///
    /// Images in memory are copied. Grayscale, palette and CMYK become RGB, 16 bits become 8, alpha is dropped.
    ///
    /// # Errors
    /// If an image cannot be decoded, naming the first one; [`embed_readable`](Self::embed_readable) leaves it out.
    pub fn embed<I: ImageSource>(&mut self, images: &[I]) -> Result<Embeddings, EmbedError> {
        let images = given(images);
        let unreadable = Arc::new(UnreadableLog::new(images.len(), 1.0));
        let mut go_on = |_| match unreadable.is_empty() {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        };
        let outcome = self.embed_images(&images, &unreadable, &mut go_on);
        match unreadable.list().into_iter().next() {
            Some(image) => Err(EmbedError::Unreadable { image }),
            None => outcome,
        }
    }

    /// Features of those of `images` that can be decoded, and the others with the reason;
    /// [`Embeddings::images`] tells which row is of which image.
    ///
    /// # Errors
    /// If features cannot be computed.
    pub fn embed_readable<I: ImageSource>(
        &mut self,
        images: &[I],
    ) -> Result<(Embeddings, Vec<UnreadableImage>), EmbedError> {
        let images = given(images);
        let unreadable = Arc::new(UnreadableLog::new(images.len(), 1.0));
        let embeddings = self.embed_images(&images, &unreadable, &mut |_| ControlFlow::Continue(()))?;
        Ok((embeddings, unreadable.list()))
    }

    /// Features of those images of a dataset or folder that can be decoded, and the others with the reason;
    /// [`Embeddings::images`] tells which row is of which image. [`open_images`](crate::open_images) opens a folder.
    ///
    /// # Errors
    /// If features cannot be computed, or no image can be decoded.
    pub fn embed_dataset(
        &mut self,
        images: &Arc<dyn Images>,
    ) -> Result<(Embeddings, Vec<UnreadableImage>), EmbedError> {
        let unreadable = Arc::new(UnreadableLog::new(images.len(), 1.0));
        let embeddings = self.embed_images(images, &unreadable, &mut |_| ControlFlow::Continue(()))?;
        if embeddings.n() == 0 {
            return Err(LoaderError::NoneReadable { n_images: images.len() }.into());
        }
        Ok((embeddings, unreadable.list()))
    }

    /// Features of the images of a dataset. After each batch `watch` is told how many images were looked at, and says whether
    /// to go on.
    ///
    /// # Errors
    /// If more images are unreadable than `unreadable` allows, if features cannot be computed, or
    /// [`EmbedError::Stopped`].
    pub fn embed_images(
        &mut self,
        images: &Arc<dyn Images>,
        unreadable: &Arc<UnreadableLog>,
        watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Embeddings, EmbedError> {
        let plan = EvalPlan {
            images: Arc::clone(images),
            view: (self.view.name.clone(), Arc::clone(&self.view.transform)),
            seed: self.seed,
            batch: self.batch,
            n_workers: self.n_workers.min(images.len()),
            prefetch_batches: PREFETCH_BATCHES,
            unreadable: Arc::clone(unreadable),
        };
        let d = self.n_features();
        let mut encoder = Pooled { encoder: &mut self.encoder, pool: self.pool.as_ref() };
        let embeddings = features::embed(&mut encoder, plan, watch)?;
        Ok(if embeddings.n() == 0 { Embeddings::new(d) } else { embeddings })
    }
}

/// An encoder that computes with threads of its own, if it has any.
struct Pooled<'a> {
    encoder: &'a mut FrozenEncoder,
    pool: Option<&'a ThreadPool>,
}

impl BatchEncoder for Pooled<'_> {
    fn features(&mut self, size: (usize, usize), values: &[f32]) -> Result<(Vec<f32>, usize), EngineError> {
        within(self.pool, || self.encoder.features(size, values))
    }
}

/// The view called `name`.
pub(crate) fn view(pipeline: &EncoderPipeline, name: &str) -> Result<View, LoadError> {
    if let Some(view) = pipeline.view(name) {
        return Ok(view.clone());
    }
    let fault = pipeline.view_faults.iter().find(|(view, _)| view == name);
    Err(match fault {
        Some((_, fault)) => PipelineError::from(fault.clone()).into(),
        None => LoadError::NoView {
            view: name.to_owned(),
            known: pipeline.views.iter().map(|view| view.name.clone()).collect(),
        },
    })
}

fn given<I: ImageSource>(images: &[I]) -> Arc<dyn Images> {
    Arc::new(GivenImages(images.iter().map(ImageSource::give).collect()))
}

fn pool(n_threads: usize) -> Result<ThreadPool, LoadError> {
    ThreadPoolBuilder::new()
        .num_threads(n_threads.max(1))
        .build()
        .map_err(|error| LoadError::Threads { reason: error.to_string() })
}
