//! The results of a comparison.

use serde::Serialize;

use super::{child::Measured, duel::Fought};
use crate::bench::{Precision, median, rounded};
use moco_cli::Failure;
use moco_cli::text;

/// One row, for `--json`.
#[derive(Serialize)]
pub(super) struct Report {
    row: &'static str,
    threads: usize,
    precision: &'static str,
    /// The peer's mode.
    mode: String,
    ours: Side,
    peer: Side,
    /// The ratio of the medians, ours to the peer's.
    speed_ratio: f64,
    /// The ratio of the medians, ours to the peer's; `None` if memory is unknown.
    memory_ratio: Option<f64>,
}

/// One program's rounds.
#[derive(Serialize)]
struct Side {
    system: String,
    median_images_per_s: f64,
    median_peak_mib: Option<f64>,
    images_per_s: Vec<f64>,
    peak_mib: Vec<Option<f64>>,
}

impl Side {
    /// `None` without rounds.
    fn of(rounds: &[Measured]) -> Option<Self> {
        let images_per_s: Vec<f64> = rounds.iter().map(|round| round.images_per_s).collect();
        let peak_mib: Vec<Option<f64>> = rounds.iter().map(|round| round.peak_mib).collect();
        Some(Self {
            system: rounds.first()?.system.clone(),
            median_images_per_s: median(&images_per_s)?,
            median_peak_mib: median(&peak_mib.iter().copied().flatten().collect::<Vec<_>>()),
            images_per_s,
            peak_mib,
        })
    }

    fn speed_cell(&self) -> String {
        let (least, most) = self
            .images_per_s
            .iter()
            .fold((f64::INFINITY, 0.0_f64), |(least, most), &value| (least.min(value), most.max(value)));
        format!("{:.1} ({least:.1}–{most:.1})", self.median_images_per_s)
    }

    fn memory_cell(&self) -> String {
        self.median_peak_mib.map_or_else(unknown, |mib| format!("{mib:.0}"))
    }
}

impl Report {
    /// The results of a row.
    ///
    /// # Errors
    /// If nothing was measured.
    pub(super) fn of(
        row: &'static str,
        threads: usize,
        precision: Precision,
        fought: Fought,
    ) -> Result<Self, Failure> {
        let sides = Side::of(&fought.ours).zip(Side::of(&fought.peer));
        let (ours, peer) =
            sides.ok_or_else(|| Failure::plain(format!("nothing was measured for `{row}`")))?;
        let memory = ours.median_peak_mib.zip(peer.median_peak_mib);
        Ok(Self {
            row,
            threads,
            precision: precision.name(),
            mode: fought.mode.to_string(),
            speed_ratio: rounded(ours.median_images_per_s / peer.median_images_per_s, 3),
            memory_ratio: memory.map(|(ours, peer)| rounded(ours / peer, 3)),
            ours,
            peer,
        })
    }
}

/// All rows as a table.
pub(super) fn table(reports: &[Report]) -> String {
    let head = ["row", "images/s", "peer", "ratio", "MiB", "peer", "ratio", "peer's mode"];
    let mut cells = vec![head.map(str::to_owned).to_vec()];
    cells.extend(reports.iter().map(|report| {
        vec![
            report.row.to_owned(),
            report.ours.speed_cell(),
            report.peer.speed_cell(),
            format!("{:.2}", report.speed_ratio),
            report.ours.memory_cell(),
            report.peer.memory_cell(),
            report.memory_ratio.map_or_else(unknown, |ratio| format!("{ratio:.2}")),
            report.mode.clone(),
        ]
    }));
    let mut out = text::table(&cells);
    if let Some(Report { ours, peer, threads, precision, .. }) = reports.first() {
        let threads = text::count(*threads, "thread");
        out += &format!("{} and {}, in {precision} on {threads} each\n", ours.system, peer.system);
    }
    out
}

fn unknown() -> String {
    "–".into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::compare::mode::Mode;

    fn rounds(system: &str, images_per_s: [f64; 3], peak_mib: Option<f64>) -> Vec<Measured> {
        images_per_s.map(|images_per_s| Measured { system: system.into(), images_per_s, peak_mib }).to_vec()
    }

    fn report(peak_mib: Option<f64>) -> Report {
        let fought = Fought {
            mode: Mode::ChannelsLast,
            ours: rounds("moco-rs 1", [30.0, 33.0, 9.0], peak_mib),
            peer: rounds("pytorch 2", [20.0, 21.0, 19.0], Some(1000.0)),
        };
        Report::of("v3-vit", 2, Precision::F32, fought).unwrap()
    }

    #[test]
    fn the_table_has_medians_ranges_and_ratios() {
        assert_eq!(
            table(&[report(Some(540.0))]),
            "\
row     images/s         peer              ratio  MiB  peer  ratio  peer's mode
v3-vit  30.0 (9.0–33.0)  20.0 (19.0–21.0)  1.50   540  1000  0.54   channels-last
moco-rs 1 and pytorch 2, in f32 on 2 threads each
"
        );
    }

    #[test]
    fn memory_that_is_not_known_has_no_ratio() {
        let report = report(None);
        assert_eq!((report.ours.memory_cell(), report.memory_ratio), ("–".into(), None));
    }

    #[test]
    fn json_has_every_measurement() {
        let json = serde_json::to_value(report(Some(540.0))).unwrap();
        assert_eq!(json["ours"]["images_per_s"], serde_json::json!([30.0, 33.0, 9.0]));
        assert_eq!(json["speed_ratio"], serde_json::json!(1.5));
    }
}
