//! The course of a run, from its log and TensorBoard's events.

use pages::{Course, Fact, Reach};
use pipeline::{Pipeline, Ramp, RampOf};
use plugin_api::Progress;
use run_store::RunFolder;
use run_store::metrics::{MetricsLog, Scalars};

use super::end::end;
use super::metrics::{deciding, metrics};
use super::{Line, ReportError};

/// Places at which the momentum coefficient and the numbers with ramps are drawn.
const POINTS: usize = 200;

/// The course of the run in `folder`, called `name`, and what must be said of it.
pub(super) fn course(
    folder: &RunFolder,
    name: &str,
    pipeline: Option<&Pipeline>,
) -> Result<(Course, Vec<String>), ReportError> {
    let mut notes = Vec::new();
    let lines = match folder.metrics().is_file() {
        true => MetricsLog::read(&folder.metrics())?,
        false => Vec::new(),
    };
    if !lines.iter().any(|line| number(line, "loss").is_some()) {
        notes.push(format!("{name} has no complete epoch yet."));
    }
    let along = |field: &str| -> Vec<(f64, f64)> {
        let point = |line: &Line| {
            let value = line.get(field)?;
            // What is not finite is written as `null`.
            Some((number(line, "epoch")?, value.as_f64().unwrap_or(f64::NAN)))
        };
        lines.iter().filter_map(point).collect()
    };
    let last_epoch = lines.iter().filter_map(|line| number(line, "epoch")).fold(0.0, f64::max);
    let steps = steps(folder, &lines);
    let by_steps = |tag: &str| steps.as_ref().map(|steps| steps.of(tag)).unwrap_or_default();
    let lr = by_steps("train/lr");
    let spikes = along("gradient_spikes").into_iter().filter(|(_, n)| *n > 0.0);
    let loss_levels = pipeline.and_then(loss_levels);
    let end = end(folder, loss_levels, &lines);
    let deciding = deciding(folder, &lines, pipeline.map(|pipeline| &pipeline.checkpoint));
    let course = Course {
        name: name.into(),
        reach: Reach {
            epochs_done: last_epoch as usize,
            epochs: pipeline.map(|pipeline| pipeline.epochs),
            standing: end.standing,
        },
        verdict: end.verdict,
        facts: facts(pipeline),
        origin: folder.read_origin(),
        loss_levels,
        loss: along("loss"),
        step_loss: by_steps("train/loss"),
        own_key: along("contrast_top1"),
        step_own_key: by_steps("train/contrast_top1"),
        metrics: metrics(&lines, deciding.as_deref(), &along),
        lr: if lr.is_empty() { along("lr") } else { lr },
        momentum: pipeline.map(|pipeline| momentum(pipeline, last_epoch)).unwrap_or_default(),
        numbers: pipeline.map(|pipeline| ramped(pipeline, last_epoch)).unwrap_or_default(),
        gradient_first: along("gradient_first_layer"),
        gradient_last: along("gradient_last_layer"),
        spikes: spikes.map(|(epoch, n)| (epoch, n as usize)).collect(),
        images_per_s: along("images_per_s"),
        data_wait: along("data_wait_share"),
    };
    Ok((course, notes))
}

fn number(line: &Line, field: &str) -> Option<f64> {
    line.get(field)?.as_f64()
}

/// TensorBoard's scalars, of which there are more than one an epoch.
struct Steps {
    scalars: Scalars,
    per_epoch: f64,
}

impl Steps {
    /// By epochs, with parts of them.
    fn of(&self, tag: &str) -> Vec<(f64, f64)> {
        self.scalars.of(tag).iter().map(|(step, value)| (*step as f64 / self.per_epoch, *value)).collect()
    }
}

/// Without events, or before the first epoch has ended, there are none.
fn steps(folder: &RunFolder, lines: &[Line]) -> Option<Steps> {
    let steps_of = |line: &Line| Some((number(line, "step")?, number(line, "epoch")?));
    let (step, epoch) =
        lines.iter().filter_map(steps_of).find(|(step, epoch)| *step > 0.0 && *epoch > 0.0)?;
    let scalars = Scalars::read(&folder.events(), |tag| tag.starts_with("train/")).ok()?;
    Some(Steps { scalars, per_epoch: step / epoch })
}

fn facts(pipeline: Option<&Pipeline>) -> Vec<Fact> {
    let fact = |name: &str, value: String| Fact { name: name.into(), value };
    let mut facts = Vec::new();
    if let Some(pipeline) = pipeline {
        facts.push(fact("pipeline", pipeline.name.clone()));
        facts.push(fact("seed", pipeline.seed.to_string()));
        facts.push(fact("batch size", pipeline.batch.to_string()));
        facts.push(fact("", pipeline.dataset.describe()));
    }
    facts
}

