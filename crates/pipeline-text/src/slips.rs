//! What to say of a text that is almost RON.

use std::ops::Range;

use crate::document::{Field, Node, NodeKind, SyntaxError};

/// The field called `name`, written at `key`, is without a value; `span` is shown.
pub(crate) fn no_value(text: &str, span: &Range<usize>, key: &Range<usize>, name: &str) -> SyntaxError {
    SyntaxError {
        span: span.clone(),
        message: format!("`{name}` has no value"),
        hint: Some(format!("write `{}: value`", &text[key.clone()])),
    }
}

/// The fault `no_value` with what to do if `value`, a name in its place, is one that only stands in braces. `close` ends the
/// fields around it.
pub(crate) fn braces_missing(text: &str, value: &Node, close: char, no_value: SyntaxError) -> SyntaxError {
    if close != ')' || !matches!(value.kind, NodeKind::Text(_)) {
        return no_value;
    }
    let name = &text[value.span.clone()];
    SyntaxError {
        hint: Some(format!("names in quotation marks stand in braces: `{{{name}: ..}}`")),
        ..no_value
    }
}

/// What stands at `key` in the place of a name, if it is the rest of the number before it: the `03` of `0,03`.
pub(crate) fn comma_between(text: &str, before: Option<&Field>, key: &Range<usize>) -> Option<SyntaxError> {
    let before = &before?.value;
    let span = before.span.start..key.end;
    let is_one_comma = matches!(before.kind, NodeKind::Word) && &text[before.span.end..key.start] == ",";
    let number = text.get(span.clone()).filter(|_| is_one_comma)?;
    comma_in_number(number, None).map(|hint| SyntaxError {
        span,
        message: of_comma(number),
        hint: Some(hint),
    })
}

/// What is wrong with `number`.
pub(crate) fn of_comma(number: &str) -> String {
    format!("a `,` stands in the number `{number}`")
}

/// What to write for `text`, if it is a number with commas in it: `0,03` or `1,000`. Of a number for which both are meant
/// elsewhere, what it stands `instead_of` decides.
pub(crate) fn comma_in_number(text: &str, instead_of: Option<&str>) -> Option<String> {
    let (first, rest) = text.split_once(',')?;
    let is_digits = |part: &str| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_digit());
    let whole = first.strip_prefix(['-', '+']).unwrap_or(first);
    if !is_digits(whole) || !rest.starts_with(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    let with_point = format!("{first}.{rest}");
    let is_decimal = with_point.parse::<f64>().is_ok();
    let is_of_thousands = !whole.starts_with('0')
        && whole.len() <= 3
        && rest.split(',').all(|part| is_digits(part) && part.len() == 3);
    let together = text.replace(',', "");
    match (is_decimal, is_of_thousands) {
        (false, false) => None,
        (true, false) => Some(format!("numbers have a decimal point: `{with_point}`")),
        (false, true) => Some(format!("digits stand together: `{together}`")),
        (true, true) => Some(match instead_of {
            Some(old) if old.contains('.') => format!("numbers have a decimal point: `{with_point}`"),
            Some(old) if old.parse::<u64>().is_ok() => format!("digits stand together: `{together}`"),
            _ => format!("write `{together}`, or with a decimal point `{with_point}`"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_commas_is_told_as_it_is_written_here() {
        for (text, instead_of, expected) in [
            ("0,03", None, Some("numbers have a decimal point: `0.03`")),
            ("-0,03", Some("0.06"), Some("numbers have a decimal point: `-0.03`")),
            ("1,5e-4", None, Some("numbers have a decimal point: `1.5e-4`")),
            ("0,125", Some("1"), Some("numbers have a decimal point: `0.125`")),
            ("1,000", Some("128"), Some("digits stand together: `1000`")),
            ("1,000", Some("0.5"), Some("numbers have a decimal point: `1.000`")),
            ("1,000", None, Some("write `1000`, or with a decimal point `1.000`")),
            ("1,000,000", None, Some("digits stand together: `1000000`")),
            ("1,2,3", None, None),
            ("1,", None, None),
            (",5", None, None),
            ("a,5", None, None),
            ("1,a", None, None),
            ("1000", None, None),
        ] {
            assert_eq!(comma_in_number(text, instead_of).as_deref(), expected, "{text}, {instead_of:?}");
        }
    }

    fn hint(text: &str) -> String {
        Node::parse(text).unwrap_err().hint.unwrap()
    }

    #[test]
    fn a_field_without_a_value_is_told_as_it_is_written() {
        assert_eq!(hint("(a:\n b: 32)"), "write `a: value`");
        assert_eq!(hint("{\"a\": \"b\": 1}"), "write `\"a\": value`");
        assert_eq!(hint("(a: \"b\": 1)"), "names in quotation marks stand in braces: `{\"b\": ..}`");
        let error = Node::parse("(a: 1, b :\n c: 32)").unwrap_err();
        assert_eq!(error.span, 7..10);
    }
}
