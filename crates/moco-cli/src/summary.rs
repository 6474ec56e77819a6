//! `moco summary`: says what a pipeline takes.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use moco::estimate::{Estimate, EstimateOptions, LayerCost, ModuleCost, estimate};
use serde_json::json;

use crate::failure::Failure;
use crate::run::{WhileRead, unwrapped};
use crate::train::{seconds, time_and_memory};
use crate::{compute, cores, json, pipeline_file, text};

/// Say what a pipeline takes: layers, parameters, products, memory, time.
///
/// Makes a few steps of the pipeline in FILE, with its images if they are there and made-up ones otherwise, and throws away what
/// they trained. Nothing is written.
///
/// A product is a multiplication with an addition, as the layer is defined; convolutions by Winograd's algorithm make fewer.
/// Memory is the most that this process had while it trained and measured, or that the GPU had. Times are those of this machine as
/// it is now: other programs on it make them longer.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Pipeline file (RON).
    file: PathBuf,
    /// Override a value in the pipeline, for instance `data.batch=64`.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// List every layer by itself, not by blocks.
    #[arg(long)]
    layers: bool,
    /// Seconds that the timing may take, about; at least two steps are made.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Print one JSON object, each layer by itself.
    ///
    /// Print one JSON object: `modules` (each with `name`, `plugin`, `output`, `trained_parameters`, `frozen_parameters`, `products`
    /// and `layers`), `products_per_image`, `products_per_step`, `batch`, `epochs`, `training_images`, `test_images`,
    /// `steps_per_epoch`, `timed_steps`, `seconds_per_step`, `seconds_waiting_per_step`, `seconds_per_epoch`, `seconds_measuring`,
    /// `seconds_saving`, `seconds_in_all`, `peak_bytes`, `checkpoint_bytes` and `device`. What needs a dataset that is not there is
    /// `null`.
    #[arg(long)]
    json: bool,
    /// Data loader workers [default: one per core].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    workers: Option<NonZeroUsize>,
    /// Compute threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    threads: Option<NonZeroUsize>,
}

const EXAMPLES: &str = "\
Examples:
  moco summary pipelines/mocov2.ron
  moco summary pipelines/mocov2.ron --set modules.backbone.width=64 --layers
  moco summary pipelines/imagenet/mocov2-r50.ron --set data.batch=16 --json";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let device = compute::start(arguments.threads)?;
    let out = &mut WhileRead(out);
    let pipeline = pipeline_file::read(&arguments.file, &arguments.set, &device)?;
    let options =
        EstimateOptions { workers: arguments.workers, limit: Duration::from_secs(arguments.seconds) };
    // A single step of a large batch takes minutes.
    let images = text::count(pipeline.batch, "image");
    let _ = writeln!(io::stderr(), "timing a few steps of {images}, at least one ...");
    let cost = estimate(pipeline, &options).map_err(unwrapped)?;
    match arguments.json {
        true => json::print(out, &as_json(&cost))?,
        false => print(out, &cost, arguments.layers)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut dyn Write, cost: &Estimate, all_layers: bool) -> io::Result<()> {
    let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![row(["module", "output", "parameters", "products"])];
    for module in &cost.modules {
        let parameters = text::grouped(module.n_trained + module.n_frozen);
        rows.push(vec![
            format!("{} ({})", module.name, module.plugin),
            shape(module.output()),
            parameters,
            products(module.products()),
        ]);
        let layers = if all_layers { module.layers.clone() } else { blocks(module) };
        // A module of one layer has said everything.
        for layer in layers.iter().filter(|_| layers.len() > 1) {
            let name = if layer.name.is_empty() { &module.name } else { &layer.name };
            rows.push(vec![
                format!("  {name}"),
                shape(&layer.output),
                if layer.n_parameters > 0 { text::grouped(layer.n_parameters) } else { String::new() },
                products(layer.products),
            ]);
        }
    }
    write!(out, "{}", text::table(&rows))?;
    let sum = |of: fn(&ModuleCost) -> usize| cost.modules.iter().map(of).sum::<usize>();
    let (trained, frozen) = (sum(|module| module.n_trained), sum(|module| module.n_frozen));
    let frozen = if frozen > 0 { format!(", {} frozen", text::grouped(frozen)) } else { String::new() };
    writeln!(out, "parameters  {} trained{frozen}", text::grouped(trained))?;
    writeln!(
        out,
        "products    {} an image forward, {} a step of {} with keys and backward pass",
        products(cost.products_per_image),
        products(cost.products_per_step),
        text::count(cost.batch, "image")
    )?;
    let waits = 100.0 * cost.waited.as_secs_f64() / cost.step.as_secs_f64().max(1e-9);
    let timed = match cost.n_images {
        Some(_) => {
            format!("{} timed, {waits:.0} % of it waiting for images", text::count(cost.n_timed, "step"))
        }
        None => format!(
            "{} timed, with made-up images: the dataset is not here",
            text::count(cost.n_timed, "step")
        ),
    };
    writeln!(out, "time        {} ({timed})", time_and_memory(cost))?;
    if let (Some(n_steps), Some(epoch)) = (cost.steps_per_epoch(), cost.epoch()) {
        writeln!(
            out,
            "run         {} of {}: {}, and {} measuring, {} saving",
            text::count(cost.epochs, "epoch"),
            text::count(n_steps, "step"),
            seconds(epoch.mul_f64(cost.epochs as f64)),
            seconds(cost.measuring()),
            seconds(cost.saving())
        )?;
    }
    writeln!(out, "device      {}", compute::describe())
}

