//! What differs between the pipelines of runs.

use std::collections::BTreeMap;

use pages::Difference;

/// The values of `pipelines`, by the names of their runs, that are not the same in all, in the order in which they stand. The
/// names of pipelines are left out.
pub(super) fn differences(pipelines: &[(String, String)]) -> Vec<Difference> {
    let read: Option<Vec<Vec<(String, String)>>> =
        pipelines.iter().map(|(_, text)| pipeline::leaves(text)).collect();
    let Some(read) = read else { return Vec::new() };
    let mut paths: Vec<&String> = Vec::new();
    for (path, _) in read.iter().flatten() {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    let tables: Vec<BTreeMap<&String, &String>> =
        read.iter().map(|leaves| leaves.iter().map(|(path, value)| (path, value)).collect()).collect();
    let difference = |path: &String| {
        let values: Vec<Option<String>> =
            tables.iter().map(|table| table.get(path).map(|value| (*value).clone())).collect();
        let differ = values.windows(2).any(|pair| pair[0] != pair[1]);
        (differ && path != "name").then(|| Difference { path: path.clone(), values })
    };
    paths.into_iter().filter_map(difference).collect()
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