/// Chance and floor of the sum of all losses, each times its weight, if they are known and stay as they are.
fn loss_levels(pipeline: &Pipeline) -> Option<[f64; 2]> {
    let network = &pipeline.network;
    if network.ramps.iter().any(|ramp| matches!(ramp.of, RampOf::Loss(_))) {
        return None;
    }
    let range = pipeline::loss_range(&network.graph, &network.modules, pipeline.batch)?;
    Some([range.chance, range.floor])
}

fn momentum(pipeline: &Pipeline, epochs_done: f64) -> Vec<(f64, f64)> {
    let Some(momentum) = pipeline.momentum.filter(|_| epochs_done > 0.0) else { return Vec::new() };
    places(epochs_done).map(|epoch| (epoch, momentum.at(epoch / pipeline.epochs as f64))).collect()
}

/// The places up to the last epoch, in epochs.
fn places(epochs_done: f64) -> impl Iterator<Item = f64> {
    (0..=POINTS).map(move |i| epochs_done * i as f64 / POINTS as f64)
}

/// The numbers with ramps, up to the last epoch.
fn ramped(pipeline: &Pipeline, epochs_done: f64) -> Vec<(String, Vec<(f64, f64)>)> {
    let points = |ramp: &Ramp| {
        let point = |epoch: f64| {
            // As fine as the points are.
            let at = Progress {
                epoch: epoch as usize,
                step: (epoch.fract() * POINTS as f64) as usize,
                steps_per_epoch: POINTS,
                epochs: pipeline.epochs,
            };
            (epoch, ramp.at(at))
        };
        (ramp.what.clone(), places(epochs_done).map(point).collect())
    };
    let ramps = pipeline.network.ramps.iter().filter(|_| epochs_done > 0.0);
    ramps.map(points).collect()
}

#[cfg(test)]
mod tests {
    use run_store::metrics::{EventLog, MetricsLine};

    use super::*;

    #[test]
    fn the_course_is_that_of_the_log_and_the_events() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), "moco", None).unwrap();
        let (course, notes) = course(&folder, "moco-001", None).unwrap();
        assert_eq!(
            (course.loss.len(), &notes[..]),
            (0, &["moco-001 has no complete epoch yet.".to_owned()][..])
        );

        let mut log = MetricsLog::open(folder.metrics()).unwrap();
        let untrained = MetricsLine::new(0).with("epoch", 0).with("feature_std", 0.1).with("knn_top1", 0.2);
        log.append(&untrained).unwrap();
        for epoch in 1..=3_u64 {
            let line = MetricsLine::new(40 * epoch).with("epoch", epoch).with("loss", 8.0 / epoch as f64);
            let line = line.with("gradient_spikes", f64::from(u8::from(epoch == 2)));
            log.append(&line.with("knn_top1", if epoch == 3 { f64::NAN } else { 0.5 })).unwrap();
        }
        let mut events = EventLog::create(&folder.events(), 0).unwrap();
        events.scalars(10, [("train/loss", 8.5), ("train/lr", 0.25)]).unwrap();
        let (course, notes) = super::course(&folder, "moco-001", None).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(course.loss, [(1.0, 8.0), (2.0, 4.0), (3.0, 8.0 / 3.0)]);
        assert_eq!((course.step_loss, course.lr), (vec![(0.25, 8.5)], vec![(0.25, 0.25)]));
        assert_eq!((course.spikes, course.reach.epochs_done), (vec![(2.0, 1)], 3));
        let names: Vec<&str> = course.metrics.iter().map(|metric| &metric.name[..]).collect();
        assert_eq!(names, ["knn_top1", "feature_std"]);
        assert_eq!(course.metrics[0].best(), Some((1.0, 0.5)));
        assert!(course.metrics[0].points[3].1.is_nan());
    }

    #[test]
    fn a_number_with_a_ramp_is_drawn_as_far_as_the_run_is() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/small.ron");
        let ramp = r#"ramps=[(what: "modules.contrast.temperature", to: 0.5, along: Linear)]"#;
        let changes = [ramp.into(), "modules.contrast.temperature=0.1".into(), "epochs=4".into()];
        let pipeline = Pipeline::read(file.as_ref(), &changes, &tensor_ops::Device::default()).unwrap();
        let [(name, points)] = &ramped(&pipeline, 2.0)[..] else { panic!("one ramp") };
        assert_eq!((name.as_str(), points[0]), ("modules.contrast.temperature", (0.0, 0.1)));
        let (epoch, value) = points[POINTS];
        assert!(epoch == 2.0 && (value - 0.3).abs() < 1e-12, "{value}");
        assert!(ramped(&pipeline, 0.0).is_empty());
    }
}
