//! Which metric decides what the best checkpoint of a run is.

use std::collections::BTreeMap;

use pipeline::CheckpointConfig;
use run_store::checkpoint::SCORE_METRIC;
use serde_json::{Map, Value};

/// The metric that decides which checkpoint is the best: the one that the `best` checkpoint names in its metadata, and before there
/// is one the first of those that may decide it that `lines` of `metrics.jsonl` have.
pub(crate) fn deciding_metric<'a>(
    best: Option<&'a BTreeMap<String, String>>,
    config: Option<&'a CheckpointConfig>,
    lines: &[Map<String, Value>],
) -> Option<&'a str> {
    let is_measured = |name: &&str| lines.iter().any(|line| line.get(*name).is_some_and(Value::is_number));
    let named = best.and_then(|best| best.get(SCORE_METRIC)).map(String::as_str).filter(is_measured);
    named.or_else(|| config?.best_by().into_iter().find(is_measured))
}
