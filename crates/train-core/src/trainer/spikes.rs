//! Gradient spikes: how they are detected, and what is done about them (Chen et al. 2021, arXiv:2104.02057, §4).

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::engine::GradientNorms;
use pipeline::{OnSpike, Parameters, StabilityConfig};
use plugin_api::ParameterId;

/// Key of the detector's state in a checkpoint's metadata.
const KEY: &str = "stability";

/// Norms before the median is used, unless the window is shorter.
const FEWEST: usize = 10;

/// Compares the largest gradient value of some parameters with its running median.
pub(super) struct SpikeDetector {
    config: StabilityConfig,
    parameters: Parameters,
    state: State,
    /// Spikes reported in this epoch.
    n_reported: usize,
}

/// State that a resumed run needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    /// By parameter: the bits of its last norms, oldest first.
    history: BTreeMap<String, VecDeque<u32>>,
    /// Whether a spike has already frozen parameters.
    has_frozen: bool,
    /// Steps of this epoch with a spike.
    n_spikes: usize,
    /// The bits of the largest norms of this epoch, of the first and the last layer.
    first: u32,
    last: u32,
}

/// A gradient that jumped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spike {
    /// The parameter.
    pub(super) name: String,
    /// Its largest absolute gradient value.
    pub(super) norm: f32,
    /// The running median of earlier ones.
    pub(super) median: f32,
}

/// What to do with a step.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// Continue.
    Go,
    /// Continue, and report it.
    Tell(Spike),
    /// Do not change weights in this step.
    Skip(Spike),
    /// Freeze these parameters from this step on.
    Freeze(Spike, Vec<ParameterId>),
}

impl SpikeDetector {
    pub(super) fn new(config: StabilityConfig, parameters: Parameters) -> Self {
        Self { config, parameters, state: State::default(), n_reported: 0 }
    }

    /// Decides what to do with a step from its gradients.
    pub(super) fn judge(&mut self, norms: &GradientNorms) -> Verdict {
        let larger = |bits: u32, norm: Option<f32>| f32::from_bits(bits).max(norm.unwrap_or(0.0)).to_bits();
        self.state.first = larger(self.state.first, norms.first());
        self.state.last = larger(self.state.last, norms.last());
        let mut worst: Option<Spike> = None;
        for &id in &self.parameters.watched {
            let (Some(norm), name) = (norms.of(id), self.parameters.settings.name(id)) else { continue };
            let history = self.state.history.entry(name.to_owned()).or_default();
            if history.len() >= FEWEST.min(self.config.window) {
                let median = median(history);
                let ratio = |spike: &Spike| spike.norm / spike.median;
                let spike = Spike { name: name.to_owned(), norm, median };
                if f64::from(norm) > self.config.spike * f64::from(median)
                    && worst.as_ref().is_none_or(|worst| ratio(&spike) > ratio(worst))
                {
                    worst = Some(spike);
                }
            }
            history.push_back(norm.to_bits());
            if history.len() > self.config.window {
                history.pop_front();
            }
        }
        let Some(spike) = worst else { return Verdict::Go };
        self.state.n_spikes += 1;
        match &self.config.on_spike {
            OnSpike::Nothing => Verdict::Tell(spike),
            OnSpike::SkipStep => Verdict::Skip(spike),
            OnSpike::Freeze(_) if self.state.has_frozen => Verdict::Tell(spike),
            OnSpike::Freeze(_) => {
                self.state.has_frozen = true;
                Verdict::Freeze(spike, self.parameters.frozen_by_spike.clone())
            }
        }
    }

    /// Whether to report this spike: the first few of an epoch are reported.
    pub(super) fn should_report(&mut self) -> bool {
        const MOST_IN_AN_EPOCH: usize = 3;
        self.n_reported += 1;
        self.n_reported <= MOST_IN_AN_EPOCH
    }

    /// The parameters that a spike freezes, and whether it has.
    pub(super) fn frozen_by_spike(&self) -> (&[ParameterId], bool) {
        (&self.parameters.frozen_by_spike, self.state.has_frozen)
    }

    /// The name of a parameter.
    pub(super) fn name(&self, parameter: ParameterId) -> &str {
        self.parameters.settings.name(parameter)
    }

