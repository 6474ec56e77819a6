//! `cargo xtask bench ops`: times each kernel.
//!
//! [`case`] defines a measurement, [`convolution`], [`normalization`], [`transformer`] and [`contrast`] the kernels,
//! [`stopwatch`] times a backward pass, and [`mod@line`] prints the result.

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
/// Times the kernels of training, in the shapes of ResNet-18 on 32 px (batch size 128), ResNet-50 and ResNeXt-50 on 224 px
/// (batch size 16), and two vision transformers. For convolutions and linear layers, the forward pass and the gradients of the
/// input (`data`) and the weights (`weights`) are timed separately. Each runs once to warm up, then at least three
/// times; the median counts.
///
/// GFLOP/s count a multiplication and an addition per tap, including padding, as is usual: a kernel that needs fewer
/// can exceed the peak of the machine. The share is relative to the same instructions and threads on registers only,
/// measured at the start. GB/s, for memory-bound kernels, count each value that must be read or written once.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only kernels whose name contains this; may be given several times.
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// Seconds to measure each pass of each kernel.
    #[arg(long, value_name = "S", default_value_t = 0.3, value_parser = seconds)]
    seconds: f64,
    /// Compute threads.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(2).expect("2 is not 0"))]
    threads: NonZeroUsize,
    /// Precision of values between operations.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Print one JSON object per line instead of the table.
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

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
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

/// The kernels, in the order of the table.
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
