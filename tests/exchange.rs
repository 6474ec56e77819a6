//! Weights out of this program and into it.
//!
//! What needs PyTorch runs `python/round_trip.py` where the environment variable `MOCO_PYTHON`, or else `python3`, is a Python
//! with torch, torchvision, timm, safetensors, onnx and onnxruntime, and where the images are.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pipeline::Pipeline;
use plugin_api::{ByteImage, Image, Level, Rng};
use plugins as _;
use processes::Alone;
use run_store::checkpoint;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::tempdir;
use tensor_ops::{Device, FeatureMap, Recording};
use train_core::engine::Engine;

use crate::support::{Outcome, here, workspace, xtask};

const N_IMAGES: usize = 16;

/// A Python that has what the script needs.
fn python() -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os("MOCO_PYTHON").unwrap_or("python3".into()));
    let imports = Command::new(&python)
        .args(["-c", "import torch, torchvision, timm, safetensors, onnx, onnxruntime"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    imports.is_ok_and(|status| status.success()).then_some(python)
}

/// The first real images under a folder of `../shared/data`, if it is there.
fn real_images(folder: &str) -> Option<Vec<PathBuf>> {
    let root = workspace().join("../shared/data").join(folder);
    let files = walkdir::WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter().flatten();
    let is_image = |path: &Path| {
        path.extension().is_some_and(|extension| {
            ["jpg", "jpeg", "png"].contains(&extension.to_ascii_lowercase().to_string_lossy().as_ref())
        })
    };
    let images = files.map(walkdir::DirEntry::into_path).filter(|path| is_image(path));
    let images: Vec<PathBuf> = images.take(N_IMAGES).collect();
    (images.len() == N_IMAGES).then_some(images)
}

fn say_skipped(what: &str) {
    // Past the test harness, which keeps to itself what a passing test prints.
    let mut terminal = std::io::stderr();
    writeln!(terminal, "\nSKIPPED: {what}\n").unwrap();
}

/// What Python and images are there; says what is not compared without them.
fn setting(images: &str, what: &str) -> Option<(PathBuf, Vec<PathBuf>)> {
    let Some(python) = python() else {
        say_skipped(&format!(
            "{what}: there is no Python with torch, torchvision, timm, safetensors, onnx and onnxruntime; MOCO_PYTHON names one"
        ));
        return None;
    };
    let Some(files) = real_images(images) else {
        say_skipped(&format!("{what}: there are no images in ../shared/data/{images}"));
        return None;
    };
    Some((python, files))
}

#[track_caller]
fn round_trip(python: &Path, folder: &Path, arguments: &[&Path]) -> String {
    run_python(python, "round_trip.py", folder, arguments)
}

#[track_caller]
fn run_python(python: &Path, script: &str, folder: &Path, arguments: &[&Path]) -> String {
    let mut command = Command::new(python);
    command.arg(workspace().join("tests/python").join(script)).args(arguments).current_dir(folder);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let outcome = Outcome::from(command.output().unwrap());
    assert_eq!(outcome.code, Some(0), "{outcome}");
    outcome.stdout
}

/// Images `(N, H, W, 3)` as a pipeline's `eval` view gives them.
struct Seen {
    shape: [usize; 4],
    values: Vec<f32>,
}

impl Seen {
    fn through_eval(pipeline: &Pipeline, files: &[PathBuf]) -> Self {
        let view = pipeline.view("eval").unwrap();
        let mut values = Vec::new();
        for file in files {
            let image = image::open(file).unwrap().to_rgb8();
            let (width, height) = (image.width() as usize, image.height() as usize);
            let mut picture = Image::Bytes(ByteImage::rgb(width, height, image.into_raw()));
            for step in &view.transform.steps {
                picture = step.apply(picture, &mut Rng::new(0, "a view without draws", &[]));
            }
            match picture {
                Image::Floats(image) => values.extend(image.values),
                Image::Bytes(_) => panic!("the view does not normalize"),
            }
        }
        let (height, width) = view.size;
        Self { shape: [files.len(), height, width, 3], values }
    }

    /// `(N, 3, H, W)`, as PyTorch has them.
    fn to_nchw(&self) -> ([usize; 4], Vec<f32>) {
        let [n, h, w, c] = self.shape;
        let mut values = Vec::with_capacity(self.values.len());
        for image in self.values.chunks_exact(h * w * c) {
            for channel in 0..c {
                values.extend((0..h * w).map(|pixel| image[pixel * c + channel]));
            }
        }
        ([n, c, h, w], values)
    }
}

fn pipeline_of(run: &Path) -> Pipeline {
    Pipeline::read(&run.join("pipeline.ron"), &[], &Device::default()).unwrap()
}

/// Which features of a run.
#[derive(Clone, Copy)]
struct Of {
    level: Level,
    /// Of the momentum encoder.
    momentum: bool,
}

/// Features of a run at the checkpoint of a step, row by row, and their width, for each of `kinds`.
fn features(run: &Path, step: u64, seen: &Seen, kinds: &[Of]) -> Vec<(Vec<f32>, usize)> {
    let device = Device::default();
    let pipeline = pipeline_of(run);
    let snapshot = checkpoint::read(&crate::support::checkpoint(run, step)).unwrap();
    let mut engine =
        Engine::new(pipeline.network, pipeline.seed, device.clone(), std::sync::Arc::new(Alone)).unwrap();
    let of = |kind: &Of| {
        let mut snapshot = snapshot.clone();
        if kind.momentum {
            // The engine gives features of the query encoder: that is what the momentum encoder becomes.
            for (name, stored) in &snapshot.tensors.clone() {
                if let Some(name) = name.strip_prefix("momentum.") {
                    snapshot.tensors.insert(format!("query.{name}"), stored.clone());
                }
            }
        }
        engine.load(&snapshot).unwrap();
        let images = FeatureMap::from_nhwc(&device, seen.shape, &seen.values, Recording::Off).unwrap();
        engine.embed(images, kind.level).unwrap()
    };
    kinds.iter().map(of).collect()
}

fn save(path: &Path, tensors: &[(&str, &[usize], &[f32])]) {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// The floats called `name` in the file at `path`.
fn load(path: &Path, name: &str) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensor(name).unwrap().data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The largest difference, as a share of the largest value.
fn difference(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let off = ours.iter().zip(theirs).fold(0.0_f32, |off, (a, b)| off.max((a - b).abs()));
    off / largest
}

/// A small run of `file`, and the step of its last checkpoint.
fn small_run(folder: &Path, name: &str, file: &str, set: &[&str]) -> (PathBuf, u64) {
    let run = folder.join(name);
    let mut arguments = vec!["run".to_owned(), here(file), "--out".into(), run.display().to_string()];
    for value in ["epochs=1", "data.source.train=64"].iter().chain(set) {
        arguments.extend(["--set".to_owned(), (*value).to_owned()]);
    }
    xtask(folder, &arguments).done();
    (run, 4)
}

fn export(folder: &Path, run: &Path, target: &str, more: &[&str]) -> PathBuf {
    let extension = if target == "onnx" { "onnx" } else { "safetensors" };
    let name = run.file_name().unwrap().display();
    let out = folder.join(format!("{name}-{target}{}.{extension}", more.concat()));
    let arguments = [run.to_str().unwrap(), "--to", target, "-o", out.to_str().unwrap()];
    let outcome = xtask(folder, ["export"].iter().chain(&arguments).chain(more)).done();
    assert!(outcome.stdout.starts_with("wrote "), "{outcome}");
    out
}

#[test]
fn exported_encoders_give_the_same_features_in_python() {
    let Some((python, files)) = setting("cifar10-jpeg/test", "exported encoders in Python") else { return };
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let wide = ["modules.backbone.width=64", "modules.backbone.stem=ImageNet"];
    let narrow_deep = [
        "modules.backbone=(\"resnet\", (blocks: [1, 2, 1, 1], block: Bottleneck, width: 8, stem: ImageNet))",
    ];
    let mean = ["modules.backbone.pool=Mean", "modules.backbone.position=Learned"];
    let conv = ["modules.backbone=(\"vit\", (patch: 16, dim: 16, depth: 1, heads: 2, stem: Conv))"];
    let wide_inside =
        ["modules.backbone=(\"resnet\", (blocks: [1, 1, 1, 1], block: Bottleneck, width_per_group: 128))"];
    let grouped = [
        "modules.backbone=(\"resnet\", (blocks: [1, 1, 1, 1], block: Bottleneck, groups: 32, width_per_group: 4))",
    ];
    let grouped_narrow = [
        "modules.backbone=(\"resnet\", (blocks: [1, 2, 1, 1], block: Bottleneck, width: 16, groups: 4, width_per_group: 8))",
    ];
    let extras = ["modules.backbone.layer_scale=0.5", "modules.backbone.registers=4"];
    let cases: [(&str, &str, &[&str], &[&str]); 10] = [
        ("grouped", "small.ron", &grouped, &["torchvision", "timm", "moco", "onnx"]),
        ("grouped-narrow", "small.ron", &grouped_narrow, &["torchvision", "moco-v3", "onnx"]),
        ("wide-inside", "small.ron", &wide_inside, &["torchvision", "timm", "moco", "onnx"]),
        ("registers", "v3.ron", &extras, &["timm", "onnx"]),
        ("narrow", "small.ron", &[], &["torchvision", "moco", "moco-v3", "onnx"]),
        ("deep", "small.ron", &narrow_deep, &["torchvision", "moco", "moco-v3", "onnx"]),
        ("wide", "small.ron", &wide, &["torchvision", "timm", "detectron2", "moco", "moco-v3", "onnx"]),
        ("vit", "v3.ron", &[], &["timm", "torchvision", "deit", "moco-v3", "onnx"]),
        ("mean", "v3.ron", &mean, &["timm", "onnx"]),
        ("conv", "v3.ron", &conv, &["onnx"]),
    ];
    // One start of Python for all of them.
    let mut groups: Vec<PathBuf> = vec!["check".into()];
    let mut n_exported = 0;
    for (name, file, set, targets) in cases {
        let (run, step) = small_run(folder, name, file, set);
        let seen = Seen::through_eval(&pipeline_of(&run), &files);
        let (shape, images) = seen.to_nchw();
        let kinds: [(&[&str], Of); 4] = [
            (&[], Of { level: Level::Backbone, momentum: false }),
            (&["--encoder", "momentum"], Of { level: Level::Backbone, momentum: true }),
            (&["--with-head"], Of { level: Level::Head, momentum: false }),
            (&["--with-head", "--encoder", "momentum"], Of { level: Level::Head, momentum: true }),
        ];
        // That momentum encoders and heads are told apart does not depend on the encoder.
        let kinds = if ["narrow", "vit"].contains(&name) { &kinds[..] } else { &kinds[..1] };
        let of: Vec<Of> = kinds.iter().map(|(_, of)| *of).collect();
        for ((more, of), (values, d)) in kinds.iter().zip(features(&run, step, &seen, &of)) {
            let expected = folder.join(format!("{name}{}.features", more.concat()));
            save(&expected, &[("images", &shape, &images), ("features", &[N_IMAGES, d], &values)]);
            // The other targets' scripts leave a head out.
            let targets = targets.iter().filter(|target| {
                more.is_empty()
                    || of.level == Level::Backbone
                    || ["torchvision", "timm", "onnx"].contains(*target)
            });
            groups.extend([PathBuf::from("--"), expected]);
            groups.extend(targets.map(|target| {
                n_exported += 1;
                export(folder, &run, target, more)
            }));
        }
    }
    let arguments: Vec<&Path> = groups.iter().map(PathBuf::as_path).collect();
    let said = round_trip(&python, folder, &arguments);
    assert_eq!(said.lines().count(), n_exported, "{said}");
    writeln!(std::io::stdout(), "{said}").unwrap();
}

#[test]
fn the_folder_that_a_run_leaves_gives_the_same_features_in_each_way_that_it_offers() {
    let Some((python, files)) = setting("cifar10-jpeg/test", "the folder `encoder` in Python") else {
        return;
    };
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let timm = ["modules.backbone.width=64", "modules.backbone.stem=ImageNet"];
    let scaled = ["modules.backbone.layer_scale=0.5", "modules.backbone.registers=2"];
    let cases: [(&str, &str, &[&str], &[&str]); 6] = [
        ("timm", "small.ron", &timm, &["load.py", "timm", "onnx"]),
        ("narrow", "small.ron", &[], &["load.py", "onnx"]),
        ("cifar", "small.ron", &timm[..1], &["load.py", "onnx"]),
        ("vit", "v3.ron", &[], &["load.py", "timm", "onnx"]),
        ("scaled", "v3.ron", &scaled, &["load.py", "timm", "onnx"]),
        ("mean", "v3.ron", &["modules.backbone.pool=Mean"], &["load.py", "timm", "onnx"]),
    ];
    let (mut arguments, mut expected) = (vec![PathBuf::from("folders")], Vec::new());
    for (name, file, set, ways) in cases {
        let (run, step) = small_run(folder, name, file, set);
        let seen = Seen::through_eval(&pipeline_of(&run), &files);
        let (shape, images) = seen.to_nchw();
        let of = [Of { level: Level::Backbone, momentum: false }];
        let (values, d) = features(&run, step, &seen, &of).remove(0);
        let features = folder.join(format!("{name}.features"));
        save(&features, &[("images", &shape, &images), ("features", &[N_IMAGES, d], &values)]);
        arguments.extend([features, run.join("encoder")]);
        expected.extend(ways.iter().map(|way| format!("{name}: {way}")));
    }
    let arguments: Vec<&Path> = arguments.iter().map(PathBuf::as_path).collect();
    let said = round_trip(&python, folder, &arguments);
    let ways: Vec<&str> =
        said.lines().filter_map(|line| line.split_once(": off by ")).map(|(way, _)| way).collect();
    assert_eq!(ways, expected, "{said}");
    writeln!(std::io::stdout(), "{said}").unwrap();
}

/// Trains a classifier on the encoder of a run, and gives the folder of the evaluation.
fn evaluated(folder: &Path, run: &Path, command: &str) -> PathBuf {
    let name = command.split([' ', '=']).collect::<Vec<_>>().join("");
    let out = folder.join(format!("{}-{name}", run.file_name().unwrap().display()));
    let mut arguments: Vec<&str> = command.split(' ').collect();
    arguments.insert(1, run.to_str().unwrap());
    xtask(folder, arguments.into_iter().chain(["--out", out.to_str().unwrap()])).done();
    out
}

const PROBE: &str = "linear --cached --epochs 5 --batch 16 --lr 1";
const PROBE_OF_HEAD: &str = "linear --cached --epochs 5 --batch 16 --lr 1 --level head";
const FINETUNE: &str = "finetune --epochs 1 --warmup-epochs 0 --batch 16 --lr 0.02";

#[test]
fn exported_classifiers_take_images_for_the_same_classes_in_python() {
    let Some((python, files)) = setting("cifar10-jpeg/test", "exported classifiers in Python") else {
        return;
    };
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let wide = ["modules.backbone.width=64", "modules.backbone.stem=ImageNet"];
    let cases = [
        (
            ("narrow", "small.ron", &[][..]),
            &["torchvision", "onnx"][..],
            &[PROBE, FINETUNE, PROBE_OF_HEAD][..],
        ),
        (("wide", "small.ron", &wide[..]), &["torchvision", "timm", "onnx"], &[FINETUNE]),
        (("vit", "v3.ron", &[]), &["timm", "torchvision", "deit", "onnx"], &[PROBE, FINETUNE]),
    ];
    let mut groups: Vec<PathBuf> = Vec::new();
    let mut n_exported = 0;
    for ((name, file, set), targets, commands) in cases {
        let (run, _) = small_run(folder, name, file, set);
        let (shape, images) = Seen::through_eval(&pipeline_of(&run), &files).to_nchw();
        for command in commands {
            let evaluation = evaluated(folder, &run, command);
            let mut classifier = moco::Classifier::load(&evaluation).unwrap();
            let n_classes = classifier.class_names().len();
            let logits = classifier.predict(&files).unwrap().logits().values().to_vec();
            let expected = evaluation.join("expected.logits");
            save(&expected, &[("images", &shape, &images), ("logits", &[N_IMAGES, n_classes], &logits)]);
            groups.extend([PathBuf::from("--"), expected]);
            groups.extend(targets.iter().map(|target| {
                n_exported += 1;
                export(folder, &evaluation, target, &[])
            }));
        }
    }
    let arguments: Vec<&Path> = groups.iter().map(PathBuf::as_path).collect();
    let said = run_python(&python, "classifier.py", folder, &arguments);
    assert_eq!(said.lines().count(), n_exported, "{said}");
    writeln!(std::io::stdout(), "{said}").unwrap();
}

#[test]
fn a_classifier_is_exported_by_the_names_of_the_target_with_its_classes() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let (run, _) = small_run(folder, "vit", "v3.ron", &[]);
    let evaluation = evaluated(folder, &run, PROBE);
    let before =
        xtask(folder, ["export", run.to_str().unwrap(), "--to", "timm", "-o", "encoder.safetensors"]).done();
    assert!(!before.stdout.contains("classes = "), "{before}");
    // Nothing but the evaluation is needed.
    std::fs::remove_dir_all(&run).unwrap();
    let exported = export(folder, &evaluation, "timm", &[]);
    let bytes = std::fs::read(&exported).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("head.weight").unwrap().shape()[0], 10);
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let facts = header.metadata().as_ref().unwrap();
    let classes: Vec<String> = serde_json::from_str(&facts["classes"]).unwrap();
    assert_eq!(classes, moco::Classifier::load(&evaluation).unwrap().class_names());
    assert_eq!((facts["run"].as_str(), facts["epoch"].as_str()), ("vit", "1"));
    assert!(facts["protocol"].starts_with("linear probe, cached features"), "{}", facts["protocol"]);
    assert!(facts["python"].contains("model.head = torch.nn.Linear("), "{}", facts["python"]);
    let torchvision = std::fs::read(export(folder, &evaluation, "torchvision", &[])).unwrap();
    assert!(SafeTensors::deserialize(&torchvision).unwrap().tensor("heads.head.bias").is_ok());

    let evaluation = evaluation.to_str().unwrap();
    let export = |more: &[&str]| xtask(folder, ["export", evaluation].iter().chain(more));
    let outcome = export(&["--to", "onnx", "-o", "c.onnx"]).done();
    assert!(outcome.stdout.contains("\nclassifier of 10 classes with its encoder, of "), "{outcome}");
    let said = export(&["--to", "moco-v3", "-o", "c.safetensors"]).refused();
    assert!(said.contains("facebookresearch/moco-v3 trains a classifier of its own"), "{said}");
    assert!(
        said.contains("hint: choose another target with `--to`: torchvision, timm, deit, onnx\n"),
        "{said}"
    );
    let outcome = export(&["--to", "timm", "-o", "c.safetensors", "--with-head"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.stderr.contains("stands on the query encoder alone, and a projection head"), "{outcome}");
    assert!(!folder.join("c.safetensors").exists());
}

#[test]
fn a_classifier_of_images_of_another_size_is_exported_for_that_size_or_not_at_all() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let large = [
        "views.large=[(\"resize\", (shorter: 48)), (\"center-crop\", (size: 48)), (\"normalize\", (statistics: ImageNet))]",
        "monitor=[(\"knn\", (k: 5)), (\"feature-collapse\", (view: \"large\"))]",
    ];
    let probe = format!("{PROBE} --view large");
    let (run, _) = small_run(folder, "narrow", "small.ron", &large);
    let exported = export(folder, &evaluated(folder, &run, &probe), "torchvision", &[]);
    let bytes = std::fs::read(exported).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let facts = header.metadata().as_ref().unwrap();
    assert_eq!((facts["image_size"].as_str(), facts["view"].as_str()), ("[48, 48]", "large"));
    assert_eq!(facts["mean"], "[0.485, 0.456, 0.406]");
    let (run, _) = small_run(folder, "vit", "v3.ron", &large);
    let evaluation = evaluated(folder, &run, &probe);
    let arguments = ["export", evaluation.to_str().unwrap(), "--to", "timm", "-o", "c.safetensors"];
    let said = xtask(folder, arguments).refused();
    assert!(
        said.contains("images of 48x48 pixels, and the encoder has positions for 16x16\nhint: "),
        "{said}"
    );
}

