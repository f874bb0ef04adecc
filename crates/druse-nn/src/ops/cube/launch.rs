//! Passing tensors to kernels.

use burn::tensor::{DType, Device, Int, Shape, Tensor, TensorData};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{CubeCount, CubeDim, calculate_cube_count_elemwise};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

use crate::ops::device_op::primitive;

/// A matrix as kernels read it: row-major without gaps.
pub(super) fn dense(t: &Tensor<2>) -> CubeTensor {
    into_contiguous(primitive(t.clone()))
}

/// The argument for a matrix.
pub(super) fn arg(t: &Tensor<2>) -> BufferArg {
    dense(t).into_buffer_arg()
}

/// The argument for a list of numbers.
pub(super) fn list_arg(t: &Tensor<1, Int>) -> BufferArg {
    let t = t.clone().try_into_primitive::<CubeBackend>().expect("uploads are cube tensors");
    t.into_buffer_arg()
}

/// A list of numbers on a device.
pub(super) fn upload(values: Vec<u32>, device: &Device) -> Tensor<1, Int> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), (device, DType::U32))
}

/// Memory for a result; kernels write all of it.
pub(super) fn new_matrix([rows, cols]: [usize; 2], like: &Tensor<2>) -> Tensor<2> {
    let like = primitive(like.clone());
    let shape = Shape::from([rows, cols]);
    let empty = empty_device_contiguous_dtype(like.client, like.device, shape, DType::F32);
    Tensor::from_primitive::<CubeBackend>(empty)
}

/// How many units run where.
pub(super) struct Grid {
    pub client: Client,
    pub count: CubeCount,
    pub dim: CubeDim,
}

/// One unit for each of `units` pieces of work, or nothing when there is none. Kernels turn surplus units away.
///
/// # Panics
/// When the work does not fit 32-bit positions: memory would run out long before.
pub(super) fn grid(units: usize, like: &Tensor<2>) -> Option<Grid> {
    assert!(u32::try_from(units).is_ok(), "{units} units of work for one kernel");
    if units == 0 {
        return None;
    }
    let client = primitive(like.clone()).client;
    let dim = CubeDim::new(&client, units);
    let count = calculate_cube_count_elemwise(&client, units, dim);
    Some(Grid { client, count, dim })
}
