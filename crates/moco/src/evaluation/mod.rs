//! Evaluation of a trained encoder: kNN, linear probes and fine-tuning on labeled images.
//!
//! Start at [`Evaluation`].
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/encoder/tiny_run.rs"));
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = tempfile::tempdir()?;
//! # let run = write(root.path());
//! use moco::evaluation::{Evaluation, EvaluationOptions};
//!
//! let mut evaluation = Evaluation::open(&run, &EvaluationOptions::default())?; // for instance "runs/mocov2-001"
//! let score = evaluation.knn(5, 0.1)?;
//! assert!((0.0..=1.0).contains(&score.top1));
//! # Ok(())
//! # }
//! ```

mod augmented;
mod confusion;
mod course;
mod error;
pub mod finetune;
mod labeled_images;
mod training_view;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use evaluate::linear::{LinearProbe, train_cached};
use loader::{EvalPlan, UnreadableLog};
use pipeline::{EncoderPipeline, Moved, PipelineError, Site, View, Weights};
use plugin_api::{Dataset, Embedding, Images, Level, Split, Splits, UnreadableImage};
use run_store::checkpoint::{self, Snapshot, Stored};
use train_core::engine::FrozenEncoder;
use train_core::features;

pub use evaluate::KnnScore;
pub use evaluate::linear::{ClassifierScore, ProbeProtocol, PublishedProbe, TrainedProbe};

pub use self::confusion::{confusion_png, confusion_svg};
pub use self::course::Course;
pub use self::error::EvaluationError;
use self::labeled_images::LabeledImages;
use self::training_view::Strengthened;
use crate::classifier::{BIAS, WEIGHT};
use crate::data::DatasetSource;
use crate::encoder::view;
use crate::run::{OpenRun, moved};
use crate::{ClassifierFacts, KeptClassifier, LoadError, RunError, Which, device};

/// What to evaluate, and which resources to use.
#[derive(Clone, Debug)]
pub struct EvaluationOptions {
    /// Which checkpoint to load from a run folder. Ignored if a checkpoint is opened directly.
    pub checkpoint: Which,
    /// Where in the encoder features are taken.
    pub level: Level,
    /// The view of the pipeline that images are passed through.
    pub view: String,
    /// The share of the training labels to use, above 0 and up to 1, with at least one image per class.
    pub labels: f64,
    /// The random seed, for instance for the choice of labels.
    pub seed: u64,
    /// The labeled images; `None` for those of the run's dataset.
    pub dataset: Option<DatasetSource>,
    /// Where images of the run's dataset are now, if they have moved since.
    pub moved: Moved,
    /// Data loader workers; `None` for one per core.
    pub workers: Option<usize>,
}

impl Default for EvaluationOptions {
    /// Backbone features of the newest checkpoint with the view `eval`, and all labels.
    fn default() -> Self {
        Self {
            checkpoint: Which::Latest,
            level: Level::Backbone,
            view: "eval".into(),
            labels: 1.0,
            seed: 0,
            dataset: None,
            moved: Moved::default(),
            workers: None,
        }
    }
}

/// A trained encoder, and labeled images to evaluate it on.
pub struct Evaluation {
    run: OpenRun,
    /// The text of its pipeline.
    pipeline: String,
    encoder: FrozenEncoder,
    /// The dataset, as it describes itself.
    dataset: String,
    /// The training images whose labels are used.
    splits: Splits,
    views: Vec<View>,
    view: View,
    /// `(H, W)` of the images that the encoder was trained on.
    trained_size: (usize, usize),
    plugins: Vec<String>,
    options: EvaluationOptions,
    /// The seed of the pipeline, for random views.
    seed: u64,
    batch: usize,
    n_workers: usize,
    unreadable: Arc<UnreadableLog>,
}

