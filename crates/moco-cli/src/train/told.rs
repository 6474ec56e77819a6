//! What was chosen, in a few lines.

use std::io::{self, Write};
use std::time::Duration;

use moco::estimate::Estimate;
use moco::recipe::Recipe;

use crate::run::format_seconds;
use crate::text;

/// Prints the choices and the estimate.
pub(crate) fn tell(out: &mut dyn Write, recipe: &Recipe, cost: &Estimate) -> io::Result<()> {
    let looked = recipe.looked();
    writeln!(out, "images    {}: {}", text::count(looked.n_images, "image"), looked.why_dataset)?;
    let network = match (&recipe.stem, &recipe.patch) {
        (Some(stem), _) => format!("{} with the {} stem", recipe.backbone.value, stem.value),
        (None, Some(patch)) => format!("{} with patches of {}", recipe.backbone.value, patch.value),
        (None, None) => recipe.backbone.value.to_string(),
    };
    let why = |chosen: &moco::recipe::Chosen<usize>| match chosen.is_given {
        true => "as asked for".to_owned(),
        false => chosen.why.clone(),
    };
    writeln!(out, "encoder   {network}, {} px: {}", recipe.size.value, why(&recipe.size))?;
    let queue = recipe.queue.as_ref().map(|queue| format!(", queue of {}", text::grouped(queue.value)));
    writeln!(
        out,
        "method    MoCo {}, batch of {}{}, learning rate {}, momentum {}",
        recipe.method.value,
        cost.batch,
        queue.unwrap_or_default(),
        recipe.learning_rate.value,
        recipe.momentum.value
    )?;
    let epochs = if recipe.epochs.is_given { "as asked for" } else { &recipe.epochs.why };
    writeln!(out, "length    {}: {epochs}", text::count(cost.epochs, "epoch"))?;
    let held_out = recipe.held_out.value.map(|share| format!(" on {} % held out", 100.0 * share));
    let measured = match recipe.knn.value {
        Some(k) => format!("kNN of {k} neighbors, and collapse{}", held_out.unwrap_or_default()),
        None => format!("collapse: {}", recipe.knn.why),
    };
    writeln!(out, "measured  {measured}")?;
    writeln!(out, "estimate  {}", time_and_memory(cost))
}

/// `0.52 s a step, 24 s an epoch, 20 min in all; 1.2 GB of memory`.
pub(crate) fn time_and_memory(cost: &Estimate) -> String {
    let mut parts = vec![format!("{} a step", seconds(cost.step))];
    parts.extend(cost.epoch().map(|epoch| format!("{} an epoch", seconds(epoch))));
    parts.extend(cost.total().map(|total| format!("{} in all", seconds(total))));
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
}
