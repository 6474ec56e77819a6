//! The momentum encoder.

use rayon::prelude::*;
use tensor_ops::{Parameter, blend_on_device, blend_values};

use super::{Engine, EngineError};
use pipeline::Graph;

impl Engine {
    /// Moves the momentum copies towards what they follow: θk ← m·θk + (1 − m)·θq (He et al. 2020, Eq. 2).
    ///
    /// Parameters only: running statistics follow the copies' own batches, as in the reference. All parameters move at the
    /// same time, as in [`update`](Self::update).
    pub(super) fn update_momentum(&mut self, momentum: f32) -> Result<(), EngineError> {
        self.move_copies(|factor| own_momentum(momentum, factor))
    }

    /// Makes the momentum copies equal to what they follow.
    pub(super) fn copy_momentum(&mut self) -> Result<(), EngineError> {
        self.move_copies(|_| 0.0)
    }

    /// Moves the copies, each by the coefficient that `momentum` gives for its factor.
    fn move_copies(&mut self, momentum: impl Fn(f64) -> f32) -> Result<(), EngineError> {
        let Graph { backbone_copies, head_copies, .. } = &self.graph;
        let followed = self.modules.encoders.of(backbone_copies, head_copies);
        let followed = self.followed.collect(followed, |_, parameter| parameter.share())?;
        let momenta: Vec<f32> = self.followed.ids().map(|id| momentum(self.followed[id])).collect();
        if tensor_ops::is_on_device() {
            return self.move_copies_on_device(&followed, &momenta);
        }
        let copies = self.momentum_modules.named_mut();
        let mut own = self.followed.collect_mut(copies, |_, _, parameter| parameter.take_values())?;
        let followed: Vec<&[f32]> = followed.iter().map(Parameter::values).collect();
        let all = own.par_iter_mut().zip(followed).zip(momenta);
        let blended = all.try_for_each(|((own, followed), momentum)| blend_values(own, followed, momentum));
        let copies = self.momentum_modules.named_mut();
        // Every one is put back, whatever happens to the others.
        let put = self.followed.hand_out(copies, own, |values, _, parameter| parameter.put_values(values))?;
        blended?;
        Ok(put.into_iter().collect::<Result<_, _>>()?)
    }

    fn move_copies_on_device(&mut self, followed: &[Parameter], momenta: &[f32]) -> Result<(), EngineError> {
        let copies = self.momentum_modules.named_mut();
        let mut own = self.followed.collect_mut(copies, |_, _, parameter| parameter.take())?;
        let mut result = Ok(());
        // Those of one coefficient that follow each other, in one launch: most often all.
        let mut first = 0;
        for same in momenta.chunk_by(|a, b| a == b) {
            let range = first..first + same.len();
            first = range.end;
            result =
                result.and_then(|()| blend_on_device(&mut own[range.clone()], &followed[range], same[0]));
        }
        let copies = self.momentum_modules.named_mut();
        self.followed.hand_out(copies, own, |taken, _, parameter| parameter.put_back(taken))?;
        Ok(result?)
    }
}

/// The coefficient of a copy that moves `factor` times as far as one with the coefficient `momentum`.
fn own_momentum(momentum: f32, factor: f64) -> f32 {
    // To the bit, for all that are in no group.
    if factor == 1.0 {
        return momentum;
    }
    (1.0 - (1.0 - f64::from(momentum)) * factor).clamp(0.0, 1.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_shortens_the_way_of_all_copies_alike() {
        // From 0.99 and 0.9 to 1.
        assert_eq!(own_momentum(0.99, 1.0), 0.99);
        for (momentum, own) in [(0.99, 0.9), (0.995, 0.95), (1.0, 1.0)] {
            assert!((own_momentum(momentum, 10.0) - own).abs() < 1e-6, "{momentum}");
        }
        // A copy that does not move, and one that follows at once.
        assert_eq!((own_momentum(0.5, 0.0), own_momentum(0.5, 2.0)), (1.0, 0.0));
    }
}
