//! The host, by the kernels of `kernels-cpu`.

mod maps;
mod rows;
mod storage;
mod tokens;

use kernels_cpu::{Family, Values};

/// The host, with the instructions of a family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    family: Family,
}

impl Host {
    /// With the instructions that the process uses.
    pub(crate) fn detected() -> Self {
        Self { family: Family::detected() }
    }

    /// With those of a family.
    #[cfg(test)]
    pub(crate) fn of_family(family: Family) -> Self {
        Self { family }
    }
}

/// What was there with something added, or that.
fn onto(before: Option<Values>, values: Values) -> Values {
    let Some(mut sum) = before else { return values };
    sum.add(&values);
    sum
}
