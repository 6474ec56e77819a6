//! Datasets that monitors measure on in place of the run's.

use loader::keep_small;
use plugin_api::{DatasetConfig, DatasetError, Monitor, Splits};

/// The datasets of all monitors that have one of their own, each once.
#[derive(Default)]
pub(super) struct OwnData(Vec<OwnImages>);

/// One of them.
pub(super) struct OwnImages {
    /// How the pipeline has it.
    written: DatasetConfig,
    /// As it describes itself.
    pub(super) description: String,
    pub(super) splits: Splits,
}

impl OwnData {
    /// Opens the datasets of `monitors`. No image is read.
    ///
    /// # Errors
    /// If one is not there.
    pub(super) fn open(monitors: &[(String, Box<dyn Monitor>)]) -> Result<Self, DatasetError> {
        let mut this = Self::default();
        for own in monitors.iter().filter_map(|(_, monitor)| monitor.dataset()) {
            if this.0.iter().all(|known| known.written != *own.written()) {
                let dataset = own.dataset();
                let splits = keep_small(dataset.open()?);
                let (written, description) = (own.written().clone(), dataset.describe());
                this.0.push(OwnImages { written, description, splits });
            }
        }
        Ok(this)
    }

    /// The place of the dataset of `monitor` in [`all`](Self::all); `None` if it measures on the run's.
    pub(super) fn place_of(&self, monitor: &dyn Monitor) -> Option<usize> {
        let own = monitor.dataset()?;
        self.0.iter().position(|known| known.written == *own.written())
    }

    /// All datasets.
    pub(super) fn all(&self) -> &[OwnImages] {
        &self.0
    }

    /// Images of all datasets.
    pub(super) fn n_images(&self) -> usize {
        let of = |splits: &Splits| splits.train.len() + splits.test.as_ref().map_or(0, |test| test.len());
        self.0.iter().map(|own| of(&own.splits)).sum()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use plugin_api::schemars::JsonSchema;
    use plugin_api::serde::Deserialize;
    use plugin_api::{
        ByteImage, ConfigError, Dataset, DatasetContext, FeatureExtractor, Images, MonitorError, Outcome,
        OwnDataset, UnreadableImage,
    };

    use super::*;

    plugin_api::register! {
        dyn Dataset {
            name: "gray-squares",
            summary: "squares for these tests",
            source: "these tests",
            example: "(count: 3)",
            build: |config: SquaresConfig, _context| Ok::<_, ConfigError>(Squares(config.count)),
        }
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(crate = "plugin_api::serde", deny_unknown_fields)]
    #[schemars(crate = "plugin_api::schemars")]
    struct SquaresConfig {
        count: usize,
    }

    #[derive(Clone)]
    struct Squares(usize);

    impl Dataset for Squares {
        fn open(&self) -> Result<Splits, DatasetError> {
            if self.0 == 0 {
                let (reason, hint) = ("there are none".into(), "take some".into());
                return Err(DatasetError { path: "squares".into(), reason, hint });
            }
            let train: Arc<dyn Images> = Arc::new(self.clone());
            Ok(Splits { test: Some(Arc::clone(&train)), train, notes: Vec::new() })
        }

        fn describe(&self) -> String {
            format!("{} squares", self.0)
        }
    }

    impl Images for Squares {
        fn len(&self) -> usize {
            self.0
        }

        fn label(&self, _: usize) -> Option<u32> {
            None
        }

        fn class_names(&self) -> &[String] {
            &[]
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn load(&self, _: usize) -> Result<ByteImage, UnreadableImage> {
            Ok(ByteImage::rgb(1, 1, vec![0; 3]))
        }
    }

    struct On(Option<OwnDataset>);

    impl Monitor for On {
        fn views(&self) -> Vec<&str> {
            Vec::new()
        }

        fn metrics(&self) -> &[&'static str] {
            &[]
        }

        fn dataset(&self) -> Option<&OwnDataset> {
            self.0.as_ref()
        }

        fn is_due(&self, _: usize, _: usize) -> bool {
            true
        }

        fn measure(&mut self, _: &mut dyn FeatureExtractor) -> Result<Outcome, MonitorError> {
            Ok(Outcome::Measured(Vec::new()))
        }
    }

    /// A monitor that measures on so many images of its own.
    pub(in super::super) fn on(n: Option<usize>) -> (String, Box<dyn Monitor>) {
        let own = n.map(|n| {
            let config = DatasetConfig::new("gray-squares", format!("(count: {n})"));
            config.build_for("source", &DatasetContext::default()).unwrap()
        });
        ("on".into(), Box::new(On(own)))
    }

    #[test]
    fn monitors_with_the_same_dataset_share_it() {
        let monitors = [on(Some(3)), on(None), on(Some(5)), on(Some(3))];
        let own = OwnData::open(&monitors).unwrap();
        let places = monitors.each_ref().map(|(_, monitor)| own.place_of(&**monitor));
        assert_eq!(places, [Some(0), None, Some(1), Some(0)]);
        let names: Vec<&str> = own.all().iter().map(|images| images.description.as_str()).collect();
        assert_eq!((names, own.n_images()), (vec!["3 squares", "5 squares"], 16));
    }

    #[test]
    fn a_dataset_that_is_not_there_is_an_error() {
        let error = OwnData::open(&[on(None), on(Some(0))]).err().unwrap();
        assert_eq!(error.to_string(), "squares: there are none");
    }

    #[test]
    fn what_is_wrong_with_a_dataset_is_told_of_the_field() {
        let config = DatasetConfig::new("gray-squares", "(cont: 3)");
        let error = config.build_for("source", &DatasetContext::default()).unwrap_err();
        assert!(matches!(&error, ConfigError::Nested { field: "source", .. }), "{error:?}");
        assert_eq!(error.to_string(), "unknown field `cont`");
        assert_eq!(error.hint(), Some("did you mean `count`?"));
    }
}
