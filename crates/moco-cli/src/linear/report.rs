//! The report of a probe: a table, a file and a picture.

use std::io::Write;

use evaluate::linear::{ClassifierScore, Decay, ProbeProtocol, PublishedProbe, TrainedProbe};
use moco::evaluation::{confusion_png, confusion_svg};
use serde_json::{Value, json};

use super::Arguments;
use crate::by_class::per_cent;
use crate::failure::Failure;
use crate::run::format_seconds;
use crate::{by_class, compute, text};

/// The results of a probe.
pub(super) struct Report<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) recipe: &'a PublishedProbe,
    pub(super) protocol: &'a ProbeProtocol,
    pub(super) departures: &'a [String],
    pub(super) n_train: usize,
    pub(super) n_test: usize,
    pub(super) n_features: usize,
    pub(super) classes: Vec<String>,
    pub(super) n_tensors_unchanged: usize,
    pub(super) training: &'a TrainedProbe,
    pub(super) scores: &'a [ClassifierScore],
    /// Time for the features of the test images, and of the training images if they are cached.
    pub(super) seconds_embedding: f64,
    /// Time for training the classifiers, and for the features of the training images if they are not cached.
    pub(super) seconds_training: f64,
    pub(super) checkpoint: String,
    pub(super) dataset: String,
    pub(super) n_unreadable: usize,
}

