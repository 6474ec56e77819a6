//! Trains a pipeline, says how each epoch went, and ends the run early if the metric is good enough.

#![allow(clippy::print_stdout)] // An example is a program.

use std::sync::atomic::{AtomicBool, Ordering};

use moco::{EpochReport, Finished, Note, Observer, ObserverError, Run};

struct Watcher<'a> {
    stop: &'a AtomicBool,
}

impl Observer for Watcher<'_> {
    fn measured(&mut self, report: &EpochReport<'_>) -> Result<(), ObserverError> {
        if let Some(epoch) = &report.training {
            println!(
                "epoch {}: loss {:.2}, {:.0} images/s",
                report.epochs_done, epoch.loss, epoch.images_per_s
            );
        }
        let knn = report.metrics.iter().find(|metric| metric.name == "knn_top1");
        if knn.is_some_and(|metric| metric.value > 0.6) {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn note(&mut self, note: &Note<'_>) -> Result<(), ObserverError> {
        println!("{note}");
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stop = AtomicBool::new(false);
    let mut run = Run::create(moco::read_pipeline("pipelines/mocov2.ron", &[])?)?;
    match run.train_until(&mut Watcher { stop: &stop }, &stop)? {
        Finished::Completed(summary) => println!("done: {}", summary.checkpoint.display()),
        Finished::Stopped { checkpoint, .. } => println!("stopped: {}", checkpoint.display()),
    }
    Ok(())
}