#[test]
fn checkpoints_of_the_reference_repositories_give_the_same_features_here() {
    let Some((python, files)) = setting("imagenet-sample", "checkpoints of PyTorch") else { return };
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let pipeline = |name: &str| workspace().join("pipelines/imagenet").join(name);
    let cases =
        [("moco_v1", "mocov1-r50.ron"), ("moco_v2", "mocov2-r50.ron"), ("moco_v3", "mocov3-vit-s.ron")];
    // A few are enough of these large encoders.
    let pipeline_of_v2 = Pipeline::read(&pipeline("mocov2-r50.ron"), &[], &Device::default()).unwrap();
    let seen = Seen::through_eval(&pipeline_of_v2, &files[..4]);
    drop(pipeline_of_v2);
    let (shape, images) = seen.to_nchw();
    let images_file = folder.join("images.safetensors");
    save(&images_file, &[("images", &shape, &images)]);
    round_trip(&python, folder, &[Path::new("make"), folder, &images_file]);
    for (name, file) in cases {
        let checkpoint = folder.join(format!("{name}.pth.tar"));
        let run = folder.join(name);
        let pipeline = pipeline(file);
        let arguments =
            [Path::new("import"), &checkpoint, Path::new("--pipeline"), &pipeline, Path::new("--out"), &run];
        let said = xtask(folder, arguments).done().stdout;
        assert!(said.contains("0 missing, 0 unexpected, 0 misshapen"), "{said}");
        assert!(!said.contains("random initial values"), "{said}");
        let of = [false, true].map(|momentum| Of { level: Level::Backbone, momentum });
        for (side, (values, _)) in ["query", "momentum"].into_iter().zip(features(&run, 0, &seen, &of)) {
            let theirs = load(&folder.join(format!("{name}.features.safetensors")), side);
            let off = difference(&values, &theirs);
            writeln!(std::io::stdout(), "{name}, {side}: off by {off:.1e}").unwrap();
            assert!(off <= 1e-4, "{name}, {side}: off by {off}");
        }
        std::fs::remove_dir_all(run).unwrap();
        std::fs::remove_file(checkpoint).unwrap();
    }
}

