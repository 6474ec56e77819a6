//! The run folder.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::own::{read_own, read_own_text};
use super::shown::one_line;
use super::whole_file::write_whole;
use super::{Holder, RunFolderError, RunLock};

pub(super) const PIPELINE: &str = "pipeline.ron";
pub(super) const CHECKPOINTS: &str = "checkpoints";
pub(super) const METRICS: &str = "metrics.jsonl";
pub(super) const EVENTS: &str = "events";
pub(super) const UNREADABLE: &str = "unreadable.txt";
pub(super) const EVALUATIONS: &str = "evaluations";
pub(super) const MOVED: &str = "moved.json";
pub(super) const ORIGIN: &str = "origin.txt";
pub(super) const FAILURE: &str = "failed.txt";
pub(super) const LOG: &str = "run.log";
pub(super) const ENVIRONMENT: &str = "environment.json";

/// The folder of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Creates an empty folder: `out` if it is given, and otherwise the next number under `root`: `root/name-001`.
    ///
    /// # Errors
    /// If `out` is not empty, or the folder cannot be created.
    pub fn create(root: &Path, name: &str, out: Option<PathBuf>) -> Result<Self, RunFolderError> {
        match out {
            Some(path) => Self::create_at(path),
            None => Self::create_numbered(root, name),
        }
    }

    /// Opens the folder of an existing run, from its path or that of a checkpoint in it.
    ///
    /// # Errors
    /// If it is not a run folder.
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        let mut folder = path;
        if path.is_file()
            && let Some(checkpoints) = path.parent()
            && checkpoints.ends_with(CHECKPOINTS)
            && let Some(parent) = checkpoints.parent()
        {
            folder = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        }
        let found = Self { path: folder.into() };
        if found.pipeline().is_file() {
            Ok(found)
        } else {
            Err(RunFolderError::NotARun { path: path.into() })
        }
    }

    /// The folder of a run that another process keeps, perhaps on another machine: only its paths, for messages.
    pub fn of_another(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The run of this name with the highest number under `root`, if there is one.
    ///
    /// # Errors
    /// If `root` cannot be listed.
    pub fn latest(root: &Path, name: &str) -> Result<Option<Self>, RunFolderError> {
        let numbers = numbers(root, &folder_name(name))?;
        let folders = numbers.into_iter().rev().map(|(_, path)| Self { path });
        Ok(folders.into_iter().find(|folder| folder.pipeline().is_file()))
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the resolved pipeline.
    pub fn pipeline(&self) -> PathBuf {
        self.path.join(PIPELINE)
    }

    /// The path of the metrics, one JSON object per line.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// The path of the checkpoint folder.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The path of the folder for TensorBoard event files.
    pub fn events(&self) -> PathBuf {
        self.path.join(EVENTS)
    }

    /// The path of the folder for results of evaluations.
    pub fn evaluations(&self) -> PathBuf {
        self.path.join(EVALUATIONS)
    }

    /// The path of the list of unreadable images.
    pub fn unreadable(&self) -> PathBuf {
        self.path.join(UNREADABLE)
    }

    /// The path of the log: what was told while the run trained.
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// The path of what the run was trained with: a list with an object for each process that started or resumed it.
    pub fn environment(&self) -> PathBuf {
        self.path.join(ENVIRONMENT)
    }

    /// The path of the list of places that have moved.
    pub(super) fn moved(&self) -> PathBuf {
        self.path.join(MOVED)
    }

    /// Keeps other processes from training in this folder.
    ///
    /// # Errors
    /// [`RunFolderError::InUse`] if it is already locked, by another process or by this one.
    pub fn lock(&self) -> Result<RunLock, RunFolderError> {
        RunLock::take(&self.path)
    }

    /// Whether a process trains in this folder.
    pub fn is_in_use(&self) -> bool {
        matches!(self.holder(), Ok(Holder::Running(_)))
    }

    /// Who is training in this folder.
    ///
    /// # Errors
    /// If the lock cannot be read.
    pub fn holder(&self) -> Result<Holder, RunFolderError> {
        RunLock::holder(&self.path)
    }

    /// Writes the resolved pipeline.
    ///
    /// # Errors
    /// If the file cannot be written. An older one is then unchanged.
    pub fn write_pipeline(&self, text: &str) -> Result<(), RunFolderError> {
        let path = self.pipeline();
        write_whole(&path, |file| file.write_all(text.as_bytes())).map_err(RunFolderError::io("write", &path))
    }

    /// Reads the resolved pipeline of the run.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read_pipeline(&self) -> Result<String, RunFolderError> {
        let path = self.pipeline();
        read_own_text(&path).map_err(RunFolderError::io("read", &path))
    }

    /// The places, old and new, of images that have moved since the run was started; none for most runs.
    ///
    /// # Errors
    /// If the file cannot be read, or is not a list of pairs.
    pub fn read_moved(&self) -> Result<Vec<(String, String)>, RunFolderError> {
        let path = self.path.join(MOVED);
        match read_own(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|reason| RunFolderError::Moved { path: path.clone(), reason: reason.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(RunFolderError::io("read", &path)(error)),
        }
    }

    /// Writes the places, old and new, of images that have moved, in the order in which they did.
    ///
    /// # Errors
    /// If the file cannot be written. An older one is then unchanged.
    pub fn write_moved(&self, moves: &[(String, String)]) -> Result<(), RunFolderError> {
        let path = self.moved();
        let bytes = Self::moved_file(moves).map_err(RunFolderError::io("write", &path))?;
        write_whole(&path, |file| file.write_all(&bytes)).map_err(RunFolderError::io("write", &path))
    }

    /// The contents of the list of places.
    pub(super) fn moved_file(moves: &[(String, String)]) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(moves)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// What the run started from, in words; `None` if that was nothing.
    pub fn read_origin(&self) -> Option<String> {
        read_own_text(&self.path.join(ORIGIN)).ok().map(|text| text.trim_end().to_owned())
    }

    /// Writes what the run started from, in words.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_origin(&self, origin: &str) -> Result<(), RunFolderError> {
        let path = self.path.join(ORIGIN);
        write_whole(&path, |file| writeln!(file, "{origin}")).map_err(RunFolderError::io("write", &path))
    }

    /// Adds `environment` to those in the file, which is replaced as a whole. What is not such a list is replaced too.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn add_environment(&self, environment: serde_json::Value) -> Result<(), RunFolderError> {
        let path = self.environment();
        let bytes = self.environments_with(environment)?;
        write_whole(&path, |file| file.write_all(&bytes)).map_err(RunFolderError::io("write", &path))
    }

    /// The contents of the file with `environment` at its end.
    pub(super) fn environments_with(
        &self,
        environment: serde_json::Value,
    ) -> Result<Vec<u8>, RunFolderError> {
        let path = self.environment();
        let mut all: Vec<serde_json::Value> = match read_own(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(RunFolderError::io("read", &path)(error)),
        };
        all.push(environment);
        let bytes = serde_json::to_vec_pretty(&all).map_err(io::Error::from);
        let mut bytes = bytes.map_err(RunFolderError::io("write", &path))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The error that training ended with, in words; `None` if it did not fail, or goes on.
    pub fn read_failure(&self) -> Option<String> {
        read_own_text(&self.path.join(FAILURE)).ok().map(|text| text.trim_end().to_owned())
    }

    /// Writes the error that training ended with, in words.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_failure(&self, error: &str) -> Result<(), RunFolderError> {
        let path = self.path.join(FAILURE);
        write_whole(&path, |file| writeln!(file, "{error}")).map_err(RunFolderError::io("write", &path))
    }

    /// Removes what [`write_failure`](Self::write_failure) wrote, because the run goes on.
    ///
    /// # Errors
    /// If the file is there, and cannot be removed.
    pub fn remove_failure(&self) -> Result<(), RunFolderError> {
        let path = self.path.join(FAILURE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RunFolderError::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Appends `images` to the list of unreadable images: one line per image, with its name and the reason. Without
    /// images, no list is written.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_unreadable<I: Display>(&self, images: &[I]) -> Result<(), RunFolderError> {
        if images.is_empty() {
            return Ok(());
        }
        let path = self.unreadable();
        let mut lines: BTreeSet<String> = self.read_unreadable()?.into_iter().collect();
        lines.extend(images.iter().map(|image| one_line(&image.to_string())));
        let text: String = lines.into_iter().map(|line| line + "\n").collect();
        write_whole(&path, |file| file.write_all(text.as_bytes())).map_err(RunFolderError::io("write", &path))
    }

    /// The lines of the list of unreadable images; none if there is no list.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read_unreadable(&self) -> Result<Vec<String>, RunFolderError> {
        let path = self.unreadable();
        match read_own(&path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(RunFolderError::io("read", &path)(error)),
        }
    }

    fn create_at(path: PathBuf) -> Result<Self, RunFolderError> {
        if path.is_file() {
            return Err(RunFolderError::NotAFolder { path });
        }
        fs::create_dir_all(&path).map_err(RunFolderError::io("create", &path))?;
        let mut entries = fs::read_dir(&path).map_err(RunFolderError::io("list", &path))?;
        if entries.next().is_some() {
            return Err(RunFolderError::NotEmpty { path });
        }
        Ok(Self { path })
    }

    fn create_numbered(root: &Path, name: &str) -> Result<Self, RunFolderError> {
        fs::create_dir_all(root).map_err(RunFolderError::io("create", root))?;
        let name = folder_name(name);
        let mut number = numbers(root, &name)?.last().map_or(1, |(number, _)| number + 1);
        loop {
            let path = root.join(format!("{name}-{number:03}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                // Another process was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(RunFolderError::io("create", &path)(error)),
            }
        }
    }
}

