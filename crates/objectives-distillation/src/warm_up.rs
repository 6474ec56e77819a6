//! How the temperature of the targets rises.

/// A temperature that rises linearly over the first epochs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WarmUp {
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Epochs that the rise takes: in the last of them the temperature is `to`.
    pub(crate) epochs: usize,
}

impl WarmUp {
    /// The temperature in `epoch`, which stays as it is within an epoch.
    pub(crate) fn at(self, epoch: usize) -> f64 {
        if epoch >= self.epochs {
            return self.to;
        }
        // A rise of one epoch is all start, as `linspace` has it.
        let n_steps = (self.epochs - 1).max(1);
        self.from + (self.to - self.from) * epoch as f64 / n_steps as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_and_ends_where_it_is_told() {
        let at = |epochs, epoch| WarmUp { from: 0.04, to: 0.07, epochs }.at(epoch);
        // torch.linspace(.04, .07, 4), and .07 from then on
        for (epoch, expected) in [(0, 0.04), (1, 0.05), (2, 0.06), (3, 0.07), (4, 0.07), (100, 0.07)] {
            assert!((at(4, epoch) - expected).abs() < 1e-12, "{epoch}");
        }
        assert_eq!((at(0, 0), at(1, 0), at(1, 1)), (0.07, 0.04, 0.07));
    }
}
