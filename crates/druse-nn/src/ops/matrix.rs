//! Tensors from numbers of the host.

use burn::tensor::{Device, Tensor, TensorData};

/// A tensor from row-major values: shape (values / cols, cols).
pub fn matrix(values: Vec<f32>, cols: usize, device: &Device) -> Tensor<2> {
    let rows = values.len() / cols;
    Tensor::from_data(TensorData::new(values, [rows, cols]), device)
}
