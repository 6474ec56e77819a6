//! Scaled dot-product attention of several heads, by products of batches of heads.
//!
//! Images are taken some at a time, so that the matrices of logits, the largest that there are, stay in the device's cache.
//! None outlives its images: the backward pass computes them anew from queries, keys and what normalized each softmax.

use std::sync::Arc;

use cudarc::driver::CudaSlice;
use dfdx::tensor::CudaError;

use super::{
    super::{
        array::{Array, unwritten},
        blas::{Operand, Product},
        launch::Launch,
        pointwise::typed,
        program::Program,
    },
    over_images,
};
use crate::{Gradients, OpError, Precision, Tokens, values::Values};

pub(super) static ATTENTION: Program = Program::new(
    "tokens_attention",
    include_str!("../kernels/tokens_attention.cu"),
    include_str!("../kernels/tokens_attention_typed.cu"),
);

/// See [`attention`](crate::attention), which has checked the sizes.
///
/// When recorded, it keeps queries, keys and values by head, in place of the input.
pub(crate) fn attention(qkv: Tokens, heads: usize) -> Result<Tokens, OpError> {
    let [n, t, width] = qkv.shape();
    let device = qkv.device().clone();
    let (qkv, recording) = qkv.split_recording();
    let sizes = Sizes { n, t, heads, dh: width / 3 / heads };
    let is_kept = qkv.needs_gradient && recording.is_on();
    let precision = qkv.precision();
    let mut by_head = Array::unwritten(3 * sizes.part_len(), precision)?;
    sizes.over(typed!(precision, "split_heads"), typed!(precision, "split_heads_four"), 3, |launch| {
        launch.read_array(qkv.values.array()).write_array(&mut by_head)
    })?;
    drop(qkv.values);
    let mut normalizers = is_kept.then(|| unwritten(2 * sizes.n_rows(n))).transpose()?;
    let out = forward(sizes, &by_head, normalizers.as_mut())?;
    let mut y = Array::unwritten(n * t * sizes.d(), precision)?;
    sizes.over(typed!(precision, "merge_heads"), typed!(precision, "merge_heads_four"), 1, |launch| {
        launch.read_array(&out).write_array(&mut y)
    })?;
    drop(out);
    let slot = qkv.slot;
    let backward = normalizers.map(|normalizers| {
        move |gradients: &mut Gradients, gradient: CudaSlice<f32>| {
            let mut by_out = Array::unwritten(sizes.part_len(), precision)?;
            let kernels = [typed!(precision, "split_gradient"), typed!(precision, "split_gradient_four")];
            sizes
                .over(kernels[0], kernels[1], 1, |launch| launch.read(&gradient).write_array(&mut by_out))?;
            drop(gradient);
            let by_parts = backward(sizes, &by_head, &normalizers, &by_out)?;
            drop((by_head, by_out));
            let mut sum = unwritten(n * t * width)?;
            sizes.over("merge_heads_f32", "merge_heads_four_f32", 3, |launch| {
                launch.read(&by_parts).write(&mut sum)
            })?;
            slot.add_slice(gradients, sum)
        }
    });
    Tokens::output_on_device(&device, [n, t, sizes.d()], Arc::new(Values::Device(y)), recording, backward)
}

#[derive(Clone, Copy)]
struct Sizes {
    /// Images.
    n: usize,
    /// Tokens.
    t: usize,
    heads: usize,
    /// Features of a head.
    dh: usize,
}

impl Sizes {
    /// Features of all heads.
    fn d(self) -> usize {
        self.heads * self.dh
    }

    /// Tokens, padded so that every row of logits starts where tensor cores read fastest.
    fn padded(self) -> usize {
        self.t.next_multiple_of(8)
    }

    /// Values of a head of an image.
    fn head_len(self) -> usize {
        self.padded() * self.dh
    }

    /// Values of all queries, or keys, or values.
    fn part_len(self) -> usize {
        self.n * self.heads * self.head_len()
    }

    /// Rows of logits of so many images.
    fn n_rows(self, n_images: usize) -> usize {
        n_images * self.heads * self.padded()
    }

    /// `1 / sqrt(dh)`.
    fn scale(self) -> f32 {
        1.0 / (self.dh as f32).sqrt()
    }

    /// Images whose logits exist at a time.
    fn chunk(self) -> usize {
        /// 32 MiB of single precision: less than a large device's cache. In tests, few enough for several chunks.
        const MOST_LOGITS: usize = if cfg!(test) { 1 << 15 } else { 1 << 23 };
        (MOST_LOGITS / (self.n_rows(1) * self.padded())).clamp(1, self.n)
    }

    /// The first image of every chunk, and how many there are.
    fn chunks(self) -> impl Iterator<Item = (usize, usize)> {
        let chunk = self.chunk();
        (0..self.n).step_by(chunk).map(move |first| (first, chunk.min(self.n - first)))
    }

