//! Learning rates that are of another order than those of the papers.

use pipeline::Pipeline;

/// An optimizer, the learning rates for a whole batch that are usual with it, and what the papers have.
struct Usual {
    optimizer: &'static str,
    least: f64,
    most: f64,
    papers: &'static str,
}

/// Each range holds what the papers have for batches from 64 to 4,096 images, and a factor of a few on either side.
const USUAL: [Usual; 3] = [
    Usual {
        optimizer: "sgd",
        least: 1e-3,
        most: 2.0,
        papers: "MoCo v1 and v2 have 0.03 for 256 images (arXiv:1911.05722)",
    },
    Usual {
        optimizer: "adamw",
        least: 1e-5,
        most: 1e-2,
        papers: "MoCo v3 has 1.5e-4 for each 256 images (arXiv:2104.02057)",
    },
    Usual {
        optimizer: "lars",
        least: 0.02,
        most: 30.0,
        papers: "MoCo v3 has 0.3 to 0.6 for each 256 images (arXiv:2104.02057)",
    },
];

pub(super) fn advice(pipeline: &Pipeline) -> Option<String> {
    let (optimizer, _) = pipeline.plugin(&["optimizer"])?;
    let usual = USUAL.iter().find(|usual| usual.optimizer == optimizer)?;
    let lr = pipeline.learning_rate.scaled(pipeline.batch);
    let Usual { least, most, papers, .. } = usual;
    (lr > 0.0 && !(*least..=*most).contains(&lr)).then(|| {
        format!(
            "a learning rate of {lr:?} for a batch of {} is unusual with `{optimizer}`, where it is from {least:?} to {most:?}: {papers}",
            pipeline.batch
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::pipeline;
    use super::advice;

    #[test]
    fn a_learning_rate_of_another_optimizer_is_told() {
        let of = |optimizer: &str, rate: &str| {
            let optimizer = format!("optimizer=(\"{optimizer}\", ())");
            advice(&pipeline(&[&optimizer, &format!("learning_rate={rate}")]))
        };
        let text = of("adamw", "(base: 0.06, scale: Absolute)").unwrap();
        assert!(
            text.starts_with("a learning rate of 0.06 for a batch of 64 is unusual with `adamw`"),
            "{text}"
        );
        assert!(of("sgd", "(base: 1e-4, scale: Absolute)").unwrap().contains("0.03 for 256 images"));
        // What counts is the rate of the whole batch.
        assert!(of("lars", "(base: 0.06, scale: PerImages(256))").unwrap().contains("of 0.015"));
        for (optimizer, base) in [("sgd", 0.03), ("adamw", 1.5e-4), ("lars", 0.6)] {
            assert_eq!(of(optimizer, &format!("(base: {base}, scale: Absolute)")), None);
        }
    }
}
