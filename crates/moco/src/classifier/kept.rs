//! The file of a trained classifier, which holds its encoder too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use plugin_api::Level;
use run_store::checkpoint::{self, Snapshot, Stored};

use super::ClassifierError;

/// The classifier's tensors. Those of the encoder have the names of a checkpoint, `query.<module>.<name>`.
pub(crate) const WEIGHT: &str = "classifier.weight";
pub(crate) const BIAS: &str = "classifier.bias";

/// The key that tells the file of a classifier from a checkpoint of a run; its value is the version of the other keys.
const VERSION_KEY: &str = "classifier";
const VERSION: &str = "1";

/// A trained linear classifier with the encoder under it, and all that is needed to use the two without the run.
///
/// `moco linear` and `moco finetune` keep one in the folder of each evaluation, as `classifier.safetensors`: a file in the
/// format of checkpoints. Nothing in it depends on time or place, so equal evaluations give equal files.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptClassifier {
    /// The tensors of the encoder, named as in a checkpoint (`query.<module>.<name>`), `classifier.weight` `(classes, D)` and
    /// `classifier.bias` `(classes)`.
    pub tensors: BTreeMap<String, Stored>,
    /// What the tensors are.
    pub facts: ClassifierFacts,
}

/// What a classifier is, and what it was trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifierFacts {
    /// The text of the run's pipeline, which stands alone.
    pub pipeline: String,
    /// The names of the classes, in the order of the classifier's outputs.
    pub classes: Vec<String>,
    /// Where in the encoder features are taken.
    pub level: Level,
    /// The view of the pipeline that images are passed through.
    pub view: String,
    /// `(H, W)` of the images that this view gives, in pixels.
    pub image_size: (usize, usize),
    /// How it was trained: `linear probe, random crops and flips, base learning rate 30`.
    pub protocol: String,
    /// The images that it was trained on, as the dataset describes itself.
    pub dataset: String,
    /// The name of the run's folder.
    pub run: String,
    /// The name of the checkpoint's file in it.
    pub checkpoint: String,
    /// Epochs after which the checkpoint was written.
    pub epoch: String,
    /// Steps after which the checkpoint was written.
    pub step: String,
}

impl KeptClassifier {
    /// The name of its file in the folder of an evaluation.
    pub const FILE: &'static str = "classifier.safetensors";

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or is a checkpoint without a classifier.
    pub fn read(path: &Path) -> Result<Self, ClassifierError> {
        let Snapshot { tensors, metadata } = checkpoint::read(path)?;
        match metadata.get(VERSION_KEY).map(String::as_str) {
            Some(VERSION) => {}
            Some(found) => {
                return Err(ClassifierError::Version { path: path.into(), found: found.to_owned() });
            }
            None => return Err(ClassifierError::OfARun { path: path.into() }),
        }
        let facts = ClassifierFacts::of(&metadata)
            .map_err(|what| ClassifierError::Incomplete { path: path.into(), what })?;
        let this = Self { tensors, facts };
        this.layer().map_err(|what| ClassifierError::Incomplete { path: path.into(), what })?;
        Ok(this)
    }

    /// The bytes of its file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut metadata = self.facts.metadata();
        metadata.insert(VERSION_KEY.into(), VERSION.into());
        checkpoint::to_bytes(&Snapshot { tensors: self.tensors.clone(), metadata })
    }

    /// The weight `(classes, D)` row by row, and the bias; or what is wrong with them.
    pub(crate) fn layer(&self) -> Result<(&[f32], &[f32]), &'static str> {
        let n_classes = self.facts.classes.len();
        let floats = |name| match self.tensors.get(name) {
            Some(Stored::F32 { shape, values }) if shape.first() == Some(&n_classes) => Some((shape, values)),
            _ => None,
        };
        match (floats(WEIGHT), floats(BIAS)) {
            (Some((shape, weight)), Some((biases, bias)))
                if shape.len() == 2 && biases.len() == 1 && !weight.is_empty() =>
            {
                Ok((weight, bias))
            }
            _ => Err("tensors `classifier.weight` and `classifier.bias` with a row for each class"),
        }
    }
}

impl ClassifierFacts {
    fn metadata(&self) -> BTreeMap<String, String> {
        let Self {
            pipeline,
            classes,
            level,
            view,
            image_size,
            protocol,
            dataset,
            run,
            checkpoint,
            epoch,
            step,
        } = self;
        let level = match level {
            Level::Backbone => "backbone",
            Level::Head => "head",
        };
        let texts = [
            ("pipeline", pipeline.clone()),
            ("classes", serde_json::Value::from(classes.clone()).to_string()),
            ("level", level.to_owned()),
            ("view", view.clone()),
            ("image_size", format!("[{}, {}]", image_size.0, image_size.1)),
            ("protocol", protocol.clone()),
            ("dataset", dataset.clone()),
            ("run", run.clone()),
            ("checkpoint", checkpoint.clone()),
            ("epoch", epoch.clone()),
            ("steps_done", step.clone()),
        ];
        texts.map(|(key, text)| (key.to_owned(), text)).into()
    }

