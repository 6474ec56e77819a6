use super::*;
use crate::data::Channel;

fn looked(n_images: usize, median: usize) -> Looked {
    Looked::new("photos", n_images, [median.saturating_sub(4).max(1), median, median + 90])
}

fn labeled(n_images: usize, n_classes: usize) -> Looked {
    Looked { n_classes, ..looked(n_images, 32) }
}

fn chosen(looked: &Looked, wishes: &Wishes) -> Recipe {
    Recipe::choose(looked, wishes).unwrap_or_else(|error| panic!("{wishes:?}: {error}"))
}

fn of(n_images: usize, wishes: Wishes) -> Recipe {
    chosen(&looked(n_images, 32), &wishes)
}

#[test]
fn the_size_follows_the_median_of_the_shorter_sides() {
    for (median, size, stem) in [
        (1, 32, Stem::Cifar),
        (48, 32, Stem::Cifar),
        (49, 64, Stem::Cifar),
        (80, 64, Stem::Cifar),
        (81, 96, Stem::ImageNet),
        (160, 96, Stem::ImageNet),
        (161, 224, Stem::ImageNet),
        (4000, 224, Stem::ImageNet),
    ] {
        let recipe = chosen(&looked(2000, median), &Wishes::default());
        assert_eq!((recipe.size.value, recipe.stem.unwrap().value), (size, stem), "{median}");
        assert!(recipe.size.why.contains(&median.to_string()));
    }
    let wish = |size| Recipe::choose(&looked(2000, 500), &Wishes { size: Some(size), ..Wishes::default() });
    assert!(wish(48).is_ok_and(|recipe| recipe.size == Chosen::given(48)));
    for size in [0, 7, 1025] {
        assert!(matches!(wish(size), Err(RecipeError::OutOfRange { what: "the size", .. })), "{size}");
    }
}

#[test]
fn the_backbone_follows_the_processor() {
    let of = |processor| of(5000, Wishes { processor, ..Wishes::default() }).backbone.value;
    assert_eq!(of(Processor::Cpu), Backbone::ResNet(18));
    assert_eq!(of(Processor::Gpu), Backbone::ResNet(50));
}

