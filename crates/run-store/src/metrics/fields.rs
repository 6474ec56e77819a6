//! The fields of `metrics.jsonl`.

/// Whether a field of `metrics.jsonl` tells of training, and is not a metric that a monitor takes. Values of single losses have
/// a dot after the step's name: `l12.loss`.
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
    FIELDS.contains(&field) || field.contains('.')
}
