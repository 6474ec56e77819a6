//! A moving average of weights.

use plugin_api::{Entry, EntryMut, Module};
use tensor_ops::{OpError, blend_values};

/// A moving average of the parameters and the running statistics of modules, as timm's `ModelEmaV2` keeps it.
pub(super) struct WeightAverage {
    decay: f32,
    /// Of each parameter and buffer, in the order of a visit.
    values: Vec<Vec<f32>>,
}

impl WeightAverage {
    /// It starts as what `modules` have.
    pub(super) fn new(decay: f64, modules: &[&dyn Module]) -> Self {
        Self { decay: decay as f32, values: values(modules) }
    }

    /// The average of each parameter and buffer, in the order of a visit.
    pub(super) fn values(&self) -> &[Vec<f32>] {
        &self.values
    }

    /// As [`values`](Self::values), to be replaced by as many.
    pub(super) fn values_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.values
    }

    /// `average = decay * average + (1 - decay) * values`.
    ///
    /// # Errors
    /// If the modules have changed their parameters.
    pub(super) fn follow(&mut self, modules: &[&dyn Module]) -> Result<(), OpError> {
        let now = values(modules);
        self.values.iter_mut().zip(&now).try_for_each(|(average, now)| blend_values(average, now, self.decay))
    }

    /// Sets `modules` to the average.
    ///
    /// # Errors
    /// If they have changed their parameters.
    pub(super) fn put(self, modules: [&mut dyn Module; 2]) -> Result<(), OpError> {
        let mut values = self.values.into_iter();
        let mut result = Ok(());
        for module in modules {
            module.visit_mut(&mut |_, entry| {
                let put = match entry {
                    EntryMut::Parameter(parameter) => parameter.put_values(values.next().unwrap_or_default()),
                    EntryMut::Buffer(buffer) => buffer.put_values(values.next().unwrap_or_default()),
                    EntryMut::Counter(_) => Ok(()),
                };
                if result.is_ok() {
                    result = put;
                }
            });
        }
        result
    }
}

fn values(modules: &[&dyn Module]) -> Vec<Vec<f32>> {
    let mut values = Vec::new();
    for module in modules {
        module.visit(&mut |_, entry| match entry {
            Entry::Parameter(parameter) => values.push(parameter.values().to_vec()),
            Entry::Buffer(buffer) => values.push(buffer.to_vec()),
            Entry::Counter(_) => {}
        });
    }
    values
}

#[cfg(test)]
mod tests {
    use tensor_ops::BatchNorm;

    use super::*;

    #[test]
    fn the_average_follows_parameters_and_running_statistics() {
        let mut norms = [BatchNorm::without_affine(2), BatchNorm::without_affine(1)];
        let modules = |norms: &[BatchNorm; 2], use_them: &mut dyn FnMut(&[&dyn Module])| {
            use_them(&[&norms[0], &norms[1]]);
        };
        let mut average = None;
        modules(&norms, &mut |norms| average = Some(WeightAverage::new(0.75, norms)));
        let mut average = average.unwrap();
        norms[0].running_mean.set(&[4.0, 8.0]).unwrap();
        norms[1].running_var.set(&[9.0]).unwrap();
        modules(&norms, &mut |norms| average.follow(norms).unwrap());
        let [first, second] = &mut norms;
        average.put([first, second]).unwrap();
        assert_eq!(norms[0].running_mean.to_vec(), [1.0, 2.0]);
        assert_eq!(norms[1].running_var.to_vec(), [3.0]);
    }
}
