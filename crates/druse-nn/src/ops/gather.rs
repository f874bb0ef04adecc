//! Reading rows by index and its transpose, summing rows by index.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use super::host::{HostOp, Mat, Matrix, apply};
use super::kernels::{add_assign, add_scaled};
use crate::arch::vectorized;
use crate::graph::Index;
#[cfg(feature = "gpu")]
use crate::ops::device_op::DeviceOp;

/// `y[e] = x[index[e]]`, row by row.
pub fn gather(x: Tensor<2>, index: &Index) -> Tensor<2> {
    apply(&Gather { index: index.clone() }, [x])
}

/// `y[i] = Σ_e [index[e] = i] x[e]` with `rows` rows; summed in the order of e, so the result is reproducible.
pub fn scatter_sum(x: Tensor<2>, index: &Index, rows: usize) -> Tensor<2> {
    apply(&ScatterSum { index: index.clone(), rows }, [x])
}

/// `y[i] = Σ_e [index[e] = i] s[e] v[e]` with `rows` rows: s is (edges, 1), v is (edges, cols), the result (rows, cols).
/// Summed in the order of e.
pub fn weighted_sum(s: Tensor<2>, v: Tensor<2>, index: &Index, rows: usize) -> Tensor<2> {
    apply(&WeightedSum { index: index.clone(), rows }, [s, v])
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

#[derive(Debug, Clone)]
pub(crate) struct WeightedSum {
    pub index: Index,
    pub rows: usize,
}

impl HostOp<2> for WeightedSum {
    fn forward(&self, [s, v]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let mut out = Matrix::zeros(self.rows, v.cols);
        vectorized!(for ((v, &s), &i) in v.data.chunks_exact(v.cols).zip(s.data).zip(&*self.index) {
            add_scaled(&mut out.data[i as usize * v.len()..][..v.len()], v, s);
        });
        (out, Vec::new())
    }

    fn backward(
        &self,
        [s, v]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let row = |i: u32| &grad.data[i as usize * v.cols..][..v.cols];
        let ds = wanted[0].then(|| {
            let edges = v.data.chunks_exact(v.cols).zip(&*self.index);
            let data = edges.map(|(v, &i)| v.iter().zip(row(i)).map(|(v, g)| v * g).sum()).collect();
            Matrix { data, rows: s.rows, cols: 1 }
        });
        let dv = wanted[1].then(|| {
            let edges = s.data.iter().zip(&*self.index);
            let data = edges.flat_map(|(&s, &i)| row(i).iter().map(move |g| s * g)).collect();
            Matrix { data, rows: v.rows, cols: v.cols }
        });
        [ds, dv]
    }

    fn compose(&self, [s, v]: [Tensor<2>; 2]) -> Tensor<2> {
        scatter_sum(s * v, &self.index, self.rows)
    }
}
