//! `cargo xtask knn`: how good is a trained encoder?

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use evaluate::KnnError;
use train_core::SingleProcess;
use train_core::engine::Engine;
use train_core::loader::UnreadableLog;
use train_core::pipeline::Pipeline;
use train_core::plugin::{Embed, Embedding, Level, Split};
use train_core::trainer::Measure;

use crate::failure::Failure;
use crate::runs::{OpenRun, Which};
use crate::{compute, pipeline_file, text};

/// Measure a trained encoder by its nearest neighbours.
///
/// Classifies the test images of a run's dataset by their nearest training images in feature space (weighted kNN, Wu et al.
/// 2018, arXiv:1805.01978): each of the k nearest votes with exp(similarity / T). No training is involved, so the figure
/// tells what the encoder has learnt.
///
/// Figures are comparable only under the same protocol, which is printed with them.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The run's folder, or one checkpoint in it.
    run: PathBuf,
    /// Neighbours that vote; may be given several times.
    #[arg(short, long, value_name = "K", default_values_t = [NonZeroUsize::new(20).expect("20 is not 0"), NonZeroUsize::new(200).expect("200 is not 0")])]
    k: Vec<NonZeroUsize>,
    /// The temperature T of the votes; may be given several times.
    #[arg(short, long, value_name = "T", default_values_t = [0.1], value_parser = positive)]
    temperature: Vec<f64>,
    /// Which layer gives the features.
    #[arg(long, value_enum, default_value_t = Layer::Backbone)]
    level: Layer,
    /// The view through which images are seen.
    #[arg(long, default_value = "eval")]
    view: String,
    /// The checkpoint with the best figure, and not the newest.
    #[arg(long)]
    best: bool,
    /// Threads that decode [default: one a core].
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Threads that compute [default: one a core].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask knn runs/mocov2-001
  cargo xtask knn runs/mocov2-001 --best --k 20 --k 200 --temperature 0.07 --temperature 0.1
  cargo xtask knn runs/mocov2-001 --level head";

#[derive(Clone, Copy, clap::ValueEnum)]
enum Layer {
    /// What the backbone gives, and what is used after pre-training.
    Backbone,
    /// What the head gives, and what the loss sees.
    Head,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("it must be a number above 0".into()),
    }
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let device = compute::start(arguments.threads)?;
    let which = if arguments.best { Which::Best } else { Which::Latest };
    let run = OpenRun::open(&arguments.run, which)?;
    let pipeline = pipeline_file::read(&run.folder.pipeline(), &[], &device)?;
    check_view(&pipeline, &arguments.view)?;
    let splits = pipeline.dataset.open()?;
    let n_images = splits.train.len() + splits.test.as_ref().map_or(0, |test| test.len());
    let unreadable = Arc::new(UnreadableLog::new(n_images, pipeline.max_unreadable));
    let mut engine = Engine::new(pipeline.network, pipeline.seed, device, Box::new(SingleProcess))?;
    engine.load(&run.snapshot).map_err(|error| {
        Failure::new(
            format!("`{}` does not fit the run's pipeline: {error}", run.checkpoint.display()),
            "give a checkpoint that this run has written",
        )
    })?;
    let measure = Measure {
        splits: &splits,
        views: &pipeline.views,
        seed: pipeline.seed,
        batch: pipeline.batch,
        n_workers: arguments.workers.unwrap_or_else(compute::default_workers).get(),
        unreadable: &unreadable,
    };
    let (level, level_name) = match arguments.level {
        Layer::Backbone => (Level::Backbone, "backbone"),
        Layer::Head => (Level::Head, "head"),
    };
    let mut embed = |split| measure.embed(&mut engine, Embed { split, view: &arguments.view, level });
    let no_split = |which: &str| {
        Failure::new(
            format!("this dataset has no {which} images"),
            "give it both parts, as its plugin describes",
        )
    };
    let train = embed(Split::Train)?.ok_or_else(|| no_split("training"))?;
    let test = embed(Split::Test)?.ok_or_else(|| no_split("test"))?;
    writeln!(out, "{}", run.checkpoint.display())?;
    writeln!(
        out,
        "kNN top-1: {level_name} features ({}), view `{}`, cosine similarity, votes weighted by exp(similarity / T), {} \
         against {}",
        text::count(train.d, "value"),
        arguments.view,
        text::count(test.n, "test image"),
        text::count(train.n, "training image"),
    )?;
    out.write_all(text::table(&rows(arguments, &train, &test)?).as_bytes())?;
    if !unreadable.is_empty() {
        writeln!(out, "{} left out", text::count(unreadable.len(), "unreadable image"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(arguments: &Arguments, train: &Embedding, test: &Embedding) -> anyhow::Result<Vec<Vec<String>>> {
    let mut rows = vec![vec!["k".to_owned(), "T".to_owned(), "top-1".to_owned()]];
    for k in &arguments.k {
        for temperature in &arguments.temperature {
            let score = evaluate::knn(train, test, k.get(), *temperature).map_err(refused)?;
            let used =
                if score.k == k.get() { k.to_string() } else { format!("{k} (there are {})", score.k) };
            rows.push(vec![used, temperature.to_string(), format!("{:.2} %", 100.0 * score.top1)]);
        }
    }
    Ok(rows)
}

fn check_view(pipeline: &Pipeline, view: &str) -> Result<(), Failure> {
    if pipeline.view(view).is_some() {
        return Ok(());
    }
    let names: Vec<&str> = pipeline.views.iter().map(|view| view.name.as_str()).collect();
    Err(Failure::new(
        format!("the run's pipeline has no view `{view}`"),
        format!("choose one with `--view`: {}", names.join(", ")),
    ))
}

fn refused(error: KnnError) -> Failure {
    let message = format!("neighbours cannot vote: {error}");
    match error {
        KnnError::NoLabels => {
            Failure::new(message, "measure on a dataset with labels, such as class folders")
        }
        KnnError::NotFinite => Failure::new(message, "training has diverged: take an earlier checkpoint"),
        _ => Failure::plain(message),
    }
}
