//! The triplet head of GemsDiff: three scalars per pair of edges, times vector fields, averaged over the crystal.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::dense::{Activation, dense};
use super::gather::{gather, scatter_sum};
use super::host::{HostOp, Mat, Matrix, apply};
use super::kernels::{View, add_assign, product, silu, silu_backward};
use super::matrix;
use super::triplet::triplet_angles;
use crate::graph::{Angles, Multigraph, TripletFields};

/// Inputs of [`lattice_head`] that carry gradients; H is the width of the hidden layers.
pub struct LatticeHeadWeights {
    /// Part of the first layer that depends on the first edge of a pair, per edge: (E, H).
    pub first: Tensor<2>,
    /// Part of the first layer that depends on the second edge, per edge: (E, H).
    pub second: Tensor<2>,
    /// Part of the first layer that acts on the angular functions: (H, degrees).
    pub angular: Tensor<2>,
    /// Second layer: (H, H).
    pub hidden: Tensor<2>,
    /// Last layer: (3, H).
    pub output: Tensor<2>,
}

/// For every ordered pair (p, q) of edges that leave one atom: a three-layer perceptron with SiLU,
/// `s = W₃ silu(W₂ silu(first[p] + second[q] + angular · Y(cos φ_pq)))`, and for every crystal the mean over its pairs
/// of `s₁ G_length(p) + s₂ G_length(q) + s₃ G_angle(p, q)`.
///
/// Returns (crystals, 6): the symmetric matrix as (xx, yy, zz, xy, xz, yz).
pub fn lattice_head(
    weights: LatticeHeadWeights,
    graph: &Arc<Multigraph>,
    angles: &Arc<Angles>,
    fields: &Arc<TripletFields>,
) -> Tensor<2> {
    let op = LatticeHead::new(graph, angles, fields);
    let LatticeHeadWeights { first, second, angular, hidden, output } = weights;
    apply(&op, [first, second, angular, hidden, output])
}

#[derive(Debug, Clone)]
pub(crate) struct LatticeHead {
    graph: Arc<Multigraph>,
    angles: Arc<Angles>,
    fields: Arc<TripletFields>,
    /// 1 / number of pairs, per crystal.
    weight: Arc<[f64]>,
}

/// Edges q handled at a time: enough rows for an efficient matrix product, few enough to stay in the cache.
const CHUNK: usize = 4;

/// Activations of a chunk of pairs.
#[derive(Default)]
struct Chunk {
    z1: Vec<f32>,
    h1: Vec<f32>,
    z2: Vec<f32>,
    h2: Vec<f32>,
    s: Vec<f32>,
}

impl LatticeHead {
    pub fn new(graph: &Arc<Multigraph>, angles: &Arc<Angles>, fields: &Arc<TripletFields>) -> Self {
        let weight = graph.triplets_per_crystal().iter().map(|&n| 1.0 / n.max(1) as f64).collect();
        Self { graph: graph.clone(), angles: angles.clone(), fields: fields.clone(), weight }
    }