#[test]
fn weights_of_other_libraries_give_the_same_features_here() {
    let Some(python) = python() else {
        say_skipped("weights of other libraries: there is no Python with torch; MOCO_PYTHON names one");
        return;
    };
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let made = round_trip(&python, folder, &[Path::new("wrap"), folder]);
    for case in made.lines() {
        let [name, size, n] = case.split(' ').collect::<Vec<_>>()[..] else { panic!("{case}") };
        let file = folder.join(format!("{name}.pth"));
        let described = xtask(folder, ["import", file.to_str().unwrap()]).done().stdout;
        let line = described.lines().find_map(|line| line.strip_prefix("pipeline  \"backbone\": ")).unwrap();
        let set = format!("modules.backbone={}", line.trim_end_matches(','));
        let base = here(if size == "32" { "small.ron" } else { "v3.ron" });
        // Its positions are those that an earlier line is for.
        let arguments = ["import", file.to_str().unwrap(), "--pipeline", &base, "--set", &set];
        let run = folder.join(name);
        let out = ["--backbone-only", "--out", run.to_str().unwrap()];
        xtask(folder, arguments.iter().chain(&out)).done();
        let expected = folder.join(format!("{name}.safetensors"));
        let side: usize = size.parse().unwrap();
        let images = load(&expected, "images");
        let n_images = images.len() / (3 * side * side);
        // (N, 3, H, W) to (N, H, W, 3).
        let values = (0..images.len()).map(|i| {
            let (pixel, channel) = (i / 3, i % 3);
            let (image, at) = (pixel / (side * side), pixel % (side * side));
            images[(image * 3 + channel) * side * side + at]
        });
        let seen = Seen { shape: [n_images, side, side, 3], values: values.collect() };
        let of = [false, true].map(|momentum| Of { level: Level::Backbone, momentum });
        for (i, (found, _)) in features(&run, 0, &seen, &of).into_iter().enumerate() {
            let of_file = i.min(n.parse::<usize>().unwrap() - 1);
            let off = difference(&found, &load(&expected, &format!("features{of_file}")));
            writeln!(std::io::stdout(), "{name}, encoder {i}: off by {off:.1e}").unwrap();
            assert!(off <= 3e-6, "{name}, encoder {i}: off by {off}\n{described}");
        }
    }
}

