//! The triplet head of GemsDiff: three scalars per pair of edges, times vector fields, averaged over the crystal.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;

use crate::arch::vectorized;
use crate::graph::{Angles, Multigraph, TripletFields};
use crate::ops::blocks::for_each;
use crate::ops::dense::{Activation, dense};
#[cfg(feature = "gpu")]
use crate::ops::device_op::DeviceOp;
use crate::ops::gather::{gather, scatter_sum};
use crate::ops::gemnet::triplet_angles;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{
    add_assign, as_uninit, silu_and_backward, silu_backward, silu_in_place, silu_into,
};
use crate::ops::matrix::matrix;
use crate::ops::product::{Panels, Use, View, add_gradient, multiply, multiply_new, product};

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
    pub graph: Arc<Multigraph>,
    pub angles: Arc<Angles>,
    fields: Arc<TripletFields>,
    /// 1 / number of pairs, per crystal.
    weight: Arc<[f64]>,
}

/// Pairs handled at a time, about: their activations stay in the first-level cache.
const PAIRS: usize = 64;

/// Pairs handled at a time in the backward pass: every group adds to all gradients of weights, so it is longer.
const BACKWARD_PAIRS: usize = 128;

/// The pairs (p, q) of one atom with q in a range; indices count within the edges of the atom.
#[derive(Debug, Clone)]
struct Group {
    atom: usize,
    qs: Range<usize>,
}

/// The weights, packed.
struct Layers<'a> {
    first: Mat<'a>,
    second: Mat<'a>,
    angular: Arc<Panels>,
    hidden: Arc<Panels>,
    output: Arc<Panels>,
}

impl<'a> Layers<'a> {
    fn new([first, second, angular, hidden, output]: [Mat<'a>; 5]) -> Self {
        let pack = |w: Mat<'_>| w.weight().packed(Use::Forward);
        // Angles keep all their digits: so few functions cost nothing.
        let angular = angular.weight().packed_exactly(Use::Forward);
        Self { first, second, angular, hidden: pack(hidden), output: pack(output) }
    }
}

impl LatticeHead {
    pub fn new(graph: &Arc<Multigraph>, angles: &Arc<Angles>, fields: &Arc<TripletFields>) -> Self {
        let weight = graph.triplets_per_crystal().iter().map(|&n| 1.0 / n.max(1) as f64).collect();
        Self { graph: graph.clone(), angles: angles.clone(), fields: fields.clone(), weight }
    }

    /// All pairs in groups of about `pairs`, atom by atom.
    fn groups(&self, pairs: usize) -> impl Iterator<Item = Group> {
        (0..self.graph.num_atoms).flat_map(move |atom| {
            let k = self.graph.edges_from(atom).len();
            let step = (pairs / k.max(1)).max(1);
            (0..k).step_by(step).map(move |q| Group { atom, qs: q..(q + step).min(k) })
        })
    }

    /// The edges p other than q, in order: two ranges of indices within the atom.
    fn others(q: usize, k: usize) -> [Range<usize>; 2] {
        [0..q, q + 1..k]
    }

    /// Angular functions of the pairs (p, q) of an atom for p in a range: (p, degrees) as a strided view.
    fn harmonics(&self, atom: usize, q: usize, ps: &Range<usize>) -> View<'_> {
        let block = &self.angles.values[self.angles.ptr[atom]..self.angles.ptr[atom + 1]];
        let k = self.graph.edges_from(atom).len();
        View { data: &block[q * self.angles.degrees * k + ps.start..], row_stride: 1, col_stride: k }
    }

    /// Arguments of the first activation for the pairs of a group: q slow, then p without q.
    fn arguments(&self, layers: &Layers<'_>, group: &Group, z1: &mut Vec<f32>) {
        let h = layers.first.cols;
        let edges = self.graph.edges_from(group.atom);
        let (start, k) = (edges.start, edges.len());
        z1.clear();
        for q in group.qs.clone() {
            let second = &layers.second.data[(start + q) * h..][..h];
            for ps in Self::others(q, k) {
                let begin = z1.len();
                z1.extend_from_slice(&layers.first.data[(start + ps.start) * h..(start + ps.end) * h]);
                let z = &mut z1[begin..];
                vectorized!(for z in z.chunks_exact_mut(h) {
                    add_assign(z, second);
                });
                if !ps.is_empty() {
                    multiply(z, ps.len(), self.harmonics(group.atom, q, &ps), &layers.angular, true);
                }
            }
        }
    }

