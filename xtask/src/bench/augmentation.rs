//! `cargo xtask bench augment`: times data loading.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pipeline::{Precision, View};
use serde::Serialize;
use walkdir::WalkDir;

use super::{rounded, seconds, system};
use crate::reference_pipeline::{Depth, Encoder, Method, Moco, Rule, Stem};
use moco_cli::Failure;
use moco_cli::compute;
use moco_cli::pipeline_file::missing;

/// Time data loading: decoding and augmenting.
///
/// Times decoding a JPEG and making the two MoCo v2 views of it (crop, color jitter, grayscale, blur, flip,
/// normalization), repeatedly over the JPEG files of a folder.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Folder of JPEG files, searched recursively.
    dir: PathBuf,
    /// Height and width of a view, in pixels.
    #[arg(long, default_value_t = 224)]
    size: usize,
    /// Seconds to measure.
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// Threads, each working on its own image.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN)]
    threads: NonZeroUsize,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench augment data/imagenet --size 224 --threads 1
  cargo xtask bench augment data/cifar10-jpeg/train --size 32 --seconds 5";

#[derive(Serialize)]
struct Speed {
    system: String,
    size: usize,
    images_per_s: f64,
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
    let files = jpeg_files(&arguments.dir)?;
    let pipeline = pipeline_of(arguments.size).build("bench augment", &device)?;
    let view = pipeline.view("query").unwrap_or_else(|| unreachable!("the pipeline declares this view"));
    let start = Instant::now();
    let work = measure(&files, view, Duration::from_secs_f64(arguments.seconds), arguments.threads.get());
    let took = start.elapsed().as_secs_f64();
    if work.n_images == 0 {
        return Err(Failure::new(
            format!("none of the {} JPEG files that were tried can be read", work.n_unreadable),
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

fn measure(files: &[PathBuf], view: &View, duration: Duration, n_threads: usize) -> Work {
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Work::default());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| {
                let mut work = Work::default();
                while start.elapsed() < duration {
                    one(files, view, next.fetch_add(1, Ordering::Relaxed), &mut work);
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
fn one(files: &[PathBuf], view: &View, number: usize, work: &mut Work) {
    let start = Instant::now();
    let Ok(image) = datasets::decode_file(&files[number % files.len()], &datasets::ReadOptions::default())
    else {
        work.n_unreadable += 1;
        return;
    };
    work.decoding += start.elapsed();
    let first = view.transform.apply(image.clone(), 0, 0, number as u64, "query");
    let second = view.transform.apply(image, 0, 0, number as u64, "key");
    std::hint::black_box((first, second));
    work.n_images += 1;
}

fn jpeg_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !folder.exists() {
        return Err(missing(folder));
    }
    let is_jpeg = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| {
            ["jpg", "jpeg"].iter().any(|known| known.eq_ignore_ascii_case(extension))
        })
    };
    let mut files: Vec<PathBuf> = WalkDir::new(folder)
        .follow_links(true)
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_type().is_file() && is_jpeg(entry.path()))
        .map(walkdir::DirEntry::into_path)
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Failure::new(
            format!("`{}` has no JPEG files", folder.display()),
            "give a folder with files that end in .jpg or .jpeg",
        ));
    }
    Ok(files)
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
