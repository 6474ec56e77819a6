//! What `--set` says of the dataset: images are looked at as they will be read.

use pipeline::{Fault, PipelineError};
use pipeline_text::PipelineText;
use plugin_api::DatasetConfig;

use crate::failure::Failure;

/// Where a pipeline has its dataset.
const SOURCE: &str = "data.source";
/// The fields of the dataset `split`, which is around others where images are held out.
const OF_SPLIT: [&str; 3] = ["test", "train", "seed"];

/// What is set of the dataset, and what is set of the rest of the pipeline.
pub(super) struct Set {
    /// For a pipeline that has the dataset without `split` around it.
    source: Vec<String>,
    /// For the pipeline that was chosen with the dataset as it is set.
    pub(super) rest: Vec<String>,
}

impl Set {
    /// `set` for a pipeline in which the dataset is inside of `split` if some images are `held_out`.
    pub(super) fn of(set: &[String], held_out: bool) -> Self {
        let mut of = Self { source: Vec::new(), rest: Vec::new() };
        for text in set {
            let path = text.split('=').next().unwrap_or_default().trim();
            let field = path.strip_prefix(SOURCE).and_then(|rest| rest.strip_prefix('.'));
            match field.map(|field| field.split('.').next().unwrap_or_default()) {
                // It replaces the dataset as a whole, and what is around it.
                None if path == SOURCE => {
                    of.source.push(text.clone());
                    of.rest.push(text.clone());
                }
                Some("of") if held_out => of.source.push(text.replacen("data.source.of", SOURCE, 1)),
                Some(name) if !(held_out && OF_SPLIT.contains(&name)) => of.source.push(text.clone()),
                _ => of.rest.push(text.clone()),
            }
        }
        of
    }

    /// `dataset` as it is set; `None` if nothing is.
    pub(super) fn apply(&self, dataset: &DatasetConfig) -> Result<Option<DatasetConfig>, Failure> {
        if self.source.is_empty() {
            return Ok(None);
        }
        // A whole pipeline would be refused for the channels that are set.
        let text = format!("(data: (source: ({:?}, {})))", dataset.name(), dataset.config());
        let changed = || -> Result<PipelineText, Box<Fault>> {
            let mut text = PipelineText::new("the dataset", &text)?;
            self.source.iter().try_for_each(|set| text.set(set))?;
            Ok(text)
        };
        let text = changed().map_err(PipelineError::from)?;
        let plugin = text.tree.find(&["data", "source"]).and_then(|source| source.plugin());
        Ok(plugin.map(|(name, config)| DatasetConfig::new(name, &text.text[config.span.clone()])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(set: &[&str], held_out: bool) -> (Option<String>, Vec<String>) {
        let set: Vec<String> = set.iter().map(|set| (*set).to_owned()).collect();
        let dataset = DatasetConfig::new("flat-folder", "(root: \"photos\")");
        let set = Set::of(&set, held_out);
        let changed = set.apply(&dataset).unwrap();
        (changed.map(|changed| format!("{}{}", changed.name(), changed.config())), set.rest)
    }

    #[test]
    fn what_is_set_of_the_dataset_changes_it_before_it_is_looked_at() {
        let read = "data.source.read=(bands: [3, 2, 1, 0])";
        for held_out in [false, true] {
            let (changed, rest) = applied(&[read, "data.batch=8"], held_out);
            let changed = changed.unwrap();
            assert!(
                changed.contains("root: \"photos\"") && changed.contains("read: (bands: [3, 2, 1, 0])"),
                "{changed}"
            );
            assert_eq!(rest, ["data.batch=8"]);
        }
        let (changed, rest) = applied(&["data.source.of.read=(range: (0, 9))", "data.source.test=0.2"], true);
        assert!(changed.unwrap().contains("range: (0, 9)"));
        assert_eq!(rest, ["data.source.test=0.2"]);
        let whole = "data.source=(\"flat-folder\", (root: \"x\"))";
        let (changed, rest) = applied(&[whole], true);
        assert_eq!((changed.as_deref(), &*rest), (Some("flat-folder(root: \"x\")"), &[whole.to_owned()][..]));
        assert_eq!(applied(&["epochs=3"], true), (None, vec!["epochs=3".to_owned()]));
    }
}
