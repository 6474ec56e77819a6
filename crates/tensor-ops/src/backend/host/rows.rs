//! Rows of values: features, linear layers, losses.

use std::sync::Arc;

use kernels_cpu::{
    Values,
    contrast::{Setting, against_queue, in_batch},
    matrix::{Packed, RowsProduct, Side, multiply, outer_products, scale},
    rows, unit_rows,
};

use super::{Host, onto};
use crate::{
    backend::{
        Candidates, Computed, Contrast, ContrastSpec, LinearGradients, LinearSpec, LinearWanted, Rows,
        Storage as _, Tail,
    },
    values::{AnyValues, Resident},
};

impl Rows for Host {
    /// The slope of each: the values before would take as much room, and their slopes another exponential.
    type Gelu = Values;

    fn sum_rows(self, values: &Values, width: usize) -> Computed<Values> {
        Ok(Values::F32(rows::sum(self.family, values.lend(), width)))
    }

    fn gather_rows(self, values: &Values, width: usize, order: &[usize]) -> Computed<Values> {
        let values = values.whole();
        Ok(Values::F32(order.iter().flat_map(|&row| &values[row * width..][..width]).copied().collect()))
    }

    fn concat(self, parts: &[Values]) -> Computed<Values> {
        Ok(Values::F32(parts.iter().map(Values::whole).collect::<Vec<_>>().concat()))
    }

    fn add_row(self, x: Arc<AnyValues>, row: &Resident) -> Computed<Values> {
        let mut values = match Arc::try_unwrap(x) {
            Ok(values) => Self::owned(values),
            Err(shared) => Self::of(&shared).clone(),
        };
        rows::add(self.family, &mut values, row);
        Ok(values)
    }

    fn unit_rows(self, x: Values, width: usize) -> Computed<(Values, Values)> {
        let mut values = x.into_whole();
        let lengths = unit_rows::normalize(self.family, &mut values, width);
        Ok((Values::F32(values), Values::F32(lengths)))
    }

    fn unit_rows_backward(
        self,
        gradient: Values,
        output: &Values,
        lengths: &Values,
        _: usize,
    ) -> Computed<Values> {
        let mut gradient = gradient.into_whole();
        unit_rows::backward(self.family, &mut gradient, &output.whole(), &lengths.whole());
        Ok(Values::F32(gradient))
    }

    fn write_around(self, to: &mut Resident, rows: &Values, first: usize) -> Computed<()> {
        let (rows, values) = (rows.whole(), to.host_mut());
        let (before, after) = rows.split_at(rows.len().min(values.len() - first));
        values[first..][..before.len()].copy_from_slice(before);
        values[..after.len()].copy_from_slice(after);
        Ok(())
    }

    fn linear(
        self,
        spec: LinearSpec,
        x: &Values,
        weight: &Resident,
        bias: Option<&Resident>,
        tail: Tail<'_, Values>,
    ) -> Computed<(Values, Option<Values>)> {
        let LinearSpec { n_in, n_out, precision, .. } = spec;
        let bias = bias.map(|bias| &**bias);
        let side = Side::plain(weight, n_in, n_out);
        if spec.is_of_features {
            let mut y = Values::F32(multiply(self.family, &x.whole(), side));
            if let Some(bias) = bias {
                rows::add(self.family, &mut y, bias);
            }
            return Ok((y, None));
        }
        let packed = Packed::new(self.family, side, precision);
        let mut product = RowsProduct { packed: &packed, bias, residual: None };
        Ok(match tail {
            Tail::Nothing => (product.multiply(x.lend(), precision), None),
            Tail::Gelu { is_kept: true } => {
                let (y, slopes) = product.multiply_gelu(x.lend(), precision);
                (y, Some(slopes))
            }
            Tail::Gelu { is_kept: false } => (product.multiply_gelu_only(x.lend(), precision), None),
            Tail::Add(residual) => {
                product.residual = Some(residual.lend());
                (product.multiply(x.lend(), precision), None)
            }
        })
    }