    /// Angular functions of the pairs (·, q) of an atom: (K, degrees) as a strided view.
    fn harmonics(&self, atom: usize, q: usize, k: usize) -> View<'_> {
        let block = &self.angles.values[self.angles.ptr[atom]..self.angles.ptr[atom + 1]];
        View { data: &block[q * self.angles.degrees * k..], row_stride: 1, col_stride: k }
    }

    /// Evaluates the perceptron for the pairs (p, q), q in `qs` (indices within the atom), p over all its edges.
    fn evaluate(
        &self,
        [first, second, angular, hidden, output]: [Mat<'_>; 5],
        atom: usize,
        qs: std::ops::Range<usize>,
        chunk: &mut Chunk,
    ) {
        let h = first.cols;
        let edges = self.graph.edges_from(atom);
        let (start, k) = (edges.start, edges.len());
        let rows = qs.len() * k;
        for buffer in [&mut chunk.z1, &mut chunk.h1, &mut chunk.z2, &mut chunk.h2] {
            buffer.resize(rows * h, 0.0);
        }
        chunk.s.resize(rows * 3, 0.0);
        for (z, q) in chunk.z1.chunks_exact_mut(k * h).zip(qs) {
            z.copy_from_slice(&first.data[start * h..(start + k) * h]);
            let second = &second.data[(start + q) * h..][..h];
            for z in z.chunks_exact_mut(h) {
                add_assign(z, second);
            }
            let y = self.harmonics(atom, q, k);
            product(z, [k, h, angular.cols], y, View::transposed(angular.data, angular.cols), true);
        }
        silu(&chunk.z1, 1.0, &mut chunk.h1);
        product(
            &mut chunk.z2,
            [rows, h, h],
            View::rows(&chunk.h1, h),
            View::transposed(hidden.data, h),
            false,
        );
        silu(&chunk.z2, 1.0, &mut chunk.h2);
        product(
            &mut chunk.s,
            [rows, 3, h],
            View::rows(&chunk.h2, h),
            View::transposed(output.data, h),
            false,
        );
    }

    fn chunks(k: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        (0..k).step_by(CHUNK).map(move |q| q..(q + CHUNK).min(k))
    }
}

