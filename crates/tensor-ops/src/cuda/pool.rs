//! Pools.

use std::sync::Arc;

use cudarc::driver::CudaSlice;
use dfdx::tensor::{CudaError, PutTape as _, Tape as _};

use super::{
    array::{Array, to_add_to, unwritten},
    launch::Launch,
    pointwise::typed,
    program::Program,
    tensor,
};
use crate::{
    ConvGeometry, FeatureMap, Features, Gradients, OpError,
    device::{self, MapSlot},
    layout::Layout,
    values::Values,
};

pub(super) static POOL: Program =
    Program::new("pool", include_str!("kernels/pool.cu"), include_str!("kernels/pool_typed.cu"));

/// A pool's window between two shapes.
#[derive(Clone, Copy)]
struct Window {
    geometry: ConvGeometry,
    from: Layout,
    to: Layout,
}

impl Window {
    /// The arguments that all kernels of windows have.
    fn describe(self, launch: Launch) -> Launch {
        let Self { geometry: ConvGeometry { kernel, stride, padding }, from, to } = self;
        [from.h, from.w, from.c, to.h, to.w, kernel.0, kernel.1, stride.0, stride.1, padding.0, padding.1]
            .into_iter()
            .fold(launch, Launch::int)
    }

    /// Adds to the gradient of the input: by the largest of each window, or to each its share.
    fn give(
        self,
        gradients: &mut Gradients,
        slot: &MapSlot,
        gradient: &CudaSlice<f32>,
        taps: Option<&CudaSlice<u16>>,
        share: f32,
    ) -> Result<(), CudaError> {
        let before = slot.take_slice(gradients)?;
        let len = self.from.len();
        let (mut sum, adds) = to_add_to(before, len)?;
        let launch = Launch::new(&POOL, "pool_gradient")
            .read(gradient)
            .read_if(taps)
            .write(&mut sum)
            .int(usize::from(adds));
        self.describe(launch).float(share).long(len).over(len)?;
        slot.put_slice(gradients, sum)
    }
}

/// See [`max_pool`](crate::max_pool).
pub(crate) fn max_pool(x: FeatureMap, geometry: ConvGeometry, to: Layout) -> Result<FeatureMap, OpError> {
    let window = Window { geometry, from: x.layout, to };
    let input = x.values.array();
    let mut y = Array::unwritten(to.len(), input.precision())?;
    let mut taps = unwritten::<u16>(to.len())?;
    let launch = Launch::new(&POOL, typed!(input.precision(), "max_pool"))
        .read_array(input)
        .write_array(&mut y)
        .write(&mut taps);
    window.describe(launch).long(to.len()).over(to.len())?;
    let values = Arc::new(Values::Device(y));
    let slot = MapSlot::new(x.device(), to.len());
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let slot = x.slot;
        move |gradients: &mut Gradients, gradient: CudaSlice<f32>| {
            window.give(gradients, &slot, &gradient, Some(&taps), 1.0)
        }
    });
    Ok(FeatureMap::output_on_device(slot, to, values, recording, backward))
}

/// See [`average_pool`](crate::average_pool).
pub(crate) fn average_pool(x: FeatureMap, geometry: ConvGeometry, to: Layout) -> Result<FeatureMap, OpError> {
    let window = Window { geometry, from: x.layout, to };
    let share = 1.0 / (geometry.kernel.0 * geometry.kernel.1) as f32;
    let input = x.values.array();
    let mut y = Array::unwritten(to.len(), input.precision())?;
    let launch =
        Launch::new(&POOL, typed!(input.precision(), "average_pool")).read_array(input).write_array(&mut y);
    window.describe(launch).float(share).long(to.len()).over(to.len())?;
    let values = Arc::new(Values::Device(y));
    let slot = MapSlot::new(x.device(), to.len());
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let slot = x.slot;
        move |gradients: &mut Gradients, gradient: CudaSlice<f32>| {
            window.give(gradients, &slot, &gradient, None, share)
        }
    });
    Ok(FeatureMap::output_on_device(slot, to, values, recording, backward))
}

/// See [`global_average_pool`](crate::global_average_pool).
pub(crate) fn global_average_pool(x: FeatureMap) -> Result<Features, OpError> {
    let from = x.layout;
    let n_positions = from.h * from.w;
    let share = 1.0 / n_positions as f32;
    let input = x.values.array();
    let (y, address) = tensor::matrix(x.device(), (from.n, from.c))?;
    Launch::new(&POOL, typed!(input.precision(), "global_pool"))
        .read_array(input)
        .pointer(address)
        .int(n_positions)
        .int(from.c)
        .float(share)
        .long(from.n * from.c)
        .over(from.n * from.c)?;
    let (x, mut recording) = x.split_recording();
    if x.needs_gradient && recording.is_on() {
        let (slot, out) = (x.slot, y.ghost());
        recording.add_backward_op(move |gradients| {
            let gradient = device::take_slice(gradients.get_or_alloc_mut(&out)?)?;
            let before = slot.take_slice(gradients)?;
            let (mut sum, adds) = to_add_to(before, from.len())?;
            Launch::new(&POOL, "global_pool_gradient")
                .read(&gradient)
                .write(&mut sum)
                .int(usize::from(adds))
                .int(n_positions)
                .int(from.c)
                .float(share)
                .long(from.len())
                .over(from.len())?;
            slot.put_slice(gradients, sum)
        });
    }
    Ok(y.put_tape(recording))
}