/// The layers of a module by blocks: what has the first name in common, and the number behind it.
fn blocks(module: &ModuleCost) -> Vec<LayerCost> {
    let mut blocks: Vec<LayerCost> = Vec::new();
    for layer in &module.layers {
        let name = block_of(&layer.name);
        match blocks.last_mut() {
            Some(last) if last.name == name => {
                last.n_parameters += layer.n_parameters;
                last.products += layer.products;
                if !layer.output.is_empty() {
                    last.output.clone_from(&layer.output);
                }
            }
            _ => blocks.push(LayerCost { name, ..layer.clone() }),
        }
    }
    blocks
}

/// `layer1.0` of `layer1.0.conv1`, `patch_embed` of `patch_embed.proj`.
fn block_of(layer: &str) -> String {
    let mut parts = layer.split('.');
    let first = parts.next().unwrap_or_default();
    match parts.next() {
        Some(number) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{first}.{number}")
        }
        _ => first.to_owned(),
    }
}

fn shape(sizes: &[usize]) -> String {
    sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ")
}

/// `1.82 G`; nothing for 0.
fn products(n: u64) -> String {
    let n = n as f64;
    match n {
        0.0 => String::new(),
        ..1e3 => format!("{n:.0}"),
        ..1e6 => format!("{:.1} k", n / 1e3),
        ..1e9 => format!("{:.1} M", n / 1e6),
        ..1e12 => format!("{:.2} G", n / 1e9),
        _ => format!("{:.2} T", n / 1e12),
    }
}

fn as_json(cost: &Estimate) -> serde_json::Value {
    let modules: Vec<_> = cost
        .modules
        .iter()
        .map(|module| {
            let layers: Vec<_> = module
                .layers
                .iter()
                .map(|layer| {
                    json!({
                        "name": layer.name,
                        "output": layer.output,
                        "parameters": layer.n_parameters,
                        "products": layer.products,
                    })
                })
                .collect();
            json!({
                "name": module.name,
                "plugin": module.plugin,
                "output": module.output(),
                "trained_parameters": module.n_trained,
                "frozen_parameters": module.n_frozen,
                "products": module.products(),
                "layers": layers,
            })
        })
        .collect();
    json!({
        "modules": modules,
        "products_per_image": cost.products_per_image,
        "products_per_step": cost.products_per_step,
        "batch": cost.batch,
        "epochs": cost.epochs,
        "training_images": cost.n_images.map(|(n_train, _)| n_train),
        "test_images": cost.n_images.map(|(_, n_test)| n_test),
        "steps_per_epoch": cost.steps_per_epoch(),
        "timed_steps": cost.n_timed,
        "seconds_per_step": cost.step.as_secs_f64(),
        "seconds_waiting_per_step": cost.waited.as_secs_f64(),
        "seconds_per_epoch": cost.epoch().map(|time| time.as_secs_f64()),
        "seconds_measuring": cost.measuring().as_secs_f64(),
        "seconds_saving": cost.saving().as_secs_f64(),
        "seconds_in_all": cost.total().map(|time| time.as_secs_f64()),
        "peak_bytes": cost.peak_memory,
        "checkpoint_bytes": cost.checkpoint_bytes,
        "device": compute::describe(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_a_block_are_one_line() {
        for (layer, block) in [
            ("layer1.0.conv1", "layer1.0"),
            ("layer1.0.downsample.0", "layer1.0"),
            ("blocks.11.attn (attention)", "blocks.11"),
            ("patch_embed.proj", "patch_embed"),
            ("patch_embed.proj.0", "patch_embed"),
            ("conv1", "conv1"),
            ("", ""),
        ] {
            assert_eq!(block_of(layer), block);
        }
    }

    #[test]
    fn products_have_three_digits_and_a_unit() {
        let shown = [0, 12, 4_096, 2_500_000, 1_820_000_000, 3_000_000_000_000].map(products);
        assert_eq!(shown, ["", "12", "4.1 k", "2.5 M", "1.82 G", "3.00 T"]);
        assert_eq!(shape(&[8, 8, 64]), "8 x 8 x 64");
    }
}
