//! Documentation comments as a person reads them who has no rustdoc.

/// `documentation` without examples in code, and with links as the text that they show: `` [`Mlp`](crate::Mlp) `` is `` `Mlp` ``.
///
/// ```
/// let comment = "As [`Mlp`](crate::Mlp), [twice](Self::run).\n\n```\nassert!(true);\n```\n\nSee [`Progress`].";
/// assert_eq!(plugin_api::plain_text(comment), "As `Mlp`, twice.\n\nSee `Progress`.");
/// ```
pub fn plain_text(documentation: &str) -> String {
    let mut is_code = false;
    let mut lines: Vec<&str> = Vec::new();
    for line in documentation.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            if is_code {
                drop_introduction(&mut lines);
            }
        } else if !(is_code || line.is_empty() && lines.last().is_none_or(|last| last.is_empty())) {
            lines.push(line);
        }
    }
    without_links(lines.join("\n").trim_end())
}

/// Takes away the paragraph that leads to an example, and ends in a colon.
fn drop_introduction(lines: &mut Vec<&str>) {
    let last = lines.iter().rposition(|line| !line.is_empty());
    if last.is_some_and(|last| lines[last].ends_with(':')) {
        let start =
            lines[..last.unwrap_or(0)].iter().rposition(|line| line.is_empty()).map_or(0, |empty| empty + 1);
        lines.truncate(start);
    }
}

/// Brackets around code alone are links too; others without a target, such as `[0, 1]`, are none.
fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, opened)) = rest.split_once('[') {
        plain += before;
        let Some((shown, after)) = opened.split_once(']') else {
            plain.push('[');
            rest = opened;
            continue;
        };
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        let is_code = shown.len() > 2 && shown.starts_with('`') && shown.ends_with('`');
        rest = match target {
            // Of a page anywhere, the address says more than the text.
            Some((address, _)) if address.contains("://") => {
                plain.push('[');
                opened
            }
            Some((_, after)) => {
                plain += shown;
                after
            }
            None if is_code => {
                plain += shown;
                after
            }
            None => {
                plain.push('[');
                opened
            }
        };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_rust_are_their_text_and_other_brackets_stay() {
        for (written, expected) in [
            ("see [`register!`](crate::register) and [`Rng`].", "see `register!` and `Rng`."),
            ("from [0, 1], or `[a, b]`", "from [0, 1], or `[a, b]`"),
            ("[the paper](https://arxiv.org/abs/1)", "[the paper](https://arxiv.org/abs/1)"),
            ("an open [ bracket", "an open [ bracket"),
            ("one [of](Self::of) two [to](Self::to)", "one of two to"),
        ] {
            assert_eq!(plain_text(written), expected);
        }
    }

    #[test]
    fn examples_go_with_the_empty_lines_around_them() {
        assert_eq!(plain_text("What.\n\n```\nlet a = [`1`];\n```\n\nMore."), "What.\n\nMore.");
        assert_eq!(plain_text("What.\n\nIt is built\nby this:\n\n```\nx\n```\n\nMore."), "What.\n\nMore.");
        assert_eq!(plain_text("What.\n\n```no_run\nx\n```"), "What.");
    }
}
