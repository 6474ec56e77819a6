//! Which values an objective takes: what most of them check.

use tensor_ops::{Features, Matrix, OpError};

use super::{Input, InputOrigin, InputShape, ObjectiveContext};
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
/// let input = |name: &str| InputShape { name: name.into(), width: 128, map: None, is_trained: true };
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

    /// Refuses two values of one view: for plugins that compare every value with every other.
    ///
    /// # Errors
    /// If there are two, see [`InputOrigin::is_like`].
    pub fn require_different_views(self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        for (place, input) in inputs.iter().enumerate() {
            if let Some(other) = inputs[..place].iter().find(|other| other.is_like(input)) {
                return Err(self.of_one_view(other, input));
            }
        }
        Ok(())
    }

    /// Refuses values in other orders than this: trained values of different views, and fixed ones of the first of these views in
    /// the same order, or of views that no trained value has. For plugins that compare every trained value with the fixed ones of
    /// other views, which they tell by their places.
    ///
    /// Where they are of several backbones, there is no telling which belong together, and any order is right.
    ///
    /// # Errors
    /// If the order is another.
    pub fn require_same_order(self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        if inputs.iter().any(|input| input.backbone != inputs[0].backbone) {
            return Ok(());
        }
        let (trained, fixed): (Vec<&InputOrigin<'_>>, Vec<_>) =
            inputs.iter().partition(|input| input.is_trained);
        for of_one_kind in [&trained, &fixed] {
            let of_one_kind: Vec<InputOrigin<'_>> = of_one_kind.iter().copied().copied().collect();
            self.require_different_views(&of_one_kind)?;
        }
        // A view that is encoded for its fixed value alone is compared with nothing of its own.
        let is_elsewhere = |(place, fixed): &(usize, &&InputOrigin<'_>)| {
            trained.iter().enumerate().any(|(other, trained)| other != *place && trained.view == fixed.view)
        };
        let odd = fixed.iter().enumerate().find(is_elsewhere);
        match odd.and_then(|(place, fixed)| Some((trained.get(place)?, fixed))) {
            None => Ok(()),
            Some((trained, fixed)) => Err(ConfigError::unfit(
                format!(
                    "`{}` takes fixed values of the same views as the trained ones and in their order, but `{}` is of `{}` and `{}` \
                     of `{}`",
                    self.plugin, trained.name, trained.view, fixed.name, fixed.view
                ),
                "each is compared with those in other places: name the fixed values in the order of the trained ones' views",
            )),
        }
    }

    fn of_one_view(self, one: &InputOrigin<'_>, other: &InputOrigin<'_>) -> ConfigError {
        let plugin = self.plugin;
        match one.name == other.name {
            true => ConfigError::unfit(
                format!("`{plugin}` compares values of different views, and `{}` is named twice", one.name),
                "name a value of another view",
            ),
            false => ConfigError::unfit(
                format!(
                    "`{plugin}` compares values of different views, and `{}` and `{}` are both of `{}`",
                    one.name, other.name, one.view
                ),
                "let one of them be on another view, which may be like it: `\"x1\": Like(\"x0\")`",
            ),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: ObjectiveInputs = ObjectiveInputs { plugin: "it", n_trained: 2, n_fixed: 2, width: 8 };

    /// `p0 x0` is a trained value of the view `x0`, and one that begins with `t` a fixed one.
    fn origins(texts: &[&'static str]) -> Vec<InputOrigin<'static>> {
        let origin = |text: &&'static str| {
            let (name, view) = text.split_once(' ').unwrap();
            InputOrigin { name, view, backbone: "b", is_trained: !name.starts_with('t') }
        };
        texts.iter().map(origin).collect()
    }

    #[test]
    fn values_that_are_of_one_view_are_refused() {
        let told = |texts: &[&'static str]| {
            INPUTS.require_different_views(&origins(texts)).err().map(|error| error.to_string())
        };
        assert_eq!(told(&["z0 x0", "z1 x1"]), None);
        assert_eq!(
            told(&["z0 x0", "z1 x1", "z2 x0"]).unwrap(),
            "`it` compares values of different views, and `z0` and `z2` are both of `x0`"
        );
        assert_eq!(
            told(&["z0 x0", "z0 x0"]).unwrap(),
            "`it` compares values of different views, and `z0` is named twice"
        );
        let mut two_encoders = origins(&["z0 x0", "z1 x0"]);
        two_encoders[1].backbone = "other";
        assert!(INPUTS.require_different_views(&two_encoders).is_ok());
    }

    #[test]
    fn fixed_values_in_another_order_than_the_trained_ones_are_refused() {
        let told = |texts: &[&'static str]| {
            INPUTS.require_same_order(&origins(texts)).err().map(|error| error.to_string())
        };
        for right in [
            &["p0 x0", "p1 x1", "t0 x0", "t1 x1"][..],
            &["s0 x0", "s1 x1", "s2 x2", "t0 x0"],
            &["t0 x0", "p0 x0", "t1 x1", "p1 x1"],
            // Teachers that see views of their own.
            &["p0 x0", "p1 x1", "t0 weak0", "t1 weak1"],
        ] {
            assert_eq!(told(right), None, "{right:?}");
        }
        assert_eq!(
            told(&["p0 x0", "p1 x1", "t1 x1", "t0 x0"]).unwrap(),
            "`it` takes fixed values of the same views as the trained ones and in their order, but `p0` is of `x0` and `t1` of `x1`"
        );
        assert!(told(&["p0 x0", "p1 x0", "t0 x0"]).unwrap().contains("both of `x0`"));
    }
}
