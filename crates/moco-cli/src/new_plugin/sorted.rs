//! A line put into its place in a file that others have written.

/// Puts `line` among the lines of `text` that follow the line `head`, up to one that `ends` them, before the first that is
/// greater. `None` if there is no such head.
pub(super) fn insert(text: &str, head: &str, line: &str, ends: impl Fn(&str) -> bool) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|other| *other == head)? + 1;
    let n = lines[start..].iter().position(|other| ends(other)).unwrap_or(lines.len() - start);
    let place = lines[start..start + n].iter().position(|other| *other > line).unwrap_or(n);
    lines.insert(start + place, line);
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_put_before_the_first_that_is_greater() {
        let text = "[head]\na = 1\nc = 3\n\n[next]\nb = 0\n";
        let is_empty = |line: &str| line.is_empty();
        let with = |line| insert(text, "[head]", line, is_empty).unwrap();
        assert_eq!(with("b = 2"), "[head]\na = 1\nb = 2\nc = 3\n\n[next]\nb = 0\n");
        assert_eq!(with("d = 4"), "[head]\na = 1\nc = 3\nd = 4\n\n[next]\nb = 0\n");
        assert_eq!(insert(text, "[other]", "b = 2", is_empty), None);
    }
}
