//! Update rules, moving averages, and the sizes of gradients: of all parameters in one launch.

use std::marker::PhantomData;

use crate::{error::Result, launch::Launch, memory::Memory, program::Program};

pub(crate) static OPTIMIZE: Program = Program::new(
    "optimize",
    concat!(include_str!("kernels/reduce.cu"), include_str!("kernels/optimize.cu")),
    "",
);

/// Values that one block works on.
const SPAN: usize = 8192;
/// Arrays of single precision that a row has at most.
const N_ARRAYS: usize = 4;
/// Numbers of a row, of any rule.
const N_NUMBERS: usize = 8;

/// What a launch works on: a row for each parameter, see `kernels/optimize.cu`. It borrows what it has the addresses of.
#[derive(Debug, Default)]
struct Table<'a> {
    rows: Vec<i64>,
    /// [`N_NUMBERS`] of each row.
    numbers: Vec<f64>,
    n_rows: usize,
    n_blocks: usize,
    borrowed: PhantomData<&'a mut Memory<f32>>,
}

/// An array that a row has the address of, borrowed for as long as its table is there.
#[derive(Debug)]
enum Borrowed<'a> {
    Read(&'a Memory<f32>),
    Written(&'a mut Memory<f32>),
}

impl Borrowed<'_> {
    /// Where it is, after a look whether it has so many values.
    fn address(self, len: usize) -> u64 {
        let (address, own_len) = match self {
            Self::Read(values) => (values.address(), values.len()),
            Self::Written(values) => (values.address_mut(), values.len()),
        };
        assert!(own_len >= len, "each value has one in every array of its row");
        address
    }
}

impl<'a> Table<'a> {
    /// A row of `len` values in each of the arrays, and in the copy in bfloat16 if there is one.
    ///
    /// # Panics
    ///
    /// If one is shorter.
    fn push<const N: usize>(
        &mut self,
        len: usize,
        arrays: [Borrowed<'a>; N],
        narrow: Option<&'a mut Memory<u16>>,
        numbers: &[f64],
    ) {
        const { assert!(N <= N_ARRAYS) };
        assert!(narrow.as_ref().is_none_or(|narrow| narrow.len() >= len), "each value has a copy");
        let mut addresses = [0; N_ARRAYS];
        for (address, array) in addresses.iter_mut().zip(arrays) {
            *address = array.address(len);
        }
        if len == 0 {
            return;
        }
        self.rows.push(self.n_blocks as i64);
        self.rows.extend(addresses.map(u64::cast_signed));
        self.rows.push(narrow.map_or(0, Memory::address_mut).cast_signed());
        self.rows.push(len as i64);
        self.numbers.extend(numbers);
        self.n_rows += 1;
        self.numbers.resize(self.n_rows * N_NUMBERS, 0.0);
        self.n_blocks += len.div_ceil(SPAN);
    }

    /// The rows and their numbers, on the device; neither waits for it.
    fn upload(&mut self) -> Result<(Memory<i64>, Memory<f64>)> {
        let (rows, numbers) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.numbers));
        Ok((Memory::send(rows)?, Memory::send(numbers)?))
    }

    /// # Safety
    ///
    /// The kernel is one that goes through this table, and its arrays are those of the table and as long as it has blocks.
    unsafe fn run(&self, launch: Launch) -> Result<()> {
        // SAFETY: as above.
        unsafe { launch.int(self.n_rows).int(SPAN).blocks(self.n_blocks, 1, 1) }
    }
}

/// How the rate of a step follows from the lengths of a whole parameter and of its gradient; 1 where these leave it undefined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// 1.
    One,
    /// `trust |p| / |g + weight_decay p|`.
    OfWhole {
        /// How far a parameter moves, as a share of its length.
        trust: f64,
    },
    /// `trust |p| / (|g| + weight_decay |p| + 1e-8)`; where it is undefined, there is no decay either.
    OfSum {
        /// How far a parameter moves, as a share of its length.
        trust: f64,
    },
}

/// The numbers of `v = momentum v + rate (g + weight_decay p)`, then `p -= lr v`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// The share of the last step that this one keeps.
    pub momentum: f32,
    /// The L2 penalty.
    pub weight_decay: f64,
    /// The learning rate.
    pub lr: f32,
    /// What the gradient is multiplied by.
    pub rate: Rate,
}

/// The numbers of `m += first_new (g - m)`, `v = second_kept v + second_new g^2`, then
/// `p = shrink p - size m / (sqrt(v) / root_of_filled + eps)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// What a value keeps of itself.
    pub shrink: f32,
    /// What the mean of gradients takes in.
    pub first_new: f32,
    /// What the mean of their squares keeps.
    pub second_kept: f32,
    /// What the mean of their squares takes in.
    pub second_new: f32,
    /// The root of the share of the mean of squares that is filled.
    pub root_of_filled: f32,
    /// Keeps the step finite.
    pub eps: f32,
    /// The size of a step.
    pub size: f32,
}

