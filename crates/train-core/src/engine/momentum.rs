//! The momentum encoder.

use rayon::prelude::*;
use tensor_ops::{OpError, Parameter, blend_on_device, blend_values};

use super::{Engine, each_parameter};

impl Engine {
    /// Moves the momentum copies towards what they follow: θk ← m·θk + (1 − m)·θq (He et al. 2020, Eq. 2).
    ///
    /// Parameters only: running statistics follow the copies' own batches, as in the reference. All parameters move at the
    /// same time, as in [`update`](Self::update).
    pub(super) fn update_momentum(&mut self, momentum: f32) -> Result<(), OpError> {
        if tensor_ops::is_on_device() {
            return self.update_momentum_on_device(momentum);
        }
        let mut followed: Vec<Parameter> = Vec::new();
        let mut own: Vec<Vec<f32>> = Vec::new();
        for (named, copy) in self.modules.iter_mut().zip(&mut self.momentum_modules) {
            let Some(copy) = copy else { continue };
            each_parameter([named], |parameter| followed.push(parameter.share()));
            each_parameter([copy], |parameter| own.push(parameter.take_values()));
        }
        let mut pairs: Vec<(&mut Vec<f32>, &[f32])> =
            own.iter_mut().zip(followed.iter().map(Parameter::values)).collect();
        let mut result =
            pairs.par_iter_mut().try_for_each(|(own, followed)| blend_values(own, followed, momentum));
        let mut own = own.into_iter();
        each_parameter(self.momentum_modules.iter_mut().flatten(), |parameter| {
            let Some(values) = own.next() else { return };
            // Every one is put back, whatever happens to the others.
            let put = parameter.put_values(values);
            if result.is_ok() {
                result = put;
            }
        });
        result
    }

    fn update_momentum_on_device(&mut self, momentum: f32) -> Result<(), OpError> {
        let (mut followed, mut own): (Vec<Parameter>, Vec<Parameter>) = (Vec::new(), Vec::new());
        for (named, copy) in self.modules.iter_mut().zip(&mut self.momentum_modules) {
            let Some(copy) = copy else { continue };
            each_parameter([named], |parameter| followed.push(parameter.share()));
            each_parameter([copy], |parameter| own.push(parameter.take()));
        }
        let result = blend_on_device(&mut own, &followed, momentum);
        let mut own = own.into_iter();
        each_parameter(self.momentum_modules.iter_mut().flatten(), |parameter| {
            if let Some(taken) = own.next() {
                parameter.put_back(taken);
            }
        });
        result
    }
}
