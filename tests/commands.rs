//! Every command does what its help says.

use std::path::Path;

use serde_json::{Map, Value};
use tempfile::tempdir;

use crate::support::{
    Outcome, checkpoint, checkpoint_steps, command, here, metrics, same_bytes, workspace, xtask,
};

/// The commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let (_, list) = help.split_once("Commands:\n").expect("commands are listed");
    list.lines()
        .take_while(|line| !line.is_empty())
        // A long line goes on further to the right.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|command| command != "help")
        .collect()
}

#[test]
fn every_command_has_help_with_examples() {
    let folder = tempdir().unwrap();
    let help = |command: &[&str], flag: &'static str| {
        xtask(folder.path(), command.iter().copied().chain([flag])).done().stdout
    };
    let commands = listed(&help(&[], "--help"));
    for expected in [
        "train",
        "run",
        "sweep",
        "check",
        "summary",
        "plugins",
        "graph",
        "knn",
        "linear",
        "finetune",
        "embed",
        "neighbors",
        "attend",
        "map",
        "report",
        "export",
        "import",
        "views",
        "parity",
        "bench",
    ] {
        assert!(commands.iter().any(|command| command == expected), "{expected} is not among {commands:?}");
    }
    let mut all: Vec<Vec<&str>> = commands.iter().map(|command| vec![command.as_str()]).collect();
    let benches = listed(&help(&["bench"], "--help"));
    assert_eq!(benches, ["step", "augment", "compare", "ops"]);
    all.extend(benches.iter().map(|bench| vec!["bench", bench.as_str()]));
    for command in all {
        let (short, long) = (help(&command, "-h"), help(&command, "--help"));
        for text in [&short, &long] {
            let usage = format!("Usage: cargo xtask {}", command.join(" "));
            assert!(text.contains(&usage) && text.contains("Examples:"), "{command:?}\n{text}");
        }
        assert!(long.len() > short.len(), "{command:?}: `--help` says no more than `-h`");
    }
}