#[test]
fn what_is_exported_is_imported_again_and_trains_on() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let (run, step) = small_run(folder, "first", "small.ron", &[]);
    let pipeline = run.join("pipeline.ron").display().to_string();
    let exported = export(folder, &run, "moco", &["--with-head"]);
    let report = xtask(folder, ["import", exported.to_str().unwrap()]).done().stdout;
    assert!(report.contains("a checkpoint of facebookresearch/moco\n"), "{report}");
    assert!(report.contains("encoder   resnet18, width 4, CIFAR stem: 32 features"), "{report}");
    assert!(report.contains("120 fit, 0 missing, 0 unexpected, 0 misshapen"), "{report}");
    let again = folder.join("again");
    let (file, out) = (exported.to_str().unwrap(), again.to_str().unwrap());
    xtask(folder, ["import", file, "--pipeline", &pipeline, "--out", out]).done();
    let tensors =
        |run: &Path, step| checkpoint::read(&crate::support::checkpoint(run, step)).unwrap().tensors;
    let (first, second) = (tensors(&run, step), tensors(&again, 0));
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (name, stored) in
        second.iter().filter(|(name, _)| !name.contains("contrast") && !name.contains("optimizer"))
    {
        let of_query = name.replacen("momentum.", "query.", 1);
        assert!(*stored == first[&of_query], "{name}");
    }
    // It is a run like any other.
    xtask(folder, ["knn", out, "--k", "5"]).done();
    let exported_again = export(folder, &again, "moco", &["--with-head"]);
    let weights = |path: &Path| weights::read(path).unwrap();
    assert!(weights(&exported) == weights(&exported_again));
    xtask(folder, ["run", "--resume", out]).done();
    // A second time, nothing is overwritten.
    let said = xtask(folder, ["import", file, "--pipeline", &pipeline, "--out", out]).refused();
    assert!(said.contains("is not empty"), "{said}");
}

