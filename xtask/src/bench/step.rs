//! `cargo xtask bench step`: times a training step.

use std::io::Write;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use pipeline::{Pipeline, Site};
use plugin_api::Rng;
use serde::Serialize;
use tensor_ops::{FeatureMap, Recording};
use train_core::engine::{Engine, EngineError};

use super::driver_calls::{Calls, Counter};
use super::{Precision, median, rounded, system};
use crate::reference_pipeline::{Depth, Encoder, Method, Moco, Rule, Stem, VitStem};
use moco_cli::together::{self, Together};
use moco_cli::{Failure, compute};

/// Time a training step.
///
/// Times whole training steps on random images: both encoders, loss, backward pass, momentum encoder, optimizer and
/// queue. After two warm-up steps, the median of the timed steps counts. The model is built from the same plugins as a
/// pipeline.
///
/// A ResNet has the CIFAR stem for images of up to 64 pixels, and the ImageNet stem for larger ones, with `conv: Auto`.
/// The patch projection of a ViT is frozen. v3 has a projector of 2 layers for a ResNet and 3 for a ViT, a predictor of
/// 2, batch norm after all of them, and AdamW. An image counts once, although both of its views pass through both
/// encoders.
///
/// In several processes, each has its share of the batch. Batch norm of v1 and v2 then has as many splits.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// MoCo version: v1 has a linear head, v2 an MLP, v3 a predictor and in-batch negatives.
    #[arg(long, value_enum, default_value_t = Variant::V2)]
    variant: Variant,
    /// Backbone.
    #[arg(long, value_enum, default_value_t = Arch::Resnet18)]
    arch: Arch,
    /// Width of a ResNet: channels of its first stage.
    #[arg(long, default_value_t = 64)]
    width: usize,
    /// Patch size of a ViT, in pixels.
    #[arg(long, default_value_t = 4)]
    patch: usize,
    /// Embedding dimension of a ViT.
    #[arg(long, default_value_t = 192)]
    dim_vit: usize,
    /// Number of blocks of a ViT.
    #[arg(long, default_value_t = 6)]
    depth: usize,
    /// Attention heads of a ViT.
    #[arg(long, default_value_t = 3)]
    heads: usize,
    /// Height and width of an image, in pixels.
    #[arg(long, default_value_t = 32)]
    size: usize,
    /// Batch size.
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Embedding dimension of the head.
    #[arg(long, default_value_t = 128)]
    dim: usize,
    /// Hidden dimension of v3's projector and predictor.
    #[arg(long, default_value_t = 1024)]
    hidden: usize,
    /// Queue length of v1 and v2.
    #[arg(long, default_value_t = 65536)]
    queue: usize,
    /// Temperature of the loss.
    #[arg(long, default_value_t = 0.2)]
    temperature: f64,
    /// Momentum of the momentum encoder.
    #[arg(long, default_value_t = 0.999)]
    momentum: f64,
    /// Learning rate.
    #[arg(long, default_value_t = 0.03)]
    lr: f64,
    /// Weight decay.
    #[arg(long, default_value_t = 1e-4)]
    wd: f64,
    /// Number of timed steps.
    #[arg(long, default_value_t = NonZeroUsize::new(5).expect("5 is not 0"))]
    steps: NonZeroUsize,
    /// Seed of weights and images.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Precision of values between the layers of the encoder.
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    /// Compute threads of each process.
    #[arg(long, default_value_t = NonZeroUsize::new(2).expect("2 is not 0"))]
    threads: NonZeroUsize,
    #[command(flatten)]
    together: together::Arguments,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench step --arch resnet18 --width 64 --size 32 --batch 128
  cargo xtask bench step --arch resnet50 --size 224 --batch 32 --threads 8 --precision bf16
  cargo xtask bench step --variant v3 --arch vit --dim-vit 192 --depth 6 --heads 3 --patch 4 --batch 64
  cargo xtask bench step --ranks 2 --threads 1     in two processes (a build with `--features mpi`)";

const N_WARM_UP: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Variant {
    V1,
    V2,
    V3,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
        }
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Arch {
    Resnet18,
    Resnet34,
    Resnet50,
    Resnet101,
    Resnet152,
    Vit,
}

