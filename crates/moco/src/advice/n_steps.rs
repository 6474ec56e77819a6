//! Runs that are over before the encoder has learned much.

use pipeline::Pipeline;

/// Fewer steps than this in all are told. The papers' shortest runs have some 30,000 (MoCo v3: 100 epochs of ImageNet in batches
/// of 4,096), and the short ones of this repository 920 to 6,656.
const FEW_STEPS: usize = 1_000;

pub(super) fn advice(pipeline: &Pipeline, n_train: usize) -> Option<String> {
    let per_epoch = n_train / pipeline.batch;
    let n_steps = per_epoch * pipeline.epochs;
    (per_epoch > 0 && n_steps < FEW_STEPS).then(|| {
        let s = if n_steps == 1 { "" } else { "s" };
        format!(
            "the run has {n_steps} step{s} in all (`epochs: {}`, {per_epoch} in each), and in fewer than {FEW_STEPS} an encoder \
             learns little: give it more `epochs` or more time, or a smaller `data.batch`",
            pipeline.epochs
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::pipeline;
    use super::advice;

    #[test]
    fn a_run_of_few_steps_is_told() {
        let pipeline = pipeline(&["epochs=10", "data.batch=64"]);
        assert_eq!(advice(&pipeline, 6_400), None);
        let text = advice(&pipeline, 6_399).unwrap();
        assert!(text.starts_with("the run has 990 steps in all (`epochs: 10`, 99 in each)"), "{text}");
        // Which has its own error.
        assert_eq!(advice(&pipeline, 63), None);
    }
}
