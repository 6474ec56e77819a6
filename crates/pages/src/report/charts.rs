//! The charts of one run or several.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::course::{Course, Measured, Points};
use crate::chart::{Axis, LineChart, Series, thinned};

/// Points of a line at the most.
const MOST_POINTS: usize = 1000;

const LOSS: &str = "Lower is better. Chance is the loss of an encoder that tells nothing apart, the floor about the least there is. \
    With a queue it starts low, rises while the queue fills, and then falls slowly; a loss that stays at chance means collapse.";
const OWN_KEY: &str = "The share of queries that are nearer to their own key than to any other. It is high in the first steps for \
    the same reason that the loss is low.";
const ACCURACY: &str = "How many test images get their right class from their nearest training images (knn) or a linear classifier \
    (probe).";
const FEATURE_STD: &str = "0 is collapse: all features are alike. What counts is that it does not fall back.";
const EFFECTIVE_RANK: &str =
    "How many directions the features use; 1 is collapse. Compare it between runs of one setting only.";
const OTHER_METRIC: &str = "As its monitor measures it.";
const LR: &str = "The learning rate of each step: a warm-up that is missing, or a decay that comes too early, is seen here.";
const MOMENTUM: &str =
    "The share of the momentum encoder's weights that stays at each step; near 1 its keys change slowly.";
const NUMBER: &str = "A number of the pipeline that changes while it trains: a ramp.";
const GRADIENT: &str = "The largest absolute value, in powers of ten. A jump of the first layer, before the loss moves, is how \
    training becomes unstable; triangles mark epochs with a spike.";
const SPEED: &str =
    "It should be level. A fall means that something else uses the machine, or that images come too late.";
const DATA_WAIT: &str = "The share of time in which steps waited for images. If it is not near 0, give it more workers or faster \
    storage.";

/// A curve that every run has: its name, its points, and its steps behind them.
struct Curve {
    name: &'static str,
    points: fn(&Course) -> &Points,
    steps: Option<fn(&Course) -> &Points>,
}

/// The charts for which there is something to draw.
pub(super) fn charts(courses: &[Course]) -> Markup {
    let mut charts = Vec::new();
    let mut add = |chart: LineChart, how_to_read: &str| {
        if chart.has_points() {
            charts.push(chart.figure(how_to_read));
        }
    };
    let mut loss = chart(
        courses,
        "Loss",
        Axis::linear(""),
        &[Curve { name: "loss", points: |run| &run.loss, steps: Some(|run| &run.step_loss) }],
    );
    loss.levels = levels(courses);
    add(loss, LOSS);
    for (chart, how_to_read) in measured(courses) {
        add(chart, &how_to_read);
    }
    let own_key =
        Curve { name: "own key first", points: |run| &run.own_key, steps: Some(|run| &run.step_own_key) };
    add(chart(courses, "Queries nearest to their own key", Axis::share(""), &[own_key]), OWN_KEY);
    add(
        chart(
            courses,
            "Learning rate",
            Axis::linear("").from_zero(),
            &[plain("learning rate", |run| &run.lr)],
        ),
        LR,
    );
    add(chart(courses, "Momentum", Axis::linear(""), &[plain("momentum", |run| &run.momentum)]), MOMENTUM);
    for chart in numbers(courses) {
        add(chart, NUMBER);
    }
    for chart in gradients(courses) {
        add(chart, GRADIENT);
    }
    add(
        chart(
            courses,
            "Images per second",
            Axis::linear("").from_zero(),
            &[plain("images per second", |run| &run.images_per_s)],
        ),
        SPEED,
    );
    add(
        chart(
            courses,
            "Waiting for images",
            Axis::share("").from_zero(),
            &[plain("waiting", |run| &run.data_wait)],
        ),
        DATA_WAIT,
    );
    html! { div class="charts" { @for chart in &charts { (chart) } } }
}

fn plain(name: &'static str, points: fn(&Course) -> &Points) -> Curve {
    Curve { name, points, steps: None }
}

/// Several curves of one run are told apart by color; of several runs, the runs are.
fn chart(courses: &[Course], title: &str, y: Axis, curves: &[Curve]) -> LineChart {
    let mut series = Vec::new();
    let is_alone = courses.len() == 1;
    for (number, course) in courses.iter().enumerate() {
        for (place, curve) in curves.iter().enumerate() {
            let color = if is_alone { place } else { number };
            let name = if is_alone { curve.name } else { &course.name };
            if let Some(steps) = curve.steps.map(|steps| steps(course)).filter(|steps| !steps.is_empty()) {
                series.push(
                    Series::line(format!("{name}, steps"), thinned(steps, MOST_POINTS))
                        .colored(color)
                        .faint(),
                );
            }
            let points = (curve.points)(course);
            if !points.is_empty() {
                series.push(Series::line(name, thinned(points, MOST_POINTS)).colored(color));
            }
        }
    }
    // Lines of means lie over those of steps.
    series.sort_by_key(|series| series.stroke == crate::chart::Stroke::Plain);
    LineChart {
        title: title.into(),
        x: Axis::whole("epoch"),
        y,
        series,
        levels: Vec::new(),
        marks: Vec::new(),
    }
}

