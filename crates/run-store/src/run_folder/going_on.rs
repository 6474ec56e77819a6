//! What changes in the folder of a run that goes on from an earlier step.

use std::fs;
use std::io::Write as _;

use super::own::{check_own_file, check_own_folder};
use super::whole_file::{Fill, NotWritten, remove_partial, write_together};
use super::{RunFolder, RunFolderError};
use crate::checkpoint::{CheckpointError, CheckpointFolder, SetAside, Snapshot};
use crate::metrics::{EventLog, MetricsError, MetricsLog};

/// A run that goes on, as of its first new result.
pub struct GoingOn<'a> {
    /// Steps whose checkpoints stay; those of later steps are set aside.
    pub step: u64,
    /// Steps whose metrics and events stay. Those of later steps are dropped, because the run makes them again.
    pub results_until: u64,
    /// Whether a kept checkpoint is of a later step.
    pub is_later: &'a dyn Fn(&Snapshot) -> bool,
    /// What it is trained with from here on, for `environment.json`.
    pub environment: serde_json::Value,
    /// The places, old and new, of images that have moved; if there are none, nothing is written of it.
    pub moved: Vec<(String, String)>,
}

/// A run that cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GoingOnError {
    /// A file of the folder.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Metrics or events.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

impl RunFolder {
    /// Checks that nothing that a run writes to is a link or no file, and changes nothing.
    ///
    /// # Errors
    /// The first that is.
    pub fn check_own(&self) -> Result<(), RunFolderError> {
        for path in [self.metrics(), self.log()] {
            check_own_file(&path).map_err(RunFolderError::io("write", &path))?;
        }
        for path in [self.checkpoints(), self.events(), self.evaluations()] {
            check_own_folder(&path).map_err(RunFolderError::io("write in", &path))?;
        }
        Ok(())
    }

