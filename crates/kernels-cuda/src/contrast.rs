//! InfoNCE: logits by a matrix product, a block of threads for each row's statistics, and the gradient by another product.
//!
//! All logits exist at once, unlike on the host: 64 MiB for 256 queries and a queue of 65536 keys. They become the weights
//! of the keys in the gradient, in place.
//!
//! Against a queue, the positive's logit is summed in double precision and those of negatives by cuBLAS in single: a positive
//! that is in the queue too need not tie with its copy there, as it does on the host, and may count as right.

use kernels_cpu::Precision;

use crate::{
    array::Array,
    blas::{Operand, Product, Target},
    error::Result,
    launch::Launch,
    memory::Memory,
    pointwise::{Converted, in_precision},
    program::Program,
};

pub(crate) static CONTRAST: Program = Program::new(
    "contrast",
    concat!(include_str!("kernels/reduce.cu"), include_str!("kernels/contrast.cu")),
    "",
);

/// What queries are told apart from, all rows of one width.
#[derive(Clone, Copy, Debug)]
pub enum Candidates<'a> {
    /// Negatives, and a positive of its own for each query.
    Queue {
        /// A row for each query.
        positives: &'a Array,
        /// The negatives.
        queue: &'a Memory<f32>,
    },
    /// Keys, of which number `first` is the positive of the first query, and so on.
    Keys {
        /// The keys, negatives and positives.
        keys: &'a Array,
        /// The positive of the first query.
        first: usize,
    },
}

/// What is asked of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What products are divided by.
    pub temperature: f32,
    /// What the mean key under the softmax, less the positive, is multiplied by, for the sum over queries; `None`: no gradient.
    pub gradient_factor: Option<f64>,
    /// Whether all logits are wanted on the host.
    pub keeps_logits: bool,
}

/// What comes of it.
#[derive(Debug)]
pub struct Contrast {
    /// The mean over the queries, in nats.
    pub cross_entropy: f64,
    /// Queries whose positive is the largest of all their logits; a tie counts against.
    pub n_right: usize,
    /// `(N, C)`.
    pub gradient: Option<Array>,
    /// Against a queue `(N, 1 + K)`, the positive first; in a batch `(N, M)`.
    pub logits: Option<Vec<f32>>,
}

/// Compares queries `(N, C)`, `width` is `C`, with candidates. The host waits for the result.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If rows do not fit together, or a query has no positive.
pub fn contrast(
    queries: &Array,
    width: usize,
    candidates: Candidates<'_>,
    Asked { temperature, gradient_factor, keeps_logits }: Asked,
) -> Result<Contrast> {
    let single = |values| in_precision(values, Precision::F32);
    let queries = single(queries)?;
    let queries = queries.get();
    let n = queries.len() / width;
    let (keys, positives, first): (_, Option<Converted<'_>>, _) = match candidates {
        Candidates::Queue { positives, queue } => (Keys::Queue(queue), Some(single(positives)?), 0),
        Candidates::Keys { keys, first } => (Keys::Batch(single(keys)?), None, first),
    };
    let n_keys = keys.len() / width;
    assert!(queries.len() == n * width && keys.len() == n_keys * width, "rows are whole");
    match &positives {
        Some(positives) => assert_eq!(positives.get().len(), n * width, "each query has a positive"),
        None => assert!(
            first.checked_add(n).is_some_and(|end| end <= n_keys),
            "the positive of each query is among the keys"
        ),
    }

    let mut logits = Array::unwritten(n * n_keys, Precision::F32)?;
    // A logit is divided by a temperature of a tenth or less, and so is its error.
    Product::new(n, n_keys, width).exactly().times(1.0 / temperature).run(
        Operand::of(queries),
        keys.operand().transposed(),
        Target::of(&mut logits),
    )?;
    let kept = keeps_logits.then(|| logits.to_host()).transpose()?;

    let mut gradient = gradient_factor.map(|_| Array::unwritten(n * width, Precision::F32)).transpose()?;
    let mut results = Memory::<f64>::unwritten(3 * n)?;
    // SAFETY: rows have the lengths checked above, and each query has three results.
    unsafe {
        Launch::new(&CONTRAST, "contrast")
            .write_array(&mut logits)
            .read_array_if(positives.as_ref().map(|_| queries))
            .read_array_if(positives.as_ref().map(Converted::get))
            .write_array_if(gradient.as_mut())
            .write(&mut results)
            .int(n_keys)
            .int(width)
            .int(first)
            .float(temperature)
            .double(gradient_factor.unwrap_or(0.0))
            .flag(gradient_factor.is_some())
            .blocks(n, 1, 1)
    }?;
    if let Some(gradient) = &mut gradient {
        Product::new(n, width, n_keys).exactly().adding(positives.is_some()).run(
            Operand::of(&logits),
            keys.operand(),
            Target::of(gradient),
        )?;
    }

    // The one wait of a loss.
    let results = results.fetch()?;
    let [losses, are_right, products] = [0, 1, 2].map(|i| &results[i * n..(i + 1) * n]);
    let logits = kept.map(|kept| match positives {
        None => kept,
        Some(_) => {
            let rows = products.iter().zip(kept.chunks_exact(n_keys));
            rows.flat_map(|(positive, row)| std::iter::once(*positive as f32).chain(row.iter().copied()))
                .collect()
        }
    });
    Ok(Contrast {
        cross_entropy: losses.iter().sum::<f64>() / n as f64,
        n_right: are_right.iter().sum::<f64>() as usize,
        gradient,
        logits,
    })
}

/// Rows that queries are multiplied by.
enum Keys<'a> {
    Queue(&'a Memory<f32>),
    Batch(Converted<'a>),
}

impl Keys<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Queue(queue) => queue.len(),
            Self::Batch(keys) => keys.get().len(),
        }
    }

    fn operand(&self) -> Operand<'_> {
        match self {
            Self::Queue(queue) => Operand::of_slice(queue),
            Self::Batch(keys) => Operand::of(keys.get()),
        }
    }
}