/// A chart for each number that changes in any of the runs.
fn numbers(courses: &[Course]) -> Vec<LineChart> {
    let names: BTreeSet<&String> =
        courses.iter().flat_map(|course| &course.numbers).map(|(name, _)| name).collect();
    let of = |wanted: &String| {
        let found = courses.iter().enumerate().filter_map(|(number, course)| {
            let (name, points) = course.numbers.iter().find(|(name, _)| name == wanted)?;
            let name = if courses.len() == 1 { name } else { &course.name };
            Some(Series::line(name, thinned(points, MOST_POINTS)).colored(number))
        });
        LineChart {
            title: wanted.clone(),
            x: Axis::whole("epoch"),
            y: Axis::linear(""),
            series: found.collect(),
            levels: Vec::new(),
            marks: Vec::new(),
        }
    };
    names.into_iter().map(of).collect()
}

/// Chance and floor, if they are those of all runs.
fn levels(courses: &[Course]) -> Vec<(String, f64)> {
    let all: Vec<[f64; 2]> = courses.iter().filter_map(|course| course.loss_levels).collect();
    let Some(first) = all.first() else { return Vec::new() };
    let are_equal = all.len() == courses.len()
        && all.iter().flatten().zip(first.iter().cycle()).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs());
    if !are_equal {
        return Vec::new();
    }
    let names = ["chance", "floor"].map(str::to_owned);
    names.into_iter().zip(*first).filter(|(_, value)| value.is_finite()).collect()
}

/// The accuracies of one run are one chart; everything else is a chart for each metric.
fn measured(courses: &[Course]) -> Vec<(LineChart, String)> {
    let mut names: Vec<&Measured> = Vec::new();
    let mut known = BTreeSet::new();
    for metric in courses.iter().flat_map(|course| &course.metrics) {
        if known.insert(&metric.name) {
            names.push(metric);
        }
    }
    let of_runs = |metric: &Measured| -> Vec<Series> {
        let found = courses.iter().enumerate().filter_map(|(number, course)| {
            let measured = course.metrics.iter().find(|measured| measured.name == metric.name)?;
            let name = if courses.len() == 1 { &metric.name } else { &course.name };
            Some(Series::line(name, thinned(&measured.points, MOST_POINTS)).colored(number))
        });
        found.collect()
    };
    let frame = |title: &str, metric: &Measured, series: Vec<Series>| LineChart {
        title: title.into(),
        x: Axis::whole("epoch"),
        y: Axis { unit: metric.unit, ..Axis::linear("") },
        series,
        levels: Vec::new(),
        marks: Vec::new(),
    };
    let accuracy = |chart: LineChart| {
        let how_to_read = format!("{ACCURACY}{}", epoch_0(&chart, courses, ": the line to beat"));
        (chart, how_to_read)
    };
    let (accuracies, others): (Vec<&Measured>, Vec<&Measured>) =
        names.into_iter().partition(|metric| metric.is_accuracy());
    let mut charts = Vec::new();
    if let ([course], Some(first)) = (courses, accuracies.first()) {
        let series = accuracies
            .iter()
            .enumerate()
            .flat_map(|(color, metric)| of_runs(metric).into_iter().map(move |series| series.colored(color)));
        let mut chart = frame("Accuracy", first, series.collect());
        if let Some((_, best)) =
            course.metrics.iter().find(|metric| metric.is_accuracy()).and_then(Measured::best)
        {
            chart.levels = vec![("best".into(), best)];
        }
        charts.push(accuracy(chart));
    } else {
        let chart = |metric: &&Measured| accuracy(frame(&metric.name, metric, of_runs(metric)));
        charts.extend(accuracies.iter().map(chart));
    }
    for metric in others {
        let (title, how_to_read) = match metric.name.as_str() {
            "feature_std" => ("Spread of features (feature_std)", FEATURE_STD),
            "effective_rank" => ("Effective rank (effective_rank)", EFFECTIVE_RANK),
            other => (other, OTHER_METRIC),
        };
        let chart = frame(title, metric, of_runs(metric));
        let beginning =
            if how_to_read == OTHER_METRIC { epoch_0(&chart, courses, "") } else { String::new() };
        charts.push((chart, format!("{how_to_read}{beginning}")));
    }
    charts
}

/// What is to be said of epoch 0, with `more` at its end, if `chart` has it; some metrics are measured from the first epoch on.
fn epoch_0(chart: &LineChart, courses: &[Course], more: &str) -> String {
    let mut points = chart.series.iter().flat_map(|series| &series.points);
    if !points.any(|(epoch, value)| *epoch == 0.0 && value.is_finite()) {
        return String::new();
    }
    let is_untrained = courses.iter().all(|course| course.origin.is_none());
    let encoder = if is_untrained { "the untrained encoder" } else { "the encoder before training" };
    format!(" Epoch 0 is {encoder}{more}.")
}

