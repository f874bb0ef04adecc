//! Reading rows by index and its transpose, summing rows by index.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use super::arch::vectorized;
#[cfg(feature = "gpu")]
use super::cube::DeviceOp;
use super::host::{HostOp, Mat, Matrix, apply};
use super::kernels::add_assign;
use crate::graph::Index;

/// `y[e] = x[index[e]]`, row by row.
pub fn gather(x: Tensor<2>, index: &Index) -> Tensor<2> {
    apply(&Gather { index: index.clone() }, [x])
}

/// `y[i] = Σ_e [index[e] = i] x[e]` with `rows` rows; summed in the order of e, so the result is reproducible.
pub fn scatter_sum(x: Tensor<2>, index: &Index, rows: usize) -> Tensor<2> {
    apply(&ScatterSum { index: index.clone(), rows }, [x])
}

/// The index list as a tensor on a device.
pub(crate) fn index_tensor(index: &[u32], device: &Device) -> Tensor<1, Int> {
    let data: Vec<i32> = index.iter().map(|&i| i as i32).collect();
    let n = data.len();
    Tensor::from_data(TensorData::new(data, [n]), device)
}

fn gather_rows(x: Mat<'_>, index: &[u32]) -> Matrix {
    let mut data = Vec::with_capacity(index.len() * x.cols);
    for &i in index {
        data.extend_from_slice(&x.data[i as usize * x.cols..][..x.cols]);
    }
    Matrix { data, rows: index.len(), cols: x.cols }
}

fn sum_rows(x: Mat<'_>, index: &[u32], rows: usize) -> Matrix {
    let mut out = Matrix::zeros(rows, x.cols);
    vectorized!(for (x, &i) in x.data.chunks_exact(x.cols).zip(index) {
        add_assign(&mut out.data[i as usize * x.len()..][..x.len()], x);
    });
    out
}

#[derive(Debug, Clone)]
pub(crate) struct Gather {
    pub index: Index,
}

impl HostOp<1> for Gather {
    fn forward(&self, [x]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        (gather_rows(x, &self.index), Vec::new())
    }

    fn backward(
        &self,
        [x]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        [Some(sum_rows(grad, &self.index, x.rows))]
    }

    #[cfg(feature = "gpu")]
    fn kernels(&self) -> Option<&dyn DeviceOp<1>> {
        Some(self)
    }

    fn compose(&self, [x]: [Tensor<2>; 1]) -> Tensor<2> {
        let index = index_tensor(&self.index, &x.device());
        x.select(0, index)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ScatterSum {
    pub index: Index,
    pub rows: usize,
}

impl HostOp<1> for ScatterSum {
    fn forward(&self, [x]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        (sum_rows(x, &self.index, self.rows), Vec::new())
    }

    fn backward(&self, _: [Mat<'_>; 1], _: &[Vec<f32>], grad: Mat<'_>, _: [bool; 1]) -> [Option<Matrix>; 1] {
        [Some(gather_rows(grad, &self.index))]
    }

    #[cfg(feature = "gpu")]
    fn kernels(&self) -> Option<&dyn DeviceOp<1>> {
        Some(self)
    }

    fn compose(&self, [x]: [Tensor<2>; 1]) -> Tensor<2> {
        let index = index_tensor(&self.index, &x.device());
        let [_, cols] = x.dims();
        Tensor::zeros([self.rows, cols], &x.device()).select_assign(0, index, x, IndexingUpdateOp::Add)
    }
}
