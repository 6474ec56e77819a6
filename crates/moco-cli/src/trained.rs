//! A trained encoder and labeled images, as `knn` and `linear` measure it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use pipeline::{Pipeline, View};
use plugin_api::{Embed, Embedding, Images, Level, Split, Splits};
use run_store::checkpoint::{Snapshot, Stored};
use train_core::SingleProcess;
use train_core::engine::Engine;
use train_core::loader::UnreadableLog;
use train_core::trainer::Measure;

use crate::choice::Layer;
use crate::failure::Failure;
use crate::progress::ImageLine;
use crate::runs::{OpenRun, Which};
use crate::{compute, pipeline_file};

/// Which encoder, what is looked at, and how the machine is used.
#[derive(clap::Args)]
pub(crate) struct EncoderArguments {
    /// The run's folder, or one checkpoint in it.
    run: PathBuf,
    /// Which layer gives the features.
    #[arg(long, value_enum, default_value_t = Layer::Backbone)]
    level: Layer,
    /// The view through which images are seen.
    #[arg(long, default_value = "eval")]
    pub(crate) view: String,
    /// The share of the training labels that is used, above 0 and up to 1: of each class, at least one image. Papers
    /// measure 0.01 and 0.1.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    pub(crate) labels: f64,
    /// What all draws follow from, such as which labels are used: the same for all runs that are compared.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// The checkpoint with the best metric, and not the newest.
    #[arg(long)]
    best: bool,
    /// Threads that decode [default: one a core].
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Threads that compute [default: one a core].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("it must be a number above 0 and up to 1".into()),
    }
}

/// An encoder, and labeled images to measure it on.
pub(crate) struct Trained {
    pub(crate) run: OpenRun,
    pub(crate) engine: Engine,
    /// Images of both splits; of the training split, those whose labels are used.
    pub(crate) splits: Splits,
    pub(crate) views: Vec<View>,
    /// The plugin of each of the pipeline's modules.
    pub(crate) plugins: Vec<String>,
    pub(crate) level: Level,
    pub(crate) n_workers: usize,
    pub(crate) unreadable: Arc<UnreadableLog>,
    view: String,
    seed: u64,
    batch: usize,
}

impl EncoderArguments {
    /// Opens the run, its encoder and its dataset. No image is read yet.
    ///
    /// # Errors
    /// If one of them cannot be opened, the pipeline has no such view, or the dataset lacks labels or a test split.
    pub(crate) fn open(&self) -> anyhow::Result<Trained> {
        let device = compute::start(self.threads)?;
        let which = if self.best { Which::Best } else { Which::Latest };
        let run = OpenRun::open(&self.run, which)?;
        let pipeline = pipeline_file::read(&run.folder.pipeline(), &[], &device)?;
        check_view(&pipeline, &self.view)?;
        let mut splits = pipeline.dataset.open()?;
        let n_images = splits.train.len() + splits.test.as_ref().map_or(0, |test| test.len());
        check_labeled(&pipeline.dataset.describe(), &splits)?;
        if self.labels < 1.0 {
            splits.train = evaluate::label_subset(&splits.train, self.labels, self.seed)
                .ok_or_else(|| no_labels(&pipeline.dataset.describe(), "some images of"))?;
        }
        let mut engine = Engine::new(pipeline.network, pipeline.seed, device, Box::new(SingleProcess))?;
        engine.load(&run.snapshot).map_err(|error| {
            Failure::new(
                format!("`{}` does not fit the run's pipeline: {error}", run.checkpoint.display()),
                "give a checkpoint that this run has written",
            )
        })?;
        Ok(Trained {
            run,
            engine,
            splits,
            views: pipeline.views,
            plugins: pipeline.module_plugins.into_values().collect(),
            level: self.level.level(),
            n_workers: self.workers.unwrap_or_else(compute::default_workers).get(),
            unreadable: Arc::new(UnreadableLog::new(n_images, pipeline.max_unreadable)),
            view: self.view.clone(),
            seed: pipeline.seed,
            batch: pipeline.batch,
        })
    }
}

