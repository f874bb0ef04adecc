//! Every hand-written operation against its composition of tensor operations, in value and in gradient, and its
//! gradient against finite differences.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use druse_crystal::{Lattice, SpaceGroup};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::attention::{PairAttention, TokenSets};
use super::blocks::with_idle_threads;
use super::dense::Affine;
use super::dense::{Activation, Dense, LayerNorm, MergeEdges};
use super::dense::{PairDense, SplitDense};
use super::dimenet::EnvelopedSines;
use super::dimenet::MessageSum;
use super::dimenet::ZonalSum;
use super::dimenet::{Filter, FilteredOutput, FilteredSum};
use super::dimenet::{MessageDown, MessageUpdate};
use super::gather::{Gather, ScatterSum, WeightedSum};
use super::gemnet::Bilinear;
use super::gemnet::Perceptron;
use super::gemnet::{AngularSum, ContractDegrees};
use super::gemnet::{ResidualPair, ResidualSum};
use super::gemsdiff::LatticeHead;
use super::geometry::LatticeParameters;
use super::geometry::{AngularSumWith, Directions, Gaussians, PairHarmonics};
use super::geometry::{Cells, EdgeVectors, ToFractional};
use super::host::{HostOp, Mat, apply};
use super::spherenet::{IncomingSum, TorsionSum};
use crate::arch::testing::on_every_arch;
use crate::basis::GaussianBasis;
use crate::basis::SphericalBesselBasis;
use crate::device::cpu;
use crate::graph::{AngleRule, CopyRule, GroupOperations, PairedHarmonics, SymmetricEdges, SymmetricGraph};
use crate::graph::{Angles, Index, MessageAngles, MessagePairs, Multigraph, TripletFields};
use crate::graph::{CutoffRule, CutoffSearch, DirectedGraph, MessageHarmonics, Symmetrization, TorsionRule};

/// Random inputs of the given shapes, entries in ±scale.
pub(super) fn random<const N: usize>(shapes: [[usize; 2]; N], scale: f32) -> [Vec<f32>; N] {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    shapes.map(|[r, c]| (0..r * c).map(|_| rng.random_range(-scale..scale)).collect())
}

pub(super) fn tensors<const N: usize>(
    device: &Device,
    data: &[Vec<f32>; N],
    shapes: [[usize; 2]; N],
) -> [Tensor<2>; N] {
    let device = device.clone().autodiff();
    std::array::from_fn(|i| {
        Tensor::<2>::from_data(TensorData::new(data[i].clone(), shapes[i]), &device).require_grad()
    })
}

pub(super) fn host(t: &Tensor<2>) -> Vec<f32> {
    t.to_data().try_into_vec().unwrap()
}

fn weights(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 % 17) as f32 - 8.0) / 8.0).collect()
}

/// Value and gradients of `Σ w · f(inputs)`.
pub(super) fn differentiate<const N: usize>(
    device: &Device,
    data: &[Vec<f32>; N],
    shapes: [[usize; 2]; N],
    f: impl Fn([Tensor<2>; N]) -> Tensor<2>,
) -> (Vec<f32>, [Vec<f32>; N]) {
    let inputs = tensors(device, data, shapes);
    let out = f(inputs.clone());
    let [r, c] = out.dims();
    let w = Tensor::<2>::from_data(TensorData::new(weights(r * c), [r, c]), &out.device());
    let mut grads = (out.clone() * w).sum().backward();
    (host(&out), inputs.map(|t| host(&t.grad_remove(&mut grads).expect("every input has a gradient"))))
}

pub(super) fn assert_close(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        assert!((x - y).abs() <= tolerance * scale, "{what}[{i}]: {x} against {y} (scale {scale})");
    }
}

