//! Speed of the parts of a ResNet-18 training step, `cargo run --release -p tensor-ops --example conv_speed`.
//!
//! Times are the processor time of all threads, as Linux counts it, so that a busy machine does not matter; GFLOP/s are
//! those of one core. They count a multiplication and an addition for every tap, padding too, as is the custom.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use mimalloc::MiMalloc;
use tensor_ops::{
    BatchNorm, ConvAlgorithm, ConvGeometry, Device, FeatureMap, Gradients, KeepLogits, Mode, OpError,
    Parameter, ParameterKind, Recording, backward, batch_norm_relu, conv2d, features_from_rows,
    global_average_pool, info_nce_queue, kernel_family, linear,
};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const N_REPEATS: usize = 5;

fn main() -> Result<(), OpError> {
    println!("{} on {} threads", kernel_family(), rayon::current_num_threads());
    println!("{:<28} {:>9} {:>9} {:>9}", "convolution, batch 128", "forward", "data", "weights");
    for (side, n_in, n_out, kernel, stride) in [
        (32, 64, 64, 3, 1),
        (16, 128, 128, 3, 1),
        (8, 256, 256, 3, 1),
        (4, 512, 512, 3, 1),
        (32, 64, 128, 3, 2),
        (32, 64, 128, 1, 2),
        (32, 3, 64, 3, 1),
        (32, 16, 16, 3, 1),
        (16, 32, 32, 3, 1),
        (8, 64, 64, 3, 1),
        (4, 128, 128, 3, 1),
        (32, 3, 16, 3, 1),
    ] {
        convolution(128, side, n_in, n_out, ConvGeometry::square(kernel, stride, kernel / 2))?;
    }
    for (side, channels) in [(32, 64), (16, 128), (32, 16)] {
        normalisation(128, side, channels)?;
    }
    contrast(256, 128, 65536)?;
    dense(128, 2048, 4096)
}

fn algorithm() -> ConvAlgorithm {
    match std::env::args().nth(1).as_deref() {
        Some("direct") => ConvAlgorithm::Direct,
        _ => ConvAlgorithm::Winograd,
    }
}

fn convolution(
    n: usize,
    side: usize,
    n_in: usize,
    n_out: usize,
    geometry: ConvGeometry,
) -> Result<(), OpError> {
    let device = Device::default();
    let (kernel, _) = geometry.kernel;
    let values = noise(kernel * kernel * n_in * n_out);
    let mut weight = Parameter::new(&device, ParameterKind::Kernel, &[kernel, kernel, n_in, n_out], values)?;
    let (out, _) = geometry.output(side, side)?;
    let n_flops = 2 * n * out * out * n_in * n_out * kernel * kernel;
    let shape = [n, side, side, n_in];
    let x = FeatureMap::from_nhwc(&device, shape, &noise(n * side * side * n_in), Recording::Off)?
        .requires_gradient();

    let forward = seconds(|| conv2d(x.share(), &weight, None, geometry, algorithm()).map(drop))?;
    weight.set_trainable(false);
    let data = backward_seconds(|| conv2d(x.fork_recorded(), &weight, None, geometry, algorithm()))?;
    weight.set_trainable(true);
    let both = backward_seconds(|| conv2d(x.fork_recorded(), &weight, None, geometry, algorithm()))?;
    let speed = |seconds: f64| n_flops as f64 / seconds / 1e9;
    println!(
        "{:<28} {:>9.1} {:>9.1} {:>9.1}   ms: {:.1} {:.1} {:.1}",
        format!("{n_in}->{n_out} {side}px k{kernel} s{}", geometry.stride.0),
        speed(forward),
        speed(data),
        speed(both - data),
        forward * 1e3,
        data * 1e3,
        (both - data) * 1e3
    );
    Ok(())
}

trait ForkRecorded {
    fn fork_recorded(&self) -> FeatureMap;
}