#[test]
fn what_cannot_be_exported_is_refused_and_nothing_is_written() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let (run, n_steps) = small_run(folder, "vit", "v3.ron", &[]);
    let run = run.to_str().unwrap();
    let refused = |arguments: &[&str]| xtask(folder, ["export", run].iter().chain(arguments)).refused();
    let said = refused(&["--to", "detectron2", "-o", "e.safetensors"]);
    let expected = "error: `detectron2` cannot take this encoder: only ResNets can be exported to detectron2, and this is a ViT\n\
                    hint: choose another target with `--to`: torchvision, timm, deit, moco-v3, onnx\n";
    assert_eq!(said, expected);
    let said = refused(&["--to", "deit", "-o", "e.safetensors", "--with-head"]);
    assert!(said.contains("deit has no place for a projection head"), "{said}");
    assert!(
        refused(&["--to", "timm", "-o", "none/e.safetensors"]).contains("the folder `none` does not exist")
    );
    assert!(!folder.join("e.safetensors").exists());
    std::fs::write(folder.join("e.safetensors"), "mine").unwrap();
    assert!(refused(&["--to", "timm", "-o", "e.safetensors"]).contains("already exists"));
    assert_eq!(std::fs::read(folder.join("e.safetensors")).unwrap(), b"mine");
    xtask(folder, ["export", run, "--to", "timm", "-o", "e.safetensors", "--force"]).done();
    let first = std::fs::read(folder.join("e.safetensors")).unwrap();
    xtask(folder, ["export", run, "--to", "timm", "-o", "e.safetensors", "--force"]).done();
    assert!(first == std::fs::read(folder.join("e.safetensors")).unwrap());
    assert_eq!(xtask(folder, ["export", run, "--to", "timm", "-o", "e.pth"]).code, Some(2));

    let newest = crate::support::checkpoint(Path::new(run), n_steps);
    let mut snapshot = checkpoint::read(&newest).unwrap();
    let tensor = snapshot.tensors.iter_mut().find(|(name, _)| name.starts_with("query.backbone.")).unwrap();
    match tensor.1 {
        checkpoint::Stored::F32 { values, .. } => values[1] = f32::NAN,
        other => panic!("{other:?}"),
    }
    checkpoint::write(&newest, &snapshot).unwrap();
    for (target, file) in [("timm", "diverged.safetensors"), ("onnx", "diverged.onnx")] {
        let said = refused(&["--to", target, "-o", file]);
        assert!(
            said.contains("has diverged: `") && said.contains("values that are not finite, NaN first"),
            "{said}"
        );
        assert!(!folder.join(file).exists());
    }
}

