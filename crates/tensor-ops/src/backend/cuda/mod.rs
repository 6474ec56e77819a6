//! The CUDA device, by the kernels of `kernels-cuda`.

mod computed;
mod maps;
mod rows;
mod self_test;
mod sizes;
mod storage;
mod stored;
mod tensor;
mod tokens;
pub(crate) mod update;

pub(crate) use self::{
    computed::{OnDevice, out_of_memory as cuda_out_of_memory},
    self_test::self_test as cuda_self_test,
    tensor::strides as cuda_strides,
    update as cuda_update,
};

/// The device of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cuda;
