//! Short names.

/// The last part of a path or of a name like one: `photos/cats/0123.jpg` is `0123.jpg`.
pub fn short_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_that_of_the_file() {
        assert_eq!(short_name("photos/cats/0123.jpg"), "0123.jpg");
        assert_eq!(short_name("shapes, test image 0"), "shapes, test image 0");
        assert_eq!((short_name("a/b/"), short_name("/"), short_name("")), ("b", "/", ""));
    }
}
