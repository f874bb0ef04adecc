//! Cells from their parameters, and positions and edges in cells: all differentiable, for cells that a network predicts.
//!
//! A cell is a row of nine numbers, the lattice vectors one after the other; positions are rows, so that
//! `cartesian = fractional · cell`.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::graph::{Index, Multigraph};
use crate::ops::gather::gather;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::matrix::matrix;

/// Cells with c along z and a in the xz plane, the orientation in which CDVAE (T. Xie et al., ICLR 2022) builds the
/// lattices that its decoder predicts, from `[a, b, c, alpha, beta, gamma]` in Å and degrees: (B, 6) → (B, 9). Angles that enclose no cell give one without volume.
pub fn cells(parameters: Tensor<2>) -> Tensor<2> {
    apply(&Cells, [parameters])
}

/// Fractional coordinates (not wrapped) of Cartesian positions: x is (N, 3), the cells (B, 9), `cell_of_row` names the cell
/// of every row; the result is (N, 3). Without volume there are no such coordinates: they are not finite.
pub fn to_fractional(x: Tensor<2>, cells: Tensor<2>, cell_of_row: &Index) -> Tensor<2> {
    apply(&ToFractional { cell_of_row: cell_of_row.clone() }, [x, cells])
}

/// Cartesian vector of every edge from its source to the image of its destination: fractional coordinates (N, 3) and cells
/// (B, 9) of the crystals of a graph, the result is (E, 3).
pub fn edge_vectors(frac: Tensor<2>, cells: Tensor<2>, graph: &Arc<Multigraph>) -> Tensor<2> {
    apply(&EdgeVectors { graph: graph.clone() }, [frac, cells])
}

/// A cell or position in double precision.
fn double<const N: usize>(row: &[f32]) -> [f64; N] {
    std::array::from_fn(|i| f64::from(row[i]))
}

/// `v · m` for a matrix stored row by row.
fn times(v: [f64; 3], m: &[f64; 9]) -> [f64; 3] {
    std::array::from_fn(|j| v[0] * m[j] + v[1] * m[3 + j] + v[2] * m[6 + j])
}

/// `v · mᵀ`.
fn times_transposed(v: [f64; 3], m: &[f64; 9]) -> [f64; 3] {
    std::array::from_fn(|i| v[0] * m[3 * i] + v[1] * m[3 * i + 1] + v[2] * m[3 * i + 2])
}

fn inverse(m: &[f64; 9]) -> [f64; 9] {
    let minor = |i: usize, j: usize| {
        let at = |r: usize, c: usize| m[(i + r) % 3 * 3 + (j + c) % 3];
        at(1, 1) * at(2, 2) - at(1, 2) * at(2, 1)
    };
    let determinant = (0..3).map(|j| m[j] * minor(0, j)).sum::<f64>();
    std::array::from_fn(|k| minor(k % 3, k / 3) / determinant)
}

#[derive(Debug, Clone)]
pub(crate) struct Cells;

/// What a cell is made of: sines and cosines of alpha and beta, the cosine v of the angle between the reciprocal a and b,
/// and its sine, kept away from zero where it has no derivative.
struct Angles {
    sin: [f64; 2],
    cos: [f64; 2],
    v: f64,
    w: f64,
    /// Whether v was cut off.
    cut: bool,
}

/// Square of the smallest sine.
const LEAST: f64 = 1e-12;

impl Angles {
    fn new(p: &[f64; 6]) -> Self {
        let [(sa, ca), (sb, cb), (_, cg)] = [p[3], p[4], p[5]].map(|d| d.to_radians().sin_cos());
        let v = (ca * cb - cg) / (sa * sb);
        let cut = v.abs() >= 1.0;
        let v = v.clamp(-1.0, 1.0);
        Self { sin: [sa, sb], cos: [ca, cb], v, w: (1.0 - v * v).max(LEAST).sqrt(), cut }
    }
}

impl HostOp<1> for Cells {
    fn forward(&self, [parameters]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let data = parameters.data.chunks_exact(6).flat_map(|p| {
            let p = double::<6>(p);
            let [a, b, c, ..] = p;
            let Angles { sin: [sa, sb], cos: [ca, cb], v, w, .. } = Angles::new(&p);
            [a * sb, 0.0, a * cb, -b * sa * v, b * sa * w, b * ca, 0.0, 0.0, c].map(|x| x as f32)
        });
        (Matrix { data: data.collect(), rows: parameters.rows, cols: 9 }, Vec::new())
    }

