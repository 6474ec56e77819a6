//! What a sweep knows of itself: `sweep.json` in its folder, beside a copy of the pipeline and a folder for each run.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use plugin_api::Metric;
use run_store::{RunFolder, RunLock, write_whole};
use serde::{Deserialize, Serialize};

use super::axes::{Axis, Combination};
use crate::failure::Failure;
use crate::pipeline_file::missing;
use crate::runs::ROOT;

const STATE: &str = "sweep.json";
/// Not `pipeline.ron`: a folder that has one is a run.
const PIPELINE: &str = "base.ron";

/// Everything that is needed to go on with a sweep, but for the pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sweep {
    /// Of the pipeline.
    pub(crate) name: String,
    /// What `--set` changed in every run.
    pub(crate) set: Vec<String>,
    pub(crate) axes: Vec<Axis>,
    pub(crate) n_seeds: usize,
    /// The metric of which the best of each run is wanted, too.
    pub(crate) best: Option<String>,
    /// What the metrics that were measured so far mean.
    pub(crate) metrics: Vec<MetricKind>,
    /// In the order in which they are made.
    pub(crate) runs: Vec<Run>,
}

/// What a metric in `metrics.jsonl` means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricKind {
    pub(crate) name: String,
    pub(crate) is_share: bool,
    pub(crate) more_is_better: bool,
}

/// One run of a sweep.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// Its folder's name.
    pub(crate) folder: String,
    pub(crate) combination: Combination,
    pub(crate) seed: u64,
    /// Images that it trains on, over all epochs.
    pub(crate) n_images: usize,
    pub(crate) state: State,
    /// Spent on it so far, measuring included.
    pub(crate) seconds: f64,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// It has not started, or was interrupted.
    Waiting,
    /// All epochs are done.
    Completed,
    /// Its loss is not a number any more, and would not be one the next time either.
    Diverged(String),
    /// Something else ended it, which may be different the next time.
    Failed(String),
}

impl State {
    /// Whether there is nothing left to do.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self, Self::Completed | Self::Diverged(_))
    }
}

impl Sweep {
    /// Keeps what metrics mean, for the table.
    pub(crate) fn learn<'a>(&mut self, measured: impl Iterator<Item = &'a Metric>) {
        for metric in measured {
            if self.metrics.iter().all(|known| known.name != metric.name) {
                let (is_share, more_is_better) = (metric.is_share, metric.more_is_better);
                self.metrics.push(MetricKind { name: metric.name.clone(), is_share, more_is_better });
            }
        }
    }

    /// Whether `other` was asked for in the same words.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        (&self.name, &self.set, &self.axes, self.n_seeds)
            == (&other.name, &other.set, &other.axes, other.n_seeds)
    }
}

/// The folder of one sweep.
#[derive(Debug)]
pub(crate) struct SweepFolder {
    path: PathBuf,
}

impl SweepFolder {
    /// A new folder: `out`, which must be empty, or else the next number in `runs/`.
    ///
    /// # Errors
    /// If `out` holds something, or the folder cannot be made.
    pub(crate) fn create(sweep: &Sweep, pipeline: &str, out: Option<PathBuf>) -> anyhow::Result<Self> {
        let folder = RunFolder::create(Path::new(ROOT), &format!("sweep-{}", sweep.name), out)?;
        let folder = Self { path: folder.path().to_owned() };
        folder.write(PIPELINE, pipeline)?;
        // Last, for it is what makes a folder the folder of a sweep.
        folder.save(sweep)?;
        Ok(folder)
    }

    /// The folder of an existing sweep.
    ///
    /// # Errors
    /// If there is none at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        if !path.exists() {
            return Err(missing(path));
        }
        if path.join(STATE).is_file() {
            return Ok(Self { path: path.into() });
        }
        let hint = if path.join("pipeline.ron").is_file() {
            format!("it is a run: `moco run --resume {}`", path.display())
        } else {
            "give the folder that a sweep has written".into()
        };
        Err(Failure::new(
            format!("`{}` is not the folder of a sweep: it has no `{STATE}`", path.display()),
            hint,
        ))
    }

    /// The sweep in `runs/` that was written to last, of those of the pipeline `name` if that is given.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn newest(name: Option<&str>) -> Result<Self, Failure> {
        let entries = fs::read_dir(ROOT).into_iter().flatten().flatten();
        let sweeps = entries.filter_map(|entry| Self::open(&entry.path()).ok());
        let of_name = sweeps.filter(|folder| match name {
            Some(name) => folder.load().is_ok_and(|sweep| sweep.name == name),
            None => true,
        });
        let found = of_name.max_by_key(|folder| (folder.last_written(), folder.path.clone()));
        found.ok_or_else(|| {
            let of = name.map(|name| format!(" of the pipeline `{name}`")).unwrap_or_default();
            Failure::new(
                format!("there is no sweep{of} in `{ROOT}`"),
                "leave out `--resume` to start one, or name its folder: `--resume DIR`",
            )
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps other processes from going on with the same sweep.
    pub(crate) fn lock(&self) -> anyhow::Result<RunLock> {
        Ok(RunLock::take(&self.path)?)
    }

    /// The pipeline that every run is a variation of, as its file was when the sweep started.
    pub(crate) fn pipeline(&self) -> Result<String, Failure> {
        self.read(PIPELINE)
    }

    pub(crate) fn load(&self) -> Result<Sweep, Failure> {
        serde_json::from_str(&self.read(STATE)?).map_err(|error| {
            Failure::new(
                format!("`{}` cannot be understood: {error}", self.path.join(STATE).display()),
                "it may have been written by another version of this program, or changed by hand",
            )
        })
    }

    pub(crate) fn save(&self, sweep: &Sweep) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(sweep).expect("a struct of texts and numbers is JSON");
        self.write(STATE, &(text + "\n"))
    }

    /// Writes a file of the sweep whole, or not at all.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        write_whole(&path, |file| file.write_all(text.as_bytes()))
            .map_err(|error| failed("written", &path, &error))
    }

    fn read(&self, name: &str) -> Result<String, Failure> {
        let path = self.path.join(name);
        fs::read_to_string(&path).map_err(|error| failed("read", &path, &error))
    }

    fn last_written(&self) -> Option<SystemTime> {
        self.path.join(STATE).metadata().and_then(|metadata| metadata.modified()).ok()
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::plain(format!("`{}` cannot be {what}: {error}", path.display()))
}

