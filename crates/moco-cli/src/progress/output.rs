//! Where a progress line goes: a terminal, or a file that gets a line now and then.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use run_store::shown;

/// Columns that the bar and the space behind it take.
const BAR: usize = 11;

/// The minimum time between two lines if they cannot be updated in place.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// One line that is updated in place, or separate lines.
pub(super) enum Output {
    Terminal(ProgressBar),
    Plain { target: Box<dyn Write + Send>, last: Option<Duration> },
}

impl Output {
    /// Standard error, for progress from 0 to `n`.
    pub(super) fn stderr(n: u64) -> Self {
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(n), ProgressDrawTarget::stderr());
            // The message is cut off at the terminal's width, so that it stays one line.
            let style = ProgressStyle::with_template("{bar:10} {wide_msg}").expect("a template of indicatif");
            bar.set_style(style.progress_chars("=> "));
            Self::Terminal(bar)
        } else {
            Self::Plain { target: Box::new(std::io::stderr()), last: None }
        }
    }

    /// Shows when `done` of `n` are done the line that `line` makes for so many columns, or for any number. If it cannot be
    /// updated in place, it is shown only if enough time has passed, or if `must` is set.
    pub(super) fn show(
        &mut self,
        now: Duration,
        done: u64,
        must: bool,
        line: impl Fn(Option<usize>) -> String,
    ) {
        match self {
            Self::Terminal(bar) => {
                bar.set_position(done);
                bar.set_message(shown(&line(Some(textwrap::termwidth().saturating_sub(BAR)))).into_owned());
            }
            Self::Plain { target, last } => {
                let is_time = last.is_none_or(|last| now.saturating_sub(last) >= BETWEEN_LINES);
                if is_time || must {
                    print(target, &line(None));
                    *last = Some(now);
                }
            }
        }
    }

    /// Shows a message above the line.
    pub(super) fn println(&mut self, message: &str) {
        match self {
            Self::Terminal(bar) => bar.println(shown(message)),
            Self::Plain { target, .. } => print(target, message),
        }
    }

    /// Leaves the line as it is, with the cursor below it.
    pub(super) fn finish(&self) {
        if let Self::Terminal(bar) = self {
            bar.abandon();
        }
    }
}

fn print(target: &mut impl Write, line: &str) {
    // A closed standard error is no reason to stop training.
    let _ = writeln!(target, "{}", shown(line));
}
