//! Accuracy per class.

use std::io::{self, Write};

use evaluate::linear::ClassifierScore;
use serde_json::{Value, json};

use crate::text;

/// With more classes, only the worst are printed.
const MOST_CLASSES: usize = 30;

/// `61.20 %`.
pub(crate) fn per_cent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// Prints accuracy per class. If there are many classes, only the worst are printed.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn print(out: &mut dyn Write, score: &ClassifierScore, names: &[String]) -> io::Result<()> {
    let mut classes: Vec<(usize, (u64, u64))> = score.per_class().into_iter().enumerate().collect();
    let is_cut = classes.len() > MOST_CLASSES;
    if is_cut {
        let share = |&(_, (all, right)): &(usize, (u64, u64))| right as f64 / all.max(1) as f64;
        classes.sort_by(|a, b| share(a).total_cmp(&share(b)));
        classes.truncate(MOST_CLASSES);
    }
    let mut rows = vec![vec!["class".to_owned(), "test images".into(), "top-1".into()]];
    for (class, (all, right)) in classes {
        let share = if all == 0 { "none".into() } else { per_cent(right as f64 / all as f64) };
        rows.push(vec![name(names, class), text::grouped(all as usize), share]);
    }
    out.write_all(text::table(&rows).as_bytes())?;
    if is_cut {
        writeln!(out, "the {MOST_CLASSES} classes with the lowest accuracy; result.json has all of them")?;
    }
    Ok(())
}

/// A JSON list with one entry per class.
pub(crate) fn json(score: &ClassifierScore, names: &[String]) -> Value {
    let of = |(class, (all, right)): (usize, (u64, u64))| {
        let top1 = (all > 0).then(|| right as f64 / all as f64);
        json!({ "class": name(names, class), "images": all, "right": right, "top1": top1 })
    };
    score.per_class().into_iter().enumerate().map(of).collect()
}

fn name(names: &[String], class: usize) -> String {
    names.get(class).cloned().unwrap_or_else(|| class.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(n_classes: usize) -> ClassifierScore {
        let right = |i: usize| u64::from(i.is_multiple_of(n_classes + 1) && i > 0);
        let confusion = (0..n_classes * n_classes).map(right).collect();
        ClassifierScore { n_classes, confusion, n_in_top5: 0, loss_sum: 0.0, is_finite: true }
    }

    #[test]
    fn classes_without_images_have_no_share() {
        let mut out = Vec::new();
        print(&mut out, &score(2), &["cat".to_owned(), "dog".to_owned()]).unwrap();
        let expected = "class  test images  top-1\ncat    0            none\ndog    1            100.00 %\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(json(&score(2), &[])[1], json!({ "class": "1", "images": 1, "right": 1, "top1": 1.0 }));
    }

    #[test]
    fn of_many_classes_the_worst_are_printed() {
        let mut out = Vec::new();
        print(&mut out, &score(100), &[]).unwrap();
        let said = String::from_utf8(out).unwrap();
        assert!(said.contains("\n0 ") && said.ends_with("result.json has all of them\n"), "{said}");
        assert_eq!(said.lines().count(), 32);
    }
}
