//! `moco knn`: evaluates an encoder with k-nearest-neighbor classification.

use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use plugin_api::{Embedding, Split};
use serde_json::json;

use crate::choice::positive;
use crate::encoding::stopped;
use crate::failure::Failure;
use crate::interrupt::stop_without_a_result;
use crate::progress::ImageLine;
use crate::trained::{EncoderArguments, embed, with_hint};
use crate::{json, notes, text};

/// Evaluate an encoder with k-nearest-neighbor (kNN) classification.
///
/// Classifies the test images of the run's dataset, or of the one that `--data` names, by their nearest training images in feature space (weighted kNN, Wu
/// et al. 2018, arXiv:1805.01978). Each of the k nearest votes with weight exp(similarity / T). No training is
/// involved.
///
/// Results are comparable only under the same protocol, which is printed with them.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    encoder: EncoderArguments,
    /// Number of neighbors; may be given several times.
    #[arg(short, long, value_name = "K", default_values_t = [NonZeroUsize::new(20).expect("20 is not 0"), NonZeroUsize::new(200).expect("200 is not 0")])]
    k: Vec<NonZeroUsize>,
    /// Temperature T of the votes; may be given several times.
    #[arg(short, long, value_name = "T", default_values_t = [0.1], value_parser = positive)]
    temperature: Vec<f64>,
    /// Print one JSON object.
    ///
    /// Print one JSON object: `checkpoint`, `features`, `n_features`, `view`, `train_images`, `test_images`, `dataset`, `labels` (the
    /// share of the labels), `seed`, `size_note` (on images of another size than trained on, else `null`), `unreadable_images`, and
    /// `results`, each with `k`, `k_used` (fewer if there are not so many images), `temperature` and `top1`.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  moco knn runs/mocov2-001
  moco knn runs/mocov2-001 --best --k 20 --k 200 --temperature 0.07 --temperature 0.1
  moco knn mocov2-001 --level head             the name of a run in runs/ is enough
  moco knn mocov2-001 --json | jq '.results[0].top1'
  moco knn runs/mocov2-001 --labels 0.01       with 1 % of the labels
  moco knn runs/mocov2-001 --data labeled     on other images than the run's";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    stop_without_a_result()?;
    let mut evaluation = arguments.encoder.open()?;
    if evaluation.train_images().class_names().len() == 1 {
        notes::print(&["there is only one class, so that any encoder is right about all images".to_owned()]);
    }
    // A signal ends the program by itself.
    let never = AtomicBool::new(false);
    let (test, train) =
        (embed(&mut evaluation, Split::Test, &never)?, embed(&mut evaluation, Split::Train, &never)?);
    let (Some(test), Some(train)) = (test, train) else { return stopped(out) };
    let results = results(arguments, &train, &test)?;
    if arguments.json {
        let EncoderArguments { view, labels, seed, .. } = &arguments.encoder;
        let shown = |result: &Scored| {
            let Scored { k, k_used, temperature, top1 } = result;
            json!({ "k": k, "k_used": k_used, "temperature": temperature, "top1": top1 })
        };
        let object = json!({
            "checkpoint": evaluation.run().checkpoint.display().to_string(),
            "features": arguments.encoder.level_name(),
            "n_features": train.d,
            "view": view,
            "train_images": train.n,
            "test_images": test.n,
            "dataset": evaluation.dataset(),
            "labels": labels,
            "seed": seed,
            "size_note": evaluation.size_note(),
            "unreadable_images": evaluation.unreadable().len(),
            "results": results.iter().map(shown).collect::<Vec<_>>(),
        });
        json::print(out, &object)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{}", evaluation.run().checkpoint.display())?;
    writeln!(
        out,
        "kNN top-1: {} features ({}), view `{}`, cosine similarity, votes weighted by exp(similarity / T), {} \
         against {}",
        arguments.encoder.level_name(),
        text::count(train.d, "value"),
        arguments.encoder.view,
        text::count(test.n, "test image"),
        text::count(train.n, "training image"),
    )?;
    if let Some(line) = arguments.encoder.data_line(evaluation.dataset()) {
        writeln!(out, "{line}")?;
    }
    if let Some(note) = evaluation.size_note() {
        writeln!(out, "{note}")?;
    }
    if arguments.encoder.labels < 1.0 {
        let EncoderArguments { labels, seed, .. } = &arguments.encoder;
        writeln!(out, "{} % of the labels of each class, drawn from seed {seed}", 100.0 * labels)?;
    }
    out.write_all(text::table(&rows(&results)).as_bytes())?;
    let n_unreadable = evaluation.unreadable().len();
    if n_unreadable > 0 {
        writeln!(out, "{} skipped", text::count(n_unreadable, "unreadable image"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One setting, and what came of it.
struct Scored {
    k: usize,
    /// The neighbors that there are, if those are fewer.
    k_used: usize,
    temperature: f64,
    top1: f64,
}

fn results(arguments: &Arguments, train: &Embedding, test: &Embedding) -> Result<Vec<Scored>, Failure> {
    let mut results = Vec::new();
    for k in arguments.k.iter().map(|k| k.get()) {
        for &temperature in &arguments.temperature {
            let mut line = ImageLine::start("comparing test images:", test.n);
            let mut watch = |n_done| {
                line.show(n_done);
                ControlFlow::Continue(())
            };
            let score = evaluate::knn_while(train, test, k, temperature, &mut watch)
                .map_err(|error| with_hint(error.into()))?;
            let Some(score) = score else { continue };
            results.push(Scored { k, k_used: score.k, temperature, top1: score.top1 });
        }
    }
    Ok(results)
}

fn rows(results: &[Scored]) -> Vec<Vec<String>> {
    let row = |Scored { k, k_used, temperature, top1 }: &Scored| {
        let used = if k_used == k { k.to_string() } else { format!("{k} (there are {k_used})") };
        vec![used, temperature.to_string(), format!("{:.2} %", 100.0 * top1)]
    };
    let head = ["k", "T", "top-1"].map(str::to_owned).to_vec();
    std::iter::once(head).chain(results.iter().map(row)).collect()
}
