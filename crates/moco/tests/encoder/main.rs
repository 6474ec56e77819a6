//! The encoder of a run gives the features that were measured while it trained.

mod tiny_run;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};
use loader::UnreadableLog;
use moco::{EmbedError, Embeddings, Encoder, EncoderOptions, Level, LoadError, OpenRun, Weights, Which};
use pipeline::Pipeline;
use plugin_api::{Embed, Split};
use processes::Alone;
use tempfile::tempdir;
use train_core::engine::Engine;
use train_core::trainer::Measure;

/// A picture of its own for each number.
fn picture(number: u32) -> RgbImage {
    let side = 20 + number * 3;
    RgbImage::from_fn(side, side + number % 5, |x, y| {
        let inside = x.abs_diff(side / 2) + y.abs_diff(side / 2) < 4 + number % 7;
        let shade = (x * 5 + y * 3 + number * 17) as u8;
        if inside { Rgb([255 - shade, number as u8 * 9, 30]) } else { Rgb([shade, 90, shade / 2]) }
    })
}

/// `n` PNG files in `folder`, sorted by name.
fn pictures(folder: &Path, n: u32) -> Vec<PathBuf> {
    std::fs::create_dir_all(folder).unwrap();
    let write = |number| {
        let path = folder.join(format!("{number:02}.png"));
        picture(number).save(&path).unwrap();
        path
    };
    (0..n).map(write).collect()
}

fn load(run: &Path, change: impl FnOnce(&mut EncoderOptions)) -> Encoder {
    let mut options = EncoderOptions { workers: Some(2), ..EncoderOptions::default() };
    change(&mut options);
    Encoder::load_with(run, &options).unwrap()
}

fn bits(embeddings: &Embeddings) -> Vec<u32> {
    embeddings.values().iter().map(|value| value.to_bits()).collect()
}

/// What a monitor is given for the training images of the run.
fn measured(run: &Path, view: &str, level: Level) -> Vec<f32> {
    let device = moco::device().unwrap();
    let open = OpenRun::open(run, Which::Latest).unwrap();
    let pipeline = Pipeline::read(&open.folder.pipeline(), &[], &device).unwrap();
    let mut engine = Engine::new(pipeline.network, pipeline.seed, device, Arc::new(Alone)).unwrap();
    engine.load(&open.snapshot).unwrap();
    let splits = pipeline.dataset.open().unwrap();
    let measure = Measure {
        splits: &splits,
        views: &pipeline.views,
        trained_size: pipeline.trained_size,
        seed: pipeline.seed,
        batch: pipeline.batch,
        n_workers: 1,
        unreadable: &Arc::new(UnreadableLog::new(splits.train.len(), 0.0)),
    };
    measure.embed(&mut engine, Embed { split: Split::Train, view, level }).unwrap().unwrap().rows
}

