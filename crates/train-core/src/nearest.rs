//! "Did you mean": the nearest of a set of names.

/// The names that `found` may have meant, as a hint; all of them if none is near.
pub(crate) fn suggest<S: AsRef<str>>(found: &str, names: &[S]) -> String {
    match nearest(found, names) {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "there is none to choose from".into(),
        None => {
            let list: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
            format!("choose from {}", list.join(", "))
        }
    }
}

/// The name nearest to `found`, if one is near enough to be a slip of the pen.
fn nearest<'a, S: AsRef<str>>(found: &str, names: &'a [S]) -> Option<&'a str> {
    let lower = found.to_lowercase();
    names
        .iter()
        .map(|name| (strsim::jaro_winkler(&lower, &name.as_ref().to_lowercase()), name.as_ref()))
        .filter(|(similarity, _)| *similarity >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_lists_all() {
        let names = ["width", "depth", "stem"];
        assert_eq!(suggest("widht", &names), "did you mean `width`?");
        assert_eq!(suggest("qqq", &names), "choose from `width`, `depth`, `stem`");
    }
}
