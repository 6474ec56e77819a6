//! A pass over images with a trained network, for `embed`, `neighbors` and `predict`.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use loader::{LoaderError, UnreadableLog};
use moco::EmbedError;
use run_store::one_line;

use crate::compute;
use crate::cores;
use crate::failure::Failure;
use crate::interrupt::{self, stop_softly};
use crate::progress::ImageLine;

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// Options of a pass, and of the resources that it uses.
#[derive(clap::Args)]
pub(crate) struct PassArguments {
    /// Share of images, from 0 to 1, that may be unreadable; up to 16 images always may be [default: the pipeline's].
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_unreadable: Option<f64>,
    /// Images per forward pass, which bounds memory [default: the pipeline's batch size].
    #[arg(long, value_name = "N")]
    pub(crate) batch: Option<NonZeroUsize>,
    /// Data loader workers [default: one per core].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Compute threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    threads: Option<NonZeroUsize>,
}

/// How a pass ended.
pub(crate) enum Passed<T> {
    /// Every readable image is done.
    All {
        /// What was computed of them.
        result: T,
        /// Images that could not be read.
        n_unreadable: usize,
    },
    /// Ctrl-C.
    Stopped,
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("it must be a number from 0 to 1".into()),
    }
}

impl PassArguments {
    /// Starts the threads, and listens to Ctrl-C from now on.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        stop_softly(&STOP, Some("stopping after this batch; press Ctrl-C again to stop at once"))?;
        compute::start(self.threads)?;
        Ok(())
    }

    /// Runs `compute` over `n_images` with a progress line that says `what`, and lists the images that cannot be read, of
    /// which the pipeline allows the share `allowed`.
    pub(crate) fn run<T>(
        &self,
        what: &'static str,
        n_images: usize,
        allowed: f64,
        compute: impl FnOnce(
            &Arc<UnreadableLog>,
            &mut dyn FnMut(usize) -> ControlFlow<()>,
        ) -> Result<T, EmbedError>,
    ) -> Result<Passed<T>, Failure> {
        interrupt::nothing_to_lose(false);
        let unreadable = Arc::new(UnreadableLog::new(n_images, self.max_unreadable.unwrap_or(allowed)));
        let mut line = ImageLine::start(what, n_images);
        let outcome = compute(&unreadable, &mut |n_done| {
            line.show(n_done);
            match STOP.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        drop(line);
        let result = match outcome {
            Ok(result) => result,
            Err(EmbedError::Stopped { .. }) => return Ok(Passed::Stopped),
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
            let _ = writeln!(io::stderr(), "skipped: {}", one_line(&image.to_string()));
        }
        // Nothing is written yet, and what follows has no batches to stop between.
        interrupt::nothing_to_lose(true);
        Ok(Passed::All { result, n_unreadable: unreadable.len() })
    }
}

/// The error for images of which none can be read.
pub(crate) fn none_readable(n_images: usize) -> Failure {
    LoaderError::NoneReadable { n_images }.into()
}

/// The error for values that are not finite.
pub(crate) fn not_finite(what: &str) -> Failure {
    Failure::new(
        format!("{what} is infinite or not a number"),
        "training has diverged: use an earlier checkpoint",
    )
}