/// The name of a pipeline, without characters that lead to another folder.
fn folder_name(name: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.chars().map(safe).collect();
    let name = name.trim_start_matches('.');
    if name.is_empty() { "run".into() } else { name.into() }
}

/// The numbered folders of `name` under `root`, by number.
fn numbers(root: &Path, name: &str) -> Result<Vec<(u64, PathBuf)>, RunFolderError> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RunFolderError::io("list", root)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(RunFolderError::io("list", root))?.path();
        let number = path.file_name().and_then(|file| file.to_str()).and_then(|file| {
            let digits = file.strip_prefix(name)?.strip_prefix('-')?;
            let is_number = digits.len() >= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { digits.parse().ok() } else { None }
        });
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_a_name_are_numbered_and_never_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().join("runs");
        assert_eq!(RunFolder::latest(&root, "moco").unwrap(), None);
        for expected in ["moco-001", "moco-002"] {
            let folder = RunFolder::create(&root, "moco", None).unwrap();
            assert!(folder.path().ends_with(expected), "{folder:?}");
        }
        fs::create_dir(root.join("moco-1041")).unwrap();
        fs::create_dir(root.join("moco-v3-007")).unwrap();
        let folder = RunFolder::create(&root, "moco", None).unwrap();
        assert!(folder.path().ends_with("moco-1042"), "{folder:?}");
    }

    #[test]
    fn the_latest_run_is_the_highest_number_that_has_a_pipeline() {
        let root = tempfile::tempdir().unwrap();
        let folders: Vec<RunFolder> =
            (0..3).map(|_| RunFolder::create(root.path(), "moco", None).unwrap()).collect();
        folders[0].write_pipeline("first").unwrap();
        folders[1].write_pipeline("second").unwrap();
        let latest = RunFolder::latest(root.path(), "moco").unwrap().unwrap();
        assert_eq!(latest, folders[1]);
        assert_eq!(latest.read_pipeline().unwrap(), "second");
    }

    #[test]
    fn what_a_folder_tells_of_its_run_reads_back() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        assert_eq!((run.read_moved().unwrap(), run.read_origin()), (Vec::new(), None));
        let moves = [("/old".to_owned(), "/new \"place\"".to_owned())];
        run.write_moved(&moves).unwrap();
        run.write_origin("weights of another").unwrap();
        assert_eq!(run.read_moved().unwrap(), moves);
        assert_eq!(run.read_origin().as_deref(), Some("weights of another"));
        run.remove_failure().unwrap();
        run.write_failure("the loss is NaN").unwrap();
        assert_eq!(run.read_failure().as_deref(), Some("the loss is NaN"));
        run.remove_failure().unwrap();
        assert_eq!(run.read_failure(), None);
        fs::write(run.path().join(MOVED), "{").unwrap();
        assert!(run.read_moved().unwrap_err().to_string().contains(MOVED));
    }

    #[test]
    fn a_name_does_not_lead_out_of_the_root() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), "../a b/c", None).unwrap();
        assert_eq!(folder.path().parent(), Some(root.path()));
        assert!(folder.path().ends_with("-a-b-c-001"), "{folder:?}");
    }

    #[test]
    fn a_folder_that_holds_something_is_refused_with_a_hint() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("a/b");
        let folder = RunFolder::create(root.path(), "moco", Some(out.clone())).unwrap();
        assert_eq!(folder.path(), out);
        // Empty still, so it may be used again.
        RunFolder::create(root.path(), "moco", Some(out.clone())).unwrap();
        folder.write_pipeline("()").unwrap();
        let error = RunFolder::create(root.path(), "moco", Some(out.clone())).unwrap_err();
        assert_eq!(error.to_string(), format!("folder `{}` is not empty", out.display()));
        assert!(error.hint().unwrap().ends_with("or resume the run in this one"));
        let error = RunFolder::create(root.path(), "moco", Some(folder.pipeline())).unwrap_err();
        assert!(matches!(error, RunFolderError::NotAFolder { .. }), "{error}");
    }

    #[test]
    fn a_run_is_found_by_its_folder_and_by_a_checkpoint_in_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), "moco", None).unwrap();
        assert!(matches!(RunFolder::open(folder.path()), Err(RunFolderError::NotARun { .. })));
        folder.write_pipeline("()").unwrap();
        fs::create_dir(folder.checkpoints()).unwrap();
        let checkpoint = folder.checkpoints().join("step-00000001.safetensors");
        fs::write(&checkpoint, "").unwrap();
        assert_eq!(RunFolder::open(folder.path()).unwrap(), folder);
        assert_eq!(RunFolder::open(&checkpoint).unwrap(), folder);
    }

    #[test]
    fn a_folder_is_trained_in_by_one_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), "moco", None).unwrap();
        let lock = folder.lock().unwrap();
        let error = folder.lock().unwrap_err();
        let expected =
            format!("folder `{}` is in use by process {}", folder.path().display(), std::process::id());
        assert_eq!(error.to_string(), expected);
        assert!(folder.is_in_use());
        drop(lock);
        assert!(!folder.is_in_use());
        folder.lock().unwrap();
    }

    #[test]
    fn unreadable_images_of_a_resumed_run_join_those_before() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), "moco", None).unwrap();
        folder.write_unreadable::<String>(&[]).unwrap();
        assert!(!folder.unreadable().exists());
        let image = |name: &str| format!("{name}: cut short");
        folder.write_unreadable(&[image("c.jpg"), image("b.jpg")]).unwrap();
        folder.write_unreadable(&[image("a.jpg"), image("c.jpg")]).unwrap();
        let text = fs::read_to_string(folder.unreadable()).unwrap();
        assert_eq!(text, "a.jpg: cut short\nb.jpg: cut short\nc.jpg: cut short\n");
    }
}
