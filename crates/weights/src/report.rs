//! Compares weights with the expected names and shapes.

use std::collections::BTreeMap;

use crate::{Shape, Tensors};

/// A comparison of names and shapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of tensors with the expected shape.
    pub n_fitting: usize,
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
                None => report.missing.push(name.clone()),
                Some(found) if found == *shape => report.n_fitting += 1,
                Some(found) => report.misshapen.push((name.clone(), found, shape.clone())),
            }
        }
        report.unexpected = found.keys().filter(|name| !expected.contains_key(*name)).cloned().collect();
        report
    }

    /// Whether everything that is expected was found, and nothing else.
    pub fn fits(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misshapen.is_empty()
    }
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
        assert!(Report::new(&expected, &tensors_of(&layout(&[("a", &[2]), ("b", &[3]), ("c", &[])]))).fits());
    }
}
