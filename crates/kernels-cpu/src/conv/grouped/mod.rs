//! A convolution in groups of channels, each of which is convolved by itself.
//!
//! Groups are narrow: products with channels side by side would leave most lanes of a register to other groups. So the
//! channels of a few groups are laid one after the other, as planes of pixels, and lanes are images and pixels. Strides are
//! dealt with where planes are laid, see [`planes::Order`].

mod pack;
mod planes;
mod products;
mod tile;
mod weights;

use self::products::Products;
use super::method::{Method, Problem, With};
use crate::{
    Precision,
    values::{Summed, Values},
};

/// Columns of a plane that a task computes at least, if the image has them: the rows around them, which the kernel reaches,
/// are laid out once more by the neighboring tasks.
const TASK_COLUMNS: usize = 2048;

/// Rows of pixels that a task computes at least, for the same reason.
const TASK_ROWS: usize = 2;

/// Channels that are laid out together at least, if there are so many: a line of memory.
const CHANNELS_AT_ONCE: usize = 16;

/// Each group is convolved by itself.
#[derive(Debug)]
pub(super) struct Grouped;

impl Method for Grouped {
    fn forward(&self, problem: &Problem, weight: &[f32], x: &Values, with: With<'_>) -> Summed {
        Products::forward(problem, weight).multiply(x, problem.precision, with)
    }

    fn data(&self, problem: &Problem, weight: &[f32], gradient: &Values, before: Option<Values>) -> Values {
        let products = Products::backward(problem, weight);
        match before {
            None => products.multiply(gradient, problem.precision, With::Nothing).values,
            // Rounded once, after the sum.
            Some(mut sum) => {
                sum.add(&products.multiply(gradient, Precision::F32, With::Nothing).values);
                sum
            }
        }
    }

    fn weights(&self, problem: &Problem, x: &Values, gradient: &Values) -> Vec<f32> {
        weights::gradient(problem, x, gradient)
    }
}

/// Rows of pixels of a task on images of `h` rows of `row_len` columns.
fn task_rows(row_len: usize) -> usize {
    TASK_COLUMNS.div_ceil(row_len).max(TASK_ROWS)
}

/// Groups whose channels are laid out together; each has at least `least` on either side.
fn groups_at_once(least: usize) -> usize {
    CHANNELS_AT_ONCE.div_ceil(least)
}
