//! Scaled dot-product attention of several heads, by products of batches of heads.
//!
//! Images are taken some at a time, so that the matrices of logits, the largest that there are, stay in the device's cache.
//! None outlives its images: the backward pass computes them anew from queries, keys and what normalized each softmax.

use kernels_cpu::Precision;

use crate::{
    array::Array,
    blas::{Operand, Product, Target},
    error::{Result, at_most},
    launch::Launch,
    memory::Memory,
    pointwise::typed,
    program::Program,
};

pub(crate) static ATTENTION: Program = Program::new(
    "tokens_attention",
    include_str!("../kernels/tokens_attention.cu"),
    include_str!("../kernels/tokens_attention_typed.cu"),
);

/// The sizes of an attention. None is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Images.
    pub n: usize,
    /// Tokens.
    pub t: usize,
    /// Heads.
    pub heads: usize,
    /// Features of a head.
    pub dh: usize,
}

/// What an attention keeps for its backward pass, in place of its input.
#[derive(Debug)]
pub struct Kept {
    sizes: Sizes,
    /// Queries, keys and values by head.
    by_head: Array,
    /// Of each query, its greatest logit and one over the sum of its exponentials.
    normalizers: Memory<f32>,
}

/// What each head attends to, `(N, T, D)`, from queries, keys and values side by side, `(N, T, 3 D)`; and what is kept, if a
/// backward pass follows. The input is dropped early.
///
/// # Errors
///
/// When a size is beyond what the kernels count, or the device fails.
///
/// # Panics
///
/// If the length is not that of the sizes.
pub fn forward<Input: std::ops::Deref<Target = Array>>(
    sizes: Sizes,
    qkv: Input,
    is_kept: bool,
) -> Result<(Array, Option<Kept>)> {
    let Sizes { n, t, .. } = sizes;
    assert_eq!(qkv.len(), 3 * n * t * sizes.d(), "tokens are as many as the sizes say");
    let precision = qkv.precision();
    let mut by_head = Array::unwritten(3 * sizes.part_len(), precision)?;
    let kernels = [typed!(precision, "split_heads"), typed!(precision, "split_heads_four")];
    // SAFETY: both are as long as the sizes say.
    unsafe { sizes.over(kernels, 3, |launch| launch.read_array(&qkv).write_array(&mut by_head)) }?;
    drop(qkv);
    let mut normalizers = is_kept.then(|| Memory::unwritten(2 * sizes.n_rows(n))).transpose()?;
    let out = attend(sizes, &by_head, normalizers.as_mut())?;
    let kept = normalizers.map(|normalizers| Kept { sizes, by_head, normalizers });
    let mut y = Array::unwritten(n * t * sizes.d(), precision)?;
    let kernels = [typed!(precision, "merge_heads"), typed!(precision, "merge_heads_four")];
    // SAFETY: as above.
    unsafe { sizes.over(kernels, 1, |launch| launch.read_array(&out).write_array(&mut y)) }?;
    Ok((y, kept))
}

