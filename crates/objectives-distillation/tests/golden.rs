//! The same values and gradients as lightly's losses in float64, over several steps.

use std::path::Path;

use objectives_distillation as _;

#[test]
fn losses_and_gradients_are_those_of_the_reference() {
    loss_parity::assert_golden(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"));
}
