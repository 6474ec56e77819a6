//! A linear probe on cached features.

use std::ops::ControlFlow;

use plugin_api::{Embedding, Rng};

use super::{LinearProbe, ProbeError, ProbeProtocol};

/// A probe, and its learning curve.
#[derive(Clone, Debug)]
pub struct TrainedProbe {
    /// The classifiers, in the order of the protocol's learning rates.
    pub probe: LinearProbe,
    /// The mean loss of each classifier in nats, per epoch, before each step.
    pub losses: Vec<Vec<f64>>,
}

/// Trains linear classifiers on the features `train`, in a random order per epoch that depends on `seed`. After each
/// epoch, `watch` gets the number of epochs done.
///
/// This is cheap, but not what papers report: the classifier sees no random views of the images.
///
/// # Errors
/// If labels or images are missing, a feature is not finite, or a setting is invalid.
pub fn train_cached(
    train: &Embedding,
    protocol: &ProbeProtocol,
    seed: u64,
    watch: &mut dyn FnMut(usize),
) -> Result<TrainedProbe, ProbeError> {
    let mut n_epochs = 0;
    let trained = train_cached_while(train, protocol, seed, &mut |n_images| {
        if n_images / train.n > n_epochs {
            n_epochs = n_images / train.n;
            watch(n_epochs);
        }
        ControlFlow::Continue(())
    })?;
    Ok(trained.expect("nothing stops it"))
}