/// Checks one operation; `slope` is the tolerance of the finite differences relative to the largest gradient.
pub(super) fn check<O: HostOp<N>, const N: usize>(
    op: &O,
    shapes: [[usize; 2]; N],
    data: &[Vec<f32>; N],
    slope: f32,
) {
    let (value, grads) = differentiate(&cpu(), data, shapes, |x| apply(op, x));
    let (oracle, oracle_grads) = differentiate(&cpu(), data, shapes, |x| op.compose(x));
    assert_close(&value, &oracle, 2e-6, "value");
    for i in 0..N {
        assert_close(&grads[i], &oracle_grads[i], 1e-5, &format!("gradient {i} against the composition"));
    }
    #[cfg(feature = "gpu")]
    super::cube::tests::compare(op, shapes, data);
    // Central differences of the weighted sum, accumulated in double precision.
    let objective = |data: &[Vec<f32>; N]| -> f64 {
        let mats: [Mat<'_>; N] = std::array::from_fn(|i| Mat {
            data: &data[i],
            rows: shapes[i][0],
            cols: shapes[i][1],
            owner: None,
        });
        let (out, kept) = op.forward(mats, false);
        assert!(kept.is_empty(), "nothing is kept for a forward pass alone");
        out.data.iter().zip(weights(out.data.len())).map(|(&y, w)| f64::from(y) * f64::from(w)).sum()
    };
    for i in 0..N {
        let scale = grads[i].iter().fold(1e-2f32, |m, x| m.max(x.abs()));
        for k in (0..data[i].len()).step_by(data[i].len().div_ceil(12).max(1)) {
            let at = |h: f32| {
                let mut moved = data.clone();
                moved[i][k] += h;
                objective(&moved)
            };
            let h = 5e-3;
            let estimate = ((at(h) - at(-h)) / f64::from(2.0 * h)) as f32;
            let found = grads[i][k];
            assert!(
                (estimate - found).abs() < slope * scale,
                "input {i}, entry {k}: {found} against {estimate}"
            );
        }
    }
}

pub(super) fn example_graph() -> Arc<Multigraph> {
    let skewed = Lattice::from_rows([[1.1, 0.1, 0.0], [0.3, 0.9, 0.1], [-0.2, 0.1, 1.2]]).unwrap();
    let cube = Lattice::cubic(1.0).unwrap();
    let a = [[0.11, 0.23, 0.31], [0.62, 0.57, 0.81], [0.05, 0.71, 0.44]];
    let b = [[0.4, 0.3, 0.9], [0.87, 0.66, 0.15]];
    Arc::new(Multigraph::nearest(&[(skewed, &a), (cube, &b)], 7).unwrap())
}

#[test]
fn dense_layers() {
    for act in [Activation::Identity, Activation::Silu, Activation::ScaledSilu] {
        for [rows, output, input] in [[5, 3, 7], [1, 20, 1], [129, 1, 7], [49, 65, 17], [0, 4, 3]] {
            let shapes = [[rows, input], [output, input]];
            on_every_arch(|| check(&Dense { act }, shapes, &random(shapes, 1.5), 3e-3));
        }
    }
}

#[test]
fn layers_with_bias() {
    for act in [Activation::Identity, Activation::Silu] {
        for [rows, output, input] in [[5, 3, 7], [1, 20, 1], [129, 1, 7], [49, 65, 17], [0, 4, 3]] {
            let shapes = [[rows, input], [output, input], [1, output]];
            on_every_arch(|| check(&Affine { act }, shapes, &random(shapes, 1.5), 3e-3));
        }
    }
}

#[test]
fn sines_under_an_envelope() {
    let places = [[0.2, 3.0], [0.7, -0.4], [1.3, 0.9]].into();
    check(&EnvelopedSines { places }, [[1, 4]], &random([[1, 4]], 9.0), 3e-3);
}

#[test]
fn residual_pairs() {
    for [rows, width] in [[5, 6], [1, 7], [129, 7], [97, 20], [0, 3]] {
        let shapes = [[rows, width], [width, width], [width, width]];
        on_every_arch(|| check(&ResidualPair, shapes, &random(shapes, 1.0), 3e-3));
    }
}

#[test]
fn residual_sums() {
    for rows in [5, 1, 0] {
        let shapes = [[rows, 7], [rows, 7]];
        check(&ResidualSum { index: None }, shapes, &random(shapes, 1.0), 2e-3);
    }
    let index: Index = [2, 0, 2, 1].into();
    let shapes = [[4, 3], [3, 3]];
    check(&ResidualSum { index: Some(index) }, shapes, &random(shapes, 1.0), 2e-3);
}

