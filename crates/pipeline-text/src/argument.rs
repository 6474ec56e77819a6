//! The value of an argument, `--set path=VALUE`, and what to do about one that is almost right.

use crate::document::{NOTHING, Node, NodeKind, SyntaxError};
use crate::slips;
use crate::text::PipelineText;

/// What to do about a value that is like none.
pub(crate) const AS_IN_THE_FILE: &str =
    "the value is written as in the file; text needs its quotation marks: `--set 'name=\"mine\"'`";

/// The value `text`, which is for `path` of `pipeline`.
///
/// # Errors
/// If it is not RON: with the place in `text`, and a hint unless it is [`AS_IN_THE_FILE`].
pub(crate) fn value(path: &str, text: &str, pipeline: &PipelineText) -> Result<Node, SyntaxError> {
    let error = match Node::parse_start(text) {
        Ok((node, end)) if end == text.len() => return Ok(node),
        Ok((_, end)) => return Err(two_values(path, text, end, pipeline)),
        Err(error) => error,
    };
    // A file would have begun in its own way.
    let hint = error.hint.filter(|_| error.message != NOTHING);
    Err(SyntaxError { hint, ..error })
}

/// What is wrong with `text`, which goes on at `end` after a value.
fn two_values(path: &str, text: &str, end: usize, pipeline: &PipelineText) -> SyntaxError {
    let old = pipeline.tree.find(&path.split('.').collect::<Vec<_>>());
    let written = text.trim();
    let start = text.len() - text.trim_start().len();
    let rest = text[end..].trim_end();
    let letter = rest.chars().next().unwrap_or_default();
    let after = |hint: Option<String>| SyntaxError {
        span: end..end + letter.len_utf8(),
        message: format!("`{letter}` after the end of the value"),
        hint,
    };
    if rest == "," || rest == ";" {
        return after(Some(format!("leave out the `{rest}`")));
    }
    // A plugin is a pair, and no list.
    if let Some(Node { kind: NodeKind::Items(_), span }) = old.filter(|old| old.plugin().is_none())
        && letter == ','
    {
        let [open, close] =
            if pipeline.text[span.clone()].starts_with('(') { ['(', ')'] } else { ['[', ']'] };
        let hint = format!("several values stand in brackets: `--set '{path}={open}{written}{close}'`");
        return after(Some(hint));
    }
    let old = old.map(|old| &pipeline.text[old.span.clone()]);
    if let Some(hint) = slips::comma_in_number(written, old) {
        return SyntaxError {
            span: start..start + written.len(),
            message: slips::of_comma(written),
            hint: Some(hint),
        };
    }
    if written.chars().all(|letter| letter.is_ascii_digit() || letter == ' ') {
        return after(Some(format!("digits stand together: `{}`", written.replace(' ', ""))));
    }
    let is_bracket = matches!(letter, ')' | ']' | '}');
    after(is_bracket.then(|| "is there a bracket too many?".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "(epochs: 5, rate: (base: 0.03), at: [3, 4], scale: (0.2, 1.0), data: (source: (\"shapes\", ())))";

    #[test]
    fn a_value_that_is_almost_right_is_told_how_it_is_written() {
        for (argument, underlined, message, hint) in [
            ("rate.base=0,03", "0,03", "a `,` stands in the number `0,03`", "decimal point: `0.03`"),
            ("rate.base= -0,1 ", "-0,1", "a `,` stands in the number `-0,1`", "decimal point: `-0.1`"),
            ("rate=(base: 0,03)", "0,03", "a `,` stands in the number `0,03`", "decimal point: `0.03`"),
            ("epochs=1,000", "1,000", "a `,` stands in the number `1,000`", "stand together: `1000`"),
            ("epochs=1 000", "0", "`0` after the end of the value", "stand together: `1000`"),
            ("at=120,160", ",", "`,` after the end of the value", "`--set 'at=[120,160]'`"),
            ("scale=0.2, 1", ",", "`,` after the end of the value", "`--set 'scale=(0.2, 1)'`"),
            ("epochs=5,", ",", "`,` after the end of the value", "leave out the `,`"),
            ("epochs=5;", ";", "`;` after the end of the value", "leave out the `;`"),
            ("epochs=5)", ")", "`)` after the end of the value", "a bracket too many?"),
            ("name=a b", "b", "`b` after the end of the value", "quotation marks"),
            ("data.source=a,b", ",", "`,` after the end of the value", "quotation marks"),
            ("epochs=", "", "there is no value here", "written as in the file"),
            ("at=[1", "[", "this bracket is never closed: no `]` before the end", "add `]`"),
            ("data=(source: )", "source:", "`source` has no value", "write `source: value`"),
            (
                "data.source=(\"flip\", p: 0.3)",
                "p",
                "`p` has a name, but the value before it has none",
                "a plugin is written",
            ),
        ] {
            let fault = PipelineText::new("a.ron", FILE).unwrap().set(argument).unwrap_err();
            assert_eq!(&fault.text[fault.span.clone()], underlined, "{fault}");
            assert_eq!(fault.message, message, "{argument}");
            assert!(fault.hint.clone().unwrap_or_default().contains(hint), "{fault}");
        }
    }
}