#[test]
fn bfloat16_is_chosen_where_it_is_fast() {
    for (has_bf16, line) in
        [(true, "precision: Bf16, // half the memory"), (false, "precision: F32, // `Bf16` would")]
    {
        let text = of(5000, Wishes { has_bf16, ..Wishes::default() }).to_ron();
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn few_images_make_small_batches_and_too_few_are_refused() {
    for (n_images, batch) in [(16, 8), (20, 8), (63, 8), (64, 16), (255, 32), (300, 64), (100_000, 64)] {
        assert_eq!(of(n_images, Wishes::default()).batch.value, batch, "{n_images}");
    }
    for n_images in [0, 1, 15] {
        let error = Recipe::choose(&looked(n_images, 32), &Wishes::default()).unwrap_err();
        assert_eq!(error, RecipeError::TooFewImages { n_images, least: 16 });
        assert!(!error.hint().is_empty());
    }
    let wish = |n_images, batch| {
        Recipe::choose(&looked(n_images, 32), &Wishes { batch: Some(batch), ..Wishes::default() })
    };
    assert_eq!(wish(9, 8).unwrap().batch, Chosen::given(8));
    assert_eq!(wish(9, 10).unwrap_err(), RecipeError::Batch { batch: 10, n_images: 9 });
    assert!(wish(9, 1).is_err());
}

#[test]
fn large_images_and_gpus_have_batches_of_their_own() {
    for (processor, median, batch) in [
        (Processor::Cpu, 32, 64),
        (Processor::Cpu, 500, 64),
        (Processor::Gpu, 32, 256),
        (Processor::Gpu, 500, 128),
    ] {
        let wishes = Wishes { processor, ..Wishes::default() };
        assert_eq!(chosen(&looked(50_000, median), &wishes).batch.value, batch, "{processor:?} {median}");
    }
}

#[test]
fn the_queue_is_whole_batches_within_its_three_bounds() {
    for n_images in [16, 20, 64, 100, 700, 6000, 50_000, 1_300_000] {
        for batch in [None, Some(8), Some(13)] {
            let recipe = of(n_images, Wishes { batch, ..Wishes::default() });
            let (queue, batch, m) =
                (recipe.queue.clone().unwrap().value, recipe.batch.value, recipe.momentum.value);
            assert!(queue.is_multiple_of(batch) && queue >= batch, "{n_images}: {queue} of {batch}");
            assert!(queue <= (recipe.n_train / 2).max(batch), "{n_images}: {queue} of {}", recipe.n_train);
            let turnover = (queue / batch) as f64;
            assert!(turnover <= (1.0 / (1.0 - m)).round(), "{n_images}: {turnover} steps at {m}");
            assert!(queue <= 65_536);
        }
    }
    // Half of the images, the memory of the momentum encoder, and the papers' length.
    let queue = |n_images, epochs| {
        of(n_images, Wishes { epochs: Some(epochs), ..Wishes::default() }).queue.unwrap().value
    };
    assert_eq!(queue(6000, 20), 2816);
    assert_eq!(queue(50_000, 20), 6400);
    assert_eq!(queue(1_300_000, 200), 64_000);
}

#[test]
fn the_length_of_the_queue_has_a_true_reason() {
    let why = |n_images, batch| {
        let recipe = of(n_images, Wishes { batch: Some(batch), ..Wishes::default() });
        recipe.queue.unwrap().comment()
    };
    assert_eq!(why(128, 8), "half of 128 training images: an image should not meet itself");
    // 64 of 90.
    assert_eq!(
        why(180, 32),
        "half of 180 training images, rounded down to whole batches: an image should not meet itself"
    );
    let papers = |batch| {
        let wishes = Wishes { batch: Some(batch), epochs: Some(200), ..Wishes::default() };
        of(4_000_000, wishes).queue.unwrap()
    };
    assert_eq!((papers(256).value, &*papers(256).why), (65_536, "as long as the papers'"));
    let rounded = papers(240);
    assert_eq!(
        (rounded.value, &*rounded.why),
        (65_520, "as long as the papers', rounded down to whole batches")
    );
}

#[test]
fn the_momentum_has_a_true_reason_in_short_runs_too() {
    let why = |n_images, epochs, method| {
        let wishes =
            Wishes { epochs: Some(epochs), batch: Some(8), method: Some(method), ..Wishes::default() };
        of(n_images, wishes).momentum.comment()
    };
    assert_eq!(why(160, 5, Method::V2), "the key encoder remembers about 100 steps of 100");
    let short = |part: &str| {
        format!("keys must change slowly, also in a short run: after its {part} % what it began as")
    };
    assert_eq!(why(80, 1, Method::V2), short("10 steps the key encoder is still to 90"));
    assert_eq!(why(15, 1, Method::V2), short("1 step the key encoder is still to 99"));
    assert_eq!(why(144, 2, Method::V3), short("36 steps the key encoder is still to at least 70"));
}

#[test]
fn the_blur_has_a_true_reason_at_each_size() {
    for (size, why) in [(64, "these 64"), (96, "these 96")] {
        let recipe = of(2000, Wishes { size: Some(size), ..Wishes::default() });
        let blur = recipe.views.blur;
        assert_eq!(blur.why, format!("half of the papers' blur: their images have 224 px, and {why}"));
    }
    assert_eq!(of(2000, Wishes { size: Some(224), ..Wishes::default() }).views.blur.why, "the papers' blur");
}

/// 1,600 steps by the batch that was chosen, and 800 by the one that takes its place.
#[test]
fn reasons_speak_of_the_run_as_it_will_be() {
    let recipe = of(20, Wishes::default());
    assert_eq!(recipe.course(), Course { n_train: 20, batch: 8, epochs: 800 });
    let text = recipe.to_ron();
    for part in ["; 2 steps an epoch", "// 1,600 steps: longer would show", "100 steps of 1,600"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let changed = recipe.clone().with_course(Course { batch: 16, ..recipe.course() });
    assert_eq!((changed.batch.value, changed.momentum.value), (8, 0.99));
    let text = changed.to_ron();
    for part in ["; 1 step an epoch", "// 800 steps: longer would show", "100 steps of 800"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let short = recipe.clone().with_course(Course { epochs: 3, ..recipe.course() });
    assert!(short.to_ron().contains("after its 6 steps the key encoder"), "{}", short.to_ron());
}

#[test]
fn checkpoints_are_counted() {
    for (epochs, told) in [(40, "20 of them"), (21, "11 of them")] {
        let text = of(600, Wishes { epochs: Some(epochs), ..Wishes::default() }).to_ron();
        assert!(text.contains(&format!("checkpoint: (every_epochs: 2), // {told} over the run")), "{text}");
    }
}

#[test]
fn small_sets_get_more_epochs_within_bounds() {
    let epochs = |n_images| of(n_images, Wishes::default()).epochs.value;
    assert_eq!(epochs(20), 800);
    assert_eq!(epochs(6000), 57);
    assert_eq!(epochs(50_000), 10);
    assert_eq!(epochs(1_000_000), 10);
    assert!([20, 600, 6000, 50_000].map(epochs).is_sorted_by(|a, b| a >= b));
}

#[test]
fn the_momentum_follows_the_length_of_the_run() {
    let momentum = |n_images, epochs, method| {
        let wishes = Wishes { epochs: Some(epochs), method: Some(method), ..Wishes::default() };
        of(n_images, wishes).momentum.value
    };
    assert_eq!(momentum(600, 5, Method::V2), 0.99);
    assert_eq!(momentum(6000, 20, Method::V2), 0.99);
    assert_eq!(momentum(50_000, 200, Method::V2), 0.996);
    assert_eq!(momentum(1_300_000, 200, Method::V2), 0.999);
    assert_eq!(momentum(1_300_000, 200, Method::V3), 0.996);
}

#[test]
fn a_share_is_held_out_only_where_it_says_something() {
    let recipe = chosen(&labeled(6000, 10), &Wishes::default());
    assert_eq!((recipe.held_out.value, recipe.knn.value, recipe.n_train), (Some(0.05), Some(200), 5700));
    assert!(recipe.to_ron().contains("\"split\", ("));
    let few = chosen(&labeled(150, 10), &Wishes::default());
    assert_eq!((few.held_out.value, few.knn.value, few.n_train), (None, None, 150));
    let own_test = Looked { n_test: 100, n_held_out: 0, ..labeled(6000, 10) };
    let own_test = chosen(&own_test, &Wishes::default());
    assert_eq!((own_test.held_out.value, own_test.knn.value, own_test.n_train), (None, Some(200), 6000));
    assert!(!own_test.to_ron().contains("split\""));
    assert_eq!(chosen(&labeled(1500, 10), &Wishes::default()).knn.value, Some(20));
    let without_labels = chosen(&labeled(6000, 0), &Wishes::default());
    assert_eq!((without_labels.held_out.value, without_labels.knn.value), (Some(0.05), None));
    assert!(!without_labels.to_ron().contains("\"knn\""));
    let one_class = chosen(&labeled(6000, 1), &Wishes::default());
    assert_eq!(one_class.knn.value, None);
    assert!(one_class.to_ron().contains("// there is one class, with which kNN says nothing"));
}

#[test]
fn what_fits_into_a_time_is_said_in_the_file() {
    let fitted = |epochs, part| Wishes {
        fitted: Some(Fitted { time: std::time::Duration::from_secs(600), epochs, part }),
        ..Wishes::default()
    };
    let recipe = of(6000, fitted(7, None));
    assert_eq!((recipe.epochs.value, recipe.train_share), (7, None));
    assert!(recipe.epochs.why.contains("10 min"));
    // As `split` draws them, which is not to the image.
    let part = of(100_000, fitted(1, Some(Part { share: 0.25, n_images: 24_900 })));
    assert_eq!((part.epochs.value, part.n_train), (1, 24_900));
    let text = part.to_ron();
    for line in [
        "train: 0.25, // one pass over all the images would not fit into 10 min; with more time, more are",
        "batch: 64, // on a CPU more steps are worth more than larger ones; 389 steps an epoch",
        "// the key encoder remembers about 100 steps of 389",
        "epochs: 1, // 389 steps: what fits into 10 min, by the speed measured here",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    // What the person says counts more.
    assert_eq!(of(6000, Wishes { epochs: Some(3), ..fitted(7, None) }).epochs, Chosen::given(3));
}

#[test]
fn values_that_were_given_are_marked() {
    let wishes = Wishes {
        method: Some(Method::V1),
        size: Some(48),
        backbone: Some(Backbone::ResNet(34)),
        epochs: Some(3),
        batch: Some(32),
        seed: Some(7),
        ..Wishes::default()
    };
    let text = of(6000, wishes).to_ron();
    for line in [
        "seed: 7, // yours",
        "depth: 34, // yours",
        "batch: 32, // yours; 178 steps an epoch",
        "epochs: 3, // yours",
        "graph: [ // v1: yours",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(text.contains("(size: 48, scale: (0.2, 1.0))), // the size is yours"), "{text}");
}

/// Every line of the file that has a value of a recipe says why.
#[test]
fn every_written_pipeline_checks_and_gives_its_reasons() {
    let colors = |n: usize| vec![Channel { mean: 0.4, std: 0.0 }; n];
    let mut n_checked = 0;
    for method in Method::ALL {
        for size in [32, 64, 96, 224] {
            for (channels, is_gray) in [(3, false), (3, true), (1, false), (5, false)] {
                for backbone in [Backbone::ResNet(18), Backbone::ResNet(50), Backbone::VitTiny] {
                    // Only what is small is built for all sizes.
                    if backbone != Backbone::ResNet(18) && size != 64 {
                        continue;
                    }
                    let wishes = Wishes {
                        method: Some(method),
                        size: Some(size),
                        backbone: Some(backbone),
                        batch: Some(8),
                        ..Wishes::default()
                    };
                    let found = Looked {
                        channels,
                        is_gray,
                        colors: colors(channels),
                        n_classes: 3,
                        ..looked(1000, size)
                    };
                    let text = chosen(&found, &wishes).to_ron();
                    let bands: Vec<String> = (0..channels).map(|band| band.to_string()).collect();
                    let bands = format!("data.source.of.read=(bands: [{}])", bands.join(", "));
                    let mut changes = if channels == 3 { vec![] } else { vec![bands] };
                    // Small, so that many can be built.
                    let small = if backbone.is_vit() { "depth=1" } else { "width=8" };
                    changes.push(format!("modules.backbone.{small}"));
                    check(&text, &changes);
                    n_checked += 1;
                    for field in [
                        "momentum: (",
                        "optimizer: (",
                        "learning_rate: (",
                        "schedule: (",
                        "epochs: ",
                        "batch: ",
                    ] {
                        let line = text.lines().find(|line| line.trim_start().starts_with(field)).unwrap();
                        assert!(line.contains(" // "), "{line}");
                    }
                }
            }
        }
    }
    assert_eq!(n_checked, 3 * 4 * (4 + 2));
}

#[cfg(feature = "train")]
fn check(text: &str, changes: &[String]) {
    let pipeline =
        crate::parse_pipeline("recipe", text, changes).unwrap_or_else(|error| panic!("{error}\n{text}"));
    // The file that a run keeps has the reasons too.
    for comment in text.lines().filter_map(|line| line.split_once("// ").map(|(_, comment)| comment)) {
        assert!(pipeline.text.contains(comment), "{comment}");
    }
}

#[cfg(not(feature = "train"))]
fn check(text: &str, changes: &[String]) {
    assert!(text.contains("Pipeline(") && changes.len() < 3);
}

#[test]
fn a_vit_gets_patches_that_divide_its_images() {
    for (size, patch) in [(32, 4), (48, 4), (64, 8), (96, 8), (224, 16), (196, 14)] {
        let wishes = Wishes { size: Some(size), backbone: Some(Backbone::VitTiny), ..Wishes::default() };
        let recipe = of(6000, wishes);
        assert_eq!((recipe.patch.unwrap().value, recipe.stem), (patch, None), "{size}");
    }
    let wishes = Wishes { size: Some(33), backbone: Some(Backbone::VitTiny), ..Wishes::default() };
    let error = Recipe::choose(&looked(6000, 32), &wishes).unwrap_err();
    assert!(error.to_string().contains("the size is 33"), "{error}");
}

#[test]
fn names_of_methods_and_backbones_are_read_as_they_are_written() {
    for method in Method::ALL {
        assert_eq!(method.to_string().parse(), Ok(method));
    }
    for backbone in Backbone::ALL {
        assert_eq!(backbone.to_string().parse(), Ok(backbone));
    }
    assert!("v4".parse::<Method>().unwrap_err().contains("`v2`"));
    assert!("swin".parse::<Backbone>().unwrap_err().contains("choose from `resnet18`"));
    for (other, name) in [
        ("resnet-50", "resnet50"),
        ("ResNet-50", "resnet50"),
        ("ResNet18", "resnet18"),
        ("vit_small", "vit-small"),
        ("ViT-Tiny", "vit-tiny"),
    ] {
        let refused = other.parse::<Backbone>().unwrap_err();
        assert_eq!(refused, format!("no encoder is named `{other}`; did you mean `{name}`?"));
    }
}
