//! The checkpoints of a run.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::file::write_parts;
use super::{CheckpointError, Snapshot, read, write};
use crate::run_folder::{check_own_folder, remove_partial, write_whole};

pub(super) const BEST: &str = "best.safetensors";
pub(super) const SUPERSEDED: &str = ".superseded";
const SCORE_KEY: &str = "score";
/// Where the metadata of a best checkpoint say by which metric it is the best.
pub const SCORE_METRIC: &str = "score_metric";
const STANDS_IN_KEY: &str = "score_stands_in";

/// How good a checkpoint is.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The metric that it is measured by.
    pub metric: String,
    /// Its value, turned so that more is better.
    pub value: f64,
    /// 0 for the metric that is wanted. Others stand in for it as long as it was not measured: the lower the number, the
    /// better they do, whatever the values.
    pub stands_in: u32,
}

impl Score {
    /// Whether a checkpoint of this score takes the place of one of `other`.
    fn beats(&self, other: &Self) -> bool {
        match self.stands_in.cmp(&other.stands_in) {
            Ordering::Less => !self.value.is_nan(),
            Ordering::Equal => self.value > other.value,
            Ordering::Greater => false,
        }
    }

    fn save(&self, metadata: &mut BTreeMap<String, String>) {
        metadata.insert(SCORE_KEY.into(), self.value.to_string());
        metadata.insert(SCORE_METRIC.into(), self.metric.clone());
        if self.stands_in > 0 {
            metadata.insert(STANDS_IN_KEY.into(), self.stands_in.to_string());
        }
    }

    /// What [`save`](Self::save) wrote. Files of earlier versions have no more than the value.
    fn load(metadata: &BTreeMap<String, String>) -> Option<Self> {
        let stands_in = metadata.get(STANDS_IN_KEY);
        Some(Self {
            metric: metadata.get(SCORE_METRIC).cloned().unwrap_or_default(),
            value: metadata.get(SCORE_KEY)?.parse().ok()?,
            stands_in: stands_in.and_then(|number| number.parse().ok()).unwrap_or(0),
        })
    }
}

/// The best checkpoint of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// Its score.
    pub score: Score,
    /// All metadata in it.
    pub metadata: BTreeMap<String, String>,
}

/// Keeps the last few checkpoints of a run, and the best one.
#[derive(Debug)]
pub struct CheckpointFolder {
    path: PathBuf,
    keep_last: usize,
    /// The best checkpoint, once it has been looked for; the inner `None` means that there is none.
    best: Option<Option<Best>>,
}

impl CheckpointFolder {
    /// The checkpoints in `path`, which is created at the first save; a `keep_last` of 0 counts as 1.
    pub fn new(path: impl Into<PathBuf>, keep_last: usize) -> Self {
        Self { path: path.into(), keep_last: keep_last.max(1), best: None }
    }

    /// The path of the checkpoint of a step.
    pub fn path_of(&self, step: u64) -> PathBuf {
        self.path.join(format!("step-{step:08}.safetensors"))
    }

    /// The path of the best checkpoint.
    pub fn best_path(&self) -> PathBuf {
        self.path.join(BEST)
    }

