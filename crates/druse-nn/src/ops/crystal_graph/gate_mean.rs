//! Means of the sources of edges, weighted by gates (Choudhary and DeCost, npj Comput. Mater. 7, 185 (2021), Eqs. 1 and 2).

use burn::tensor::{Tensor, activation};

use crate::graph::Index;
use crate::ops::gather::{gather, scatter_sum};
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{add_sigmoid_weighted, sigmoid_weighted_backward};
use crate::ops::product::new_vec;

/// Added to the sum of the gates.
const EPSILON: f32 = 1e-6;

/// `h[j] = Σ_e [target[e] = j] σ(m[e]) ⊙ v[source[e]] / (Σ_e [target[e] = j] σ(m[e]) + 10⁻⁶)`: m is (E, F), v is (N, F), and so is
/// the result. Summed in the order of e.
///
/// # Panics
/// When m and v differ in width, or the ends differ in number from the rows of m.
pub fn gate_mean(m: Tensor<2>, v: Tensor<2>, source: &Index, target: &Index) -> Tensor<2> {
    let ([edges, width], [_, values]) = (m.dims(), v.dims());
    assert_eq!(width, values, "gates and values are of one width");
    assert!(source.len() == edges && target.len() == edges, "two ends for each edge");
    apply(&GateMean { source: source.clone(), target: target.clone() }, [m, v])
}

#[derive(Debug, Clone)]
pub(crate) struct GateMean {
    pub source: Index,
    pub target: Index,
}

impl GateMean {
    /// The means, and the sums of the gates with the small number.
    fn means(&self, m: Mat<'_>, v: Mat<'_>) -> [Vec<f32>; 2] {
        let mut values = vec![0.0; v.data.len()];
        let mut sums = vec![EPSILON; v.data.len()];
        if v.cols > 0 {
            add_sigmoid_weighted(
                m.data,
                v.data,
                v.cols,
                [&self.source, &self.target],
                &mut values,
                &mut sums,
            );
        }
        values.iter_mut().zip(&sums).for_each(|(value, sum)| *value /= sum);
        [values, sums]
    }
}

impl HostOp<2> for GateMean {
    fn forward(&self, [m, v]: [Mat<'_>; 2], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let [data, sums] = self.means(m, v);
        let kept = if keep { vec![data.clone(), sums] } else { Vec::new() };
        (Matrix { data, rows: v.rows, cols: v.cols }, kept)
    }

    fn backward(
        &self,
        [m, v]: [Mat<'_>; 2],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let [means, sums] = kept else { unreachable!("the forward pass keeps means and sums") };
        let g: Vec<f32> = grad.data.iter().zip(sums).map(|(g, sum)| g / sum).collect();
        let mut dv = Matrix::zeros(v.rows, v.cols);
        // SAFETY: as many numbers are written as m has.
        let dm = unsafe {
            new_vec(m.data.len(), |dm| {
                if v.cols > 0 {
                    let ends: [&[u32]; 2] = [&self.source, &self.target];
                    sigmoid_weighted_backward([m.data, v.data, means, &g], v.cols, ends, dm, &mut dv.data);
                }
            })
        };
        [Some(Matrix { data: dm, rows: m.rows, cols: m.cols }), Some(dv)]
    }

    fn compose(&self, [m, v]: [Tensor<2>; 2]) -> Tensor<2> {
        let rows = v.dims()[0];
        let gate = activation::sigmoid(m);
        let values = scatter_sum(gate.clone() * gather(v, &self.source), &self.target, rows);
        values / (scatter_sum(gate, &self.target, rows) + EPSILON)
    }
}
