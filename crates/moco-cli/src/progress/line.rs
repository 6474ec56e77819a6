//! The progress line of a run.

use std::time::{Duration, Instant};

use plugin_api::LossRange;

use super::output::Output;
use super::pace::{Pace, Stopwatch};

/// The length of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProgressPlan {
    /// Epochs in the whole run.
    pub(super) epochs: u64,
    /// Steps per epoch.
    pub(super) steps_per_epoch: u64,
    /// The batch size.
    pub(super) batch: usize,
}

/// A completed step.
#[derive(Clone, Copy, Debug)]
pub(super) struct DoneStep {
    /// The epoch, from 0.
    pub(super) epoch: u64,
    /// The step within the epoch, from 0.
    pub(super) step: u64,
    /// How long it waited for data.
    pub(super) waited: Duration,
    /// The loss.
    pub(super) loss: f64,
    /// The loss at chance level, and its lower bound.
    pub(super) loss_range: LossRange,
}

/// A part of a step that starts (a micro-batch).
#[derive(Clone, Copy, Debug)]
pub(super) struct BegunPart {
    /// The epoch, from 0.
    pub(super) epoch: u64,
    /// The step within the epoch, from 0.
    pub(super) step: u64,
    /// The part, from 0, over all passes of the step.
    pub(super) part: usize,
    /// Parts of the step.
    pub(super) n_parts: usize,
}

/// One line on standard error, updated in place; without a terminal, one line now and then.
pub(super) struct ProgressLine {
    plan: ProgressPlan,
    note: String,
    /// The part of the last step's line after its position.
    state: String,
    watch: Stopwatch,
    began: Instant,
    output: Output,
}

impl ProgressLine {
    /// Starts the clock.
    pub(super) fn start(plan: ProgressPlan) -> Self {
        Self::with_output(plan, Output::stderr(plan.epochs * plan.steps_per_epoch))
    }

    /// Shows a completed step, and returns the speed.
    pub(super) fn step(&mut self, report: DoneStep) -> Pace {
        self.step_at(self.began.elapsed(), report)
    }

    /// Shows that a part of a step starts, with the last step's numbers.
    pub(super) fn part(&mut self, report: BegunPart) {
        self.part_at(self.began.elapsed(), report);
    }

    /// Sets the end of the line from now on: the latest measurement, such as `kNN 61.2 %`.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.note = note.into();
    }

    /// Says that something other than a step starts, such as an evaluation. It does not count as a slow step.
    pub(super) fn pause(&mut self) {
        self.watch.pause(self.began.elapsed());
    }

    /// Says that the next step starts.
    pub(super) fn resume(&mut self) {
        self.watch.resume(self.began.elapsed());
    }

    /// Shows a message above the line.
    pub(super) fn println(&mut self, message: &str) {
        self.output.println(message);
    }

    /// Leaves the line as it is, with the cursor below it.
    pub(super) fn finish(&mut self) {
        self.output.finish();
    }

    fn with_output(plan: ProgressPlan, output: Output) -> Self {
        let watch = Stopwatch::new(plan.batch, Duration::ZERO);
        Self { plan, note: String::new(), state: String::new(), watch, began: Instant::now(), output }
    }

    fn step_at(&mut self, now: Duration, report: DoneStep) -> Pace {
        let ProgressPlan { epochs, steps_per_epoch, .. } = self.plan;
        let n_done = report.epoch * steps_per_epoch + report.step + 1;
        let pace = self.watch.step(now, report.waited, (epochs * steps_per_epoch).saturating_sub(n_done));
        self.state = state(&report, &pace, &self.note);
        let line = place(&self.plan, report.epoch, report.step) + &self.state;
        self.output.show(now, n_done, report.step + 1 == steps_per_epoch, line);
        pace
    }

    fn part_at(&mut self, now: Duration, report: BegunPart) {
        let place = place(&self.plan, report.epoch, report.step);
        let line = format!("{place}  part {}/{}{}", report.part + 1, report.n_parts, self.state);
        let n_done = report.epoch * self.plan.steps_per_epoch + report.step;
        self.output.show(now, n_done, false, line);
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.finish();
    }
}

fn place(plan: &ProgressPlan, epoch: u64, step: u64) -> String {
    format!("epoch {}/{}  step {}/{}", epoch + 1, plan.epochs, step + 1, plan.steps_per_epoch)
}

