//! Laying out text for a terminal.

use std::io::{self, IsTerminal as _};

use comfy_table::{ContentArrangement, Table};
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// Columns of text at the most; a longer line is hard to read.
const WIDTH: usize = 100;

/// A count with commas between thousands: `11,173,962`.
pub fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 image`, `2 images`.
pub fn count(n: usize, one: &str) -> String {
    format!("{} {one}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// `512 B`, `34.5 MB`: thousands, as disks are sold and as `ls` and `du` call them with `--si`.
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 999.5 || unit == "TB" {
            return if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    unreachable!("the last unit takes any number")
}

/// Columns of text on standard output: those of the terminal, at most 100; 100 where it is a file or a pipe.
pub fn width() -> usize {
    if io::stdout().is_terminal() { textwrap::termwidth().min(WIDTH) } else { WIDTH }
}

/// Columns that a table on standard output has room for: those of the terminal; any number where it is a file or a pipe.
pub fn room() -> usize {
    if io::stdout().is_terminal() { textwrap::termwidth() } else { usize::MAX }
}

/// Breaks `text` between words into lines of at most `width` columns, each after `indent` spaces.
pub fn wrap(text: &str, indent: usize, width: usize) -> String {
    let margin = " ".repeat(indent);
    let options = Options::new(width)
        .initial_indent(&margin)
        .subsequent_indent(&margin)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines = if words.is_empty() { Vec::new() } else { textwrap::wrap(&words, options) };
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Columns as wide as their widest cell, two spaces between them.
pub fn table(rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        let shown: Vec<String> = [0, 999, 1000, 65536, 1_234_567].into_iter().map(grouped).collect();
        assert_eq!(shown, ["0", "999", "1,000", "65,536", "1,234,567"]);
        assert_eq!((count(1, "image"), count(0, "image")), ("1 image".into(), "0 images".into()));
    }

    #[test]
    fn text_is_broken_between_words_and_a_long_word_stands_alone() {
        assert_eq!(wrap("one two three", 2, 9), "  one two\n  three\n");
        assert_eq!(wrap("a unbreakable b", 0, 5), "a\nunbreakable\nb\n");
        assert_eq!(wrap("of one-piece:\n  two  spaces", 0, 9), "of\none-piece:\ntwo\nspaces\n");
        assert_eq!(wrap("", 2, 9), "");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["k".into(), "top-1".into()], vec!["200".into(), "61.2 %".into()]];
        assert_eq!(table(&rows), "k    top-1\n200  61.2 %\n");
        let rows = [vec!["  é".into(), "b".into(), "c".into()], vec!["a".into()], vec![String::new()]];
        assert_eq!(table(&rows), "  é  b  c\na\n\n");
        assert_eq!(table(&[]), "");
    }
}
