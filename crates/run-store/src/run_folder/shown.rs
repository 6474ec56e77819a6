//! Texts from elsewhere, such as names of files, as they may be shown.

use std::borrow::Cow;

/// `text` with its control characters and those that turn the direction of writing escaped, as `\u{1b}`, so that it does nothing
/// to the terminal that shows it. Line breaks and tabs stay.
///
/// ```
/// assert_eq!(run_store::shown("a cat.jpg"), "a cat.jpg");
/// assert_eq!(run_store::shown("a\x1b[2Jcat.jpg"), "a\\u{1b}[2Jcat.jpg");
/// ```
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_hidden(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    shown.into()
}

/// [`shown`], in one line.
pub fn one_line(text: &str) -> String {
    shown(text).replace('\n', " ")
}

/// `text` as a cell of a table that spreadsheets open: what they would compute, because it begins with `=`, `+`, `-` or `@`,
/// gets an apostrophe before it. Numbers stay.
///
/// ```
/// assert_eq!(run_store::cell("cat"), "cat");
/// assert_eq!(run_store::cell("-0.5"), "-0.5");
/// assert_eq!(run_store::cell("=1+1"), "'=1+1");
/// ```
pub fn cell(text: &str) -> Cow<'_, str> {
    if begins_formula(text) { format!("'{text}").into() } else { text.into() }
}

/// The path `path` as a [`cell`]: `./` before it leads to the same file.
///
/// ```
/// assert_eq!(run_store::path_cell("photos/cat.jpg"), "photos/cat.jpg");
/// assert_eq!(run_store::path_cell("=cat.jpg"), "./=cat.jpg");
/// ```
pub fn path_cell(path: &str) -> Cow<'_, str> {
    if begins_formula(path) { format!("./{path}").into() } else { path.into() }
}

fn begins_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err()
}

fn is_hidden(c: char) -> bool {
    let turns_direction =
        matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    (c.is_control() && !matches!(c, '\n' | '\t')) || turns_direction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula_and_a_number_is_what_it_was() {
        for plain in ["", "cat", "-1", "+2.5e-3", "-inf", "a=b", "NaN"] {
            assert_eq!((&*cell(plain), &*path_cell(plain)), (plain, plain));
        }
        for formula in ["=HYPERLINK(\"x\")", "+cmd", "-1+1", "@SUM(A1)", "\t=1", "-", "--"] {
            assert_eq!(cell(formula), format!("'{formula}"));
            assert_eq!(path_cell(formula), format!("./{formula}"));
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_letters_are_not() {
        for plain in ["", "Übung 猫.jpg", "a\tb\nc"] {
            assert!(matches!(shown(plain), Cow::Borrowed(_)), "{plain}");
        }
        assert_eq!(shown("a\rb\u{7}\u{9b}31m\u{7f}"), "a\\u{d}b\\u{7}\\u{9b}31m\\u{7f}");
        assert_eq!(shown("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
    }
}
