use std::sync::Arc;

use plugin_api::{
    ConfigError, Embed, Embedding, FeatureExtractor, Level, Metric, Monitor, MonitorContext, MonitorError,
    Outcome, Split,
};

use crate::faulty;

faulty! {
    dyn Monitor "monitor", FaultyMonitor::new;
    DeclaresNothing: ["it declares no metric"];
    Undeclared: ["it measures `other`, which `metrics` does not declare"];
    NotFinite: ["its metric `mean` is NaN"];
    CalledLoss: ["it declares a metric called `loss`"];
    DeclaredTwice: ["it declares two metrics of the name `mean`"];
    MeasuredTwice: ["it gives the metric `mean` twice"];
    ShareInPerCent: ["a share is from 0 to 1"];
    NoProtocol: ["has no protocol"];
    OtherView: ["it asks for features of the view `key`, which `views` does not name"];
    CountsCalls: ["of the same features"];
    NeverDue: ["it would never measure"];
    Off: ["it measures nothing on a labeled dataset"];
    OffWithoutReason: ["does not say why"];
    PanicsWithoutLabels: ["it panics in `measure` without labels"];
    FailsWithoutTest: ["`measure` fails without a test split"];
}

/// The mean of all features.
struct FaultyMonitor(Fault, f64);

impl FaultyMonitor {
    fn new(fault: Fault, _: &MonitorContext) -> Result<Self, ConfigError> {
        Ok(Self(fault, 0.0))
    }
}

impl Monitor for FaultyMonitor {
    fn views(&self) -> Vec<&str> {
        vec!["eval"]
    }

    fn metrics(&self) -> &[&'static str] {
        match self.0 {
            Fault::DeclaresNothing => &[],
            Fault::CalledLoss => &["loss"],
            Fault::DeclaredTwice => &["mean", "mean"],
            _ => &["mean"],
        }
    }

    fn is_due(&self, _: usize, _: usize) -> bool {
        self.0 != Fault::NeverDue
    }

    fn measure(&mut self, encoder: &mut dyn FeatureExtractor) -> Result<Outcome, MonitorError> {
        let fault = self.0;
        if fault == Fault::Off {
            return Ok(Outcome::Off { reason: "never".into() });
        }
        let view = if fault == Fault::OtherView { "key" } else { "eval" };
        let request = |split| Embed { split, view, level: Level::Backbone };
        let test: Option<Arc<Embedding>> = encoder.embed(request(Split::Test))?;
        let Some(test) = test else {
            return match fault {
                Fault::FailsWithoutTest => Err(MonitorError::NoKeys),
                Fault::OffWithoutReason => Ok(Outcome::Off { reason: " ".into() }),
                _ => Ok(Outcome::Off { reason: "there is no test split".into() }),
            };
        };
        assert!(fault != Fault::PanicsWithoutLabels || test.labels.is_some(), "no labels");
        self.1 += 1.0;
        let mean = test.rows.iter().map(|value| f64::from(*value)).sum::<f64>() / test.rows.len() as f64;
        let metric = Metric {
            name: if fault == Fault::Undeclared { "other".into() } else { "mean".into() },
            value: match fault {
                Fault::NotFinite => f64::NAN,
                Fault::ShareInPerCent => 61.2,
                Fault::CountsCalls => self.1,
                _ => mean,
            },
            is_share: fault == Fault::ShareInPerCent,
            more_is_better: true,
            protocol: if fault == Fault::NoProtocol { String::new() } else { "of all features".into() },
        };
        let n = if fault == Fault::MeasuredTwice { 2 } else { 1 };
        Ok(Outcome::Measured(vec![metric; n]))
    }
}
