//! Compares a loss on given embeddings with a golden file.

use moco_cli::Failure;
use tensor_ops::Device;

use super::golden::Golden;
use super::report::Line;

/// Two lines per step, for the loss and its gradients, and one for each thing that the loss keeps.
pub(super) fn compare(golden: &Golden, device: &Device) -> Result<Vec<Line>, Failure> {
    let groups = loss_parity::compare(golden.name(), golden.bytes(), device)
        .map_err(|error| Failure::plain(error.to_string()))?;
    let line = |loss_parity::Compared { group, error, limit, worst }| Line {
        group,
        error,
        limit,
        share: None,
        worst,
    };
    Ok(groups.into_iter().map(line).collect())
}
