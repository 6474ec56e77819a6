//! What a run does when a loss is not a number: an augmentation poisons an image now and then.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use pipeline::Pipeline;
use plugin_api::{Augmentation, ConfigError, Image, ImageShape, Rng};
use plugins as _;
use run_store::RunFolder;
use run_store::checkpoint;
use tensor_ops::Device;
use train_core::engine::NonFinite;
use train_core::trainer::{self, Finished, Silent, TrainError, TrainOptions};

plugin_api::register! {
    dyn Augmentation {
        name: "poison",
        summary: "makes a value not a number, at random",
        source: "",
        example: "(p: 0.5)",
        build: |config: PoisonConfig, _context| Ok(Poison { p: config.p }),
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct PoisonConfig {
    p: f64,
}

struct Poison {
    p: f64,
}

impl Augmentation for Poison {
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
        Ok(input)
    }

    fn apply(&self, picture: Image, rng: &mut Rng) -> Image {
        match picture {
            Image::Floats(mut image) if rng.chance(self.p) => {
                image.values[0] = f32::NAN;
                Image::Floats(image)
            }
            other => other,
        }
    }
}

const TEXT: &str = r#"Pipeline(
    name: "poisoned",
    data: (source: ("shapes", (train: 64, test: 0)), batch: 16),
    views: {
        "x": [
            ("random-resized-crop", (size: 16, scale: (0.2, 1.0))),
            ("normalize", (statistics: Cifar10)),
            ("poison", (p: 0.005)),
        ],
    },
    modules: {
        "backbone": ("resnet", (depth: 18, width: 2, stem: Cifar)),
        "head": ("linear", (out: 8)),
        "contrast": ("queue", (len: 64, temperature: 0.2)),
    },
    graph: [
        (id: "q", run: ["backbone", "head"], on: ["x"]),
        (id: "k", run: ["backbone", "head"], on: ["x"], weights: Momentum),
        (id: "loss", run: ["contrast"], on: ["q", "k"]),
    ],
    momentum: (start: 0.9),
    optimizer: ("sgd", ()),
    learning_rate: (base: 0.01, scale: Absolute),
    schedule: ("constant", ()),
    epochs: 6,
    stability: (on_nonfinite: RollBack),
    checkpoint: (best: None),
)"#;

fn train(root: &Path, name: &str, sets: &[&str]) -> (RunFolder, Result<Finished, TrainError>) {
    let device = Device::default();
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let pipeline =
        Pipeline::parse("poisoned.ron", TEXT, &sets, &device).unwrap_or_else(|fault| panic!("{fault}"));
    let run = RunFolder::create(root, name, None).unwrap();
    let options = TrainOptions {
        n_workers: 2,
        processes: std::sync::Arc::new(processes::Alone),
        accept_changed_images: false,
    };
    let finished =
        trainer::train(pipeline, &device, &run, None, &options, &mut Silent, &AtomicBool::new(false));
    (run, finished)
}

fn last_checkpoint(finished: Result<Finished, TrainError>) -> checkpoint::Snapshot {
    let summary = match finished {
        Ok(Finished::Completed(summary)) => summary,
        Ok(stopped) => panic!("{stopped:?}"),
        Err(error) => panic!("{error}"),
    };
    checkpoint::read(&summary.checkpoint).unwrap()
}

#[test]
fn a_run_rolls_back_and_goes_on_with_other_draws() {
    let root = tempfile::tempdir().unwrap();
    let last = last_checkpoint(train(root.path(), "a", &[]).1);
    let rollbacks: u64 = last.metadata["rollbacks"].parse().unwrap();
    assert!(rollbacks > 0, "the poison was never met");
    assert_eq!(last.metadata["steps_done"], "24");
    // What happens after a rollback depends on nothing but the seed.
    assert!(last_checkpoint(train(root.path(), "b", &[]).1) == last);
}

#[test]
fn a_run_that_cannot_get_on_ends_after_three_rollbacks() {
    let root = tempfile::tempdir().unwrap();
    let (run, finished) = train(root.path(), "a", &["views.x.poison.p=0.9"]);
    let Err(error) = finished else { panic!("it trained on poison") };
    assert!(matches!(&error, TrainError::NotFinite { epoch: 1, step: 1, .. }), "{error}");
    assert!(run.checkpoints().join("step-00000000.safetensors").is_file());
}

#[test]
fn a_run_ends_with_the_first_bad_tensor_and_the_last_good_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let (run, finished) = train(root.path(), "a", &["stability.on_nonfinite=Stop"]);
    let Err(error) = finished else { panic!("it trained on poison") };
    let TrainError::NotFinite { what, checkpoint: Some(checkpoint), .. } = &error else { panic!("{error}") };
    assert_eq!(*what, NonFinite::Loss("loss".into()));
    assert!(checkpoint.starts_with(run.checkpoints()) && checkpoint.is_file());
    let hint = error.hint().unwrap();
    assert!(hint.contains(&checkpoint.display().to_string()) && hint.contains("RollBack"), "{hint}");
}
