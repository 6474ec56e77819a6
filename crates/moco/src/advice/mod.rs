//! What is unusual about a pipeline that is right: one sentence each, for the person who starts a run.
//!
//! Nothing here is an error, and a pipeline from a paper gets no advice on the images that the paper has.

mod learning_rate;
mod left_out;
mod n_steps;
mod normalization;
mod queue;
mod view_size;

use pipeline::Pipeline;
use plugin_api::Images;

/// What is unusual about `pipeline` where there are `n_train` training images, or 0 if that is not known, in sentences without a
/// full stop.
pub fn of(pipeline: &Pipeline, n_train: usize) -> Vec<String> {
    let mut advice = normalization::advice(pipeline);
    advice.extend(learning_rate::advice(pipeline));
    advice.extend(n_steps::advice(pipeline, n_train));
    advice.extend(left_out::advice(pipeline, n_train));
    advice.extend(queue::advice(pipeline, n_train));
    advice
}

/// What is unusual about `pipeline` for the training images `train`, of which the sizes of a few are read.
pub fn of_images(pipeline: &Pipeline, train: &dyn Images) -> Vec<String> {
    view_size::advice(pipeline, train).into_iter().collect()
}

#[cfg(test)]
mod tests {
    /// A pipeline that nothing is unusual about, and that tests change.
    pub(super) const USUAL: &str = r#"Pipeline(
        name: "usual",
        data: (source: ("shapes", (train: 8192, test: 64)), batch: 64),
        views: {
            "query": [("resize", (shorter: 32)), ("center-crop", (size: 32)), ("normalize", (statistics: ImageNet))],
            "key": [("resize", (shorter: 32)), ("center-crop", (size: 32)), ("normalize", (statistics: ImageNet))],
        },
        modules: {
            "backbone": ("resnet", (depth: 18, width: 4, stem: Cifar)),
            "contrast": ("queue", (len: 256, temperature: 0.2)),
        },
        graph: [
            (id: "q", run: ["backbone"], on: ["query"]),
            (id: "k", run: ["backbone"], on: ["key"], weights: Momentum),
            (id: "loss", run: ["contrast"], on: ["q", "k"]),
        ],
        momentum: (start: 0.99),
        optimizer: ("sgd", ()),
        learning_rate: (base: 0.03, scale: Absolute),
        schedule: ("cosine", ()),
        epochs: 20,
    )"#;

    /// The pipeline with values changed, `path=VALUE`.
    pub(super) fn pipeline(changes: &[&str]) -> pipeline::Pipeline {
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        crate::parse_pipeline("it", USUAL, &changes).unwrap()
    }

    #[test]
    fn a_usual_pipeline_gets_no_advice() {
        let pipeline = pipeline(&[]);
        let train = pipeline.dataset.open().unwrap().train;
        assert_eq!(super::of(&pipeline, train.len()), Vec::<String>::new());
        assert_eq!(super::of_images(&pipeline, &*train), Vec::<String>::new());
    }

    /// The images that a shipped pipeline is for, where they are not there: those of the train sets of CIFAR-10 and ImageNet.
    fn n_train(pipeline: &pipeline::Pipeline, path: &std::path::Path) -> usize {
        match pipeline.dataset.open() {
            Ok(splits) => splits.train.len(),
            Err(_) if path.components().any(|part| part.as_os_str() == "imagenet") => 1_281_167,
            Err(_) => 50_000,
        }
    }

    #[test]
    fn no_shipped_pipeline_gets_advice() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines");
        let folders = ["", "cifar10", "imagenet"].map(|name| root.join(name));
        let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
        let files: Vec<_> = files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "ron"))
            // Tens of millions of parameters each; the others of their kind say the same.
            .filter(|path| !path.ends_with("imagenet/mocov3-vit-b.ron"))
            .collect();
        assert!(files.len() >= 14, "{files:?}");
        for path in files {
            let pipeline = crate::read_pipeline(&path, &[]).unwrap();
            let advice = super::of(&pipeline, n_train(&pipeline, &path));
            assert_eq!(advice, Vec::<String>::new(), "{}", path.display());
        }
    }
}