impl Trained {
    /// Features of a split, not normalized, seen through the view that was asked for.
    ///
    /// # Errors
    /// If images cannot be loaded.
    pub(crate) fn embed(&mut self, split: Split) -> anyhow::Result<Embedding> {
        let (what, which, n) = match split {
            Split::Train => ("embedding training images:", "training", self.splits.train.len()),
            Split::Test => {
                ("embedding test images:", "test", self.splits.test.as_ref().map_or(0, |test| test.len()))
            }
        };
        let measure = Measure {
            splits: &self.splits,
            views: &self.views,
            seed: self.seed,
            batch: self.batch,
            n_workers: self.n_workers,
            unreadable: &self.unreadable,
        };
        let request = Embed { split, view: &self.view, level: self.level };
        let mut line = ImageLine::start(what, n);
        let embedding = measure.embed_watched(&mut self.engine, request, &mut |n_done| line.show(n_done))?;
        drop(line);
        Ok(embedding.ok_or_else(|| no_split(which))?)
    }

    /// How messages call the features.
    pub(crate) fn level_name(&self) -> &'static str {
        match self.level {
            Level::Backbone => "backbone",
            Level::Head => "head",
        }
    }

    /// Compares the encoder with the checkpoint, bit for bit; gives the number of tensors.
    ///
    /// # Errors
    /// If one has changed, which would be a fault of the program.
    pub(crate) fn check_unchanged(&mut self) -> Result<usize, Failure> {
        let mut now = Snapshot::default();
        self.engine.save(&mut now);
        let of_encoder = |name: &&String| name.starts_with("query.");
        let mut n = 0;
        for name in now.tensors.keys().filter(of_encoder) {
            if !self
                .run
                .snapshot
                .tensors
                .get(name)
                .is_some_and(|before| same_bits(before, &now.tensors[name]))
            {
                return Err(Failure::new(
                    format!("measuring has changed `{name}` of the encoder: its metrics are not to be used"),
                    "this is a fault of the program or of a plugin: please report it",
                ));
            }
            n += 1;
        }
        Ok(n)
    }
}

fn same_bits(a: &Stored, b: &Stored) -> bool {
    match (a, b) {
        (Stored::F32 { shape: a_shape, values: a }, Stored::F32 { shape: b_shape, values: b }) => {
            a_shape == b_shape
                && a.iter().map(|value| value.to_bits()).eq(b.iter().map(|value| value.to_bits()))
        }
        (Stored::U64(a), Stored::U64(b)) => a == b,
        _ => false,
    }
}

fn check_labeled(dataset: &str, splits: &Splits) -> Result<(), Failure> {
    let lacks = |images: &dyn Images| images.class_names().is_empty();
    if lacks(splits.train.as_ref()) {
        return Err(no_labels(dataset, "the training images of"));
    }
    let Some(test) = &splits.test else { return Err(no_split("test")) };
    if lacks(test.as_ref()) {
        return Err(no_labels(dataset, "the test images of"));
    }
    Ok(())
}

fn no_labels(dataset: &str, which: &str) -> Failure {
    Failure::new(
        format!("{which} this dataset, {dataset}, have no labels"),
        "measure on a dataset with labels, such as class folders",
    )
}

fn no_split(which: &str) -> Failure {
    Failure::new(format!("this dataset has no {which} images"), "give it both parts, as its plugin describes")
}

fn check_view(pipeline: &Pipeline, view: &str) -> Result<(), Failure> {
    if pipeline.view(view).is_some() {
        return Ok(());
    }
    Err(unknown_view(&pipeline.views, view, "--view"))
}

/// What to say where the pipeline has no view called `view`, which `option` names.
pub(crate) fn unknown_view(views: &[View], view: &str, option: &str) -> Failure {
    let names: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
    Failure::new(
        format!("the run's pipeline has no view `{view}`"),
        format!("choose one with `{option}`: {}", names.join(", ")),
    )
}
