//! Speed of the parts of a training step of a small vision transformer,
//! `cargo run --release -p tensor-ops --example token_speed`.
//!
//! Times are the processor time of all threads, as Linux counts it, so that a busy machine does not matter; GFLOP/s are
//! those of one core, and count the multiplications and additions of matrix products only.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use mimalloc::MiMalloc;
use tensor_ops::{
    Device, LayerNorm, OpError, Parameter, ParameterKind, Recording, Tokens, attention, backward,
    kernel_family, layer_norm, linear_add_tokens, linear_gelu_tokens, linear_tokens, mean_tokens,
    weighted_sum,
};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const N_REPEATS: usize = 5;

/// Runs of an operation between two looks at the clock, which is coarse.
const N_RUNS: usize = 4;

fn main() -> Result<(), OpError> {
    println!("{} on {} threads", kernel_family(), rayon::current_num_threads());
    // MoCo v3 on 32 px: patches of 4, and the class token.
    block([64, 65, 192], 3, 768)?;
    // ViT-S at 224 px.
    block([8, 197, 384], 12, 1536)
}

/// The operations of one block of a transformer.
fn block(shape: [usize; 3], heads: usize, hidden: usize) -> Result<(), OpError> {
    let [n, t, d] = shape;
    println!("\nblock of {d} features, {heads} heads; {n} images of {t} tokens");
    println!(
        "{:<26} {:>8} {:>8} {:>6}  {:>8} {:>8} {:>6}",
        "", "forward", "GFLOP/s", "share", "backward", "GFLOP/s", "share"
    );
    let device = Device::default();
    let norm = LayerNorm::new(&device, d, 1e-6)?;
    let bias = |len| Parameter::new(&device, ParameterKind::Vector, &[len], noise(len));
    let weight = |n_in: usize, n_out: usize| {
        Parameter::new(&device, ParameterKind::Matrix, &[n_in, n_out], noise(n_in * n_out))
    };
    let (w_qkv, b_qkv) = (weight(d, 3 * d)?, bias(3 * d)?);
    let (w_out, b_out) = (weight(d, d)?, bias(d)?);
    let (w_in, b_hidden) = (weight(d, hidden)?, bias(hidden)?);
    let (w_back, b_back) = (weight(hidden, d)?, bias(d)?);
    let residual = tokens(shape)?;
    let rows = n * t;
    let product = |n_in: usize, n_out: usize| (2 * rows * n_in * n_out) as f64;
    let attended = (4 * rows * t * d) as f64;

    let lines = [
        line("layer norm", 0.0, 0.0, shape, |x| layer_norm(x, &norm))?,
        line("qkv", product(d, 3 * d), 2.0, shape, |x| linear_tokens(x, &w_qkv, Some(&b_qkv)))?,
        line("attention", attended, 2.5, [n, t, 3 * d], |x| attention(x, heads))?,
        line("projection + residual", product(d, d), 2.0, shape, |x| {
            linear_add_tokens(x, &w_out, Some(&b_out), residual.share())
        })?,
        line("layer norm", 0.0, 0.0, shape, |x| layer_norm(x, &norm))?,
        line("hidden + GELU", product(d, hidden), 2.0, shape, |x| {
            linear_gelu_tokens(x, &w_in, Some(&b_hidden))
        })?,
        line("output + residual", product(hidden, d), 2.0, [n, t, hidden], |x| {
            linear_add_tokens(x, &w_back, Some(&b_back), residual.share())
        })?,
    ];
    let total = |of: fn(&Line) -> f64| lines.iter().map(of).sum::<f64>();
    let (forward, back) = (total(|line| line.forward_s), total(|line| line.backward_s));
    for line in &lines {
        line.print(forward, back);
    }
    let sum = Line {
        name: "all",
        n_forward_flops: total(|line| line.n_forward_flops),
        n_backward_flops: total(|line| line.n_backward_flops),
        forward_s: forward,
        backward_s: back,
    };
    sum.print(forward, back);
    let whole = line(
        "the block as one",
        sum.n_forward_flops,
        sum.n_backward_flops / sum.n_forward_flops,
        shape,
        |x| {
            let residual = x.share();
            let qkv = linear_tokens(layer_norm(x, &norm)?, &w_qkv, Some(&b_qkv))?;
            let x = linear_add_tokens(attention(qkv, heads)?, &w_out, Some(&b_out), residual)?;
            let residual = x.share();
            let inner = linear_gelu_tokens(layer_norm(x, &norm)?, &w_in, Some(&b_hidden))?;
            linear_add_tokens(inner, &w_back, Some(&b_back), residual)
        },
    )?;
    whole.print(whole.forward_s, whole.backward_s);
    Ok(())
}

