//! `cargo xtask bench augment`: times data loading.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use loader::keep_small;
use moco::data::DataSource;
use pipeline::{Precision, View};
use plugin_api::Images;
use serde::Serialize;

use super::{rounded, seconds, system};
use crate::reference_pipeline::{Depth, Encoder, Method, Moco, Rule, Stem};
use moco_cli::Failure;
use moco_cli::compute;
use moco_cli::pipeline_file::missing;

/// Time data loading: decoding and augmenting.
///
/// Times decoding an image and making the two MoCo v2 views of it (crop, color jitter, grayscale, blur, flip,
/// normalization), one image after another and over again.
///
/// As in a run, small images are decoded once and kept, up to 256 MiB of them; with `--decode-always` each is decoded each
/// time.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Images: a folder (searched recursively), a list, files or a pack.
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<PathBuf>,
    /// Height and width of a view, in pixels.
    #[arg(long, default_value_t = 224)]
    size: usize,
    /// Seconds to measure.
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// Threads, each working on its own image.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN)]
    threads: NonZeroUsize,
    /// Decode small images each time, too.
    #[arg(long)]
    decode_always: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench augment data/imagenet --size 224 --threads 1
  cargo xtask bench augment data/cifar10-jpeg/train --size 32 --seconds 5
  cargo xtask bench augment imagenet-256.pack --size 224";

#[derive(Serialize)]
struct Speed {
    system: String,
    size: usize,
    images_per_s: f64,
    /// Of the time of the threads, what reading and decoding took.
    decode_share: f64,
    threads: usize,
    unreadable: usize,
}

/// The totals of all threads.
#[derive(Default)]
struct Work {
    n_images: usize,
    n_unreadable: usize,
    decoding: Duration,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    // Parallelism inside an augmentation would count as one of the threads, so it gets no threads of its own.
    let device = compute::start(Some(NonZeroUsize::MIN))?;
    let images = images(arguments)?;
    let pipeline = pipeline_of(arguments.size).build("bench augment", &device)?;
    let view = pipeline.view("query").unwrap_or_else(|| unreachable!("the pipeline declares this view"));
    let start = Instant::now();
    let work = measure(&*images, view, Duration::from_secs_f64(arguments.seconds), arguments.threads.get());
    let took = start.elapsed().as_secs_f64();
    if work.n_images == 0 {
        return Err(Failure::new(
            format!("none of the {} images that were tried can be read", work.n_unreadable),
            "check them with an image viewer",
        ));
    }
    let speed = Speed {
        system: system(),
        size: arguments.size,
        images_per_s: rounded(work.n_images as f64 / took, 1),
        decode_share: rounded(work.decoding.as_secs_f64() / (took * arguments.threads.get() as f64), 2),
        threads: arguments.threads.get(),
        unreadable: work.n_unreadable,
    };
    writeln!(out, "{}", serde_json::to_string(&speed)?)?;
    Ok(())
}

/// The images that were named, as a run has them.
fn images(arguments: &Arguments) -> Result<Arc<dyn Images>, Failure> {
    if let Some(path) = arguments.sources.iter().find(|path| !path.exists()) {
        return Err(missing(path));
    }
    let splits = DataSource::open(&arguments.sources)?.splits;
    Ok(if arguments.decode_always { splits.train } else { keep_small(splits).train })
}

fn measure(images: &dyn Images, view: &View, duration: Duration, n_threads: usize) -> Work {
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Work::default());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| {
                let mut work = Work::default();
                while start.elapsed() < duration {
                    one(images, view, next.fetch_add(1, Ordering::Relaxed), &mut work);
                }
                let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                total.n_images += work.n_images;
                total.n_unreadable += work.n_unreadable;
                total.decoding += work.decoding;
            });
        }
    });
    total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Decodes the next image, and makes two views of it.
fn one(images: &dyn Images, view: &View, number: usize, work: &mut Work) {
    let start = Instant::now();
    let Ok(image) = images.load(number % images.len()) else {
        work.n_unreadable += 1;
        return;
    };
    work.decoding += start.elapsed();
    let first = view.transform.apply(image.clone(), 0, 0, number as u64, "query");
    let second = view.transform.apply(image, 0, 0, number as u64, "key");
    std::hint::black_box((first, second));
    work.n_images += 1;
}

/// Only the views matter here; the model is as small as possible.
fn pipeline_of(size: usize) -> Moco {
    Moco {
        encoder: Encoder::ResNet { depth: Depth::Layers(18), width: 1, stem: Stem::Cifar },
        method: Method::Queue { head: "linear", len: 4 },
        dim: 1,
        temperature: 0.2,
        momentum: 0.999,
        rule: Rule::Sgd(0.9),
        lr: 0.03,
        weight_decay: 1e-4,
        batch: 4,
        size,
        seed: 0,
        precision: Precision::F32,
    }
}