    /// Saves the checkpoint of a step, and removes none.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn add(&mut self, step: u64, snapshot: &Snapshot) -> Result<PathBuf, CheckpointError> {
        self.prepare()?;
        let path = self.path_of(step);
        write(&path, snapshot)?;
        Ok(path)
    }

    /// Saves the checkpoint of a step, then removes all but the newest few.
    ///
    /// # Errors
    /// If it cannot be written. Older checkpoints are then unchanged.
    pub fn save(&mut self, step: u64, snapshot: &Snapshot) -> Result<PathBuf, CheckpointError> {
        let path = self.add(step, snapshot)?;
        let kept = self.list()?;
        let n_surplus = kept.len().saturating_sub(self.keep_last);
        for (_, old) in kept.into_iter().take(n_surplus).filter(|(old, _)| *old != step) {
            fs::remove_file(&old).map_err(CheckpointError::io("remove", &old))?;
        }
        Ok(path)
    }

    /// Saves `snapshot` as the best checkpoint if its score beats the best so far, and returns whether it does: by a higher value
    /// of the same metric, or by a metric for which that of the other only stands in.
    ///
    /// The score is stored in the file, so a resumed run does not replace a better checkpoint. It is not saved as a
    /// step.
    ///
    /// # Errors
    /// If it cannot be written. The best one so far is then unchanged.
    pub fn save_best(&mut self, score: Score, snapshot: &Snapshot) -> Result<bool, CheckpointError> {
        let beats = match self.best() {
            Some(best) => score.beats(&best.score),
            None => !score.value.is_nan(),
        };
        if beats {
            self.prepare()?;
            let mut metadata = snapshot.metadata.clone();
            score.save(&mut metadata);
            write_parts(&self.best_path(), &snapshot.tensors, &metadata)?;
            self.best = Some(Some(Best { score, metadata }));
        }
        Ok(beats)
    }

    /// The best checkpoint. An unreadable one counts as none, and is replaced by the next.
    pub fn best(&mut self) -> Option<&Best> {
        if self.best.is_none() {
            let metadata = read(&self.best_path()).ok().map(|snapshot| snapshot.metadata);
            self.best =
                Some(metadata.and_then(|metadata| Some(Best { score: Score::load(&metadata)?, metadata })));
        }
        self.best.as_ref()?.as_ref()
    }

    /// The steps that have a checkpoint, oldest first.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn list(&self) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(CheckpointError::io("list", &self.path)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(CheckpointError::io("list", &self.path))?.path();
            if let Some(step) = name_of(&path).and_then(step_of) {
                found.push((step, path));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The newest checkpoint, if there is one.
    ///
    /// # Errors
    /// If the newest one cannot be used: the error has the reason, and its hint the newest one that can.
    pub fn latest(&self) -> Result<Option<(PathBuf, Snapshot)>, CheckpointError> {
        let mut paths = self.list()?.into_iter().rev().map(|(_, path)| path);
        let Some(newest) = paths.next() else { return Ok(None) };
        match read(&newest) {
            Ok(snapshot) => Ok(Some((newest, snapshot))),
            Err(why) => {
                let previous = paths.find(|path| read(path).is_ok());
                Err(CheckpointError::Newest { source: Box::new(why), previous })
            }
        }
    }

    /// Removes the checkpoint of `step`, if there is one.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, step: u64) -> Result<(), CheckpointError> {
        let path = self.path_of(step);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CheckpointError::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Renames the checkpoints of steps after `step` to `*.superseded`, because a run that resumes from there will write them
    /// again; and those of the [kept](Self::keep) ones that `is_later`.
    ///
    /// # Errors
    /// If a file cannot be renamed. Then none is.
    pub fn set_aside(
        &self,
        step: u64,
        is_later: impl Fn(&Snapshot) -> bool,
    ) -> Result<SetAside, CheckpointError> {
        let later = self.list()?.into_iter().filter(|(of, _)| *of > step).map(|(_, path)| path);
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        // A damaged one is not known to be later, and nothing is lost by leaving it.
        let kept = entries
            .map(|entry| entry.path())
            .filter(|path| name_of(path).and_then(epoch_of).is_some())
            .filter(|path| read(path).is_ok_and(|snapshot| is_later(&snapshot)));
        let mut aside = SetAside(Vec::new());
        for path in later.chain(kept).collect::<Vec<_>>() {
            match set_aside(&path) {
                Ok(new) => aside.0.push((path, new)),
                Err(error) => {
                    aside.give_back();
                    return Err(error);
                }
            }
        }
        Ok(aside)
    }

    /// Keeps the checkpoint at `path`, after `epoch` epochs, under another name, which no later one replaces: a second name of
    /// the same file where the file system can have that, and otherwise a copy. Returns the name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep(&self, path: &Path, epoch: usize) -> Result<PathBuf, CheckpointError> {
        let kept = self.path.join(format!("epoch-{epoch:04}.safetensors"));
        // An earlier course of the run may have left one.
        match fs::remove_file(&kept) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CheckpointError::io("replace", &kept)(error)),
        }
        if fs::hard_link(path, &kept).is_err() {
            let copy = |file: &mut fs::File| io::copy(&mut fs::File::open(path)?, file).map(drop);
            write_whole(&kept, copy).map_err(CheckpointError::io("write", &kept))?;
        }
        Ok(kept)
    }

    fn prepare(&self) -> Result<(), CheckpointError> {
        check_own_folder(&self.path).map_err(CheckpointError::io("write in", &self.path))?;
        // Only this one: where the folder of the run is gone, there is no run to go on with.
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(CheckpointError::io("create", &self.path)(error));
            }
            _ => {}
        }
        remove_partial(&self.path).map_err(CheckpointError::io("clean up", &self.path))
    }
}

/// Checkpoints that were renamed, each with its old and its new name.
#[derive(Debug)]
pub struct SetAside(Vec<(PathBuf, PathBuf)>);