#[test]
fn layers_in_a_row() {
    for [rows, width] in [[1, 7], [129, 6], [0, 3]] {
        let mut shapes = [[width, width]; 6];
        (shapes[0], shapes[1]) = ([rows, 5], [width, 5]);
        on_every_arch(|| check(&Perceptron { first: true }, shapes, &random(shapes, 0.8), 5e-3));
        let mut shapes = [[width, width]; 5];
        shapes[0] = [rows, width];
        on_every_arch(|| check(&Perceptron { first: false }, shapes, &random(shapes, 0.8), 5e-3));
    }
}

#[test]
fn blocks_on_idle_threads_change_nothing() {
    let graph = example_graph();
    let angles = Arc::new(Angles::new(&graph, 4));
    let fields = Arc::new(TripletFields::new(&graph));
    let head = LatticeHead::new(&graph, &angles, &fields);
    let e = graph.num_edges();
    fn both<O: HostOp<N>, const N: usize>(op: &O, shapes: [[usize; 2]; N]) {
        let data = random(shapes, 1.0);
        let mats: [Mat<'_>; N] = std::array::from_fn(|i| Mat {
            data: &data[i],
            rows: shapes[i][0],
            cols: shapes[i][1],
            owner: None,
        });
        for keep in [false, true] {
            let (alone, kept) = op.forward(mats, keep);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            let (shared, also_kept) = pool.install(|| with_idle_threads(|| op.forward(mats, keep)));
            assert_eq!((alone.data, kept), (shared.data, also_kept));
        }
    }
    both(&Dense { act: Activation::ScaledSilu }, [[200, 20], [30, 20]]);
    both(&Perceptron { first: true }, [[200, 20], [30, 20], [30, 30], [30, 30]]);
    let messages = Arc::new(MessageAngles::new(&graph, 4, MessagePairs::OtherAtoms));
    both(&MessageSum { graph: graph.clone(), angles: messages }, [[e, 20], [e, 4 * 3], [20, 3]]);
    let torsions = torsion_sum(&graph, 3, 2);
    both(&torsions, [[e, 20], [3, 6], [20, 3], [5, 18], [20, 5]]);
    both(&MessageDown, [[200, 20], [200, 3], [20, 20], [1, 20], [20, 3], [8, 20]]);
    let mut update = [[1, 20]; 11];
    (update[0], update[1], update[4]) = ([200, 20], [200, 8], [20, 8]);
    for weight in [2, 5, 7, 9] {
        update[weight] = [20, 20];
    }
    both(&MessageUpdate { before: 1 }, update);
    both(&Affine { act: Activation::Silu }, [[200, 20], [30, 20], [1, 30]]);
    both(&head, [[e, 20], [e, 20], [20, 4], [20, 20], [3, 20]]);
}

#[test]
fn split_concatenation() {
    let first: Index = [0, 0, 1, 2, 2, 3].into();
    let second: Index = [3, 1, 1, 0, 2, 2].into();
    let shapes = [[4, 5], [4, 5], [6, 5]];
    let op = MergeEdges { first, second, act: Activation::ScaledSilu };
    check(&op, shapes, &random(shapes, 1.0), 2e-3);
}

#[test]
fn layers_over_concatenated_inputs() {
    let op = |edges: u32| SplitDense {
        source: (0..edges).map(|e| e % 4).collect(),
        destination: (0..edges).map(|e| (e * e + 1) % 4).collect(),
        act: Activation::ScaledSilu,
    };
    for [edges, atom, edge, out] in [[6, 3, 5, 4], [1, 7, 7, 7], [129, 2, 3, 17], [0, 2, 2, 2]] {
        let shapes = [[4, atom], [edges, edge], [out, 2 * atom + edge]];
        on_every_arch(|| check(&op(edges as u32), shapes, &random(shapes, 1.0), 3e-3));
    }
    for rows in [5, 1, 129, 0] {
        let shapes = [[rows, 7], [rows, 3], [6, 15]];
        on_every_arch(|| check(&PairDense { from: [1, 11] }, shapes, &random(shapes, 1.0), 3e-3));
    }
}

