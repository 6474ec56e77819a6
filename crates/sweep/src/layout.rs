//! Tables as text: for people, and for programs.

use std::fmt::Write as _;

/// A Markdown table whose columns also line up in a terminal. The first row is the header.
pub(super) fn padded(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for (i, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if i == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            let _ = writeln!(text, "|{}|", rules.join("|"));
        }
    }
    text
}

/// A line of a CSV file (RFC 4180, except for the line ending).
pub(super) fn csv_line(fields: &[String]) -> String {
    let quoted = fields.iter().map(|field| {
        let field = run_store::cell(field);
        if field.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.into_owned()
        }
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn a_table_lines_up_in_a_terminal() {
        let rows = [row(&["data.batch", "±"]), row(&["8", "60.0 ± 1.5"])];
        let expected = "\
            | data.batch | ±          |\n\
            |------------|------------|\n\
            | 8          | 60.0 ± 1.5 |\n";
        assert_eq!(padded(&rows), expected);
    }

    #[test]
    fn fields_that_could_be_misread_are_quoted() {
        assert_eq!(csv_line(&row(&["=1+1", "-1"])), "'=1+1,-1\n");
        assert_eq!(csv_line(&row(&["a", "1,5", "say \"x\"", ""])), "a,\"1,5\",\"say \"\"x\"\"\",\n");
    }
}
