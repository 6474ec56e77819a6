//! Monitors, and the best checkpoint by what they measure.

use crate::build_plan::ViewImages;
use crate::checker::Checker;
use crate::config::{EarlyStoppingConfig, PipelineConfig};
use crate::measuring::MEASURING;
use crate::moved::Moved;
use crate::pixels;
use crate::views::{View, Views};
use pipeline_text::Checked;
use plugin_api::{Backbone, Monitor, MonitorContext};
use tensor_ops::Mode;

/// Monitors with their plugins' names.
pub(crate) type Monitors = Vec<(String, Box<dyn Monitor>)>;

/// What monitors look at.
#[derive(Clone, Copy)]
pub(crate) struct Measured<'a> {
    pub(crate) backbone: &'a dyn Backbone,
    /// What it trains on.
    pub(crate) images: ViewImages,
    /// Channels of the images in the dataset, if it tells.
    pub(crate) channels: Option<usize>,
    /// Where images are now.
    pub(crate) moved: &'a Moved,
}

/// Builds the monitors, each of which needs its views, of a size that the encoder can take.
pub(crate) fn check_monitors(
    checker: &Checker,
    config: &PipelineConfig,
    views: &Views,
    measured: Measured<'_>,
) -> Checked<Monitors> {
    let mut monitors = Monitors::new();
    for (i, plugin) in config.monitor.iter().enumerate() {
        let path = ["monitor", &i.to_string()].map(str::to_owned);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let context = MonitorContext { seed: config.seed };
        let monitor = checker.build_as::<dyn Monitor>(&path, &context, |text, config| {
            measured.moved.text_of_nested(text, config)
        })?;
        check_dataset(checker, &path, &*monitor, measured.channels)?;
        for name in monitor.views() {
            let Some(view) = views.get(name) else {
                let names: Vec<&str> = views.built.iter().map(|view| view.name.as_str()).collect();
                return Err(checker.fault(
                    &path,
                    format!("the monitor `{}` looks through the view `{name}`, which is not declared", plugin.name()),
                    format!(
                        "add `\"{name}\": [(\"resize\", ..), (\"center-crop\", ..), (\"normalize\", ..)]` to `views`, or name another of: {}",
                        names.join(", ")
                    ),
                ));
            };
            check_images(checker, view, measured)?;
        }
        monitors.push((plugin.name().to_owned(), monitor));
    }
    if let Some(view) = views.get(MEASURING) {
        check_images(checker, view, measured)?;
    }
    Ok(monitors)
}

/// A dataset of a monitor's own must have the channels of the run's images, which its views were made for.
fn check_dataset(
    checker: &Checker,
    path: &[&str],
    monitor: &dyn Monitor,
    channels: Option<usize>,
) -> Checked<()> {
    let (Some(own), Some(channels)) = (monitor.dataset(), channels) else { return Ok(()) };
    let has = own.dataset().channels();
    if has == channels {
        return Ok(());
    }
    let mut place = path.to_vec();
    place.extend(own.field().split('.'));
    Err(checker.fault(
        &place,
        format!("the encoder trains on images of {channels} channels, and those of this dataset have {has}"),
        "measure on images with the channels of `data.source`",
    ))
}

/// A view for measuring must have the channels and the size that the encoder trains on, or another size that its backbone
/// can take.
fn check_images(
    checker: &Checker,
    view: &View,
    Measured { backbone, images, .. }: Measured<'_>,
) -> Checked<()> {
    let ViewImages { size, channels } = images;
    if view.channels != channels {
        return Err(checker.fault_at_name(
            &["views", &view.name],
            format!(
                "the view `{}` gives images of {} channels, but the encoder trains on {channels}",
                view.name, view.channels
            ),
            "give every view of one encoder the same channels",
        ));
    }
    if view.size == size {
        return Ok(());
    }
    backbone.check_image_size(view.size, Mode::Eval).map_err(|error| {
        checker.fault_at_name(
            &["views", &view.name],
            format!(
                "the view `{}` gives images of {}, but the encoder trains on {}: {error}",
                view.name,
                pixels(view.size),
                pixels(size)
            ),
            error.hint().unwrap_or("give every view of one encoder the same size"),
        )
    })
}

/// The best checkpoint is that of a metric which some monitor takes.
pub(crate) fn check_best(checker: &Checker, config: &PipelineConfig, monitors: &Monitors) -> Checked<()> {
    let Some(best) = &config.checkpoint.best else { return Ok(()) };
    let named = checker.tree().find(&["checkpoint", "best"]).is_some();
    if named { check_measured(checker, &["checkpoint", "best"], best, monitors) } else { Ok(()) }
}

/// A run ends early by a metric that some monitor takes.
pub(crate) fn check_early_stopping(
    checker: &Checker,
    config: &PipelineConfig,
    monitors: &Monitors,
) -> Checked<()> {
    match &config.early_stopping {
        None => Ok(()),
        Some(EarlyStoppingConfig { patience: 0, .. }) => Err(checker.fault(
            &["early_stopping", "patience"],
            "the run would end after its first measurement",
            "write the number of epochs that the metric may get no better, for instance 20",
        )),
        Some(EarlyStoppingConfig { metric, .. }) => {
            check_measured(checker, &["early_stopping", "metric"], metric, monitors)
        }
    }
}

/// Some monitor takes `metric`, which stands at `path`.
fn check_measured(checker: &Checker, path: &[&str], metric: &str, monitors: &Monitors) -> Checked<()> {
    let metrics: Vec<&str> = monitors.iter().flat_map(|(_, monitor)| monitor.metrics()).copied().collect();
    if metrics.contains(&metric) {
        return Ok(());
    }
    let hint = match metrics.is_empty() {
        true => {
            "the pipeline has no monitor: add one, for instance `monitor: [(\"knn\", ())]`, or remove this"
                .into()
        }
        false => plugin_api::suggest(metric, &metrics),
    };
    Err(checker.fault(path, format!("no monitor measures `{metric}`"), hint))
}
