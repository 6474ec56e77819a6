//! Images that are left over after the last whole batch of an epoch.

use pipeline::Pipeline;

/// A smaller share of the images is not worth a word, because each epoch leaves out other ones.
const WORTH_A_WORD: f64 = 0.05;

pub(super) fn advice(pipeline: &Pipeline, n_train: usize) -> Option<String> {
    let left = n_train % pipeline.batch;
    let share = left as f64 / n_train.max(1) as f64;
    (n_train > pipeline.batch && share > WORTH_A_WORD).then(|| {
        format!(
            "each epoch leaves out {left} of {n_train} images, other ones each time, because only whole batches are trained on: a \
             smaller `data.batch` than {} leaves out fewer",
            pipeline.batch
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::pipeline;
    use super::advice;

    #[test]
    fn many_images_that_are_left_out_are_told() {
        let pipeline = pipeline(&["data.batch=64"]);
        let text = advice(&pipeline, 100).unwrap();
        assert!(text.starts_with("each epoch leaves out 36 of 100 images"), "{text}");
        for n_train in [0, 63, 64, 128, 64 * 30 + 63] {
            assert_eq!(advice(&pipeline, n_train), None, "{n_train}");
        }
    }
}
