//! Initial values.

use plugin_api::Rng;

/// How the values of a parameter start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All the same, without a draw.
    Constant(f32),
    /// Uniform in `[-bound, bound)`.
    Uniform {
        /// The largest value there can be.
        bound: f64,
    },
    /// Normal, of mean 0.
    Normal {
        /// The standard deviation.
        std: f64,
    },
}

impl Init {
    /// All 0.
    pub const ZEROS: Self = Self::Constant(0.0);

    /// PyTorch's, of linear layers and convolutions whose outputs see `n_inputs` values each: `U(−1/√I, 1/√I)`, for weights
    /// and biases.
    pub fn torch(n_inputs: usize) -> Self {
        Self::Uniform { bound: 1.0 / (n_inputs as f64).sqrt() }
    }

    /// Xavier's uniform initialization (Glorot & Bengio 2010, Eq. 16): `√(6 / (inputs + outputs))` is the bound.
    pub fn xavier(n_inputs: usize, n_outputs: usize) -> Self {
        Self::Uniform { bound: (6.0 / (n_inputs + n_outputs) as f64).sqrt() }
    }

    /// Kaiming's normal initialization for the fan-out (He et al. 2015, arXiv:1502.01852, Eq. 14): the variance is 2 over it.
    pub fn kaiming_fan_out(fan_out: usize) -> Self {
        Self::Normal { std: (2.0 / fan_out as f64).sqrt() }
    }

    /// `n` values, drawn one after another.
    pub fn values(self, rng: &mut Rng, n: usize) -> Vec<f32> {
        match self {
            Self::Constant(value) => vec![value; n],
            Self::Uniform { bound } => (0..n).map(|_| rng.uniform(-bound, bound) as f32).collect(),
            Self::Normal { std } => (0..n).map(|_| (std * rng.normal()) as f32).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_spread_that_is_asked_for() {
        let mut rng = Rng::new(0, "initial values", &[]);
        let mut std = |init: Init| {
            let values = init.values(&mut rng, 100_000);
            (values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / 1e5).sqrt()
        };
        assert_eq!(std(Init::ZEROS), 0.0);
        for (init, expected) in [
            (Init::Normal { std: 0.01 }, 0.01),
            (Init::torch(400), 0.05 / 3.0_f64.sqrt()),
            (Init::xavier(4, 2), 1.0 / 3.0_f64.sqrt()),
            (Init::kaiming_fan_out(8), 0.5),
        ] {
            let std = std(init);
            assert!((std / expected - 1.0).abs() < 0.01, "{init:?}: {std}");
        }
    }
}
