//! The pipelines that come with the program.

use std::path::{Path, PathBuf};

use tempfile::tempdir;
use walkdir::WalkDir;

use crate::support::{checkpoint, checkpoint_steps, here, same_bytes, workspace, xtask};

fn pipelines() -> Vec<PathBuf> {
    let entries = WalkDir::new(workspace().join("pipelines")).sort_by_file_name().into_iter();
    entries
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ron"))
        .collect()
}

#[test]
fn every_pipeline_file_passes_its_check() {
    let folder = tempdir().unwrap();
    let mut files = pipelines();
    assert!(files.len() >= 15, "{files:?}");
    files.extend(["small.ron", "symmetric.ron", "v3.ron"].map(|name| here(name).into()));
    let said = xtask(folder.path(), [PathBuf::from("check")].iter().chain(&files)).done().stdout;
    for file in files {
        assert!(said.contains(&format!("{}: ok: ", file.display())), "{}\n{said}", file.display());
    }
}

#[test]
fn every_pipeline_file_opens_with_its_command_and_what_to_expect() {
    for file in pipelines() {
        let text = std::fs::read_to_string(&file).unwrap();
        let head: String = text.lines().take_while(|line| line.starts_with("//")).collect();
        let name = file.strip_prefix(workspace()).unwrap().display();
        assert!(head.contains(&format!("cargo xtask run {name}")), "{name} does not say how to run it");
        let tells = ["Expect:", "Published:"].iter().any(|word| head.contains(word));
        assert!(tells, "{name} does not say what to expect");
    }
}

/// Runs that were started when pipelines listed the losses to minimize have that list in the file they keep.
#[test]
fn a_run_that_has_kept_a_list_of_all_losses_can_still_be_used() {
    let root = tempdir().unwrap();
    let of_run = |arguments: &[&str]| xtask(root.path(), arguments);
    of_run(&["run", &here("small.ron"), "--set", "epochs=1", "--out", "old"]).done();
    let path = root.path().join("old/pipeline.ron");
    let text = std::fs::read_to_string(&path).unwrap();
    let with = |minimize: &str| {
        let new = format!("    minimize: {minimize},\n    momentum: ");
        std::fs::write(&path, text.replace("    momentum: ", &new)).unwrap();
    };
    with("[\"loss\"]");
    for command in
        [&["knn", "old", "--k", "5"][..], &["run", "--resume", "old"], &["embed", "old", "x", "-o", "y.npy"]]
    {
        if command[0] == "embed" {
            std::fs::create_dir(root.path().join("x")).unwrap();
            image::RgbImage::new(40, 40).save(root.path().join("x/a.png")).unwrap();
        }
        of_run(command).done();
    }
    with("[\"q\"]");
    let stderr = of_run(&["knn", "old"]).refused();
    assert!(stderr.contains("every loss of the graph is minimized"), "{stderr}");
    // In a file that is no run's, the list is told to go.
    with("[\"loss\"]");
    let stderr = of_run(&["check", "old/pipeline.ron"]).refused();
    assert!(stderr.contains("every loss of the graph is minimized"), "{stderr}");
}

/// A file that starts from `small.ron`, in a folder of its own, as `child.ron`.
fn child(folder: &Path, changes: &str) {
    std::fs::copy(here("small.ron"), folder.join("mother.ron")).unwrap();
    let text = format!("// The child.\nPipeline(\n    base: \"mother.ron\",\n    {changes}\n)\n");
    std::fs::write(folder.join("child.ron"), text).unwrap();
}

#[test]
fn a_file_that_starts_from_another_is_taken_by_every_command_and_kept_as_a_whole() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    child(
        root,
        "name: \"child\", epochs: 1, set: {\"views.key\": Like(\"query\"), \"data.source.train\": 48, \"data.batch\": 24},",
    );
    let said = xtask(root, ["check", "child.ron", "--set", "data.batch=12"]).done().stdout;
    assert!(said.contains("child.ron: ok: ") && said.contains("1 epoch with a batch of 12"), "{said}");
    xtask(root, ["graph", "child.ron"]).done();
    xtask(root, ["views", "child.ron", "--count", "1"]).done();
    xtask(root, ["run", "child.ron", "--out", "run"]).done();
    let kept = std::fs::read_to_string(root.join("run/pipeline.ron")).unwrap();
    assert!(kept.starts_with("// The child.\nPipeline(\n    name: \"child\","), "{kept}");
    assert_eq!(kept.matches("(\"flip\", (p: 0.5))").count(), 2, "{kept}");
    assert!(!kept.contains("base: \"") && !kept.contains("Like"), "{kept}");
    // What is kept stands alone, and gives the same run.
    let elsewhere = tempdir().unwrap();
    std::fs::copy(root.join("run/pipeline.ron"), elsewhere.path().join("kept.ron")).unwrap();
    xtask(elsewhere.path(), ["run", "kept.ron", "--out", "run"]).done();
    let last =
        |root: &Path| checkpoint(&root.join("run"), *checkpoint_steps(&root.join("run")).last().unwrap());
    assert!(same_bytes(&last(root), &last(elsewhere.path())));
    // A sweep changes both views with one path, since one is like the other.
    let vary = ["sweep", "child.ron", "--vary", "views.query.flip.p=0.25,1.0", "--out", "sweep"];
    xtask(root, vary).done();
    let entries = WalkDir::new(root.join("sweep")).sort_by_file_name().into_iter().map(Result::unwrap);
    let kept: Vec<String> = entries
        .filter(|entry| entry.file_name() == "pipeline.ron")
        .map(|entry| std::fs::read_to_string(entry.path()).unwrap())
        .collect();
    assert_eq!(kept.len(), 2);
    for (text, p) in kept.iter().zip(["0.25", "1.0"]) {
        assert_eq!(text.matches(&format!("(\"flip\", (p: {p}))")).count(), 2, "{text}");
    }
}

