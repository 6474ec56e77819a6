//! The encoder itself.

mod attend;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loader::{EvalPlan, LoaderError, UnreadableLog};
use pipeline::{EncoderPipeline, Fault, Moved, PipelineError, Site, View, Weights};
use plugin_api::{Dataset, Embeddings, Images, Level, UnreadableImage};
use rayon::{ThreadPool, ThreadPoolBuilder};
use run_store::checkpoint::Snapshot;
use tensor_ops::{Device, Mode};
use train_core::engine::{EngineError, FrozenEncoder};
use train_core::features::{self, BatchEncoder};

pub use self::attend::Attended;
use crate::device::within;
use crate::run::moved;
use crate::source::{AsTrained, GivenImages};
use crate::{EmbedError, ImageSource, LoadError, OpenRun, RunError, Which, device};

/// Batches that are decoded ahead of the encoder.
const PREFETCH_BATCHES: usize = 2;

/// Which encoder of a run to load, and which resources it uses.
#[derive(Clone, Debug)]
pub struct EncoderOptions {
    /// Which checkpoint to load from a run folder. Ignored if a checkpoint is loaded directly.
    pub checkpoint: Which,
    /// The query encoder or the momentum encoder.
    pub weights: Weights,
    /// Where in the encoder features are taken.
    pub level: Level,
    /// The view of the pipeline that images are passed through. A random view, such as a random crop, depends on the
    /// seed of the run and the index of the image.
    pub view: String,
    /// Images per forward pass; `None` for the pipeline's batch size. It bounds memory and does not change the
    /// features.
    pub batch: Option<usize>,
    /// Data loader workers; `None` for one per core.
    pub workers: Option<usize>,
    /// Where images of the run's dataset are now, if they have moved since.
    pub moved: Moved,
    /// Compute threads; `None` for rayon's global pool, which has one per core by default. A CUDA build always uses the
    /// global pool.
    pub threads: Option<usize>,
}

impl Default for EncoderOptions {
    /// Backbone features of the query encoder in the newest checkpoint, with the view `eval`.
    fn default() -> Self {
        Self {
            checkpoint: Which::Latest,
            weights: Weights::Query,
            level: Level::Backbone,
            view: "eval".into(),
            batch: None,
            workers: None,
            moved: Moved::default(),
            threads: None,
        }
    }
}

/// A trained encoder.
pub struct Encoder {
    encoder: FrozenEncoder,
    view: View,
    /// Of the images that it takes.
    channels: usize,
    seed: u64,
    batch: usize,
    n_workers: usize,
    pool: Option<ThreadPool>,
    checkpoint: PathBuf,
    dataset: Result<Arc<dyn Dataset>, Box<Fault>>,
    max_unreadable: f64,
}

impl Encoder {
    /// Loads the encoder of the run at `path`, a run folder or a checkpoint in it: backbone features of the newest
    /// checkpoint, with the view `eval`.
    ///
    /// # Errors
    /// If it is not a run, has no checkpoint or no such view, or if its files cannot be used.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::load_with(path, &EncoderOptions::default())
    }

    /// [`load`](Self::load) with options.
    ///
    /// # Errors
    /// As [`load`](Self::load), and if the momentum encoder is requested but does not exist.
    pub fn load_with(path: impl AsRef<Path>, options: &EncoderOptions) -> Result<Self, LoadError> {
        crate::check_process()?;
        let device = device()?;
        let run = OpenRun::open(path.as_ref(), options.checkpoint)?;
        let moved = moved(&run.folder, &options.moved).map_err(RunError::from)?;
        let site = Site::from(&device).with_moved(moved);
        let pipeline = EncoderPipeline::read(&run.folder.pipeline(), options.level, site)?;
        Self::of(Source { pipeline, snapshot: &run.snapshot, file: run.checkpoint.clone() }, options, device)
    }

    /// The encoder of `source`, with those of `options` that do not choose a checkpoint.
    ///
    /// # Errors
    /// As [`load_with`](Self::load_with).
    pub(crate) fn of(
        source: Source<'_>,
        options: &EncoderOptions,
        device: Device,
    ) -> Result<Self, LoadError> {
        let Source { pipeline, snapshot, file } = source;
        let pool = options.threads.map(pool).transpose()?;
        let view = view(&pipeline, &options.view)?;
        if options.weights == Weights::Momentum && !pipeline.has_momentum {
            return Err(LoadError::NoMomentum);
        }
        let encoder =
            FrozenEncoder::new(pipeline.modules, pipeline.precision, snapshot, options.weights, device)
                .map_err(|source| LoadError::State { path: file.clone(), source })?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            encoder,
            view,
            channels: pipeline.channels,
            seed: pipeline.seed,
            batch: options.batch.unwrap_or(pipeline.batch).max(1),
            n_workers: options.workers.unwrap_or_else(cores).max(1),
            pool,
            checkpoint: file,
            dataset: pipeline.dataset.map(Arc::from),
            max_unreadable: pipeline.max_unreadable,
        })
    }

    /// `D`, the number of features.
    pub fn n_features(&self) -> usize {
        self.encoder.n_features()
    }

    /// The input size of the encoder, `(H, W)` in pixels.
    pub fn image_size(&self) -> (usize, usize) {
        self.view.size
    }

    /// Channels of the images that the encoder takes: 3 for RGB.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The path of the checkpoint.
    pub fn checkpoint(&self) -> &Path {
        &self.checkpoint
    }

    /// The dataset of the run. Opening it reads no image.
    ///
    /// # Errors
    /// If its plugin is not linked in, or refuses its config.
    pub fn dataset(&self) -> Result<&dyn Dataset, LoadError> {
        self.dataset.as_deref().map_err(|fault| PipelineError::from(fault.clone()).into())
    }

    /// The share of images, 0–1, that may be unreadable according to the pipeline.
    pub fn max_unreadable(&self) -> f64 {
        self.max_unreadable
    }

    /// Computes the features of `images`, one row per image, in order.
    ///
    /// Images in memory are copied. Those of `image` and files become RGB: grayscale, palette and CMYK too, 16 bits become 8,
    /// alpha is dropped. An encoder of other [`channels`](Self::channels) takes [`ByteImage`](plugin_api::ByteImage)s of as
    /// many.
    ///
    /// # Errors
    /// If an image cannot be decoded; the error names the first one. [`embed_readable`](Self::embed_readable) skips
    /// such images.
    pub fn embed<I: ImageSource>(&mut self, images: &[I]) -> Result<Embeddings, EmbedError> {
        all_readable(images, |images, unreadable, watch| self.embed_images(images, unreadable, watch))
    }

    /// Computes the features of the images that can be decoded, and returns the other images with the reason.
    /// [`Embeddings::images`] maps rows to images.
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
    /// [`Embeddings::images`] maps rows to images. [`open_images`](crate::open_images) opens a folder.
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

    /// Computes the features of the images of a dataset. After each batch, `watch` gets the number of images done, and
    /// returns whether to continue.
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
        let d = self.n_features();
        let embeddings = self.rows(images, unreadable, watch, None)?;
        Ok(if embeddings.n() == 0 { Embeddings::new(d) } else { embeddings })
    }

    /// As [`embed_images`](Self::embed_images), with a last layer on the features.
    ///
    /// # Errors
    /// As [`embed_images`](Self::embed_images).
    pub(crate) fn rows(
        &mut self,
        images: &Arc<dyn Images>,
        unreadable: &Arc<UnreadableLog>,
        watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
        last: Last<'_>,
    ) -> Result<Embeddings, EmbedError> {
        let plan = self.plan(images, unreadable);
        let mut encoder = Pooled { encoder: &mut self.encoder, pool: self.pool.as_ref(), last };
        Ok(features::embed(&mut encoder, plan, watch)?)
    }

    /// A pass over `images` in order, through the view.
    fn plan(&self, images: &Arc<dyn Images>, unreadable: &Arc<UnreadableLog>) -> EvalPlan {
        EvalPlan {
            range: 0..images.len(),
            images: Arc::new(AsTrained {
                images: Arc::clone(images),
                dataset: self.dataset.as_ref().ok().map(Arc::clone),
                channels: self.channels,
            }),
            view: (self.view.name.clone(), Arc::clone(&self.view.transform)),
            seed: self.seed,
            batch: self.batch,
            n_workers: self.n_workers.min(images.len()),
            prefetch_batches: PREFETCH_BATCHES,
            unreadable: Arc::clone(unreadable),
        }
    }
}

