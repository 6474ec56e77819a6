//! The fields of `metrics.jsonl`.

/// Whether a field of `metrics.jsonl` is of one loss of the graph: after the `id` of its step, as in `l12.loss`.
pub fn is_of_one_loss(field: &str) -> bool {
    field.contains('.')
}

/// Whether a field of `metrics.jsonl` tells of training, and is not a metric that a monitor takes.
pub fn is_of_training(field: &str) -> bool {
    const FIELDS: [&str; 12] = [
        "step",
        "epoch",
        "loss",
        "contrast_top1",
        "lr",
        "seconds",
        "images_per_s",
        "data_wait_share",
        "unreadable",
        "gradient_first_layer",
        "gradient_last_layer",
        "gradient_spikes",
    ];
    FIELDS.contains(&field) || is_of_one_loss(field)
}
