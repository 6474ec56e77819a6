//! Rows of tokens, and what a transformer does to them.

pub mod attention;
pub mod layer_norm;
pub mod rows;

use crate::program::Program;

/// All kernels of these files.
pub(crate) static PROGRAMS: [&Program; 3] = [&attention::ATTENTION, &layer_norm::LAYER_NORM, &rows::TOKENS];