/// What makes other rows of features `(N, D)`, row by row, and tells their width.
type Last<'a> = Option<&'a (dyn Fn(&[f32]) -> Result<(Vec<f32>, usize), EngineError> + Sync)>;

/// An encoder with its own compute threads, if it has any, and a last layer on its features.
struct Pooled<'a> {
    encoder: &'a mut FrozenEncoder,
    pool: Option<&'a ThreadPool>,
    last: Last<'a>,
}

impl BatchEncoder for Pooled<'_> {
    fn features(&mut self, shape: [usize; 3], values: &[f32]) -> Result<(Vec<f32>, usize), EngineError> {
        let Self { encoder, pool, last } = self;
        within(*pool, || match last {
            Some(last) => last(&encoder.features(shape, values)?.0),
            None => encoder.features(shape, values),
        })
    }
}

/// Where an encoder comes from.
pub(crate) struct Source<'a> {
    pub(crate) pipeline: EncoderPipeline,
    /// The tensors of the encoder, named as in a checkpoint.
    pub(crate) snapshot: &'a Snapshot,
    /// The file of these tensors, for messages.
    pub(crate) file: PathBuf,
}

/// The view called `name`, whose images the encoder can take.
pub(crate) fn view(pipeline: &EncoderPipeline, name: &str) -> Result<View, LoadError> {
    if let Some(view) = pipeline.view(name) {
        if view.size != pipeline.trained_size {
            let backbone = &pipeline.modules.backbone.module;
            backbone.check_image_size(view.size, Mode::Eval).map_err(|source| LoadError::ViewSize {
                view: name.to_owned(),
                size: view.size,
                trained_size: pipeline.trained_size,
                source: Box::new(source),
            })?;
        }
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

/// What `compute` makes of `images`, each of which must be readable.
///
/// # Errors
/// The first image that is not, or that of `compute`.
pub(crate) fn all_readable<I: ImageSource, T>(
    images: &[I],
    compute: impl FnOnce(
        &Arc<dyn Images>,
        &Arc<UnreadableLog>,
        &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<T, EmbedError>,
) -> Result<T, EmbedError> {
    let images = given(images);
    let unreadable = Arc::new(UnreadableLog::new(images.len(), 1.0));
    let mut go_on = |_| match unreadable.is_empty() {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    let outcome = compute(&images, &unreadable, &mut go_on);
    match unreadable.list().into_iter().next() {
        Some(image) => Err(EmbedError::Unreadable { image }),
        None => outcome,
    }
}

pub(crate) fn given<I: ImageSource>(images: &[I]) -> Arc<dyn Images> {
    Arc::new(GivenImages(images.iter().map(ImageSource::give).collect()))
}

fn pool(n_threads: usize) -> Result<ThreadPool, LoadError> {
    ThreadPoolBuilder::new()
        .num_threads(n_threads.max(1))
        .build()
        .map_err(|source| LoadError::Threads { source })
}
