//! A batch over several processes, here threads, against the same batch in one.

use std::{sync::Arc, thread};

use kernels_cpu::{Family, Values};
use processes::{Processes, ProcessesError, ThreadGroup};

use crate::{
    BatchNorm, ConvAlgorithm, ConvGeometry, Device, FeatureMap, Gradients, Mode, OpError, Parameter,
    ParameterKind, Precision, backward, batch_norm, batch_norm_features,
    ops::{
        conv::{Way, conv2d_on},
        norm::normalize,
    },
    testing::{
        assert_close, backward_weighted, families, image, named_rows, noise, on_family, rows, vector, wide,
    },
    to_rows, weighted_sum,
};

/// What is normalized, and what follows.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// `(N, H, W, C)` of the whole batch.
    shape: [usize; 4],
    precision: Precision,
    has_relu: bool,
    has_residual: bool,
    /// Whether a convolution stands before the norm, which sums its channels up.
    has_convolution: bool,
}

/// Channels that come out of a convolution.
const WIDTH: usize = 24;

/// What a process has of a case, or all of it one: images in their own order.
struct Outcome {
    /// The output, the gradient of the input, and that of the residual.
    maps: Vec<Vec<f32>>,
    /// The gradients of scale, shift and, if there is one, of the kernel.
    parameters: Vec<Vec<f32>>,
    running: Vec<f32>,
}

impl Case {
    fn n_channels(self) -> usize {
        if self.has_convolution { WIDTH } else { self.shape[3] }
    }

    /// Values of every `n`-th image from `first` on.
    fn share(self, values: &[f32], first: usize, n: usize) -> Vec<f32> {
        let of_image = values.len() / self.shape[0];
        values.chunks(of_image).skip(first).step_by(n).flatten().copied().collect()
    }

    fn run(self, family: Family, processes: Option<Arc<dyn Processes>>) -> Outcome {
        let (first, n) = processes.as_ref().map_or((0, 1), |processes| (processes.rank(), processes.n()));
        let Self { shape: [n_images, h, w, n_in], precision, has_relu, has_residual, has_convolution } = self;
        let c = self.n_channels();
        let noise = |seed, c| {
            let whole = noise(seed, n_images * h * w * c);
            // Far from 0, where statistics of parts differ from those of the whole.
            let whole = whole.iter().enumerate().map(|(i, value)| value + (i / (h * w * c)) as f32 % 3.0);
            Values::new(self.share(&whole.collect::<Vec<_>>(), first, n), precision).into_whole()
        };
        let map = |seed, c| {
            let n_own = noise(seed, c).len() / (h * w * c);
            image([n_own, h, w, c], &noise(seed, c)).with_precision(precision).unwrap()
        };
        let mut norm = BatchNorm::new(&Device::default(), c).unwrap();
        norm.scale = Some(vector(&crate::testing::noise(3, c)));
        norm.shift = Some(vector(&crate::testing::noise(4, c)));
        norm.processes = processes;
        let kernel = crate::testing::noise(6, 9 * n_in * c);
        let kernel =
            Parameter::new(&Device::default(), ParameterKind::Kernel, &[3, 3, n_in, c], kernel).unwrap();
        let (x, residual) = (map(1, n_in), map(5, c));
        let inputs = [x.share(), residual.share()];
        let residual = has_residual.then_some(residual);
        let y: FeatureMap = on_family!(family, |backend| {
            let geometry = ConvGeometry::square(3, 1, 1);
            let way = Way { geometry, algorithm: ConvAlgorithm::Direct, groups: 1 };
            let x = match has_convolution {
                true => conv2d_on(backend, x, (&kernel, None), way, true),
                false => Ok(x),
            };
            normalize(backend, x.unwrap(), &mut norm, residual, has_relu, Mode::Train).unwrap()
        });
        let mut maps = vec![y.to_nhwc()];
        let mut gradients = backward_weighted(y, &noise(2, c));
        let mut gradient = |parameter: &Parameter| parameter.gradient(&mut gradients).unwrap();
        let (scale, shift) = (norm.scale.as_ref().unwrap(), norm.shift.as_ref().unwrap());
        let parameters = [scale, shift, &kernel].into_iter().filter_map(&mut gradient).collect();
        maps.extend(inputs.iter().filter_map(|input| input.gradient(&mut gradients).unwrap()));
        let running = [norm.running_mean.to_vec(), norm.running_var.to_vec(), vec![norm.n_batches as f32]];
        Outcome { maps, parameters, running: running.concat() }
    }
}

