//! Measures the encoder of a run: its neighbors, and linear classifiers on cached features, with a tenth of the labels.

#![allow(clippy::print_stdout)] // An example is a program.

use moco::Run;
use moco::evaluation::{EvaluationOptions, ProbeProtocol, PublishedProbe};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Run::open("runs/mocov2-001")?;
    let options = EvaluationOptions { labels: 0.1, ..EvaluationOptions::default() };
    let mut evaluation = run.evaluation(&options)?;

    let knn = evaluation.knn(20, 0.1)?;
    println!("knn_top1 {:.1} %", 100.0 * knn.top1);

    let published = PublishedProbe::MOCO_V1_V2.protocol();
    let protocol = ProbeProtocol { epochs: 50, ..published };
    let trained = evaluation.cached_probe(&protocol, &mut |_| {})?;
    println!("last losses {:?}", trained.losses.last());
    Ok(())
}