#[test]
fn bilinear_layers() {
    let [degrees, c, i, out] = [4, 3, 2, 5];
    for rows in [6, 1, 97, 0] {
        let shapes = [[rows, degrees * c], [rows, degrees * i], [c, i * out]];
        on_every_arch(|| check(&Bilinear { degrees, factor: 1.7 }, shapes, &random(shapes, 1.0), 3e-3));
    }
}

#[test]
fn filters() {
    for [rows, width, basis] in [[5, 7, 3], [1, 20, 16], [129, 6, 2], [0, 3, 2]] {
        let shapes = [[rows, width], [rows, basis], [width, basis]];
        let index: Index = (0..rows as u32).map(|e| (e * e + 1) % 3).collect();
        let output = [shapes[0], shapes[1], shapes[2], [1, width]];
        on_every_arch(|| {
            check(&Filter { factor: 1.7 }, shapes, &random(shapes, 1.0), 3e-3);
            let sum = FilteredSum { index: index.clone(), rows: 3, factor: 0.6 };
            check(&sum, shapes, &random(shapes, 1.0), 3e-3);
            check(&FilteredOutput { factor: -1.3 }, output, &random(output, 1.0), 3e-3);
        });
    }
}

#[test]
fn gather_and_sum() {
    let index: Index = [2, 0, 2, 1, 2].into();
    check(&Gather { index: index.clone() }, [[3, 4]], &random([[3, 4]], 1.0), 2e-3);
    check(&ScatterSum { index: index.clone(), rows: 4 }, [[5, 3]], &random([[5, 3]], 1.0), 2e-3);
    let shapes = [[5, 1], [5, 3]];
    check(&WeightedSum { index, rows: 4 }, shapes, &random(shapes, 1.0), 2e-3);
}

#[test]
fn sums_over_pairs_of_edges() {
    let graph = example_graph();
    let angles = Arc::new(Angles::new(&graph, 5));
    let shapes = [[graph.num_edges(), 3]];
    check(&AngularSum { graph, angles }, shapes, &random(shapes, 1.0), 5e-3);
    let shapes = [[6, 4 * 3], [6, 4 * 2]];
    check(&ContractDegrees { degrees: 4 }, shapes, &random(shapes, 1.0), 2e-3);
}

#[test]
fn sums_over_pairs_of_messages() {
    let graph = example_graph();
    let e = graph.num_edges();
    for rule in [MessagePairs::OtherAtoms, MessagePairs::OtherEdges] {
        let angles = Arc::new(MessageAngles::new(&graph, 4, rule));
        for [width, c] in [[3, 2], [17, 5]] {
            let shapes = [[e, width], [e, 4 * c], [width, c]];
            let op = MessageSum { graph: graph.clone(), angles: angles.clone() };
            on_every_arch(|| {
                check(&op, shapes, &random(shapes, 0.7), 5e-3);
            });
        }
    }
}

/// Crystals of the groups F m -3 m and P 1, and one site that no edge reaches.
fn symmetric_graph() -> Arc<SymmetricGraph> {
    let cubic = SpaceGroup::new(225).unwrap();
    let operations =
        |group: &SpaceGroup| GroupOperations::new(group.primitive_operations().to_vec()).unwrap();
    let fcc = cubic.centring().primitive_lattice(&Lattice::cubic(2.0).unwrap()).unwrap();
    let skewed = Lattice::from_rows([[1.1, 0.1, 0.0], [0.3, 0.9, 0.1], [-0.2, 0.1, 1.2]]).unwrap();
    let nearest = |cell: &Lattice, group: &SpaceGroup, sites: &[[f64; 3]], count| {
        SymmetricEdges::nearest(cell, &operations(group), sites, count, CopyRule::Each).unwrap()
    };
    let mut lonely = nearest(&skewed, SpaceGroup::new(1).unwrap(), &[[0.1; 3], [0.62, 0.57, 0.81]], 9);
    lonely.sites += 1;
    let sites = [[0.11, 0.23, 0.31], [0.62, 0.57, 0.81], [0.05, 0.71, 0.44]];
    Arc::new(SymmetricGraph::join(&[
        nearest(&fcc, cubic, &sites[..2], 11),
        lonely,
        nearest(&fcc, cubic, &sites, 6),
    ]))
}

