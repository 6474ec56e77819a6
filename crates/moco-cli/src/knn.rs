//! `moco knn`: evaluates an encoder with k-nearest-neighbor classification.

use std::io::Write;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use plugin_api::{Embedding, Split};

use crate::choice::positive;
use crate::failure::Failure;
use crate::text;
use crate::trained::{EncoderArguments, embed, with_hint};

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
}

const EXAMPLES: &str = "\
Examples:
  moco knn runs/mocov2-001
  moco knn runs/mocov2-001 --best --k 20 --k 200 --temperature 0.07 --temperature 0.1
  moco knn runs/mocov2-001 --level head
  moco knn runs/mocov2-001 --labels 0.01       with 1 % of the labels
  moco knn runs/mocov2-001 --data labeled     on other images than the run's";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let mut evaluation = arguments.encoder.open()?;
    let test = embed(&mut evaluation, Split::Test)?;
    let train = embed(&mut evaluation, Split::Train)?;
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
    out.write_all(text::table(&rows(arguments, &train, &test)?).as_bytes())?;
    let n_unreadable = evaluation.unreadable().len();
    if n_unreadable > 0 {
        writeln!(out, "{} skipped", text::count(n_unreadable, "unreadable image"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(arguments: &Arguments, train: &Embedding, test: &Embedding) -> Result<Vec<Vec<String>>, Failure> {
    let mut rows = vec![vec!["k".to_owned(), "T".to_owned(), "top-1".to_owned()]];
    for k in &arguments.k {
        for temperature in &arguments.temperature {
            let score =
                evaluate::knn(train, test, k.get(), *temperature).map_err(|error| with_hint(error.into()))?;
            let used =
                if score.k == k.get() { k.to_string() } else { format!("{k} (there are {})", score.k) };
            rows.push(vec![used, temperature.to_string(), format!("{:.2} %", 100.0 * score.top1)]);
        }
    }
    Ok(rows)
}