impl Report<'_> {
    /// How a classifier was trained, in words.
    pub(super) fn describe(&self, classifier: usize) -> String {
        let ProbeProtocol { base_lrs, batch, epochs, .. } = self.protocol;
        format!(
            "linear probe, {}, base learning rate {}, batch {batch}, {}",
            self.method(),
            base_lrs[classifier],
            text::count(*epochs, "epoch")
        )
    }

    /// The protocol, which must match for results to be comparable.
    fn method(&self) -> &'static str {
        if self.arguments.cached { "cached features, no augmentation" } else { "random crops and flips" }
    }

    fn decay(&self) -> &'static str {
        match self.protocol.decay {
            Decay::Steps => "a tenth after 60 % and 80 % of them",
            Decay::Cosine => "cosine",
        }
    }

    /// The classifier that is reported per class: the best on the test images.
    pub(super) fn best(&self) -> usize {
        let top1 = |which: usize| if self.scores[which].is_finite { self.scores[which].top1() } else { -1.0 };
        (0..self.scores.len())
            .reduce(|best, other| if top1(other) > top1(best) { other } else { best })
            .unwrap_or(0)
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let ProbeProtocol { batch, epochs, .. } = self.protocol;
        writeln!(out, "{}", self.checkpoint)?;
        writeln!(
            out,
            "linear probe, {}: {} features ({}), view `{}`, frozen encoder in eval mode; SGD, momentum 0.9, no weight decay, \
             batch {batch}, {}, {}; {} against {}",
            self.method(),
            self.arguments.encoder.level_name(),
            text::count(self.n_features, "value"),
            self.arguments.encoder.view,
            text::count(*epochs, "epoch"),
            self.decay(),
            text::count(self.n_test, "test image"),
            text::count(self.n_train, "training image"),
        )?;
        if let Some(line) = self.arguments.encoder.data_line(&self.dataset) {
            writeln!(out, "{line}")?;
        }
        if self.arguments.encoder.labels < 1.0 {
            let share = 100.0 * self.arguments.encoder.labels;
            writeln!(out, "{share} % of the labels of each class, seed {}", self.arguments.encoder.seed)?;
        }
        out.write_all(text::table(&self.rates()).as_bytes())?;
        let best = self.best();
        if self.scores.len() > 1 {
            writeln!(
                out,
                "best of {} learning rates, chosen on the test images and so slightly optimistic: base learning rate {}, {}",
                self.scores.len(),
                self.protocol.base_lrs[best],
                per_cent(self.scores[best].top1()),
            )?;
        }
        by_class::print(out, &self.scores[best], &self.classes)?;
        if self.n_unreadable > 0 {
            let images = text::count(self.n_unreadable, "unreadable image");
            writeln!(out, "{images} skipped or replaced")?;
        }
        writeln!(
            out,
            "features took {}, training {}",
            format_seconds(self.seconds_embedding),
            format_seconds(self.seconds_training)
        )?;
        writeln!(
            out,
            "the encoder is unchanged: {} are bit-for-bit equal to the checkpoint",
            text::count(self.n_tensors_unchanged, "tensor")
        )?;
        Ok(())
    }

    fn rates(&self) -> Vec<Vec<String>> {
        let has_top5 = self.scores.iter().any(|score| score.top5().is_some());
        let mut head = vec!["base lr".to_owned(), "lr".into(), "top-1".into()];
        head.extend(has_top5.then(|| "top-5".to_owned()));
        let mut rows = vec![head];
        for ((base, lr), score) in self.protocol.base_lrs.iter().zip(self.protocol.lrs()).zip(self.scores) {
            let mut row = vec![base.to_string(), lr.to_string()];
            if score.is_finite {
                row.push(per_cent(score.top1()));
                row.extend(score.top5().map(per_cent));
            } else {
                row.push("diverged".into());
                row.extend(has_top5.then(String::new));
            }
            row.extend(
                (*base == self.recipe.base_lr).then(|| format!("the learning rate of {}", self.recipe.name)),
            );
            rows.push(row);
        }
        rows
    }

    /// The result for programs.
    pub(super) fn json(&self) -> Value {
        let best = self.best();
        let classifiers: Vec<_> = self
            .protocol
            .base_lrs
            .iter()
            .zip(self.protocol.lrs())
            .zip(self.scores)
            .enumerate()
            .map(|(i, ((base_lr, lr), score))| {
                let train_loss: Vec<f64> = self.training.losses.iter().map(|epoch| epoch[i]).collect();
                json!({
                    "base_lr": base_lr,
                    "lr": lr,
                    "is_recipe_rate": *base_lr == self.recipe.base_lr,
                    "diverged": !score.is_finite,
                    "top1": score.top1(),
                    "top5": score.top5(),
                    "test_loss": score.loss(),
                    "train_loss": train_loss,
                })
            })
            .collect();
        let score = &self.scores[best];
        let confusion: Vec<&[u64]> = score.confusion.chunks_exact(score.n_classes).collect();
        let encoder = &self.arguments.encoder;
        json!({
            "protocol": format!("linear probe, {}", self.method()),
            "recipe": self.recipe.name,
            "departures": self.departures,
            "checkpoint": self.checkpoint.to_string(),
            "features": self.arguments.encoder.level_name(),
            "n_features": self.n_features,
            "view": encoder.view,
            "train_images": self.n_train,
            "test_images": self.n_test,
            "dataset": self.dataset,
            "unreadable_images": self.n_unreadable,
            "labels": encoder.labels,
            "seed": encoder.seed,
            "optimizer": "SGD, momentum 0.9, weight decay 0",
            "batch": self.protocol.batch,
            "epochs": self.protocol.epochs,
            "decay": self.decay(),
            "classifiers": classifiers,
            "best": {
                "classifier": best,
                "chosen_on": "the test images",
                "per_class": by_class::json(score, &self.classes),
                "confusion": confusion,
            },
            "encoder_tensors_unchanged": self.n_tensors_unchanged,
            "device": compute::describe(),
            "seconds_embedding": self.seconds_embedding,
            "seconds_training": self.seconds_training,
        })
    }

    /// The confusion matrix of the best classifier, as a PNG file and as an SVG file.
    pub(super) fn pictures(&self) -> Result<[Vec<u8>; 2], Failure> {
        let score = &self.scores[self.best()];
        Ok([confusion_png(score, &self.classes)?, confusion_svg(score, &self.classes)])
    }
}
