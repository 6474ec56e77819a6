//! Which values an objective takes: what most of them check.

use tensor_ops::{Features, Matrix, OpError};

use super::{Input, InputShape, ObjectiveContext};
use crate::ConfigError;

/// The inputs that an objective was built for, which all have one width.
///
/// ```
/// use plugin_api::{ConfigError, InputShape, ObjectiveContext, ObjectiveInputs};
///
/// /// Two embeddings, both trained, as [`two_views`](Self::two_views) has it.
/// fn two_views(context: &ObjectiveContext) -> Result<ObjectiveInputs, ConfigError> {
///     let inputs = ObjectiveInputs::of("my-loss", context)?;
///     let is_right = (inputs.n_trained, inputs.n_fixed) == (2, 0);
///     inputs.require(is_right, context, "2 trained values", "name the embeddings of the two views")?;
///     Ok(inputs)
/// }
///
/// let input = |name: &str| InputShape { name: name.into(), width: 128, is_trained: true };
/// let mut context = ObjectiveContext {
///     device: Default::default(),
///     inputs: vec![input("a"), input("b")],
///     batch: 64,
///     epochs: 10,
///     seed: 0,
///     name: "loss".into(),
/// };
/// assert_eq!(two_views(&context)?.width, 128);
/// context.inputs[1].is_trained = false;
/// assert_eq!(
///     two_views(&context).unwrap_err().to_string(),
///     "`my-loss` takes 2 trained values, but `on` has 1 trained and 1 fixed: `a` (trained), `b` (fixed)"
/// );
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectiveInputs {
    /// The plugin, as errors call it.
    pub plugin: &'static str,
    /// How many are trained.
    pub n_trained: usize,
    /// How many are fixed.
    pub n_fixed: usize,
    /// `D`.
    pub width: usize,
}

/// The values of a step, by whether they are trained, each in the order of `on`.
pub struct SortedInputs {
    /// Those of [`Input::Trained`].
    pub trained: Vec<Features>,
    /// Those of [`Input::Fixed`].
    pub fixed: Vec<Matrix>,
}

impl ObjectiveInputs {
    /// The inputs of `context`.
    ///
    /// # Errors
    /// If there are none, or they are of several widths.
    pub fn of(plugin: &'static str, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let [first, others @ ..] = &context.inputs[..] else {
            return Err(ConfigError::unfit(format!("`{plugin}` has no inputs"), "name them in `on`"));
        };
        if let Some(other) = others.iter().find(|other| other.width != first.width) {
            return Err(ConfigError::unfit(
                format!(
                    "`{plugin}` takes values of one width, but `{}` has {} and `{}` {}",
                    first.name, first.width, other.name, other.width
                ),
                "let heads of one `out` end both",
            ));
        }
        let n_trained = context.inputs.iter().filter(|input| input.is_trained).count();
        let n_fixed = context.inputs.len() - n_trained;
        Ok(Self { plugin, n_trained, n_fixed, width: first.width })
    }

    /// The inputs of a plugin that takes the embeddings of two views, both trained.
    ///
    /// # Errors
    /// As [`of`](Self::of), and if they are not two or not both trained, or a batch has one image; `why` says what is missing
    /// then.
    pub fn two_views(
        plugin: &'static str,
        context: &ObjectiveContext,
        why: &str,
    ) -> Result<Self, ConfigError> {
        let inputs = Self::of(plugin, context)?;
        let is_right = (inputs.n_trained, inputs.n_fixed) == (2, 0);
        let hint = "name the embeddings of the two views, both with gradients: no `weights: Momentum`, no `gradient: None`";
        inputs.require(is_right, context, "2 trained values", hint)?;
        inputs.require_batch(2, context, why)?;
        Ok(inputs)
    }

    /// The values of a step of a plugin that takes one trained and one fixed value.
    ///
    /// # Errors
    /// As [`sort`](Self::sort), and if they are others.
    pub fn pair(self, inputs: Vec<Input>) -> Result<(Features, Matrix), OpError> {
        let SortedInputs { mut trained, mut fixed } = self.sort(inputs)?;
        match (trained.pop(), fixed.pop()) {
            (Some(query), Some(key)) => Ok((query, key)),
            _ => Err(OpError::shape(self.plugin, "number of inputs", 2, trained.len() + fixed.len())),
        }
    }

    /// The two values that [`sort`](Self::sort) has counted.
    ///
    /// # Errors
    /// If they are not two.
    pub fn two<T>(self, values: Vec<T>) -> Result<[T; 2], OpError> {
        let n = values.len();
        values.try_into().map_err(|_| OpError::shape(self.plugin, "number of values", 2, n))
    }

    /// Refuses the inputs unless `is_right`: the plugin `takes` others, said after "takes" and without a stop.
    ///
    /// # Errors
    /// If they are not right; `hint` says what to write.
    pub fn require(
        self,
        is_right: bool,
        context: &ObjectiveContext,
        takes: &str,
        hint: &str,
    ) -> Result<(), ConfigError> {
        if is_right {
            return Ok(());
        }
        let Self { plugin, n_trained, n_fixed, .. } = self;
        let names: Vec<String> = context.inputs.iter().map(described).collect();
        let given = format!("{n_trained} trained and {n_fixed} fixed: {}", names.join(", "));
        Err(ConfigError::unfit(format!("`{plugin}` takes {takes}, but `on` has {given}"), hint))
    }

    /// Refuses a batch of fewer than `least` images.
    ///
    /// # Errors
    /// If it has fewer; `why` says what is missing then.
    pub fn require_batch(
        self,
        least: usize,
        context: &ObjectiveContext,
        why: &str,
    ) -> Result<(), ConfigError> {
        if context.batch >= least {
            return Ok(());
        }
        let message = format!("`{}` sees a batch of {}: {why}", self.plugin, context.batch);
        Err(ConfigError::unfit(message, format!("use a batch of at least {least}")))
    }

    /// The values of a step.
    ///
    /// # Errors
    /// If they are not as many, as wide and in the same way trained as those that the objective was built for, or have not as
    /// many rows each.
    pub fn sort(self, inputs: Vec<Input>) -> Result<SortedInputs, OpError> {
        let shape =
            |what, expected: String, got: String| OpError::Shape { op: self.plugin, what, expected, got };
        let expected = (inputs.first().map_or(0, |input| input.shape().0), self.width);
        let mut sorted = SortedInputs { trained: Vec::new(), fixed: Vec::new() };
        for input in inputs {
            if input.shape() != expected {
                let got = format!("{:?}", input.shape());
                return Err(shape("shape of an input", format!("{expected:?}"), got));
            }
            match input {
                Input::Trained(features) => sorted.trained.push(features),
                Input::Fixed(matrix) => sorted.fixed.push(matrix),
            }
        }
        let (expected, got) = ((self.n_trained, self.n_fixed), (sorted.trained.len(), sorted.fixed.len()));
        if expected == got {
            return Ok(sorted);
        }
        Err(shape("numbers of trained and fixed inputs", format!("{expected:?}"), format!("{got:?}")))
    }
}

fn described(input: &InputShape) -> String {
    format!("`{}` ({})", input.name, if input.is_trained { "trained" } else { "fixed" })
}
