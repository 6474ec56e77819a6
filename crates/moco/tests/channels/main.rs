//! Images of other channels than red, green and blue, from the dataset to another program.

mod bands;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use moco::exchange::{ExportOptions, ForeignWeights, ImportNote, Target, export};
use moco::{EmbedError, Encoder, Level, Pipeline, Run, RunOptions, Silent, parse_pipeline};
use pipeline::EncoderPipeline;
use plugin_api::{ByteImage, FloatImage};
use tempfile::tempdir;

use bands::Bands;

const RESNET: &str = r#"("resnet", (depth: 18, width: 8, stem: ImageNet))"#;
const VIT: &str = r#"("vit", (patch: 16, dim: 32, depth: 2, heads: 2))"#;

/// Steps that take any channels, in height and width that differ.
fn text(channels: usize, backbone: &str) -> String {
    let numbers = |first: f64| -> Vec<f64> { (0..channels).map(|c| first + c as f64 / 100.0).collect() };
    let normalize =
        format!("(\"normalize\", (statistics: Custom(mean: {:?}, std: {:?})))", numbers(0.4), numbers(0.2));
    format!(
        r#"Pipeline(
    name: "bands",
    seed: 3,
    data: (source: ("bands", (channels: {channels})), batch: 12),
    views: {{
        "query": [
            ("random-resized-crop", (size: (96, 64), scale: (0.4, 1.0))),
            ("gaussian-blur", (p: 0.5)),
            ("solarize", (p: 0.2)),
            ("flip", (p: 0.5)),
            {normalize},
        ],
        "key": [("random-resized-crop", (size: (96, 64), scale: (0.4, 1.0))), {normalize}],
    }},
    modules: {{
        "backbone": {backbone},
        "head": ("mlp", (out: 16)),
        "contrast": ("queue", (len: 24, temperature: 0.2)),
    }},
    graph: [
        (id: "q", run: ["backbone", "head"], on: ["query"]),
        (id: "k", run: ["backbone", "head"], on: ["key"], weights: Momentum),
        (id: "loss", run: ["contrast"], on: ["q", "k"]),
    ],
    momentum: (start: 0.99),
    optimizer: ("sgd", (momentum: 0.9, weight_decay: 1e-4)),
    learning_rate: (base: 0.03, scale: Absolute),
    schedule: ("cosine", (per: Step)),
    epochs: 1,
    monitor: [("knn", (every: 1, k: 5))],
)
"#
    )
}

fn pipeline(channels: usize, backbone: &str) -> Pipeline {
    parse_pipeline("bands", &text(channels, backbone), &[]).unwrap()
}

/// The folder of a run of one epoch.
fn trained(root: &Path, name: &str, channels: usize, backbone: &str) -> PathBuf {
    let options = RunOptions { folder: Some(root.join(name)), ..RunOptions::default() };
    let mut run = Run::create_with(pipeline(channels, backbone), &options).unwrap();
    let summary = run.train(&mut Silent).unwrap();
    assert_eq!(summary.n_steps, 2);
    run.folder().path().to_owned()
}

#[test]
fn images_of_any_channels_train_and_are_embedded() {
    let root = tempdir().unwrap();
    for (channels, backbone) in [(1, RESNET), (2, VIT), (4, VIT), (5, RESNET), (16, RESNET)] {
        let run = trained(root.path(), &channels.to_string(), channels, backbone);
        let mut encoder = Encoder::load(&run).unwrap();
        assert_eq!((encoder.channels(), encoder.image_size()), (channels, (96, 64)));
        let images: Vec<ByteImage> = (0..6).map(|i| Bands { channels }.image(i)).collect();
        let given = encoder.embed(&images).unwrap();
        assert!(given.values().iter().all(|value| value.is_finite()));
        // As the dataset gives them.
        let dataset = encoder.dataset().unwrap().open().unwrap();
        let (of_dataset, unreadable) = encoder.embed_dataset(&dataset.train).unwrap();
        assert!(unreadable.is_empty());
        assert_eq!(of_dataset.values()[..given.values().len()], *given.values());
        // The last channel has its influence.
        let mut changed = images[..1].to_vec();
        changed[0]
            .values
            .iter_mut()
            .skip(channels - 1)
            .step_by(channels)
            .for_each(|value| *value = 255 - *value);
        assert_ne!(encoder.embed(&changed).unwrap().row(0), given.row(0));
    }
}

