//! "Did you mean": the nearest of a set of names.

/// The names that `found` may have meant, as a hint; all of them if none is near.
pub fn suggest<S: AsRef<str>>(found: &str, names: &[S]) -> String {
    match nearest(found, names) {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "there is none to choose from".into(),
        None => {
            let list: Vec<String> =
                names.iter().take(MOST_LISTED).map(|name| format!("`{}`", name.as_ref())).collect();
            let others = match names.len() - list.len() {
                0 => String::new(),
                n => format!(" and {n} others"),
            };
            format!("choose from {}{others}", list.join(", "))
        }
    }
}

/// As [`suggest`], for a plugin that may be one of the reader's own, which this program does not link in.
pub fn suggest_plugin<S: AsRef<str>>(found: &str, names: &[S]) -> String {
    let suggestion = suggest(found, names);
    match nearest(found, names) {
        Some(_) => suggestion,
        None => format!("{suggestion}; a plugin of your own is known to the program of its crate"),
    }
}

/// The name nearest to `found`, if one is near enough to be a slip of the pen.
pub fn nearest<'a, S: AsRef<str>>(found: &str, names: &'a [S]) -> Option<&'a str> {
    if found.len() > LONGEST {
        return None;
    }
    let lower = found.to_lowercase();
    names
        .iter()
        .filter(|name| name.as_ref().len() <= LONGEST)
        .map(|name| (similarity(&lower, &name.as_ref().to_lowercase()), name.as_ref()))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// More names are counted, not listed.
const MOST_LISTED: usize = 100;

/// Longer ones are no names, and take long to compare.
const LONGEST: usize = 200;

/// The least similarity that is taken for a slip.
const NEAR: f64 = 0.8;

/// 0 to 1; short names with two letters swapped or one other are near, which Jaro and Winkler do not see.
fn similarity(a: &str, b: &str) -> f64 {
    let one_slip = a.len() >= 3 && b.len() >= 3 && strsim::osa_distance(a, b) <= 1;
    strsim::jaro_winkler(a, b).max(if one_slip { NEAR } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_lists_all() {
        let names = ["width", "depth", "stem"];
        assert_eq!(suggest("widht", &names), "did you mean `width`?");
        assert_eq!(suggest("mpl", &["linear", "mlp"]), "did you mean `mlp`?");
        let many: Vec<String> = (0..130).map(|i| i.to_string()).collect();
        assert!(suggest("qqq", &many).ends_with("`99` and 30 others"));
        assert_eq!(nearest(&"x".repeat(1_000_000), &["x".repeat(999_999)]), None);
        assert_eq!(suggest("qqq", &names), "choose from `width`, `depth`, `stem`");
    }
}
