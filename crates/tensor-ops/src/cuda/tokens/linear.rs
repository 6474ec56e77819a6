//! Linear layers of tokens, with what follows them.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, DeviceSlice};
use dfdx::tensor::CudaError;

use super::super::{
    array::{Array, unwritten},
    blas::{Operand, Product},
    columns::finish_sums,
    launch::Launch,
    pointwise::{cast, narrow, typed},
    program::Program,
};
use crate::{
    Gradients, OpError, Parameter, Precision, Tokens, feature_map::join, resident::Resident, tokens::Tail,
    values::Values,
};

pub(super) static LINEAR: Program = Program::new(
    "tokens_linear",
    include_str!("../kernels/tokens_linear.cu"),
    include_str!("../kernels/tokens_linear_typed.cu"),
);

/// See [`linear_tokens`](crate::linear_tokens) and its kin, which have checked the sizes.
///
/// When recorded, GELU keeps what the product gave, before the bias.
pub(crate) fn linear(
    x: Tokens,
    weight: &Parameter,
    bias: Option<&Parameter>,
    tail: Tail,
) -> Result<Tokens, OpError> {
    let [n, t, n_in] = x.shape();
    let (n_rows, n_out) = (n * t, weight.shape()[1]);
    let device = x.device().clone();
    let (x, mut recording) = x.split_recording();
    let precision = x.precision();
    let weights = Weights::of(&weight.values, precision)?;
    let mut product = Array::unwritten(n_rows * n_out, precision)?;
    Product::new(n_rows, n_out, n_in).run(
        Operand::of(x.values.array()),
        weights.operand()?,
        Operand::of_mut(&mut product),
    )?;

    let wants_x = x.needs_gradient.then(|| (x.slot.clone(), weights));
    let wants_weight = weight.is_trainable().then(|| weight.slot.clone());
    let wants_bias = bias.filter(|bias| bias.is_trainable()).map(|bias| bias.slot.clone());
    let wants_own = wants_x.is_some() || wants_weight.is_some() || wants_bias.is_some();
    let biases = bias.map(|bias| bias.values.on_device()).transpose()?;
    let mut before_gelu = None;
    let mut wants_residual = None;
    let y = match tail {
        Tail::Plain if biases.is_none() => product,
        Tail::Plain => add_to_product(product, biases, None, n_out)?,
        Tail::Gelu if !(recording.is_on() && wants_own) => {
            let at = product.pointer();
            Finish { bias: biases, residual: None, with_gelu: true, n_columns: n_out }
                .run(at, &mut product)?;
            product
        }
        Tail::Gelu => {
            let mut y = Array::unwritten(n_rows * n_out, precision)?;
            let finish = Finish { bias: biases, residual: None, with_gelu: true, n_columns: n_out };
            finish.run(product.pointer(), &mut y)?;
            before_gelu = Some((product, bias.map(|bias| Arc::clone(&bias.values))));
            y
        }
        Tail::Add(residual) => {
            let (residual, other) = residual.split_recording();
            recording = join(recording, other);
            wants_residual = residual.needs_gradient.then(|| residual.slot.clone());
            let values = residual.values.array();
            if values.precision() == precision {
                add_to_product(product, biases, Some(values), n_out)?
            } else {
                add_to_product(product, biases, Some(&cast(values, precision)?), n_out)?
            }
        }
    };
    let backward = (wants_own || wants_residual.is_some()).then(|| {
        let x = wants_weight.is_some().then_some(x.values);
        move |gradients: &mut Gradients, mut gradient: CudaSlice<f32>| {
            let wanted = Wanted { products: wants_x.is_some() || x.is_some(), sums: wants_bias.is_some() };
            let (narrow, sums) = prepare(&mut gradient, before_gelu, wanted, precision, n_out)?;
            let by_y = match &narrow {
                Some(narrow) => Operand::of(narrow),
                None => Operand::of_slice(&gradient),
            };
            if let Some((slot, weights)) = wants_x {
                let product = Product::new(n_rows, n_in, n_out);
                let sum = slot.take_slice(gradients)?;
                let by_x = into_sum(product, by_y, weights.operand()?.transposed(), sum)?;
                slot.put_slice(gradients, by_x)?;
            }
            if let (Some(slot), Some(x)) = (wants_weight, x) {
                let product = Product::new(n_in, n_out, n_rows);
                let sum = slot.take_slice(gradients)?;
                let by_weight = into_sum(product, Operand::of(x.array()).transposed(), by_y, sum)?;
                slot.put_slice(gradients, by_weight)?;
            }
            if let (Some(slot), Some(sums)) = (wants_bias, sums) {
                slot.add_slice(gradients, sums)?;
            }
            match wants_residual {
                Some(slot) => slot.add_slice(gradients, gradient),
                None => Ok(()),
            }
        }
    });
    Tokens::output_on_device(&device, [n, t, n_out], Arc::new(Values::Device(y)), recording, backward)
}

