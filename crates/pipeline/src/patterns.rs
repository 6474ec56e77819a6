//! Patterns that name parameters.

/// Whether `pattern` means the parameter `name`, `module.name.of.parameter`.
///
/// It does if it equals the name, or begins it up to a `.` or `_`: `backbone.patch` means all of `backbone.patch_embed`,
/// and `backbone.blocks.1` not `backbone.blocks.10`. A `*` stands for any text.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let ends_well =
        |rest: &str| rest.is_empty() || rest.starts_with(['.', '_']) || pattern.ends_with(['.', '_']);
    match pattern.split_once('*') {
        None => name.strip_prefix(pattern).is_some_and(ends_well),
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len())
                .filter(|&i| name.is_char_boundary(i))
                .any(|i| if rest.is_empty() { i == name.len() } else { matches(rest, &name[i..]) })
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("*.conv1", "backbone.layer1.0.conv1.weight", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
