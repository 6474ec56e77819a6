//! `moco device`: shows and tests the compute device.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};
use tensor_ops::{Check, DeviceStatus};

use crate::failure::Failure;
use crate::text::table;
use crate::{compute, json};

/// Show and test the compute device.
///
/// Prints the device of this build, its kernels, and the versions of the GPU driver and CUDA. On a GPU, it also runs a
/// small network forward and backward in each precision, compares the results with the CPU, and times a large
/// convolution.
///
/// The exit code is 1 if the GPU cannot be used, or if its results differ from the CPU's.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Skip the timing.
    #[arg(long)]
    untimed: bool,
    /// Print one JSON object.
    ///
    /// Print one JSON object: `device` in words, and `gpu`: `null` in a build without CUDA, or an object with
    /// `compute_capability`, `driver` and `nvrtc` (each two numbers), `multiprocessors`, `memory` and `free_memory` in bytes, and
    /// `checks`, each with `name`, `error` (the distance from the CPU), `limit`, `right`, and `flops` (`null` if it was not timed).
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  moco device
  moco device --device cuda:1";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let device = compute::start(None)?;
    let status = tensor_ops::device_status()?;
    if !arguments.json {
        writeln!(out, "device    {}", compute::describe())?;
    }
    let Some(status) = status else {
        match arguments.json {
            true => json::print(out, &json!({ "device": compute::describe(), "gpu": null }))?,
            false => writeln!(
                out,
                "\nThis build computes on the CPU. Build with `--features cuda` to use a GPU, see docs/src/cuda.md."
            )?,
        }
        return Ok(ExitCode::SUCCESS);
    };
    if !arguments.json {
        out.write_all(description(&status).as_bytes())?;
        out.flush()?;
    }
    let checks = tensor_ops::self_test(&device, !arguments.untimed)?;
    match arguments.json {
        true => {
            json::print(out, &json!({ "device": compute::describe(), "gpu": as_json(&status, &checks) }))?
        }
        false => {
            writeln!(out)?;
            out.write_all(report(&checks).as_bytes())?;
        }
    }
    match checks.iter().find(|check| !check.is_right()) {
        None => Ok(ExitCode::SUCCESS),
        Some(wrong) => Err(Failure::new(
            format!("in {}, the results of the GPU differ from those of the CPU", wrong.name),
            "train on the CPU, and report this table together with the GPU and its driver",
        )),
    }
}

fn as_json(status: &DeviceStatus, checks: &[Check]) -> Value {
    let check = |check: &Check| {
        json!({
            "name": check.name,
            "error": check.error,
            "limit": check.limit,
            "right": check.is_right(),
            "flops": check.rate,
        })
    };
    json!({
        "compute_capability": [status.capability.0, status.capability.1],
        "multiprocessors": status.n_multiprocessors,
        "memory": status.memory,
        "free_memory": status.free_memory,
        "driver": [status.driver.0, status.driver.1],
        "nvrtc": [status.compiler.0, status.compiler.1],
        "checks": checks.iter().map(check).collect::<Vec<_>>(),
    })
}

fn description(status: &DeviceStatus) -> String {
    let DeviceStatus { capability, driver, compiler, n_multiprocessors, .. } = status;
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    format!(
        "          compute capability {}.{}, {n_multiprocessors} multiprocessors\n\
         memory    {:.1} GiB, {:.1} GiB free\n\
         driver    for CUDA {}.{}, kernels by NVRTC {}.{}\n",
        capability.0,
        capability.1,
        gib(status.memory),
        gib(status.free_memory),
        driver.0,
        driver.1,
        compiler.0,
        compiler.1,
    )
}

fn report(checks: &[Check]) -> String {
    let mut rows =
        vec![["arithmetic", "distance from the CPU", "below", "", "convolution"].map(String::from).to_vec()];
    for check in checks {
        rows.push(vec![
            check.name.into(),
            format!("{:.1e}", check.error),
            format!("{:.0e}", check.limit),
            if check.is_right() { "right" } else { "WRONG" }.into(),
            check.rate.map_or_else(String::new, |rate| format!("{:.1} TFLOP/s", rate / 1e12)),
        ]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_stands_out() {
        let check = |error| Check { name: "bfloat16", error, limit: 0.3, rate: Some(1.25e14) };
        let text = report(&[check(0.05), check(f64::INFINITY)]);
        assert!(text.contains("5.0e-2") && text.contains("125.0 TFLOP/s"), "{text}");
        assert_eq!(text.matches("WRONG").count(), 1, "{text}");
    }
}
