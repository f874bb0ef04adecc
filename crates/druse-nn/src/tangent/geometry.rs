//! Vectors and lengths of edges of a periodic crystal.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::dual::Dual;
use super::linear::gather;
use crate::graph::{Index, Multigraph};
use crate::ops::{HostOp, Mat, Matrix, apply, matrix};

/// [`crate::ops::edge_vectors`]: `r_e = (f_j - f_i + t_e) M` for an edge e from atom i to the image t of atom j, with tangent
/// `(f'_j - f'_i) M + (f_j - f_i + t_e) M'`. Fractional coordinates f are (N, 3), cells M are (B, 9), the result (E, 3) in the
/// unit of the cells.
pub fn edge_vectors(frac: Dual, cells: Dual, graph: &Arc<Multigraph>) -> Dual {
    let images = graph.image.iter().flatten().map(|&t| t as f32).collect();
    let images = Dual::constant(matrix(images, 3, &device_of(&frac)));
    transformed(differences(frac, graph) + images, cells, graph)
}

/// Vectors of the edges of a crystal whose atoms are moved by u and which is then strained by ε:
/// `r_e = (r⁰_e + u_j - u_i) (1 + ε)` with the vectors r⁰ of the graph, and its tangent. Displacements are (N, 3), strains (B, 9)
/// with rows one after the other, the result (E, 3), all in the unit of the graph.
///
/// For an energy E of these vectors, at u = 0 and ε = 0, `-∂E/∂u` are the forces and `∂E/∂ε / V` is the stress (Knuth et al.,
/// Comput. Phys. Commun. 190, 33 (2015)). Positions and cells are not rounded to 32 bits on the way.
pub fn strained_edge_vectors(displacements: Dual, strains: Dual, graph: &Arc<Multigraph>) -> Dual {
    let device = device_of(&displacements);
    let vectors = graph.vectors.iter().flatten().map(|&x| x as f32).collect();
    let vectors = Dual::constant(matrix(vectors, 3, &device));
    let unit: Vec<f32> = (0..9 * graph.num_crystals()).map(|k| f32::from(k % 9 % 4 == 0)).collect();
    let deformation = strains + Dual::constant(matrix(unit, 9, &device));
    transformed(differences(displacements, graph) + vectors, deformation, graph)
}

/// `|r_e|`, row by row, with tangent `r_e · r'_e / |r_e|`: (E, 3) → (E, 1). No row may be zero.
pub fn lengths(vectors: Dual) -> Dual {
    let tangent = vectors.tangent.map(|t| apply(&LengthTangent, [vectors.value.clone(), t]));
    Dual { value: apply(&Length, [vectors.value]), tangent }
}

/// Where data of a graph go: beside the numbers, not recorded.
fn device_of(x: &Dual) -> burn::tensor::Device {
    x.value.device().inner()
}

/// `x_j - x_i` for every edge from i to j.
fn differences(x: Dual, graph: &Multigraph) -> Dual {
    gather(x.clone(), &graph.destination) - gather(x, &graph.source)
}

/// `x_e A_c` for every edge e of crystal c: x is (E, 3), A (B, 9).
fn transformed(x: Dual, matrices: Dual, graph: &Multigraph) -> Dual {
    let crystals: Index = graph.source.iter().map(|&i| graph.crystal_of_atom[i as usize]).collect();
    let op = Transform { matrix_of_row: crystals };
    Dual::bilinear(x, matrices, |x, a| apply(&op, [x, a]))
}

