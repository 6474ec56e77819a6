//! A sum that goes on while its process does something else.

use crate::ProcessesError;

/// A sum under way.
pub struct Summing(Box<dyn FnOnce() -> Result<Vec<f32>, ProcessesError> + Send>);

impl Summing {
    /// A sum that `wait` waits for.
    pub fn new(wait: impl FnOnce() -> Result<Vec<f32>, ProcessesError> + Send + 'static) -> Self {
        Self(Box::new(wait))
    }

    /// A sum that is there.
    pub fn done(values: Vec<f32>) -> Self {
        Self::new(|| Ok(values))
    }

    /// The sum.
    ///
    /// # Errors
    /// See [`ProcessesError`].
    pub fn wait(self) -> Result<Vec<f32>, ProcessesError> {
        (self.0)()
    }
}

impl std::fmt::Debug for Summing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Summing")
    }
}