impl HostOp<5> for LatticeHead {
    fn forward(&self, inputs: [Mat<'_>; 5], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let mut sums = vec![[0f64; 6]; self.graph.num_crystals()];
        let mut chunk = Chunk::default();
        let mut by_first = Vec::new();
        for atom in 0..self.graph.num_atoms {
            let edges = self.graph.edges_from(atom);
            let (start, k) = (edges.start, edges.len());
            let sum = &mut sums[self.graph.crystal_of_atom[atom] as usize];
            let mut add = |factor: f32, field: &[f32; 6]| {
                for (s, &g) in sum.iter_mut().zip(field) {
                    *s += f64::from(factor * g);
                }
            };
            by_first.clear();
            by_first.resize(k, 0f32);
            for qs in Self::chunks(k) {
                self.evaluate(inputs, atom, qs.clone(), &mut chunk);
                for (s, q) in chunk.s.chunks_exact(3 * k).zip(qs) {
                    let mut by_second = 0.0;
                    for (p, s) in s.chunks_exact(3).enumerate().filter(|&(p, _)| p != q) {
                        by_first[p] += s[0];
                        by_second += s[1];
                        add(s[2], &self.fields.angle[self.fields.ptr[atom] + q * k + p]);
                    }
                    add(by_second, &self.fields.length[start + q]);
                }
            }
            for (p, &s) in by_first.iter().enumerate() {
                add(s, &self.fields.length[start + p]);
            }
        }
        let data = sums.iter().zip(&*self.weight).flat_map(|(s, w)| s.map(|s| (s * w) as f32)).collect();
        (Matrix { data, rows: sums.len(), cols: 6 }, Vec::new())
    }

    /// Recomputes the activations chunk by chunk: nothing of the size of the triplets is ever kept.
    fn backward(
        &self,
        inputs: [Mat<'_>; 5],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 5],
    ) -> [Option<Matrix>; 5] {
        let [first, second, angular, hidden, output] = inputs;
        let h = first.cols;
        let degrees = angular.cols;
        let [mut d_first, mut d_second, mut d_angular, mut d_hidden, mut d_output] =
            inputs.map(|m| Matrix::zeros(m.rows, m.cols));
        debug_assert_eq!(second.cols, h);
        let mut chunk = Chunk::default();
        let (mut ds, mut dz1, mut dz2) = (Vec::new(), Vec::new(), Vec::new());
        for atom in 0..self.graph.num_atoms {
            let edges = self.graph.edges_from(atom);
            let (start, k) = (edges.start, edges.len());
            let crystal = self.graph.crystal_of_atom[atom] as usize;
            let weight = self.weight[crystal] as f32;
            let g: [f32; 6] = std::array::from_fn(|i| grad.data[crystal * 6 + i] * weight);
            let along = |field: &[f32; 6]| -> f32 { g.iter().zip(field).map(|(g, f)| g * f).sum() };
            for qs in Self::chunks(k) {
                self.evaluate(inputs, atom, qs.clone(), &mut chunk);
                let rows = qs.len() * k;
                ds.clear();
                for q in qs.clone() {
                    let of_q = along(&self.fields.length[start + q]);
                    for p in 0..k {
                        if p == q {
                            ds.extend([0.0; 3]);
                        } else {
                            let of_p = along(&self.fields.length[start + p]);
                            let of_pair = along(&self.fields.angle[self.fields.ptr[atom] + q * k + p]);
                            ds.extend([of_p, of_q, of_pair]);
                        }
                    }
                }
                let [ds, h1, h2] = [&ds[..rows * 3], &chunk.h1[..rows * h], &chunk.h2[..rows * h]];
                product(&mut d_output.data, [3, h, rows], View::transposed(ds, 3), View::rows(h2, h), true);
                dz2.resize(rows * h, 0.0);
                product(&mut dz2, [rows, h, 3], View::rows(ds, 3), View::rows(output.data, h), false);
                silu_backward(&chunk.z2, 1.0, &mut dz2);
                product(&mut d_hidden.data, [h, h, rows], View::transposed(&dz2, h), View::rows(h1, h), true);
                dz1.resize(rows * h, 0.0);
                product(&mut dz1, [rows, h, h], View::rows(&dz2, h), View::rows(hidden.data, h), false);
                silu_backward(&chunk.z1, 1.0, &mut dz1);
                for (dz, q) in dz1.chunks_exact(k * h).zip(qs) {
                    add_assign(&mut d_first.data[start * h..(start + k) * h], dz);
                    let target = &mut d_second.data[(start + q) * h..][..h];
                    for dz in dz.chunks_exact(h) {
                        add_assign(target, dz);
                    }
                    let y = self.harmonics(atom, q, k);
                    product(&mut d_angular.data, [h, degrees, k], View::transposed(dz, h), y, true);
                }
            }
        }
        [d_first, d_second, d_angular, d_hidden, d_output].map(Some)
    }

    fn compose(&self, [first, second, angular, hidden, output]: [Tensor<2>; 5]) -> Tensor<2> {
        let device = first.device();
        let constant = |data: Vec<f32>, cols: usize| matrix(data, cols, &device);
        let (p, q) = self.graph.triplets();
        let y = constant(triplet_angles(&self.graph, &self.angles), self.angles.degrees);
        let z1 = gather(first, &p.clone().into())
            + gather(second, &q.clone().into())
            + y.matmul(angular.transpose());
        let h1 = Activation::Silu.compose(z1);
        let s = dense(dense(h1, hidden, Activation::Silu), output, Activation::Identity);
        let mut factors = [Vec::new(), Vec::new(), Vec::new()];
        let mut crystal = Vec::new();
        for a in 0..self.graph.num_atoms {
            let edges = self.graph.edges_from(a);
            let (start, k) = (edges.start, edges.len());
            for q in 0..k {
                for p in (0..k).filter(|&p| p != q) {
                    factors[0].extend(self.fields.length[start + p]);
                    factors[1].extend(self.fields.length[start + q]);
                    factors[2].extend(self.fields.angle[self.fields.ptr[a] + q * k + p]);
                    crystal.push(self.graph.crystal_of_atom[a]);
                }
            }
        }
        let pairs = crystal.len();
        let mut sum = Tensor::<2>::zeros([pairs, 6], &device);
        for (i, field) in factors.into_iter().enumerate() {
            sum = sum + s.clone().narrow(1, i, 1) * constant(field, 6);
        }
        let weight = constant(self.weight.iter().map(|&w| w as f32).collect(), 1);
        scatter_sum(sum, &crystal.into(), self.graph.num_crystals()) * weight
    }
}