fn double<const N: usize>(row: &[f32]) -> [f64; N] {
    std::array::from_fn(|i| f64::from(row[i]))
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// `y_e = x_e A_c(e)` with rows x (E, 3) and matrices A (B, 9).
#[derive(Debug, Clone)]
pub(super) struct Transform {
    pub matrix_of_row: Index,
}

impl HostOp<2> for Transform {
    fn forward(&self, [x, a]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let matrices: Vec<[f64; 9]> = a.data.chunks_exact(9).map(double).collect();
        let rows = x.data.chunks_exact(3).map(double::<3>).zip(&*self.matrix_of_row);
        let data = rows.flat_map(|(x, &c)| {
            let a = &matrices[c as usize];
            std::array::from_fn::<_, 3, _>(|j| dot(x, [a[j], a[3 + j], a[6 + j]]) as f32)
        });
        (Matrix { data: data.collect(), rows: x.rows, cols: 3 }, Vec::new())
    }

    fn backward(
        &self,
        [x, a]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let matrices: Vec<[f64; 9]> = a.data.chunks_exact(9).map(double).collect();
        let mut dx = Vec::with_capacity(x.data.len());
        let mut da = vec![[0f64; 9]; a.rows];
        let rows = x.data.chunks_exact(3).zip(grad.data.chunks_exact(3)).zip(&*self.matrix_of_row);
        for ((x, g), &c) in rows {
            let (x, g, a) = (double::<3>(x), double::<3>(g), &matrices[c as usize]);
            dx.extend((0..3).map(|i| dot(g, [a[3 * i], a[3 * i + 1], a[3 * i + 2]]) as f32));
            da[c as usize].iter_mut().enumerate().for_each(|(k, d)| *d += x[k / 3] * g[k % 3]);
        }
        let da = da.iter().flatten().map(|&d| d as f32).collect();
        [Some(Matrix { data: dx, rows: x.rows, cols: 3 }), Some(Matrix { data: da, rows: a.rows, cols: 9 })]
    }

    fn compose(&self, [x, a]: [Tensor<2>; 2]) -> Tensor<2> {
        let [rows, _] = x.dims();
        let a = crate::ops::gather(a, &self.matrix_of_row);
        x.reshape([rows, 1, 3]).matmul(a.reshape([rows, 3, 3])).reshape([rows, 3])
    }
}

/// `d = |r|`, row by row.
#[derive(Debug, Clone)]
pub(super) struct Length;

impl HostOp<1> for Length {
    fn forward(&self, [r]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let data = r.data.chunks_exact(3).map(double).map(|r| dot(r, r).sqrt() as f32);
        (Matrix { data: data.collect(), rows: r.rows, cols: 1 }, Vec::new())
    }

    fn backward(
        &self,
        [r]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let rows = r.data.chunks_exact(3).map(double::<3>).zip(grad.data);
        let data = rows.flat_map(|(r, &g)| {
            let factor = f64::from(g) / dot(r, r).sqrt();
            r.map(|x| (factor * x) as f32)
        });
        [Some(Matrix { data: data.collect(), rows: r.rows, cols: 3 })]
    }

    fn compose(&self, [r]: [Tensor<2>; 1]) -> Tensor<2> {
        (r.clone() * r).sum_dim(1).sqrt()
    }
}

/// `d' = r · t / |r|`, row by row; its gradients are `(t - u (u · t)) g / |r|` and `u g` with `u = r / |r|`.
#[derive(Debug, Clone)]
pub(super) struct LengthTangent;

impl HostOp<2> for LengthTangent {
    fn forward(&self, [r, t]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let rows = r.data.chunks_exact(3).map(double).zip(t.data.chunks_exact(3).map(double));
        let data = rows.map(|(r, t)| (dot(r, t) / dot(r, r).sqrt()) as f32);
        (Matrix { data: data.collect(), rows: r.rows, cols: 1 }, Vec::new())
    }

    fn backward(
        &self,
        [r, t]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let (mut by_r, mut by_t) = (Vec::with_capacity(r.data.len()), Vec::with_capacity(r.data.len()));
        let rows = r.data.chunks_exact(3).zip(t.data.chunks_exact(3)).zip(grad.data);
        for ((r, t), &g) in rows {
            let (r, t, g) = (double::<3>(r), double::<3>(t), f64::from(g));
            let length = dot(r, r).sqrt();
            let along = dot(r, t) / (length * length);
            by_r.extend((0..3).map(|a| (g * (t[a] - along * r[a]) / length) as f32));
            by_t.extend(r.map(|x| (g * x / length) as f32));
        }
        let matrix = |data| Some(Matrix { data, rows: r.rows, cols: 3 });
        [matrix(by_r), matrix(by_t)]
    }

    fn compose(&self, [r, t]: [Tensor<2>; 2]) -> Tensor<2> {
        (r.clone() * t).sum_dim(1) / (r.clone() * r).sum_dim(1).sqrt()
    }
}
