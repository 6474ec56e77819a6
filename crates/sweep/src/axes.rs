//! The axes of a sweep, and the grid that they span.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::SweepError;

/// A sweep of more runs is a mistake.
const MAX_RUNS: usize = 10_000;

/// A value of the pipeline, and the alternatives to try for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    /// The path of the value in the pipeline, names joined by dots.
    pub path: String,
    /// At least one value, each written as in a pipeline file.
    pub values: Vec<String>,
}

impl Axis {
    /// Parses an axis, `PATH=VALUE,VALUE,..`.
    ///
    /// # Errors
    /// If there is no path, no value, an empty or a repeated value, or a bracket is not closed; or if there are more values than a sweep may
    /// have runs.
    pub fn parse(argument: &str) -> Result<Self, SweepError> {
        let bad = |what: &str| SweepError::Axis { axis: argument.into(), what: what.into() };
        let (path, list) = argument.split_once('=').ok_or_else(|| bad("there is no `=`"))?;
        let path = path.trim();
        if path.is_empty() {
            return Err(bad("there is no path before `=`"));
        }
        let values = split(list).map_err(|what| bad(&what))?;
        if values.len() > MAX_RUNS {
            return Err(SweepError::TooMany { most: MAX_RUNS });
        }
        if values.iter().any(String::is_empty) {
            return Err(bad("a value is empty"));
        }
        if let Some(twice) = first_twice(&values) {
            return Err(bad(&format!("{twice} appears twice")));
        }
        Ok(Self { path: path.to_owned(), values })
    }
}

/// A point of the grid: the index of a value for each axis.
pub(crate) type Combination = Vec<usize>;

/// Every combination of values, the last axis changing fastest.
///
/// # Errors
/// If a path is varied twice, `seed` is varied, or the runs are too many.
pub(crate) fn grid(axes: &[Axis], n_seeds: usize) -> Result<Vec<Combination>, SweepError> {
    let paths: Vec<String> = axes.iter().map(|axis| axis.path.clone()).collect();
    if let Some(twice) = first_twice(&paths) {
        return Err(SweepError::Twice { path: twice.clone() });
    }
    if paths.iter().any(|path| path == "seed") {
        return Err(SweepError::SeedAxis);
    }
    let n_runs =
        axes.iter().map(|axis| axis.values.len()).try_fold(n_seeds, |n_runs, n| n_runs.checked_mul(n));
    if n_runs.is_none_or(|n_runs| n_runs > MAX_RUNS) {
        return Err(SweepError::TooMany { most: MAX_RUNS });
    }
    let mut grid = vec![Vec::new()];
    for axis in axes {
        let longer = |start: &Combination| -> Vec<Combination> {
            (0..axis.values.len()).map(|value| [&start[..], &[value]].concat()).collect()
        };
        grid = grid.iter().flat_map(longer).collect();
    }
    Ok(grid)
}

/// `combination` as arguments of `--set`.
pub(crate) fn overrides(axes: &[Axis], combination: &[usize]) -> Vec<String> {
    axes.iter()
        .zip(combination)
        .map(|(axis, value)| format!("{}={}", axis.path, axis.values[*value]))
        .collect()
}

fn first_twice(texts: &[String]) -> Option<&String> {
    let mut known = HashSet::with_capacity(texts.len());
    texts.iter().find(|text| !known.insert(text.as_str()))
}

/// Splits `list` at its commas, except those inside brackets and quotation marks.
fn split(list: &str) -> Result<Vec<String>, String> {
    let mut values = vec![String::new()];
    let mut open = Vec::new();
    let mut in_text = false;
    let mut letters = list.chars();
    while let Some(letter) = letters.next() {
        let value = values.last_mut().expect("there is always one");
        if letter == ',' && open.is_empty() && !in_text {
            values.push(String::new());
            continue;
        }
        value.push(letter);
        match letter {
            // An escaped character in a string, above all a quotation mark, does not end it.
            '\\' if in_text => value.extend(letters.next()),
            '"' => in_text = !in_text,
            '(' | '[' | '{' if !in_text => open.push(letter),
            ')' | ']' | '}' if !in_text && open.pop() != Some(opening(letter)) => {
                return Err(format!("`{letter}` has no opening bracket"));
            }
            _ => {}
        }
    }
    if in_text {
        return Err("a quotation mark is not closed".into());
    }
    if let Some(bracket) = open.pop() {
        return Err(format!("`{bracket}` is not closed"));
    }
    Ok(values.iter().map(|value| value.trim().to_owned()).collect())
}

