//! Linear layers, with what follows them. Weights are `(in, out)`.

use kernels_cpu::Precision;

use crate::{
    array::{Array, to_add_to},
    blas::{Operand, Product, Target},
    columns::finish_sums,
    error::Result,
    launch::Launch,
    memory::Memory,
    pointwise::{in_precision, typed},
    program::Program,
    weight::Weight,
};

pub(crate) static LINEAR: Program =
    Program::new("linear", include_str!("kernels/linear.cu"), include_str!("kernels/linear_typed.cu"));

/// The sizes of a layer, and the precision of its values.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// Rows of the input and of the output.
    pub n_rows: usize,
    /// Values of a row of the input.
    pub n_in: usize,
    /// Values of a row of the output.
    pub n_out: usize,
    /// Of input, output and their gradients.
    pub precision: Precision,
}

/// What follows the product and the bias.
#[derive(Clone, Copy, Debug)]
pub enum Tail<'a> {
    /// Nothing.
    Nothing,
    /// GELU.
    Gelu {
        /// Whether a backward pass follows.
        is_kept: bool,
    },
    /// The sum with a residual.
    Add(&'a Array),
}

/// What a GELU keeps for its backward pass: its input.
#[derive(Debug)]
pub struct Gelu(Array);

impl Layer {
    fn check(self, x: &Array, weight: Weight<'_>) {
        assert_eq!(x.len(), self.n_rows * self.n_in, "rows are as long as the layer says");
        assert_eq!(weight.len(), self.n_in * self.n_out, "a weight is as long as the layer says");
    }

    /// `x * weight`, with a bias added if there is one, and what follows; and what GELU keeps.
    ///
    /// # Errors
    ///
    /// When the device fails.
    ///
    /// # Panics
    ///
    /// If the lengths are not those of the layer.
    pub fn forward(
        self,
        x: &Array,
        weight: Weight<'_>,
        bias: Option<&Memory<f32>>,
        tail: Tail<'_>,
    ) -> Result<(Array, Option<Gelu>)> {
        self.check(x, weight);
        let Self { n_rows, n_in, n_out, precision } = self;
        assert!(bias.is_none_or(|bias| bias.len() >= n_out), "each output has a bias");
        let x = in_precision(x, precision)?;
        let mut product = Array::unwritten(n_rows * n_out, precision)?;
        Product::new(n_rows, n_out, n_in).run(
            Operand::of(x.get()),
            weight.plain(precision)?.operand(),
            Target::of(&mut product),
        )?;
        match tail {
            Tail::Nothing if bias.is_none() => {}
            Tail::Nothing => self.finish(&mut product, bias, None, None)?,
            Tail::Add(residual) => {
                assert_eq!(residual.len(), product.len(), "terms have one length");
                let residual = in_precision(residual, precision)?;
                self.finish(&mut product, bias, Some(residual.get()), None)?;
            }
            Tail::Gelu { is_kept: false } => self.finish(&mut product, bias, None, Some(None))?,
            Tail::Gelu { is_kept: true } => {
                let mut y = Array::unwritten(n_rows * n_out, precision)?;
                self.finish(&mut product, bias, None, Some(Some(&mut y)))?;
                return Ok((y, Some(Gelu(product))));
            }
        }
        Ok((product, None))
    }

    /// Adds a bias to each row of a product, and a residual; the same array gets the sum. With `gelu` it gets that of the sum,
    /// or another array does.
    fn finish(
        self,
        product: &mut Array,
        bias: Option<&Memory<f32>>,
        residual: Option<&Array>,
        gelu: Option<Option<&mut Array>>,
    ) -> Result<()> {
        let Self { n_rows, n_out, precision, .. } = self;
        let (kernel, width) = match n_out.is_multiple_of(4) {
            true => (typed!(precision, "linear_tail_four"), 4),
            false => (typed!(precision, "linear_tail"), 1),
        };
        let n = n_rows * n_out / width;
        let launch = Launch::new(&LINEAR, kernel).write_array(product).read_if(bias).read_array_if(residual);
        let with_gelu = gelu.is_some();
        // SAFETY: product, residual and the other array are that long, and each column has a bias.
        unsafe { launch.write_array_if(gelu.flatten()).flag(with_gelu).int(n_out / width).long(n).over(n) }
    }

