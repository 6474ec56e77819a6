//! What a monitor must do.

use std::collections::BTreeSet;

use plugin_api::{Metric, Monitor, MonitorContext, Outcome};

use crate::calm::calm;
use crate::config::Plugged;
use crate::extractor::{Data, MadeUp};
use crate::fault::{Checked, ensure, wrong};
use crate::metrics::check_names;
use crate::threads::with_threads;

/// Epochs of the run.
const EPOCHS: usize = 200;

/// Datasets, the one that has all first.
const DATA: [Data; 3] = [
    Data { has_test: true, has_labels: true },
    Data { has_test: true, has_labels: false },
    Data { has_test: false, has_labels: true },
];

pub(crate) fn check(name: &str, config: Option<&str>) -> Checked {
    let plugged = Plugged::<dyn Monitor>::find(name, config)?;
    let context = MonitorContext { seed: 3 };
    plugged.check_config(&context)?;
    let mut monitor = plugged.build(&context)?;
    let declared = monitor.metrics();
    ensure!(!declared.is_empty(), "it declares no metric: `metrics` names all that `measure` gives");
    check_names(declared)?;
    let due = calm("in `is_due`", || (0..=EPOCHS).filter(|epoch| monitor.is_due(*epoch, EPOCHS)).count())?;
    ensure!(due > 0, "`is_due` is false after each of {EPOCHS} epochs: it would never measure");
    let first = measured(&mut *monitor, DATA[0])?;
    ensure!(
        matches!(first, Told::Metrics(_)),
        "it measures nothing on a labeled dataset with a test split: {first:?}"
    );
    let again = measured(&mut *monitor, DATA[0])?;
    ensure!(first == again, "it measures {first:?}, and of the same features {again:?} the second time");
    let other = with_threads(3, || measured(&mut *plugged.build(&context)?, DATA[0]))??;
    ensure!(
        first == other,
        "it measures {first:?}, and {other:?} when it is built anew and there are 3 threads"
    );
    for data in &DATA[1..] {
        measured(&mut *monitor, *data)?;
    }
    Ok(())
}

/// What `measure` says: names and bits of metrics, or why there are none.
#[derive(Debug, PartialEq)]
enum Told {
    Metrics(Vec<(String, u64)>),
    Off(String),
}

fn measured(monitor: &mut dyn Monitor, data: Data) -> Checked<Told> {
    let mut encoder = MadeUp::new(data);
    let when = match data {
        Data { has_test: false, .. } => " without a test split",
        Data { has_labels: false, .. } => " without labels",
        _ => "",
    };
    let outcome = calm(&format!("in `measure`{when}"), || monitor.measure(&mut encoder))?;
    let views = monitor.views();
    if let Some(view) = encoder.asked.iter().find(|view| !views.contains(&view.as_str())) {
        return Err(wrong!(
            "it asks for features of the view `{view}`, which `views` does not name: {views:?}"
        ));
    }
    match outcome.map_err(|error| wrong!("`measure` fails{when}: {error}"))? {
        Outcome::Measured(metrics) => {
            check_metrics(&metrics, monitor.metrics())?;
            Ok(Told::Metrics(
                metrics.into_iter().map(|metric| (metric.name, metric.value.to_bits())).collect(),
            ))
        }
        Outcome::Off { reason } => {
            ensure!(!reason.trim().is_empty(), "it is off{when}, and does not say why");
            Ok(Told::Off(reason))
        }
    }
}

fn check_metrics(metrics: &[Metric], declared: &[&str]) -> Checked {
    let mut seen = BTreeSet::new();
    for Metric { name, value, is_share, protocol, .. } in metrics {
        ensure!(
            declared.contains(&name.as_str()),
            "it measures `{name}`, which `metrics` does not declare: {declared:?}"
        );
        ensure!(seen.insert(name), "it gives the metric `{name}` twice");
        ensure!(value.is_finite(), "its metric `{name}` is {value}");
        ensure!(
            !is_share || (0.0..=1.0).contains(value),
            "its metric `{name}` is {value}, and a share is from 0 to 1: `is_share`"
        );
        ensure!(
            !protocol.trim().is_empty(),
            "its metric `{name}` has no protocol, which says how it was measured"
        );
    }
    ensure!(!metrics.is_empty(), "it gives no metrics: `Outcome::Off` says why");
    Ok(())
}
