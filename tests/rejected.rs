//! What is wrong with a pipeline is told once, at its line, with what to do.
//!
//! Each case of `rejected/` is `small.ron` with one fault, in the line that ends in `// <- here`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use tempfile::tempdir;

use crate::rejected_cases::{Case, case, topics};
use crate::support::{here, xtask};

const MARK: &str = "// <- here";

/// The line that the first arrow of a message points to.
fn told_line(file: &str, stderr: &str) -> Option<usize> {
    let (_, place) = stderr.split_once(&format!("--> {file}:"))?;
    place.split(':').next()?.parse().ok()
}

/// What is said of one file, which must be one error at its marked line; or what is wrong with that.
fn said(case: &Case, folder: &Path) -> Result<String, String> {
    let text = case.write(folder);
    let marked: Vec<usize> =
        text.lines().zip(1..).filter(|(line, _)| line.ends_with(MARK)).map(|(_, number)| number).collect();
    let [marked] = marked[..] else { return Err(format!("{} lines end in `{MARK}`", marked.len())) };
    let file = case.file();
    let outcome = xtask(folder, ["check", &file]);
    if outcome.code != Some(1) || !outcome.stdout.is_empty() || outcome.stderr.contains("panicked") {
        return Err(outcome.to_string());
    }
    let n_errors = outcome.stderr.lines().filter(|line| line.starts_with("error")).count();
    if n_errors != 1 || told_line(&file, &outcome.stderr) != Some(marked) {
        return Err(format!("one error at line {marked} was expected\n{}", outcome.stderr));
    }
    Ok(outcome.stderr)
}

#[test]
fn every_broken_pipeline_gets_one_error_at_its_line() {
    let folder = tempdir().unwrap();
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut names = Vec::new();
    let mut text = String::new();
    for mut topic in topics() {
        for case in &mut topic.cases {
            names.push(case.name.clone());
            let complaint = match said(case, folder.path()) {
                Ok(said) if case.expects(&said) => continue,
                Ok(said) if update => {
                    case.expected = said.trim_end().to_owned();
                    continue;
                }
                Ok(said) => case.difference(&said),
                Err(complaint) => complaint,
            };
            writeln!(text, "\n--- {}\n{complaint}", case.name).unwrap();
        }
        if update {
            topic.write();
        }
    }
    let n_cases = names.len();
    assert!(n_cases >= 128, "only {n_cases} broken pipelines are left");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), n_cases, "two cases have one name");
    assert!(text.is_empty(), "{text}");
}

/// The file of a case in `folder`.
fn rejected(folder: &Path, name: &str) -> PathBuf {
    let case = case(name);
    case.write(folder);
    folder.join(case.file())
}

