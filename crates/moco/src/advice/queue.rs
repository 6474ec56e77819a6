//! A queue of keys against the dataset, and against the momentum encoder.

use pipeline::{MomentumConfig, Pipeline};

/// How many times the steps that the momentum encoder remembers a queue may span before it is told. In He et al. 2020,
/// arXiv:1911.05722, §4.1, a queue of 16 steps gives 59.0 % where it spans 0.016 of them, 57.8 % at 0.16 and 55.2 % at 1.6; the
/// paper's own setting has 0.26.
const SPAN: f64 = 1.0;

/// Below this the momentum encoder moves nearly as fast as the encoder. The same paper has 55.2 % at 0.9, and no convergence at 0;
/// a ResNet-18 that is trained for 264 steps on CIFAR-10 learns with 0.99 and stays at chance with 0.9 and 0.95.
const SLOW: f64 = 0.98;

/// What is odd about the queues of `pipeline` for `n_train` training images.
pub(super) fn advice(pipeline: &Pipeline, n_train: usize) -> Vec<String> {
    let graph = &pipeline.network.graph;
    let losses = pipeline.network.modules.losses.iter_with_ids();
    losses
        .filter_map(|(id, loss)| {
            let keys = loss.module.past_keys()?;
            let queue = Queue {
                field: format!("modules.{}.len", loss.name),
                len: keys.rows.len() / keys.width.max(1),
                per_step: pipeline.batch * graph.kept_key_steps(id).len(),
            };
            if queue.per_step == 0 {
                return None;
            }
            let per_epoch = n_train / pipeline.batch * queue.per_step;
            let against = |m| queue.against(m).or_else(|| queue.against_speed(m));
            Some([queue.against_images(n_train, per_epoch), pipeline.momentum.and_then(against)])
        })
        .flatten()
        .flatten()
        .collect()
}

struct Queue {
    /// Where its length stands.
    field: String,
    /// Keys in it.
    len: usize,
    /// Keys that arrive in a step.
    per_step: usize,
}

impl Queue {
    /// A queue that holds more keys than arrive in an epoch has keys of each image that is trained on.
    fn against_images(&self, n_train: usize, per_epoch: usize) -> Option<String> {
        let Self { field, len, per_step } = self;
        if per_epoch == 0 || *len < per_epoch {
            return None;
        }
        let own = (len / n_train).max(1);
        let own = if own == 1 {
            "an earlier key of its own".into()
        } else {
            format!("{own} earlier keys of its own")
        };
        let images =
            if n_train == 1 { "there is 1 image".into() } else { format!("there are {n_train} images") };
        // Half an epoch, in whole steps.
        let shorter = per_epoch / 2 / per_step * per_step;
        let way_out = match shorter {
            0 => "with so few images, no queue is short enough: use more images or a smaller `data.batch`"
                .into(),
            shorter => format!("`{field}={shorter}` is half an epoch"),
        };
        Some(format!("the queue holds {len} keys and {images}: each meets {own} as negatives; {way_out}"))
    }

    /// A queue that spans more steps than the momentum encoder remembers has keys of encoders that are long gone.
    fn against(&self, momentum: MomentumConfig) -> Option<String> {
        let Self { field, len, per_step } = self;
        let start = momentum.start;
        let steps = *len as f64 / *per_step as f64;
        // Whole steps, as recipes have them: 1 / (1 - 0.95) is a little below 20.
        let remembered = (1.0 / (1.0 - start)).round();
        if start >= 1.0 || steps <= SPAN * remembered {
            return None;
        }
        let fitting = 1.0 - 1.0 / (4.0 * steps);
        Some(format!(
            "the queue spans {steps:.0} steps, and with `momentum.start` {start} the momentum encoder remembers about \
             {remembered:.0}: its oldest keys are of another encoder; raise `momentum.start` to {}, shorten `{field}`, or watch \
             them with the monitor `key-drift`",
            rounded(fitting)
        ))
    }

    /// The keys of a queue are those of one encoder only while that moves slowly.
    fn against_speed(&self, momentum: MomentumConfig) -> Option<String> {
        let (field, start) = (&self.field, momentum.start);
        (start < SLOW).then(|| {
            format!(
                "with `momentum.start` {start} the momentum encoder moves nearly as fast as the encoder, and the keys in \
                 `{field}` are of many encoders: little is learned so; use 0.99 for short runs, 0.999 for long ones"
            )
        })
    }
}

/// With so many digits that what it lacks to 1 has one: `0.996`, `0.999`.
fn rounded(share: f64) -> String {
    let n_digits = (1.0 - share).log10().floor().abs() as usize;
    format!("{share:.n_digits$}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(len: usize, per_step: usize) -> Queue {
        Queue { field: "modules.contrast.len".into(), len, per_step }
    }

    #[test]
    fn a_queue_that_outlasts_an_epoch_meets_each_image_again() {
        let note = |len, n_train, per_epoch| queue(len, 4).against_images(n_train, per_epoch);
        assert_eq!(
            note(4096, 16, 16).unwrap(),
            "the queue holds 4096 keys and there are 16 images: each meets 256 earlier keys of its own as negatives; \
             `modules.contrast.len=8` is half an epoch"
        );
        assert!(note(16, 16, 16).unwrap().contains("each meets an earlier key of its own"));
        assert!(note(16, 4, 4).unwrap().contains("no queue is short enough"));
        // Two views of each image make keys.
        assert!(note(40, 16, 32).unwrap().contains("each meets 2 earlier keys of its own"));
        assert_eq!(note(31, 16, 32), None);
        assert_eq!(note(4096, 8192, 8192), None);
    }

    #[test]
    fn a_queue_must_not_span_more_than_the_momentum_encoder_remembers() {
        let note = |len, per_step, m| queue(len, per_step).against(MomentumConfig::constant(m));
        // The papers' settings: ImageNet, and CIFAR-10.
        for (len, batch, m) in [(65536, 256, 0.999), (4096, 512, 0.99), (65536, 8192, 0.9), (4096, 64, 1.0)] {
            assert_eq!(note(len, batch, m), None, "{len} {batch} {m}");
        }
        // As many steps as it remembers.
        for (steps, m) in [(10, 0.9), (20, 0.95), (100, 0.99), (250, 0.996), (1000, 0.999)] {
            assert_eq!(note(steps * 64, 64, m), None, "{steps} {m}");
            assert!(note((steps + 1) * 64, 64, m).is_some(), "{steps} {m}");
        }
        assert_eq!(
            note(65536, 256, 0.9).unwrap(),
            "the queue spans 256 steps, and with `momentum.start` 0.9 the momentum encoder remembers about 10: its oldest keys are \
             of another encoder; raise `momentum.start` to 0.999, shorten `modules.contrast.len`, or watch them with the monitor \
             `key-drift`"
        );
        assert!(note(65536, 256, 0.99).is_some());
    }

    #[test]
    fn a_momentum_encoder_must_move_slowly() {
        let note = |m| queue(256, 64).against_speed(MomentumConfig::constant(m));
        assert_eq!([0.98, 0.99, 0.999, 1.0].map(note), [const { None }; 4]);
        assert_eq!(
            note(0.95).unwrap(),
            "with `momentum.start` 0.95 the momentum encoder moves nearly as fast as the encoder, and the keys in \
             `modules.contrast.len` are of many encoders: little is learned so; use 0.99 for short runs, 0.999 for long ones"
        );
        assert!(note(0.0).is_some());
    }
}
