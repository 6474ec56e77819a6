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
    /// How often the encoder is measured.
    pub(super) n_measurements: usize,
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
    /// The loss at chance level, and its lower bound, where they are known.
    pub(super) loss_range: Option<LossRange>,
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
    /// The last step.
    last: Option<(DoneStep, Pace)>,
    /// Whether a measurement is shown, and not the last step.
    is_measuring: bool,
    is_finished: bool,
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

    /// The whole line, if the last step ended an epoch.
    pub(super) fn at_epoch_end(&self) -> Option<String> {
        let (report, pace) = self.last.as_ref()?;
        let place = place(&self.plan, report.epoch, report.step);
        let pieces = pieces(report, pace, self.began.elapsed(), &self.note);
        (report.step + 1 == self.plan.steps_per_epoch).then(|| fitted(&place, &pieces, None))
    }

    /// Shows that a part of a step starts, with the last step's numbers.
    pub(super) fn part(&mut self, report: BegunPart) {
        self.part_at(self.began.elapsed(), report);
    }

    /// Sets what the line shows of the latest measurement from now on, such as `knn_top1 61.2 % (epoch 5)`.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.note = note.into();
    }

    /// Says that something other than a step starts, such as an evaluation. It does not count as a slow step.
    pub(super) fn pause(&mut self) {
        self.watch.pause(self.began.elapsed());
    }

    /// Says that what runs beside the steps was a measurement.
    pub(super) fn measured(&mut self) {
        self.watch.measured();
    }

    /// Shows how far a measurement has come.
    pub(super) fn measuring(&mut self, what: &str, n_done: usize, n_images: usize) {
        self.measuring_at(self.began.elapsed(), what, n_done, n_images);
    }

    /// Says that the next step starts.
    pub(super) fn resume(&mut self) {
        self.watch.resume(self.began.elapsed());
    }

    /// Shows a message above the line.
    pub(super) fn println(&mut self, message: &str) {
        self.output.println(message);
    }

    /// Leaves the last step's line, with the cursor below it. Nothing is shown any more.
    pub(super) fn finish(&mut self) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        if let (true, Some((report, _))) = (self.is_measuring, &self.last) {
            let place = place(&self.plan, report.epoch, report.step);
            let n_done = report.epoch * self.plan.steps_per_epoch + report.step + 1;
            self.show(self.began.elapsed(), n_done, false, &place);
        }
        self.output.finish();
    }

    fn with_output(plan: ProgressPlan, output: Output) -> Self {
        let watch = Stopwatch::new(plan.batch, plan.n_measurements, Duration::ZERO);
        Self {
            plan,
            note: String::new(),
            last: None,
            is_measuring: false,
            is_finished: false,
            watch,
            began: Instant::now(),
            output,
        }
    }

    fn step_at(&mut self, now: Duration, report: DoneStep) -> Pace {
        let ProgressPlan { epochs, steps_per_epoch, .. } = self.plan;
        let n_done = report.epoch * steps_per_epoch + report.step + 1;
        let pace = self.watch.step(now, report.waited, (epochs * steps_per_epoch).saturating_sub(n_done));
        self.last = Some((report, pace));
        self.is_measuring = false;
        let place = place(&self.plan, report.epoch, report.step);
        self.show(now, n_done, report.step + 1 == steps_per_epoch, &place);
        pace
    }

    fn part_at(&mut self, now: Duration, report: BegunPart) {
        let place = place(&self.plan, report.epoch, report.step);
        let place = format!("{place}  part {}/{}", report.part + 1, report.n_parts);
        self.show(now, report.epoch * self.plan.steps_per_epoch + report.step, false, &place);
    }

    fn measuring_at(&mut self, now: Duration, what: &str, n_done: usize, n_images: usize) {
        // The step after the last one that is done is not begun.
        let n_steps =
            self.last.as_ref().map_or(0, |(last, _)| last.epoch * self.plan.steps_per_epoch + last.step + 1);
        let n = if n_images > 0 { format!(" {n_done}/{n_images}") } else { String::new() };
        self.is_measuring = true;
        self.show(now, n_steps, false, &format!("measuring {what}{n}"));
    }

    /// Shows the last step's numbers behind `place`.
    fn show(&mut self, now: Duration, n_done: u64, must: bool, place: &str) {
        let pieces = match &self.last {
            Some((report, pace)) => pieces(report, pace, now, &self.note),
            None => Vec::new(),
        };
        let line = |width| fitted(place, &pieces, width);
        self.output.show(now, n_done, must, line);
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

/// What may follow the place, in the order in which it stands, each with its rank: in a narrow terminal, those of the last
/// ranks are left out.
fn pieces(report: &DoneStep, pace: &Pace, now: Duration, note: &str) -> Vec<(u8, String)> {
    let mut pieces = vec![(0, format!("  loss {:.2}", report.loss))];
    if let Some(LossRange { chance, floor }) = report.loss_range {
        pieces.push((3, format!(" (chance {chance:.2}, floor {floor:.2})")));
    }
    if !note.is_empty() {
        pieces.push((2, format!("  {note}")));
    }
    pieces.extend([
        (1, format!("  {}, ETA {}", short_duration(now), short_duration(pace.eta))),
        (4, format!("  {} img/s", rate(pace.images_per_s))),
        (5, format!("  data wait {:.0} %", pace.share_waiting * 100.0)),
    ]);
    pieces
}

/// `place` and those of the `pieces` that there is room for in `width` columns; all of them if that is `None`.
fn fitted(place: &str, pieces: &[(u8, String)], width: Option<usize>) -> String {
    let columns = |text: &str| text.chars().count();
    let mut room = width.map_or(usize::MAX, |width| width.saturating_sub(columns(place)));
    let mut shown = vec![false; pieces.len()];
    let mut by_rank: Vec<usize> = (0..pieces.len()).collect();
    by_rank.sort_by_key(|&i| pieces[i].0);
    for i in by_rank {
        let needed = columns(&pieces[i].1);
        if needed <= room {
            room -= needed;
            shown[i] = true;
        }
    }
    let shown = pieces.iter().zip(shown).filter(|(_, is_shown)| *is_shown);
    shown.fold(place.to_owned(), |line, ((_, piece), _)| line + piece)
}

pub(super) fn rate(images_per_s: f64) -> String {
    if images_per_s < 10.0 { format!("{images_per_s:.1}") } else { format!("{images_per_s:.0}") }
}

/// [`format_duration`] in a few letters: `1h05m`, for a line that is short of room.
fn short_duration(time: Duration) -> String {
    let (s, min, h) = (time.as_secs(), time.as_secs() / 60, time.as_secs() / 3600);
    match h {
        0 if min == 0 => format!("{s}s"),
        0 => format!("{min}m{:02}s", s % 60),
        1..24 => format!("{h}h{:02}m", min % 60),
        _ => format!("{}d{:02}h", h / 24, h % 24),
    }
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
        let loss_range = Some(LossRange { chance: 8.318, floor: 0.166 });
        DoneStep { epoch, step, waited: Duration::from_millis(40), loss: 6.2149, loss_range }
    }

    fn plain() -> (ProgressLine, Page) {
        let page = Page::default();
        let plan = ProgressPlan { epochs: 2, steps_per_epoch: 25, batch: 128, n_measurements: 0 };
        let output = Output::Plain { target: Box::new(page.clone()), last: None };
        (ProgressLine::with_output(plan, output), page)
    }

    #[test]
    fn the_line_says_where_the_run_is_and_what_its_loss_means() {
        let (mut progress, page) = plain();
        progress.note("knn_top1 61.2 % (epoch 1)");
        progress.step_at(Duration::from_secs(2), report(0, 0));
        let expected = "epoch 1/2  step 1/25  loss 6.21 (chance 8.32, floor 0.17)  knn_top1 61.2 % (epoch 1)  \
                        2s, ETA 1m38s  64 img/s  data wait 2 %";
        assert_eq!(page.lines(), [expected]);
    }

    #[test]
    fn a_narrow_terminal_keeps_place_loss_and_time() {
        let pace = Pace { images_per_s: 1804.0, share_waiting: 0.0, eta: Duration::from_secs(80) };
        let pieces = pieces(&report(15, 127), &pace, Duration::from_secs(3725), "knn_top1 57.6 % (epoch 15)");
        let lines: Vec<String> = [Some(69), Some(109), None]
            .into_iter()
            .map(|width| fitted("epoch 16/26  step 128/128", &pieces, width))
            .collect();
        let expected = [
            "epoch 16/26  step 128/128  loss 6.21  1h02m, ETA 1m20s  1804 img/s",
            "epoch 16/26  step 128/128  loss 6.21 (chance 8.32, floor 0.17)  knn_top1 57.6 % (epoch 15)  1h02m, ETA 1m20s",
            "epoch 16/26  step 128/128  loss 6.21 (chance 8.32, floor 0.17)  knn_top1 57.6 % (epoch 15)  1h02m, ETA 1m20s  1804 img/s  data wait 0 %",
        ];
        assert_eq!(lines, expected);
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
            "epoch 1/2  step 2/25  part 3/6  loss 6.21 (chance 8.32, floor 0.17)  30s, ETA 10m37s  9.8 img/s  data wait 0 %",
        ];
        assert_eq!(page.lines(), expected);
    }

    #[test]
    fn a_measurement_shows_how_far_it_is() {
        let (mut progress, page) = plain();
        progress.measuring_at(Duration::from_secs(1), "knn", 64, 200);
        progress.measuring_at(Duration::from_secs(12), "knn", 128, 200);
        progress.step_at(Duration::from_secs(30), report(0, 24));
        progress.measuring_at(Duration::from_secs(50), "lidar", 0, 0);
        let lines = page.lines();
        assert_eq!(lines[..2], ["measuring knn 64/200", "measuring knn 128/200"]);
        assert!(lines[3].starts_with("measuring lidar  loss 6.21"), "{lines:?}");
    }

    #[test]
    fn times_are_in_their_two_largest_units() {
        let words: Vec<String> =
            [0, 59, 61, 3600, 90_061].into_iter().map(|s| format_duration(Duration::from_secs(s))).collect();
        assert_eq!(words, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
        let short: Vec<String> =
            [0, 59, 61, 3600, 90_061].into_iter().map(|s| short_duration(Duration::from_secs(s))).collect();
        assert_eq!(short, ["0s", "59s", "1m01s", "1h00m", "1d01h"]);
    }
}
