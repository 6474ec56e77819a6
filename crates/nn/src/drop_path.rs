//! Stochastic depth: residual branches that are left out for some images.

use plugin_api::{ConfigError, PassDraws};
use tensor_ops::OpError;

/// Stochastic depth (Huang et al. 2016, arXiv:1603.09382) as in timm: the rate rises linearly from 0 in the first block, each
/// branch of each image is drawn by itself, and those that stay are scaled up.
///
/// A backbone passes on what [`Backbone::set_draws`](plugin_api::Backbone::set_draws) and
/// [`set_drop_path`](plugin_api::Backbone::set_drop_path) are told, and
/// [`add_scaled_images`](tensor_ops::add_scaled_images) applies the factors.
#[derive(Clone, Debug)]
pub struct DropPath {
    /// The rate of the last block.
    rate: f64,
    /// Of the next pass in training.
    draws: Option<PassDraws>,
}

impl DropPath {
    /// With the rate of the last block, from 0 to below 1.
    ///
    /// # Errors
    /// If the rate is out of range.
    pub fn new(rate: f64) -> Result<Self, ConfigError> {
        if (0.0..1.0).contains(&rate) {
            return Ok(Self { rate, draws: None });
        }
        Err(ConfigError::field("drop_path", rate, "it must be at least 0 and below 1"))
    }

    /// Says what the next pass in training draws by.
    pub fn set_draws(&mut self, draws: PassDraws) {
        self.draws = Some(draws);
    }

    /// For each of `depth` blocks what each of `n` images is multiplied by, in each of the block's residual branches, for a pass
    /// in training; `None`: all count as they are.
    ///
    /// # Errors
    /// If paths are to be dropped, and there are no draws for this pass.
    pub fn pass<const BRANCHES: usize>(
        &mut self,
        depth: usize,
        n: usize,
    ) -> Result<Vec<Option<[Vec<f32>; BRANCHES]>>, OpError> {
        // They are for one pass: another one with the same draws would be a mistake.
        let draws = self.draws.take();
        if self.rate == 0.0 {
            return Ok(vec![None; depth]);
        }
        let Some(draws) = draws.filter(|draws| draws.places.len() == n) else {
            return Err(OpError::Value {
                op: "drop_path",
                what: "draws for `drop_path`",
                got: "none".into(),
                must: "they must be set before each pass in training, for as many images",
            });
        };
        Ok((0..depth).map(|block| self.block(&draws, block, depth, n)).collect())
    }

    fn block<const BRANCHES: usize>(
        &self,
        draws: &PassDraws,
        block: usize,
        depth: usize,
        n: usize,
    ) -> Option<[Vec<f32>; BRANCHES]> {
        let rate = self.rate * block as f64 / (depth - 1).max(1) as f64;
        if rate == 0.0 {
            return None;
        }
        let kept = (1.0 / (1.0 - rate)) as f32;
        let mut factors = [const { Vec::new() }; BRANCHES];
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

    fn pass(rate: f64, depth: usize, places: std::ops::Range<u64>) -> Vec<Option<[Vec<f32>; 2]>> {
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
        let of_last = |blocks: &[Option<[Vec<f32>; 2]>]| blocks[1].clone().unwrap();
        assert_eq!(of_last(&whole).map(|factors| factors[4..].to_vec()), of_last(&part));
    }

    #[test]
    fn draws_are_for_one_pass() {
        let mut paths = DropPath::new(0.3).unwrap();
        assert!(paths.pass::<2>(2, 1).is_err());
        paths.set_draws(draws([0]));
        assert!(paths.pass::<2>(2, 1).is_ok() && paths.pass::<2>(2, 1).is_err());
        assert!(DropPath::new(0.0).unwrap().pass::<1>(2, 1).unwrap().iter().all(Option::is_none));
    }

    #[test]
    fn a_rate_out_of_range_is_refused() {
        for rate in [-0.1, 1.0, f64::NAN] {
            assert!(DropPath::new(rate).is_err());
        }
    }
}
