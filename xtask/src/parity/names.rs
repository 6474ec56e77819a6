//! Names and layouts: the reference's, and ours.

use train_core::checkpoint::Stored;

use super::golden::{Golden, Tensor, Values};
use crate::failure::Failure;
use crate::recipe::{BACKBONE, CONTRAST, HEAD};

/// Our name of a tensor of the reference's state: `encoder_q.fc.weight` is `query.head.weight`.
pub(super) fn of_state(theirs: &str) -> Option<String> {
    match theirs {
        "queue" => return Some(format!("query.{CONTRAST}.queue")),
        "queue_ptr" => return Some(format!("query.{CONTRAST}.pointer")),
        _ => {}
    }
    if let Some(name) = theirs.strip_prefix("encoder_q.") {
        Some(format!("query.{}", of_encoder(name)))
    } else {
        theirs.strip_prefix("encoder_k.").map(|name| format!("momentum.{}", of_encoder(name)))
    }
}

/// Our name of a tensor of the reference's encoder: `fc.weight` is `head.weight`.
pub(super) fn of_encoder(theirs: &str) -> String {
    match theirs.strip_prefix("fc.") {
        Some(name) => format!("{HEAD}.{name}"),
        None => format!("{BACKBONE}.{theirs}"),
    }
}

/// A tensor of the reference's state as a checkpoint of ours holds it. The queue is transposed: a row a key.
pub(super) fn to_stored(golden: &Golden, theirs: &str, tensor: &Tensor) -> Result<Stored, Failure> {
    match &tensor.values {
        Values::Floats(values) => match (theirs, tensor.shape.as_slice()) {
            ("queue", &[dim, len]) => {
                Ok(Stored::F32 { shape: vec![len, dim], values: transposed(values, dim, len) })
            }
            ("queue", _) => Err(golden.wrong("the queue has not 2 axes")),
            (_, shape) => Ok(Stored::F32 { shape: shape.to_vec(), values: values.clone() }),
        },
        Values::Counts(values) => values
            .iter()
            .map(|count| u64::try_from(*count).map_err(|_| golden.wrong(format!("`{theirs}` is below 0"))))
            .collect::<Result<Vec<u64>, Failure>>()
            .map(Stored::U64),
        Values::Bytes(_) => Err(golden.wrong(format!("`{theirs}` is of bytes"))),
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
        assert_eq!(of_state("predictor.0.weight"), None);
    }

    #[test]
    fn channels_and_keys_move_to_the_end() {
        let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
        assert_eq!(to_nhwc(&values[..8], [1, 2, 2, 2]), [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0]);
        assert_eq!(to_nhwc(&values, [2, 3, 1, 2])[6..], [6.0, 8.0, 10.0, 7.0, 9.0, 11.0]);
        assert_eq!(transposed(&values[..6], 2, 3), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }
}