    fn backward(
        &self,
        [parameters]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let rows = parameters.data.chunks_exact(6).zip(grad.data.chunks_exact(9));
        let data = rows.flat_map(|(p, g)| {
            let (p, g) = (double::<6>(p), double::<9>(g));
            let [a, b, ..] = p;
            let Angles { sin: [sa, sb], cos: [ca, cb], v, w, cut } = Angles::new(&p);
            let sin_gamma = p[5].to_radians().sin();
            let by_v = if cut { 0.0 } else { -b * sa * g[3] - b * sa * v / w * g[4] };
            // v = (cos α cos β - cos γ) / (sin α sin β)
            let (v_alpha, v_beta) = (-cb / sb - v * ca / sa, -ca / sa - v * cb / sb);
            let by_alpha = b * (-ca * v * g[3] + ca * w * g[4] - sa * g[5]) + by_v * v_alpha;
            let by_beta = a * (cb * g[0] - sb * g[2]) + by_v * v_beta;
            let by_gamma = by_v * sin_gamma / (sa * sb);
            let [alpha, beta, gamma] = [by_alpha, by_beta, by_gamma].map(f64::to_radians);
            let by_a = sb * g[0] + cb * g[2];
            let by_b = -sa * v * g[3] + sa * w * g[4] + ca * g[5];
            [by_a, by_b, g[8], alpha, beta, gamma].map(|x| x as f32)
        });
        [Some(Matrix { data: data.collect(), rows: parameters.rows, cols: 6 })]
    }

