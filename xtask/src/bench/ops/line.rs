//! The result of a measurement.

use std::fmt;

use serde::Serialize;

use super::case::{Pass, Work};
use crate::bench::{precision::Precision, rounded, system};

/// One pass of one kernel, for `--json`.
#[derive(Serialize)]
pub(super) struct Line {
    system: String,
    op: String,
    pass: &'static str,
    ms: f64,
    /// `None` if the kernel is memory-bound.
    gflops: Option<f64>,
    /// The share of the peak of the registers.
    peak_share: Option<f64>,
    /// `None` if the kernel is compute-bound.
    gb_per_s: Option<f64>,
    precision: &'static str,
    threads: usize,
    kernels: &'static str,
    register_peak_gflops: f64,
}

/// The header of the columns of [`Line`].
pub(super) const HEAD: &str =
    "kernel                            pass            ms   GFLOP/s    share     GB/s";

impl Line {
    /// A pass with its time; `peak` is in operations per second.
    pub(super) fn new(
        op: &str,
        pass: &Pass,
        seconds: f64,
        precision: Precision,
        threads: usize,
        peak: f64,
    ) -> Self {
        let per_s = |amount: usize| amount as f64 / seconds;
        let (flops, bytes) = match pass.work {
            Work::Flops(n_flops) => (Some(per_s(n_flops)), None),
            Work::Values { kept, gradients } => {
                (None, Some(per_s(kept * precision.n_bytes() + gradients * size_of::<f32>())))
            }
        };
        Self {
            system: system(),
            op: op.to_owned(),
            pass: pass.name,
            ms: rounded(seconds * 1e3, 3),
            gflops: flops.map(|flops| rounded(flops / 1e9, 1)),
            peak_share: flops.map(|flops| rounded(flops / peak, 3)),
            gb_per_s: bytes.map(|bytes| rounded(bytes / 1e9, 2)),
            precision: precision.name(),
            threads,
            kernels: tensor_ops::kernel_family(),
            register_peak_gflops: rounded(peak / 1e9, 1),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, pass, ms, .. } = self;
        let cell = |value: Option<f64>, n_decimals| {
            value.map_or_else(String::new, |value| format!("{value:.n_decimals$}"))
        };
        let share = self.peak_share.map_or_else(String::new, |share| format!("{:.0} %", share * 100.0));
        let line = format!(
            "{op:<32}  {pass:<8}  {ms:>8.2}  {:>8}  {share:>7}  {:>7}",
            cell(self.gflops, 1),
            cell(self.gb_per_s, 1)
        );
        f.write_str(line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(work: Work) -> Line {
        Line::new(
            "conv",
            &Pass::new("forward", work, |_| Ok(|| Ok(Duration::ZERO))),
            0.25,
            Precision::Bf16,
            2,
            100e9,
        )
    }

    #[test]
    fn arithmetic_has_a_share_of_the_peak() {
        let line = line(Work::Flops(20_000_000_000));
        assert_eq!(
            (line.ms, line.gflops, line.peak_share, line.gb_per_s),
            (250.0, Some(80.0), Some(0.8), None)
        );
    }

    #[test]
    fn memory_has_a_rate() {
        let line = line(Work::Values { kept: 200_000_000, gradients: 150_000_000 });
        assert_eq!((line.gflops, line.peak_share, line.gb_per_s), (None, None, Some(4.0)));
    }

    #[test]
    fn columns_stand_under_their_heads() {
        let shown = line(Work::Flops(20_000_000_000)).to_string();
        let ends = |text: &str, part: &str| text.find(part).map(|start| start + part.len());
        assert_eq!(ends(&shown, "80.0"), ends(HEAD, "GFLOP/s"), "{HEAD}\n{shown}");
        assert_eq!(ends(&shown, "80 %"), ends(HEAD, "share"), "{HEAD}\n{shown}");
        assert_eq!(
            ends(&line(Work::Values { kept: 200_000_000, gradients: 150_000_000 }).to_string(), "4.0"),
            Some(HEAD.len())
        );
    }
}