#[test]
fn features_are_those_of_the_monitors_bit_for_bit() {
    let root = tempdir().unwrap();
    let files = pictures(&root.path().join("images"), 21);
    let source = format!(r#"("flat-folder", (root: {:?}))"#, root.path().join("images"));
    let run = tiny_run::write_with(root.path(), &source);
    // The head ends before the predictor, through which no key passes. A view that draws does so by the image's place.
    for (level, view, d) in
        [(Level::Backbone, "eval", 32), (Level::Head, "eval", 16), (Level::Backbone, "query", 32)]
    {
        let mut encoder = load(&run, |options| {
            options.level = level;
            options.view = view.into();
        });
        let embeddings = encoder.embed(&files).unwrap();
        assert_eq!((embeddings.n(), embeddings.d(), encoder.n_features()), (21, d, d));
        assert!(embeddings.values().iter().all(|value| value.is_finite()));
        let expected: Vec<u32> = measured(&run, view, level).into_iter().map(f32::to_bits).collect();
        assert!(bits(&embeddings) == expected, "{level:?}, {view}");
    }
}

#[test]
fn batch_workers_threads_and_order_change_no_bit() {
    let root = tempdir().unwrap();
    let files = pictures(root.path(), 21);
    let run = tiny_run::write(root.path());
    let expected = load(&run, |_| {}).embed(&files).unwrap();
    for (batch, n_workers, n_threads) in [(1, 1, 1), (5, 3, 2), (64, 2, 3)] {
        let mut encoder = load(&run, |options| {
            options.batch = Some(batch);
            options.workers = Some(n_workers);
            options.threads = Some(n_threads);
        });
        assert!(bits(&encoder.embed(&files).unwrap()) == bits(&expected), "batch {batch}");
        let backwards: Vec<&PathBuf> = files.iter().rev().collect();
        let turned = encoder.embed(&backwards).unwrap();
        let mut rows: Vec<&[f32]> = turned.rows().collect();
        rows.reverse();
        assert!(rows.concat() == expected.values(), "batch {batch}, backwards");
    }
}

#[test]
fn an_image_in_memory_is_as_good_as_its_file() {
    let root = tempdir().unwrap();
    let run = tiny_run::write(root.path());
    let mut encoder = load(&run, |_| {});
    let files = pictures(&root.path().join("images"), 4);
    let expected = encoder.embed(&files).unwrap();
    let opened: Vec<DynamicImage> = files.iter().map(|file| image::open(file).unwrap()).collect();
    assert_eq!(encoder.embed(&opened).unwrap(), expected);
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    assert_eq!(encoder.embed(&names).unwrap(), expected);
    let gray = DynamicImage::ImageLuma8(GrayImage::from_pixel(9, 40, Luma([77])));
    let rgb = DynamicImage::ImageRgb8(RgbImage::from_pixel(9, 40, Rgb([77; 3])));
    let both = encoder.embed(&[gray, rgb]).unwrap();
    assert_eq!(both.row(0), both.row(1));
    let none = encoder.embed::<PathBuf>(&[]).unwrap();
    assert_eq!((none.n(), none.d()), (0, 32));
}

#[test]
fn the_momentum_encoder_and_the_best_checkpoint_are_others() {
    let root = tempdir().unwrap();
    let run = tiny_run::write(root.path());
    let files = pictures(&root.path().join("images"), 2);
    let newest = load(&run, |_| {}).embed(&files).unwrap();
    let momentum = load(&run, |options| options.weights = Weights::Momentum).embed(&files).unwrap();
    let best = load(&run, |options| options.checkpoint = Which::Best).embed(&files).unwrap();
    assert!(newest != momentum && newest != best && momentum != best);
    // A checkpoint is opened by its own path, too.
    let path = run.join("checkpoints/best.safetensors");
    let mut encoder = Encoder::load(&path).unwrap();
    assert_eq!(encoder.checkpoint(), path);
    assert_eq!(encoder.embed(&files).unwrap(), best);
}

#[test]
fn an_unreadable_image_is_an_error_or_is_left_out() {
    let root = tempdir().unwrap();
    let run = tiny_run::write(root.path());
    let mut files = pictures(&root.path().join("images"), 3);
    let bad = root.path().join("images/bad.jpg");
    std::fs::write(&bad, "404 Not Found").unwrap();
    files.insert(1, bad.clone());
    files.push(root.path().join("nothing.png"));
    let mut encoder = load(&run, |options| options.batch = Some(2));
    let error = encoder.embed(&files).unwrap_err();
    let EmbedError::Unreadable { image } = &error else { panic!("{error}") };
    assert_eq!(image.name, bad.display().to_string());
    let (embeddings, unreadable) = encoder.embed_readable(&files).unwrap();
    assert_eq!(embeddings.images(), [0, 2, 3]);
    assert_eq!(unreadable.len(), 2);
    assert_eq!(embeddings.row(1), encoder.embed(&files[2..3]).unwrap().row(0));
    let empty = DynamicImage::new_rgb8(0, 0);
    let error = encoder.embed(&[empty]).unwrap_err();
    assert_eq!(error.to_string(), "image 0: it has no pixels");
}

#[test]
fn what_cannot_be_loaded_is_told() {
    let root = tempdir().unwrap();
    let run = tiny_run::write(root.path());
    let options = EncoderOptions { view: "evl".into(), ..EncoderOptions::default() };
    let error = Encoder::load_with(&run, &options).err().unwrap();
    assert_eq!(error.to_string(), "the run's pipeline has no view `evl`");
    assert_eq!(error.hint().unwrap(), "choose one of: eval, key, query");
    assert!(matches!(Encoder::load(root.path().join("nowhere")).err().unwrap(), LoadError::Run(_)));

    // A checkpoint of a wider encoder.
    let pipeline = run.join("pipeline.ron");
    let text = std::fs::read_to_string(&pipeline).unwrap();
    std::fs::write(&pipeline, text.replace("width: 4", "width: 8")).unwrap();
    let error = Encoder::load(&run).err().unwrap();
    assert!(error.to_string().contains("does not match the run's pipeline: `query.backbone."), "{error}");
    std::fs::write(&pipeline, text.replace("weights: Momentum", "weights: Momentm")).unwrap();
    assert!(matches!(Encoder::load(&run).err().unwrap(), LoadError::Pipeline(_)));
}

#[cfg(not(feature = "cuda"))]
#[test]
fn an_encoder_can_go_to_another_thread() {
    let root = tempdir().unwrap();
    let run = tiny_run::write(root.path());
    let mut encoder = load(&run, |_| {});
    let file = pictures(&root.path().join("images"), 1);
    let here = encoder.embed(&file).unwrap();
    let there = std::thread::spawn(move || encoder.embed(&file).unwrap()).join().unwrap();
    assert_eq!(here, there);
}

#[test]
fn plugins_that_are_only_for_training_need_not_be_linked_in() {
    let root = tempdir().unwrap();
    let files = pictures(&root.path().join("images"), 3);
    let run = tiny_run::write(root.path());
    let expected = load(&run, |_| {}).embed(&files).unwrap();
    let path = run.join("pipeline.ron");
    let text = std::fs::read_to_string(&path).unwrap();
    let foreign = text
        .replace("(\"queue\", ", "(\"my-loss\", ")
        .replace("\"sgd\"", "\"my-optimizer\"")
        .replace("\"query\": [(\"random-resized-crop\", ", "\"query\": [(\"my-crop\", ")
        .replace("\"shapes\"", "\"my-images\"");
    assert_eq!(foreign.matches("\"my-").count(), 4, "{foreign}");
    std::fs::write(&path, foreign).unwrap();
    let mut encoder = load(&run, |_| {});
    assert_eq!(bits(&encoder.embed(&files).unwrap()), bits(&expected));
    let error = encoder.dataset().err().unwrap().to_string();
    assert!(error.contains("no dataset plugin is named `my-images`"), "{error}");
    let seen =
        |view: &str| Encoder::load_with(&run, &EncoderOptions { view: view.into(), ..Default::default() });
    let error = seen("query").err().unwrap().to_string();
    assert!(error.contains("no augmentation plugin is named `my-crop`"), "{error}");
    // What images pass through must be there.
    std::fs::write(&path, text.replace("(\"resnet\", ", "(\"my-net\", ")).unwrap();
    let error = seen("eval").err().unwrap().to_string();
    assert!(error.contains("no backbone, head, loss or objective plugin is named `my-net`"), "{error}");
}

#[test]
fn a_run_without_a_view_for_measuring_gets_one_from_the_view_that_it_is_trained_on() {
    let root = tempdir().unwrap();
    let files = pictures(&root.path().join("images"), 3);
    let run = tiny_run::write(root.path());
    let expected = load(&run, |_| {}).embed(&files).unwrap();
    let path = run.join("pipeline.ron");
    let text = std::fs::read_to_string(&path).unwrap();
    let eval = "        \"eval\": [(\"resize\", (shorter: 32)), (\"center-crop\", (size: 32)), (\"normalize\", (statistics: Cifar10))],\n";
    let without = text.replace(eval, "").replace("    monitor: [(\"knn\", (every: 1, k: 5))],\n", "");
    assert!(!without.contains("eval") && !without.contains("monitor"), "{without}");
    std::fs::write(&path, &without).unwrap();
    assert_eq!(bits(&load(&run, |_| {}).embed(&files).unwrap()), bits(&expected));
    // The whole pipeline has it too, and says so in the text that is kept.
    let pipeline = Pipeline::parse("x", &without, &[], &moco::device().unwrap()).unwrap();
    assert!(pipeline.text.contains("\"eval\": [(\"resize\", (shorter: 32)), (\"center-crop\", (size: 32)), (\"normalize\", (statistics: Cifar10))]"), "{}", pipeline.text);
    let again = Pipeline::parse("x", &pipeline.text, &[], &moco::device().unwrap()).unwrap();
    assert_eq!(again.text, pipeline.text);
    // No step can take it away.
    let named = without.replace("\"loss\"", "\"eval\"");
    let error = Pipeline::parse("x", &named, &[], &moco::device().unwrap()).err().unwrap();
    assert_eq!(error.message, "`eval` is the name of the view for measuring, and no step can have it");
}