    /// All parameters.
    pub(super) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The largest gradients of this epoch, of the first and the last layer.
    pub(super) fn largest(&self) -> [f64; 2] {
        [self.state.first, self.state.last].map(|bits| f64::from(f32::from_bits(bits)))
    }

    /// Steps of this epoch with a spike.
    pub(super) fn n_spikes(&self) -> usize {
        self.state.n_spikes
    }

    pub(super) fn next_epoch(&mut self) {
        self.n_reported = 0;
        self.state.n_spikes = 0;
        self.state.first = 0;
        self.state.last = 0;
    }

    pub(super) fn save(&self, metadata: &mut BTreeMap<String, String>) {
        let text = serde_json::to_string(&self.state).expect("a map with text keys is JSON");
        metadata.insert(KEY.into(), text);
    }

    pub(super) fn load(&mut self, metadata: &BTreeMap<String, String>) -> Result<(), TrainError> {
        let state = metadata.get(KEY).and_then(|text| serde_json::from_str(text).ok());
        self.state = state.ok_or(TrainError::Metadata(KEY))?;
        Ok(())
    }
}

fn median(bits: &VecDeque<u32>) -> f32 {
    let mut sorted: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
    sorted.sort_by(f32::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the parameters `a.weight` and `b.weight`, with their ids.
    fn parameters() -> (Parameters, [ParameterId; 2]) {
        let mut settings = plugin_api::ByName::default();
        let ids =
            ["a.weight", "b.weight"].map(|name| settings.push(name.into(), Default::default()).unwrap());
        (Parameters { settings, watched: vec![ids[0]], frozen_by_spike: vec![ids[0]] }, ids)
    }

    fn spikes(on_spike: OnSpike) -> SpikeDetector {
        let (parameters, _) = parameters();
        SpikeDetector::new(StabilityConfig { window: 20, on_spike, ..StabilityConfig::default() }, parameters)
    }

    fn norms(first: f32) -> GradientNorms {
        GradientNorms::new(vec![Some(first), Some(1.0)], parameters().1.into())
    }

    #[test]
    fn a_jump_over_the_running_median_is_a_spike() {
        let mut spikes = spikes(OnSpike::SkipStep);
        for i in 0..30 {
            assert_eq!(spikes.judge(&norms(1.0 + (i % 5) as f32)), Verdict::Go, "{i}");
        }
        let Verdict::Skip(spike) = spikes.judge(&norms(31.0)) else { panic!("no spike") };
        assert_eq!(spike, Spike { name: "a.weight".into(), norm: 31.0, median: 3.0 });
        assert_eq!(spikes.judge(&norms(29.0)), Verdict::Go);
        assert_eq!(spikes.largest()[0], 31.0);
        assert_eq!(spikes.n_spikes(), 1);
    }

    #[test]
    fn a_level_that_stays_is_no_spike_for_long() {
        let mut spikes = spikes(OnSpike::Nothing);
        (0..20).for_each(|_| drop(spikes.judge(&norms(1.0))));
        let told = (0..20).filter(|_| spikes.judge(&norms(50.0)) != Verdict::Go).count();
        assert_eq!(told, 10);
    }

    #[test]
    fn a_spike_freezes_once() {
        let mut spikes = spikes(OnSpike::Freeze(vec!["a".into()]));
        (0..20).for_each(|_| drop(spikes.judge(&norms(1.0))));
        assert_eq!(spikes.frozen_by_spike(), (&parameters().1[..1], false));
        assert!(
            matches!(spikes.judge(&norms(99.0)), Verdict::Freeze(_, frozen) if frozen == parameters().1[..1])
        );
        assert!(matches!(spikes.judge(&norms(99.0)), Verdict::Tell(_)));
        assert_eq!(spikes.frozen_by_spike(), (&parameters().1[..1], true));
    }

    #[test]
    fn the_state_reads_back_bit_for_bit() {
        let mut watch_1 = spikes(OnSpike::Nothing);
        (1..15).for_each(|i| drop(watch_1.judge(&norms(1.0 / i as f32))));
        let mut metadata = BTreeMap::new();
        watch_1.save(&mut metadata);
        let mut watch_2 = spikes(OnSpike::Nothing);
        watch_2.load(&metadata).unwrap();
        assert_eq!(watch_1.state, watch_2.state);
        assert!(watch_2.load(&BTreeMap::new()).is_err());
    }
}
