//! What to say of a word that stands where a number belongs: `epochs=True`.

use std::ops::Range;

use pipeline_text::PipelineText;

/// What to do about the fault `message` at `span`, if it is a word in the place of a number.
pub(crate) fn hint(text: &PipelineText, span: &Range<usize>, message: &str) -> Option<String> {
    let example = if message.starts_with("expected a whole number, found `") {
        "8"
    } else if message.starts_with("expected a number, found `") {
        "0.5"
    } else {
        return None;
    };
    of_word(text.text.get(span.clone())?.trim_matches('"'), example)
}

fn of_word(word: &str, example: &str) -> Option<String> {
    if !word.starts_with(char::is_alphabetic) {
        return None;
    }
    Some(match word.to_lowercase().as_str() {
        "true" | "false" | "yes" | "no" | "on" | "off" => {
            format!("`{word}` is for what is on or off, and this is a number, for instance `{example}`")
        }
        _ => format!("write it in digits, for instance `{example}`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_a_number_is_told_what_a_number_is() {
        for (word, expected) in [
            ("True", Some("`True` is for what is on or off, and this is a number, for instance `8`")),
            ("off", Some("`off` is for what is on or off, and this is a number, for instance `8`")),
            ("many", Some("write it in digits, for instance `8`")),
            ("2.5", None),
            ("-2", None),
            ("(", None),
        ] {
            assert_eq!(of_word(word, "8").as_deref(), expected, "{word}");
        }
    }
}
