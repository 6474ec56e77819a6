//! What is exported: the encoder of a run, or a classifier with its encoder.

use std::path::{Path, PathBuf};

use pipeline::{Pipeline, PipelineError, Site, Weights};
use plugin_api::Level;
use run_store::checkpoint::Stored;
use weights::{Architecture, HeadLayers, Tensors};

use super::ExchangeError;
use super::export::{ExportOptions, Taken, take};
use super::parts;
use crate::{ClassifierError, KeptClassifier, OpenRun};

/// What was found at the path that is exported.
pub(super) enum Opened {
    /// A run, or a checkpoint in it.
    Run(OpenRun),
    /// A classifier, and its file.
    Classifier(Box<KeptClassifier>, PathBuf),
}

impl Opened {
    /// Opens the run, the checkpoint or the evaluation at `path`.
    ///
    /// # Errors
    /// If there is none, it cannot be read, or `options` choose what it does not have.
    pub(super) fn open(path: &Path, options: &ExportOptions) -> Result<Self, ExchangeError> {
        let path = &crate::find_run(path);
        let file = match path.is_dir() {
            true => path.join(KeptClassifier::FILE),
            false => path.to_owned(),
        };
        let may_be_one =
            file.is_file() && file.extension().is_some_and(|extension| extension == "safetensors");
        // A checkpoint of a run is told from a classifier by what is in it; its own errors are those of runs.
        let in_run = OpenRun::folder_of(path);
        if !may_be_one || in_run.is_ok() {
            return Ok(Self::Run(OpenRun::open(path, options.checkpoint)?));
        }
        let kept = match KeptClassifier::read(&file) {
            Err(ClassifierError::OfARun { .. }) => {
                return Ok(Self::Run(OpenRun::open(path, options.checkpoint)?));
            }
            kept => kept?,
        };
        for (what, is_asked) in [
            ("the momentum encoder", options.weights == Weights::Momentum),
            ("a projection head beside it", options.with_head),
        ] {
            if is_asked {
                return Err(ExchangeError::OfClassifier { path: file, what });
            }
        }
        Ok(Self::Classifier(Box::new(kept), file))
    }

    /// The file of its weights.
    pub(super) fn file(&self) -> &Path {
        match self {
            Self::Run(run) => &run.checkpoint,
            Self::Classifier(_, file) => file,
        }
    }

    /// The names of the classes; none for a run.
    pub(super) fn classes(&self) -> &[String] {
        match self {
            Self::Run(_) => &[],
            Self::Classifier(kept, _) => &kept.facts.classes,
        }
    }

    /// The pipeline of the run. Its dataset need not be there.
    ///
    /// # Errors
    /// The first thing wrong in it.
    pub(super) fn pipeline(&self, site: Site) -> Result<Pipeline, PipelineError> {
        match self {
            Self::Run(run) => Pipeline::read_kept(&run.folder.pipeline(), site),
            Self::Classifier(kept, file) => {
                let origin = format!("the pipeline in {}", file.display());
                Ok(Pipeline::parse_kept(&origin, &kept.facts.pipeline, &[], site)?)
            }
        }
    }

    /// The view of `pipeline` that images are passed through.
    pub(super) fn view<'a>(&'a self, pipeline: &'a Pipeline) -> &'a str {
        match self {
            Self::Run(_) => parts::measuring_view(pipeline),
            Self::Classifier(kept, _) => &kept.facts.view,
        }
    }

    /// `(H, W)` of these images, in pixels.
    ///
    /// # Errors
    /// If `architecture` has positions, and they are those of images of another size.
    pub(super) fn image_size(
        &self,
        pipeline: &Pipeline,
        architecture: &Architecture,
    ) -> Result<(usize, usize), ExchangeError> {
        let trained = pipeline.trained_size;
        match self {
            Self::Run(_) => Ok(trained),
            Self::Classifier(kept, file) => match (kept.facts.image_size, architecture) {
                (size, Architecture::Vit(vit)) if size != trained && vit.positions.is_some() => {
                    Err(ExchangeError::ClassifierSize { path: file.clone(), size, trained })
                }
                (size, _) => Ok(size),
            },
        }
    }

