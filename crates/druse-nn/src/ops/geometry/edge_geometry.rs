//! What networks read of edge vectors, differentiable with respect to the vectors: directions, radial functions, angular
//! functions of pairs. For geometry that a network predicts; where it is given, tables made once serve.

use std::f64::consts::PI;
use std::sync::Arc;

use burn::tensor::Tensor;

use crate::basis::{
    GaussianBasis, envelope_gemnet, envelope_gemnet_slope, zonal_harmonics, zonal_harmonics_slopes,
};
use crate::graph::{Index, Multigraph};
use crate::ops::gather::{gather, scatter_sum};
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::matrix::matrix;
use crate::ops::product::{View, product};

/// `v / |v|`, row by row: (E, 3) → (E, 3).
pub fn directions(v: Tensor<2>) -> Tensor<2> {
    apply(&Directions, [v])
}

/// [`GaussianBasis`] of the lengths of vectors: (E, 3) → (E, count).
pub fn gaussians(v: Tensor<2>, basis: GaussianBasis) -> Tensor<2> {
    apply(&Gaussians { basis }, [v])
}

/// `Y_l^0(cos φ_pq)` for l < `degrees` and all pairs of edges that leave one atom, from the directions of the edges (E, 3).
/// The result is one column in the order of [`crate::graph::AngleTable`].
pub fn pair_harmonics(directions: Tensor<2>, graph: &Arc<Multigraph>, degrees: usize) -> Tensor<2> {
    apply(&PairHarmonics { graph: graph.clone(), degrees }, [directions])
}

/// [`crate::ops::angular_sum`] with angular functions from [`pair_harmonics`].
pub fn angular_sum_with(
    x: Tensor<2>,
    harmonics: Tensor<2>,
    graph: &Arc<Multigraph>,
    degrees: usize,
) -> Tensor<2> {
    apply(&AngularSumWith { graph: graph.clone(), degrees }, [x, harmonics])
}

