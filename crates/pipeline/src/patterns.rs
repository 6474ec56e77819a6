//! Patterns that name parameters.

/// Whether `pattern` means the parameter `name`, `module.name.of.parameter`.
///
/// It does if it equals the name, or begins it up to a `.` or `_`: `backbone.patch` means all of `backbone.patch_embed`,
/// and `backbone.blocks.1` not `backbone.blocks.10`. A `*` stands for any text.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return begins(pattern, name) };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            // What the last `*` stands for decides where its piece begins.
            return piece.is_empty() || places(left, piece).any(|at| begins(piece, &left[at..]));
        }
        // An earlier place leaves more for the pieces that follow.
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
    }
    false
}

/// Whether `name` is `pattern`, or goes on after it with a `.` or `_`.
fn begins(pattern: &str, name: &str) -> bool {
    name.strip_prefix(pattern)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_']) || pattern.ends_with(['.', '_']))
}

/// Where `piece` begins in `text`, also where it overlaps itself.
fn places(text: &str, piece: &str) -> impl Iterator<Item = usize> {
    text.char_indices().map(|(at, _)| at).filter(move |&at| text[at..].starts_with(piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_of_stars_are_matched_at_once() {
        let name = "backbone.layer1.0.conv1.weight".repeat(10);
        let start = std::time::Instant::now();
        for (pattern, expected) in
            [("*".repeat(5000), true), ("*a".repeat(5000), false), ("*e*".repeat(20) + "q", false)]
        {
            (0..100).for_each(|_| assert_eq!(matches(&pattern, &name), expected));
        }
        assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    }

    #[test]
    fn a_pattern_is_a_name_or_its_beginning() {
        for (pattern, name, expected) in [
            ("backbone.conv1.weight", "backbone.conv1.weight", true),
            ("backbone", "backbone.conv1.weight", true),
            ("backbone.patch", "backbone.patch_embed.proj.bias", true),
            ("backbone.blocks.1", "backbone.blocks.1.norm1.weight", true),
            ("backbone.blocks.1", "backbone.blocks.10.norm1.weight", false),
            ("back", "backbone.conv1.weight", false),
            ("conv1", "backbone.conv1.weight", false),
            ("*", "backbone.conv1.weight", true),
            ("*.bias", "head.0.bias", true),
            ("*.bias", "head.0.weight", false),
            ("*norm*", "backbone.blocks.3.norm2.bias", true),
            ("backbone.*.bias", "head.0.bias", false),
            ("*conv*1", "backbone.conv1.weight", true),
            ("*11", "a.111.b", true),
            ("*1*1", "a.1.b", false),
            ("a*b*", "ab", true),
            ("*é", "é", true),
            ("*.", "a.b", true),
            ("*.conv1", "backbone.layer1.0.conv1.weight", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
