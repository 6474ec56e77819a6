//! The report of a comparison.

use serde::Serialize;

/// One compared group.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    /// The name of the group.
    pub(super) group: String,
    /// The error.
    pub(super) error: f64,
    /// The largest allowed error.
    pub(super) limit: f64,
    /// A second limit, for augmentations: the share of values that are close, and its minimum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) share: Option<Share>,
    /// The largest errors of a group over its limit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) worst: Vec<String>,
}

/// A share of values that must be close.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Share {
    pub(super) within_2: f64,
    pub(super) at_least: f64,
}

impl Line {
    /// Whether the group is within its limits. An error that is NaN is not.
    pub(super) fn is_ok(&self) -> bool {
        self.error <= self.limit && self.share.is_none_or(|share| share.within_2 >= share.at_least)
    }

    /// As one JSON object.
    pub(super) fn to_json(&self, file: &str) -> String {
        #[derive(Serialize)]
        struct Object<'a> {
            file: &'a str,
            #[serde(flatten)]
            line: &'a Line,
            ok: bool,
        }
        serde_json::to_string(&Object { file, line: self, ok: self.is_ok() })
            .unwrap_or_else(|_| unreachable!("texts, numbers and truth values are JSON"))
    }
}

/// The lines as a table.
pub(super) fn table(lines: &[Line]) -> String {
    let mut rows = Vec::new();
    for line in lines {
        let verdict = if line.is_ok() { "ok" } else { "OVER" };
        let mut row = vec![format!("  {}", line.group)];
        match line.share {
            Some(share) => row.extend([
                format!("mean difference {:.3}", line.error),
                format!("limit {}", line.limit),
                format!("within 2: {:.2} %", 100.0 * share.within_2),
                format!("limit {} %", 100.0 * share.at_least),
            ]),
            None => row.extend([format!("{:.2e}", line.error), format!("limit {:.2e}", line.limit)]),
        }
        row.push(verdict.into());
        rows.push(row);
        rows.extend(line.worst.iter().map(|worst| vec![format!("    {worst}")]));
    }
    let aligned: Vec<Vec<String>> = rows.iter().filter(|row| row.len() > 1).cloned().collect();
    let mut aligned =
        moco_cli::text::table(&aligned).lines().map(str::to_owned).collect::<Vec<_>>().into_iter();
    // Remarks have no column, because of their length.
    let lines = rows
        .iter()
        .map(|row| if row.len() > 1 { aligned.next().unwrap_or_default() } else { row[0].clone() });
    lines.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(group: &str, error: f64) -> Line {
        Line { group: group.into(), error, limit: 1e-4, share: None, worst: Vec::new() }
    }

    #[test]
    fn what_is_no_number_is_over() {
        assert!(line("a", 1e-4).is_ok());
        assert!(!line("a", 1.1e-4).is_ok());
        assert!(!line("a", f64::NAN).is_ok());
        let share = Some(Share { within_2: 0.98, at_least: 0.99 });
        assert!(!Line { share, ..line("a", 0.0) }.is_ok());
    }

    #[test]
    fn a_line_a_group_and_remarks_below() {
        let over = Line { worst: vec!["final/queue: 0.2".into()], ..line("final", 0.5) };
        assert_eq!(
            table(&[line("step0/loss", 1e-7), over]),
            "  step0/loss  1.00e-7  limit 1.00e-4  ok\n  final       5.00e-1  limit 1.00e-4  OVER\n    final/queue: 0.2\n"
        );
        let json = line("a", 0.5).to_json("f");
        assert_eq!(json, r#"{"file":"f","group":"a","error":0.5,"limit":0.0001,"ok":false}"#);
    }
}
