//! The same values and gradients as lightly's losses in float64, over several steps.

use objectives_distillation as _;

/// Compares with each file of `tests/golden`.
#[test]
fn losses_and_gradients_are_those_of_the_reference() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut n_files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        let bytes = std::fs::read(&path).unwrap();
        let groups = loss_parity::compare(&name, &bytes, &tensor_ops::Device::default()).unwrap();
        for group in &groups {
            assert!(group.is_ok(), "{name}: {group:?}");
        }
        assert!(groups.len() >= 2, "{name}: {groups:?}");
        n_files += 1;
    }
    assert!(n_files > 0, "there is nothing in {}", folder.display());
}
