//! Weights of other programs that are damaged, or that are not what they seem.

use std::collections::BTreeMap;
use std::path::Path;

use run_store::checkpoint::Stored;
use tempfile::tempdir;
use weights::Tensors;

use crate::support::{checkpoint, here, workspace, xtask};

/// The ResNet in the stored files, for a pipeline.
const TINY: &str =
    "modules.backbone=(\"resnet\", (blocks: [1, 1, 1, 1], block: Basic, width: 2, stem: ImageNet))";

fn case(name: &str) -> String {
    workspace().join("crates/weights/tests/stored/cases").join(name).display().to_string()
}

/// The small ResNet with these changes, in a file of `folder`.
fn changed(folder: &Path, change: impl FnOnce(&mut Tensors)) -> String {
    let mut tensors = weights::read(Path::new(&case("tv.pth"))).unwrap();
    change(&mut tensors);
    let file = folder.join("changed.safetensors");
    weights::write_safetensors(&file, &tensors, &BTreeMap::new()).unwrap();
    file.display().to_string()
}

#[test]
fn values_that_no_encoder_has_are_refused_and_no_run_is_made() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let small = here("small.ron");
    for (tensor, value, expected) in [
        ("conv1.weight", f32::NAN, "values that are not finite, NaN first"),
        ("layer4.0.bn2.bias", f32::INFINITY, "values that are not finite, inf first"),
        ("bn1.running_var", -1.0, "values that are variances below 0, -1 first"),
    ] {
        let file = changed(folder, |tensors| match tensors.get_mut(tensor) {
            Some(Stored::F32 { values, .. }) => values[0] = value,
            other => panic!("{other:?}"),
        });
        let ways: [&[&str]; 3] = [
            &["import", &file],
            &["import", &file, "--pipeline", &small, "--set", TINY, "--backbone-only", "--out", "run"],
            &["run", &small, "--from", &file, "--set", TINY, "--out", "run"],
        ];
        for arguments in ways {
            let said = xtask(folder, arguments).refused();
            assert!(said.contains(&format!("changed.safetensors`: `{tensor}` has 1 of ")), "{said}");
            assert!(said.contains(expected), "{said}");
            assert!(!folder.join("run").exists());
        }
    }
}

#[test]
fn a_checkpoint_without_a_tensor_or_with_one_of_another_shape_is_not_exported() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    xtask(folder, ["run", &here("small.ron"), "--out", "run", "--threads", "1", "--set", "epochs=1"]).done();
    let newest = checkpoint(&folder.join("run"), 4);
    let whole = run_store::checkpoint::read(&newest).unwrap();
    type Change = fn(&mut Tensors);
    let changes: [(Change, &str); 3] = [
        (|tensors| drop(tensors.remove("query.backbone.conv1.weight")), "`conv1.weight` is missing"),
        (
            |tensors| {
                let empty = Stored::F32 { shape: vec![0, 3, 3, 3], values: Vec::new() };
                tensors.insert("query.backbone.conv1.weight".into(), empty);
            },
            "`conv1.weight` is [0, 3, 3, 3], expected ",
        ),
        (
            |tensors| {
                let more = Stored::F32 { shape: vec![1], values: vec![1.0] };
                tensors.insert("query.backbone.more".into(), more);
            },
            "`more` is unexpected",
        ),
    ];
    for (change, expected) in changes {
        let mut snapshot = whole.clone();
        change(&mut snapshot.tensors);
        run_store::checkpoint::write(&newest, &snapshot).unwrap();
        let told = xtask(folder, ["export", "run", "--to", "torchvision", "-o", "a.safetensors"]).refused();
        assert!(told.contains(expected), "{told}");
        assert!(!folder.join("a.safetensors").exists());
    }
}

#[test]
fn a_vit_says_how_many_heads_the_pipeline_has() {
    let folder = tempdir().unwrap();
    let arguments = ["import", &case("vit_grid4.pth"), "--pipeline", &here("v3.ron"), "--backbone-only"];
    let said = xtask(folder.path(), arguments).done().stdout;
    assert!(
        said.contains(
            "heads     the pipeline's ViT has 2, and the file does not tell: timm, DeiT and DINO have one for each 64 of \
             the width, 1 here, and moco-v3 has 12\n"
        ),
        "{said}"
    );
}

#[test]
fn names_of_a_file_do_not_reach_the_terminal_as_they_are() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let file = changed(folder, |tensors| {
        let renamed = |(name, stored)| (format!("a\n\x1b[2J.{name}"), stored);
        *tensors = std::mem::take(tensors).into_iter().map(renamed).collect();
    });
    let said = xtask(folder, ["import", &file]).done().stdout;
    assert!(said.contains("taken     from prefix `a\\x0a\\x1b[2J.`\n"), "{said:?}");
    assert!(!said.contains('\x1b'), "{said:?}");
    let file = changed(folder, |tensors| {
        tensors.insert("layer1.0.\x1b[2J".into(), Stored::F32 { shape: vec![1], values: vec![0.0] });
    });
    let outcome = xtask(folder, ["import", &file]);
    let shown = [&*outcome.stdout, &*outcome.stderr].concat();
    assert!(shown.contains("unexpected: layer1.0.\\x1b[2J\n"), "{shown:?}");
    assert!(shown.contains("`--leave-out 'layer1.0.*[2J'`") && !shown.contains('\x1b'), "{shown:?}");
}

#[test]
fn counters_that_are_not_there_start_at_0_and_are_not_missing() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let mut n = 0;
    let file = changed(folder, |tensors| {
        n = tensors.len();
        tensors.retain(|name, _| !name.ends_with("num_batches_tracked"));
        n -= tensors.len();
    });
    assert!(n > 0);
    let said = xtask(folder, ["import", &file]).done().stdout;
    assert!(said.contains(" fit, 0 missing, 0 unexpected, 0 misshapen\n"), "{said}");
    let told =
        format!("{n} counters of batches (`num_batches_tracked`) not in the file: at 0, as in PyTorch\n");
    assert!(said.contains(&told), "{said}");
}
