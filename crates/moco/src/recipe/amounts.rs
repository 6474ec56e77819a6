//! How many, how long, how fast.

use pipeline::MOST_EPOCHS;

use super::looked::{grouped, images};
use super::{Chosen, Fitted, Method, Processor, RecipeError, Wishes};

/// The smallest batch that is chosen.
const SMALLEST_BATCH: usize = 8;
/// An epoch should have at least so many steps.
const FEWEST_STEPS: usize = 4;
/// Images that the smallest batch needs: a queue may be half of them.
const FEWEST_IMAGES: usize = 2 * SMALLEST_BATCH;

/// Steps of a run, where nothing is said.
const STEPS_ON_CPU: usize = 5_000;
const STEPS_ON_GPU: usize = 50_000;
/// Epochs, where nothing is said: a large set is seen a few times, a small one not forever (MoCo v2's longest run: 800).
const EPOCHS: (usize, usize) = (10, 800);

/// Measurements over a run, and checkpoints.
pub(super) const N_MEASUREMENTS: usize = 10;
pub(super) const N_CHECKPOINTS: usize = 20;

/// MoCo's longest queue.
const LONGEST_QUEUE: usize = 65_536;

/// Runs of fewer steps are short.
const SHORT_RUN: usize = 50_000;

pub(super) fn batch(n_train: usize, size: usize, wishes: &Wishes) -> Result<Chosen<usize>, RecipeError> {
    if let Some(batch) = wishes.batch {
        if batch < 2 {
            let must = "at least 2, since images are told apart from each other".into();
            return Err(RecipeError::OutOfRange { what: "the batch", value: batch, must });
        }
        if batch > n_train {
            return Err(RecipeError::Batch { batch, n_images: n_train });
        }
        return Ok(Chosen::given(batch));
    }
    if n_train < FEWEST_IMAGES {
        return Err(RecipeError::TooFewImages { n_images: n_train, least: FEWEST_IMAGES });
    }
    let (usual, why): (usize, &str) = match (wishes.processor, size) {
        (Processor::Cpu, _) => (64, "on a CPU more steps are worth more than larger ones"),
        (Processor::Gpu, ..=96) => (256, "the papers' batch for 8 GPUs, which one fills today"),
        (Processor::Gpu, _) => (128, "what a GPU has memory for with large images"),
    };
    let most = (n_train / FEWEST_STEPS).max(SMALLEST_BATCH);
    // The largest power of two.
    let of_few: usize = 1 << most.ilog2();
    Ok(match usual.min(of_few) {
        batch if batch < usual => {
            Chosen::new(batch, format!("{} make few steps of larger ones", images("image", n_train)))
        }
        batch => Chosen::new(batch, why),
    })
}

pub(super) fn epochs(steps_per_epoch: usize, wishes: &Wishes) -> Result<Chosen<usize>, RecipeError> {
    if let Some(epochs) = wishes.epochs {
        if epochs > MOST_EPOCHS {
            let must = format!("at most {MOST_EPOCHS}");
            return Err(RecipeError::OutOfRange { what: "the number of epochs", value: epochs, must });
        }
        return Ok(Chosen::given(epochs));
    }
    if let Some(fitted) = &wishes.fitted {
        let why = format!("what fits into {}, by the speed measured here", told(fitted));
        return Ok(Chosen::new(fitted.epochs, why));
    }
    let budget = match wishes.processor {
        Processor::Cpu => STEPS_ON_CPU,
        Processor::Gpu => STEPS_ON_GPU,
    };
    let fitting = budget.div_ceil(steps_per_epoch.max(1));
    let (least, most) = EPOCHS;
    let epochs = fitting.clamp(least, most);
    Ok(Chosen::new(
        epochs,
        match epochs {
            _ if epochs < fitting => "longer would show the few images the same again",
            _ if epochs > fitting => "every image should be seen some times",
            _ => "about as many as runs need to become useful",
        },
    ))
}

/// Why only a part of the images is trained on.
pub(super) fn part(share: f64, fitted: &Fitted) -> Chosen<f64> {
    Chosen::new(share, format!("one pass over all the images would not fit into {}", told(fitted)))
}

fn told(fitted: &Fitted) -> String {
    let seconds = fitted.time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}

/// The coefficient of the momentum encoder: it remembers `1 / (1 - m)` steps.
///
/// It is not lowered for a run of a few hundred steps, though the momentum encoder then hardly leaves where it began: on CIFAR-10,
/// 264 steps learn with 0.99 and 0.996, and nothing with 0.9 and 0.95, where keys change as fast as queries do.
pub(super) fn momentum(n_steps: usize, method: Method) -> Chosen<f64> {
    let m: f64 = match n_steps {
        ..SHORT_RUN => 0.99,
        SHORT_RUN..200_000 => 0.996,
        // v3 rises to 1 in any case.
        _ if method == Method::V3 => 0.996,
        _ => 0.999,
    };
    Chosen::new(m, why_momentum(m, n_steps, method))
}