#[test]
fn wrong_arguments_end_with_exit_code_2() {
    let folder = tempdir().unwrap();
    let pipeline = here("small.ron");
    for arguments in [
        &["chek", &pipeline][..],
        &["run"],
        &["run", &pipeline, "--workers", "0"],
        &["run", "--resume", "--set", "epochs=3"],
        &["run", &pipeline, "--out", "a", "--resume"],
        &["graph", &pipeline, "--format", "svg"],
        &["sweep"],
        &["sweep", &pipeline, "--seeds", "0"],
        &["sweep", "--resume", "--seeds", "2"],
        &["sweep", &pipeline, "--vary", "data.batch"],
        &["sweep", &pipeline, "--vary", "data.batch=8,(16"],
        &["sweep", &pipeline, "--vary", "seed=1,2"],
        &["knn", "run", "--temperature", "0"],
        &["linear", "run", "--labels", "1.5"],
        &["linear", "run", "--lr", "3,-1"],
        &["linear", "run", "--cached", "--train-view", "query"],
        &["views", &pipeline, "--count", "100000"],
        &["embed", "run", "photos"],
        &["embed", "run", "-o", "a.npy"],
        &["embed", "run", "photos", "-o", "a.txt"],
        &["embed", "run", "photos", "--split", "test", "-o", "a.npy"],
        &["embed", "run", "photos", "-o", "a.npy", "--max-unreadable", "2"],
        &["neighbors", "run", "photos", "-o", "a.jpg"],
        &["neighbors", "run", "photos", "-o", "a.png", "--count", "10000"],
        &["neighbors", "run", "photos", "-o", "a.png", "--count", "2", "--query", "b.png"],
        &["map", "run", "-o", "a.svg"],
        &["map", "run", "photos", "--split", "test", "-o", "a.html"],
        &["report"],
        &["report", "run", "--watch", "--serve"],
        &["report", "run", "--serve", "70000"],
    ] {
        let outcome = xtask(folder.path(), arguments);
        assert_eq!(outcome.code, Some(2), "{arguments:?}\n{outcome}");
        assert!(outcome.stderr.starts_with("error: "), "{arguments:?}\n{outcome}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The outcome of a short benchmark with these kernels.
fn with_kernels(kernels: &str) -> Outcome {
    let tiny = ["--width", "4", "--size", "16", "--batch", "8", "--queue", "64", "--steps", "1"];
    let arguments = ["bench", "step"].into_iter().chain(tiny);
    command(Path::new("."), arguments).env("MOCO_KERNELS", kernels).output().unwrap().into()
}

#[test]
fn the_environment_chooses_kernels_and_is_refused_where_there_are_none_such() {
    let line: Map<String, Value> = serde_json::from_str(&with_kernels("portable").done().stdout).unwrap();
    assert_eq!(line["kernels"], "portable");
    let stderr = with_kernels("abacus").refused();
    assert!(stderr.starts_with("error: `MOCO_KERNELS` is `abacus`, but this machine has only portable"));
    assert!(stderr.lines().any(|line| line.starts_with("hint: ")), "{stderr}");
}

#[test]
fn plugins_lists_every_plugin_under_its_kind() {
    let folder = tempdir().unwrap();
    let text = xtask(folder.path(), ["plugins"]).done().stdout;
    let mut kind = "";
    let mut found = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("  ") {
            Some(rest) => found.push((kind, rest.split_whitespace().next().unwrap())),
            None => kind = line,
        }
    }
    let linked = plugins::all_plugins();
    assert!(linked.len() >= 25, "only {} plugins are linked in", linked.len());
    for plugin in &linked {
        assert!(found.contains(&(plugin.kind, plugin.name)), "{} `{}`\n{text}", plugin.kind, plugin.name);
    }
}

#[test]
fn every_plugin_and_kind_is_explained_by_its_name() {
    let folder = tempdir().unwrap();
    let explain = |name: &str| xtask(folder.path(), ["plugins", name]).done().stdout;
    for plugin in plugins::all_plugins() {
        let text = explain(plugin.name);
        assert!(text.contains(&format!("{} ({})\n", plugin.name, plugin.kind)), "{text}");
        assert!(text.contains(&format!("(\"{}\", {})", plugin.name, plugin.example)), "{text}");
        for field in plugin.fields {
            assert!(text.contains(&format!("\n  {}: ", field.name)), "{}: {text}", field.name);
        }
        assert!(explain(plugin.kind).contains(&format!("\n  {} ", plugin.name)), "{}", plugin.kind);
    }
    let text = explain("resnet");
    for line in [
        "  depth: integer, default none\n",
        "  width: integer, default 64\n",
        "  stem: ImageNet | Cifar, default ImageNet\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let text = explain("in-batch");
    assert!(text.contains("  temperature: number, required, may have a ramp\n"), "{text}");
    let stderr = xtask(folder.path(), ["plugins", "resnte"]).refused();
    assert_eq!(stderr, "error: no plugin is named `resnte`\nhint: did you mean `resnet`?\n");
}

#[test]
fn arrows_into_and_out_of_a_target_are_dashed_and_a_step_may_be_called_minimize() {
    let folder = tempdir().unwrap();
    let simsiam = std::fs::read_to_string(workspace().join("pipelines/family/simsiam.ron")).unwrap();
    let text = simsiam.replace("(id: \"loss\"", "(id: \"minimize\"");
    assert_ne!(text, simsiam);
    std::fs::write(folder.path().join("a.ron"), text).unwrap();
    let graph = |format: &str| xtask(folder.path(), ["graph", "a.ron", "--format", format]).done().stdout;
    let (dot, mermaid) = (graph("dot"), graph("mermaid"));
    for (from, to, is_dashed) in [
        ("x0", "z0", false),
        ("z0", "p0", false),
        ("z0", "t0", true),
        ("t0", "minimize", true),
        ("p0", "minimize", false),
    ] {
        let line = format!("  \"{from}\" -> \"{to}\"{};\n", if is_dashed { " [style=dashed]" } else { "" });
        assert!(dot.contains(&line), "{line}{dot}");
        let line = format!("  n_{from} {} n_{to}\n", if is_dashed { "-.->" } else { "-->" });
        assert!(mermaid.contains(&line), "{line}{mermaid}");
    }
    assert!(dot.contains("  \"minimize\" -> \"sum of losses\";\n"), "{dot}");
    assert!(
        !dot.contains("\"minimize\" -> \"minimize\"") && !mermaid.contains("n_minimize --> n_minimize\n")
    );
}

#[test]
fn the_graph_is_shown_in_three_formats() {
    let folder = tempdir().unwrap();
    let graph = |format: &str| {
        xtask(folder.path(), ["graph", &here("symmetric.ron"), "--format", format]).done().stdout
    };
    assert_eq!(
        graph("text"),
        "q1 = backbone → head(a)\n\
         q2 = backbone → head(b)\n\
         k1 = backbone → head(a)  [momentum weights, no gradient]  [batch shuffled]\n\
         k2 = backbone → head(b)  [momentum weights, no gradient]  [batch shuffled]\n\
         l12 = contrast(queries q1, keys k2)\n\
         l21 = contrast(queries q2, keys k1)\n\
         minimize l12 + l21\n"
    );
    let dot = graph("dot");
    assert!(dot.starts_with("digraph pipeline {") && dot.trim_end().ends_with('}'), "{dot}");
    let mermaid = graph("mermaid");
    assert!(mermaid.starts_with("flowchart LR\n"), "{mermaid}");
    for (from, to) in [("a", "q1"), ("b", "k2"), ("q1", "l12")] {
        assert!(dot.contains(&format!("\"{from}\" -> \"{to}\";")), "{from} to {to}\n{dot}");
        assert!(mermaid.contains(&format!("n_{from} --> n_{to}\n")), "{from} to {to}\n{mermaid}");
    }
    // The sum has a box that no step can have the name of.
    assert!(dot.contains("\"l21\" -> \"sum of losses\";"), "{dot}");
    assert!(mermaid.contains("n_l21 --> n_sum_20_of_20_losses\n"), "{mermaid}");
    // No gradient comes back to keys.
    assert!(dot.contains("\"k1\" -> \"l21\" [style=dashed];"), "{dot}");
    assert!(mermaid.contains("n_k1 -.-> n_l21\n"), "{mermaid}");
    // What has momentum weights is dashed, and nothing else.
    for (id, is_dashed) in [("k1", true), ("k2", true), ("q1", false), ("l12", false)] {
        let line = dot.lines().find(|line| line.starts_with(&format!("  \"{id}\" ["))).unwrap();
        assert_eq!(line.contains("style=dashed"), is_dashed, "{line}");
    }
    assert!(
        mermaid.ends_with("  classDef momentum stroke-dasharray: 5 4\n  class n_k1,n_k2 momentum\n"),
        "{mermaid}"
    );
    // A box for everything that an arrow names; in Mermaid a name alone would be one.
    for name in ["a", "b", "q1", "k2", "l12", "sum_20_of_20_losses"] {
        assert!(
            mermaid.contains(&format!("  n_{name}[")) || mermaid.contains(&format!("  n_{name}(")),
            "{name}\n{mermaid}"
        );
    }
}

#[test]
fn views_draws_a_sheet_and_overwrites_none() {
    let folder = tempdir().unwrap();
    let pipeline = here("small.ron");
    let views = |more: &[&str]| xtask(folder.path(), ["views", &pipeline, "--count", "2"].iter().chain(more));
    let outcome = views(&["--out", "sheet.png"]).done();
    assert!(outcome.stdout.starts_with("sheet.png: "), "{outcome}");
    assert!(
        outcome.stdout.contains("columns: original, query (epoch 1), query (epoch 2), key (epoch 1)"),
        "{outcome}"
    );
    let path = folder.path().join("sheet.png");
    let sheet = image::open(&path).unwrap().into_rgb8();
    // The image and four views of it, in each of two rows.
    assert!(sheet.width() > 2 * sheet.height(), "{} x {}", sheet.width(), sheet.height());
    let colors: std::collections::BTreeSet<_> = sheet.pixels().map(|pixel| pixel.0).collect();
    assert!(colors.len() > 1000, "{} colors", colors.len());

    let bytes = std::fs::read(&path).unwrap();
    let stderr = views(&["--out", "sheet.png", "--set", "seed=1"]).refused();
    assert!(stderr.contains("`sheet.png` already exists"), "{stderr}");
    assert!(std::fs::read(&path).unwrap() == bytes);
    for _ in 0..2 {
        views(&[]).done();
    }
    let n_sheets = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(n_sheets, 3, "a sheet each time");
}

#[test]
fn a_run_gives_metrics_checkpoints_and_a_table_of_neighbors() {
    let root = tempdir().unwrap();
    let outcome = xtask(root.path(), ["run", &here("small.ron")]).done();
    for piece in ["64 training images, 16 test images, 10 classes", "run       runs/small-001", "knn_top1"] {
        assert!(outcome.stdout.contains(piece), "{piece} is not in\n{outcome}");
    }
    let run = root.path().join("runs/small-001");
    assert_eq!(checkpoint_steps(&run), [4, 8]);
    assert!(run.join("checkpoints/best.safetensors").is_file());
    assert!(std::fs::read_dir(run.join("events")).unwrap().count() > 0);

    for name in ["model.safetensors", "load.py", "encoder.onnx", "README.md"] {
        assert!(run.join("encoder").join(name).is_file(), "{name}");
    }
    // timm has no such encoder.
    assert!(!run.join("encoder/config.json").exists());
    let card = std::fs::read_to_string(run.join("encoder/README.md")).unwrap();
    for piece in ["generated shapes", "| knn_top1 |", "k 20", "license:\n", "name: \"small\""] {
        assert!(card.contains(piece), "{piece} is not in\n{card}");
    }
    let log = std::fs::read_to_string(run.join("run.log")).unwrap();
    for piece in ["pipeline  small", "untrained: knn_top1", "epoch 2/2  step 4/4", "done in"] {
        assert_eq!(log.matches(piece).count(), 1, "{piece}:\n{log}");
    }
    let environment = std::fs::read(run.join("environment.json")).unwrap();
    let environment: serde_json::Value = serde_json::from_slice(&environment).unwrap();
    assert_eq!(environment[0]["train_images"]["count"], 64, "{environment}");
    assert_eq!((&environment[0]["from_step"], &environment[1]), (&0.into(), &serde_json::Value::Null));

    let lines = metrics(&run);
    assert_eq!(lines.iter().map(|line| line["epoch"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    for line in &lines {
        let share = line["knn_top1"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{line:?}");
    }
    for line in &lines[1..] {
        let number = |name: &str| line[name].as_f64().unwrap();
        assert!(number("loss") > 0.0 && number("seconds") > 0.0, "{line:?}");
        assert!((0.0..=1.0).contains(&number("contrast_top1")), "{line:?}");
    }

    let said = xtask(root.path(), ["knn", "runs/small-001", "--k", "20", "--k", "5"]).done().stdout;
    let table: Vec<Vec<&str>> = said.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
    let [head, at_20, at_5] = &table[..] else { panic!("{said}") };
    assert_eq!(head[..], ["k", "T", "top-1"]);
    assert_eq!(at_20[..2], ["20", "0.1"]);
    assert_eq!(at_5[..2], ["5", "0.1"]);
    // The protocol of the monitor, so its metric.
    let top1 = 100.0 * lines[2]["knn_top1"].as_f64().unwrap();
    assert_eq!(at_20[2], format!("{top1:.2}"), "{said}");
    assert!(said.contains("16 test images against 64 training images"), "{said}");
    xtask(root.path(), ["knn", "runs/small-001", "--best", "--level", "head"]).done();
    let stderr = xtask(root.path(), ["knn", "runs/small-001", "--view", "evl"]).refused();
    assert!(stderr.contains("has no view `evl`"), "{stderr}");
}

#[test]
fn every_run_of_a_pipeline_has_a_folder_of_its_own() {
    let root = tempdir().unwrap();
    let run = |more: &[&str]| {
        let arguments = ["run", &here("small.ron"), "--set", "epochs=1"].map(str::to_owned);
        xtask(root.path(), arguments.into_iter().chain(more.iter().map(|text| (*text).to_owned())))
    };
    run(&[]).done();
    let first = checkpoint(&root.path().join("runs/small-001"), 4);
    let bytes = std::fs::read(&first).unwrap();
    run(&["--set", "seed=1"]).done();
    let second = checkpoint(&root.path().join("runs/small-002"), 4);
    assert!(!same_bytes(&first, &second), "another seed, and the same weights");
    let stderr = run(&["--out", "runs/small-001"]).refused();
    assert!(stderr.contains("folder `runs/small-001` is not empty"), "{stderr}");
    assert!(stderr.contains("`--resume runs/small-001`"), "{stderr}");
    assert!(std::fs::read(&first).unwrap() == bytes, "the first run has changed");
}

#[test]
fn the_resolved_pipeline_runs_again_to_the_same_bits_with_any_number_of_threads() {
    let root = tempdir().unwrap();
    let set =
        ["--set", "seed=7", "--set", "modules.head=(\"mlp\", (out: 8))", "--set", "momentum.schedule=Cosine"];
    let first =
        ["run", &here("small.ron"), "--out", "first", "--threads", "1", "--workers", "1"].map(str::to_owned);
    xtask(root.path(), first.into_iter().chain(set.map(str::to_owned))).done();
    xtask(root.path(), ["run", "first/pipeline.ron", "--out", "second", "--threads", "2", "--workers", "3"])
        .done();
    let [first, second] = ["first", "second"].map(|name| root.path().join(name));
    assert!(same_bytes(&first.join("pipeline.ron"), &second.join("pipeline.ron")));
    for name in ["step-00000004", "step-00000008", "best"] {
        let path = |run: &Path| run.join(format!("checkpoints/{name}.safetensors"));
        assert!(same_bytes(&path(&first), &path(&second)), "{name}");
    }
}

/// The one line that a benchmark prints.
fn bench(arguments: &[&str]) -> Map<String, Value> {
    let folder = tempdir().unwrap();
    let said = xtask(folder.path(), ["bench"].iter().chain(arguments)).done().stdout;
    assert_eq!(said.lines().count(), 1, "{said}");
    serde_json::from_str(&said).unwrap()
}

#[test]
fn a_benchmark_of_the_step_has_the_keys_of_the_script_that_it_is_compared_with() {
    let tiny =
        ["--width", "4", "--size", "32", "--batch", "8", "--queue", "64", "--dim", "8", "--steps", "1"];
    let line = bench(&["step", "--variant", "v1"].into_iter().chain(tiny).collect::<Vec<_>>());
    for key in [
        "system",
        "variant",
        "arch",
        "width",
        "size",
        "batch",
        "bf16",
        "channels_last",
        "compile",
        "images_per_s",
        "peak_mib",
    ] {
        assert!(line.contains_key(key), "{key} is not in {line:?}");
    }
    assert_eq!((&line["variant"], &line["arch"]), (&"v1".into(), &"resnet18".into()));
    assert_eq!((&line["width"], &line["size"], &line["batch"]), (&4.into(), &32.into(), &8.into()));
    assert!(line["images_per_s"].as_f64().unwrap() > 0.0);

    let vit = ["--arch", "vit", "--dim-vit", "16", "--depth", "1", "--heads", "2", "--hidden", "16"];
    let tiny = tiny.into_iter().chain(vit);
    let line = bench(&["step", "--variant", "v3"].into_iter().chain(tiny).collect::<Vec<_>>());
    assert_eq!((&line["variant"], &line["arch"]), (&"v3".into(), &"vit".into()));
    assert!(line["images_per_s"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_benchmark_of_the_input_counts_images() {
    let images = tempdir().unwrap();
    for number in 0..4 {
        let picture = image::RgbImage::from_pixel(40, 40, image::Rgb([number * 60, 128, 0]));
        picture.save(images.path().join(format!("{number}.jpg"))).unwrap();
    }
    let folder = images.path().display().to_string();
    let line = bench(&["augment", &folder, "--size", "32", "--seconds", "0.2"]);
    assert!(line["images_per_s"].as_f64().unwrap() > 0.0, "{line:?}");
}

#[test]
fn a_comparison_with_what_is_not_there_says_so() {
    let folder = tempdir().unwrap();
    let compare = |python: &str, script: &str| {
        let arguments = ["bench", "compare", "--python", python, "--peer", script, "--only", "v3-vit"];
        xtask(folder.path(), arguments).refused()
    };
    let said = compare("python", "torch_moco.py");
    assert!(said.starts_with("error: `torch_moco.py` does not exist"), "{said}");
    std::fs::write(folder.path().join("torch_moco.py"), "").unwrap();
    let said = compare("no/such/python", "torch_moco.py");
    assert!(said.contains("error: `no/such/python` cannot be started: "), "{said}");
    assert!(said.contains("hint: `--python` names a Python with PyTorch"), "{said}");
}

#[test]
fn a_benchmark_of_one_kernel_has_a_line_for_each_pass() {
    let folder = tempdir().unwrap();
    let ops = |only: &str| {
        xtask(
            folder.path(),
            ["bench", "ops", "--only", only, "--seconds", "0.01", "--threads", "1", "--json"],
        )
    };
    let said = ops("attention 192").done().stdout;
    let lines: Vec<Map<String, Value>> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["pass"]).collect::<Vec<_>>(), ["forward", "backward"]);
    assert!(
        lines.iter().all(|line| line["gflops"].as_f64().unwrap() > 0.0 && line["threads"] == 1),
        "{said}"
    );
    let said = ops("atention").refused();
    assert!(said.starts_with("error: no kernel has `atention` in its name\nhint: the names are "), "{said}");
}
