//! The page of a run: [`write_report`].

mod classes;
mod course;
mod differences;
mod end;
mod error;
mod images;
mod metrics;
mod pictures;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use pages::Report;
use pipeline::{Moved, Pipeline, Site};
use run_store::{RunFolder, write_whole};

pub use self::error::ReportError;
use crate::{OpenRun, device, run};

/// A line of `metrics.jsonl`.
type Line = serde_json::Map<String, serde_json::Value>;

/// Images whose features a page shows at the most.
const MOST_IMAGES: usize = 2000;

/// What a page of a run shows, and what it may use.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    /// Where images of the runs' datasets are now, if they have moved since.
    pub moved: Moved,
    /// Whether images are shown: views, neighbors, the map and the worst classes. Without, no image is read and no encoder is
    /// loaded.
    pub shows_images: bool,
    /// Images whose features are computed at the most. Of large images fewer are taken, so that it ends soon: as many as have
    /// the pixels of this number of images of 64 by 64.
    pub most_images: usize,
    /// Data loader workers; `None` for one per core.
    pub workers: Option<usize>,
    /// Whether the views and the map are written as pictures to the run's events for TensorBoard as well, for the end of a run.
    /// The page tells if they cannot be written.
    pub for_tensorboard: bool,
    /// The number of this version of the page, for a page that is served: it shows itself anew once there is another.
    pub version: Option<u64>,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            moved: Moved::default(),
            shows_images: true,
            most_images: MOST_IMAGES,
            workers: None,
            for_tensorboard: false,
            version: None,
        }
    }
}

/// Writes the page of the run at `run`, a run folder or a checkpoint in it, to `report.html` in the folder, and returns its
/// path. An older page is replaced.
///
/// # Errors
/// If there is no run, its log cannot be read, or the page cannot be written. What cannot be drawn, for instance because the
/// images have moved, is told on the page.
pub fn write_report(run: impl AsRef<Path>, options: &ReportOptions) -> Result<PathBuf, ReportError> {
    let folder = OpenRun::folder_of(run.as_ref())?;
    let path = report_path(&folder);
    let page = report_page(&[run.as_ref()], options)?;
    write_whole(&path, |file| file.write_all(page.as_bytes()))
        .map_err(|source| ReportError::Write { path: path.clone(), source })?;
    Ok(path)
}

/// Where the page of a run is.
pub fn report_path(run: &RunFolder) -> PathBuf {
    run.path().join("report.html")
}

/// The page of one run, or of several beside each other.
///
/// # Errors
/// As [`write_report`].
pub fn report_page<P: AsRef<Path>>(runs: &[P], options: &ReportOptions) -> Result<String, ReportError> {
    crate::check_process().map_err(ReportError::Load)?;
    let folders = runs.iter().map(|run| Ok(OpenRun::folder_of(run.as_ref())?));
    let folders = folders.collect::<Result<Vec<RunFolder>, ReportError>>()?;
    let names = names(&folders);
    let mut report = Report { title: title(&names), ..Report::default() };
    let mut pipelines = Vec::new();
    for (folder, name) in folders.iter().zip(&names) {
        let pipeline = read_pipeline(folder, &options.moved);
        if let Err(why) = &pipeline {
            report.notes.push(format!("{name}: {why}"));
        }
        let (course, notes) = course::course(folder, name, pipeline.as_ref().ok())?;
        report.notes.extend(notes);
        report.courses.push(course);
        report.pipelines.push((name.clone(), folder.read_pipeline()?));
        pipelines.push(pipeline);
    }
    report.differences = differences::differences(&report.pipelines);
    if let ([run], [pipeline]) = (runs, &pipelines[..])
        && options.shows_images
    {
        let pipeline = pipeline.as_ref().map_err(String::as_str);
        if let Some(pictures) = images::show(run.as_ref(), pipeline, options, &mut report)
            && let Err(error) = pictures.write(&folders[0])
        {
            report.notes.push(format!("there are no pictures for TensorBoard: {error}"));
        }
    }
    Ok(report.page(options.version))
}

/// The pipeline that the run in `folder` has kept, or why it cannot be used, in words.
fn read_pipeline(folder: &RunFolder, moved: &Moved) -> Result<Pipeline, String> {
    let device = device().map_err(|error| error.to_string())?;
    let moved = run::moved(folder, moved).map_err(|error| error.to_string())?;
    let site = Site::to_look(&device).with_moved(moved);
    Pipeline::read_kept(&folder.pipeline(), site).map_err(|error| match error {
        pipeline::PipelineError::Fault(fault) => format!("the pipeline cannot be used: {}", fault.message),
        error => error.to_string(),
    })
}

/// The names of the folders, or their paths where two have one name.
fn names(folders: &[RunFolder]) -> Vec<String> {
    let short = |folder: &RunFolder| {
        let path = folder.path();
        // `.` has no name, and neither does `..`.
        let named = if path.file_name().is_some() {
            path.to_owned()
        } else {
            path.canonicalize().unwrap_or_default()
        };
        named
            .file_name()
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
    };
    let names: Vec<String> = folders.iter().map(short).collect();
    let is_alone = |name: &String| names.iter().filter(|other| *other == name).count() == 1;
    let named = names.iter().zip(folders);
    named
        .map(|(name, folder)| if is_alone(name) { name.clone() } else { folder.path().display().to_string() })
        .collect()
}

fn title(names: &[String]) -> String {
    match names {
        [name] => name.clone(),
        names => format!("{} runs", names.len()),
    }
}