#[test]
fn sums_of_messages_over_copies() {
    let graph = symmetric_graph();
    let e = graph.num_edges();
    for rule in [AngleRule::Published, AngleRule::Geometric] {
        for ([width, c], degrees) in [([3, 2], 1), ([17, 5], 4), ([16, 3], 7)] {
            let harmonics = Arc::new(PairedHarmonics::new(&graph, degrees, rule));
            let shapes = [[e, width], [e, degrees * c], [width, c]];
            let op = ZonalSum { graph: graph.clone(), harmonics };
            on_every_arch(|| {
                check(&op, shapes, &random(shapes, 0.7), 5e-3);
            });
        }
    }
}

#[test]
fn attention_of_pairs_in_sets_of_several_sizes() {
    for (heads, channels) in [(2, 3), (1, 21), (4, 16)] {
        let sets = TokenSets::new(vec![3, 1, 4]);
        let width = heads * channels;
        let shapes = [[8, 3 * width], [26, heads], [26, width]];
        on_every_arch(|| check(&PairAttention { sets: sets.clone() }, shapes, &random(shapes, 0.8), 2e-2));
    }
}

#[test]
fn normalized_rows() {
    // Few columns are taken sixteen rows at a time.
    for [rows, cols] in [[1, 1], [7, 3], [65, 33], [3, 128], [0, 4], [37, 4], [15, 8], [32, 12], [19, 16]] {
        let shapes = [[rows, cols], [1, cols], [1, cols]];
        on_every_arch(|| {
            for slope in [1.0, 0.2] {
                let op = LayerNorm { epsilon: 1e-3, slope };
                let mut data = random(shapes, 1.5);
                if slope != 1.0 {
                    // Differences cannot be taken across the bend at zero.
                    data[2].iter_mut().enumerate().for_each(|(j, b)| *b += [20.0, -20.0][j % 2]);
                }
                check(&op, shapes, &data, 2e-2);
            }
        });
    }
}

fn torsion_sum(graph: &Arc<Multigraph>, degrees: usize, count: usize) -> TorsionSum {
    let harmonics = Arc::new(MessageHarmonics::new(graph, degrees, TorsionRule::Nearest));
    let radial = SphericalBesselBasis::new(degrees, count, 2.0, false).evaluate(&graph.lengths).into();
    TorsionSum { graph: graph.clone(), harmonics, radial }
}

#[test]
fn sums_over_pairs_of_messages_with_torsions() {
    let graph = example_graph();
    let e = graph.num_edges();
    for [degrees, count, width, c, t] in
        [[1, 1, 3, 1, 2], [3, 2, 5, 2, 3], [4, 3, 17, 8, 8], [7, 6, 16, 9, 7]]
    {
        let features = degrees * count;
        let shapes = [[e, width], [c, features], [width, c], [t, degrees * features], [width, t]];
        let op = torsion_sum(&graph, degrees, count);
        on_every_arch(|| check(&op, shapes, &random(shapes, 0.6), 5e-3));
    }
    // An atom without edges, and no edge at all.
    let (lattice, frac) = (Lattice::cubic(1.0).unwrap(), [[0.0; 3], [0.5; 3], [0.5, 0.5, 0.0]]);
    for edges in [vec![(0, 1, [0; 3]), (0, 1, [0, 0, -1])], Vec::new()] {
        let graph = Arc::new(Multigraph::from_edges(&[(lattice, &frac)], vec![edges]));
        let e = graph.num_edges();
        let shapes = [[e, 3], [2, 6], [3, 2], [2, 18], [3, 2]];
        check(&torsion_sum(&graph, 3, 2), shapes, &random(shapes, 0.6), 5e-3);
    }
}