    /// What the pairs of a group add to the matrix of their crystal.
    fn contribution(&self, layers: &Layers<'_>, group: &Group) -> [f64; 6] {
        let h = layers.first.cols;
        let edges = self.graph.edges_from(group.atom);
        let (start, k) = (edges.start, edges.len());
        let rows = group.qs.len() * (k - 1);
        let mut h1 = Vec::with_capacity(rows * h);
        self.arguments(layers, group, &mut h1);
        silu_in_place(&mut h1, 1.0);
        let mut h2 = Vec::with_capacity(rows * h);
        let h2 =
            multiply_new(&mut h2.spare_capacity_mut()[..rows * h], rows, View::rows(&h1, h), &layers.hidden);
        silu_in_place(h2, 1.0);
        let mut s = vec![0.0; 3 * rows];
        multiply(&mut s, rows, View::rows(h2, h), &layers.output, false);
        let mut sum = [0f64; 6];
        let mut add = |part: [f32; 6]| sum.iter_mut().zip(part).for_each(|(s, x)| *s += f64::from(x));
        let mut by_first = vec![0f32; k];
        let mut rest = s.as_slice();
        for q in group.qs.clone() {
            let mut by_second = 0.0;
            let mut of_angles = [0f32; 6];
            let fields = &self.fields.angle[self.fields.ptr[group.atom] + q * k..][..k];
            for ps in Self::others(q, k) {
                let (s, after) = rest.split_at(3 * ps.len());
                rest = after;
                for ((s, by_first), field) in
                    s.chunks_exact(3).zip(&mut by_first[ps.clone()]).zip(&fields[ps])
                {
                    *by_first += s[0];
                    by_second += s[1];
                    of_angles.iter_mut().zip(field).for_each(|(sum, g)| *sum += s[2] * g);
                }
            }
            add(self.fields.length[start + q].map(|g| by_second * g));
            add(of_angles);
        }
        for (p, &s) in by_first.iter().enumerate() {
            add(self.fields.length[start + p].map(|g| s * g));
        }
        sum
    }

    /// Derivatives of the result's weighted sum with respect to the three scalars of the pairs of a group, given those
    /// with respect to the crystal's matrix.
    fn slopes(&self, group: &Group, g: &[f32; 6], slopes: &mut Vec<f32>) {
        let along = |field: &[f32; 6]| -> f32 { g.iter().zip(field).map(|(g, f)| g * f).sum() };
        let edges = self.graph.edges_from(group.atom);
        let k = edges.len();
        slopes.resize(3 * group.qs.len() * (k - 1), 0.0);
        let mut of_edges = vec![0.0; k];
        vectorized!({
            for (of_edge, field) in of_edges.iter_mut().zip(&self.fields.length[edges]) {
                *of_edge = along(field);
            }
            let mut rest = slopes.chunks_exact_mut(3);
            for q in group.qs.clone() {
                let fields = &self.fields.angle[self.fields.ptr[group.atom] + q * k..][..k];
                for ps in Self::others(q, k) {
                    let of_pairs = of_edges[ps.clone()].iter().zip(&fields[ps]);
                    for ((&of_p, field), slopes) in of_pairs.zip(&mut rest) {
                        slopes.copy_from_slice(&[of_p, of_edges[q], along(field)]);
                    }
                }
            }
        });
    }
}