#[derive(Serialize)]
struct Speed {
    system: String,
    variant: &'static str,
    arch: String,
    width: usize,
    size: usize,
    batch: usize,
    bf16: bool,
    channels_last: bool,
    compile: bool,
    images_per_s: f64,
    peak_mib: Option<u64>,
    threads: usize,
    ranks: usize,
    kernels: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver_calls: Option<Calls>,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    if let Some(code) = together::start_ranks(&arguments.together)? {
        return Ok(code);
    }
    let together = Together::join(&arguments.together)?;
    let outcome = time(arguments, &together, out);
    if let Err(error) = &outcome {
        together.fail(error);
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

fn time(arguments: &Arguments, together: &Together, out: &mut dyn Write) -> Result<(), Failure> {
    let device = compute::start(Some(arguments.threads))?;
    let moco = pipeline_of(arguments);
    let n_ranks = together.processes.n();
    let mut pipeline = moco.build("bench step", &device)?;
    if n_ranks > 1 {
        let site = Site::of_processes(&device, Arc::clone(&together.processes));
        pipeline = Pipeline::parse("bench step", &pipeline.text, &in_parts(&moco, n_ranks)?, site)
            .map_err(pipeline::PipelineError::from)?;
    }
    let processes = Arc::clone(&together.processes);
    let mut engine = Engine::new(pipeline.network, moco.seed, device.clone(), processes)?;
    let images = |number: u64| {
        let shape = [moco.batch / n_ranks, moco.size, moco.size, 3];
        let mut rng = Rng::new(moco.seed, "images of the benchmark", &[number]);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal() as f32).collect();
        FeatureMap::from_nhwc(&device, shape, &values, Recording::Off)
    };
    let views = [images(1)?, images(2)?];
    let mut seconds = Vec::new();
    let mut driver_calls = None;
    for step in 0..N_WARM_UP + arguments.steps.get() {
        let counter = Counter::start();
        let start = Instant::now();
        let passes = engine.parts().passes.clone();
        let mut passes = passes.iter();
        let mut next = || -> Result<Vec<FeatureMap>, EngineError> {
            let pass = passes.next().expect("one part of each pass is asked for");
            Ok(pass.views.iter().map(|&view| views[view].share()).collect())
        };
        let mut computed = engine.compute(moco.batch, moco.momentum as f32, &mut next)?;
        engine.enqueue(&computed.keys)?;
        engine.update(&mut computed.gradients, moco.lr)?;
        tensor_ops::synchronize()?;
        if step >= N_WARM_UP {
            seconds.push(start.elapsed().as_secs_f64());
        }
        driver_calls = counter.calls();
    }
    if !together.processes.is_first() {
        return Ok(());
    }
    let middle = median(&seconds).expect("clap wants at least one timed step");
    let speed = Speed {
        system: system(),
        variant: arguments.variant.name(),
        arch: moco.encoder.name(),
        width: arguments.width,
        size: moco.size,
        batch: moco.batch,
        bf16: arguments.precision == Precision::Bf16,
        channels_last: false,
        compile: false,
        images_per_s: rounded(moco.batch as f64 / middle, 2),
        peak_mib: peak_mib(),
        threads: rayon::current_num_threads(),
        ranks: n_ranks,
        kernels: tensor_ops::kernel_family(),
        driver_calls,
    };
    writeln!(out, "{}", serde_json::to_string(&speed)?)?;
    Ok(())
}

/// What is set in a pipeline whose batches go to `n` processes.
fn in_parts(moco: &Moco, n: usize) -> Result<Vec<String>, Failure> {
    if !moco.batch.is_multiple_of(n) {
        return Err(Failure::usage(
            format!("a batch of {} images cannot be dealt to {n} processes", moco.batch),
            format!("make `--batch` a multiple of {n}"),
        ));
    }
    let mut sets = vec![format!("data.micro_batch={}", moco.batch / n)];
    if let (Encoder::ResNet { .. }, Method::Queue { .. }) = (&moco.encoder, &moco.method) {
        sets.push(format!("modules.backbone.batch_norm_splits={n}"));
    }
    Ok(sets)
}

fn pipeline_of(arguments: &Arguments) -> Moco {
    let encoder = encoder(arguments);
    let is_vit = matches!(encoder, Encoder::Vit { .. });
    let queue = |head| Method::Queue { head, len: arguments.queue };
    let (method, rule) = match arguments.variant {
        Variant::V1 => (queue("linear"), Rule::Sgd(0.9)),
        Variant::V2 => (queue("mlp"), Rule::Sgd(0.9)),
        Variant::V3 => {
            let method = Method::InBatch {
                projector_layers: if is_vit { 3 } else { 2 },
                hidden: arguments.hidden,
                predictor_last_norm: true,
            };
            (method, Rule::AdamW)
        }
    };
    Moco {
        encoder,
        method,
        dim: arguments.dim,
        temperature: arguments.temperature,
        momentum: arguments.momentum,
        rule,
        lr: arguments.lr,
        weight_decay: arguments.wd,
        batch: arguments.batch,
        size: arguments.size,
        seed: arguments.seed,
        precision: arguments.precision.into(),
    }
}

fn encoder(arguments: &Arguments) -> Encoder {
    let resnet = |layers| Encoder::ResNet {
        depth: Depth::Layers(layers),
        width: arguments.width,
        stem: if arguments.size <= 64 { Stem::Cifar } else { Stem::ImageNet },
    };
    match arguments.arch {
        Arch::Resnet18 => resnet(18),
        Arch::Resnet34 => resnet(34),
        Arch::Resnet50 => resnet(50),
        Arch::Resnet101 => resnet(101),
        Arch::Resnet152 => resnet(152),
        Arch::Vit => Encoder::Vit {
            patch: arguments.patch,
            dim: arguments.dim_vit,
            depth: arguments.depth,
            heads: arguments.heads,
            stem: VitStem::Patch,
            freeze_patch_projection: true,
        },
    }
}

/// The peak memory of this process, or of the GPU if it computes, if the system reports it.
fn peak_mib() -> Option<u64> {
    if let Some(bytes) = tensor_ops::peak_device_memory() {
        return Some(bytes / (1024 * 1024));
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_memory_is_known() {
        assert!(peak_mib().is_some_and(|mib| mib > 0));
    }
}