#[test]
fn a_fault_of_the_command_line_is_shown_in_its_argument() {
    let folder = tempdir().unwrap();
    // What is set, what is said, which piece of the argument is underlined, and what is advised.
    let cases = [
        ("data.batch", "an override needs a path and a value", "data.batch", "`--set data.batch=64`"),
        ("=4", "a name is missing in this path", "", "`data.batch`"),
        ("data..batch=4", "a name is missing in this path", "", "`data.batch`"),
        ("data.batch=", "there is no value here", "", "written as in the file"),
        ("data.batch=[1", "this bracket is never closed", "[", "add `]`"),
        ("data=(source: , batch: 4)", "`source` has no value", "source:", "write `source: value`"),
        ("modules.contrast=(len: temperature: 0.1)", "`len` has no value", "len:", "write `len: value`"),
        ("learning_rate.base=0,03", "a `,` stands in the number `0,03`", "0,03", "a decimal point: `0.03`"),
        ("data.batch=1,000", "a `,` stands in the number `1,000`", "1,000", "stand together: `1000`"),
        ("graph.q.run=\"a\",\"b\"", "`,` after the end of the value", ",", "graph.q.run=[\"a\",\"b\"]"),
        ("epochs=4,", "`,` after the end of the value", ",", "leave out the `,`"),
        ("name=\"a", "no closing quotation mark", "\"a", "written as in the file"),
        ("name=mine", "expected text in quotation marks, found `mine`", "mine", "`\"mine\"`"),
        ("epochs=many", "expected a whole number, found `many`", "many", "in digits, for instance `8`"),
        ("epochs=True", "expected a whole number, found `True`", "True", "this is a number"),
        (
            "modules.backbone.batch_norm_splits=True",
            "resnet: expected a whole number, found `True`",
            "True",
            "this is a number",
        ),
        ("learning_rate.base=yes", "expected a number, found `yes`", "yes", "for instance `0.5`"),
        ("dta.batch=4", "the pipeline has no `dta` here", "dta", "did you mean `data`?"),
        ("data.batc=4", "unknown field `batc` in `data`", "batc", "did you mean `batch`?"),
        ("data.batch=1", "the batch is 1", "1", ""),
        ("modules.backbone.widht=8", "resnet: unknown field `widht`", "widht", "did you mean `width`?"),
        ("modules.backbone.depth=20", "resnet: `depth` is 20", "20", ""),
        ("graph.k.weights=Momentun", "unknown value `Momentun`", "Momentun", "did you mean `Momentum`?"),
        ("views.query.flip.p=2", "flip: `p` is 2", "2", ""),
        ("minimize=[\"loss\"]", "every loss of the graph is minimized", "minimize", "remove it"),
        ("graph.loss.weight=-1", "the weight is -1", "-1", ""),
        ("modules.head=linear", "expected a plugin, found `linear`", "linear", "write `(\"linear\", ())`"),
        ("modules.head=\"linear\"", "expected a plugin, found", "\"linear\"", "write `(\"linear\", ())`"),
        ("modules.head=lineer", "expected a plugin, found `lineer`", "lineer", "mean `(\"linear\", ())`"),
        ("optimizer=adam", "expected a plugin, found `adam`", "adam", "did you mean `(\"adamw\", ())`"),
        ("data.source=c200", "expected a plugin, found `c200`", "c200", "no dataset plugin is named `c200`"),
        ("data.source=a/b", "expected a plugin, found `a/b`", "a/b", "there is nothing at `a/b`"),
        ("monitor=[rankme]", "expected a plugin, found `rankme`", "rankme", "did you mean `(\""),
        ("schedule.warmup_epochs=2", "`warmup_epochs` is 2", "2", "`--set schedule.warmup_epochs=1`"),
        ("data.batch=32x", "expected a number, found `32x`", "32x", ""),
        ("data.batch=32.0", "expected a whole number, found `32.0`", "32.0", "write `32`"),
        ("epochs=1e2", "expected a whole number, found `1e2`", "1e2", "write `100`"),
        ("modules.backbone.zero_init_residual=True", "expected `true` or `false`", "True", "write `true`"),
        ("learning_rate=0.1", "expected `(`, found `0.1`", "0.1", "`learning_rate.base=0.1`"),
        ("momentum=0.9", "expected `(`, found `0.9`", "0.9", "`momentum.start=0.9`"),
        ("batch=32", "unknown field `batch`", "batch", "did you mean `data.batch`?"),
        ("lr=0.1", "unknown field `lr`", "lr", "did you mean `learning_rate.base`?"),
        ("width=8", "unknown field `width`", "width", "did you mean `modules.backbone.width`?"),
    ];
    for (set, message, underlined, advice) in cases {
        let stderr = xtask(folder.path(), ["check", &here("small.ron"), "--set", set]).refused();
        let shown = format!("1 | --set {set}\n");
        for piece in [message, "--> the command line:1:", &shown, advice] {
            assert!(stderr.contains(piece), "{piece:?} is not in\n{stderr}");
        }
        assert_eq!(stderr.matches("error").count(), 1, "{stderr}");
        let marks = stderr.matches('^').count();
        assert_eq!(marks, underlined.chars().count().max(1), "{stderr}");
    }
}

