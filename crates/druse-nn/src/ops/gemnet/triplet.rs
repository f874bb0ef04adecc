//! Sums over pairs of edges without arrays of triplets.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use crate::arch::vectorized;
use crate::graph::{Angles, Multigraph};
#[cfg(feature = "gpu")]
use crate::ops::device_op::DeviceOp;
use crate::ops::gather::{gather, scatter_sum};
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::add_scaled;
use crate::ops::product::{View, new_vec, product_new};

/// `S[q, l, c] = Σ_p Y_l(cos φ_pq) x[p, c]` over the other edges p with the source of q: x is (edges, c), the result
/// (edges, degrees · c) with l slow.
pub fn angular_sum(x: Tensor<2>, graph: &Arc<Multigraph>, angles: &Arc<Angles>) -> Tensor<2> {
    apply(&AngularSum { graph: graph.clone(), angles: angles.clone() }, [x])
}

#[derive(Debug, Clone)]
pub(crate) struct AngularSum {
    pub graph: Arc<Multigraph>,
    pub angles: Arc<Angles>,
}

impl AngularSum {
    fn for_each_atom(&self, mut f: impl FnMut(std::ops::Range<usize>, &[f32])) {
        for a in 0..self.graph.num_atoms {
            f(self.graph.edges_from(a), &self.angles.values[self.angles.ptr[a]..self.angles.ptr[a + 1]]);
        }
    }
}

impl HostOp<1> for AngularSum {
    fn forward(&self, [x]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let (c, degrees) = (x.cols, self.angles.degrees);
        assert_eq!(x.rows, self.graph.num_edges(), "one row for each edge");
        // SAFETY: the products write the rows of all atoms, which are all rows.
        let data = unsafe {
            new_vec(x.rows * degrees * c, |out| {
                self.for_each_atom(|edges, y| {
                    let k = edges.len();
                    let rows = &x.data[edges.start * c..edges.end * c];
                    let dst = &mut out[edges.start * degrees * c..edges.end * degrees * c];
                    product_new(dst, [k * degrees, c, k], View::rows(y, k), View::rows(rows, c));
                });
            })
        };
        (Matrix { data, rows: x.rows, cols: degrees * c }, Vec::new())
    }

    fn backward(
        &self,
        [x]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let (c, degrees) = (x.cols, self.angles.degrees);
        // SAFETY: the products write the rows of all atoms, which are all rows.
        let data = unsafe {
            new_vec(x.rows * c, |dx| {
                self.for_each_atom(|edges, y| {
                    let k = edges.len();
                    let rows = &grad.data[edges.start * degrees * c..edges.end * degrees * c];
                    let dst = &mut dx[edges.start * c..edges.end * c];
                    product_new(dst, [k, c, k * degrees], View::transposed(y, k), View::rows(rows, c));
                });
            })
        };
        [Some(Matrix { data, rows: x.rows, cols: c })]
    }

    #[cfg(feature = "gpu")]
    fn kernels(&self) -> Option<&dyn DeviceOp<1>> {
        Some(self)
    }

    fn compose(&self, [x]: [Tensor<2>; 1]) -> Tensor<2> {
        let device = x.device();
        let [edges, c] = x.dims();
        let degrees = self.angles.degrees;
        let (p, q) = self.graph.triplets();
        let y = Tensor::<3>::from_data(
            TensorData::new(triplet_angles(&self.graph, &self.angles), [p.len(), degrees, 1]),
            &device,
        );
        let others = gather(x, &p.clone().into()).reshape([p.len(), 1, c]);
        scatter_sum((y * others).reshape([p.len(), degrees * c]), &q.into(), edges)
    }
}

/// The angular functions in the order of [`Multigraph::triplets`], (triplets, degrees).
pub(crate) fn triplet_angles(graph: &Multigraph, angles: &Angles) -> Vec<f32> {
    let mut out = Vec::new();
    for a in 0..graph.num_atoms {
        let k = graph.edges_from(a).len();
        let block = &angles.values[angles.ptr[a]..angles.ptr[a + 1]];
        for q in 0..k {
            for p in (0..k).filter(|&p| p != q) {
                out.extend((0..angles.degrees).map(|l| block[(q * angles.degrees + l) * k + p]));
            }
        }
    }
    out
}

/// `T[e, c, i] = Σ_l S[e, l, c] B[e, l, i]`: s is (edges, degrees · c), b is (edges, degrees · i), the result
/// (edges, c · i) with c slow.
pub fn contract_degrees(s: Tensor<2>, b: Tensor<2>, degrees: usize) -> Tensor<2> {
    apply(&ContractDegrees { degrees }, [s, b])
}

#[derive(Debug, Clone)]
pub(crate) struct ContractDegrees {
    pub degrees: usize,
}

impl HostOp<2> for ContractDegrees {
    fn forward(&self, [s, b]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let (nc, ni) = (s.cols / self.degrees, b.cols / self.degrees);
        let mut out = Matrix::zeros(s.rows, nc * ni);
        vectorized!(for e in 0..s.rows {
            let (s, b) = (&s.data[e * s.cols..][..s.cols], &b.data[e * b.cols..][..b.cols]);
            for (c, t) in out.data[e * nc * ni..][..nc * ni].chunks_exact_mut(ni).enumerate() {
                for (l, b) in b.chunks_exact(ni).enumerate() {
                    add_scaled(t, b, s[l * nc + c]);
                }
            }
        });
        (out, Vec::new())
    }

    fn backward(
        &self,
        [s, b]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let (nc, ni) = (s.cols / self.degrees, b.cols / self.degrees);
        let mut ds = Matrix::zeros(s.rows, s.cols);
        let mut db = Matrix::zeros(b.rows, b.cols);
        // The gradient with c fast, so that both loops below run over whole vectors.
        let mut turned = vec![0f32; grad.cols];
        vectorized!(for e in 0..s.rows {
            let g = &grad.data[e * grad.cols..][..grad.cols];
            for (c, g) in g.chunks_exact(ni).enumerate() {
                for (i, &g) in g.iter().enumerate() {
                    turned[i * nc + c] = g;
                }
            }
            let (s, b) = (&s.data[e * s.cols..][..s.cols], &b.data[e * b.cols..][..b.cols]);
            let ds = &mut ds.data[e * s.len()..][..s.len()];
            let db = &mut db.data[e * b.len()..][..b.len()];
            for (ds, b) in ds.chunks_exact_mut(nc).zip(b.chunks_exact(ni)) {
                for (turned, &factor) in turned.chunks_exact(nc).zip(b) {
                    add_scaled(ds, turned, factor);
                }
            }
            for (db, s) in db.chunks_exact_mut(ni).zip(s.chunks_exact(nc)) {
                for (g, &factor) in g.chunks_exact(ni).zip(s) {
                    add_scaled(db, g, factor);
                }
            }
        });
        [wanted[0].then_some(ds), wanted[1].then_some(db)]
    }

    #[cfg(feature = "gpu")]
    fn kernels(&self) -> Option<&dyn DeviceOp<2>> {
        Some(self)
    }

    fn compose(&self, [s, b]: [Tensor<2>; 2]) -> Tensor<2> {
        let [edges, sc] = s.dims();
        let [_, bi] = b.dims();
        let (nc, ni) = (sc / self.degrees, bi / self.degrees);
        let s = s.reshape([edges, self.degrees, nc]).swap_dims(1, 2);
        let b = b.reshape([edges, self.degrees, ni]);
        s.matmul(b).reshape([edges, nc * ni])
    }
}