/// The numbers of `c = blend_kept m + blend_new g`, `m = kept m + new g`, then `p = shrink p - size sign(c)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    /// What a value keeps of itself.
    pub shrink: f32,
    /// What the mean of gradients has in the direction of a step.
    pub blend_kept: f32,
    /// What the gradient has in it.
    pub blend_new: f32,
    /// What the mean keeps of itself.
    pub kept: f32,
    /// What the mean takes in.
    pub new: f32,
    /// The size of a step.
    pub size: f32,
}

/// Moves of many parameters, which are done together.
#[derive(Debug, Default)]
pub struct Moves<'a> {
    with_momentum: Table<'a>,
    adamw: Table<'a>,
    lion: Table<'a>,
    has_layer_rates: bool,
}

/// Values that move, and their copy in bfloat16 that moves with them, if there is one.
#[derive(Debug)]
pub struct Moving<'a> {
    /// The values.
    pub values: &'a mut Memory<f32>,
    /// Their copy.
    pub narrow: Option<&'a mut Memory<u16>>,
}

impl<'a> Moves<'a> {
    /// Adds a parameter that moves by its gradient and a velocity.
    ///
    /// # Panics
    ///
    /// If an array is shorter than the parameter.
    pub fn push_momentum(
        &mut self,
        moving: Moving<'a>,
        gradient: &'a Memory<f32>,
        velocity: &'a mut Memory<f32>,
        Momentum { momentum, weight_decay, lr, rate }: Momentum,
    ) {
        let Moving { values, narrow } = moving;
        let len = values.len();
        let (trust, kind) = match rate {
            Rate::One => (0.0, 0.0),
            Rate::OfWhole { trust } => (trust, 1.0),
            Rate::OfSum { trust } => (trust, 2.0),
        };
        self.has_layer_rates |= kind != 0.0;
        let numbers = [f64::from(momentum), weight_decay, f64::from(lr), trust, kind];
        let arrays = [Borrowed::Written(values), Borrowed::Read(gradient), Borrowed::Written(velocity)];
        self.with_momentum.push(len, arrays, narrow, &numbers);
    }

    /// Adds a parameter that moves by the means of its gradient and of its square.
    ///
    /// # Panics
    ///
    /// If an array is shorter than the parameter.
    pub fn push_adamw(
        &mut self,
        moving: Moving<'a>,
        gradient: &'a Memory<f32>,
        means: [&'a mut Memory<f32>; 2],
        AdamW { shrink, first_new, second_kept, second_new, root_of_filled, eps, size }: AdamW,
    ) {
        let Moving { values, narrow } = moving;
        let len = values.len();
        let [first, second] = means.map(Borrowed::Written);
        let numbers = [shrink, first_new, second_kept, second_new, root_of_filled, eps, size];
        let arrays = [Borrowed::Written(values), Borrowed::Read(gradient), first, second];
        self.adamw.push(len, arrays, narrow, &numbers.map(f64::from));
    }

    /// Adds a parameter that moves by the sign of a blend of its gradient and the mean of gradients.
    ///
    /// # Panics
    ///
    /// If an array is shorter than the parameter.
    pub fn push_lion(
        &mut self,
        moving: Moving<'a>,
        gradient: &'a Memory<f32>,
        mean: &'a mut Memory<f32>,
        Lion { shrink, blend_kept, blend_new, kept, new, size }: Lion,
    ) {
        let Moving { values, narrow } = moving;
        let len = values.len();
        let numbers = [shrink, blend_kept, blend_new, kept, new, size];
        let arrays = [Borrowed::Written(values), Borrowed::Read(gradient), Borrowed::Written(mean)];
        self.lion.push(len, arrays, narrow, &numbers.map(f64::from));
    }

    /// Does them all, without waiting for the device.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn run(self) -> Result<()> {
        let Self { mut with_momentum, mut adamw, mut lion, has_layer_rates } = self;
        if with_momentum.n_rows > 0 {
            let (rows, numbers) = with_momentum.upload()?;
            let mut partial = None;
            if has_layer_rates {
                let partial = partial.insert(Memory::<f64>::unwritten(2 * with_momentum.n_blocks)?);
                let launch =
                    Launch::new(&OPTIMIZE, "squares_partial").read(&rows).read(&numbers).write(partial);
                // SAFETY: each block has two sums.
                unsafe { with_momentum.run(launch) }?;
            }
            let launch = Launch::new(&OPTIMIZE, "move_with_momentum")
                .read(&rows)
                .read(&numbers)
                .read_if(partial.as_ref());
            // SAFETY: the sums are there if a row has a rate of its own.
            unsafe { with_momentum.run(launch) }?;
        }
        if adamw.n_rows > 0 {
            let (rows, numbers) = adamw.upload()?;
            let launch = Launch::new(&OPTIMIZE, "move_adamw").read(&rows).read(&numbers);
            // SAFETY: each row has four arrays.
            unsafe { adamw.run(launch) }?;
        }
        if lion.n_rows > 0 {
            let (rows, numbers) = lion.upload()?;
            let launch = Launch::new(&OPTIMIZE, "move_lion").read(&rows).read(&numbers);
            // SAFETY: each row has three arrays.
            unsafe { lion.run(launch) }?;
        }
        Ok(())
    }
}

