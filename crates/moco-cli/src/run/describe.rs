//! What is told before a run trains.

use std::io::{self, Write};

use pipeline::Pipeline;
use plugin_api::Splits;
use run_store::shown;

use crate::{compute, pipeline_file, text};

/// The pipeline, its data, the length of the training, the network and the device.
pub(super) fn describe(
    out: &mut dyn Write,
    pipeline: &mut Pipeline,
    splits: &Splits,
    n_workers: usize,
) -> io::Result<()> {
    let modules: Vec<&str> = pipeline.network.modules.named().into_iter().map(|(name, _)| name).collect();
    let modules = modules.join(", ");
    writeln!(out, "pipeline  {}, seed {}", pipeline.name, pipeline.seed)?;
    writeln!(out, "data      {}: {}", shown(&pipeline.dataset.describe()), split_sizes(splits))?;
    for (monitor, dataset) in pipeline_file::own_datasets(pipeline) {
        writeln!(out, "monitor   {monitor} on {}", shown(&dataset.describe()))?;
    }
    writeln!(
        out,
        "training  {} of {}, batch size {}",
        text::count(pipeline.epochs, "epoch"),
        text::count(splits.train.len() / pipeline.batch, "step"),
        pipeline.batch
    )?;
    let parameters = pipeline_file::count_parameters(&pipeline.network);
    writeln!(out, "network   {modules}: {parameters}")?;
    writeln!(out, "device    {}, {}", compute::describe(), text::count(n_workers, "data loader worker"))
}

/// How the parts of a batch go to `n_processes`.
pub(super) fn dealt_parts(n_parts: usize, batch: usize, n_processes: usize, is_exact: bool) -> String {
    let size = batch / n_parts;
    let each = n_parts / n_processes;
    let mut text =
        format!("{n_parts} of {} (`data.micro_batch: {size}`), {each} a process", text::count(size, "image"));
    if !is_exact {
        text += ": the result of one process to within rounding, and not to the bit";
    }
    text
}

/// The number of images and classes.
pub(crate) fn split_sizes(splits: &Splits) -> String {
    let mut text = text::count(splits.train.len(), "training image");
    match &splits.test {
        Some(test) => text += &format!(", {}", text::count(test.len(), "test image")),
        None => text += ", no test images",
    }
    match splits.train.class_names().len() {
        0 => text + ", no labels",
        1 => text + ", 1 class",
        n => text + &format!(", {n} classes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_in_several_processes_says_whether_it_has_the_bits_of_one() {
        assert_eq!(dealt_parts(8, 256, 4, true), "8 of 32 images (`data.micro_batch: 32`), 2 a process");
        let rounded = dealt_parts(12, 48, 4, false);
        assert!(rounded.starts_with("12 of 4 images (`data.micro_batch: 4`), 3 a process: "), "{rounded}");
        assert!(rounded.ends_with("to within rounding, and not to the bit"), "{rounded}");
    }
}
