//! What differs between the pipelines of runs.

use pages::Difference;

/// The values of `pipelines`, by the names of their runs, that are not the same in all. The names of pipelines are left out.
pub(super) fn differences(pipelines: &[(String, String)]) -> Vec<Difference> {
    let texts: Vec<(&str, &str)> =
        pipelines.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    // A pipeline that cannot be read is told elsewhere on the page.
    let found = pipeline::differences(&texts).unwrap_or_default();
    let named = found.into_iter().filter(|difference| difference.path != "name");
    named.map(|pipeline::Difference { path, values }| Difference { path, values }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_with_the_values_of_all() {
        let pipeline = |text: &str| (String::new(), format!("Pipeline({text})"));
        let found = differences(&[
            pipeline("name: \"a\", seed: 0, learning_rate: (base: 0.03), epochs: 2"),
            pipeline("name: \"b\", seed: 0, learning_rate: (base: 0.06), batch: 8, epochs: 2"),
        ]);
        let of = |path: &str, values: [Option<&str>; 2]| Difference {
            path: path.into(),
            values: values.map(|value| value.map(str::to_owned)).to_vec(),
        };
        let expected =
            [of("learning_rate.base", [Some("0.03"), Some("0.06")]), of("batch", [None, Some("8")])];
        assert_eq!(found, expected);
        assert!(differences(&[pipeline("seed: 1")]).is_empty());
    }
}