/// A layer's weights, in the precision of the values that they are multiplied by.
enum Weights {
    Wide(Arc<Resident>),
    Narrow(Array),
}

impl Weights {
    fn of(values: &Arc<Resident>, precision: Precision) -> Result<Self, CudaError> {
        match precision {
            Precision::F32 => Ok(Self::Wide(Arc::clone(values))),
            Precision::Bf16 => Ok(Self::Narrow(narrow(values.on_device()?)?)),
        }
    }

    fn operand(&self) -> Result<Operand, CudaError> {
        match self {
            Self::Wide(values) => Ok(Operand::of_slice(values.on_device()?)),
            Self::Narrow(halves) => Ok(Operand::of(halves)),
        }
    }
}

/// What is done to each value of a product.
struct Finish<'a> {
    bias: Option<&'a CudaSlice<f32>>,
    residual: Option<&'a Array>,
    with_gelu: bool,
    n_columns: usize,
}

impl Finish<'_> {
    /// From values at an address, of the precision and number of `y`, which may be there.
    fn run(self, product: u64, y: &mut Array) -> Result<(), CudaError> {
        let Self { bias, residual, with_gelu, n_columns } = self;
        let precision = y.precision();
        let (kernel, width) = if n_columns.is_multiple_of(4) {
            (typed!(precision, "linear_tail_four"), 4)
        } else {
            (typed!(precision, "linear_tail"), 1)
        };
        let n = y.len() / width;
        Launch::new(&LINEAR, kernel)
            .pointer(product)
            .read_if(bias)
            .read_array_if(residual)
            .write_array(y)
            .int(usize::from(with_gelu))
            .int(n_columns / width)
            .long(n)
            .over(n)
    }
}

/// Adds a bias to each row, and a residual, where the product is.
fn add_to_product(
    mut product: Array,
    bias: Option<&CudaSlice<f32>>,
    residual: Option<&Array>,
    n_columns: usize,
) -> Result<Array, CudaError> {
    let at = product.pointer();
    Finish { bias, residual, with_gelu: false, n_columns }.run(at, &mut product)?;
    Ok(product)
}

/// The product, added to a sum if there is one.
fn into_sum(
    product: Product,
    a: Operand,
    b: Operand,
    sum: Option<CudaSlice<f32>>,
) -> Result<CudaSlice<f32>, CudaError> {
    let adds = sum.is_some();
    let mut sum = match sum {
        Some(sum) => sum,
        None => unwritten(product.m * product.n)?,
    };
    product.adding(adds).run(a, b, Operand::of_slice_mut(&mut sum))?;
    Ok(sum)
}

/// What the backward pass makes of the output's gradient.
#[derive(Clone, Copy)]
struct Wanted {
    /// Products with it.
    products: bool,
    /// Its sum over the rows.
    sums: bool,
}

/// Sends the gradient through GELU, if there is one, and gives what products of bfloat16 and the bias want of it. The
/// gradient itself is that of the product only where products are of single precision.
fn prepare(
    gradient: &mut CudaSlice<f32>,
    before_gelu: Option<(Array, Option<Arc<Resident>>)>,
    wanted: Wanted,
    precision: Precision,
    n_columns: usize,
) -> Result<(Option<Array>, Option<CudaSlice<f32>>), CudaError> {
    /// Blocks that keep a large device busy.
    const MOST_BLOCKS: usize = 132 * 8;
    /// Rows that a block works on at a time.
    const GROUP: usize = 32;
    let wants_narrow = wanted.products && precision == Precision::Bf16;
    if before_gelu.is_none() && !wants_narrow && !wanted.sums {
        return Ok((None, None));
    }
    let n_rows = gradient.len() / n_columns;
    let n_blocks = n_columns.div_ceil(32);
    let rows_of_chunk = n_rows.div_ceil((MOST_BLOCKS / n_blocks).max(1)).next_multiple_of(GROUP);
    let n_chunks = n_rows.div_ceil(rows_of_chunk);
    let mut narrow = wants_narrow.then(|| Array::unwritten(gradient.len(), Precision::Bf16)).transpose()?;
    let mut partial = wanted.sums.then(|| unwritten::<f64>(n_chunks * n_columns)).transpose()?;
    let (product, bias) = match &before_gelu {
        Some((product, bias)) => (Some(product), bias.as_ref()),
        None => (None, None),
    };
    Launch::new(&LINEAR, typed!(precision, "linear_gradient"))
        .write(gradient)
        .read_array_if(product)
        .read_if(bias.map(|bias| bias.on_device()).transpose()?)
        .pointer(narrow.as_mut().map_or(0, Array::pointer_mut))
        .write_if(partial.as_mut())
        .long(n_rows)
        .int(n_columns)
        .long(rows_of_chunk)
        .blocks(n_blocks, n_chunks, 1)?;
    let sums = partial.map(|partial| finish_sums(&partial, n_chunks, n_columns)).transpose()?;
    Ok((narrow, sums))
}