    /// Removes what processes that were killed have left half written. Nobody else may train here.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn tidy(&self) -> Result<(), RunFolderError> {
        for folder in [self.path().to_owned(), self.checkpoints(), self.evaluations()] {
            // The run's own folder may be a link; those in it may not, and are refused where they are written in.
            let is_own = folder == self.path() || check_own_folder(&folder).is_ok();
            if is_own && folder.is_dir() {
                remove_partial(&folder).map_err(RunFolderError::io("clean up", &folder))?;
            }
        }
        Ok(())
    }

    /// Makes room for new results: drops those of later steps, sets later checkpoints aside, and writes what has changed. If
    /// any of it fails, all is as it was.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn go_on(&self, going_on: GoingOn<'_>) -> Result<(MetricsLog, EventLog), GoingOnError> {
        let GoingOn { step, results_until, is_later, environment, moved } = going_on;
        self.check_own()?;
        let mut events = EventLog::create(&self.events(), results_until)?;
        let aside = match CheckpointFolder::new(self.checkpoints(), 1).set_aside(step, is_later) {
            Ok(aside) => aside,
            Err(error) => {
                events.discard();
                return Err(error.into());
            }
        };
        match self.rewrite(results_until, environment, &moved) {
            Ok(metrics) => {
                self.remove_failure()?;
                Ok((metrics, events))
            }
            Err(error) => {
                SetAside::give_back(aside);
                events.discard();
                Err(error)
            }
        }
    }

    fn rewrite(
        &self,
        results_until: u64,
        environment: serde_json::Value,
        moved: &[(String, String)],
    ) -> Result<MetricsLog, GoingOnError> {
        let metrics = self.metrics();
        let kept = match fs::exists(&metrics) {
            Ok(false) => None,
            _ => MetricsLog::without_later(&metrics, results_until)?,
        };
        let environments = self.environments_with(environment)?;
        let moves = RunFolder::moved_file(moved).map_err(RunFolderError::io("write", &self.moved()))?;
        let (environment, moved_to) = (self.environment(), self.moved());
        let contents = [
            (&environment, Some(environments)),
            (&moved_to, (!moved.is_empty()).then_some(moves)),
            (&metrics, kept),
        ];
        let files = contents.iter().filter_map(|(path, bytes)| {
            let bytes = bytes.as_ref()?;
            let fill: Fill<'_> = Box::new(move |file| file.write_all(bytes));
            Some((path.as_path(), fill))
        });
        write_together(files.collect())
            .map_err(|NotWritten { path, source }| RunFolderError::io("write", &path)(source))?;
        Ok(MetricsLog::open(metrics)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use serde_json::json;

    use super::*;
    use crate::metrics::MetricsLine;

    fn snapshot(step: u64) -> Snapshot {
        Snapshot { metadata: [("step".to_owned(), step.to_string())].into(), ..Snapshot::default() }
    }

    fn step_of(snapshot: &Snapshot) -> u64 {
        snapshot.metadata["step"].parse().unwrap()
    }

    /// A run with checkpoints and metrics at the steps 4, 8 and 12, half a line of more, and a failure.
    fn begun() -> (tempfile::TempDir, RunFolder) {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        run.write_pipeline("()").unwrap();
        run.add_environment(json!({"from_step": 0})).unwrap();
        run.write_failure("the disk was full").unwrap();
        let mut checkpoints = CheckpointFolder::new(run.checkpoints(), 9);
        let mut log = MetricsLog::open(run.metrics()).unwrap();
        EventLog::create(&run.events(), 0).unwrap();
        for step in [4, 8, 12] {
            let path = checkpoints.save(step, &snapshot(step)).unwrap();
            checkpoints.keep(&path, step as usize / 4).unwrap();
            log.append(&MetricsLine::new(step)).unwrap();
        }
        let mut text = fs::read_to_string(run.metrics()).unwrap();
        text += "{\"step\":1";
        fs::write(run.metrics(), text).unwrap();
        (root, run)
    }

    fn going_on(is_later: &dyn Fn(&Snapshot) -> bool) -> GoingOn<'_> {
        let moved = vec![("/a".into(), "/b".into())];
        GoingOn { step: 8, results_until: 8, is_later, environment: json!({"from_step": 8}), moved }
    }

    /// All files and their contents.
    fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => found.extend(contents(&path)),
                false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
            }
        }
        found
    }

    #[test]
    fn what_is_later_goes_and_what_is_new_is_told() {
        let (_root, run) = begun();
        let (mut metrics, _events) = run.go_on(going_on(&|of| step_of(of) > 8)).unwrap();
        metrics.append(&MetricsLine::new(16)).unwrap();
        let text = fs::read_to_string(run.metrics()).unwrap();
        assert_eq!(text, "{\"step\":4}\n{\"step\":8}\n{\"step\":16}\n");
        let mut names: Vec<String> = contents(&run.checkpoints())
            .into_keys()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "epoch-0001.safetensors",
                "epoch-0002.safetensors",
                "epoch-0003.safetensors.superseded",
                "step-00000004.safetensors",
                "step-00000008.safetensors",
                "step-00000012.safetensors.superseded",
            ]
        );
        assert_eq!(run.read_failure(), None);
        assert_eq!(run.read_moved().unwrap(), [("/a".to_owned(), "/b".to_owned())]);
        let environments: Vec<serde_json::Value> =
            serde_json::from_slice(&fs::read(run.environment()).unwrap()).unwrap();
        assert_eq!(environments, [json!({"from_step": 0}), json!({"from_step": 8})]);
        assert_eq!(contents(&run.events()).len(), 2);
    }

    #[test]
    fn if_one_thing_fails_nothing_has_changed() {
        type Fault = (&'static str, fn(&RunFolder));
        let faults: [Fault; 3] = [
            ("events", |run| {
                fs::remove_dir_all(run.events()).unwrap();
                fs::write(run.events(), "").unwrap();
            }),
            ("environment.json", |run| {
                fs::remove_file(run.environment()).unwrap();
                fs::create_dir(run.environment()).unwrap();
            }),
            ("moved.json", |run| fs::create_dir(run.moved()).unwrap()),
        ];
        for (file, fault) in faults {
            let (_root, run) = begun();
            fault(&run);
            let before = contents(run.path());
            let error = run.go_on(going_on(&|of| step_of(of) > 8)).err().unwrap();
            assert!(error.to_string().contains(file), "{error}");
            assert!(contents(run.path()) == before, "{file}: {error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_a_link_leads_to_is_not_written() {
        for name in ["metrics.jsonl", "run.log", "checkpoints", "events", "evaluations"] {
            let (root, run) = begun();
            let (place, elsewhere) = (run.path().join(name), root.path().join("elsewhere"));
            match place.exists() {
                true => fs::rename(&place, &elsewhere).unwrap(),
                false => fs::write(&elsewhere, "").unwrap(),
            }
            std::os::unix::fs::symlink(&elsewhere, &place).unwrap();
            let before = contents(root.path());
            let error = run.go_on(going_on(&|of| step_of(of) > 8)).err().unwrap().to_string();
            assert!(error.contains(&format!("{name}`: it is a link")), "{error}");
            assert!(contents(root.path()) == before, "{name}");
        }
    }

    #[test]
    fn what_a_kill_has_left_anywhere_in_the_folder_is_tidied_away() {
        let (_root, run) = begun();
        let before = contents(run.path());
        fs::create_dir(run.evaluations()).unwrap();
        for folder in [run.path().to_owned(), run.checkpoints(), run.evaluations()] {
            fs::write(folder.join(".a1b2.partial"), "half").unwrap();
            fs::create_dir(folder.join(".partial-a1")).unwrap();
        }
        run.tidy().unwrap();
        assert!(contents(run.path()) == before);
        assert!(!run.path().join(".partial-a1").exists());
    }
}