/// What the coefficient `m` means for a run of `n_steps`.
pub(super) fn why_momentum(m: f64, n_steps: usize, method: Method) -> String {
    let memory_steps = memory_steps(m);
    if n_steps >= memory_steps {
        return format!("the key encoder remembers about {memory_steps} steps of {}", grouped(n_steps));
    }
    // Its weights are a mean, in which those of the start count so much.
    let percent = (100.0 * m.powf(n_steps as f64)).round();
    // In v3 the coefficient rises.
    let least = if method == Method::V3 { "at least " } else { "" };
    format!(
        "keys must change slowly, also in a short run: after its {} the key encoder is still to {least}{percent} % what it began as",
        images("step", n_steps)
    )
}

/// Steps that a momentum encoder with the coefficient `m` remembers.
fn memory_steps(m: f64) -> usize {
    (1.0 / (1.0 - m)).round() as usize
}

/// A multiple of the batch; at most half of the images, and turned over within the memory of the momentum encoder.
pub(super) fn queue(batch: usize, n_train: usize, momentum: f64) -> Chosen<usize> {
    let memory_steps = memory_steps(momentum);
    let whole = |len: usize| len / batch * batch;
    let (longest, half) = (whole(LONGEST_QUEUE), whole(n_train / 2));
    let rounded = |is_exact: bool| if is_exact { "" } else { ", rounded down to whole batches" };
    let bounds = [
        (longest, format!("as long as the papers'{}", rounded(longest == LONGEST_QUEUE))),
        (
            half,
            format!(
                "half of {}{}: an image should not meet itself",
                images("training image", n_train),
                rounded(2 * half == n_train)
            ),
        ),
        (
            memory_steps.saturating_mul(batch),
            format!("new after {memory_steps} steps, as long as the key encoder remembers"),
        ),
    ];
    let (len, why) = bounds.into_iter().min_by_key(|(len, _)| *len).expect("there are three bounds");
    if len == 0 {
        return Chosen::new(batch, "the keys of one step: there are few images for this batch");
    }
    Chosen::new(len, why)
}

pub(super) fn temperature(method: Method, n_steps: usize) -> Chosen<f64> {
    match method {
        Method::V1 => Chosen::new(0.07, "v1's"),
        Method::V2 if n_steps < SHORT_RUN => {
            Chosen::new(0.1, "below v2's 0.2: in a short run a lower one learns faster")
        }
        Method::V2 => Chosen::new(0.2, "v2's"),
        Method::V3 => Chosen::new(0.2, "v3's for small batches"),
    }
}

pub(super) fn learning_rate(
    method: Method,
    is_vit: bool,
    size: usize,
    (batch, n_steps): (usize, usize),
) -> Chosen<f64> {
    let (rate, why) = match (method, is_vit, size) {
        (_, true, ..=96) => (5e-4 * batch as f64 / 256.0, "5e-4 x batch / 256 with AdamW"),
        (_, true, _) => (1.5e-4 * batch as f64 / 256.0, "v3's 1.5e-4 x batch / 256 with AdamW"),
        (Method::V3, false, _) => {
            (1e-3 * (batch as f64 / 128.0).min(1.0), "1e-3 with AdamW, less for batches below 128")
        }
        // Above 96 px: 36.4 % on CIFAR-10 at 128 px after 837 steps, and 35.0 % with the papers'.
        (_, false, size) if size <= 96 || n_steps < SHORT_RUN => (
            0.06 * (batch as f64 / 64.0).min(1.0),
            "0.06 works for batches of 64 to 512; in proportion below",
        ),
        (_, false, _) => (0.03 * batch as f64 / 256.0, "the papers' 0.03 x batch / 256"),
    };
    Chosen::new(rounded(rate), why)
}

/// Three digits: nobody reads more.
fn rounded(rate: f64) -> f64 {
    format!("{rate:.2e}").parse().unwrap_or(rate)
}

pub(super) fn warmup_epochs(method: Method, is_vit: bool, epochs: usize) -> usize {
    match method {
        Method::V1 | Method::V2 if !is_vit => 0,
        _ => (epochs / 10).clamp(usize::from(epochs > 2), 40),
    }
}

pub(super) fn weight_decay(method: Method, is_vit: bool, size: usize) -> Chosen<f64> {
    match (method, is_vit, size) {
        (Method::V3, _, _) | (_, true, _) => Chosen::new(0.1, "v3's with AdamW"),
        (_, _, ..=64) => Chosen::new(5e-4, "the CIFAR-10 demo's, for small images"),
        _ => Chosen::new(1e-4, "the papers'"),
    }
}