fn double(row: &[f32]) -> [f64; 3] {
    std::array::from_fn(|a| f64::from(row[a]))
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Lengths of rows as tensor operations, (E, 1).
fn lengths(v: &Tensor<2>) -> Tensor<2> {
    (v.clone() * v.clone()).sum_dim(1).sqrt()
}

#[derive(Debug, Clone)]
pub(crate) struct Directions;

impl HostOp<1> for Directions {
    fn forward(&self, [v]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let rows = v.data.chunks_exact(3).map(double);
        let data = rows.flat_map(|v| {
            let d = dot(v, v).sqrt();
            v.map(|x| (x / d) as f32)
        });
        (Matrix { data: data.collect(), rows: v.rows, cols: 3 }, Vec::new())
    }

    fn backward(
        &self,
        [v]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let rows = v.data.chunks_exact(3).map(double).zip(grad.data.chunks_exact(3).map(double));
        let data = rows.flat_map(|(v, g)| {
            let d = dot(v, v).sqrt();
            let along = dot(v, g) / (d * d);
            std::array::from_fn::<f32, 3, _>(|a| ((g[a] - along * v[a]) / d) as f32)
        });
        [Some(Matrix { data: data.collect(), rows: v.rows, cols: 3 })]
    }

    fn compose(&self, [v]: [Tensor<2>; 1]) -> Tensor<2> {
        let d = lengths(&v);
        v / d
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Gaussians {
    pub basis: GaussianBasis,
}

impl HostOp<1> for Gaussians {
    fn forward(&self, [v]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let lengths: Vec<f64> = v.data.chunks_exact(3).map(double).map(|v| dot(v, v).sqrt()).collect();
        let data = self.basis.evaluate(&lengths);
        (Matrix { data, rows: v.rows, cols: self.basis.count }, Vec::new())
    }

    fn backward(
        &self,
        [v]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        const REACH: usize = GaussianBasis::REACH;
        let GaussianBasis { count, cutoff } = self.basis;
        let last = (count - 1) as f64;
        let rows = v.data.chunks_exact(3).map(double).zip(grad.data.chunks_exact(count));
        let data = rows.flat_map(|(v, g)| {
            let d = dot(v, v).sqrt();
            let u = d / cutoff;
            let x = u * last;
            let nearest = (x.round() as usize).min(count - 1);
            let (envelope, slope) = (envelope_gemnet(u), envelope_gemnet_slope(u));
            let near = nearest.saturating_sub(REACH)..(nearest + REACH + 1).min(count);
            let by_u: f64 = near
                .map(|k| {
                    let rest = x - k as f64;
                    f64::from(g[k]) * (-0.5 * rest * rest).exp() * (slope - envelope * rest * last)
                })
                .sum();
            v.map(|x| (by_u / cutoff * x / d) as f32)
        });
        [Some(Matrix { data: data.collect(), rows: v.rows, cols: 3 })]
    }

    fn compose(&self, [v]: [Tensor<2>; 1]) -> Tensor<2> {
        let GaussianBasis { count, cutoff } = self.basis;
        let u = lengths(&v).div_scalar(cutoff);
        let centers = matrix((0..count).map(|k| k as f32).collect(), count, &v.device());
        let rest = u.clone().mul_scalar((count - 1) as f64) - centers;
        let gaussians = (rest.clone() * rest).mul_scalar(-0.5).exp();
        // Zero from u = 1 on, with slope zero on either side.
        let u = u.clamp_max(1.0);
        let square = u.clone() * u.clone();
        let fifth = square.clone() * square * u.clone();
        let polynomial = u.clone() * u.clone().mul_scalar(-15.0).add_scalar(35.0) - 21.0;
        let envelope = fifth * polynomial;
        gaussians * envelope.add_scalar(1.0)
    }
}

/// Start of the block of every atom in a table of `degrees` numbers for each pair (q, p) of its edges, and the end.
fn starts(graph: &Multigraph, degrees: usize) -> Vec<usize> {
    let mut ptr = vec![0];
    for a in 0..graph.num_atoms {
        let k = graph.edges_from(a).len();
        ptr.push(ptr[a] + k * k * degrees);
    }
    ptr
}

#[derive(Debug, Clone)]
pub(crate) struct PairHarmonics {
    pub graph: Arc<Multigraph>,
    pub degrees: usize,
}

impl PairHarmonics {
    /// Visits all unordered pairs p < q of edges of one atom: the edges, and where their functions of degree 0 are in the
    /// block of (q, p) and of (p, q), with the distance to those of the next degree.
    fn pairs(&self, mut visit: impl FnMut([usize; 2], [usize; 2], usize)) {
        let starts = starts(&self.graph, self.degrees);
        for (a, start) in (0..self.graph.num_atoms).zip(starts) {
            let edges = self.graph.edges_from(a);
            let k = edges.len();
            for q in 0..k {
                for p in 0..q {
                    let at = |q: usize, p: usize| start + q * self.degrees * k + p;
                    visit([edges.start + p, edges.start + q], [at(q, p), at(p, q)], k);
                }
            }
        }
    }
}

impl HostOp<1> for PairHarmonics {
    fn forward(&self, [u]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let rows = starts(&self.graph, self.degrees)[self.graph.num_atoms];
        let mut out = Matrix::zeros(rows, 1);
        let mut y = vec![0.0; self.degrees];
        let direction = |e: usize| double(&u.data[3 * e..][..3]);
        self.pairs(|[p, q], places, stride| {
            zonal_harmonics(dot(direction(p), direction(q)).clamp(-1.0, 1.0), &mut y);
            for (l, &y) in y.iter().enumerate() {
                places.into_iter().for_each(|at| out.data[at + l * stride] = y as f32);
            }
        });
        (out, Vec::new())
    }

    fn backward(
        &self,
        [u]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let mut du = vec![[0f64; 3]; u.rows];
        let mut slopes = vec![0.0; self.degrees];
        let direction = |e: usize| double(&u.data[3 * e..][..3]);
        self.pairs(|[p, q], [one, other], stride| {
            let (up, uq) = (direction(p), direction(q));
            let cosine = dot(up, uq);
            if cosine.abs() > 1.0 {
                return;
            }
            zonal_harmonics_slopes(cosine, &mut slopes);
            let by_cosine: f64 = slopes
                .iter()
                .enumerate()
                .map(|(l, s)| s * f64::from(grad.data[one + l * stride] + grad.data[other + l * stride]))
                .sum();
            for a in 0..3 {
                du[p][a] += by_cosine * uq[a];
                du[q][a] += by_cosine * up[a];
            }
        });
        let data = du.iter().flatten().map(|&d| d as f32).collect();
        [Some(Matrix { data, rows: u.rows, cols: 3 })]
    }

    fn compose(&self, [u]: [Tensor<2>; 1]) -> Tensor<2> {
        let device = u.device();
        let rows = starts(&self.graph, self.degrees)[self.graph.num_atoms];
        let (mut ps, mut qs) = (Vec::new(), Vec::new());
        let mut places = vec![Vec::new(); self.degrees];
        self.pairs(|[p, q], all, stride| {
            for at in all {
                ps.push(p as u32);
                qs.push(q as u32);
                places.iter_mut().enumerate().for_each(|(l, places)| places.push((at + l * stride) as u32));
            }
        });
        let count = ps.len();
        let cosine = (gather(u.clone(), &ps.into()) * gather(u, &qs.into())).sum_dim(1).clamp(-1.0, 1.0);
        let (mut previous, mut current) = (cosine.zeros_like(), cosine.ones_like());
        let mut functions = Vec::new();
        for l in 0..self.degrees {
            let degree = l as f64;
            functions.push(current.clone().mul_scalar(((2.0 * degree + 1.0) / (4.0 * PI)).sqrt()));
            let next = (cosine.clone() * current.clone()).mul_scalar((2.0 * degree + 1.0) / (degree + 1.0))
                - previous.mul_scalar(degree / (degree + 1.0));
            (previous, current) = (current, next);
        }
        if count == 0 {
            return Tensor::zeros([rows, 1], &device);
        }
        let index: Index = places.concat().into();
        scatter_sum(Tensor::cat(functions, 0), &index, rows)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct AngularSumWith {
    pub graph: Arc<Multigraph>,
    pub degrees: usize,
}

impl AngularSumWith {
    /// Visits the edges of every atom and the place of its block of angular functions.
    fn for_each_atom(&self, mut f: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>)) {
        let starts = starts(&self.graph, self.degrees);
        for (a, block) in (0..self.graph.num_atoms).zip(starts.windows(2)) {
            f(self.graph.edges_from(a), block[0]..block[1]);
        }
    }
}

impl HostOp<2> for AngularSumWith {
    fn forward(&self, [x, y]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let (c, degrees) = (x.cols, self.degrees);
        let mut out = Matrix::zeros(x.rows, degrees * c);
        self.for_each_atom(|edges, block| {
            let k = edges.len();
            let rows = &x.data[edges.start * c..edges.end * c];
            let dst = &mut out.data[edges.start * degrees * c..edges.end * degrees * c];
            product(dst, [k * degrees, c, k], View::rows(&y.data[block], k), View::rows(rows, c), false);
        });
        (out, Vec::new())
    }

    fn backward(
        &self,
        [x, y]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let (c, degrees) = (x.cols, self.degrees);
        let mut dx = Matrix::zeros(x.rows, c);
        let mut dy = Matrix::zeros(y.rows, 1);
        self.for_each_atom(|edges, block| {
            let k = edges.len();
            let g = &grad.data[edges.start * degrees * c..edges.end * degrees * c];
            let rows = edges.start * c..edges.end * c;
            let functions = View::transposed(&y.data[block.clone()], k);
            product(&mut dx.data[rows.clone()], [k, c, k * degrees], functions, View::rows(g, c), false);
            if wanted[1] {
                let others = View::transposed(&x.data[rows], c);
                product(&mut dy.data[block], [k * degrees, k, c], View::rows(g, c), others, false);
            }
        });
        [Some(dx), wanted[1].then_some(dy)]
    }

    fn compose(&self, [x, y]: [Tensor<2>; 2]) -> Tensor<2> {
        let ([edges, c], degrees) = (x.dims(), self.degrees);
        let (mut ps, mut qs, mut places) = (Vec::new(), Vec::new(), Vec::new());
        self.for_each_atom(|range, block| {
            let k = range.len();
            for q in 0..k {
                for p in 0..k {
                    ps.push((range.start + p) as u32);
                    qs.push((range.start + q) as u32);
                    places.extend((0..degrees).map(|l| (block.start + (q * degrees + l) * k + p) as u32));
                }
            }
        });
        let count = ps.len();
        let functions = gather(y, &places.into()).reshape([count, degrees, 1]);
        let others = gather(x, &ps.into()).reshape([count, 1, c]);
        scatter_sum((functions * others).reshape([count, degrees * c]), &qs.into(), edges)
    }
}