#[test]
fn weights_as_other_libraries_wrap_them_become_runs() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let case =
        |name: &str| workspace().join("crates/weights/tests/stored/cases").join(name).display().to_string();
    let tiny =
        "modules.backbone=(\"resnet\", (blocks: [1, 1, 1, 1], block: Basic, width: 2, stem: ImageNet))";
    let import = |name: &str, more: &[&str]| {
        let file = case(name);
        let more = ["--pipeline", &here("small.ron"), "--set", tiny, "--backbone-only", "--out", name]
            .map(str::to_owned)
            .into_iter()
            .chain(more.iter().map(|text| (*text).to_owned()));
        xtask(folder, ["import".to_owned(), file].into_iter().chain(more))
    };
    let whole = weights::read(Path::new(&case("tv.pth"))).unwrap();
    let cases: [(&str, &[&str]); 4] = [
        ("solo.ckpt", &[]),
        ("lightly_full.ckpt", &["--encoder", "momentum"]),
        ("simsiam.pth", &[]),
        ("extra_key.pth", &["--leave-out", "me*"]),
    ];
    for (name, more) in cases {
        let said = import(name, more).done().stdout;
        assert!(said.contains("taken     "), "{said}");
        let tensors = checkpoint::read(&crate::support::checkpoint(&folder.join(name), 0)).unwrap().tensors;
        for (weight, stored) in &whole {
            for side in ["query", "momentum"] {
                assert!(tensors[&format!("{side}.backbone.{weight}")] == *stored, "{name}, {side}, {weight}");
            }
        }
    }
    let refused =
        |name: &str, more: &[&str]| xtask(folder, ["import", &case(name)].iter().chain(more)).refused();
    let said = refused("extra_key.pth", &[]);
    assert!(
        said.contains("`mean` is unexpected\nhint: if it is no part of the encoder, `--leave-out 'mean'`"),
        "{said}"
    );
    let said = refused("dino_noargs.pth", &["--key", "model"]);
    assert!(said.contains("no encoder is under key `model`; there are two, under key `student`"), "{said}");
    assert!(said.ends_with("hint: choose one of these with `--key` and `--prefix`\n"), "{said}");
    let said = refused("nested.pth", &["--encoder", "momentum"]);
    assert!(said.contains("there is no momentum encoder, but one under key `model_state_dict`"), "{said}");
    let said = refused("code_as_weight.pth", &[]);
    assert!(said.contains("is a pickle that would execute code: it refers to `posix.system`"), "{said}");
    xtask(folder, ["import", &case("code_beside.pth")]).done();
}