    /// The facts in `metadata`, or what is missing there.
    fn of(metadata: &BTreeMap<String, String>) -> Result<Self, &'static str> {
        let text = |key: &'static str| metadata.get(key).cloned().ok_or(key);
        let (height, width) =
            serde_json::from_str(&text("image_size")?).map_err(|_| "`image_size` of two numbers")?;
        Ok(Self {
            pipeline: text("pipeline")?,
            classes: serde_json::from_str(&text("classes")?).map_err(|_| "`classes` as a list of names")?,
            level: match text("level")?.as_str() {
                "backbone" => Level::Backbone,
                "head" => Level::Head,
                _ => return Err("`level` of `backbone` or `head`"),
            },
            view: text("view")?,
            image_size: (height, width),
            protocol: text("protocol")?,
            dataset: text("dataset")?,
            run: text("run")?,
            checkpoint: text("checkpoint")?,
            epoch: text("epoch")?,
            step: text("steps_done")?,
        })
    }
}

/// The classifier at `path`, see [`find_run`](crate::find_run): the file itself, the folder of an evaluation with one in it, or a run, whose classifier that was
/// written last is taken.
///
/// # Errors
/// If there is none.
pub fn find_classifier(path: &Path) -> Result<PathBuf, ClassifierError> {
    let path = &crate::find_run(path);
    if path.is_file() {
        return Ok(path.into());
    }
    if !path.exists() {
        return Err(ClassifierError::Missing { path: path.into() });
    }
    let own = path.join(KeptClassifier::FILE);
    if own.is_file() {
        return Ok(own);
    }
    let entries = std::fs::read_dir(path.join("evaluations")).into_iter().flatten().flatten();
    let newest = entries
        .map(|entry| entry.path().join(KeptClassifier::FILE))
        .filter(|file| file.is_file())
        .max_by_key(|file| (written(file), file.clone()));
    newest.ok_or_else(|| ClassifierError::None { path: path.into() })
}

fn written(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> KeptClassifier {
        let tensor = |shape: &[usize]| Stored::F32 {
            shape: shape.to_vec(),
            values: (0..shape.iter().product()).map(|i: usize| i as f32).collect(),
        };
        KeptClassifier {
            tensors: BTreeMap::from([
                ("query.backbone.weight".into(), tensor(&[3, 2])),
                (WEIGHT.into(), tensor(&[2, 3])),
                (BIAS.into(), tensor(&[2])),
            ]),
            facts: ClassifierFacts {
                pipeline: "Pipeline()".into(),
                classes: vec!["a \"cat\"".into(), "h\u{e4}\nn".into()],
                level: Level::Head,
                view: "eval".into(),
                image_size: (96, 64),
                protocol: "linear probe".into(),
                dataset: "shapes".into(),
                run: "moco-001".into(),
                checkpoint: "step-00000004.safetensors".into(),
                epoch: "1".into(),
                step: "4".into(),
            },
        }
    }

    fn write(folder: &Path, kept: &KeptClassifier) -> PathBuf {
        std::fs::create_dir_all(folder).unwrap();
        let file = folder.join(KeptClassifier::FILE);
        std::fs::write(&file, kept.to_bytes()).unwrap();
        file
    }

    #[test]
    fn a_classifier_reads_back_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let file = write(root.path(), &kept());
        assert_eq!(KeptClassifier::read(&file).unwrap(), kept());
    }

    #[test]
    fn a_file_without_all_that_a_classifier_needs_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let mut other = kept();
        other.facts.classes.pop();
        let error = KeptClassifier::read(&write(root.path(), &other)).unwrap_err();
        assert!(error.to_string().contains("`classifier.weight` and `classifier.bias`"), "{error}");
        let run = Snapshot { tensors: kept().tensors, metadata: BTreeMap::new() };
        let file = root.path().join("step-00000004.safetensors");
        checkpoint::write(&file, &run).unwrap();
        let error = KeptClassifier::read(&file).unwrap_err();
        assert!(error.to_string().ends_with("is a checkpoint without a classifier"), "{error}");
        let mut metadata = kept().facts.metadata();
        metadata.insert(VERSION_KEY.into(), VERSION.into());
        metadata.remove("classes");
        checkpoint::write(&file, &Snapshot { metadata, ..run }).unwrap();
        let error = KeptClassifier::read(&file).unwrap_err();
        assert!(error.to_string().ends_with("has no classes"), "{error}");
    }

    #[test]
    fn of_a_run_the_classifier_written_last_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let error = find_classifier(root.path()).unwrap_err();
        assert!(error.to_string().ends_with("has no classifier yet"), "{error}");
        let evaluations = root.path().join("evaluations");
        let files = ["finetune-001", "linear-001"].map(|name| write(&evaluations.join(name), &kept()));
        std::fs::create_dir(evaluations.join("knn")).unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        std::fs::File::options().write(true).open(&files[0]).unwrap().set_modified(later).unwrap();
        assert_eq!(find_classifier(root.path()).unwrap(), files[0]);
        assert_eq!(find_classifier(files[1].parent().unwrap()).unwrap(), files[1]);
        assert_eq!(find_classifier(&files[1]).unwrap(), files[1]);
        assert!(matches!(find_classifier(&root.path().join("no")), Err(ClassifierError::Missing { .. })));
    }
}
