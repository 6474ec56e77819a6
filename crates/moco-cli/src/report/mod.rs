//! `moco report`: a page that shows a run.

mod http;
mod live;
mod watch;

use std::io::Write;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use moco::{OpenRun, ReportOptions, report_page, report_path};
use run_store::{RunFolder, write_whole};

use crate::failure::Failure;
use crate::interrupt::{stop_softly, stop_without_a_result};
use crate::moved::MovedArguments;
use crate::{compute, cores, new_file};

/// Write a page that shows a run.
///
/// Writes one HTML page: the best metric, charts of the loss, the metrics, the gradients and the speed, the views that the
/// encoder sees, neighbors of a few images, a map of the features, the classes that it mixes up, and the pipeline. Each says in
/// a sentence how to read it. The page holds its images, needs no network and no scripts, and can be printed.
///
/// Several runs are shown beside each other: one color per run, and a table of what differs between their pipelines. What
/// cannot be drawn, for instance because the images have moved, is told on the page.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Run folders, or checkpoints in them.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Output file [default: report.html in the folder of the run, or here for several runs].
    #[arg(short, long, value_name = "FILE", conflicts_with = "serve")]
    out: Option<PathBuf>,
    /// Overwrite an existing file. The page in the folder of a run is always replaced.
    #[arg(long)]
    force: bool,
    /// Leave out the images: no image is read, and no encoder is loaded.
    #[arg(long)]
    no_images: bool,
    /// Images for neighbors, map and classes at the most; of large images, fewer are taken.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(2000).expect("2000 is not 0"))]
    limit: NonZeroUsize,
    /// Write the page again after each epoch, until the run ends or Ctrl-C.
    #[arg(long, conflicts_with = "serve")]
    watch: bool,
    /// Show the page in a browser of this machine, at http://127.0.0.1:PORT, until Ctrl-C: it shows itself anew after each
    /// epoch. No file is written. Without PORT it is 6010; 0 is any free port.
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "6010")]
    serve: Option<u16>,
    #[command(flatten)]
    moved: MovedArguments,
    /// Data loader workers [default: one per core].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    workers: Option<NonZeroUsize>,
    /// Compute threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    threads: Option<NonZeroUsize>,
}

const EXAMPLES: &str = "\
Examples:
  moco report runs/mocov2-001                          writes runs/mocov2-001/report.html
  moco report runs/mocov2-001 --watch                  again after each epoch
  moco report runs/mocov2-001 --serve                  in a browser, while it trains
  moco report runs/mocov2-001 runs/mocov2-002 -o both.html";

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let folders = arguments.folders()?;
    let path = arguments.path(&folders);
    if arguments.serve.is_none() {
        new_file::check(&path, (arguments.force || arguments.is_own(&folders)).into())?;
    }
    compute::start(arguments.threads)?;
    if let Some(port) = arguments.serve {
        stop_softly(&STOP, None)?;
        return live::serve(arguments, &folders, port, &STOP, out);
    }
    if arguments.watch {
        stop_softly(&STOP, None)?;
        return watch::watch(arguments, &folders, &path, &STOP, out);
    }
    stop_without_a_result()?;
    let n_bytes = arguments.write(&path)?;
    writeln!(out, "{}: {}", path.display(), crate::text::bytes(n_bytes as u64))?;
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn folders(&self) -> Result<Vec<RunFolder>, Failure> {
        self.runs.iter().map(|run| Ok(OpenRun::folder_of(run)?)).collect()
    }

    fn path(&self, folders: &[RunFolder]) -> PathBuf {
        match (&self.out, folders) {
            (Some(path), _) => path.clone(),
            (None, [folder]) => report_path(folder),
            (None, _) => "report.html".into(),
        }
    }

    /// Whether the page is the one in the folder of its run, which is made from it.
    fn is_own(&self, folders: &[RunFolder]) -> bool {
        self.out.is_none() && folders.len() == 1
    }

    /// The page; with a `version`, one that shows itself anew.
    fn page(&self, version: Option<NonZeroU64>) -> Result<String, Failure> {
        let options = ReportOptions {
            moved: self.moved.moved(),
            shows_images: !self.no_images,
            most_images: self.limit.get(),
            workers: self.workers.map(usize::from),
            version: version.map(NonZeroU64::get),
            for_tensorboard: false,
        };
        Ok(report_page(&self.runs, &options)?)
    }

    fn write(&self, path: &Path) -> Result<usize, Failure> {
        let page = self.page(None)?;
        write_whole(path, |file| file.write_all(page.as_bytes()))
            .map_err(|error| Failure::plain(format!("`{}` cannot be written: {error}", path.display())))?;
        Ok(page.len())
    }
}
