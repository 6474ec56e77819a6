//! Which classes the features mix up.

use pages::{Confused, WeakClass};

/// Classes that are shown at the most.
const MOST_CLASSES: usize = 12;
/// What a class is taken for, at the most.
const MOST_CONFUSED: usize = 3;

/// The classes that are found least often, the worst first. `labels` and `found` are classes of the same images.
pub(super) fn weak_classes(labels: &[u32], found: &[usize], names: &[String]) -> Vec<WeakClass> {
    let n_classes = names.len();
    let mut counts = vec![vec![0_usize; n_classes]; n_classes];
    for (&label, &found) in labels.iter().zip(found) {
        counts[label as usize][found] += 1;
    }
    let of_class = |(class, counts): (usize, &Vec<usize>)| {
        let mut others: Vec<usize> =
            (0..n_classes).filter(|other| *other != class && counts[*other] > 0).collect();
        others.sort_by_key(|other| (std::cmp::Reverse(counts[*other]), *other));
        let confused = others.into_iter().take(MOST_CONFUSED);
        WeakClass {
            name: names[class].clone(),
            n: counts.iter().sum(),
            right: counts[class],
            confused: confused
                .map(|other| Confused { name: names[other].clone(), n: counts[other] })
                .collect(),
        }
    };
    let mut classes: Vec<WeakClass> =
        counts.iter().enumerate().map(of_class).filter(|class| class.n > 0).collect();
    let share = |class: &WeakClass| class.right as f64 / class.n as f64;
    classes.sort_by(|a, b| share(a).total_cmp(&share(b)));
    classes.truncate(MOST_CLASSES);
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_class_comes_first_with_what_it_is_taken_for() {
        let names = ["cat", "dog", "frog", "nobody"].map(str::to_owned);
        let labels = [0, 0, 0, 0, 1, 1, 2, 2];
        let found = [1, 1, 2, 0, 1, 1, 2, 0];
        let classes = weak_classes(&labels, &found, &names);
        let told: Vec<(&str, usize, usize)> =
            classes.iter().map(|class| (&class.name[..], class.right, class.n)).collect();
        assert_eq!(told, [("cat", 1, 4), ("frog", 1, 2), ("dog", 2, 2)]);
        let confused: Vec<(&str, usize)> =
            classes[0].confused.iter().map(|other| (&other.name[..], other.n)).collect();
        assert_eq!(confused, [("dog", 2), ("frog", 1)]);
    }
}
