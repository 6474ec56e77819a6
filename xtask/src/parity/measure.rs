//! The error of a group of values.

use super::report::Line;

/// The values of a group, ours and the reference's.
#[derive(Default)]
pub(super) struct Group {
    pieces: Vec<Piece>,
    unequal: Vec<String>,
}

struct Piece {
    name: String,
    difference2: f64,
    scale2: f64,
}

/// The number of values that are listed for a group over its limit.
const N_WORST: usize = 3;

impl Group {
    /// Adds `ours`; the error is relative to the norm of `theirs`.
    pub(super) fn add(&mut self, name: &str, ours: &[f32], theirs: &[f32]) {
        self.add_moved(name, ours, theirs, None);
    }

    /// Adds `ours`; the error is relative to the distance of `theirs` from `start`.
    pub(super) fn add_moved(&mut self, name: &str, ours: &[f32], theirs: &[f32], start: Option<&[f32]>) {
        if ours.len() != theirs.len() || start.is_some_and(|start| start.len() != theirs.len()) {
            self.unequal.push(format!(
                "{name}: {} values, but {} in the reference",
                ours.len(),
                theirs.len()
            ));
            return;
        }
        let sum2 = |a: &[f32], b: Option<&[f32]>| -> f64 {
            let b = |i: usize| b.map_or(0.0, |b| f64::from(b[i]));
            a.iter().enumerate().map(|(i, a)| (f64::from(*a) - b(i)).powi(2)).sum()
        };
        let (difference2, scale2) = (sum2(ours, Some(theirs)), sum2(theirs, start));
        self.pieces.push(Piece { name: name.into(), difference2, scale2 });
    }

    /// Adds a count, which must be equal.
    pub(super) fn add_count(&mut self, name: &str, ours: u64, theirs: i64) {
        if i64::try_from(ours) != Ok(theirs) {
            self.unequal.push(format!("{name}: {ours}, but {theirs} in the reference"));
        }
    }

    /// |ours − theirs| / |theirs| over all added values; infinite if a count or a shape differs.
    pub(super) fn error(&self) -> f64 {
        if !self.unequal.is_empty() {
            return f64::INFINITY;
        }
        let difference2: f64 = self.pieces.iter().map(|piece| piece.difference2).sum();
        let scale2: f64 = self.pieces.iter().map(|piece| piece.scale2).sum();
        if difference2 == 0.0 { 0.0 } else { (difference2 / scale2).sqrt() }
    }

    /// The group's line of the report; `torch` is the error of PyTorch's float32.
    pub(super) fn line(&self, group: impl Into<String>, torch: f64) -> Line {
        let mut line = Line {
            group: group.into(),
            error: self.error(),
            limit: (10.0 * torch).max(1e-4),
            share: None,
            worst: Vec::new(),
        };
        if !line.is_ok() {
            line.worst = self.worst();
        }
        line
    }

    fn worst(&self) -> Vec<String> {
        let mut pieces: Vec<&Piece> = self.pieces.iter().collect();
        pieces.sort_by(|a, b| b.difference2.total_cmp(&a.difference2));
        let pieces = pieces.iter().map(|piece| {
            format!("{}: off by {:.2e} of {:.2e}", piece.name, piece.difference2.sqrt(), piece.scale2.sqrt())
        });
        self.unequal.iter().cloned().chain(pieces).take(N_WORST).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_relative_to_the_whole_group() {
        let mut group = Group::default();
        group.add("a", &[3.0, 4.0], &[3.0, 4.0]);
        group.add("b", &[0.5], &[0.0]);
        assert_eq!(group.error(), 0.1);
        let line = group.line("g", 0.02);
        assert!(line.is_ok() && line.worst.is_empty());
        let line = group.line("g", 1e-7);
        assert_eq!((line.limit, line.worst[0].as_str()), (1e-4, "b: off by 5.00e-1 of 0.00e0"));
    }

    #[test]
    fn the_final_state_is_relative_to_the_distance_moved() {
        let mut group = Group::default();
        group.add_moved("a", &[100.5], &[102.0], Some(&[99.0]));
        assert_eq!(group.error(), 0.5);
    }

    #[test]
    fn what_cannot_be_compared_is_infinitely_off() {
        let mut group = Group::default();
        group.add_count("steps", 3, 3);
        assert_eq!(group.error(), 0.0);
        group.add_count("steps", 3, 4);
        assert_eq!(group.error(), f64::INFINITY);
        let mut group = Group::default();
        group.add("a", &[1.0], &[1.0, 2.0]);
        assert!(!group.line("g", 0.0).is_ok());
        let mut group = Group::default();
        group.add("a", &[f32::NAN], &[1.0]);
        assert!(!group.line("g", 0.0).is_ok());
    }
}