#[test]
fn a_fault_is_told_in_the_file_it_is_in() {
    let folder = tempdir().unwrap();
    child(folder.path(), "name: \"child\", set: {\"modules.backbone.depth\": 20},");
    let stderr = xtask(folder.path(), ["check", "child.ron"]).refused();
    assert!(stderr.contains("resnet: `depth` is 20") && stderr.contains("--> child.ron:4:"), "{stderr}");
    child(folder.path(), "name: \"child\", set: {\"views.query.0.size\": 48},");
    let stderr = xtask(folder.path(), ["check", "child.ron"]).refused();
    assert!(
        stderr.contains("images of 32 × 32 px here") && stderr.contains("--> mother.ron:29:"),
        "{stderr}"
    );
    child(folder.path(), "epoch: 3,");
    let stderr = xtask(folder.path(), ["check", "child.ron"]).refused();
    assert!(stderr.contains("unknown field `epoch`") && stderr.contains("--> child.ron:4:5"), "{stderr}");
    std::fs::remove_file(folder.path().join("mother.ron")).unwrap();
    let stderr = xtask(folder.path(), ["check", "child.ron"]).refused();
    assert!(stderr.contains("there is no `mother.ron` to start from"), "{stderr}");
    assert!(stderr.contains("--> child.ron:3:11"), "{stderr}");
}

#[test]
fn a_run_without_monitors_can_be_measured_afterwards() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    let measured = |pipeline: &str, run: &str| {
        xtask(root, ["run", pipeline, "--set", "monitor=[]", "--set", "epochs=1", "--out", run]).done();
        let said = xtask(root, ["knn", run, "--k", "5"]).done().stdout;
        let out = format!("{run}.npy");
        xtask(root, ["embed", run, "--split", "test", "-o", &out]).done();
        (
            said.lines().filter(|line| line.contains('%')).collect::<String>(),
            std::fs::read(root.join(out)).unwrap(),
        )
    };
    let declared = measured(&here("small.ron"), "declared");
    let text = std::fs::read_to_string(here("small.ron")).unwrap();
    let (before, rest) = text.split_once("        \"eval\": [").unwrap();
    let (_, after) = rest.split_once("        ],\n").unwrap();
    std::fs::write(root.join("bare.ron"), format!("{before}{after}")).unwrap();
    let resolved = measured("bare.ron", "resolved");
    assert!(!declared.0.is_empty() && declared == resolved, "{} {}", declared.0, resolved.0);
}

