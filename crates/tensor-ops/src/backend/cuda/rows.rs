//! Rows of values: features, linear layers, losses.

use std::sync::Arc;

use kernels_cuda::{Array, dot, linear, rows};

use super::{Cuda, OnDevice as _, sizes};
use crate::{
    backend::{
        Candidates, Computed, Contrast, ContrastSpec, LinearGradients, LinearSpec, LinearWanted, Rows,
        Storage as _, Tail,
    },
    values::{AnyValues, Resident},
};

impl Rows for Cuda {
    /// The values before: their slopes would take as much room, and another pass over it.
    type Gelu = linear::Gelu;

    fn sum_rows(self, values: &Array, width: usize) -> Computed<Array> {
        kernels_cuda::sum_rows(values, width).computed()
    }

    fn gather_rows(self, values: &Array, width: usize, order: &[usize]) -> Computed<Array> {
        rows::gather_rows(values, width, order).computed()
    }

    fn concat(self, parts: &[Array]) -> Computed<Array> {
        rows::concat(parts).computed()
    }

    fn add_row(self, x: Arc<AnyValues>, row: &Resident) -> Computed<Array> {
        let row = row.on_device()?;
        match Arc::try_unwrap(x) {
            Ok(values) => rows::add_row(Self::owned(values), row).computed(),
            Err(shared) => rows::add_row_to(Self::of(&shared), row).computed(),
        }
    }

    fn unit_rows(self, x: Array, width: usize) -> Computed<(Array, Array)> {
        rows::unit_rows(&x, width).computed()
    }

    fn unit_rows_backward(
        self,
        gradient: Array,
        output: &Array,
        lengths: &Array,
        width: usize,
    ) -> Computed<Array> {
        rows::unit_rows_backward(gradient, output, lengths, width).computed()
    }

    fn write_around(self, to: &mut Resident, rows: &Array, first: usize) -> Computed<()> {
        rows::write_around(to.on_device_mut()?, rows, first).computed()
    }

    fn linear(
        self,
        spec: LinearSpec,
        x: &Array,
        weight: &Resident,
        bias: Option<&Resident>,
        tail: Tail<'_, Array>,
    ) -> Computed<(Array, Option<linear::Gelu>)> {
        let tail = match tail {
            Tail::Nothing => linear::Tail::Nothing,
            Tail::Gelu { is_kept } => linear::Tail::Gelu { is_kept },
            Tail::Add(residual) => linear::Tail::Add(residual),
        };
        let bias = bias.map(Resident::on_device).transpose()?;
        spec.layer().forward(x, weight.as_weight()?, bias, tail).computed()
    }

    fn linear_backward(
        self,
        spec: LinearSpec,
        weight: &Resident,
        x: Option<&Array>,
        gelu: Option<linear::Gelu>,
        gradient: Array,
        wanted: LinearWanted<Array>,
    ) -> Computed<LinearGradients<Array>> {
        let LinearWanted { x: wants_x, x_before, weight: wants_weight, weight_before, bias, residual } =
            wanted;
        let wanted =
            linear::Wanted { x: wants_x, x_before, weight: wants_weight, weight_before, bias, residual };
        let linear::Gradients { x, weight, bias, residual } =
            spec.layer().backward(weight.as_weight()?, x, gelu, gradient, wanted).computed()?;
        Ok(LinearGradients { x, weight, bias, residual })
    }

    fn contrast(
        self,
        (queries, width): (&Array, usize),
        candidates: Candidates<'_, Array>,
        spec: ContrastSpec,
    ) -> Computed<Contrast<Array>> {
        sizes::contrast((queries, width), candidates, spec)
    }

    fn dot(self, a: &Array, b: &Array) -> Computed<Array> {
        dot::dot(a, b).computed()
    }

    fn scaled(self, values: &Array, factor: f32) -> Computed<Array> {
        dot::scaled(values, factor).computed()
    }

    fn scaled_by(self, values: &Array, factor: &Array) -> Computed<Array> {
        dot::scaled_by(values, factor).computed()
    }
}