#[test]
fn images_in_the_place_of_a_dataset_are_told_with_the_dataset_for_them() {
    let folder = tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("flat")).unwrap();
    std::fs::create_dir_all(folder.path().join("photos/train")).unwrap();
    std::fs::write(folder.path().join("shards.tar"), "").unwrap();
    for (set, advice) in [
        ("data.source=flat", r#"("flat-folder", (root: "flat"))"#),
        ("data.source=\"flat\"", r#"("class-folders", (root: "flat"))"#),
        ("data.source=./flat", r#"("flat-folder", (root: "./flat"))"#),
        ("data.source=(\"flat\", ())", r#"("flat-folder", (root: "flat"))"#),
        ("data.source=photos", r#"write `("class-folders", (root: "photos"))`"#),
        ("data.source=shards.tar", r#"write `("archive", (path: "shards.tar"))`"#),
    ] {
        let stderr = xtask(folder.path(), ["check", &here("small.ron"), "--set", set]).refused();
        assert!(stderr.contains(advice), "{set}\n{stderr}");
    }
}

#[test]
fn a_metric_that_no_monitor_is_left_for_asks_for_one() {
    let folder = tempdir().unwrap();
    let set = ["monitor=[]", "early_stopping=(metric: \"knn_top1\", patience: 3)"];
    let small = here("small.ron");
    let arguments = ["check", &small].into_iter().chain(set.iter().flat_map(|set| ["--set", set]));
    let stderr = xtask(folder.path(), arguments).refused();
    assert!(stderr.contains("no monitor measures `knn_top1`"), "{stderr}");
    assert!(stderr.contains("add one, for instance `monitor: [(\"knn\", ())]`"), "{stderr}");
}

#[test]
fn a_shuffle_for_an_encoder_without_batch_norm_asks_for_no_field_that_it_refuses() {
    let folder = tempdir().unwrap();
    let set = ["graph.k1.shuffle_batch=true"];
    let v3 = |set: &[&str]| {
        let arguments = ["check", &here("v3.ron")].map(str::to_owned).into_iter();
        let set = set.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]).collect::<Vec<_>>();
        xtask(folder.path(), arguments.chain(set))
    };
    let stderr =
        v3(&["modules.projector=(\"mlp\", (out: 8))", "modules.predictor=(\"mlp\", (out: 8))", set[0]])
            .refused();
    assert!(
        stderr.contains("this encoder has no batch norm") && !stderr.contains("batch_norm_splits"),
        "{stderr}"
    );
}

#[test]
fn a_number_that_is_not_taken_is_told_in_words() {
    let folder = tempdir().unwrap();
    for (arguments, reason) in [
        (["run", "x.ron", "--threads", "0"], "it must be at least 1"),
        (["knn", "run", "--k", "0"], "it must be at least 1"),
        (["linear", "run", "--epochs", "many"], "it must be a whole number of 0 or more"),
        (["finetune", "run", "--mixup", "much"], "it must be a number"),
        (["finetune", "run", "--lr", "-1"], "it must be a number above 0"),
    ] {
        let outcome = xtask(folder.path(), arguments);
        assert_eq!(outcome.code, Some(2), "{outcome}");
        assert!(outcome.stderr.contains(reason), "{outcome}");
    }
    // It is a value, and what it is of is looked for first.
    let stderr = xtask(folder.path(), ["finetune", "run", "--weight-decay", "-1"]).refused();
    assert!(stderr.starts_with("error: `run` does not exist"), "{stderr}");
}

#[test]
fn a_later_override_wins_and_the_fault_is_shown_in_it() {
    let folder = tempdir().unwrap();
    let set = |values: [&str; 2]| {
        let [first, second] = values.map(|value| format!("data.batch={value}"));
        xtask(folder.path(), ["check", &here("small.ron"), "--set", &first, "--set", &second])
    };
    set(["1", "32"]).done();
    let stderr = set(["32", "1"]).refused();
    assert!(stderr.contains("--set data.batch=1\n"), "{stderr}");
}

#[test]
fn a_fault_of_the_file_keeps_its_line_when_values_are_set() {
    let folder = tempdir().unwrap();
    let file = rejected(folder.path(), "epochs_zero").display().to_string();
    let plain = xtask(folder.path(), ["check", &file]).refused();
    let set = ["data.batch=8", "modules.backbone.zero_init_residual=true", "seed=123456789"];
    let arguments = ["check", &file].into_iter().chain(set.iter().flat_map(|set| ["--set", set]));
    assert_eq!(xtask(folder.path(), arguments).refused(), plain);
}

#[test]
fn a_file_that_is_not_there_names_the_nearest_one() {
    let folder = tempdir().unwrap();
    std::fs::copy(here("small.ron"), folder.path().join("small.ron")).unwrap();
    std::fs::write(folder.path().join("bytes.ron"), [0xff, 0xfe]).unwrap();
    let check = |file: &str| xtask(folder.path(), ["check", file]).refused();
    assert_eq!(check("smal.ron"), "error: `smal.ron` does not exist\nhint: did you mean `small.ron`?\n");
    let stderr = check("nowhere/small.ron");
    assert!(stderr.contains("the folder `nowhere` does not exist either"), "{stderr}");
    let stderr = check(".");
    assert!(stderr.contains("is a folder, not a file"), "{stderr}");
    let stderr = check("bytes.ron");
    assert!(stderr.contains("a pipeline file is UTF-8 text"), "{stderr}");
    // An image as large as those of cameras is more than is read of a pipeline.
    for n_bytes in [32, 2 << 20] {
        let mut image = vec![0_u8; n_bytes];
        image[..4].copy_from_slice(&[0xff, 0xd8, 0xff, 0xe0]);
        std::fs::write(folder.path().join("photo.JPEG"), image).unwrap();
        let stderr = check("photo.JPEG");
        assert!(
            stderr.starts_with("error: `photo.JPEG` is an image (JPEG), not a pipeline file\n"),
            "{stderr}"
        );
        assert!(stderr.contains("train FOLDER"), "{stderr}");
    }
}

#[test]
fn of_several_files_each_broken_one_is_told_and_the_good_ones_pass() {
    let folder = tempdir().unwrap();
    let broken = ["epochs_zero", "module_unused"].map(|name| rejected(folder.path(), name));
    let small = PathBuf::from(here("small.ron"));
    let outcome = xtask(folder.path(), [&PathBuf::from("check"), &broken[0], &small, &broken[1]]);
    assert!(outcome.stdout.contains("small.ron: ok"), "{outcome}");
    let stderr = outcome.refused();
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error")).count(), 2, "{stderr}");
}

#[test]
fn a_broken_pipeline_starts_no_run() {
    let (folder, files) = (tempdir().unwrap(), tempdir().unwrap());
    let file = rejected(files.path(), "queue_shorter_than_the_batch").display().to_string();
    let stderr = xtask(folder.path(), ["run", &file]).refused();
    assert!(stderr.contains("queue: `len` is 8"), "{stderr}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
