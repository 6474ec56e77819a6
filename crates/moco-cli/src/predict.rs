//! `moco predict`: classifies images.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use moco::{
    Classifier, ClassifierError, ClassifierFacts, ClassifierOptions, LoadError, PredictionFormat,
    PredictionTable,
};

use crate::by_class::per_cent;
use crate::encoding::{skipped, stopped};
use crate::failure::Failure;
use crate::image_pass::{PassArguments, Passed, none_readable, not_finite};
use crate::{new_file, notes, text};

/// Predict the classes of images.
///
/// Runs every image through an encoder and the classifier that `moco linear` or `moco finetune` has trained on it, and
/// tells the likeliest class with its confidence: the classifier's probability, the softmax of its outputs. Of a run,
/// the classifier is taken that was written last, and named. It needs neither the images nor the checkpoints of the run.
///
/// The extension of FILE sets the format: `.csv` (columns `path`, `class` and `confidence`, with `--top` also `class2`,
/// `confidence2`, ...) or `.json`. Without FILE, a table is printed. Images of a folder are sorted by path; otherwise they
/// are in the order given.
///
/// Images that cannot be decoded are skipped and listed; the command fails if there are more than `--max-unreadable`
/// allows. The file is written at the end, so Ctrl-C leaves no partial file.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder of an evaluation with a classifier, or of a run that has one.
    classifier: PathBuf,
    /// Images: a folder (searched recursively), an archive, a list (one path per line), or image files.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Output file: `.csv` or `.json` [default: a table on standard output].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Number of classes to tell of each image, the likeliest first.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN)]
    top: NonZeroUsize,
    /// Overwrite an existing file.
    #[arg(long, requires = "out")]
    force: bool,
    #[command(flatten)]
    pass: PassArguments,
}

const EXAMPLES: &str = "\
Examples:
  moco predict runs/mocov2-001 photos -o classes.csv
  moco predict runs/mocov2-001/evaluations/finetune-002 one.jpg two.jpg --top 3
  moco predict runs/mocov2-001 lists/new.txt -o classes.json --top 5";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let file = arguments.out.as_deref().map(|path| Ok::<_, Failure>((path, format_of(path)?))).transpose()?;
    let check = || file.map_or(Ok(()), |(path, _)| new_file::check(path, arguments.force.into()));
    check()?;
    arguments.pass.start()?;
    let mut classifier = load(arguments)?;
    let opened = datasets::open_images(&arguments.images)?;
    notes::print(&opened.notes);
    let images = opened.images;
    let allowed = classifier.encoder().max_unreadable();
    let passed = arguments.pass.run("predicting", images.len(), allowed, |unreadable, watch| {
        classifier.predict_images(&images, unreadable, watch)
    })?;
    let (predictions, n_unreadable) = match passed {
        Passed::All { result, n_unreadable } => (result, n_unreadable),
        Passed::Stopped => return stopped(out),
    };
    if predictions.n() == 0 {
        return Err(none_readable(images.len()));
    }
    if !predictions.is_finite() {
        return Err(not_finite("an output of the classifier"));
    }
    let table = PredictionTable::new(&*images, &predictions, arguments.top.get(), classifier.class_names());
    match file {
        Some((path, format)) => {
            // Another command may have written a file there in the meantime.
            check()?;
            table.write(format, path).map_err(|error| {
                Failure::plain(format!("`{}` cannot be written: {error}", path.display()))
            })?;
            write!(out, "{}: ", path.display())?;
        }
        None => out.write_all(text::table(&rows(&table)).as_bytes())?,
    }
    writeln!(
        out,
        "{}, classes among {} ({}){}",
        text::count(predictions.n(), "image"),
        classifier.class_names().len(),
        describe(&classifier),
        skipped(n_unreadable)
    )?;
    Ok(ExitCode::SUCCESS)
}

fn load(arguments: &Arguments) -> Result<Classifier, Failure> {
    let options = ClassifierOptions {
        batch: arguments.pass.batch.map(usize::from),
        workers: arguments.pass.workers.map(usize::from),
        threads: None,
    };
    Classifier::load_with(&arguments.classifier, &options).map_err(|error| match error {
        // It shows the source line.
        ClassifierError::Load(LoadError::Pipeline(error)) => error.into(),
        error => error.into(),
    })
}

/// What was used, for messages.
fn describe(classifier: &Classifier) -> String {
    let ClassifierFacts { protocol, view, .. } = classifier.facts();
    format!("{protocol}, view `{view}`, {}", classifier.file().display())
}

fn rows(table: &PredictionTable<'_>) -> Vec<Vec<String>> {
    let head = vec!["path".to_owned(), "class".into(), "confidence".into()];
    let row = |(path, classes): (&str, Vec<(&str, f32)>)| {
        let classes = classes
            .into_iter()
            .flat_map(|(class, confidence)| [class.to_owned(), per_cent(f64::from(confidence))]);
        std::iter::once(path.to_owned()).chain(classes).collect()
    };
    std::iter::once(head).chain(table.rows().map(row)).collect()
}

fn format_of(path: &Path) -> Result<PredictionFormat, Failure> {
    PredictionFormat::of(path).ok_or_else(|| {
        Failure::usage(
            format!("`{}` has no known extension", path.display()),
            "end the name in `.csv` or `.json`",
        )
    })
}
