//! Who may depend on whom, and where `unsafe` may stand.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::support::workspace;

/// The floors of the house, from the ground up: a crate may use those of the floors below its own, and of its own floor
/// none. The plugin crates are the floor `plugin_crates` gives.
const BELOW_PLUGINS: [&[&str]; 4] =
    [&["kernels-cpu", "processes", "regular-files", "resample"], &["tensor-ops"], &["plugin-api"], &["nn"]];

/// What is not a plugin, with what of the workspace it is linked with.
const ARROWS: &[(&str, &[&str])] = &[
    ("allocator", &[]),
    ("cuda-emulation", &[]),
    ("kernels-cpu", &[]),
    ("kernels-cuda", &["kernels-cpu"]),
    ("processes", &[]),
    ("regular-files", &[]),
    ("resample", &[]),
    ("pages", &[]),
    ("processes-mpi", &["processes"]),
    ("tensor-ops", &["kernels-cpu", "processes"]),
    ("plugin-api", &["processes", "tensor-ops"]),
    ("nn", &["plugin-api", "tensor-ops"]),
    ("run-store", &["regular-files"]),
    ("loss-parity", &["plugin-api", "tensor-ops"]),
    ("mutations", &["plugin-api"]),
    ("plugin-tests", &["plugin-api", "run-store", "tensor-ops"]),
    ("pipeline-text", &["plugin-api"]),
    ("pipeline", &["pipeline-text", "plugin-api", "regular-files", "tensor-ops"]),
    ("loader", &["pipeline", "plugin-api"]),
    ("train-core", &["loader", "pipeline", "plugin-api", "processes", "run-store", "tensor-ops"]),
    ("weights", &["plugin-api", "regular-files", "run-store"]),
    (
        "sweep",
        &[
            "loader",
            "pipeline",
            "plugin-api",
            "processes",
            "regular-files",
            "run-store",
            "tensor-ops",
            "train-core",
        ],
    ),
];

/// What only the programs at the top may use.
const PROGRAMS: [&str; 4] = ["fuzz-targets", "moco-cli", "moco-tests", "xtask"];

/// Each crate of the workspace, with those of the workspace that it is linked with, but for what a feature adds.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |package: &Value| package["name"].as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let used = |package: &Value| {
        let list = package["dependencies"].as_array().unwrap();
        // The kind of an ordinary dependency is null; tests may use more.
        list.iter()
            .filter(|used| used["kind"].is_null() && used["optional"] == false)
            .map(name)
            .filter(|name| ours.contains(name))
            .collect()
    };
    packages.iter().map(|package| (name(package), used(package))).collect()
}

/// The crates that hold plugins: what `plugins` links in.
fn plugin_crates(dependencies: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    dependencies["plugins"].iter().filter(|name| *name != "plugin-api").cloned().collect()
}

#[test]
fn every_crate_has_a_place() {
    let dependencies = dependencies();
    let mut placed = plugin_crates(&dependencies);
    for expected in [
        "augment",
        "backbone-convnext",
        "backbone-resnet",
        "backbone-vit",
        "datasets",
        "evaluate",
        "heads",
        "negatives-inbatch",
        "negatives-queue",
        "objectives-clusters",
        "objectives-contrastive",
        "objectives-distillation",
        "objectives-redundancy",
        "optimizers",
    ] {
        assert!(placed.contains(expected), "`plugins` does not link {expected} in");
    }
    let others = ["moco", "plugins"];
    let named = ARROWS.iter().map(|(name, _)| name).chain(&others).chain(&PROGRAMS);
    placed.extend(named.map(|name| (*name).to_owned()));
    assert_eq!(dependencies.keys().cloned().collect::<BTreeSet<_>>(), placed);
}

#[test]
fn plugins_build_on_the_contract_and_not_on_each_other() {
    let allowed = BELOW_PLUGINS.concat();
    let dependencies = dependencies();
    for name in plugin_crates(&dependencies) {
        let beyond: Vec<&String> =
            dependencies[&name].iter().filter(|used| !allowed.contains(&used.as_str())).collect();
        assert!(beyond.is_empty(), "{name} depends on {beyond:?}");
    }
}

#[test]
fn arrows_run_down() {
    let dependencies = dependencies();
    for (name, expected) in ARROWS {
        let expected: BTreeSet<String> = expected.iter().map(|used| (*used).to_owned()).collect();
        assert_eq!(dependencies[*name], expected, "{name}");
    }
}

/// Its functions have the names of NVIDIA's libraries, and would take their place.
#[test]
fn no_program_is_linked_with_the_emulated_driver_unless_a_feature_asks_for_it() {
    let naming = dependencies().into_iter().filter(|(_, used)| used.contains("cuda-emulation"));
    assert_eq!(naming.map(|(name, _)| name).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn only_the_list_of_plugins_and_the_programs_name_plugin_crates() {
    let dependencies = dependencies();
    let plugin_crates = plugin_crates(&dependencies);
    let naming: Vec<&String> = dependencies
        .iter()
        .filter(|(_, used)| !used.is_disjoint(&plugin_crates))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(naming, ["fuzz-targets", "moco", "moco-cli", "plugins", "xtask"]);
    let users: Vec<&String> =
        dependencies.iter().filter(|(_, used)| used.contains("plugins")).map(|(name, _)| name).collect();
    assert_eq!(users, ["fuzz-targets", "moco", "moco-cli"]);
}

#[test]
fn unsafe_code_is_forbidden_outside_of_kernels_and_tensor_ops() {
    let read = |path: &str| std::fs::read_to_string(workspace().join(path)).unwrap();
    let lints = read("Cargo.toml");
    assert!(lints.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\""), "{lints}");
    // `allocator` is for programs alone. `tensor-ops` has some in a build for the CUDA device alone: where dfdx keeps the values of a tensor.
    let may = ["allocator", "kernels-cpu", "kernels-cuda", "tensor-ops"];
    for name in dependencies().into_keys().filter(|name| !may.contains(&name.as_str())) {
        let folder = match name.as_str() {
            "xtask" => name.clone(),
            "fuzz-targets" => "fuzz".into(),
            "moco-tests" => "tests".into(),
            _ => format!("crates/{name}"),
        };
        let manifest = read(&format!("{folder}/Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "{name} has lints of its own");
    }
}