/// The name of a run's folder: its number, and what tells it from the others, as far as a file name can say it.
pub(crate) fn folder_name(number: usize, axes: &[Axis], combination: &[usize], seed: u64) -> String {
    /// Longer values are cut off.
    const MAX_VALUE: usize = 24;
    /// File systems take names of 255 bytes.
    const MAX_NAME: usize = 120;
    let mut name = format!("{number:03}");
    for (axis, value) in axes.iter().zip(combination) {
        let last = axis.path.rsplit('.').next().unwrap_or_default();
        let value: String = axis.values[*value].chars().map(|c| if is_plain(c) { c } else { ' ' }).collect();
        let value: String =
            value.split_whitespace().collect::<Vec<_>>().join("_").chars().take(MAX_VALUE).collect();
        let last: String = last.chars().filter(|c| is_plain(*c)).collect();
        let piece = format!("-{last}={value}");
        if name.len() + piece.len() > MAX_NAME {
            break;
        }
        name += &piece;
    }
    name + &format!("-seed={seed}")
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_.+".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(name: &str) -> Sweep {
        let run = Run {
            folder: "001-seed=0".into(),
            combination: vec![1],
            seed: 0,
            n_images: 8,
            state: State::Failed("no \"space\"".into()),
            seconds: 1.5,
        };
        Sweep {
            name: name.into(),
            set: vec!["epochs=2".into()],
            axes: vec![Axis::parse("a.b=1,2").unwrap()],
            n_seeds: 1,
            best: None,
            metrics: vec![],
            runs: vec![run],
        }
    }

    #[test]
    fn a_sweep_is_read_as_it_was_written() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("a");
        let folder = SweepFolder::create(&sweep("moco"), "Pipeline(", Some(out.clone())).unwrap();
        let opened = SweepFolder::open(&out).unwrap();
        assert_eq!(opened.pipeline().unwrap(), "Pipeline(");
        let loaded = opened.load().unwrap();
        assert!(loaded.is_as(&sweep("moco")) && !loaded.is_as(&sweep("other")));
        assert_eq!(loaded.runs[0].state, State::Failed("no \"space\"".into()));
        let lock = folder.lock().unwrap();
        assert!(opened.lock().unwrap_err().to_string().contains("is in use"));
        drop(lock);
        assert!(SweepFolder::create(&sweep("moco"), "", Some(out)).is_err(), "it is not empty");
    }

    #[test]
    fn what_is_no_sweep_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let said = |path: &Path| SweepFolder::open(path).unwrap_err().to_string();
        assert!(said(&root.path().join("nothing")).starts_with("there is no"));
        assert!(said(root.path()).ends_with("is not the folder of a sweep: it has no `sweep.json`"));
        fs::write(root.path().join(STATE), "{}").unwrap();
        let error = SweepFolder::open(root.path()).unwrap().load().unwrap_err().to_string();
        assert!(error.contains("cannot be understood"), "{error}");
    }

    #[test]
    fn a_folder_is_named_after_what_is_special_about_its_run() {
        let axes =
            ["data.batch=64,128", r#"modules.head=("mlp", (out: 8)),("linear", (out: 64, and: "more"))"#];
        let axes = axes.map(|axis| Axis::parse(axis).unwrap());
        assert_eq!(folder_name(7, &axes[..1], &[1], 3), "007-batch=128-seed=3");
        assert_eq!(folder_name(12, &axes, &[0, 0], 0), "012-batch=64-head=mlp_out_8-seed=0");
        assert_eq!(folder_name(1, &axes[1..], &[1], 0), "001-head=linear_out_64_and_more-seed=0");
        let many = vec![axes[0].clone(); 40];
        assert!(folder_name(1, &many, &[0; 40], u64::MAX).len() < 160);
    }
}
