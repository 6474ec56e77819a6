//! Parameters that are held still at first, and views that are for training alone.

use std::path::Path;

use run_store::checkpoint::{self, Stored};
use tempfile::tempdir;

use crate::support::{here, workspace, xtask};

/// The bits of the tensors of a checkpoint whose names begin so.
fn tensors(run: &Path, step: u64, beginning: &str) -> Vec<(String, Vec<u32>)> {
    let all = checkpoint::read(&crate::support::checkpoint(run, step)).unwrap().tensors;
    let of = |(name, stored): (String, Stored)| match stored {
        Stored::F32 { values, .. } if name.starts_with(beginning) => {
            Some((name, values.into_iter().map(f32::to_bits).collect()))
        }
        _ => None,
    };
    all.into_iter().filter_map(of).collect()
}

/// `small.ron`, of 4 steps an epoch.
fn run(root: &Path, out: &str, sets: &[&str]) {
    let file = here("small.ron");
    let mut arguments = vec!["run", &file, "--out", out];
    for set in ["checkpoint=(keep: 9)"].iter().chain(sets) {
        arguments.extend(["--set", set]);
    }
    xtask(root, arguments).done();
}

#[test]
fn a_group_is_held_still_for_its_first_steps() {
    let root = tempdir().unwrap();
    run(root.path(), "run", &[r#"groups=[(parameters: Named(["head"]), frozen_steps: 6)]"#]);
    run(root.path(), "all", &[r#"groups=[(parameters: Named(["head"]), frozen_steps: 4)]"#]);
    let of = |name: &str, step| tensors(&root.path().join(name), step, "query.head.");
    assert!(!of("run", 0).is_empty());
    assert_eq!(of("run", 0), of("run", 4));
    assert_ne!(of("run", 4), of("run", 8));
    // Two steps less.
    assert_eq!(of("all", 0), of("all", 4));
    assert_ne!(of("all", 8), of("run", 8));
}

#[test]
fn gradients_of_what_is_held_still_do_not_count_for_the_norm() {
    let root = tempdir().unwrap();
    let clip = "stability=(clip_norm: 0.05)";
    run(root.path(), "frozen", &[clip, r#"freeze=["head"]"#]);
    run(root.path(), "held", &[clip, r#"groups=[(parameters: Named(["head"]), frozen_epochs: 2)]"#]);
    let of = |name: &str| tensors(&root.path().join(name), 8, "query.");
    assert_eq!(of("frozen"), of("held"));
}

#[test]
fn what_is_measured_has_the_size_of_the_largest_view() {
    let swav = std::fs::read_to_string(workspace().join("pipelines/family/swav.ron")).unwrap();
    let small_first = swav.replace(
        r#"(id: "s0", run: ["backbone", "projector", "prototypes"], on: ["global0"]),"#,
        r#"(id: "s3", run: ["backbone", "projector", "prototypes"], on: ["local1"]),
           (id: "s0", run: ["backbone", "projector", "prototypes"], on: ["global0"]),"#,
    );
    let again = r#"        (id: "s3", run: ["backbone", "projector", "prototypes"], on: ["local1"]),
        (id: "loss""#;
    let small_first = small_first.replace(again, r#"        (id: "loss""#);
    let declared = r#"        "eval": [("resize", (shorter: 32)), ("center-crop", (size: 32)), ("normalize", (statistics: Cifar10))],
"#;
    let text = small_first.replace(declared, "");
    assert!(text.len() < small_first.len() && small_first != swav);
    let pipeline = moco::parse_pipeline("it", &text, &[]).unwrap();
    assert_eq!(pipeline.trained_size, (32, 32));
    assert_eq!(pipeline.view("eval").unwrap().size, (32, 32));
}