/// [`train_cached`], for as long as `watch` says so, which gets the number of images that went through, over all epochs, after
/// each batch. `None` if it was stopped.
///
/// # Errors
/// As [`train_cached`].
pub fn train_cached_while(
    train: &Embedding,
    protocol: &ProbeProtocol,
    seed: u64,
    watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Option<TrainedProbe>, ProbeError> {
    protocol.check()?;
    let labels = labels_of(train)?;
    if train.n_classes < 2 {
        return Err(ProbeError::Classes(train.n_classes));
    }
    let d = train.d;
    let mut probe = LinearProbe::new(d, train.n_classes, protocol.lrs(), seed);
    let mut losses = Vec::new();
    let mut rows = Vec::new();
    let mut n_images = 0;
    for epoch in 0..protocol.epochs {
        let order = Rng::new(seed, "order of a linear probe", &[epoch as u64]).permutation(train.n);
        let factor = protocol.decay.factor(epoch, protocol.epochs);
        let mut mean = MeanLosses::new(protocol.base_lrs.len());
        for batch in order.chunks(protocol.batch) {
            rows.clear();
            batch.iter().for_each(|&image| rows.extend_from_slice(&train.rows[image * d..(image + 1) * d]));
            let labels: Vec<u32> = batch.iter().map(|&image| labels[image]).collect();
            mean.add(&probe.step(&rows, &labels, factor)?, batch.len());
            n_images += batch.len();
            if watch(n_images).is_break() {
                return Ok(None);
            }
        }
        losses.push(mean.finish());
    }
    Ok(Some(TrainedProbe { probe, losses }))
}

/// The labels of features, if a classifier can be trained on them.
pub(super) fn labels_of(features: &Embedding) -> Result<&[u32], ProbeError> {
    let labels = features.labels.as_deref().ok_or(ProbeError::NoLabels)?;
    if features.n == 0 || features.d == 0 {
        return Err(ProbeError::NoImages);
    }
    if !features.rows.iter().all(|value| value.is_finite()) {
        return Err(ProbeError::NotFinite);
    }
    Ok(labels)
}

/// The mean of losses over an epoch, weighted by batch size.
pub struct MeanLosses {
    sums: Vec<f64>,
    n: usize,
}

impl MeanLosses {
    /// No batches yet, for this number of classifiers.
    pub fn new(n_classifiers: usize) -> Self {
        Self { sums: vec![0.0; n_classifiers], n: 0 }
    }

    /// What was added so far: for each classifier the sum of the losses of all images, and the number of images.
    pub fn state(&self) -> (&[f64], usize) {
        (&self.sums, self.n)
    }

    /// The means that had this [`state`](Self::state).
    pub fn restored(sums: Vec<f64>, n: usize) -> Self {
        Self { sums, n }
    }

    /// Adds the losses of a batch of `n` images, one per classifier.
    pub fn add(&mut self, losses: &[f64], n: usize) {
        self.sums.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss * n as f64);
        self.n += n;
    }

    /// The means.
    pub fn finish(self) -> Vec<f64> {
        self.sums.into_iter().map(|sum| sum / self.n as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decay, PublishedProbe};
    use super::*;

    fn features(n: usize, seed: u64) -> Embedding {
        let mut rng = Rng::new(seed, "features", &[]);
        let labels: Vec<u32> = (0..n).map(|_| rng.below(3) as u32).collect();
        let rows = labels
            .iter()
            .flat_map(|&label| (0..5).map(move |i| f32::from(u8::from(label == i))))
            .map(|mean| mean + 0.4 * rng.normal() as f32)
            .collect();
        Embedding { n, d: 5, rows, labels: Some(labels), n_classes: 3 }
    }

    fn protocol() -> ProbeProtocol {
        ProbeProtocol { base_lrs: vec![0.1, 3.0], batch: 32, epochs: 20, decay: Decay::Cosine }
    }

    #[test]
    fn classes_that_lie_apart_are_learnt() {
        let trained = train_cached(&features(300, 0), &protocol(), 0, &mut |_| {}).unwrap();
        assert_eq!(trained.losses.len(), 20);
        assert!(trained.losses[19][1] < trained.losses[0][1]);
        let scores = trained.probe.score(&features(200, 1)).unwrap();
        assert!(scores[1].top1() > 0.85, "{}", scores[1].top1());
        assert_eq!(scores[1].n(), 200);
    }

    #[test]
    fn training_stops_after_the_batch_in_which_it_is_asked_to() {
        let mut asked = Vec::new();
        let mut watch = |n_images| {
            asked.push(n_images);
            if n_images < 300 + 64 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let stopped = train_cached_while(&features(300, 0), &protocol(), 0, &mut watch).unwrap();
        assert!(stopped.is_none());
        assert_eq!(asked.last(), Some(&364));
        let mut epochs = Vec::new();
        train_cached(&features(300, 0), &protocol(), 0, &mut |epoch| epochs.push(epoch)).unwrap();
        assert_eq!(epochs, (1..=20).collect::<Vec<_>>());
    }

    #[test]
    fn a_probe_is_the_same_bits_on_any_number_of_threads() {
        let bits = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let trained =
                pool.install(|| train_cached(&features(300, 0), &protocol(), 0, &mut |_| {}).unwrap());
            let (weight, bias) = trained.probe.classifier(1);
            let losses = trained.losses.into_iter().flatten().map(f64::to_bits);
            let values = weight.into_iter().chain(bias).map(|value| u64::from(value.to_bits()));
            values.chain(losses).collect::<Vec<u64>>()
        };
        assert_eq!(bits(1), bits(3));
    }

    #[test]
    fn what_cannot_be_learned_from_is_refused() {
        let refused = |features: &Embedding, protocol: &ProbeProtocol| {
            train_cached(features, protocol, 0, &mut |_| {}).unwrap_err().to_string()
        };
        let good = features(20, 0);
        let mut broken = good.clone();
        broken.rows[3] = f32::INFINITY;
        assert_eq!(refused(&broken, &protocol()), "a feature is infinite or not a number");
        let unlabeled = Embedding { labels: None, ..good.clone() };
        assert_eq!(refused(&unlabeled, &protocol()), "the images have no labels");
        let one_class = Embedding { labels: Some(vec![0; 20]), n_classes: 1, ..good.clone() };
        assert_eq!(refused(&one_class, &protocol()), "there is 1 class, and a classifier needs two");
        let negative = ProbeProtocol { base_lrs: vec![-1.0], ..protocol() };
        assert_eq!(refused(&good, &negative), "a learning rate is -1, but it must be positive");
        let trained = train_cached(&good, &PublishedProbe::MOCO_V3_VIT.protocol(), 0, &mut |_| {}).unwrap();
        let wider = Embedding { d: 10, n: 10, ..good };
        assert!(matches!(trained.probe.score(&wider), Err(ProbeError::Width { probe: 5, found: 10 })));
    }
}
