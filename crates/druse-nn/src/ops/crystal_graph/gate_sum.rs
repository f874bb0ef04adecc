//! Sums of gated edges (Xie and Grossman, PRL 120, 145301 (2018), Eq. 5).

use std::sync::Arc;

use burn::tensor::{Tensor, activation};

use crate::graph::Index;
use crate::ops::gather::scatter_sum;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{add_gated, gated_backward};
use crate::ops::matrix::matrix;
use crate::ops::product::new_vec;

/// How much each edge counts in a sum; `None`: all as one.
pub type EdgeWeights = Option<Arc<[f32]>>;

/// `y[i] = Σ_e [index[e] = i] w[e] σ(gate[e]) ⊙ ln(1 + e^core[e])` with `rows` rows: the rows of z (E, 2 F) are gate and core, the
/// result is (rows, F). Summed in the order of e.
///
/// # Panics
/// When z has an odd number of columns, or index and weights differ in number from its rows.
pub fn gate_sum(z: Tensor<2>, index: &Index, weights: &EdgeWeights, rows: usize) -> Tensor<2> {
    let [edges, cols] = z.dims();
    assert!(cols.is_multiple_of(2), "gate and core are of one width");
    assert_eq!(index.len(), edges, "one place for each edge");
    assert!(weights.as_ref().is_none_or(|w| w.len() == edges), "one weight for each edge");
    apply(&GateSum { index: index.clone(), weights: weights.clone(), rows }, [z])
}

#[derive(Debug, Clone)]
pub(crate) struct GateSum {
    pub index: Index,
    pub weights: EdgeWeights,
    pub rows: usize,
}

impl HostOp<1> for GateSum {
    fn forward(&self, [z]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let width = z.cols / 2;
        let mut y = Matrix::zeros(self.rows, width);
        if width > 0 {
            add_gated(z.data, width, &self.index, self.weights.as_deref(), &mut y.data);
        }
        (y, Vec::new())
    }

    fn backward(
        &self,
        [z]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let (width, weights) = (z.cols / 2, self.weights.as_deref());
        // SAFETY: as many numbers are written as z has.
        let data = unsafe {
            new_vec(z.data.len(), |dz| {
                if width > 0 {
                    gated_backward(z.data, width, &self.index, weights, grad.data, dz);
                }
            })
        };
        [Some(Matrix { data, rows: z.rows, cols: z.cols })]
    }

    fn compose(&self, [z]: [Tensor<2>; 1]) -> Tensor<2> {
        let width = z.dims()[1] / 2;
        let gate = activation::sigmoid(z.clone().narrow(1, 0, width));
        let message = gate * activation::softplus(z.clone().narrow(1, width, width), 1.0);
        let message = match &self.weights {
            Some(weights) => message * matrix(weights.to_vec(), 1, &z.device()),
            None => message,
        };
        scatter_sum(message, &self.index, self.rows)
    }
}
