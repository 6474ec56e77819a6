//! A trained encoder and images for it, for `embed` and `neighbors`.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use loader::{LoaderError, UnreadableLog};
use moco::{EmbedError, Embeddings, Encoder, EncoderOptions, LoadError, Which};
use plugin_api::Images;

use crate::choice::{Layer, Side};
use crate::failure::{Failure, STOPPED};
use crate::interrupt::stop_softly;
use crate::moved::{self, MovedArguments};
use crate::progress::ImageLine;
use crate::{compute, notes, text};

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

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
    /// Share of images, from 0 to 1, that may be unreadable; up to 16 images always may be [default: the pipeline's].
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_unreadable: Option<f64>,
    #[command(flatten)]
    moved: MovedArguments,
    /// Images per forward pass, which bounds memory [default: the pipeline's batch size].
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,
    /// Data loader workers [default: one per core].
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Compute threads [default: one per core].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

/// Options of the images.
#[derive(clap::Args)]
pub(crate) struct ImageArguments {
    /// Images: a folder (searched recursively), a list (one path per line), or image files.
    #[arg(required_unless_present = "split", conflicts_with = "split")]
    images: Vec<PathBuf>,
    /// Use this split of the run's dataset instead.
    #[arg(long, value_enum)]
    split: Option<Part>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// Training images.
    Train,
    /// Test images.
    Test,
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("it must be a number from 0 to 1".into()),
    }
}

impl EncoderArguments {
    /// Loads the encoder of `run`.
    pub(crate) fn load(&self, run: &std::path::Path) -> Result<Encoder, Failure> {
        stop_softly(&STOP, Some("stopping after this batch; press Ctrl-C again to stop at once"))?;
        compute::start(self.threads)?;
        let options = EncoderOptions {
            checkpoint: if self.best { Which::Best } else { Which::Latest },
            weights: self.encoder.weights(),
            level: self.level.level(),
            view: self.view.clone(),
            batch: self.batch.map(usize::from),
            workers: self.workers.map(usize::from),
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
        let n_images = images.len();
        let share = self.max_unreadable.unwrap_or(encoder.max_unreadable());
        let unreadable = Arc::new(UnreadableLog::new(n_images, share));
        let mut line = ImageLine::start("embedding", n_images);
        let outcome = encoder.embed_images(images, &unreadable, &mut |n_done| {
            line.show(n_done);
            match STOP.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        drop(line);
        let embeddings = match outcome {
            Ok(embeddings) => embeddings,
            Err(EmbedError::Stopped { .. }) => return Ok(Embedded::Stopped),
            Err(EmbedError::Loader(error @ LoaderError::TooManyUnreadable { .. })) => {
                return Err(Failure::new(
                    error.to_string(),
                    "check the files named above; if the rest is fine, allow a larger share with `--max-unreadable`",
                ));
            }
            Err(error) => return Err(error.into()),
        };
        for image in unreadable.list() {
            // A closed standard error is no reason to lose the result.
            let _ = writeln!(io::stderr(), "skipped: {}", image.to_string().replace('\n', " "));
        }
        if embeddings.n() == 0 {
            return Err(LoaderError::NoneReadable { n_images }.into());
        }
        if !embeddings.values().iter().all(|value| value.is_finite()) {
            return Err(Failure::new(
                "a feature is infinite or not a number",
                "training has diverged: use an earlier checkpoint",
            ));
        }
        Ok(Embedded::All { embeddings, n_unreadable: unreadable.len() })
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
        let Some(part) = self.split else {
            let opened = datasets::open_images(&self.images)?;
            notes::print(&opened.notes);
            return Ok(opened.images);
        };
        let splits = encoder.dataset()?.open().map_err(|error| moved::with_way_out(&error))?;
        notes::print(&splits.notes);
        match part {
            Part::Train => Ok(splits.train),
            Part::Test => splits.test.ok_or_else(|| {
                Failure::new(
                    "the run's dataset has no test images",
                    "use `--split train`, or give images: a folder, a list or files",
                )
            }),
        }
    }
}

/// `, 3 unreadable images skipped`, or nothing.
pub(crate) fn skipped(n_unreadable: usize) -> String {
    match n_unreadable {
        0 => String::new(),
        n => format!(", {} skipped", text::count(n, "unreadable image")),
    }
}