impl HostOp<5> for LatticeHead {
    fn forward(&self, inputs: [Mat<'_>; 5], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let layers = Layers::new(inputs);
        let groups: Vec<Group> = self.groups(PAIRS).collect();
        let mut parts = vec![[0f64; 6]; groups.len()];
        let [h, degrees] = [inputs[2].rows, inputs[2].cols];
        let pairs: usize = self.graph.triplets_per_crystal().iter().sum();
        let operations = 2 * pairs * h * (h + degrees + 3);
        for_each(operations, groups.iter().zip(&mut parts), |(group, part)| {
            *part = self.contribution(&layers, group)
        });
        let mut sums = vec![[0f64; 6]; self.graph.num_crystals()];
        for (group, part) in groups.iter().zip(parts) {
            let sum = &mut sums[self.graph.crystal_of_atom[group.atom] as usize];
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        let data = sums.iter().zip(&*self.weight).flat_map(|(s, w)| s.map(|s| (s * w) as f32)).collect();
        (Matrix { data, rows: sums.len(), cols: 6 }, Vec::new())
    }

    /// Recomputes the activations group by group: nothing of the size of the triplets is ever kept.
    fn backward(
        &self,
        inputs: [Mat<'_>; 5],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 5],
    ) -> [Option<Matrix>; 5] {
        let layers = Layers::new(inputs);
        let [first, _, angular, hidden, output] = inputs;
        let (h, degrees) = (first.cols, angular.cols);
        let hidden_back = hidden.weight().packed(Use::Backward);
        let output_back = output.weight().packed(Use::Backward);
        let [mut d_first, mut d_second, _, mut d_hidden, mut d_output] =
            inputs.map(|m| Matrix::zeros(m.rows, m.cols));
        // Transposed, so that the columns of its products are whole vectors.
        let mut d_angular = Matrix::zeros(degrees, h);
        let [mut slopes, mut a1, mut a2, mut d1, mut d2] = [const { Vec::new() }; 5];
        for group in self.groups(BACKWARD_PAIRS) {
            let edges = self.graph.edges_from(group.atom);
            let (start, k) = (edges.start, edges.len());
            let rows = group.qs.len() * (k - 1);
            let crystal = self.graph.crystal_of_atom[group.atom] as usize;
            let weight = self.weight[crystal] as f32;
            self.slopes(&group, &std::array::from_fn(|i| grad.data[crystal * 6 + i] * weight), &mut slopes);
            // a1 and a2 hold the arguments of the activations first and their results later.
            self.arguments(&layers, &group, &mut a1);
            d1.resize(rows * h, 0.0);
            silu_into(&a1, 1.0, as_uninit(&mut d1));
            a2.resize(rows * h, 0.0);
            multiply(&mut a2, rows, View::rows(&d1, h), &layers.hidden, false);
            d2.resize(rows * h, 0.0);
            multiply(&mut d2, rows, View::rows(&slopes, 3), &output_back, false);
            silu_and_backward(&mut a2, 1.0, &mut d2);
            let shape = [3, h, rows];
            product(&mut d_output.data, shape, View::transposed(&slopes, 3), View::rows(&a2, h), true);
            let shape = [h, h, rows];
            add_gradient(&mut d_hidden.data, h, shape, &d2, &d1);
            multiply(&mut d1, rows, View::rows(&d2, h), &hidden_back, false);
            silu_backward(&a1, 1.0, &mut d1);
            let mut rest = d1.as_slice();
            for q in group.qs.clone() {
                let of_q = &mut d_second.data[(start + q) * h..][..h];
                for ps in Self::others(q, k) {
                    let (d, after) = rest.split_at(ps.len() * h);
                    rest = after;
                    let of_ps = &mut d_first.data[(start + ps.start) * h..(start + ps.end) * h];
                    vectorized!({
                        add_assign(of_ps, d);
                        for d in d.chunks_exact(h) {
                            add_assign(of_q, d);
                        }
                    });
                    if !ps.is_empty() {
                        let y = self.harmonics(group.atom, q, &ps);
                        let transposed =
                            View { data: y.data, row_stride: y.col_stride, col_stride: y.row_stride };
                        let shape = [degrees, h, ps.len()];
                        product(&mut d_angular.data, shape, transposed, View::rows(d, h), true);
                    }
                }
            }
        }
        let entries = (0..h * degrees).map(|i| d_angular.data[i % degrees * h + i / degrees]);
        let d_angular = Matrix { data: entries.collect(), rows: h, cols: degrees };
        [d_first, d_second, d_angular, d_hidden, d_output].map(Some)
    }

    #[cfg(feature = "gpu")]
    fn kernels(&self) -> Option<&dyn DeviceOp<5>> {
        Some(self)
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