    /// From the gradient of the output to those that are wanted.
    ///
    /// `x` is there where the gradient of the weight is wanted, and `gelu` where there was one.
    ///
    /// # Errors
    ///
    /// When the device fails.
    ///
    /// # Panics
    ///
    /// If the lengths are not those of the layer, or `x` is missing.
    pub fn backward(
        self,
        weight: Weight<'_>,
        x: Option<&Array>,
        gelu: Option<Gelu>,
        gradient: Array,
        wanted: Wanted,
    ) -> Result<Gradients> {
        let Self { n_rows, n_in, n_out, precision } = self;
        assert_eq!(gradient.len(), n_rows * n_out, "a gradient has the length of what it is of");
        assert_eq!(weight.len(), n_in * n_out, "a weight is as long as the layer says");
        let mut gradient = gradient.into_precision(precision)?;
        let by_bias = self.prepare(&mut gradient, gelu, wanted.bias)?;
        let by_y = Operand::of(&gradient);
        let by_x = match wanted.x {
            false => None,
            true => {
                let (mut sum, adds) = to_add_to(wanted.x_before, n_rows * n_in, precision)?;
                Product::new(n_rows, n_in, n_out).adding(adds).run(
                    by_y,
                    weight.plain(precision)?.operand().transposed(),
                    Target::of(&mut sum),
                )?;
                Some(sum)
            }
        };
        let by_weight = match wanted.weight {
            false => None,
            true => {
                let x = x.expect("the input is kept where the gradient of the weight is wanted");
                self.check(x, weight);
                let x = in_precision(x, precision)?;
                let (mut sum, adds) = to_add_to(wanted.weight_before, n_in * n_out, Precision::F32)?;
                Product::new(n_in, n_out, n_rows).adding(adds).run(
                    Operand::of(x.get()).transposed(),
                    by_y,
                    Target::of(&mut sum),
                )?;
                Some(sum)
            }
        };
        let residual = wanted.residual.then_some(gradient);
        Ok(Gradients { x: by_x, weight: by_weight, bias: by_bias, residual })
    }

    /// Sends the gradient through GELU, if there is one, in place; and sums its rows, if that is wanted.
    fn prepare(self, gradient: &mut Array, gelu: Option<Gelu>, wants_sums: bool) -> Result<Option<Array>> {
        /// A number and not the device's own, so that sums are cut alike on all.
        const MOST_BLOCKS: usize = 132 * 8;
        /// Rows that a block works on at a time.
        const GROUP: usize = 32;
        let Self { n_rows, n_out, precision, .. } = self;
        if gelu.is_none() && !wants_sums {
            return Ok(None);
        }
        let n_blocks = n_out.div_ceil(32);
        let rows_of_chunk = n_rows.div_ceil((MOST_BLOCKS / n_blocks).max(1)).max(1).next_multiple_of(GROUP);
        let n_chunks = n_rows.div_ceil(rows_of_chunk).max(1);
        let mut partial = wants_sums.then(|| Memory::<f64>::unwritten(n_chunks * n_out)).transpose()?;
        let launch = Launch::new(&LINEAR, typed!(precision, "linear_gradient"));
        let launch = match &gelu {
            Some(Gelu(before)) => {
                assert!(
                    before.len() == gradient.len() && before.precision() == precision,
                    "a gradient is of what GELU gave"
                );
                if let Array::Lent(_) = gradient {
                    *gradient = gradient.duplicate()?;
                }
                launch.write_array(gradient).read_array(before)
            }
            // Without GELU it is only read.
            None => launch.read_array(gradient).null(),
        };
        // SAFETY: gradient and GELU's input are of these rows, and each chunk has a row of sums.
        unsafe {
            launch
                .write_if(partial.as_mut())
                .long(n_rows)
                .int(n_out)
                .long(rows_of_chunk)
                .blocks(n_blocks, n_chunks, 1)
        }?;
        partial.map(|partial| finish_sums(&partial, n_chunks, n_out)).transpose()
    }
}

/// What is computed of a layer's gradients.
#[derive(Debug, Default)]
pub struct Wanted {
    /// That of the input.
    pub x: bool,
    /// What has reached the input before.
    pub x_before: Option<Array>,
    /// That of the weight.
    pub weight: bool,
    /// What has reached the weight before.
    pub weight_before: Option<Array>,
    /// That of the bias.
    pub bias: bool,
    /// The gradient that came, which is that of the residual.
    pub residual: bool,
}

/// The gradients of a layer, those that are wanted. Weight's and bias's are of single precision.
#[derive(Debug)]
pub struct Gradients {
    /// Of the input.
    pub x: Option<Array>,
    /// Of the weight.
    pub weight: Option<Array>,
    /// Of the bias.
    pub bias: Option<Array>,
    /// Of the residual.
    pub residual: Option<Array>,
}
