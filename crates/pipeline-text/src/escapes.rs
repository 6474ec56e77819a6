//! Escapes in RON's texts.

use std::ops::Range;

/// The character that the escape at the start of `rest` stands for, after its backslash, and the bytes that it takes there;
/// `None` for a line that goes on behind its end.
///
/// # Errors
/// The bytes of `rest` that are no escape.
pub(crate) fn escape(rest: &str) -> Result<(Option<char>, usize), Range<usize>> {
    let Some(first) = rest.chars().next() else { return Err(0..0) };
    let simple = match first {
        '"' | '\'' | '\\' => Some(first),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        '0' => Some('\0'),
        _ => None,
    };
    if simple.is_some() {
        return Ok((simple, 1));
    }
    match first {
        '\n' | '\r' => {
            let n_blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            Ok((None, n_blank))
        }
        'x' => {
            let digits = rest.get(1..3).ok_or(0..1)?;
            let code = number(digits).filter(|code| *code < 0x80).ok_or(0..3)?;
            Ok((char::from_u32(code), 3))
        }
        'u' => {
            let end = rest.bytes().take(10).position(|byte| byte == b'}').ok_or(0..1)?;
            let digits = rest[1..end].strip_prefix('{').ok_or(0..end + 1)?;
            let letter = number(digits).and_then(char::from_u32).ok_or(0..end + 1)?;
            Ok((Some(letter), end + 1))
        }
        other => Err(0..other.len_utf8()),
    }
}

fn number(digits: &str) -> Option<u32> {
    let is_number = (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_number { u32::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_ron() {
        for (text, expected) in [
            (r"n", Some('\n')),
            (r"\x", Some('\\')),
            (r"x41B", Some('A')),
            (r"u{6e}et", Some('n')),
            (r"u{1F600}", Some('😀')),
            ("\n   b", None),
        ] {
            assert_eq!(escape(text).unwrap().0, expected, "{text}");
            // The reader of the values has the same ones.
            let quoted = format!("\"\\{text}\"");
            let mut whole: String = expected.into_iter().collect();
            whole.push_str(&text[escape(text).unwrap().1..]);
            assert_eq!(plugin_api::parse_ron::<String>(&quoted).unwrap(), whole, "{text}");
        }
        for text in [
            "",
            "q",
            "x4",
            "xzz",
            "x+1",
            "xff",
            "u6e",
            "u{}",
            "u{d800}",
            "u{110000}",
            "u{0000006e}",
            "é",
            "xé",
        ] {
            assert!(escape(text).is_err(), "{text}");
        }
    }
}
