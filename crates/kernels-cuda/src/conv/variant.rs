//! The ways in which the kernels are compiled.

use kernels_cpu::Precision;

use super::ENOUGH_BLOCKS;
use crate::{context::is_tensor_float, program::Program};

/// All of them.
pub(crate) static PROGRAMS: [&Program; 8] =
    [&F32_64, &F32_128, &F32_ANY, &EXACT_64, &EXACT_ANY, &BF16_64, &BF16_128, &BF16_ANY];

/// Outputs of a block along the rows, as in `kernels/conv.cu`.
pub(super) const ROWS: usize = 128;
/// Columns of the left factor in shared memory at a time, as there.
pub(super) const DEPTH: usize = 32;
/// Steps whose factors are in shared memory, as there.
const STAGES: usize = 3;

/// How the kernels are compiled.
#[derive(Clone, Copy)]
pub(super) struct Variant {
    precision: Precision,
    columns: usize,
    is_vector: bool,
}

impl Variant {
    /// For `n_rows` outputs of `n_out` channels, of `n_in`.
    pub(super) fn of(precision: Precision, n_in: usize, n_out: usize, n_rows: usize) -> Self {
        let lanes = match precision {
            Precision::F32 => 4,
            Precision::Bf16 => 8,
        };
        let is_vector = n_in.is_multiple_of(lanes) && n_out.is_multiple_of(lanes);
        let wide_blocks = n_rows.div_ceil(ROWS).saturating_mul(n_out.div_ceil(128));
        // Three products in place of one leave no registers for more columns.
        let is_exact = precision == Precision::F32 && !is_tensor_float();
        let is_wide = is_vector && !is_exact && n_out > 64 && wide_blocks >= ENOUGH_BLOCKS;
        Self { precision, columns: if is_wide { 128 } else { 64 }, is_vector }
    }

    /// Outputs of a block along the columns.
    pub(super) fn columns(self) -> usize {
        self.columns
    }

    fn lanes(self) -> (usize, usize) {
        match self.precision {
            Precision::F32 => (4, 4),
            Precision::Bf16 => (8, 2),
        }
    }

    pub(super) fn shared_bytes(self) -> u32 {
        let (lanes, size) = self.lanes();
        (STAGES * (ROWS + self.columns) * (DEPTH + lanes) * size) as u32
    }

    pub(super) fn shared_bytes_of_weights(self) -> u32 {
        let (_, size) = self.lanes();
        (STAGES * DEPTH * (ROWS + 8 + self.columns + 8) * size) as u32
    }

    pub(super) fn program(self) -> &'static Program {
        let is_exact = !is_tensor_float();
        match (self.precision, self.columns, self.is_vector, is_exact) {
            (Precision::F32, 64, true, false) => &F32_64,
            (Precision::F32, _, true, false) => &F32_128,
            (Precision::F32, _, false, false) => &F32_ANY,
            (Precision::F32, _, true, true) => &EXACT_64,
            (Precision::F32, _, false, true) => &EXACT_ANY,
            (Precision::Bf16, 64, true, _) => &BF16_64,
            (Precision::Bf16, _, true, _) => &BF16_128,
            (Precision::Bf16, _, false, _) => &BF16_ANY,
        }
    }
}

macro_rules! variant {
    ($name:ident, $half:literal, $columns:literal, $vector:literal, $exact:literal) => {
        static $name: Program = Program::with_macros(
            concat!("conv ", stringify!($name)),
            include_str!("../kernels/conv.cu"),
            "",
            concat!(
                "#define HALF ",
                $half,
                "\n#define COLUMNS ",
                $columns,
                "\n#define VECTOR ",
                $vector,
                "\n#define EXACT ",
                $exact
            ),
        );
    };
}
variant!(F32_64, 0, 64, 1, 0);
variant!(F32_128, 0, 128, 1, 0);
variant!(F32_ANY, 0, 64, 0, 0);
variant!(EXACT_64, 0, 64, 1, 1);
variant!(EXACT_ANY, 0, 64, 0, 1);
variant!(BF16_64, 1, 64, 1, 0);
variant!(BF16_128, 1, 128, 1, 0);
variant!(BF16_ANY, 1, 64, 0, 0);
