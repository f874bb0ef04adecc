//! Messages summed into the messages that leave their destination.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::arch::vectorized;
use crate::graph::DirectedGraph;
use crate::ops::gather::{gather, scatter_sum};
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::add_assign;

/// `y[e] = Σ_f x[f]` over the edges f that lead to the source of e, but not the exact reverse of e: x and y have a row for
/// each edge. Summed in the order of the edges.
pub fn incoming_sum(x: Tensor<2>, graph: &Arc<DirectedGraph>) -> Tensor<2> {
    apply(&IncomingSum { graph: graph.clone() }, [x])
}

#[derive(Debug, Clone)]
pub(crate) struct IncomingSum {
    pub graph: Arc<DirectedGraph>,
}

impl HostOp<1> for IncomingSum {
    fn forward(&self, [x]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        assert_eq!(x.rows, self.graph.num_edges(), "one row for each edge");
        let mut out = Matrix::zeros(x.rows, x.cols);
        vectorized!(for (e, y) in out.data.chunks_exact_mut(x.cols).enumerate() {
            for f in self.graph.messages_before(e) {
                add_assign(y, &x.data[f * y.len()..][..y.len()]);
            }
        });
        (out, Vec::new())
    }

    fn backward(
        &self,
        [x]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let mut dx = Matrix::zeros(x.rows, x.cols);
        vectorized!(for (e, g) in grad.data.chunks_exact(x.cols).enumerate() {
            for f in self.graph.messages_before(e) {
                add_assign(&mut dx.data[f * g.len()..][..g.len()], g);
            }
        });
        [Some(dx)]
    }

    fn compose(&self, [x]: [Tensor<2>; 1]) -> Tensor<2> {
        let edges = self.graph.num_edges();
        let pairs = (0..edges).flat_map(|e| self.graph.messages_before(e).map(move |f| (f as u32, e as u32)));
        let (from, to): (Vec<u32>, Vec<u32>) = pairs.unzip();
        scatter_sum(gather(x, &from.into()), &to.into(), edges)
    }
}