/// ```python
/// import torch
/// from timm.layers import resample_abs_pos_embed  # timm 1.0
/// table = torch.load("vit_grid8.pth", weights_only=True)["model"]["pos_embed"]
/// resized = resample_abs_pos_embed(table, [4, 4], [8, 8], 1)[0]
/// print(resized[0, :3], resized[1, :4], resized[7, :4], resized[16, -4:])
/// ```
#[test]
fn positions_for_images_of_another_size_are_interpolated_or_computed_anew() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let table = |run: &str, side: &str| {
        let tensors = checkpoint::read(&crate::support::checkpoint(&folder.join(run), 0)).unwrap().tensors;
        match &tensors[&format!("{side}.backbone.pos_embed")] {
            checkpoint::Stored::F32 { shape, values } => (shape.clone(), values.clone()),
            checkpoint::Stored::U64(_) => panic!("a count"),
        }
    };
    let import = |file: &str, out: &str, more: &[&str]| {
        let arguments = ["import", file, "--pipeline", &here("v3.ron"), "--backbone-only", "--out", out];
        xtask(folder, arguments.iter().chain(more))
    };
    let case =
        |name: &str| workspace().join("crates/weights/tests/stored/cases").join(name).display().to_string();
    let said = import(&case("vit_grid8.pth"), "trained", &[]).done().stdout;
    assert!(
        said.contains("resized   pos_embed, from 8 x 8 patches to 4 x 4: interpolated (bicubic)\n"),
        "{said}"
    );
    for side in ["query", "momentum"] {
        let (shape, values) = table("trained", side);
        assert_eq!(shape, [1, 17, 16]);
        for (row, column, expected) in [
            (0, 0, &[0.938866, -1.290416, -0.475401][..]),
            (1, 0, &[-0.811048, -0.284054, 0.382467, -0.369226]),
            (7, 0, &[0.576527, -0.748915, 0.388296, 0.209621]),
            (16, 12, &[-0.183539, 0.145399, -0.236163, 0.263621]),
        ] {
            for (found, value) in values[row * 16 + column..].iter().zip(expected) {
                assert!((found - value).abs() < 2e-6, "row {row}: {found}, expected {value}");
            }
        }
    }
    let said = import(&case("vit_grid4.pth"), "same", &[]).done().stdout;
    assert!(!said.contains("resized"), "{said}");
    // What this program has exported of images of another size, which are not square.
    let sized = |size: &str| {
        let views = ["x1", "x2"].map(|view| format!("views.{view}.0.size={size}"));
        let eval = [format!("views.eval.0.cover={size}"), format!("views.eval.1.size={size}")];
        views.into_iter().chain(eval).collect::<Vec<String>>()
    };
    let small: Vec<String> = ["epochs=1", "data.source.train=64"].map(str::to_owned).into();
    let set = |changes: Vec<String>| changes.into_iter().flat_map(|change| ["--set".to_owned(), change]);
    let run = |name: &str, size: &str| {
        let arguments = ["run".to_owned(), here("v3.ron"), "--out".into(), name.to_owned()];
        let resize = "views.eval.0=(\"resize\", (cover: (16, 16)))".to_owned();
        let changes = [resize].into_iter().chain(small.clone()).chain(sized(size)).collect();
        xtask(folder, arguments.into_iter().chain(set(changes))).done();
        folder.join(name)
    };
    let (wide, square) = (run("wide", "(16, 24)"), run("square", "(16, 16)"));
    let exported = export(folder, &wide, "timm", &[]);
    let said = import(exported.to_str().unwrap(), "computed", &[]).done().stdout;
    assert!(
        said.contains("resized   pos_embed, from 4 x 6 patches to 4 x 4: sines and cosines, computed anew\n"),
        "{said}"
    );
    let fresh = checkpoint::read(&crate::support::checkpoint(&square, 4)).unwrap().tensors;
    let checkpoint::Stored::F32 { values, .. } = &fresh["query.backbone.pos_embed"] else {
        panic!("a count")
    };
    assert_eq!(&table("computed", "momentum").1, values);
    // The same from a checkpoint of this program, of square images.
    let arguments = ["run".to_owned(), here("v3.ron"), "--out".into(), "larger".to_owned()];
    let resize = "views.eval.0=(\"resize\", (cover: (16, 16)))".to_owned();
    let changes = [resize].into_iter().chain(small.clone()).chain(sized("(24, 24)")).collect();
    let from = ["--from".to_owned(), square.display().to_string(), "--backbone-only".to_owned()];
    let outcome = xtask(folder, arguments.into_iter().chain(set(changes)).chain(from)).done();
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(said.contains("resized   pos_embed, from 4 x 4 patches to 6 x 6: sines and cosines"), "{said}");
}

#[test]
fn a_file_says_what_to_write_in_a_pipeline() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let case =
        |name: &str| workspace().join("crates/weights/tests/stored/cases").join(name).display().to_string();
    let line = |file: &str| {
        let said = xtask(folder, ["import", file]).done().stdout;
        let line = said.lines().find_map(|line| line.strip_prefix("pipeline  \"backbone\": ")).unwrap();
        (line.trim_end_matches(',').to_owned(), said)
    };
    let import = |file: &str, base: &str, backbone: &str, out: &str| {
        let set = format!("modules.backbone={backbone}");
        let arguments =
            ["import", file, "--pipeline", &here(base), "--set", &set, "--backbone-only", "--out", out];
        xtask(folder, arguments).done()
    };
    let file = case("tv.pth");
    let (resnet, said) = line(&file);
    assert_eq!(resnet, "(\"resnet\", (blocks: [1, 1, 1, 1], block: Basic, width: 2))");
    assert!(said.contains("          views of any size: the file does not tell\n"), "{said}");
    import(&file, "small.ron", &resnet, "resnet");
    let file = case("vit_grid8.pth");
    let (vit, said) = line(&file);
    assert_eq!(vit, "(\"vit\", (patch: 4, dim: 16, depth: 1, heads: 1, position: Learned))");
    assert!(said.contains("          views of 32x32 pixels, by its positions"), "{said}");
    assert!(said.contains("          the file does not tell how many heads it has: 1 are usual"), "{said}");
    import(&file, "v3.ron", &vit, "vit");
    // What this program has exported says it as it was written.
    let wide = "modules.backbone=(\"resnet\", (blocks: [1, 1, 1, 1], block: Bottleneck, width: 8, width_per_group: 128))";
    let (run, _) = small_run(folder, "wide", "small.ron", &[wide]);
    let exported = export(folder, &run, "torchvision", &[]).display().to_string();
    let (resnet, _) = line(&exported);
    assert!(resnet.contains("width_per_group: 128"), "{resnet}");
    import(&exported, "small.ron", &resnet, "again");
}

