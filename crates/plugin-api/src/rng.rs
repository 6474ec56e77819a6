//! Random draws, keyed by what they are for.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A source of random draws for one purpose.
///
/// The key is the whole state: the same seed, purpose and numbers give the same draws, on every machine, whatever was
/// drawn before and on whichever thread. So the order in which images arrive cannot change a run.
///
/// ```
/// use plugin_api::Rng;
/// let mut a = Rng::new(7, "flip", &[3, 41]);
/// let mut b = Rng::new(7, "flip", &[3, 41]);
/// assert_eq!(a.unit(), b.unit());
/// ```
#[derive(Clone, Debug)]
pub struct Rng {
    rng: ChaCha8Rng,
}

impl Rng {
    /// Draws of `seed` for `purpose`, told apart from others of that purpose by `numbers` (epoch, image, view, ...).
    pub fn new(seed: u64, purpose: &str, numbers: &[u64]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(&(purpose.len() as u64).to_le_bytes());
        hasher.update(purpose.as_bytes());
        for number in numbers {
            hasher.update(&number.to_le_bytes());
        }
        Self { rng: ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()) }
    }

    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Uniform in `[0, 1)`, in steps of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform in `0..n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The multiplication maps 64 bits onto `0..n`; the bias is under n / 2⁶⁴.
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// `0..n` in random order (Fisher and Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_number_gives_other_draws() {
        assert_ne!(Rng::new(0, "crop", &[1, 2]).bits(), Rng::new(0, "crop", &[2, 1]).bits());
        assert_ne!(Rng::new(0, "crop", &[1]).bits(), Rng::new(0, "flip", &[1]).bits());
    }

    #[test]
    fn draws_are_the_same_bits_with_every_version_of_the_generator() {
        // 70 draws are more than the generator computes at a time.
        let mut rng = Rng::new(7, "flip", &[3, 41]);
        let bits: Vec<u64> = (0..70).map(|_| rng.bits()).collect();
        assert_eq!(
            bits[..3],
            [16_488_619_677_320_215_416, 11_161_459_189_135_353_764, 3_349_765_981_734_341_760]
        );
        assert_eq!(
            bits[67..],
            [6_144_388_366_090_901_035, 12_901_131_000_253_803_696, 8_630_736_578_813_667_849]
        );
        assert_eq!(Rng::new(0, "", &[]).permutation(8), [2, 0, 1, 3, 6, 7, 5, 4]);
    }

    #[test]
    fn a_permutation_has_every_index_once() {
        let mut order = Rng::new(1, "order", &[]).permutation(1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn normal_draws_have_mean_zero_and_variance_one() {
        let mut rng = Rng::new(2, "normal", &[]);
        let values: Vec<f64> = (0..100_000).map(|_| rng.normal()).collect();
        let mean = values.iter().sum::<f64>() / 1e5;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