#[test]
fn sums_over_messages_on_directed_graphs() {
    let (lattice, frac) = (Lattice::cubic(1.0).unwrap(), [[0.0; 3], [0.4, 0.5, 0.6], [0.1, 0.5, 0.0]]);
    let rule = CutoffRule { cutoff: 2.0, neighbors: 4, symmetrization: Symmetrization::ByIndex };
    let edges = CutoffSearch::new(lattice, rule).found(&frac);
    let graph = DirectedGraph::from_edges(&[(lattice, &frac), (lattice, &frac)], vec![edges, Vec::new()]);
    assert_eq!(graph.num_edges(), 12);
    let op = IncomingSum { graph: Arc::new(graph) };
    for cols in [1, 7, 19] {
        on_every_arch(|| check(&op, [[12, cols]], &random([[12, cols]], 1.0), 3e-3));
    }
}

#[test]
fn layers_around_sums_over_messages() {
    for [rows, h, i, c] in [[5, 6, 3, 2], [1, 17, 4, 1], [129, 5, 2, 3], [0, 3, 2, 2]] {
        let shapes = [[rows, h], [rows, c], [h, h], [1, h], [h, c], [i, h]];
        on_every_arch(|| check(&MessageDown, shapes, &random(shapes, 0.9), 3e-3));
        let mut shapes = [[1, h]; 19];
        (shapes[0], shapes[1], shapes[4]) = ([rows, h], [rows, i], [h, i]);
        for weight in [2, 5, 7, 9, 11, 13, 15, 17] {
            shapes[weight] = [h, h];
        }
        for before in 0..4 {
            on_every_arch(|| check(&MessageUpdate { before }, shapes, &random(shapes, 0.5), 5e-3));
        }
        let shapes: [[usize; 2]; 7] = std::array::from_fn(|k| shapes[k]);
        check(&MessageUpdate { before: 0 }, shapes, &random(shapes, 0.9), 5e-3);
    }
}

#[test]
fn lattice_head_of_pairs() {
    let graph = example_graph();
    let angles = Arc::new(Angles::new(&graph, 4));
    let fields = Arc::new(TripletFields::new(&graph));
    let e = graph.num_edges();
    for h in [6, 33] {
        let shapes = [[e, h], [e, h], [h, 4], [h, h], [3, h]];
        let data = random(shapes, 1.0 / (h as f32 / 6.0).sqrt());
        on_every_arch(|| check(&LatticeHead::new(&graph, &angles, &fields), shapes, &data, 5e-3));
    }
}

#[test]
fn parameters_of_symmetric_cells() {
    let cells = vec![4.0, 5.0, 6.0, 0.3, -0.5, 0.8, 3.0, 3.5, -4.0, 0.1, 0.2, -0.3];
    check(&LatticeParameters, [[2, 6]], &[cells], 2e-2);
    let cube = Tensor::<2>::from_data(TensorData::new(vec![4.0f32, 4.0, 4.0, 0.0, 0.0, 0.0], [1, 6]), &cpu());
    let p = host(&super::lattice_parameters(cube));
    assert_close(&p, &[4.0, 4.0, 4.0, 90.0, 90.0, 90.0], 1e-6, "parameters");
}