    /// The weights to export.
    ///
    /// # Errors
    /// If other programs have no such encoder, or the encoder that was chosen is not there.
    pub(super) fn take(&self, options: &ExportOptions, pipeline: &Pipeline) -> Result<Taken, ExchangeError> {
        match self {
            Self::Run(run) => take(options, &run.snapshot.tensors, pipeline),
            Self::Classifier(kept, file) => {
                let with_head = kept.facts.level == Level::Head;
                let taken = take(&ExportOptions { with_head, ..options.clone() }, &kept.tensors, pipeline);
                let Taken { architecture, backbone, head, .. } = taken?;
                let head = behind(head, classifier(&kept.tensors));
                let name = || file.display().to_string();
                let layers =
                    HeadLayers::detect(&head).ok_or_else(|| ExchangeError::ForeignHead { head: name() })?;
                Ok(Taken { architecture, backbone, head, predictor: Tensors::new(), layers: Some(layers) })
            }
        }
    }

    /// Where the weights come from, for the metadata of the exported file.
    pub(super) fn metadata(&self) -> Vec<(String, String)> {
        let texts = match self {
            Self::Run(run) => {
                let position = |key: &str| run.snapshot.metadata.get(key).cloned().unwrap_or_default();
                let name = run.folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
                vec![("run", name), ("epoch", position("epoch")), ("step", position("steps_done"))]
            }
            Self::Classifier(kept, _) => {
                let facts = &kept.facts;
                let classes = serde_json::Value::from(facts.classes.clone()).to_string();
                vec![
                    ("run", facts.run.clone()),
                    ("epoch", facts.epoch.clone()),
                    ("step", facts.step.clone()),
                    ("classes", classes),
                    ("protocol", facts.protocol.clone()),
                    ("dataset", facts.dataset.clone()),
                    ("view", facts.view.clone()),
                ]
            }
        };
        texts.into_iter().map(|(key, text)| (key.to_owned(), text)).collect()
    }
}

/// The classifier's weight and bias.
fn classifier(tensors: &Tensors) -> Tensors {
    parts::under(tensors, "classifier")
}

/// The layers of `head`, if there are any, followed by the linear layer `classifier`.
fn behind(head: Tensors, classifier: Tensors) -> Tensors {
    let place = |name: &String| name.split_once('.').and_then(|(place, _)| place.parse::<usize>().ok());
    if head.is_empty() {
        return classifier;
    }
    let (head, n_layers) = match head.keys().filter_map(place).max() {
        Some(last) => (head, last + 1),
        // One layer, whose tensors have no number.
        None => (numbered(head, 0), 1),
    };
    head.into_iter().chain(numbered(classifier, n_layers)).collect()
}

fn numbered(layer: Tensors, place: usize) -> Tensors {
    layer.into_iter().map(|(name, stored): (String, Stored)| (format!("{place}.{name}"), stored)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(names: &[&str]) -> Tensors {
        let one = Stored::F32 { shape: vec![1, 1], values: vec![0.0] };
        names.iter().map(|name| ((*name).to_owned(), one.clone())).collect()
    }

    #[test]
    fn a_classifier_is_the_last_layer_of_the_head_under_it() {
        let names = |head: &[&str]| -> Vec<String> {
            behind(tensors(head), tensors(&["weight", "bias"])).into_keys().collect()
        };
        assert_eq!(names(&[]), ["bias", "weight"]);
        assert_eq!(names(&["weight"]), ["0.weight", "1.bias", "1.weight"]);
        assert_eq!(names(&["0.weight", "2.weight"]), ["0.weight", "2.weight", "3.bias", "3.weight"]);
    }
}
