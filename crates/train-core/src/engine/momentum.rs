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
        let Graph { backbone_copies, head_copies, .. } = &self.graph;
        let followed = self.modules.encoders.of(backbone_copies, head_copies);
        let followed = self.followed.collect(followed, |_, parameter| parameter.share())?;
        if tensor_ops::is_on_device() {
            return self.update_momentum_on_device(&followed, momentum);
        }
        let copies = self.momentum_modules.named_mut();
        let mut own = self.followed.collect_mut(copies, |_, (), parameter| parameter.take_values())?;
        let mut pairs: Vec<(&mut Vec<f32>, &[f32])> =
            own.iter_mut().zip(followed.iter().map(Parameter::values)).collect();
        let blended =
            pairs.par_iter_mut().try_for_each(|(own, followed)| blend_values(own, followed, momentum));
        let copies = self.momentum_modules.named_mut();
        // Every one is put back, whatever happens to the others.
        let put =
            self.followed.hand_out(copies, own, |values, (), parameter| parameter.put_values(values))?;
        blended?;
        Ok(put.into_iter().collect::<Result<_, _>>()?)
    }

    fn update_momentum_on_device(
        &mut self,
        followed: &[Parameter],
        momentum: f32,
    ) -> Result<(), EngineError> {
        let copies = self.momentum_modules.named_mut();
        let mut own = self.followed.collect_mut(copies, |_, (), parameter| parameter.take())?;
        let result = blend_on_device(&mut own, followed, momentum);
        let copies = self.momentum_modules.named_mut();
        self.followed.hand_out(copies, own, |taken, (), parameter| parameter.put_back(taken))?;
        Ok(result?)
    }
}
