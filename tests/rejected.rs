//! What is wrong with a pipeline is told once, at its line, with what to do.
//!
//! Each file of `rejected/` is `small.ron` with one fault, in the line that ends in `// <- here`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use tempfile::tempdir;

use crate::support::{here, xtask};

const MARK: &str = "// <- here";

/// The files of `rejected/` that end in `extension`, without it.
fn names(extension: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(here("rejected"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn rejected(name: &str, extension: &str) -> PathBuf {
    Path::new(&here("rejected")).join(format!("{name}.{extension}"))
}

/// The line that the first arrow of a message points to.
fn told_line(file: &str, stderr: &str) -> Option<usize> {
    let (_, place) = stderr.split_once(&format!("--> {file}:"))?;
    place.split(':').next()?.parse().ok()
}

/// What is wrong with the message for one file; nothing if it is as it should be.
fn complaint(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(rejected(name, "ron")).unwrap();
    let marked: Vec<usize> =
        text.lines().zip(1..).filter(|(line, _)| line.ends_with(MARK)).map(|(_, number)| number).collect();
    let [marked] = marked[..] else { return Some(format!("{} lines end in `{MARK}`", marked.len())) };
    let file = format!("{name}.ron");
    let outcome = xtask(Path::new(&here("rejected")), ["check", &file]);
    if outcome.code != Some(1) || !outcome.stdout.is_empty() || outcome.stderr.contains("panicked") {
        return Some(outcome.to_string());
    }
    let n_errors = outcome.stderr.lines().filter(|line| line.starts_with("error")).count();
    if n_errors != 1 || told_line(&file, &outcome.stderr) != Some(marked) {
        return Some(format!("one error at line {marked} was expected\n{}", outcome.stderr));
    }
    let expected = rejected(name, "stderr");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(expected, outcome.stderr).unwrap();
        return None;
    }
    let expected = std::fs::read_to_string(expected).unwrap_or_default();
    (outcome.stderr != expected).then(|| format!("said\n{}\nexpected\n{expected}", outcome.stderr))
}

#[test]
fn every_broken_pipeline_gets_one_error_at_its_line() {
    let names = names("ron");
    assert!(names.len() >= 100, "only {} broken pipelines are left", names.len());
    let mut text = String::new();
    for name in &names {
        if let Some(complaint) = complaint(name) {
            writeln!(text, "\n--- {name}\n{complaint}").unwrap();
        }
    }
    assert!(text.is_empty(), "{text}");
}

#[test]
fn every_expected_message_has_its_pipeline() {
    assert_eq!(names("stderr"), names("ron"));
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
        ("data.batch=[1", "this bracket is never closed", "[", "written as in the file"),
        ("name=\"a", "no closing quotation mark", "\"a", "written as in the file"),
        ("name=mine", "expected text in quotation marks, found `mine`", "mine", "`\"mine\"`"),
        ("epochs=many", "expected a whole number, found `many`", "many", ""),
        ("dta.batch=4", "the pipeline has no `dta` here", "dta", "did you mean `data`?"),
        ("data.batc=4", "unknown field `batc` in `data`", "batc", "did you mean `batch`?"),
        ("data.batch=1", "the batch is 1", "1", ""),
        ("modules.backbone.widht=8", "resnet: unknown field `widht`", "widht", "did you mean `width`?"),
        ("modules.backbone.depth=20", "resnet: `depth` is 20", "20", ""),
        ("graph.k.weights=Momentun", "unknown value `Momentun`", "Momentun", "did you mean `Momentum`?"),
        ("views.query.flip.p=2", "flip: `p` is 2", "2", ""),
        ("minimize=[\"los\"]", "no loss is named `los`", "\"los\"", "did you mean `loss`?"),
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
    let file = rejected("epochs_zero", "ron").display().to_string();
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
    assert_eq!(check("smal.ron"), "error: there is no `smal.ron`\nhint: did you mean `small.ron`?\n");
    let stderr = check("nowhere/small.ron");
    assert!(stderr.contains("there is no folder `nowhere` either"), "{stderr}");
    let stderr = check(".");
    assert!(stderr.contains("is a folder, and a file is needed"), "{stderr}");
    let stderr = check("bytes.ron");
    assert!(stderr.contains("a pipeline file is UTF-8 text"), "{stderr}");
}

#[test]
fn of_several_files_each_broken_one_is_told_and_the_good_ones_pass() {
    let broken = [rejected("epochs_zero", "ron"), rejected("module_unused", "ron")];
    let folder = tempdir().unwrap();
    let small = PathBuf::from(here("small.ron"));
    let outcome = xtask(folder.path(), [&PathBuf::from("check"), &broken[0], &small, &broken[1]]);
    assert!(outcome.stdout.contains("small.ron: ok"), "{outcome}");
    let stderr = outcome.refused();
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error")).count(), 2, "{stderr}");
}

#[test]
fn a_broken_pipeline_starts_no_run() {
    let folder = tempdir().unwrap();
    let file = rejected("queue_shorter_than_the_batch", "ron").display().to_string();
    let stderr = xtask(folder.path(), ["run", &file]).refused();
    assert!(stderr.contains("queue: `len` is 8"), "{stderr}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