#[test]
fn what_does_not_fit_is_not_imported() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let (run, step) = small_run(folder, "first", "small.ron", &[]);
    let exported = export(folder, &run, "torchvision", &[]);
    let exported = exported.to_str().unwrap();
    let import = |more: &[&str]| {
        xtask(
            folder,
            ["import", exported, "--pipeline", &here("small.ron"), "--out", "run"].iter().chain(more),
        )
    };
    let outcome = import(&["--set", "modules.backbone.width=8"]);
    assert!(
        outcome.stdout.contains("misshapen: conv1.weight is [4, 3, 3, 3], expected [8, 3, 3, 3]"),
        "{outcome}"
    );
    let said = outcome.refused();
    assert!(said.contains("does not match the pipeline `small`: `bn1.bias` is [4], expected [8]"), "{said}");
    let outcome = import(&["--set", "modules.backbone.depth=34"]);
    assert!(outcome.stdout.contains("96 missing, 0 unexpected, 0 misshapen"), "{outcome}");
    assert!(outcome.refused().contains("is missing"));
    assert!(!folder.join("run").exists());
    let own = crate::support::checkpoint(&run, step);
    let outcome = xtask(folder, ["import", own.to_str().unwrap()]).done();
    assert!(outcome.stdout.contains("a checkpoint of this program, after epoch 1"), "{outcome}");
    std::fs::write(folder.join("notes.pth"), "no weights, but some text").unwrap();
    let said = xtask(folder, ["import", "notes.pth"]).refused();
    assert!(said.contains("`notes.pth` is neither a safetensors file nor a PyTorch file"), "{said}");
}

#[test]
fn weights_of_other_channels_than_the_images_say_so_unless_they_are_for_rgb() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let (run, _) = small_run(folder, "first", "small.ron", &[]);
    let mut weights = weights::read(&export(folder, &run, "torchvision", &[])).unwrap();
    let mut import = |channels: usize, set: &[&str]| {
        let name = format!("c{channels}.safetensors");
        let first = checkpoint::Stored::F32 {
            shape: vec![4, channels, 3, 3],
            values: (0..36 * channels).map(|i| i as f32 / 100.0).collect(),
        };
        weights.insert("conv1.weight".into(), first);
        weights::write_safetensors(&folder.join(&name), &weights, &Default::default()).unwrap();
        let set = set.iter().flat_map(|value| ["--set", *value]);
        let out = format!("run{channels}");
        let small = here("small.ron");
        let arguments = ["import", &name, "--pipeline", &small, "--out", &out];
        xtask(folder, arguments.map(str::to_owned).into_iter().chain(set.map(str::to_owned)))
    };
    for (channels, expected) in [
        (
            4,
            "error: the backbone in `c4.safetensors` does not match the pipeline `small`: its first layer takes 4 channels, and \
             the pipeline's images have 3\nhint: choose 4 channels of the files in the dataset, as in `read: (bands: [0, 1, 2, \
             3])`, with as many numbers in `normalize`; only weights for RGB are made to fit images of other channels\n",
        ),
        (
            1,
            "error: the backbone in `c1.safetensors` does not match the pipeline `small`: its first layer takes 1 channel, and \
             the pipeline's images have 3\nhint: choose 1 channel of the files in the dataset, as in `read: (bands: [0])`, with \
             as many numbers in `normalize`; only weights for RGB are made to fit images of other channels\n",
        ),
    ] {
        let outcome = import(channels, &[]);
        let misshapen = format!("misshapen: conv1.weight is [4, {channels}, 3, 3], expected [4, 3, 3, 3]");
        assert!(outcome.stdout.contains("0 missing, 0 unexpected, 1 misshapen"), "{outcome}");
        assert!(outcome.stdout.contains(&misshapen), "{outcome}");
        assert_eq!(outcome.refused(), expected);
    }
    // What differs too is listed; the channels come first, for no config of the backbone changes them.
    let said = import(4, &["modules.backbone.width=8"]).refused();
    assert!(said.contains("its first layer takes 4 channels, and the pipeline's images have 3\n"), "{said}");
    let said = import(17, &[]).refused();
    assert!(said.contains("hint: images have at most 16 channels here"), "{said}");
    for channels in [1, 4, 17] {
        assert!(!folder.join(format!("run{channels}")).exists());
    }
    // RGB goes to files with other channels.
    std::fs::create_dir(folder.join("tiles")).unwrap();
    let statistics =
        "(\"normalize\", (statistics: Custom(mean: [0.5, 0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2, 0.2])))";
    for i in 0..32 {
        let image = image::RgbaImage::from_pixel(40, 40, image::Rgba([i * 8, 9, 99, 200]));
        image.save(folder.join(format!("tiles/{i}.png"))).unwrap();
    }
    let normalize =
        [("query", 2), ("key", 1), ("eval", 2)].map(|(view, i)| format!("views.{view}.{i}={statistics}"));
    let source = "data.source=(\"flat-folder\", (root: \"tiles\", read: (bands: [0, 1, 2, 3])))";
    let mut set = vec![source, "monitor=[]"];
    set.extend(normalize.iter().map(String::as_str));
    let outcome = import(3, &set).done();
    assert!(outcome.stdout.contains("channels  the first layer takes 4 channels: its kernels"), "{outcome}");
    // As the hint says it, weights of four channels fit.
    import(4, &set).done();
}