    fn linear_backward(
        self,
        spec: LinearSpec,
        weight: &Resident,
        x: Option<&Values>,
        gelu: Option<Values>,
        gradient: Values,
        wanted: LinearWanted<Values>,
    ) -> Computed<LinearGradients<Values>> {
        let LinearSpec { n_in, n_out, precision, .. } = spec;
        let mut gradient = gradient;
        let mut slopes = gelu;
        let side = Side::transposed(weight, n_in, n_out);
        let by_x = wanted.x.then(|| {
            if spec.is_of_features {
                let product = multiply(self.family, &gradient.whole(), side);
                return onto(wanted.x_before, Values::F32(product));
            }
            let packed = Packed::new(self.family, side, precision);
            let product = RowsProduct::plain(&packed);
            match (slopes.take(), wanted.x_before) {
                (Some(slopes), None) => product.multiply_scaled(&mut gradient, slopes.lend(), precision),
                (None, None) => product.multiply(gradient.lend(), precision),
                (slopes, Some(mut sum)) => {
                    if let Some(slopes) = slopes {
                        scale(self.family, &mut gradient, &slopes);
                    }
                    product.add_to(gradient.lend(), &mut sum);
                    sum
                }
            }
        });
        if let Some(slopes) = slopes {
            scale(self.family, &mut gradient, &slopes);
        }
        let (mut by_weight, mut by_bias) = (None, None);
        match x {
            Some(x) if wanted.weight => {
                let by_y = (gradient.lend(), n_out);
                let sums = outer_products(self.family, (x.lend(), n_in), by_y, wanted.bias);
                by_weight = Some(onto(wanted.weight_before, Values::F32(sums.weight)));
                by_bias = wanted.bias.then_some(Values::F32(sums.bias));
            }
            _ if wanted.bias => by_bias = Some(Values::F32(rows::sum(self.family, gradient.lend(), n_out))),
            _ => {}
        }
        let residual = wanted.residual.then_some(gradient);
        Ok(LinearGradients { x: by_x, weight: by_weight, bias: by_bias, residual })
    }

    fn contrast(
        self,
        (queries, c): (&Values, usize),
        candidates: Candidates<'_, Values>,
        spec: ContrastSpec,
    ) -> Computed<Contrast<Values>> {
        let ContrastSpec { temperature, gradient_factor, keeps_logits } = spec;
        let setting = Setting { temperature, wants_gradient: gradient_factor.is_some(), keeps_logits };
        let queries = &*queries.whole();
        let result = match candidates {
            Candidates::Queue { positives, queue } => {
                against_queue(self.family, (queries, c), &positives.whole(), queue, setting)
            }
            Candidates::Keys { keys, first } => {
                in_batch(self.family, (queries, c), &keys.whole(), first, setting)
            }
        };
        let gradient = gradient_factor.map(|factor| {
            Values::F32(result.directions.iter().map(|value| (value * factor) as f32).collect())
        });
        let (cross_entropy, n_right) = (result.cross_entropy, result.n_right);
        Ok(Contrast { cross_entropy, n_right, gradient, logits: result.logits })
    }

    fn dot(self, a: &Values, b: &Values) -> Computed<Values> {
        let products = |(&a, &b): (&f32, &f32)| f64::from(a) * f64::from(b);
        let sum: f64 = a.whole().iter().zip(&*b.whole()).map(products).sum();
        Ok(Values::F32(vec![sum as f32]))
    }

    fn scaled(self, values: &Values, factor: f32) -> Computed<Values> {
        Ok(Values::F32(values.whole().iter().map(|value| value * factor).collect()))
    }

    fn scaled_by(self, values: &Values, factor: &Values) -> Computed<Values> {
        self.scaled(values, factor.whole()[0])
    }
}
