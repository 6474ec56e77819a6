//! The line that a person watches while images are gone through.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The least time between two lines where they cannot be updated in place.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// One line on standard error, updated in place; where that is no terminal, a line now and then.
pub(crate) struct ImageLine {
    what: &'static str,
    n_images: usize,
    began: Instant,
    last: Duration,
    bar: Option<ProgressBar>,
}

impl ImageLine {
    /// Starts the clock. `what` is done to the images: `embedding`.
    pub(crate) fn start(what: &'static str, n_images: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // Cut off at the terminal's width, so that it stays one line.
            bar.with_style(ProgressStyle::with_template("{wide_msg}").expect("a template without arguments"))
        });
        Self { what, n_images, began: Instant::now(), last: Duration::ZERO, bar }
    }

    /// Shows that `n_done` images are done.
    pub(crate) fn show(&mut self, n_done: usize) {
        let now = self.began.elapsed();
        let line = line(self.what, n_done, self.n_images, now);
        match &self.bar {
            Some(bar) => bar.set_message(line),
            None if now - self.last >= BETWEEN_LINES => {
                // A closed standard error is no reason to stop.
                let _ = writeln!(io::stderr(), "{line}");
                self.last = now;
            }
            None => {}
        }
    }
}

impl Drop for ImageLine {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(what: &str, n_done: usize, n_images: usize, took: Duration) -> String {
    let rate = n_done as f64 / took.as_secs_f64().max(1e-9);
    let eta = took.as_secs_f64() * n_images.saturating_sub(n_done) as f64 / n_done.max(1) as f64;
    format!("{what} {n_done}/{n_images} images  ETA {}  {rate:.0} img/s", crate::run::took(eta))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_is_and_how_long_it_takes() {
        let shown = line("embedding", 250, 1000, Duration::from_secs(40));
        assert_eq!(shown, "embedding 250/1000 images  ETA 2.0 min  6 img/s");
    }
}