/// The pipelines with `eval` at another size than is trained on, and with sides that differ.
#[test]
fn an_encoder_is_measured_at_another_size_and_its_figures_say_so() {
    let root = tempdir().unwrap();
    let of_run = |arguments: &[&str]| xtask(root.path(), arguments);
    let not_square = |view: &str| format!("views.{view}.random-resized-crop.size=(24, 32)");
    let (query, key) = (not_square("query"), not_square("key"));
    let small = here("small.ron");
    let mut arguments = vec!["run", &small, "--out", "resnet", "--set", "epochs=1"];
    for set in [
        &query,
        &key,
        "views.eval.resize=(\"resize\", (cover: (40, 48)))",
        "views.eval.center-crop.size=(40, 48)",
    ] {
        arguments.extend(["--set", set]);
    }
    let said = of_run(&arguments).done().stderr;
    let note = "images of 48 × 40 px, trained on 32 × 24 px";
    assert!(said.contains(&format!("view `eval`; {note}")), "{said}");
    let knn = of_run(&["knn", "resnet", "--k", "5"]).done().stdout;
    assert!(knn.contains(&format!("\n{note}\n")), "{knn}");

    for position in ["SinCos", "Learned"] {
        let v3 = here("v3.ron");
        let position = format!("modules.backbone.position={position}");
        let out = position.clone();
        let mut arguments = vec!["run", &v3, "--out", &out, "--set", "epochs=1", "--set", &position];
        for set in ["data.source.train=32", "views.eval.resize.shorter=24", "views.eval.center-crop.size=24"]
        {
            arguments.extend(["--set", set]);
        }
        let said = of_run(&arguments).done().stderr;
        assert!(said.contains("images of 24 × 24 px, trained on 16 × 16 px"), "{said}");
    }
    // Patches of 4 pixels.
    let v3 = here("v3.ron");
    let arguments =
        ["check", &v3, "--set", "views.eval.resize.shorter=18", "--set", "views.eval.center-crop.size=18"];
    let said = of_run(&arguments).refused();
    assert!(said.contains("images of 18x18 pixels cannot be cut into patches of 4x4"), "{said}");
}

#[test]
fn a_view_that_is_not_square_is_measured_through_its_middle() {
    let root = tempdir().unwrap();
    let small = std::fs::read_to_string(here("small.ron")).unwrap();
    let start = small.find("        \"eval\": [").unwrap();
    let end = start + small[start..].find("        ],\n").unwrap() + "        ],\n".len();
    let text = small.replace(&small[start..end], "").replace("size: 32", "size: (24, 48)");
    std::fs::write(root.path().join("wide.ron"), text).unwrap();
    xtask(root.path(), ["run", "wide.ron", "--out", "wide", "--set", "epochs=1"]).done();
    let kept = std::fs::read_to_string(root.path().join("wide/pipeline.ron")).unwrap();
    let middle = "(\"resize\", (cover: (24, 48))), (\"center-crop\", (size: (24, 48)))";
    assert!(kept.contains(middle), "{kept}");
    xtask(root.path(), ["knn", "wide", "--k", "5"]).done();
    xtask(root.path(), ["linear", "wide", "--epochs", "1"]).done();
}

/// Small views beside a large one, each compared with the key of the large one.
#[test]
fn small_views_train_beside_large_ones_and_a_slip_is_told_from_them() {
    let root = tempdir().unwrap();
    let check = |name: &str, text: &str| {
        std::fs::write(root.path().join(name), text).unwrap();
        xtask(root.path(), ["check", name])
    };
    let small = std::fs::read_to_string(here("small.ron")).unwrap();
    let views = |size: usize| {
        format!(
            "        \"s{size}\": [(\"random-resized-crop\", (size: {size}, scale: (0.05, 0.2))), (\"normalize\", (statistics: Cifar10))],\n"
        )
    };
    let steps = |size: usize| {
        format!(
            "        (id: \"q{size}\", run: [\"backbone\", \"head\"], on: [\"s{size}\"]),\n\
             \x20       (id: \"l{size}\", run: [\"contrast\"], on: [\"q{size}\", \"k\"], weight: 0.5),\n"
        )
    };
    let last = "        (id: \"loss\", run: [\"contrast\"], on: [\"q\", \"k\"]),\n";
    let many = small
        .replace("    views: {\n", &format!("    views: {{\n{}{}", views(16), views(24)))
        .replace(last, &format!("{last}{}{}", steps(16), steps(24)));
    check("many.ron", &many).done();
    for out in ["first", "second"] {
        xtask(root.path(), ["run", "many.ron", "--out", out, "--set", "epochs=1"]).done();
    }
    let [first, second] = ["first", "second"].map(|run| checkpoint(&root.path().join(run), 4));
    assert!(same_bytes(&first, &second));
    xtask(root.path(), ["knn", "first", "--k", "5"]).done();

    let said = check("slip.ron", &many.replacen("size: 32", "size: 40", 1)).refused();
    assert!(
        said.contains(
            "`backbone` takes images of 40 × 40 px in an earlier step, and images of 32 × 32 px here"
        ),
        "{said}"
    );

    // A ViT computes its fixed positions for each size, and interpolates its table of learned ones.
    let vit = many.replace(
        "(\"resnet\", (depth: 18, width: 4, stem: Cifar))",
        "(\"vit\", (patch: 4, dim: 16, depth: 1, heads: 2))",
    );
    check("vit.ron", &vit).done();
    xtask(root.path(), ["run", "vit.ron", "--out", "vit", "--set", "epochs=1"]).done();
    check("learned.ron", &vit.replace("heads: 2", "heads: 2, position: Learned")).done();
    xtask(root.path(), ["run", "learned.ron", "--out", "learned", "--set", "epochs=1"]).done();
}