    /// Runs a kernel that moves features between tokens and heads: `four` if they are multiples of four, else `one`.
    fn over<'a>(
        self,
        one: &'static str,
        four: &'static str,
        n_parts: usize,
        arrays: impl FnOnce(Launch) -> Launch + 'a,
    ) -> Result<(), CudaError> {
        let (kernel, dh) = if self.dh.is_multiple_of(4) { (four, self.dh / 4) } else { (one, self.dh) };
        let launch = arrays(Launch::new(&ATTENTION, kernel))
            .int(self.n)
            .int(self.t)
            .int(self.padded())
            .int(n_parts)
            .int(self.heads)
            .int(dh);
        over_images(launch, n_parts * self.heads * self.padded() * dh, self.n)
    }

    /// Queries, keys and values of the images from `first` on.
    fn operands(self, by_head: &Array, first: usize) -> [Operand; 3] {
        [0, 1, 2].map(|part| {
            let start = part * self.part_len() + first * self.heads * self.head_len();
            Operand::of(by_head).offset(start).batched(self.head_len())
        })
    }

    /// Logits before their scale, `q kᵀ`, of so many images.
    fn logits(
        self,
        n_images: usize,
        q: Operand,
        k: Operand,
        to: &mut CudaSlice<f32>,
    ) -> Result<(), CudaError> {
        let padded = self.padded();
        Product::new(padded, padded, self.dh).batched(n_images * self.heads).run(
            q,
            k.transposed(),
            Operand::of_slice_mut(to).batched(padded * padded),
        )
    }
}

/// A matrix of logits for every head of a chunk; and another in bfloat16 for what takes their place, if values are of that.
struct Squares {
    logits: CudaSlice<f32>,
    narrow: Option<Array>,
}

impl Squares {
    fn new(sizes: Sizes, precision: Precision) -> Result<Self, CudaError> {
        let len = sizes.n_rows(sizes.chunk()) * sizes.padded();
        let narrow = (precision == Precision::Bf16).then(|| Array::unwritten(len, precision)).transpose()?;
        Ok(Self { logits: unwritten(len)?, narrow })
    }

    /// What takes the place of the logits.
    fn result(&mut self) -> Operand {
        match &mut self.narrow {
            Some(narrow) => Operand::of_mut(narrow),
            None => Operand::of_slice_mut(&mut self.logits),
        }
    }

    /// Where that is.
    fn result_at(&mut self) -> u64 {
        match &mut self.narrow {
            Some(narrow) => narrow.pointer_mut(),
            None => *cudarc::driver::DevicePtrMut::device_ptr_mut(&mut self.logits),
        }
    }
}

/// What each head attends to, `(N, heads, T, dh)`, padded.
fn forward(
    sizes: Sizes,
    by_head: &Array,
    mut normalizers: Option<&mut CudaSlice<f32>>,
) -> Result<Array, CudaError> {
    let precision = by_head.precision();
    let padded = sizes.padded();
    let mut squares = Squares::new(sizes, precision)?;
    let mut out = Array::unwritten(sizes.part_len(), precision)?;
    for (first, n_images) in sizes.chunks() {
        let [q, k, v] = sizes.operands(by_head, first);
        sizes.logits(n_images, q, k, &mut squares.logits)?;
        let n_rows = sizes.n_rows(n_images);
        let p = squares.result_at();
        Launch::new(&ATTENTION, typed!(precision, "softmax"))
            .read(&squares.logits)
            .pointer(p)
            .pointer(normalizers.as_deref_mut().map_or(0, |all| at_row(all, sizes.n_rows(first))))
            .float(sizes.scale())
            .int(sizes.t)
            .int(padded)
            .long(n_rows)
            .warps(n_rows)?;
        Product::new(padded, sizes.dh, padded).batched(n_images * sizes.heads).run(
            squares.result().batched(padded * padded),
            v,
            Operand::of_mut(&mut out)
                .offset(first * sizes.heads * sizes.head_len())
                .batched(sizes.head_len()),
        )?;
    }
    Ok(out)
}

/// The gradients of queries, keys and values, `(3, N, heads, T, dh)`, padded.
fn backward(
    sizes: Sizes,
    by_head: &Array,
    normalizers: &CudaSlice<f32>,
    by_out: &Array,
) -> Result<CudaSlice<f32>, CudaError> {
    let precision = by_head.precision();
    let (padded, dh, head_len) = (sizes.padded(), sizes.dh, sizes.head_len());
    let mut p = Squares::new(sizes, precision)?;
    let mut by_p = Squares::new(sizes, precision)?;
    let mut by_parts = unwritten(3 * sizes.part_len())?;
    for (first, n_images) in sizes.chunks() {
        let [q, k, v] = sizes.operands(by_head, first);
        let own = Operand::of(by_out).offset(first * sizes.heads * head_len).batched(head_len);
        sizes.logits(n_images, q, k, &mut p.logits)?;
        sizes.logits(n_images, own, v, &mut by_p.logits)?;
        let n_rows = sizes.n_rows(n_images);
        let (p_at, by_logits_at) = (p.result_at(), by_p.result_at());
        Launch::new(&ATTENTION, typed!(precision, "softmax_backward"))
            .read(&p.logits)
            .read(&by_p.logits)
            .pointer(at_row(normalizers, sizes.n_rows(first)))
            .pointer(p_at)
            .pointer(by_logits_at)
            .float(sizes.scale())
            .int(sizes.t)
            .int(padded)
            .long(n_rows)
            .warps(n_rows)?;
        let p = p.result().batched(padded * padded);
        let by_logits = by_p.result().batched(padded * padded);
        let factors = [(by_logits, k), (by_logits.transposed(), q), (p.transposed(), own)];
        for (part, (square, other)) in factors.into_iter().enumerate() {
            let start = part * sizes.part_len() + first * sizes.heads * head_len;
            let to = Operand::of_slice_mut(&mut by_parts).offset(start).batched(head_len);
            Product::new(padded, dh, padded).batched(n_images * sizes.heads).run(square, other, to)?;
        }
    }
    Ok(by_parts)
}

/// Where the two numbers of a row are.
fn at_row(normalizers: &CudaSlice<f32>, row: usize) -> u64 {
    *cudarc::driver::DevicePtr::device_ptr(normalizers) + (2 * row * size_of::<f32>()) as u64
}