fn opening(closing: char) -> char {
    match closing {
        ')' => '(',
        ']' => '[',
        _ => '{',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(argument: &str) -> Axis {
        Axis::parse(argument).unwrap()
    }

    #[test]
    fn values_are_split_at_commas_outside_of_brackets_and_quotation_marks() {
        let values = |list| axis(&format!("a.b={list}")).values;
        assert_eq!(values("1, 2,3"), ["1", "2", "3"]);
        assert_eq!(
            values(r#"("mlp", (out: 8)),("linear", ())"#),
            [r#"("mlp", (out: 8))"#, r#"("linear", ())"#]
        );
        assert_eq!(
            values(r#""a,b",["x", "y"],{"k": 1, "l": 2}"#),
            [r#""a,b""#, r#"["x", "y"]"#, r#"{"k": 1, "l": 2}"#]
        );
        assert_eq!(values(r#""a\",b","c(""#), [r#""a\",b""#, r#""c(""#]);
        assert_eq!(axis("x=y=z,1").values, ["y=z", "1"]);
    }

    #[test]
    fn a_list_that_is_none_is_refused_with_the_reason() {
        for (argument, reason) in [
            ("data.batch", "there is no `=`"),
            ("=1,2", "there is no path before `=`"),
            ("a=", "a value is empty"),
            ("a=1,,2", "a value is empty"),
            ("a=1,2,1", "1 appears twice"),
            ("a=(1,2", "`(` is not closed"),
            ("a=(1],2", "`]` has no opening bracket"),
            ("a=1),2", "`)` has no opening bracket"),
            ("a=\"x,y", "a quotation mark is not closed"),
        ] {
            let message = Axis::parse(argument).unwrap_err().to_string();
            assert_eq!(message, format!("`{argument}`: {reason}"));
        }
    }

    #[test]
    fn long_and_damaged_lists_are_judged_at_once() {
        let start = std::time::Instant::now();
        let many: Vec<String> = (0..MAX_RUNS).map(|i| i.to_string()).collect();
        assert_eq!(axis(&format!("a={}", many.join(","))).values.len(), MAX_RUNS);
        assert!(Axis::parse(&format!("a={},x", many.join(","))).is_err());
        for piece in ["(", "[", "\"", "\\\"", ",", "{(", "a,"] {
            assert!(Axis::parse(&format!("a={}", piece.repeat(199_999))).is_err(), "{piece}");
        }
        const PIECES: [&str; 12] = ["(", ")", "[", "]", "{", "}", "\"", "\\", ",", "=", "1", "é"];
        for round in 0..20_000 {
            let mut rng = plugin_api::Rng::new(round, "lists", &[]);
            let text: String = (0..rng.below(24)).map(|_| PIECES[rng.below(PIECES.len())]).collect();
            if let Ok(axis) = Axis::parse(&format!("a={text}")) {
                assert!(
                    !axis.values.is_empty() && axis.values.iter().all(|value| !value.is_empty()),
                    "{text}"
                );
                // Values hold all that was written, but for white space and the commas between them.
                assert_eq!(axis.values.join(","), text, "{text}");
            }
        }
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }

    #[test]
    fn a_grid_has_every_combination_and_its_last_axis_changes_fastest() {
        let axes = [axis("a=1,2"), axis("b.c=x,y,z")];
        let grid = grid(&axes, 1).unwrap();
        assert_eq!(grid.len(), 6);
        assert_eq!(overrides(&axes, &grid[0]), ["a=1", "b.c=x"]);
        assert_eq!(overrides(&axes, &grid[1]), ["a=1", "b.c=y"]);
        assert_eq!(overrides(&axes, &grid[5]), ["a=2", "b.c=z"]);
        assert_eq!(super::grid(&[], 3).unwrap(), [Combination::new()]);
    }

    #[test]
    fn a_grid_that_makes_no_sense_is_refused() {
        let refused = |axes: &[Axis], n_seeds| grid(axes, n_seeds).unwrap_err().to_string();
        assert_eq!(refused(&[axis("a=1,2"), axis("a=3")], 1), "`a` is varied twice");
        assert!(refused(&[axis("seed=1,2")], 1).starts_with("`seed` cannot be varied"));
        assert!(refused(&[axis("a=1,2")], 5001).contains("more than 10000 runs"));
        assert!(refused(&[axis("a=1,2")], usize::MAX).contains("more than 10000 runs"));
    }
}