impl ForkRecorded for FeatureMap {
    fn fork_recorded(&self) -> FeatureMap {
        self.share().with_recording(Recording::start())
    }
}

fn normalisation(n: usize, side: usize, channels: usize) -> Result<(), OpError> {
    let device = Device::default();
    let mut norm = BatchNorm::new(&device, channels)?;
    let values = noise(n * side * side * channels);
    let x = FeatureMap::from_nhwc(&device, [n, side, side, channels], &values, Recording::Off)?
        .requires_gradient();
    let forward = seconds(|| batch_norm_relu(x.share(), &mut norm, Mode::Train).map(drop))?;
    let back = backward_seconds(|| batch_norm_relu(x.fork_recorded(), &mut norm, Mode::Train))?;
    println!(
        "batch norm + ReLU {channels} at {side} px: forward {:.2} ms, backward {:.2} ms",
        forward * 1e3,
        back * 1e3
    );
    Ok(())
}

fn contrast(n: usize, width: usize, n_keys: usize) -> Result<(), OpError> {
    let device = Device::default();
    let (queries, queue) = (noise(n * width), noise(n_keys * width));
    let keys = tensor_ops::select_rows(
        &features_from_rows(&device, (n, width), queries.clone(), Recording::Off)?,
        &(0..n).collect::<Vec<_>>(),
    )?;
    let time = seconds(|| {
        let q = features_from_rows(&device, (n, width), queries.clone(), Recording::start())?;
        info_nce_queue(q, &keys, &queue, 0.2, KeepLogits::No).map(drop)
    })?;
    println!("InfoNCE {n} queries, {n_keys} keys of {width}: {:.1} ms with its gradient", time * 1e3);
    Ok(())
}

fn dense(n: usize, n_in: usize, n_out: usize) -> Result<(), OpError> {
    let device = Device::default();
    let weight = Parameter::new(&device, ParameterKind::Matrix, &[n_in, n_out], noise(n_in * n_out))?;
    let rows = noise(n * n_in);
    let time = seconds(|| {
        let x = features_from_rows(&device, (n, n_in), rows.clone(), Recording::Off)?;
        linear(x, &weight, None).map(drop)
    })?;
    let speed = 2.0 * (n * n_in * n_out) as f64 / time / 1e9;
    println!("linear {n} x {n_in} -> {n_out}: {:.1} ms, {speed:.1} GFLOP/s", time * 1e3);
    Ok(())
}

/// The median time of the backward pass alone, but for the mean that makes a loss of the output.
fn backward_seconds(mut forward: impl FnMut() -> Result<FeatureMap, OpError>) -> Result<f64, OpError> {
    let mut times = Vec::new();
    for _ in 0..N_REPEATS {
        let features = global_average_pool(forward()?)?;
        let loss = dfdx_mean(features)?;
        let start = processor_seconds();
        let gradients: Gradients = backward(loss)?;
        times.push(processor_seconds() - start);
        drop(gradients);
    }
    Ok(median(times))
}

fn dfdx_mean(features: tensor_ops::Features) -> Result<tensor_ops::Scalar, OpError> {
    use dfdx::{shapes::Rank0, tensor_ops::SumTo};
    features.try_sum::<Rank0, _>().map_err(|error| OpError::Device(error.to_string()))
}

fn seconds(mut work: impl FnMut() -> Result<(), OpError>) -> Result<f64, OpError> {
    let mut times = Vec::new();
    for _ in 0..N_REPEATS {
        let start = processor_seconds();
        work()?;
        times.push(processor_seconds() - start);
    }
    Ok(median(times))
}

/// What all threads of this process have spent on a processor.
fn processor_seconds() -> f64 {
    let of_thread = |thread: std::fs::DirEntry| {
        let times = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        times.split_whitespace().next()?.parse::<f64>().ok()
    };
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux lists the threads of a process");
    threads.flatten().filter_map(of_thread).sum::<f64>() / 1e9
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Numbers between -1 and 1 that look random.
fn noise(len: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