#[test]
fn images_of_other_channels_than_the_encoders_cannot_be_embedded() {
    let root = tempdir().unwrap();
    let mut encoder = Encoder::load(trained(root.path(), "run", 4, RESNET)).unwrap();
    let refused = |outcome: Result<_, EmbedError>| match outcome {
        Err(EmbedError::Unreadable { image }) => image.reason,
        other => panic!("{:?}", other.map(|_: moco::Embeddings| "features")),
    };
    let rgb = ByteImage::rgb(80, 80, vec![9; 80 * 80 * 3]);
    assert_eq!(refused(encoder.embed(&[rgb])), "it has 3 channels, but the encoder takes 4");
    let short = ByteImage { width: 80, height: 80, channels: 4, values: vec![9; 80 * 80 * 3] };
    assert_eq!(refused(encoder.embed(&[short])), "it has 19200 values instead of 80 x 80 x 4");
}

#[test]
fn what_needs_other_channels_is_refused_before_an_image_is_read() {
    let refused = |text: &str| {
        let error = parse_pipeline("bands", text, &[]).map(drop).unwrap_err();
        error.to_string()
    };
    let four = text(4, RESNET);
    let jittered = four.replace("(\"solarize\", (p: 0.2))", "(\"color-jitter\", (hue: 0.1))");
    assert!(
        refused(&jittered)
            .contains("`color-jitter` changes colors, red, green and blue, but the images have 4 channels")
    );
    let rgb = four.replace("channels: 4", "channels: 3");
    assert!(refused(&rgb).contains("`normalize` has statistics of 4 channels, but the images have 3"));
    for n in [0, 17] {
        let said = refused(&four.replace("channels: 4", &format!("channels: {n}")));
        assert!(
            said.contains(&format!("the images have {n} channels, but they must have from 1 to 16")),
            "{said}"
        );
    }
}

/// Without the dataset's plugin, the views tell.
#[test]
fn an_encoder_knows_its_channels_without_its_dataset() {
    let device = moco::device().unwrap();
    let text = text(4, RESNET).replace("(\"bands\", (channels: 4))", "(\"elsewhere\", ())");
    let pipeline = EncoderPipeline::parse("bands", &text, Level::Backbone, &device).unwrap();
    assert!(pipeline.dataset.is_err());
    assert_eq!((pipeline.channels, pipeline.trained_size), (4, (96, 64)));
}

#[test]
fn weights_for_rgb_start_an_encoder_of_other_channels() {
    let root = tempdir().unwrap();
    for (kind, backbone, target) in [("resnet", RESNET, Target::Torchvision), ("vit", VIT, Target::Timm)] {
        let of_rgb = trained(root.path(), kind, 3, backbone);
        let file = root.path().join(format!("{kind}.safetensors"));
        export(&of_rgb, &file, &ExportOptions::new(target)).unwrap();
        for channels in [1, 4, 6] {
            let mut adapted = None;
            let mut note = |note: ImportNote<'_>| {
                if let ImportNote::Adapted { channels } = note {
                    adapted = Some(channels);
                }
            };
            let options = RunOptions {
                folder: Some(root.path().join(format!("{kind} of {channels}"))),
                ..RunOptions::default()
            };
            let weights = ForeignWeights::read(&file).unwrap();
            let run = weights.create_run(pipeline(channels, backbone), true, &options, &mut note).unwrap();
            assert_eq!(adapted, Some(channels));
            let mut encoder = run.encoder().unwrap();
            let image = Bands { channels }.image(0);
            assert!(encoder.embed(&[image]).unwrap().values().iter().all(|value| value.is_finite()));
        }
        // And of four channels to four: as they are.
        let of_four = trained(root.path(), &format!("{kind} of four"), 4, backbone);
        export(&of_four, &root.path().join("four.safetensors"), &ExportOptions::new(target)).unwrap();
        let weights = ForeignWeights::read(&root.path().join("four.safetensors")).unwrap();
        assert_eq!(weights.architecture.channels(), 4);
        assert!(weights.report().fits());
        let mut note = |note: ImportNote<'_>| assert!(!matches!(note, ImportNote::Adapted { .. }));
        let options =
            RunOptions { folder: Some(root.path().join(format!("{kind} again"))), ..RunOptions::default() };
        let run = weights.create_run(pipeline(4, backbone), true, &options, &mut note).unwrap();
        let images = [Bands { channels: 4 }.image(0)];
        let before = Encoder::load(&of_four).unwrap().embed(&images).unwrap();
        assert_eq!(run.encoder().unwrap().embed(&images).unwrap(), before);
    }
}