/// One operation, forward and backward.
struct Line {
    name: &'static str,
    n_forward_flops: f64,
    n_backward_flops: f64,
    forward_s: f64,
    backward_s: f64,
}

impl Line {
    fn print(&self, forward_s: f64, backward_s: f64) {
        println!(
            "{:<26} {:>5.2} ms {:>8.1} {:>5.1}%  {:>5.2} ms {:>8.1} {:>5.1}%",
            self.name,
            self.forward_s * 1e3,
            self.n_forward_flops / self.forward_s / 1e9,
            self.forward_s / forward_s * 100.0,
            self.backward_s * 1e3,
            self.n_backward_flops / self.backward_s / 1e9,
            self.backward_s / backward_s * 100.0,
        );
    }
}

/// `backward_factor`: how many times the operations of the forward pass the backward pass takes.
fn line(
    name: &'static str,
    n_flops: f64,
    backward_factor: f64,
    shape: [usize; 3],
    operation: impl Fn(Tokens) -> Result<Tokens, OpError>,
) -> Result<Line, OpError> {
    let x = tokens(shape)?;
    let unrecorded = |x: &Tokens| x.share().with_recording(Recording::Off);
    let recorded = |x: &Tokens| x.share().with_recording(Recording::start());
    let out = tokens(operation(unrecorded(&x))?.shape())?;
    let mut forward = Vec::new();
    let mut back = Vec::new();
    for _ in 0..N_REPEATS {
        let start = processor_seconds();
        for _ in 0..N_RUNS {
            operation(recorded(&x))?;
        }
        forward.push((processor_seconds() - start) / N_RUNS as f64);
        let outputs = (0..N_RUNS).map(|_| operation(recorded(&x))).collect::<Result<Vec<_>, _>>()?;
        let whole = backward_seconds(outputs)?;
        // What brings the gradient to the operation's output is not the operation's.
        let outside = backward_seconds((0..N_RUNS).map(|_| recorded(&out)).collect())?;
        back.push((whole - outside) / N_RUNS as f64);
    }
    Ok(Line {
        name,
        n_forward_flops: n_flops,
        n_backward_flops: n_flops * backward_factor,
        forward_s: least(forward),
        backward_s: least(back),
    })
}

fn backward_seconds(outputs: Vec<Tokens>) -> Result<f64, OpError> {
    let loss = |y: Tokens| {
        let [n, _, d] = y.shape();
        weighted_sum(mean_tokens(y, 0)?, &noise(n * d))
    };
    let losses = outputs.into_iter().map(loss).collect::<Result<Vec<_>, _>>()?;
    let start = processor_seconds();
    for loss in losses {
        backward(loss)?;
    }
    Ok(processor_seconds() - start)
}

fn tokens(shape: [usize; 3]) -> Result<Tokens, OpError> {
    let values = noise(shape.iter().product());
    Ok(Tokens::from_rows(&Device::default(), shape, values, Recording::Off)?.requires_gradient())
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

/// What a machine that does other things does at its best: they empty its caches.
fn least(times: Vec<f64>) -> f64 {
    times.into_iter().fold(f64::INFINITY, f64::min)
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