/// The most important numbers come first, because a narrow terminal cuts off the end.
fn state(report: &DoneStep, pace: &Pace, note: &str) -> String {
    let DoneStep { loss, loss_range: LossRange { chance, floor }, .. } = report;
    let mut line = format!("  loss {loss:.2} (chance {chance:.2}, floor {floor:.2})");
    if !note.is_empty() {
        line += "  ";
        line += note;
    }
    line += &format!(
        "  ETA {}  {} img/s  data wait {:.0} %",
        format_duration(pace.eta),
        rate(pace.images_per_s),
        pace.share_waiting * 100.0,
    );
    line
}

pub(super) fn rate(images_per_s: f64) -> String {
    if images_per_s < 10.0 { format!("{images_per_s:.1}") } else { format!("{images_per_s:.0}") }
}

/// Formats a duration with its two largest units.
pub(super) fn format_duration(time: Duration) -> String {
    let (s, min, h) = (time.as_secs(), time.as_secs() / 60, time.as_secs() / 3600);
    match h {
        0 if min == 0 => format!("{s} s"),
        0 => format!("{min} min {} s", s % 60),
        1..24 => format!("{h} h {} min", min % 60),
        _ => format!("{} d {} h", h / 24, h % 24),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn report(epoch: u64, step: u64) -> DoneStep {
        let loss_range = LossRange { chance: 8.318, floor: 0.166 };
        DoneStep { epoch, step, waited: Duration::from_millis(40), loss: 6.2149, loss_range }
    }

    fn plain() -> (ProgressLine, Page) {
        let page = Page::default();
        let plan = ProgressPlan { epochs: 2, steps_per_epoch: 25, batch: 128 };
        let output = Output::Plain { target: Box::new(page.clone()), last: None };
        (ProgressLine::with_output(plan, output), page)
    }

    #[test]
    fn the_line_says_where_the_run_is_and_what_its_loss_means() {
        let (mut progress, page) = plain();
        progress.note("kNN 61.2 %");
        progress.step_at(Duration::from_secs(2), report(0, 0));
        let expected = "epoch 1/2  step 1/25  loss 6.21 (chance 8.32, floor 0.17)  kNN 61.2 %  \
                        ETA 1 min 38 s  64 img/s  data wait 2 %";
        assert_eq!(page.lines(), [expected]);
    }

    #[test]
    fn without_a_terminal_there_is_a_line_every_ten_seconds_and_at_the_end_of_an_epoch() {
        let (mut progress, page) = plain();
        for step in 0..50 {
            if step == 7 {
                progress.println("a message");
            }
            progress.step_at(Duration::from_secs(step + 1), report(step / 25, step % 25));
        }
        let lines = page.lines();
        let starts: Vec<&str> = lines.iter().map(|line| line.split("  loss").next().unwrap()).collect();
        let expected = [
            "epoch 1/2  step 1/25",
            "a message",
            "epoch 1/2  step 11/25",
            "epoch 1/2  step 21/25",
            "epoch 1/2  step 25/25",
            "epoch 2/2  step 10/25",
            "epoch 2/2  step 20/25",
            "epoch 2/2  step 25/25",
        ];
        assert_eq!(starts, expected);
    }

    #[test]
    fn parts_of_a_step_are_shown_with_what_the_last_step_said() {
        let (mut progress, page) = plain();
        let part = |step, part| BegunPart { epoch: 0, step, part, n_parts: 6 };
        progress.part_at(Duration::from_secs(1), part(0, 0));
        progress.part_at(Duration::from_secs(2), part(0, 1));
        progress.part_at(Duration::from_secs(12), part(0, 5));
        progress.step_at(Duration::from_secs(13), report(0, 0));
        progress.part_at(Duration::from_secs(30), part(1, 2));
        let expected = [
            "epoch 1/2  step 1/25  part 1/6",
            "epoch 1/2  step 1/25  part 6/6",
            "epoch 1/2  step 2/25  part 3/6  loss 6.21 (chance 8.32, floor 0.17)  ETA 10 min 37 s  9.8 img/s  data wait 0 %",
        ];
        assert_eq!(page.lines(), expected);
    }

    #[test]
    fn times_are_in_their_two_largest_units() {
        let words: Vec<String> =
            [0, 59, 61, 3600, 90_061].into_iter().map(|s| format_duration(Duration::from_secs(s))).collect();
        assert_eq!(words, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }
}