/// First and last layer: in one chart for one run, in two for several.
fn gradients(courses: &[Course]) -> Vec<LineChart> {
    let first = || plain("first layer", |run| &run.gradient_first);
    let last = || plain("last layer", |run| &run.gradient_last);
    let y = || Axis::powers("");
    let [course] = courses else {
        return vec![
            chart(courses, "Gradient of the first layer", y(), &[first()]),
            chart(courses, "Gradient of the last layer", y(), &[last()]),
        ];
    };
    let mut both = chart(courses, "Gradients", y(), &[first(), last()]);
    both.marks = course
        .spikes
        .iter()
        .map(|(epoch, n)| {
            (
                *epoch,
                format!(
                    "epoch {epoch}: {n} {}",
                    if *n == 1 { "step with a spike" } else { "steps with spikes" }
                ),
            )
        })
        .collect();
    vec![both]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Unit;

    fn course(name: &str) -> Course {
        let accuracy = |name: &str| Measured {
            name: name.into(),
            unit: Unit::Share,
            points: vec![(0.0, 0.2), (1.0, 0.5), (2.0, 0.4)],
            more_is_better: true,
            decides_best: false,
        };
        Course {
            name: name.into(),
            loss_levels: Some([8.32, 0.17]),
            loss: vec![(1.0, 7.0), (2.0, 6.0)],
            step_loss: (0..5000).map(|i| (f64::from(i) / 2500.0, 6.5)).collect(),
            metrics: vec![accuracy("knn_top1"), accuracy("probe_top1")],
            gradient_first: vec![(1.0, 0.1), (2.0, 0.2)],
            gradient_last: vec![(1.0, 0.3), (2.0, 0.2)],
            spikes: vec![(2.0, 1)],
            ..Course::default()
        }
    }

    #[test]
    fn one_run_has_its_curves_by_color_and_the_levels_of_its_loss() {
        let text = charts(&[course("run-001")]).into_string();
        for part in [
            "chance 8.32",
            "floor 0.170",
            "best 50.0 %",
            "knn_top1, epoch 1: 50.0 %",
            "epoch 2: 1 step with a spike",
        ] {
            assert!(text.contains(part), "{part} is not there");
        }
        assert_eq!(text.matches("<figure>").count(), 3, "what was not measured is no chart");
        assert!(text.len() < 40_000, "{} bytes for a line of 5000 steps", text.len());
    }

    #[test]
    fn a_number_with_a_ramp_is_a_chart_with_its_name() {
        let numbers = |name: &str| vec![(name.to_owned(), vec![(0.0, 0.2), (2.0, 0.1)])];
        let ramped = Course { numbers: numbers("contrast.temperature"), ..course("run-001") };
        let text = charts(&[ramped.clone(), course("run-002")]).into_string();
        assert!(text.contains("contrast.temperature") && text.contains("run-001, epoch 2: 0.1"), "{text}");
        let other = Course { numbers: numbers("optimizer.weight_decay"), ..course("run-002") };
        assert_eq!(charts(&[ramped, other]).into_string().matches("<figure>").count(), 5 + 2);
    }

    #[test]
    fn epoch_0_is_told_where_there_is_one() {
        let mut run = course("run-001");
        let drift = |points| Measured {
            name: "key_drift_newest".into(),
            unit: Unit::Plain,
            points,
            ..run.metrics[0].clone()
        };
        let measured_later = drift(vec![(1.0, 0.1), (2.0, 0.2)]);
        let measured_before = drift(vec![(0.0, 0.3), (1.0, 0.1)]);
        let told = |run: &Course| charts(std::slice::from_ref(run)).into_string();
        run.metrics = vec![measured_later.clone()];
        assert!(told(&run).contains("As its monitor measures it.<") && !told(&run).contains("Epoch 0"));
        run.metrics = vec![measured_before];
        assert!(told(&run).contains("measures it. Epoch 0 is the untrained encoder.<"));
        run.metrics = vec![Measured { unit: Unit::Share, ..measured_later }];
        assert!(told(&run).contains("(probe).<"));
        let run = Course { origin: Some("weights of another".into()), ..course("run-001") };
        assert!(told(&run).contains("Epoch 0 is the encoder before training: the line to beat.<"));
    }

    #[test]
    fn several_runs_have_a_chart_for_each_quantity() {
        let mut other = course("run-002");
        let text = charts(&[course("run-001"), other.clone()]).into_string();
        assert_eq!(text.matches("<figure>").count(), 5);
        assert!(text.contains("chance 8.32") && text.contains("run-002, epoch 1: 50.0 %"));
        other.loss_levels = Some([11.09, 6.09]);
        assert!(
            !charts(&[course("run-001"), other]).into_string().contains("chance 8.32"),
            "levels of one run only"
        );
    }
}