    fn compose(&self, [parameters]: [Tensor<2>; 1]) -> Tensor<2> {
        let column = |i: usize| parameters.clone().narrow(1, i, 1);
        let radians = |i: usize| column(i).mul_scalar(std::f64::consts::PI / 180.0);
        let [a, b, c] = [0, 1, 2].map(column);
        let [sa, sb] = [3, 4].map(|i| radians(i).sin());
        let [ca, cb, cg] = [3, 4, 5].map(|i| radians(i).cos());
        let v = ((ca.clone() * cb.clone() - cg) / (sa.clone() * sb.clone())).clamp(-1.0, 1.0);
        let w = (v.clone() * v.clone()).neg().add_scalar(1.0).clamp_min(LEAST).sqrt();
        let zero = c.zeros_like();
        let b_sine = b.clone() * sa;
        let columns = vec![
            a.clone() * sb,
            zero.clone(),
            a * cb,
            b_sine.clone().neg() * v,
            b_sine * w,
            b * ca,
            zero.clone(),
            zero,
            c,
        ];
        Tensor::cat(columns, 1)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ToFractional {
    pub cell_of_row: Index,
}

impl ToFractional {
    fn inverses(cells: Mat<'_>) -> Vec<[f64; 9]> {
        cells.data.chunks_exact(9).map(|m| inverse(&double(m))).collect()
    }
}

impl HostOp<2> for ToFractional {
    fn forward(&self, [x, cells]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let inverses = Self::inverses(cells);
        let rows = x.data.chunks_exact(3).zip(&*self.cell_of_row);
        let data = rows.flat_map(|(x, &c)| times(double(x), &inverses[c as usize]).map(|y| y as f32));
        (Matrix { data: data.collect(), rows: x.rows, cols: 3 }, Vec::new())
    }

    fn backward(
        &self,
        [x, cells]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let inverses = Self::inverses(cells);
        let mut dx = Matrix::zeros(x.rows, 3);
        let mut d_cells = vec![[0f64; 9]; cells.rows];
        let rows = x.data.chunks_exact(3).zip(grad.data.chunks_exact(3)).zip(&*self.cell_of_row);
        for (((x, g), &c), dx) in rows.zip(dx.data.chunks_exact_mut(3)) {
            // For y = x M⁻¹: dx = g M⁻ᵀ and dM = -yᵀ dx.
            let inverse = &inverses[c as usize];
            let (y, by_x) = (times(double(x), inverse), times_transposed(double(g), inverse));
            dx.iter_mut().zip(by_x).for_each(|(dx, d)| *dx = d as f32);
            let d = &mut d_cells[c as usize];
            d.iter_mut().enumerate().for_each(|(k, d)| *d -= y[k / 3] * by_x[k % 3]);
        }
        let data = d_cells.iter().flatten().map(|&d| d as f32).collect();
        [Some(dx), Some(Matrix { data, rows: cells.rows, cols: 9 })]
    }

    fn compose(&self, [x, cells]: [Tensor<2>; 2]) -> Tensor<2> {
        let entry = |i: usize, j: usize| cells.clone().narrow(1, i % 3 * 3 + j % 3, 1);
        let minor = |i: usize, j: usize| {
            entry(i + 1, j + 1) * entry(i + 2, j + 2) - entry(i + 1, j + 2) * entry(i + 2, j + 1)
        };
        let determinant = entry(0, 0) * minor(0, 0) + entry(0, 1) * minor(0, 1) + entry(0, 2) * minor(0, 2);
        let inverse = Tensor::cat((0..9).map(|k| minor(k % 3, k / 3)).collect(), 1) / determinant;
        rows_times_cells(x, gather(inverse, &self.cell_of_row))
    }
}

/// Row by row `x · m` with x (N, 3) and m (N, 9).
fn rows_times_cells(x: Tensor<2>, m: Tensor<2>) -> Tensor<2> {
    let [rows, _] = x.dims();
    x.reshape([rows, 1, 3]).matmul(m.reshape([rows, 3, 3])).reshape([rows, 3])
}

#[derive(Debug, Clone)]
pub(crate) struct EdgeVectors {
    pub graph: Arc<Multigraph>,
}

impl EdgeVectors {
    /// Fractional vector and crystal of every edge.
    fn edges<'a>(&'a self, frac: Mat<'a>) -> impl Iterator<Item = ([f64; 3], usize)> + 'a {
        let at = |atom: u32| double::<3>(&frac.data[3 * atom as usize..][..3]);
        let ends = self.graph.source.iter().zip(&*self.graph.destination).zip(&self.graph.image);
        ends.map(move |((&i, &j), t)| {
            let (from, to) = (at(i), at(j));
            let e = std::array::from_fn(|a| to[a] - from[a] + f64::from(t[a]));
            (e, self.graph.crystal_of_atom[i as usize] as usize)
        })
    }
}

impl HostOp<2> for EdgeVectors {
    fn forward(&self, [frac, cells]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let matrices: Vec<[f64; 9]> = cells.data.chunks_exact(9).map(double).collect();
        let data = self.edges(frac).flat_map(|(e, c)| times(e, &matrices[c]).map(|x| x as f32));
        (Matrix { data: data.collect(), rows: self.graph.num_edges(), cols: 3 }, Vec::new())
    }

    fn backward(
        &self,
        [frac, cells]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let matrices: Vec<[f64; 9]> = cells.data.chunks_exact(9).map(double).collect();
        let mut d_frac = vec![[0f64; 3]; frac.rows];
        let mut d_cells = vec![[0f64; 9]; cells.rows];
        let ends = self.graph.source.iter().zip(&*self.graph.destination);
        for (((e, c), (&i, &j)), g) in self.edges(frac).zip(ends).zip(grad.data.chunks_exact(3)) {
            let g = double::<3>(g);
            let by_e = times_transposed(g, &matrices[c]);
            for a in 0..3 {
                d_frac[i as usize][a] -= by_e[a];
                d_frac[j as usize][a] += by_e[a];
            }
            d_cells[c].iter_mut().enumerate().for_each(|(k, d)| *d += e[k / 3] * g[k % 3]);
        }
        let data = d_frac.iter().flatten().map(|&d| d as f32).collect();
        let d_frac = Matrix { data, rows: frac.rows, cols: 3 };
        let data = d_cells.iter().flatten().map(|&d| d as f32).collect();
        [Some(d_frac), Some(Matrix { data, rows: cells.rows, cols: 9 })]
    }

    fn compose(&self, [frac, cells]: [Tensor<2>; 2]) -> Tensor<2> {
        let graph = &self.graph;
        let images = graph.image.iter().flatten().map(|&t| t as f32).collect();
        let e = gather(frac.clone(), &graph.destination) - gather(frac, &graph.source);
        let e = e.clone() + matrix(images, 3, &e.device());
        let crystals = graph.source.iter().map(|&i| graph.crystal_of_atom[i as usize]).collect();
        rows_times_cells(e, gather(cells, &crystals))
    }
}
