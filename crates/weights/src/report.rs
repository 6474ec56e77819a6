//! Compares weights with the expected names and shapes.

use std::collections::BTreeMap;

use crate::{Shape, Tensors};

/// A comparison of names and shapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of tensors with the expected shape.
    pub n_fitting: usize,
    /// Counters of batches that were not found, of batch norms that were. They start at 0, as in PyTorch, and are not missing.
    pub n_new_counters: usize,
    /// Expected but not found.
    pub missing: Vec<String>,
    /// Found but not expected.
    pub unexpected: Vec<String>,
    /// Found with another shape: name, found shape, expected shape.
    pub misshapen: Vec<(String, Shape, Shape)>,
}

impl Report {
    /// Compares `found` with `expected`, name by name.
    pub fn new(expected: &BTreeMap<String, Shape>, found: &Tensors) -> Self {
        let mut report = Self::default();
        for (name, shape) in expected {
            match found.get(name).map(Shape::of) {
                None if is_counter_of_found(name, found) => report.n_new_counters += 1,
                None => report.missing.push(name.clone()),
                Some(found) if found == *shape => report.n_fitting += 1,
                Some(found) => report.misshapen.push((name.clone(), found, shape.clone())),
            }
        }
        report.unexpected = found.keys().filter(|name| !expected.contains_key(*name)).cloned().collect();
        report
    }

    /// Whether everything that is expected was found, but for counters, and nothing else.
    pub fn fits(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misshapen.is_empty()
    }
}

/// Whether `name` is the counter of a batch norm whose statistics were found.
fn is_counter_of_found(name: &str, found: &Tensors) -> bool {
    let norm = name.strip_suffix("num_batches_tracked");
    norm.is_some_and(|norm| found.contains_key(&format!("{norm}running_mean")))
}

#[cfg(test)]
pub(crate) mod tests {
    use run_store::checkpoint::Stored;

    use super::*;

    /// Zeros of a layout.
    pub(crate) fn tensors_of(layout: &[(String, Shape)]) -> Tensors {
        let zeros = |shape: &Shape| match shape {
            Shape::Floats(shape) => {
                Stored::F32 { shape: shape.clone(), values: vec![0.0; shape.iter().product()] }
            }
            Shape::Count => Stored::U64(vec![0]),
        };
        layout.iter().map(|(name, shape)| (name.clone(), zeros(shape))).collect()
    }

    #[test]
    fn each_name_is_fitting_missing_unexpected_or_misshapen() {
        let layout = |names: &[(&str, &[usize])]| -> Vec<(String, Shape)> {
            names.iter().map(|(name, shape)| ((*name).to_owned(), Shape::Floats(shape.to_vec()))).collect()
        };
        let expected: BTreeMap<_, _> = layout(&[("a", &[2]), ("b", &[3]), ("c", &[])]).into_iter().collect();
        let found = tensors_of(&layout(&[("a", &[2]), ("b", &[1, 3]), ("d", &[])]));
        let report = Report::new(&expected, &found);
        assert!(!report.fits());
        assert_eq!(
            (report.n_fitting, report.missing, report.unexpected),
            (1, vec!["c".into()], vec!["d".into()])
        );
        let shapes = (Shape::Floats(vec![1, 3]), Shape::Floats(vec![3]));
        assert_eq!(report.misshapen, [("b".to_owned(), shapes.0, shapes.1)]);
        assert_eq!(report.n_new_counters, 0);
        assert!(Report::new(&expected, &tensors_of(&layout(&[("a", &[2]), ("b", &[3]), ("c", &[])]))).fits());
    }
    #[test]
    fn counters_of_batch_norms_that_are_there_are_not_missing() {
        let statistics = ("bn1.running_mean".to_owned(), Shape::Floats(vec![1]));
        let counter = ("bn1.num_batches_tracked".to_owned(), Shape::Count);
        let expected = BTreeMap::from([statistics.clone(), counter]);
        let report = Report::new(&expected, &tensors_of(&[statistics]));
        assert_eq!((report.n_fitting, report.n_new_counters, report.fits()), (1, 1, true));
        let report = Report::new(&expected, &Tensors::new());
        assert_eq!((report.n_new_counters, report.missing.len()), (0, 2));
        let pointer = BTreeMap::from([("pointer".to_owned(), Shape::Count)]);
        assert_eq!(Report::new(&pointer, &Tensors::new()).missing, ["pointer"]);
    }
}