/// What each of `n` processes makes of `work`, in order of rank.
fn run<R: Send>(n: usize, work: impl Fn(Arc<dyn Processes>) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = ThreadGroup::of(n)
            .into_iter()
            .map(|process| scope.spawn(move || work(Arc::new(process))))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn sum(of_ranks: impl Iterator<Item = Vec<f32>>) -> Vec<f32> {
    of_ranks.reduce(|a, b| a.iter().zip(b).map(|(a, b)| a + b).collect()).unwrap()
}

fn assert_whole(case: Case, n: usize) {
    // Outputs and gradients in bfloat16 have 8 bits: a last digit of the sums may move the last bit.
    let of_maps = if case.precision == Precision::F32 { 1e-6 } else { 1.0 / 256.0 };
    // The kernel's is made of the gradients of a map.
    let of_kernel = if case.precision == Precision::F32 { 2e-6 } else { 1.0 / 256.0 };
    for family in families() {
        let what = format!("{case:?}, {n} processes, {family:?}");
        let whole = case.run(family, None);
        let of_ranks = run(n, |processes| case.run(family, Some(processes)));
        for (rank, own) in of_ranks.iter().enumerate() {
            assert_eq!(own.maps.len(), whole.maps.len());
            for (own, whole) in own.maps.iter().zip(&whole.maps) {
                assert_close(&what, own, &wide(&case.share(whole, rank, n)), of_maps);
            }
            assert_close(&what, &own.running, &wide(&whole.running), 1e-6);
            assert_eq!(own.running, of_ranks[0].running, "{what}");
        }
        for (i, whole) in whole.parameters.iter().enumerate() {
            let tolerance = if i < 2 { 1e-6 } else { of_kernel };
            let sum = sum(of_ranks.iter().map(|own| own.parameters[i].clone()));
            assert_close(&format!("{what}, parameter {i}"), &sum, &wide(whole), tolerance);
        }
    }
}

#[test]
fn a_batch_over_several_processes_is_normalized_as_the_whole() {
    for precision in [Precision::F32, Precision::Bf16] {
        for (has_relu, has_residual) in [(false, false), (true, false), (true, true)] {
            let case =
                Case { shape: [12, 5, 3, 21], precision, has_relu, has_residual, has_convolution: false };
            assert_whole(case, 2);
            assert_whole(case, 4);
        }
    }
}

#[test]
fn behind_a_convolution_that_takes_the_sums_it_is_the_same() {
    for precision in [Precision::F32, Precision::Bf16] {
        for has_residual in [false, true] {
            let (shape, has_relu) = ([20, 6, 6, 8], true);
            assert_whole(Case { shape, precision, has_relu, has_residual, has_convolution: true }, 2);
        }
    }
}

/// Seven images over three processes, and features as well.
#[test]
fn shares_need_not_be_equal() {
    let case = Case {
        shape: [7, 1, 2, 5],
        precision: Precision::F32,
        has_relu: true,
        has_residual: false,
        has_convolution: false,
    };
    assert_whole(case, 3);
}

#[test]
fn features_are_normalized_over_all_processes() {
    let (n, c) = (10, 6);
    let (x, weights) = (noise(1, n * c), noise(2, n * c));
    let share = |values: &[f32], rank: usize, n: usize| -> Vec<f32> {
        values.chunks(c).skip(rank).step_by(n).flatten().copied().collect()
    };
    let features = |processes: Option<Arc<dyn Processes>>| {
        let (rank, n) = processes.as_ref().map_or((0, 1), |processes| (processes.rank(), processes.n()));
        let x = share(&x, rank, n);
        let mut norm = BatchNorm::new(&Device::default(), c).unwrap();
        norm.processes = processes;
        let (name, x) = named_rows((x.len() / c, c), &x);
        let y = batch_norm_features(x, &mut norm, Mode::Train).unwrap();
        let rows = to_rows(&y);
        let mut gradients: Gradients = backward(weighted_sum(y, &share(&weights, rank, n)).unwrap()).unwrap();
        (rows, crate::testing::gradient_of(&name, &mut gradients))
    };
    let whole = features(None);
    for (rank, own) in run(2, |processes| features(Some(processes))).into_iter().enumerate() {
        assert_close("output", &own.0, &wide(&share(&whole.0, rank, 2)), 1e-6);
        assert_close("input", &own.1, &wide(&share(&whole.1, rank, 2)), 1e-6);
    }
}

/// A process that answers nothing.
#[derive(Debug)]
struct Broken;

impl Processes for Broken {
    fn n(&self) -> usize {
        2
    }

    fn rank(&self) -> usize {
        0
    }

    fn gather_bytes(&self, _: &[u8]) -> Result<Vec<Vec<u8>>, ProcessesError> {
        Err(ProcessesError::Ended { rank: 1, why: Some("no room".into()) })
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, ProcessesError> {
        self.gather_bytes(&bytes).map(|_| bytes)
    }

    fn start_sum(&self, _: Vec<f32>) -> Result<processes::Summing, ProcessesError> {
        Err(ProcessesError::Ended { rank: 1, why: None })
    }

    fn abort(&self, _: &str) {}
}

#[test]
fn evaluation_exchanges_nothing() {
    let mut norm = BatchNorm::new(&Device::default(), 3).unwrap();
    norm.processes = Some(Arc::new(Broken));
    let x = || image([2, 2, 1, 3], &noise(1, 12));
    let y = batch_norm(x(), &mut norm, Mode::Eval).unwrap();
    backward_weighted(y, &noise(2, 12));
    let error = batch_norm(x(), &mut norm, Mode::Train).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "process 1 has ended: no room");
    assert!(error.hint().unwrap().contains("resumes from its last checkpoint"));
}

#[test]
fn an_exchange_that_fails_in_the_backward_pass_is_its_error() {
    let errors = run(2, |processes| {
        let rank = processes.rank();
        let mut norm = BatchNorm::new(&Device::default(), 3).unwrap();
        norm.processes = Some(Arc::clone(&processes));
        let x = rows((4, 3), &noise(1, 12));
        let y = batch_norm_features(x, &mut norm, Mode::Train).unwrap();
        if rank == 1 {
            processes.abort("stopped");
            return None;
        }
        backward(weighted_sum(y, &noise(2, 12)).unwrap()).map(drop).err()
    });
    let ended = ProcessesError::Ended { rank: 1, why: Some("stopped".into()) };
    assert_eq!(errors, [Some(OpError::Processes(ended)), None]);
}

#[test]
fn what_cannot_be_normalized_together_is_an_error() {
    let errors = run(2, |processes| {
        let c = 3 + processes.rank();
        let mut norm = BatchNorm::without_affine(c);
        norm.processes = Some(processes);
        batch_norm(image([2, 2, 1, c], &noise(1, 4 * c)), &mut norm, Mode::Train).map(drop).unwrap_err()
    });
    let message =
        "process 1 exchanges 9 sums of a batch norm where process 0 exchanges 7 sums of a batch norm";
    assert_eq!(errors[0].to_string(), message);
    let mut norm = BatchNorm::without_affine(3);
    norm.processes = Some(Arc::new(Broken));
    norm.splits = 2;
    let error = batch_norm(image([2, 2, 1, 3], &noise(1, 12)), &mut norm, Mode::Train).map(drop).unwrap_err();
    assert!(matches!(error, OpError::Value { what: "splits", .. }), "{error}");
}