impl Evaluation {
    /// Opens the run at `path`, a run folder or a checkpoint in it, with its encoder and its dataset, or the one that
    /// `options` name. No image is read yet.
    ///
    /// # Errors
    /// If one of them cannot be opened, the pipeline has no such view, or the dataset lacks labels or a test split.
    pub fn open(path: impl AsRef<Path>, options: &EvaluationOptions) -> Result<Self, EvaluationError> {
        crate::check_process()?;
        let device = device().map_err(LoadError::from)?;
        let run = OpenRun::open(path.as_ref(), options.checkpoint).map_err(LoadError::from)?;
        let moved =
            moved(&run.folder, &options.moved).map_err(|error| LoadError::from(RunError::from(error)))?;
        let site = Site::from(&device).with_moved(moved);
        let pipeline =
            EncoderPipeline::read(&run.folder.pipeline(), options.level, site).map_err(LoadError::from)?;
        let text = pipeline::standalone_text(&run.folder.pipeline()).map_err(LoadError::from)?;
        let view = view(&pipeline, &options.view)?;
        let source: Arc<dyn Dataset> = match &options.dataset {
            Some(source) => source.build(pipeline.seed)?,
            None => pipeline.dataset.map_err(|fault| LoadError::from(PipelineError::from(fault)))?.into(),
        };
        let dataset = source.describe();
        if source.channels() != pipeline.channels {
            let (has, takes) = (source.channels(), pipeline.channels);
            return Err(EvaluationError::Channels { dataset, has, takes });
        }
        let mut splits = source.open()?;
        let n_images = splits.train.len() + splits.test.as_ref().map_or(0, |test| test.len());
        check_labeled(&dataset, &splits)?;
        if options.labels < 1.0 {
            splits.train =
                evaluate::label_subset(&splits.train, options.labels, options.seed).ok_or_else(|| {
                    EvaluationError::NoLabels { which: "some images of", dataset: dataset.clone() }
                })?;
        }
        let encoder =
            FrozenEncoder::new(pipeline.modules, pipeline.precision, &run.snapshot, Weights::Query, device)
                .map_err(|source| LoadError::State { path: run.checkpoint.clone(), source })?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            run,
            pipeline: text,
            encoder,
            dataset,
            splits,
            views: pipeline.views,
            view,
            trained_size: pipeline.trained_size,
            plugins: pipeline.module_plugins,
            options: options.clone(),
            seed: pipeline.seed,
            batch: pipeline.batch,
            n_workers: options.workers.unwrap_or_else(cores).max(1),
            unreadable: Arc::new(UnreadableLog::new(n_images, pipeline.max_unreadable)),
        })
    }

    /// The run, and the checkpoint that is evaluated.
    pub fn run(&self) -> &OpenRun {
        &self.run
    }

    /// What a figure's protocol must say if images are seen at another size than the encoder was trained on.
    pub fn size_note(&self) -> Option<String> {
        self.view.size_note(self.trained_size)
    }

    /// The plugins of the pipeline's modules, in the order of the modules' names.
    pub fn plugins(&self) -> &[String] {
        &self.plugins
    }

    /// Bytes of the encoder's values in a file.
    pub fn encoder_bytes(&self) -> u64 {
        let snapshot = Snapshot { tensors: self.encoder.tensors(), ..Snapshot::default() };
        checkpoint::to_bytes(&snapshot).len() as u64
    }

    /// The images that train a classifier.
    pub fn train_images(&self) -> &Arc<dyn Images> {
        &self.splits.train
    }

    /// The images that test it.
    pub fn test_images(&self) -> &Arc<dyn Images> {
        self.splits.test.as_ref().unwrap_or(&self.splits.train)
    }

    /// The dataset, as it describes itself.
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// What listing the dataset left out or found odd, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.splits.notes
    }

    /// The number of images that could not be read so far.
    pub fn unreadable(&self) -> Vec<UnreadableImage> {
        self.unreadable.list()
    }

    /// Where unreadable images are counted.
    pub fn unreadable_log(&self) -> Arc<UnreadableLog> {
        Arc::clone(&self.unreadable)
    }

    /// Computes the features of a split, not normalized. After each batch, `watch` gets the number of images done, and returns
    /// whether to continue.
    ///
    /// # Errors
    /// If images cannot be loaded, or the encoder rejects them; or [`EvaluationError::Stopped`].
    pub fn features(
        &mut self,
        split: Split,
        watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Embedding, EvaluationError> {
        let images = match split {
            Split::Train => Arc::clone(self.train_images()),
            Split::Test => Arc::clone(self.test_images()),
        };
        let plan = EvalPlan {
            range: 0..images.len(),
            images: Arc::clone(&images),
            view: (self.view.name.clone(), Arc::clone(&self.view.transform)),
            seed: self.seed,
            batch: self.batch,
            n_workers: self.n_workers,
            prefetch_batches: 2,
            unreadable: Arc::clone(&self.unreadable),
        };
        Ok(features::embed(&mut self.encoder, plan, watch)?.with_labels(images.as_ref()))
    }

    /// The top-1 accuracy of kNN classification: the `k` nearest training images vote for the class of a test image (Wu
    /// et al. 2018, arXiv:1805.01978), each with weight exp(similarity / `temperature`).
    ///
    /// # Errors
    /// If features cannot be computed or compared.
    pub fn knn(&mut self, k: usize, temperature: f64) -> Result<KnnScore, EvaluationError> {
        let test = self.features(Split::Test, &mut |_| ControlFlow::Continue(()))?;
        let train = self.features(Split::Train, &mut |_| ControlFlow::Continue(()))?;
        Ok(evaluate::knn(&train, &test, k, temperature)?)
    }

    /// Trains linear classifiers on cached features. After each epoch, `watch` gets the number of epochs done.
    ///
    /// # Errors
    /// If features cannot be computed, or a setting is invalid.
    pub fn cached_probe(
        &mut self,
        protocol: &ProbeProtocol,
        watch: &mut dyn FnMut(usize),
    ) -> Result<TrainedProbe, EvaluationError> {
        let train = self.features(Split::Train, &mut |_| ControlFlow::Continue(()))?;
        Ok(train_cached(&train, protocol, self.options.seed, watch)?)
    }

    /// The training view of a probe or of fine-tuning: the pipeline's view `asked`, or the published one: a random
    /// resized crop of at least 8 %, a flip, and the normalization of the test view.
    ///
    /// # Errors
    /// If the pipeline has no such view, or its size differs from the test view's.
    pub fn training_view(&self, asked: Option<&str>) -> Result<View, EvaluationError> {
        training_view::of(&self.views, &self.view, asked, &Strengthened::default())
    }

    /// Trains linear classifiers on new random views of the images in each epoch, as in the papers. After each batch,
    /// `watch` gets the number of images processed so far, over all epochs.
    ///
    /// # Errors
    /// If images cannot be loaded, a feature is not finite, or a setting is invalid.
    pub fn probe(
        &mut self,
        view: &View,
        protocol: &ProbeProtocol,
        watch: &mut dyn FnMut(usize),
    ) -> Result<TrainedProbe, EvaluationError> {
        let never = AtomicBool::new(false);
        let mut course = Course { from: None, stop: &never, save: &mut |_| Ok(()) };
        let trained = self.probe_until(view, protocol, &mut course, watch)?;
        Ok(trained.expect("nothing stops it"))
    }

    /// As [`probe`](Self::probe), which can be stopped and gone on with; `None` if it was stopped. The result has the same
    /// bits, however often that happened.
    ///
    /// # Errors
    /// As [`probe`](Self::probe); and if what `course` goes on from does not fit, or cannot be saved.
    pub fn probe_until(
        &mut self,
        view: &View,
        protocol: &ProbeProtocol,
        course: &mut Course<'_>,
        watch: &mut dyn FnMut(usize),
    ) -> Result<Option<TrainedProbe>, EvaluationError> {
        let settings = self.training_settings("a linear probe", format!("{protocol:?}"), view);
        let of = LabeledImages {
            images: &self.splits.train,
            view,
            seed: self.options.seed,
            n_workers: self.n_workers,
            unreadable: &self.unreadable,
        };
        augmented::train_augmented(&mut self.encoder, &of, protocol, course, settings, watch)
    }

    /// Classifier number `which` of `probe`, with the encoder that it was trained on, to be kept in a file. `protocol` says how
    /// it was trained.
    ///
    /// # Panics
    /// If there are not so many classifiers.
    pub fn keep_probe(&self, probe: &LinearProbe, which: usize, protocol: String) -> KeptClassifier {
        let (weight, bias) = probe.classifier(which);
        let (n_classes, d) = (probe.n_classes(), probe.n_features());
        let mut tensors = self.encoder.tensors();
        tensors.insert(WEIGHT.into(), Stored::F32 { shape: vec![n_classes, d], values: weight });
        tensors.insert(BIAS.into(), Stored::F32 { shape: vec![n_classes], values: bias });
        KeptClassifier { tensors, facts: self.facts(protocol) }
    }

    /// What is known of a classifier that is trained here.
    fn facts(&self, protocol: String) -> ClassifierFacts {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let position = |key: &str| self.run.snapshot.metadata.get(key).cloned().unwrap_or_default();
        ClassifierFacts {
            pipeline: self.pipeline.clone(),
            classes: self.train_images().class_names().to_vec(),
            level: self.options.level,
            view: self.view.name.clone(),
            image_size: self.view.size,
            protocol,
            dataset: self.dataset.clone(),
            run: name(self.run.folder.path()),
            checkpoint: name(&self.run.checkpoint),
            epoch: position("epoch"),
            step: position("steps_done"),
        }
    }

    /// Compares the encoder with the checkpoint, bit for bit, and returns the number of tensors.
    ///
    /// # Errors
    /// [`EvaluationError::Changed`], which would be a bug in the program.
    pub fn check_unchanged(&mut self) -> Result<usize, EvaluationError> {
        let now = self.encoder.tensors();
        for (name, stored) in &now {
            if !self.run.snapshot.tensors.get(name).is_some_and(|before| before.has_bits_of(stored)) {
                return Err(EvaluationError::Changed { tensor: name.clone() });
            }
        }
        Ok(now.len())
    }
}

fn names(views: &[View]) -> Vec<String> {
    views.iter().map(|view| view.name.clone()).collect()
}

fn check_labeled(dataset: &str, splits: &Splits) -> Result<(), EvaluationError> {
    let no_labels = |which| EvaluationError::NoLabels { which, dataset: dataset.to_owned() };
    let lacks = |images: &dyn Images| images.class_names().is_empty();
    if lacks(splits.train.as_ref()) {
        return Err(no_labels("the training images of"));
    }
    let Some(test) = &splits.test else { return Err(EvaluationError::NoSplit { which: "test" }) };
    if lacks(test.as_ref()) {
        return Err(no_labels("the test images of"));
    }
    Ok(())
}
