//! The order of a sum.

/// A sum of values that come one after another, added as a binary tree: neighbors first, then pairs of neighbors.
///
/// If each of several processes sums as many consecutive values, a power of two of them, and the processes' sums are added by
/// [`sum_in_order`], the result has the same bits as one sum of all. About `log2` of the number of values are in memory.
#[derive(Debug)]
pub struct Tree<T> {
    /// Finished subtrees with their heights, which decrease.
    subtrees: Vec<(u32, T)>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { subtrees: Vec::new() }
    }
}

impl<T> Tree<T> {
    /// Takes the next value. `add` adds the right one to the left one.
    ///
    /// # Errors
    /// Those of `add`.
    pub fn push<E>(
        &mut self,
        mut value: T,
        mut add: impl FnMut(&mut T, T) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut height = 0;
        while let Some((_, mut left)) = self.subtrees.pop_if(|(left, _)| *left == height) {
            add(&mut left, value)?;
            value = left;
            height += 1;
        }
        self.subtrees.push((height, value));
        Ok(())
    }

    /// The sums so far, left to right. The next value is added to the last of them, the result to the one before, and so on.
    pub fn into_sums(self) -> Vec<T> {
        self.subtrees.into_iter().map(|(_, value)| value).collect()
    }

    /// The sum; `None` of nothing.
    ///
    /// # Errors
    /// Those of `add`.
    pub fn finish<E>(self, mut add: impl FnMut(&mut T, T) -> Result<(), E>) -> Result<Option<T>, E> {
        let mut subtrees = self.subtrees.into_iter().rev().map(|(_, value)| value);
        let Some(mut sum) = subtrees.next() else { return Ok(None) };
        for mut left in subtrees {
            add(&mut left, sum)?;
            sum = left;
        }
        Ok(Some(sum))
    }
}

/// Adds the values of all processes, `of_ranks`, in the order of [`Tree`]; the sum is in the first.
///
/// # Panics
/// If they differ in length.
pub fn sum_in_order<V: AsMut<[f32]>>(of_ranks: &mut [V]) {
    let mut distance = 1;
    while distance < of_ranks.len() {
        for pair in of_ranks.chunks_mut(2 * distance) {
            let (left, right) = pair.split_at_mut(distance.min(pair.len()));
            if let ([left, ..], [right, ..]) = (left, right) {
                let (left, right) = (left.as_mut(), right.as_mut());
                assert_eq!(left.len(), right.len(), "processes add as many values");
                for (left, right) in left.iter_mut().zip(right) {
                    *left += *right;
                }
            }
        }
        distance *= 2;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Values whose sum depends on its order.
    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| (1.0 + i as f32).sin() * 1e4_f32.powi(i as i32 % 3)).collect()
    }

    fn tree(values: impl IntoIterator<Item = f32>) -> f32 {
        let add = |left: &mut f32, right| {
            *left += right;
            Ok::<_, Infallible>(())
        };
        let mut tree = Tree::default();
        for value in values {
            tree.push(value, add).unwrap();
        }
        tree.finish(add).unwrap().unwrap()
    }

    #[test]
    fn neighbors_are_added_first() {
        let text = |n: usize| {
            let add = |left: &mut String, right| {
                *left = format!("({left}+{right})");
                Ok::<_, Infallible>(())
            };
            let mut tree = Tree::default();
            for i in 0..n {
                tree.push(i.to_string(), add).unwrap();
            }
            tree.finish(add).unwrap()
        };
        assert_eq!(text(0), None);
        assert_eq!(text(1).unwrap(), "0");
        assert_eq!(text(4).unwrap(), "((0+1)+(2+3))");
        assert_eq!(text(7).unwrap(), "(((0+1)+(2+3))+((4+5)+6))");
    }

    #[test]
    fn a_last_value_may_be_added_by_hand() {
        let add = |left: &mut f32, right| {
            *left += right;
            Ok::<_, Infallible>(())
        };
        for n in 1..20 {
            let values = values(n);
            let (last, others) = values.split_last().unwrap();
            let mut unfinished = Tree::default();
            others.iter().for_each(|value| unfinished.push(*value, add).unwrap());
            let sum = unfinished.into_sums().iter().rev().fold(*last, |sum, left| left + sum);
            assert_eq!(sum.to_bits(), tree(values).to_bits(), "{n}");
        }
    }

    #[test]
    fn sums_of_processes_add_up_to_the_sum_of_all() {
        for (n_parts, n_processes) in
            [(4, 1), (4, 2), (4, 4), (12, 3), (12, 6), (12, 12), (56, 7), (64, 16), (5, 5)]
        {
            let values = values(n_parts);
            let mut of_ranks: Vec<[f32; 1]> =
                values.chunks(n_parts / n_processes).map(|own| [tree(own.iter().copied())]).collect();
            sum_in_order(&mut of_ranks);
            assert_eq!(
                of_ranks[0][0].to_bits(),
                tree(values).to_bits(),
                "{n_parts} parts, {n_processes} processes"
            );
        }
    }

    #[test]
    fn the_order_matters_for_these_values() {
        let values = values(12);
        assert_ne!(values.iter().sum::<f32>().to_bits(), tree(values.iter().copied()).to_bits());
        // Three parts a process: no power of two.
        let mut of_ranks: Vec<[f32; 1]> = values.chunks(3).map(|own| [tree(own.iter().copied())]).collect();
        sum_in_order(&mut of_ranks);
        assert_ne!(of_ranks[0][0].to_bits(), tree(values).to_bits());
    }
}