/// The gradient of [`forward`]'s input, `(N, T, 3 D)`, in its precision.
///
/// # Errors
///
/// As of [`forward`].
///
/// # Panics
///
/// If the gradient is not as long as the output was.
pub fn backward(kept: Kept, gradient: Array) -> Result<Array> {
    let Kept { sizes, by_head, normalizers } = kept;
    let Sizes { n, t, .. } = sizes;
    assert_eq!(gradient.len(), n * t * sizes.d(), "a gradient has the length of what it is of");
    let precision = by_head.precision();
    let gradient = gradient.into_precision(precision)?;
    let mut by_out = Array::unwritten(sizes.part_len(), precision)?;
    let kernels = [typed!(precision, "split_heads"), typed!(precision, "split_heads_four")];
    // SAFETY: both are as long as the sizes say.
    unsafe { sizes.over(kernels, 1, |launch| launch.read_array(&gradient).write_array(&mut by_out)) }?;
    drop(gradient);
    let by_parts = gradients_of_parts(sizes, &by_head, &normalizers, &by_out)?;
    drop((by_head, by_out));
    let mut sum = Array::unwritten(3 * n * t * sizes.d(), precision)?;
    let kernels = [typed!(precision, "merge_heads"), typed!(precision, "merge_heads_four")];
    // SAFETY: as above.
    unsafe { sizes.over(kernels, 3, |launch| launch.read_array(&by_parts).write_array(&mut sum)) }?;
    Ok(sum)
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

    /// Runs a kernel that moves features between tokens and heads: the second if they are multiples of four, else the first.
    ///
    /// # Safety
    ///
    /// The kernels are of these, and get arrays as long as the sizes and parts say.
    unsafe fn over(
        self,
        kernels: [&'static str; 2],
        n_parts: usize,
        arrays: impl FnOnce(Launch) -> Launch,
    ) -> Result<()> {
        let (kernel, dh) = match self.dh.is_multiple_of(4) {
            true => (kernels[1], self.dh / 4),
            false => (kernels[0], self.dh),
        };
        let launch = arrays(Launch::new(&ATTENTION, kernel))
            .int(self.n)
            .int(self.t)
            .int(self.padded())
            .int(n_parts)
            .int(self.heads)
            .int(dh);
        // SAFETY: as above.
        unsafe { launch.over_images(n_parts * self.heads * self.padded() * dh, self.n) }
    }

    /// Queries, keys and values of the images from `first` on.
    fn operands(self, by_head: &Array, first: usize) -> [Operand<'_>; 3] {
        [0, 1, 2].map(|part| {
            let start = part * self.part_len() + first * self.heads * self.head_len();
            Operand::of(by_head).offset(start).batched(self.head_len())
        })
    }

    /// Logits before their scale, `q kᵀ`, of so many images.
    fn logits(self, n_images: usize, q: Operand<'_>, k: Operand<'_>, to: &mut Array) -> Result<()> {
        let padded = self.padded();
        Product::new(padded, padded, self.dh).batched(n_images * self.heads).run(
            q,
            k.transposed(),
            Target::of(to).batched(padded * padded),
        )
    }
}

/// A matrix of logits for every head of a chunk; and another in bfloat16 for what takes their place, if values are of that.
struct Squares {
    logits: Array,
    narrow: Option<Array>,
}

impl Squares {
    fn new(sizes: Sizes, precision: Precision) -> Result<Self> {
        let len = sizes.n_rows(sizes.chunk()) * sizes.padded();
        let narrow = (precision == Precision::Bf16).then(|| Array::unwritten(len, precision)).transpose()?;
        Ok(Self { logits: Array::unwritten(len, Precision::F32)?, narrow })
    }

    /// What takes the place of the logits.
    fn result(&self) -> &Array {
        self.narrow.as_ref().unwrap_or(&self.logits)
    }

    /// What takes the place of the logits, to be written.
    fn result_mut(&mut self) -> &mut Array {
        self.narrow.as_mut().unwrap_or(&mut self.logits)
    }
}

/// What each head attends to, `(N, heads, T, dh)`, padded.
fn attend(sizes: Sizes, by_head: &Array, mut normalizers: Option<&mut Memory<f32>>) -> Result<Array> {
    at_most("the number of tokens", sizes.padded(), i32::MAX as usize)?;
    let precision = by_head.precision();
    let (padded, head_len) = (sizes.padded(), sizes.head_len());
    let mut squares = Squares::new(sizes, precision)?;
    let mut out = Array::unwritten(sizes.part_len(), precision)?;
    for (first, n_images) in sizes.chunks() {
        let [q, k, v] = sizes.operands(by_head, first);
        sizes.logits(n_images, q, k, &mut squares.logits)?;
        let n_rows = sizes.n_rows(n_images);
        let launch = Launch::new(&ATTENTION, typed!(precision, "softmax"))
            .read_array(&squares.logits)
            .write_array(squares.result_mut());
        let launch = match normalizers.as_deref_mut() {
            Some(all) => launch.write_from(all, 2 * sizes.n_rows(first)),
            None => launch.null(),
        };
        // SAFETY: there are so many rows of logits, and two numbers for each.
        unsafe { launch.float(sizes.scale()).int(sizes.t).int(padded).long(n_rows).warps(n_rows) }?;
        Product::new(padded, sizes.dh, padded).batched(n_images * sizes.heads).run(
            Operand::of(squares.result()).batched(padded * padded),
            v,
            Target::of(&mut out).offset(first * sizes.heads * head_len).batched(head_len),
        )?;
    }
    Ok(out)
}

/// The gradients of queries, keys and values, `(3, N, heads, T, dh)`, padded.
fn gradients_of_parts(
    sizes: Sizes,
    by_head: &Array,
    normalizers: &Memory<f32>,
    by_out: &Array,
) -> Result<Array> {
    let precision = by_head.precision();
    let (padded, dh, head_len) = (sizes.padded(), sizes.dh, sizes.head_len());
    let mut p = Squares::new(sizes, precision)?;
    let mut by_p = Squares::new(sizes, precision)?;
    let mut by_parts = Array::unwritten(3 * sizes.part_len(), precision)?;
    for (first, n_images) in sizes.chunks() {
        let [q, k, v] = sizes.operands(by_head, first);
        let own = Operand::of(by_out).offset(first * sizes.heads * head_len).batched(head_len);
        sizes.logits(n_images, q, k, &mut p.logits)?;
        sizes.logits(n_images, own, v, &mut by_p.logits)?;
        let n_rows = sizes.n_rows(n_images);
        // SAFETY: there are so many rows of logits and of their gradients, and two numbers for each.
        unsafe {
            Launch::new(&ATTENTION, typed!(precision, "softmax_backward"))
                .read_array(&p.logits)
                .read_array(&by_p.logits)
                .read_from(normalizers, 2 * sizes.n_rows(first))
                .write_array(p.result_mut())
                .write_array(by_p.result_mut())
                .float(sizes.scale())
                .int(sizes.t)
                .int(padded)
                .long(n_rows)
                .warps(n_rows)
        }?;
        let probabilities = Operand::of(p.result()).batched(padded * padded);
        let by_logits = Operand::of(by_p.result()).batched(padded * padded);
        let factors = [(by_logits, k), (by_logits.transposed(), q), (probabilities.transposed(), own)];
        for (part, (square, other)) in factors.into_iter().enumerate() {
            let start = part * sizes.part_len() + first * sizes.heads * head_len;
            let to = Target::of(&mut by_parts).offset(start).batched(head_len);
            Product::new(padded, dh, padded).batched(n_images * sizes.heads).run(square, other, to)?;
        }
    }
    Ok(by_parts)
}
