//! The inputs of these losses: two views of a batch, both trained.

use plugin_api::{ConfigError, Input, ObjectiveContext, ObjectiveInputs};
use tensor_ops::{Features, OpError};

/// The most channels. The papers have 8192; a matrix of this many, of which a step holds several, takes 1 GiB.
const MOST_CHANNELS: usize = 16_384;

/// Refuses other inputs, a batch over which nothing varies, and more channels than there is memory for.
pub(crate) fn check(
    plugin: &'static str,
    context: &ObjectiveContext,
) -> Result<ObjectiveInputs, ConfigError> {
    let inputs = ObjectiveInputs::two_views(plugin, context, "no channel varies over it")?;
    if inputs.width > MOST_CHANNELS {
        return Err(ConfigError::unfit(
            format!(
                "`{plugin}` compares each channel with each other, and the embeddings have {} of them, more than {MOST_CHANNELS}",
                inputs.width
            ),
            "the papers have 8192: give the head a smaller `out`",
        ));
    }
    Ok(inputs)
}

/// The two views of a step.
pub(crate) fn of(inputs: ObjectiveInputs, given: Vec<Input>) -> Result<[Features; 2], OpError> {
    inputs.two(inputs.sort(given)?.trained)
}

#[cfg(test)]
mod tests {
    use plugin_api::InputShape;

    use super::*;

    #[test]
    fn embeddings_whose_covariance_would_fill_the_memory_are_refused() {
        let check = |width| {
            let input = |name: &str| InputShape { name: name.into(), width, map: None, is_trained: true };
            let inputs = vec![input("a"), input("b")];
            let device = tensor_ops::Device::default();
            check(
                "vicreg",
                &ObjectiveContext { device, inputs, batch: 8, epochs: 1, seed: 0, name: "loss".into() },
            )
        };
        assert!(check(MOST_CHANNELS).is_ok());
        let told = check(65_536).unwrap_err().to_string();
        assert!(told.contains("the embeddings have 65536 of them"), "{told}");
    }
}
