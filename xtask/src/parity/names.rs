//! Converts the reference's names and layouts to ours.

use run_store::checkpoint::Stored;

use super::golden::{Golden, Kind, Tensor, Values};
use crate::reference_pipeline::{BACKBONE, CONTRAST, HEAD, PREDICTOR, PROJECTOR};
use moco_cli::Failure;

/// Our name of a tensor in the reference's state: `encoder_q.fc.weight` is `query.head.weight`, and in v3
/// `base_encoder.fc.0.weight` is `query.projector.0.weight`.
pub(super) fn of_state(theirs: &str) -> Option<String> {
    match theirs {
        "queue" => return Some(format!("query.{CONTRAST}.queue")),
        "queue_ptr" => return Some(format!("query.{CONTRAST}.pointer")),
        _ => {}
    }
    let (part, name) = theirs.split_once('.')?;
    match part {
        "encoder_q" => Some(format!("query.{}", of_encoder(HEAD, name))),
        "encoder_k" => Some(format!("momentum.{}", of_encoder(HEAD, name))),
        "base_encoder" => Some(format!("query.{}", of_encoder(PROJECTOR, name))),
        "momentum_encoder" => Some(format!("momentum.{}", of_encoder(PROJECTOR, name))),
        "predictor" => Some(format!("query.{PREDICTOR}.{name}")),
        _ => None,
    }
}

/// Our name of a gradient: those of v1 and v2 have no prefix, because there is only one trained encoder.
pub(super) fn of_gradient(kind: Kind, theirs: &str) -> String {
    match kind {
        Kind::MocoV3 => {
            let ours = of_state(theirs).unwrap_or_default();
            ours.strip_prefix("query.").unwrap_or_default().to_owned()
        }
        Kind::Moco | Kind::Augmentations | Kind::Loss => of_encoder(HEAD, theirs),
    }
}

/// Our name of a tensor of the reference's encoder, where `fc` (torchvision) or `head` (timm) is our module `head`.
fn of_encoder(head: &str, theirs: &str) -> String {
    match theirs.strip_prefix("fc.").or_else(|| theirs.strip_prefix("head.")) {
        Some(name) => format!("{head}.{name}"),
        None => format!("{BACKBONE}.{theirs}"),
    }
}

/// A tensor of the reference's state as in our checkpoints. The queue is transposed to one key per row.
pub(super) fn to_stored(golden: &Golden, theirs: &str, tensor: &Tensor) -> Result<Stored, Failure> {
    match &tensor.values {
        Values::Floats(values) => match (theirs, tensor.shape.as_slice()) {
            ("queue", &[dim, len]) => {
                Ok(Stored::F32 { shape: vec![len, dim], values: transposed(values, dim, len) })
            }
            ("queue", _) => Err(golden.wrong("the queue does not have 2 axes")),
            (_, shape) => Ok(Stored::F32 { shape: shape.to_vec(), values: values.clone() }),
        },
        Values::Counts(values) => values
            .iter()
            .map(|count| u64::try_from(*count).map_err(|_| golden.wrong(format!("`{theirs}` is below 0"))))
            .collect::<Result<Vec<u64>, Failure>>()
            .map(Stored::U64),
        Values::Bytes(_) => Err(golden.wrong(format!("`{theirs}` has bytes"))),
    }
}

/// `(rows, columns)` to `(columns, rows)`.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

/// `(N, C, H, W)` to `(N, H, W, C)`.
pub(super) fn to_nhwc(values: &[f32], [n, c, h, w]: [usize; 4]) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for image in values.chunks_exact((c * h * w).max(1)).take(n) {
        for pixel in 0..h * w {
            out.extend((0..c).map(|channel| image[channel * h * w + pixel]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_modules() {
        assert_eq!(of_state("encoder_q.layer1.0.bn1.weight").unwrap(), "query.backbone.layer1.0.bn1.weight");
        assert_eq!(of_state("encoder_k.fc.2.bias").unwrap(), "momentum.head.2.bias");
        assert_eq!(of_state("queue").unwrap(), "query.contrast.queue");
        assert_eq!(of_state("queue_ptr").unwrap(), "query.contrast.pointer");
        assert_eq!(of_state("base_encoder.fc.0.weight").unwrap(), "query.projector.0.weight");
        assert_eq!(
            of_state("momentum_encoder.head.7.running_var").unwrap(),
            "momentum.projector.7.running_var"
        );
        assert_eq!(
            of_state("base_encoder.blocks.0.mlp.fc1.bias").unwrap(),
            "query.backbone.blocks.0.mlp.fc1.bias"
        );
        assert_eq!(of_state("predictor.0.weight").unwrap(), "query.predictor.0.weight");
        assert_eq!(of_state("teacher.0.weight"), None);
        assert_eq!(of_gradient(Kind::Moco, "fc.2.bias"), "head.2.bias");
        assert_eq!(of_gradient(Kind::MocoV3, "base_encoder.norm.bias"), "backbone.norm.bias");
        assert_eq!(of_gradient(Kind::MocoV3, "predictor.3.weight"), "predictor.3.weight");
    }

    #[test]
    fn channels_and_keys_move_to_the_end() {
        let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
        assert_eq!(to_nhwc(&values[..8], [1, 2, 2, 2]), [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0]);
        assert_eq!(to_nhwc(&values, [2, 3, 1, 2])[6..], [6.0, 8.0, 10.0, 7.0, 9.0, 11.0]);
        assert_eq!(transposed(&values[..6], 2, 3), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }
}
