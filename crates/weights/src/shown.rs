//! Names of a file, as text for a terminal.

use std::borrow::Cow;

/// `name`, which a file gives, as one line of text: control characters are written as `\x0a`, byte by byte.
///
/// Two different names never give the same text: where a name itself has `\x` in it, its backslashes are written so too.
pub fn shown(name: &str) -> Cow<'_, str> {
    if !name.chars().any(char::is_control) && !name.contains("\\x") {
        return Cow::Borrowed(name);
    }
    let mut text = String::with_capacity(name.len() + 16);
    for letter in name.chars() {
        if letter.is_control() || letter == '\\' {
            let mut bytes = [0; 4];
            letter.encode_utf8(&mut bytes).bytes().for_each(|byte| text += &format!("\\x{byte:02x}"));
        } else {
            text.push(letter);
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_line_and_stay_different() {
        for (name, expected) in [
            ("layer1.0.conv1.weight", "layer1.0.conv1.weight"),
            ("größe\\", "größe\\"),
            ("a\nb", "a\\x0ab"),
            ("\x1b[2J", "\\x1b[2J"),
            ("\u{9b}2J", "\\xc2\\x9b2J"),
            ("a\\x0ab", "a\\x5cx0ab"),
        ] {
            assert_eq!(shown(name), expected);
        }
    }
}
