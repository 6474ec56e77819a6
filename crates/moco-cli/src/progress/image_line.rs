//! The progress line of a pass over images.

use std::time::{Duration, Instant};

use super::line::{format_duration, rate};
use super::output::Output;

/// One line on standard error, updated in place; without a terminal, one line now and then.
pub(crate) struct ImageLine {
    what: &'static str,
    n_images: usize,
    began: Instant,
    output: Output,
}

impl ImageLine {
    /// Starts the clock. `what` describes the work: `embedding`.
    pub(crate) fn start(what: &'static str, n_images: usize) -> Self {
        Self { what, n_images, began: Instant::now(), output: Output::stderr(n_images as u64) }
    }

    /// Shows that `n_done` images are done.
    pub(crate) fn show(&mut self, n_done: usize) {
        let now = self.began.elapsed();
        let line = line(self.what, n_done, self.n_images, now);
        self.output.show(now, n_done as u64, n_done >= self.n_images, |_| line.clone());
    }
}

impl Drop for ImageLine {
    fn drop(&mut self) {
        self.output.finish();
    }
}

fn line(what: &str, n_done: usize, n_images: usize, took: Duration) -> String {
    let images_per_s = n_done as f64 / took.as_secs_f64().max(1e-9);
    let n_left = n_images.saturating_sub(n_done);
    let eta = took.mul_f64(n_left as f64 / n_done.max(1) as f64);
    format!("{what} {n_done}/{n_images}  ETA {}  {} img/s", format_duration(eta), rate(images_per_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_is_and_how_long_it_takes() {
        let shown = line("embedding", 250, 1000, Duration::from_secs(25));
        assert_eq!(shown, "embedding 250/1000  ETA 1 min 15 s  10 img/s");
        assert_eq!(line("embedding", 0, 0, Duration::ZERO), "embedding 0/0  ETA 0 s  0.0 img/s");
    }
}
