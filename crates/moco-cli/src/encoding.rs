//! A trained encoder and images for it, for `embed`, `neighbors`, `map` and `attend`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use moco::{Embeddings, Encoder, EncoderOptions, LoadError, Which};
use plugin_api::Images;

use crate::choice::{Layer, Side};
use crate::failure::{Failure, STOPPED};
use crate::image_pass::{PassArguments, Passed, none_readable, not_finite};
use crate::moved::{self, MovedArguments};
use crate::{notes, text};

/// Options of the encoder, and of the resources that it uses.
#[derive(clap::Args)]
pub(crate) struct EncoderArguments {
    /// Where in the encoder to take features.
    #[arg(long, value_enum, default_value_t = Layer::Backbone)]
    level: Layer,
    /// View of the pipeline that images are passed through.
    #[arg(long, default_value = "eval")]
    view: String,
    /// Encoder to use.
    #[arg(long, value_enum, default_value_t = Side::Query)]
    encoder: Side,
    /// Use the best checkpoint, not the newest.
    #[arg(long)]
    best: bool,
    #[command(flatten)]
    moved: MovedArguments,
    #[command(flatten)]
    pass: PassArguments,
}

/// Options of the images.
#[derive(clap::Args)]
pub(crate) struct ImageArguments {
    /// Images: a folder (searched recursively), an archive, a pack, a Parquet file, a list (one path per line), or image files.
    #[arg(required_unless_present = "split", conflicts_with = "split")]
    images: Vec<PathBuf>,
    /// Use this split of the run's dataset instead.
    #[arg(long, value_enum)]
    split: Option<Part>,
}

/// A split of a dataset.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Part {
    /// Training images.
    Train,
    /// Test images.
    Test,
}

impl EncoderArguments {
    /// Loads the encoder of `run`.
    pub(crate) fn load(&self, run: &std::path::Path) -> Result<Encoder, Failure> {
        self.pass.start()?;
        let options = EncoderOptions {
            checkpoint: if self.best { Which::Best } else { Which::Latest },
            weights: self.encoder.weights(),
            level: self.level.level(),
            view: self.view.clone(),
            batch: self.pass.batch.map(usize::from),
            workers: self.pass.workers.map(usize::from),
            moved: self.moved.moved(),
            threads: None,
        };
        Encoder::load_with(run, &options).map_err(|error| match error {
            // These errors have their own hints, and show the source line.
            LoadError::Run(error) => error.into(),
            LoadError::Pipeline(error) => error.into(),
            error => error.into(),
        })
    }

    /// The name of the features.
    pub(crate) fn level_name(&self) -> &'static str {
        self.level.name()
    }

    /// The options of a pass over images.
    pub(crate) fn pass(&self) -> &PassArguments {
        &self.pass
    }

    /// Describes the features, for messages.
    pub(crate) fn describe(&self, encoder: &Encoder) -> String {
        let level = self.level.name();
        let side = match self.encoder {
            Side::Query => "",
            Side::Momentum => " of the momentum encoder",
        };
        format!("{level} features{side}, view `{}`, {}", self.view, encoder.checkpoint().display())
    }

    /// Computes the features of `images`, and lists those that cannot be read.
    pub(crate) fn embed(&self, encoder: &mut Encoder, images: &Arc<dyn Images>) -> Result<Embedded, Failure> {
        let allowed = encoder.max_unreadable();
        let passed = self.pass.run("embedding", images.len(), allowed, |unreadable, watch| {
            encoder.embed_images(images, unreadable, watch)
        })?;
        let (embeddings, n_unreadable) = match passed {
            Passed::All { result, n_unreadable } => (result, n_unreadable),
            Passed::Stopped => return Ok(Embedded::Stopped),
        };
        if embeddings.n() == 0 {
            return Err(none_readable(images.len()));
        }
        if !embeddings.values().iter().all(|value| value.is_finite()) {
            return Err(not_finite("a feature"));
        }
        Ok(Embedded::All { embeddings, n_unreadable })
    }
}

/// How embedding ended.
pub(crate) enum Embedded {
    /// Every readable image has its features.
    All {
        /// The features.
        embeddings: Embeddings,
        /// Images that could not be read.
        n_unreadable: usize,
    },
    /// Ctrl-C.
    Stopped,
}

/// Ends a command that was stopped before it wrote anything.
pub(crate) fn stopped(out: &mut dyn Write) -> Result<std::process::ExitCode, Failure> {
    writeln!(out, "stopped; nothing was written")?;
    Ok(std::process::ExitCode::from(STOPPED))
}

impl ImageArguments {
    /// The images. None is read yet.
    pub(crate) fn open(&self, encoder: &Encoder) -> Result<Arc<dyn Images>, Failure> {
        match self.split {
            Some(part) => images_of_run(encoder, Some(part)),
            None => images_at(&self.images, encoder),
        }
    }
}

/// The images at `paths`. A few are read, to tell what is odd about them.
pub(crate) fn images_at(paths: &[PathBuf], encoder: &Encoder) -> Result<Arc<dyn Images>, Failure> {
    let opened = datasets::open_images(paths)?;
    let mut told = opened.notes;
    told.extend(notes::of_images(&*opened.images, encoder.dataset().ok()));
    notes::print(&told);
    Ok(opened.images)
}

/// The images of the run's dataset: those of `part`, or else the test images, or the training images if there are no others. None
/// is read yet.
pub(crate) fn images_of_run(encoder: &Encoder, part: Option<Part>) -> Result<Arc<dyn Images>, Failure> {
    let splits = encoder.dataset()?.open().map_err(|error| moved::with_way_out(&error))?;
    let mut told = splits.notes;
    let images = match (part, splits.test) {
        (Some(Part::Train), _) | (None, None) => splits.train,
        (_, Some(test)) => test,
        (Some(Part::Test), None) => {
            notes::print(&told);
            return Err(Failure::new(
                "the run's dataset has no test images",
                "use `--split train`, or give images: a folder, a list or files",
            ));
        }
    };
    told.extend(images.notes());
    notes::print(&told);
    Ok(images)
}

/// `, 3 unreadable images skipped`, or nothing.
pub(crate) fn skipped(n_unreadable: usize) -> String {
    match n_unreadable {
        0 => String::new(),
        n => format!(", {} skipped", text::count(n, "unreadable image")),
    }
}