/// What the view `eval` makes of images, `(N, C, H, W)`, and its shape.
fn seen(run: &Path, images: &[ByteImage]) -> ([usize; 4], Vec<f32>) {
    let device = moco::device().unwrap();
    let pipeline = Pipeline::read(&run.join("pipeline.ron"), &[], &device).unwrap();
    let view = pipeline.view("eval").unwrap();
    let mut values = Vec::new();
    for (i, image) in images.iter().enumerate() {
        let FloatImage { channels, values: seen, .. } =
            view.transform.apply(image.clone(), 3, 0, i as u64, "eval");
        values.extend(
            (0..channels).flat_map(|c| seen.iter().copied().skip(c).step_by(channels).collect::<Vec<_>>()),
        );
    }
    ([images.len(), view.channels, view.size.0, view.size.1], values)
}

/// Runs `tests/python/round_trip.py`, where `MOCO_PYTHON`, or else `python3`, has what it needs.
#[test]
fn exported_encoders_of_four_channels_give_the_same_features_in_python() {
    let python = PathBuf::from(std::env::var_os("MOCO_PYTHON").unwrap_or("python3".into()));
    let imports = ["-c", "import torch, torchvision, timm, safetensors, onnx, onnxruntime"];
    let has_all = Command::new(&python).args(imports).stderr(Stdio::null()).status();
    if !has_all.is_ok_and(|status| status.success()) {
        // Past the test harness, which keeps to itself what a passing test prints.
        writeln!(
            std::io::stderr(),
            "\nSKIPPED: four channels in Python; MOCO_PYTHON names one with PyTorch\n"
        )
        .unwrap();
        return;
    }
    let root = tempdir().unwrap();
    let wide = RESNET.replace("width: 8", "width: 64");
    let conv = VIT.replace("heads: 2", "heads: 2, stem: Conv");
    let cases: [(&str, &str, &[Target]); 4] = [
        ("narrow", RESNET, &[Target::Torchvision, Target::Moco, Target::Onnx]),
        ("wide", &wide, &[Target::Torchvision, Target::Timm, Target::Onnx]),
        ("vit", VIT, &[Target::Timm, Target::Onnx]),
        ("conv", &conv, &[Target::Onnx]),
    ];
    let images: Vec<ByteImage> = (0..8).map(|i| Bands { channels: 4 }.image(i)).collect();
    let mut arguments = vec![PathBuf::from("check")];
    let mut n_files = 0;
    for (name, backbone, targets) in cases {
        let run = trained(root.path(), name, 4, backbone);
        let (shape, values) = seen(&run, &images);
        let features = Encoder::load(&run).unwrap().embed(&images).unwrap();
        let expected = root.path().join(format!("{name}.features"));
        save(
            &expected,
            &[("images", &shape, &values), ("features", &[images.len(), features.d()], features.values())],
        );
        arguments.extend([PathBuf::from("--"), expected]);
        for target in targets {
            let file = root.path().join(format!("{name}-{target}.{}", target.extension()));
            export(&run, &file, &ExportOptions::new(*target)).unwrap();
            arguments.push(file);
            n_files += 1;
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/python/round_trip.py");
    let output =
        Command::new(&python).arg(script).args(&arguments).current_dir(root.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    writeln!(std::io::stdout(), "{said}").unwrap();
    assert_eq!(said.lines().count(), n_files, "{said}");
    for line in said.lines() {
        let off: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(off <= 3e-6, "{line}");
    }
}

fn save(path: &Path, tensors: &[(&str, &[usize], &[f32])]) {
    use safetensors::tensor::{Dtype, TensorView};
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}
