//! What was chosen, in a few lines.

use std::time::Duration;

use moco::estimate::Estimate;
use moco::recipe::{Chosen, Recipe};
use pipeline::Pipeline;
use run_store::one_line;

use super::cost::Cost;
use crate::run::format_seconds;
use crate::text;

/// What will be trained.
pub(super) struct Told<'a> {
    /// What was chosen, with the reasons.
    pub(super) recipe: &'a Recipe,
    /// What came of it with what `--set` says, whose values are told.
    pub(super) pipeline: &'a Pipeline,
    pub(super) cost: &'a Cost,
    /// What `--set` says.
    pub(super) set: &'a [String],
    /// What to give to `--for` to train on all images, if only a part is.
    pub(super) for_all: Option<&'a str>,
}

impl Told<'_> {
    /// The choices and the estimate, a line each.
    pub(super) fn lines(&self) -> String {
        let lines = [
            ("images", self.images()),
            ("encoder", self.encoder()),
            ("method", self.method()),
            ("length", self.length()),
            ("measured", self.measured()),
            ("estimate", written(&self.cost.estimate, self.cost.total())),
        ];
        lines.into_iter().map(|(name, text)| format!("{name:<9} {}\n", one_line(&text))).collect()
    }

    /// Whether `--set` says something of the value at `path`, or of a value in it.
    fn is_set(&self, path: &str) -> bool {
        self.set.iter().any(|set| {
            let name = set.split('=').next().unwrap_or_default().trim();
            name.starts_with(path) || path.starts_with(&format!("{name}."))
        })
    }

    /// Training and test images.
    fn n_images(&self) -> (usize, usize) {
        let looked = self.recipe.looked();
        self.cost.estimate.n_images.unwrap_or((self.recipe.n_train, looked.n_test))
    }

    fn images(&self) -> String {
        let looked = self.recipe.looked();
        match self.is_set("data.source") {
            true => {
                format!("{}: as asked for", text::count(self.n_images().0, "training image"))
            }
            false => format!("{}: {}", text::count(looked.n_images, "image"), looked.why_dataset),
        }
    }

    fn encoder(&self) -> String {
        let Pipeline { network, module_plugins, trained_size: (height, width), .. } = self.pipeline;
        let told = network.modules.encoders.backbones.iter().next().map(|backbone| {
            match backbone.module.architecture() {
                Some(architecture) => architecture.describe(),
                None => module_plugins.get(&backbone.name).cloned().unwrap_or_default(),
            }
        });
        let encoder = told.unwrap_or_default();
        let size = if height == width { height.to_string() } else { format!("{height} x {width}") };
        let why = why(&self.recipe.size, *height == self.recipe.size.value && height == width);
        format!("{encoder}, {size} px: {why}")
    }

    fn method(&self) -> String {
        let Pipeline { network, batch, learning_rate, momentum, .. } = self.pipeline;
        let keys = network.modules.losses.iter().find_map(|loss| loss.module.past_keys());
        let queue =
            keys.map(|keys| format!(", queue of {}", text::grouped(keys.rows.len() / keys.width.max(1))));
        let momentum = momentum.map(|momentum| format!(", momentum {}", momentum.start));
        format!(
            "MoCo {}, batch of {batch}{}, learning rate {}{}",
            self.recipe.method.value,
            queue.unwrap_or_default(),
            learning_rate.scaled(*batch),
            momentum.unwrap_or_default()
        )
    }

    fn length(&self) -> String {
        let Pipeline { batch, epochs, .. } = self.pipeline;
        let n_steps = (self.n_images().0 / batch).saturating_mul(*epochs);
        let length = text::count(*epochs, "epoch");
        let steps = text::count(n_steps, "step");
        let is_chosen = *epochs == self.recipe.epochs.value;
        match &self.recipe.train_share {
            Some(share) if is_chosen && !self.is_set("data.source") => {
                let longer = self.for_all.map(|time| format!("; `--for {time}` would train on all"));
                let percent = percent(share.value);
                let (why, longer) = (&share.why, longer.unwrap_or_default());
                format!("{length} over {percent} % of the images, {steps}: {why}{longer}")
            }
            _ => format!("{length}, {steps}: {}", why(&self.recipe.epochs, is_chosen)),
        }
    }

    fn measured(&self) -> String {
        if self.is_set("monitor") {
            let names: Vec<&str> = self.pipeline.monitors.iter().map(|(name, _)| name.as_str()).collect();
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            return format!("{names}: as asked for");
        }
        let on = match (self.n_images().1, self.recipe.held_out.value) {
            (0, _) => "the training images".to_owned(),
            (n, Some(share)) if !self.is_set("data.source") => {
                format!("{}, {} % held out", text::count(n, "image"), percent(share))
            }
            (n, _) => text::count(n, "test image"),
        };
        match self.recipe.knn.value {
            Some(k) => format!("kNN of {k} neighbors, and collapse, on {on}"),
            None => format!("collapse on {on}: {}", self.recipe.knn.why),
        }
    }
}

/// Why a value is this one, if it is the one that was chosen.
fn why<T>(chosen: &Chosen<T>, is_chosen: bool) -> &str {
    if chosen.is_given || !is_chosen { "as asked for" } else { &chosen.why }
}

/// A share in percent, as people write it.
fn percent(share: f64) -> f64 {
    (share * 1e7).round() / 1e5
}

/// `0.52 s a step, 24 s an epoch, 20 min in all; 1.2 GB of memory`.
pub(crate) fn time_and_memory(cost: &Estimate) -> String {
    written(cost, cost.total())
}

fn written(cost: &Estimate, total: Option<Duration>) -> String {
    let mut parts = vec![format!("{} a step", seconds(cost.step))];
    parts.extend(cost.epoch().map(|epoch| format!("{} an epoch", seconds(epoch))));
    parts.extend(total.map(|total| format!("{} in all", seconds(total))));
    let mut text = parts.join(", ");
    if let Some(bytes) = cost.peak_memory {
        text += &format!("; {} of memory", text::bytes(bytes));
    }
    text
}

/// Short times with two digits, long ones as elsewhere.
pub(crate) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        ..0.0995 => format!("{:.0} ms", 1000.0 * seconds),
        ..9.95 => format!("{seconds:.2} s"),
        _ => format_seconds(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_digits_that_are_read() {
        let shown = [4, 250, 12_345, 600_000].map(|ms| seconds(Duration::from_millis(ms)));
        assert_eq!(shown, ["4 ms", "0.25 s", "12 s", "10.0 min"]);
    }

    #[test]
    fn shares_have_the_digits_that_are_known() {
        let shown = [0.05, 0.314, 0.0287, 0.00123].map(|share| percent(share).to_string());
        assert_eq!(shown, ["5", "31.4", "2.87", "0.123"]);
    }
}
