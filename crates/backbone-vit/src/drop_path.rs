//! Stochastic depth: residual branches that are left out for some images.

use plugin_api::{ConfigError, PassDraws};
use tensor_ops::OpError;

/// For the two residual branches of a block, what each image's is multiplied by; `None`: all count as they are.
pub(crate) type Factors = Option<[Vec<f32>; 2]>;

/// Stochastic depth (Huang et al. 2016, arXiv:1603.09382) as in timm: the rate rises linearly from 0 in the first block, each
/// branch of each image is drawn by itself, and those that stay are scaled up.
pub(crate) struct DropPath {
    /// The rate of the last block.
    rate: f64,
    /// Of the next pass in training.
    draws: Option<PassDraws>,
}

impl DropPath {
    /// # Errors
    /// If the rate is out of range.
    pub(crate) fn new(rate: f64) -> Result<Self, ConfigError> {
        if (0.0..1.0).contains(&rate) {
            return Ok(Self { rate, draws: None });
        }
        Err(ConfigError::field("drop_path", rate, "it must be at least 0 and below 1"))
    }

    pub(crate) fn set_draws(&mut self, draws: PassDraws) {
        self.draws = Some(draws);
    }

    /// The factors of each of `depth` blocks, for a pass in training of `n` images.
    ///
    /// # Errors
    /// If paths are to be dropped, and there are no draws for this pass.
    pub(crate) fn pass(&mut self, depth: usize, n: usize) -> Result<Vec<Factors>, OpError> {
        // They are for one pass: another one with the same draws would be a mistake.
        let draws = self.draws.take();
        if self.rate == 0.0 {
            return Ok(vec![None; depth]);
        }
        let Some(draws) = draws.filter(|draws| draws.places.len() == n) else {
            return Err(OpError::Value {
                op: "vit",
                what: "draws for `drop_path`",
                got: "none".into(),
                must: "they must be set before each pass in training, for as many images",
            });
        };
        Ok((0..depth).map(|block| self.block(&draws, block, depth, n)).collect())
    }

    fn block(&self, draws: &PassDraws, block: usize, depth: usize, n: usize) -> Factors {
        let rate = self.rate * block as f64 / (depth - 1).max(1) as f64;
        if rate == 0.0 {
            return None;
        }
        let kept = (1.0 / (1.0 - rate)) as f32;
        let mut factors = [Vec::with_capacity(n), Vec::with_capacity(n)];
        for image in 0..n {
            let mut rng = draws.rng("drop path", block as u64, image);
            for of_branch in &mut factors {
                of_branch.push(if rng.chance(rate) { 0.0 } else { kept });
            }
        }
        Some(factors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(places: impl IntoIterator<Item = u64>) -> PassDraws {
        PassDraws { seed: 3, pass: "queries".into(), step: 7, places: places.into_iter().collect() }
    }

    fn pass(rate: f64, depth: usize, places: std::ops::Range<u64>) -> Vec<Factors> {
        let mut paths = DropPath::new(rate).unwrap();
        let n = (places.end - places.start) as usize;
        paths.set_draws(draws(places));
        paths.pass(depth, n).unwrap()
    }

    #[test]
    fn rates_rise_from_0_to_the_last_block_and_the_mean_is_kept() {
        let blocks = pass(0.5, 3, 0..4000);
        assert!(blocks[0].is_none());
        for (block, rate) in [(1, 0.25), (2, 0.5)] {
            for of_branch in blocks[block].as_ref().unwrap() {
                let dropped = of_branch.iter().filter(|factor| **factor == 0.0).count() as f64 / 4000.0;
                let mean = of_branch.iter().sum::<f32>() / 4000.0;
                assert!((dropped - rate).abs() < 0.03, "{dropped} of block {block}");
                assert!((mean - 1.0).abs() < 0.06, "{mean} of block {block}");
            }
        }
        let [first, second] = blocks[2].clone().unwrap();
        assert_ne!(first, second);
    }

    #[test]
    fn a_part_of_a_batch_draws_as_the_whole() {
        let (whole, part) = (pass(0.3, 2, 0..8), pass(0.3, 2, 4..8));
        let of_last = |blocks: &[Factors]| blocks[1].clone().unwrap();
        assert_eq!(of_last(&whole).map(|factors| factors[4..].to_vec()), of_last(&part));
    }

    #[test]
    fn draws_are_for_one_pass() {
        let mut paths = DropPath::new(0.3).unwrap();
        assert!(paths.pass(2, 1).is_err());
        paths.set_draws(draws([0]));
        assert!(paths.pass(2, 1).is_ok() && paths.pass(2, 1).is_err());
        assert!(DropPath::new(0.0).unwrap().pass(2, 1).unwrap().iter().all(Option::is_none));
    }

    #[test]
    fn a_rate_out_of_range_is_refused() {
        for rate in [-0.1, 1.0, f64::NAN] {
            assert!(DropPath::new(rate).is_err());
        }
    }
}
