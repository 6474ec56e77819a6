//! Classes of images, by an encoder and the linear classifier on it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loader::UnreadableLog;
use pipeline::{EncoderPipeline, Weights};
use plugin_api::{Images, UnreadableImage};
use run_store::checkpoint::Snapshot;
use tensor_ops::linear_rows;
use train_core::engine::EngineError;

use super::{ClassifierError, ClassifierFacts, KeptClassifier, Predictions, find_classifier};
use crate::encoder::Source;
use crate::{EmbedError, Encoder, EncoderOptions, ImageSource, LoadError, device};

/// Which resources a [`Classifier`] uses. Predictions do not depend on them.
#[derive(Clone, Debug, Default)]
pub struct ClassifierOptions {
    /// Images per forward pass; `None` for the pipeline's batch size. It bounds memory.
    pub batch: Option<usize>,
    /// Data loader workers; `None` for one per core.
    pub workers: Option<usize>,
    /// Compute threads; `None` for rayon's global pool, which has one per core by default. A CUDA build always uses the
    /// global pool.
    pub threads: Option<usize>,
}

/// A trained encoder with a linear classifier on its features: images in, classes out.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/encoder/tiny_run.rs"));
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = tempfile::tempdir()?;
/// # let run = write(root.path());
/// # use moco::evaluation::{Evaluation, EvaluationOptions, ProbeProtocol, PublishedProbe};
/// # let mut evaluation = Evaluation::open(&run, &EvaluationOptions::default())?;
/// # let protocol = ProbeProtocol { epochs: 2, ..PublishedProbe::MOCO_V1_V2.protocol() };
/// # let trained = evaluation.cached_probe(&protocol, &mut |_| {})?;
/// # let folder = run.join("evaluations/linear-001");
/// # std::fs::create_dir_all(&folder)?;
/// # let kept = evaluation.keep_probe(&trained.probe, 0, "linear probe".into());
/// # std::fs::write(folder.join(moco::KeptClassifier::FILE), kept.to_bytes())?;
/// use moco::Classifier;
///
/// let mut classifier = Classifier::load(&run)?; // for instance "runs/mocov2-001"
///
/// let gray = image::RgbImage::from_pixel(40, 40, image::Rgb([90; 3]));
/// let predictions = classifier.predict(&[gray])?;
/// let best = predictions.best(0);
/// assert!(best.confidence > 0.0 && best.confidence <= 1.0);
/// println!("{}: {:.1} %", classifier.class_names()[best.class], 100.0 * best.confidence);
/// # Ok(())
/// # }
/// ```
pub struct Classifier {
    encoder: Encoder,
    layer: Layer,
    facts: ClassifierFacts,
    file: PathBuf,
}

/// The linear layer on the features.
struct Layer {
    /// `D`.
    d: usize,
    /// `(D, classes)`.
    weight: Vec<f32>,
    /// `(classes)`.
    bias: Vec<f32>,
}

impl Classifier {
    /// Loads the classifier at `path`: the file, the folder of an evaluation, or a run, of which the classifier is taken that
    /// was written last. Neither the run's images nor its checkpoints are needed.
    ///
    /// # Errors
    /// If there is none, or its file cannot be used.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ClassifierError> {
        Self::load_with(path, &ClassifierOptions::default())
    }

    /// [`load`](Self::load) with options.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(path: impl AsRef<Path>, options: &ClassifierOptions) -> Result<Self, ClassifierError> {
        crate::check_process().map_err(ClassifierError::from)?;
        let device = device().map_err(LoadError::from)?;
        let file = find_classifier(path.as_ref())?;
        let kept = KeptClassifier::read(&file)?;
        let layer = Layer::of(&kept, &file)?;
        let KeptClassifier { tensors, facts } = kept;
        let origin = format!("the pipeline in {}", file.display());
        let pipeline = EncoderPipeline::parse(&origin, &facts.pipeline, facts.level, &device)
            .map_err(|fault| LoadError::from(pipeline::PipelineError::from(fault)))?;
        let ClassifierOptions { batch, workers, threads } = *options;
        let view = facts.view.clone();
        let of_encoder = EncoderOptions {
            weights: Weights::Query,
            level: facts.level,
            view,
            batch,
            workers,
            threads,
            ..EncoderOptions::default()
        };
        let snapshot = Snapshot { tensors, metadata: Default::default() };
        let source = Source { pipeline, snapshot: &snapshot, file: file.clone() };
        let encoder = Encoder::of(source, &of_encoder, device)?;
        if encoder.n_features() != layer.d {
            return Err(ClassifierError::Width { path: file, takes: layer.d, gives: encoder.n_features() });
        }
        Ok(Self { encoder, layer, facts, file })
    }

    /// The names of the classes, in the order of their numbers.
    pub fn class_names(&self) -> &[String] {
        &self.facts.classes
    }

    /// What it was trained on, and how.
    pub fn facts(&self) -> &ClassifierFacts {
        &self.facts
    }

    /// Its file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The encoder under it.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Predicts the classes of `images`, in order. They are read as [`Encoder::embed`] reads them.
    ///
    /// # Errors
    /// If an image cannot be decoded; the error names the first one. [`predict_readable`](Self::predict_readable) leaves such
    /// images out.
    pub fn predict<I: ImageSource>(&mut self, images: &[I]) -> Result<Predictions, EmbedError> {
        crate::encoder::all_readable(images, |images, unreadable, watch| {
            self.predict_images(images, unreadable, watch)
        })
    }

    /// Predicts the classes of the images that can be decoded, and returns the other images with the reason.
    /// [`Predictions::images`] maps rows to images.
    ///
    /// # Errors
    /// If the classifier's outputs cannot be computed.
    pub fn predict_readable<I: ImageSource>(
        &mut self,
        images: &[I],
    ) -> Result<(Predictions, Vec<UnreadableImage>), EmbedError> {
        let images = crate::encoder::given(images);
        let unreadable = Arc::new(UnreadableLog::new(images.len(), 1.0));
        let predictions = self.predict_images(&images, &unreadable, &mut |_| ControlFlow::Continue(()))?;
        Ok((predictions, unreadable.list()))
    }

    /// Predicts the classes of the images of a dataset or folder. After each batch, `watch` gets the number of images done,
    /// and returns whether to continue.
    ///
    /// # Errors
    /// If more images are unreadable than `unreadable` allows, if the outputs cannot be computed, or
    /// [`EmbedError::Stopped`].
    pub fn predict_images(
        &mut self,
        images: &Arc<dyn Images>,
        unreadable: &Arc<UnreadableLog>,
        watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Predictions, EmbedError> {
        let Self { encoder, layer, .. } = self;
        let logits = encoder.rows(images, unreadable, watch, Some(&|rows| layer.logits(rows)))?;
        Ok(Predictions::of(logits))
    }
}

impl Layer {
    fn of(kept: &KeptClassifier, file: &Path) -> Result<Self, ClassifierError> {
        let (weight, bias) =
            kept.layer().map_err(|what| ClassifierError::Incomplete { path: file.into(), what })?;
        let d = weight.len() / bias.len();
        let by_feature = |feature| (0..bias.len()).map(move |class| weight[class * d + feature]);
        Ok(Self { d, weight: (0..d).flat_map(by_feature).collect(), bias: bias.to_vec() })
    }

    /// The logits `(N, classes)` of features `(N, D)`, and the number of classes.
    fn logits(&self, rows: &[f32]) -> Result<(Vec<f32>, usize), EngineError> {
        Ok((linear_rows(rows, self.d, &self.weight, &self.bias)?, self.bias.len()))
    }
}
