//! `cargo xtask bench ops`: one kernel after the other.
//!
//! [`case`] says what a measurement is, [`convolution`], [`normalization`], [`transformer`] and [`contrast`] which there are,
//! [`stopwatch`] times a backward pass, [`mod@line`] shows what came of it.

mod case;
mod contrast;
mod convolution;
mod line;
mod normalization;
mod operands;
mod stopwatch;
mod transformer;

use std::io::Write;
use std::num::NonZeroUsize;
use std::time::Duration;

use self::{
    case::{Case, Place},
    line::Line,
};
use super::{precision::Precision, seconds};
use moco_cli::Failure;
use moco_cli::compute;

/// Time each kernel by itself.
///
/// Times the kernels that training consists of, in the shapes of ResNet-18 on 32 px (batch 128), ResNet-50 on 224 px (batch
/// 16), and two vision transformers. Of a convolution or a linear layer the forward pass, the gradient of its input (`data`)
/// and that of its weights (`weights`) are timed apart. Each is run once to warm up, then at least three times, and the
/// median counts.
///
/// GFLOP/s count a multiplication and an addition for every tap, those on padding too, as is the custom: a kernel that needs
/// fewer may seem faster than the machine. The share is of what the registers do with the same instructions and threads when
/// no memory is touched, measured at the start. GB/s, of what is bound by memory, count each value once that must be read,
/// and once that must be written.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only kernels whose name has this in it, and others so named.
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// How long to measure each pass of each kernel.
    #[arg(long, value_name = "S", default_value_t = 0.3, value_parser = seconds)]
    seconds: f64,
    /// Threads that compute.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(2).expect("2 is not 0"))]
    threads: NonZeroUsize,
    /// In which precision values are kept between operations.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Prints a JSON object a line instead of the table.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench ops                                     everything, in about a minute
  cargo xtask bench ops --only conv3x3 --seconds 2          a family, with less noise
  cargo xtask bench ops --only 64px --only attention --threads 1
  cargo xtask bench ops --precision bf16                    bfloat16 between operations
  cargo xtask bench ops --json > before.jsonl               to compare after a change";

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    let chosen = chosen(cases(), &arguments.only)?;
    let precision = arguments.precision;
    let place = Place { device: compute::start(Some(arguments.threads))?, precision: precision.into() };
    let n_threads = rayon::current_num_threads();
    let peak = tensor_ops::register_peak(n_threads, precision.into());
    let duration = Duration::from_secs_f64(arguments.seconds);
    if !arguments.json {
        let kernels = tensor_ops::kernel_family();
        let threads = moco_cli::text::count(n_threads, "thread");
        writeln!(out, "{kernels} kernels on {threads}, registers at {:.1} GFLOP/s", peak / 1e9)?;
        writeln!(out, "{}", line::HEAD)?;
    }
    for case in chosen {
        for pass in &case.passes {
            let seconds = pass.median_seconds(&place, duration)?;
            let line = Line::new(&case.name, pass, seconds, precision, n_threads, peak);
            if arguments.json {
                writeln!(out, "{}", serde_json::to_string(&line)?)?;
            } else {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}

/// What is timed, in the order of the table.
fn cases() -> Vec<Case> {
    let parts = [convolution::cases(), normalization::cases(), transformer::cases(), contrast::cases()];
    parts.into_iter().flatten().collect()
}

fn chosen(cases: Vec<Case>, only: &[String]) -> Result<Vec<Case>, Failure> {
    if let Some(pattern) = only.iter().find(|pattern| !cases.iter().any(|case| case.name.contains(*pattern)))
    {
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        return Err(Failure::new(
            format!("no kernel has `{pattern}` in its name"),
            format!("the names are {}", names.join(", ")),
        ));
    }
    let is_chosen = |case: &Case| only.is_empty() || only.iter().any(|pattern| case.name.contains(pattern));
    Ok(cases.into_iter().filter(is_chosen).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tensor_ops::Device;

    use super::*;

    #[test]
    fn names_are_unique_and_choose() {
        let names: BTreeSet<String> = cases().into_iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases().len());
        let chosen_names = chosen(cases(), &["layer norm".into(), "InfoNCE".into()]).unwrap();
        assert!(chosen_names.len() >= 3 && chosen_names.len() < names.len());
        assert!(chosen(cases(), &["conv9".into()]).is_err());
    }

    #[test]
    fn the_passes_of_one_kernel_of_each_kind_take_time() {
        for pattern in ["conv3x3 128-128 4px", "batch norm 128 4px", "attention 192 65", "layer norm 192"] {
            for case in chosen(cases(), &[pattern.into()]).unwrap() {
                for pass in &case.passes {
                    for precision in [tensor_ops::Precision::F32, tensor_ops::Precision::Bf16] {
                        let place = Place { device: Device::default(), precision };
                        let seconds = pass.median_seconds(&place, Duration::ZERO).unwrap();
                        assert!(seconds > 0.0, "{} {}", case.name, pass.name);
                    }
                }
            }
        }
    }
}