/// Moving averages of many arrays, which are done together.
#[derive(Debug, Default)]
pub struct Blends<'a>(Table<'a>);

impl<'a> Blends<'a> {
    /// Adds an array that moves towards another.
    ///
    /// # Panics
    ///
    /// If the other is shorter.
    pub fn push(&mut self, own: Moving<'a>, towards: &'a Memory<f32>) {
        let Moving { values, narrow } = own;
        let len = values.len();
        self.0.push(len, [Borrowed::Written(values), Borrowed::Read(towards)], narrow, &[]);
    }

    /// `own = momentum own + (1 - momentum) towards` of all, without waiting for the device.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn run(self, momentum: f32) -> Result<()> {
        let Self(mut table) = self;
        if table.n_rows == 0 {
            return Ok(());
        }
        let rest = (1.0 - f64::from(momentum)) as f32;
        let (rows, _) = table.upload()?;
        let launch = Launch::new(&OPTIMIZE, "blend_all").read(&rows).float(momentum).float(rest);
        // SAFETY: each row has two arrays.
        unsafe { table.run(launch) }
    }
}

/// The largest absolute value of each, NaN if any is; all come to the host at once.
///
/// # Errors
///
/// When the device fails.
pub fn largest_of_each(arrays: &[Option<&Memory<f32>>]) -> Result<Vec<Option<f32>>> {
    let mut table = Table::default();
    for array in arrays.iter().flatten() {
        table.push(array.len(), [Borrowed::Read(array)], None, &[]);
    }
    if table.n_rows == 0 {
        return Ok(vec![None; arrays.len()]);
    }
    let (rows, _) = table.upload()?;
    let mut largest = Memory::<i32>::unwritten(table.n_blocks)?;
    let launch = Launch::new(&OPTIMIZE, "largest_partial").read(&rows).write(&mut largest);
    // SAFETY: each row has an array, and each block a place for what it finds.
    unsafe { table.run(launch) }?;
    let largest = largest.fetch()?;
    let mut left = &largest[..];
    let of_each = arrays.iter().map(|array| {
        let (own, rest) = left.split_at(array.as_ref()?.len().div_ceil(SPAN));
        left = rest;
        own.iter().max().map(|bits| f32::from_bits(bits.cast_unsigned()))
    });
    Ok(of_each.collect())
}

/// The squares of all values of all arrays, added in double precision: within blocks on the device, and those in order.
///
/// # Errors
///
/// When the device fails.
pub fn sum_of_squares(arrays: &[&Memory<f32>]) -> Result<f64> {
    let mut table = Table::default();
    for array in arrays {
        table.push(array.len(), [Borrowed::Read(array)], None, &[]);
    }
    if table.n_rows == 0 {
        return Ok(0.0);
    }
    let (rows, _) = table.upload()?;
    let mut sums = Memory::<f64>::unwritten(table.n_blocks)?;
    let launch = Launch::new(&OPTIMIZE, "squares_of_block").read(&rows).write(&mut sums);
    // SAFETY: each row has an array, and each block a place for its sum.
    unsafe { table.run(launch) }?;
    Ok(sums.fetch()?.iter().sum())
}

/// Multiplies all values of all arrays by `factor`, without waiting for the device.
///
/// # Errors
///
/// When the device fails.
pub fn scale_all(arrays: &mut [&mut Memory<f32>], factor: f32) -> Result<()> {
    let mut table = Table::default();
    for array in arrays {
        let len = array.len();
        table.push(len, [Borrowed::Written(array)], None, &[]);
    }
    if table.n_rows == 0 {
        return Ok(());
    }
    let (rows, _) = table.upload()?;
    let launch = Launch::new(&OPTIMIZE, "scale_all").read(&rows).float(factor);
    // SAFETY: each row has an array.
    unsafe { table.run(launch) }
}