impl SetAside {
    /// The new names.
    pub fn new_names(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(_, new)| new.as_path())
    }

    /// Gives them their names back, because the run did not go on after all.
    pub(crate) fn give_back(self) {
        // What led here is told.
        self.0.into_iter().for_each(|(old, new)| drop(fs::rename(new, old)));
    }
}

/// Renames a checkpoint of a later step, and returns its new name.
fn set_aside(path: &Path) -> Result<PathBuf, CheckpointError> {
    let mut name = path.to_owned().into_os_string();
    name.push(SUPERSEDED);
    fs::rename(path, &name).map_err(CheckpointError::io("rename", path))?;
    Ok(name.into())
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// The epoch in the name of a [kept](CheckpointFolder::keep) checkpoint.
pub(super) fn epoch_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("epoch-")?.strip_suffix(".safetensors")?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// The step in the name of a checkpoint.
pub(super) fn step_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("step-")?.strip_suffix(".safetensors")?;
    let is_number = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::Stored;
    use super::*;

    fn snapshot(step: u64) -> Snapshot {
        Snapshot {
            tensors: BTreeMap::from([("step".into(), Stored::U64(vec![step]))]),
            ..Snapshot::default()
        }
    }

    fn knn(value: f64) -> Score {
        Score { metric: "knn".into(), value, stands_in: 0 }
    }

    fn steps(folder: &CheckpointFolder) -> Vec<u64> {
        folder.list().unwrap().into_iter().map(|(step, _)| step).collect()
    }

    fn cut(path: &Path) {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 3]).unwrap();
    }

    #[test]
    fn the_last_few_checkpoints_stay_and_the_best_always() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = CheckpointFolder::new(root.path().join("checkpoints"), 2);
        assert!(folder.latest().unwrap().is_none());
        assert!(folder.save_best(knn(0.3), &snapshot(1)).unwrap());
        for step in [1, 20, 300, 123_456_789] {
            folder.save(step, &snapshot(step)).unwrap();
        }
        assert_eq!(steps(&folder), [300, 123_456_789]);
        let (path, latest) = folder.latest().unwrap().unwrap();
        assert!(path.ends_with("step-123456789.safetensors"));
        assert_eq!(latest, snapshot(123_456_789));
        assert_eq!(read(&folder.best_path()).unwrap().tensors, snapshot(1).tensors);
    }

    #[test]
    fn only_a_better_score_replaces_the_best_even_after_a_restart() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = CheckpointFolder::new(root.path(), 1);
        assert!(!folder.save_best(knn(f64::NAN), &snapshot(0)).unwrap());
        assert!(folder.save_best(knn(0.3), &snapshot(1)).unwrap());
        let mut folder = CheckpointFolder::new(root.path(), 1);
        assert!(!folder.save_best(knn(0.2), &snapshot(2)).unwrap());
        assert!(!folder.save_best(knn(0.3), &snapshot(3)).unwrap());
        assert!(folder.save_best(knn(0.4), &snapshot(4)).unwrap());
        let best = read(&folder.best_path()).unwrap();
        assert_eq!((best.tensors, best.metadata[SCORE_KEY].as_str()), (snapshot(4).tensors, "0.4"));
    }

    #[test]
    fn a_metric_that_stands_in_gives_way_to_the_one_that_is_wanted() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = CheckpointFolder::new(root.path(), 1);
        let by = |stands_in, value| Score { metric: format!("metric {stands_in}"), value, stands_in };
        assert!(folder.save_best(by(2, 90.0), &snapshot(1)).unwrap());
        assert!(folder.save_best(by(2, 91.0), &snapshot(2)).unwrap());
        assert!(folder.save_best(by(1, 5.0), &snapshot(3)).unwrap());
        let mut folder = CheckpointFolder::new(root.path(), 1);
        assert!(!folder.save_best(by(2, 99.0), &snapshot(4)).unwrap());
        assert_eq!(folder.best().unwrap().score, by(1, 5.0));
        assert!(!folder.save_best(by(0, f64::NAN), &snapshot(5)).unwrap());
        assert!(folder.save_best(by(0, 0.1), &snapshot(6)).unwrap());
        assert!(!folder.save_best(by(1, 6.0), &snapshot(7)).unwrap());
        assert!(folder.save_best(by(0, 0.2), &snapshot(8)).unwrap());
        assert_eq!(read(&folder.best_path()).unwrap().tensors, snapshot(8).tensors);
        // A file of an earlier version tells the value alone.
        let before = Snapshot { metadata: [(SCORE_KEY.into(), "0.3".into())].into(), ..snapshot(9) };
        write(&folder.best_path(), &before).unwrap();
        let mut folder = CheckpointFolder::new(root.path(), 1);
        assert!(!folder.save_best(by(0, 0.25), &snapshot(10)).unwrap());
        assert!(folder.save_best(by(0, 0.35), &snapshot(11)).unwrap());
    }

    #[test]
    fn a_damaged_newest_checkpoint_is_an_error_that_offers_the_newest_good_one() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = CheckpointFolder::new(root.path(), 5);
        for step in [10, 20, 30] {
            folder.save(step, &snapshot(step)).unwrap();
        }
        cut(&folder.path_of(30));
        cut(&folder.path_of(20));
        let error = folder.latest().unwrap_err();
        let text = error.to_string();
        assert!(text.contains("step-00000030.safetensors` is truncated"), "{text}");
        assert!(error.hint().unwrap().ends_with(&format!("`{}`", folder.path_of(10).display())));
        cut(&folder.path_of(10));
        assert!(folder.latest().unwrap_err().hint().unwrap().contains("start again"));
    }

    #[test]
    fn a_checkpoint_of_another_version_is_not_called_lost() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = CheckpointFolder::new(root.path(), 5);
        let path = folder.save(10, &snapshot(10)).unwrap();
        let key = b"\"moco-rs.checkpoint\":\"";
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(key.len()).position(|window| window == key).unwrap();
        bytes[at + key.len()] = b'2';
        fs::write(&path, bytes).unwrap();
        let error = folder.latest().unwrap_err();
        assert!(!error.is_damage() && error.to_string().contains("format version `2`"), "{error}");
        assert_eq!(error.hint().unwrap(), "use the version of the program that wrote it");
    }

    #[test]
    fn a_checkpoint_that_is_being_written_is_none_and_a_later_save_clears_it_away() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = CheckpointFolder::new(root.path(), 5);
        folder.save(10, &snapshot(10)).unwrap();
        // While the contents are written, nothing has the name of a checkpoint.
        crate::run_folder::write_whole(&folder.path_of(20), |_| {
            assert_eq!(steps(&folder), [10]);
            Err(io::Error::other("killed"))
        })
        .unwrap_err();
        let left_over = root.path().join(".x1y2z3.partial");
        fs::write(&left_over, "half").unwrap();
        assert_eq!(steps(&folder), [10]);
        assert_eq!(folder.latest().unwrap().unwrap().1, snapshot(10));
        folder.save(20, &snapshot(20)).unwrap();
        assert!(!left_over.exists());
    }

    #[test]
    fn a_run_that_goes_on_from_an_earlier_step_sets_later_checkpoints_aside() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = CheckpointFolder::new(root.path(), 2);
        for step in [10, 20] {
            folder.save(step, &snapshot(step)).unwrap();
        }
        let aside = folder.set_aside(10, |_| false).unwrap();
        let moved = root.path().join("step-00000020.safetensors.superseded");
        assert_eq!(aside.new_names().collect::<Vec<_>>(), [moved.as_path()]);
        assert_eq!(folder.latest().unwrap().unwrap().1, snapshot(10));
        assert_eq!(read(&moved).unwrap(), snapshot(20));
        aside.give_back();
        assert_eq!(steps(&folder), [10, 20]);
    }

    #[test]
    fn a_kept_checkpoint_outlives_later_ones_and_is_set_aside_by_an_earlier_one() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = CheckpointFolder::new(root.path(), 1);
        let first = folder.save(1, &snapshot(1)).unwrap();
        let kept = folder.keep(&first, 10).unwrap();
        folder.save(2, &snapshot(2)).unwrap();
        assert_eq!(steps(&folder), [2]);
        assert_eq!(read(&kept).unwrap(), snapshot(1));
        let again = folder.keep(&folder.path_of(2), 10).unwrap();
        assert_eq!((&again, read(&kept).unwrap()), (&kept, snapshot(2)));
        let later_than = |step: u64| {
            move |of: &Snapshot| *of != snapshot(0) && (0..=step).all(|step| *of != snapshot(step))
        };
        folder.set_aside(2, later_than(2)).unwrap();
        assert!(kept.is_file());
        folder.set_aside(2, later_than(1)).unwrap();
        assert!(!kept.exists() && root.path().join("epoch-0010.safetensors.superseded").is_file());
    }
}