/// Cells of the crystals of [`example_graph`], row by row.
fn example_cells() -> Vec<f32> {
    vec![1.1, 0.1, 0.0, 0.3, 0.9, 0.1, -0.2, 0.1, 1.2, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
}

#[test]
fn predicted_cells() {
    let parameters = [vec![3.1, 4.2, 5.3, 82.0, 95.0, 108.0, 4.0, 4.1, 3.9, 60.0, 61.0, 60.5]];
    check(&Cells, [[2, 6]], &parameters, 2e-2);
    let [parameters] = parameters;
    for (p, rows) in parameters.chunks_exact(6).zip([0, 1]) {
        let cell = Lattice::from_parameters(std::array::from_fn(|i| f64::from(p[i]))).unwrap();
        let expected: Vec<f32> = cell.rows().iter().flatten().map(|&x| x as f32).collect();
        let all = Tensor::<2>::from_data(TensorData::new(parameters.clone(), [2, 6]), &cpu());
        assert_close(&host(&super::cells(all).narrow(0, rows, 1)), &expected, 1e-6, "orientation P");
    }
    // Angles that enclose no cell: flat, and with finite gradients.
    let flat = vec![3.0, 3.0, 3.0, 30.0, 40.0, 100.0];
    let (value, [grads]) = differentiate(&cpu(), &[flat], [[1, 6]], |x| apply(&Cells, x));
    assert!(value[4].abs() < 1e-4 && grads.iter().all(|g| g.is_finite()), "{value:?} {grads:?}");
}

#[test]
fn positions_in_predicted_cells() {
    let index: Index = [1, 0, 0, 1].into();
    let shapes = [[4, 3], [2, 9]];
    let [x] = random([[4, 3]], 1.0);
    check(&ToFractional { cell_of_row: index }, shapes, &[x, example_cells()], 1e-2);
    let graph = example_graph();
    let shapes = [[graph.num_atoms, 3], [2, 9]];
    let [frac] = random([[graph.num_atoms, 3]], 1.0);
    check(&EdgeVectors { graph: graph.clone() }, shapes, &[frac, example_cells()], 5e-3);
    let (a, b) = ([0.11, 0.23, 0.31, 0.62, 0.57, 0.81, 0.05, 0.71, 0.44], [0.4, 0.3, 0.9, 0.87, 0.66, 0.15]);
    let frac = super::matrix([a.as_slice(), b.as_slice()].concat(), 3, &cpu());
    let found = host(&super::edge_vectors(frac, super::matrix(example_cells(), 9, &cpu()), &graph));
    let expected: Vec<f32> = graph.vectors.iter().flatten().map(|&x| x as f32).collect();
    assert_close(&found, &expected, 1e-6, "vectors of the graph");
}

#[test]
fn geometry_of_edge_vectors() {
    let graph = example_graph();
    let e = graph.num_edges();
    let vectors: [Vec<f32>; 1] = [graph.vectors.iter().flatten().map(|&x| x as f32).collect()];
    check(&Directions, [[e, 3]], &vectors, 1e-2);
    // The cut-off lies among the lengths.
    let basis = GaussianBasis { count: 6, cutoff: 0.8 };
    check(&Gaussians { basis }, [[e, 3]], &vectors, 2e-2);
    let [vectors] = vectors;
    let plane = super::matrix(vectors, 3, &cpu());
    let units = host(&super::directions(plane.clone()));
    check(&PairHarmonics { graph: graph.clone(), degrees: 4 }, [[e, 3]], &[units], 2e-2);

    let angles = Arc::new(Angles::new(&graph, 4));
    let [x] = random([[e, 3]], 1.0);
    let op = AngularSumWith { graph: graph.clone(), degrees: 4 };
    check(&op, [[e, 3], [angles.values.len(), 1]], &[x.clone(), angles.values.clone()], 5e-3);
    let harmonics = super::pair_harmonics(super::directions(plane), &graph, 4);
    let x = super::matrix(x, 3, &cpu());
    let found = super::angular_sum_with(x.clone(), harmonics.clone(), &graph, 4);
    assert_close(&host(&harmonics), &angles.values, 2e-6, "angular functions");
    assert_close(&host(&found), &host(&super::angular_sum(x, &graph, &angles)), 2e-6, "sums");
}

#[test]
fn angular_sum_leaves_out_the_edge_itself() {
    let graph = example_graph();
    let angles = Arc::new(Angles::new(&graph, 1));
    let ones = Tensor::<2>::ones([graph.num_edges(), 1], &cpu());
    let sums = host(&super::angular_sum(ones, &graph, &angles));
    let y00 = (1.0 / (4.0 * std::f32::consts::PI)).sqrt();
    for (e, s) in sums.iter().enumerate() {
        let k = graph.edges_from(graph.source[e] as usize).len();
        assert!((s - y00 * (k - 1) as f32).abs() < 1e-5);
    }
}
