//! Kernels against the hand-written CPU operations, and the compositions that run where there are no kernels.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use druse_crystal::Lattice;

use crate::basis::GaussianBasis;
use crate::device;
use crate::graph::{Angles, Index, Multigraph, TripletFields};
use crate::ops::dense::{Activation, Dense, MergeEdges};
use crate::ops::gather::{Gather, ScatterSum};
use crate::ops::gemnet::ResidualPair;
use crate::ops::gemnet::{AngularSum, ContractDegrees};
use crate::ops::gemsdiff::LatticeHead;
use crate::ops::host::{HostOp, apply};
use crate::ops::tests::{assert_close, differentiate, example_graph, host, random};

/// The device named by DRUSE_TEST_DEVICE, or the first GPU of this machine. Without one the tests say so and pass,
/// except in CI.
pub(crate) fn gpu() -> Option<Device> {
    let name = std::env::var("DRUSE_TEST_DEVICE").ok().or_else(|| device::available().into_iter().nth(1));
    match name {
        Some(name) => Some(device::parse(&name).unwrap_or_else(|e| panic!("DRUSE_TEST_DEVICE: {e}"))),
        None if std::env::var_os("CI").is_some() => panic!("CI has to run these tests: no GPU was found"),
        None => {
            eprintln!("skipped: this machine has no GPU that the build supports");
            None
        }
    }
}

/// Value and gradients of the kernels and of the composition on a GPU against the CPU.
pub(crate) fn compare<O: HostOp<N>, const N: usize>(op: &O, shapes: [[usize; 2]; N], data: &[Vec<f32>; N]) {
    let Some(gpu) = gpu() else { return };
    let (value, grads) = differentiate(&device::cpu(), data, shapes, |x| apply(op, x));
    let agree = |f: &dyn Fn([Tensor<2>; N]) -> Tensor<2>, what: &str| {
        let (found, found_grads) = differentiate(&gpu, data, shapes, f);
        assert_close(&found, &value, 1e-5, &format!("value of the {what}"));
        for i in 0..N {
            assert_close(&found_grads[i], &grads[i], 3e-5, &format!("gradient {i} of the {what}"));
        }
    };
    agree(&|x| op.compose(x), "composition");
    if op.kernels().is_some() {
        agree(&|x| apply(op, x), "kernels");
    }
}

/// Three crystals: an atom alone, several atoms, and a cell with many equal distances and collinear edges.
fn odd_graph() -> Arc<Multigraph> {
    let skewed = Lattice::from_rows([[1.3, 0.1, 0.0], [0.3, 0.9, 0.1], [-0.2, 0.1, 1.2]]).unwrap();
    let cube = Lattice::cubic(1.0).unwrap();
    let several = [[0.11, 0.23, 0.31], [0.62, 0.57, 0.81], [0.05, 0.71, 0.44], [0.9, 0.1, 0.7]];
    let centered = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]];
    Arc::new(
        Multigraph::nearest(&[(skewed, &several[..1]), (skewed, &several), (cube, &centered)], 9).unwrap(),
    )
}

/// Two atoms and no edge.
fn graph_without_edges() -> Arc<Multigraph> {
    let mut graph = Multigraph::clone(&example_graph());
    graph.num_atoms = 2;
    graph.atom_ptr = vec![0, 1, 2];
    graph.crystal_of_atom = [0, 1].into();
    graph.source_ptr = vec![0; 3];
    (graph.source, graph.destination, graph.reverse) = ([].into(), [].into(), [].into());
    graph.image.clear();
    graph.frac_vectors.clear();
    graph.vectors.clear();
    graph.lengths.clear();
    Arc::new(graph)
}

#[test]
fn layers_of_odd_sizes() {
    for [rows, input, output] in [[1, 1, 1], [7, 33, 5], [301, 17, 130]] {
        let shapes = [[rows, input], [output, input]];
        for act in [Activation::Identity, Activation::Silu, Activation::ScaledSilu] {
            compare(&Dense { act }, shapes, &random(shapes, 1.0));
        }
        let shapes = [[rows, input], [input, input], [input, input]];
        compare(&ResidualPair, shapes, &random(shapes, 1.0));
    }
}

#[test]
fn weight_gradients_over_many_rows() {
    // Two blocks of rows and a rest.
    let shapes = [[2 * 1024 + 321, 9], [11, 9]];
    compare(&Dense { act: Activation::ScaledSilu }, shapes, &random(shapes, 0.3));
}

#[test]
fn sums_with_empty_segments() {
    // Rows 1 and 5 receive nothing; row 5 lies beyond the largest number in the list.
    let index: Index = [4, 0, 2, 0, 3, 4, 4].into();
    compare(&ScatterSum { index: index.clone(), rows: 6 }, [[7, 5]], &random([[7, 5]], 1.0));
    compare(&Gather { index: index.clone() }, [[6, 5]], &random([[6, 5]], 1.0));
    let second: Index = [1, 1, 1, 2, 0, 0, 2].into();
    for act in [Activation::Identity, Activation::ScaledSilu] {
        let op = MergeEdges { first: index.clone(), second: second.clone(), act };
        let shapes = [[5, 3], [3, 3], [7, 3]];
        compare(&op, shapes, &random(shapes, 1.0));
    }
}

#[test]
fn pairs_of_edges() {
    let graph = odd_graph();
    let edges = graph.num_edges();
    for degrees in [1, 2, 7] {
        let angles = Arc::new(Angles::new(&graph, degrees));
        let op = AngularSum { graph: graph.clone(), angles };
        compare(&op, [[edges, 5]], &random([[edges, 5]], 1.0));
        let shapes = [[13, degrees * 5], [13, degrees * 3]];
        compare(&ContractDegrees { degrees }, shapes, &random(shapes, 1.0));
    }
}

#[test]
fn lattice_head_of_odd_sizes() {
    let graph = odd_graph();
    let (edges, hidden, degrees) = (graph.num_edges(), 10, 5);
    let angles = Arc::new(Angles::new(&graph, degrees));
    let fields = Arc::new(TripletFields::new(&graph));
    let shapes = [[edges, hidden], [edges, hidden], [hidden, degrees], [hidden, hidden], [3, hidden]];
    let op = LatticeHead::new(&graph, &angles, &fields);
    let data = random(shapes, 1.0);
    compare(&op, shapes, &data);
    // The same in chunks of an atom or two.
    let Some(gpu) = gpu() else { return };
    let inputs: [Tensor<2>; 5] = std::array::from_fn(|i| {
        Tensor::from_data(burn::tensor::TensorData::new(data[i].clone(), shapes[i]), &gpu)
    });
    let limit = 2 * graph.edges_from(0).len().pow(2);
    let whole = op.forward_in_chunks(&inputs, usize::MAX);
    assert_close(&host(&op.forward_in_chunks(&inputs, limit)), &host(&whole), 1e-6, "value in chunks");
    let grad = Tensor::ones(whole.dims(), &gpu);
    let grads = op.backward_in_chunks(&inputs, grad.clone(), usize::MAX);
    for (i, part) in op.backward_in_chunks(&inputs, grad, limit).into_iter().enumerate() {
        assert_close(&host(&part), &host(&grads[i]), 1e-5, &format!("gradient {i} in chunks"));
    }
}

#[test]
fn graphs_without_edges() {
    let Some(gpu) = gpu() else { return };
    let graph = graph_without_edges();
    let angles = Arc::new(Angles::new(&graph, 3));
    let fields = Arc::new(TripletFields::new(&graph));
    let empty = |cols: usize| Tensor::<2>::zeros([0, cols], &gpu);
    assert_eq!(
        apply(&AngularSum { graph: graph.clone(), angles: angles.clone() }, [empty(4)]).dims(),
        [0, 12]
    );
    assert_eq!(apply(&ContractDegrees { degrees: 3 }, [empty(6), empty(9)]).dims(), [0, 6]);
    let sum = apply(&ScatterSum { index: graph.destination.clone(), rows: 2 }, [empty(4)]);
    assert_eq!(host(&sum), vec![0.0; 8]);
    let weights = [[2, 3], [2, 2], [3, 2]].map(|shape| Tensor::<2>::ones(shape, &gpu));
    let [angular, hidden, output] = weights;
    let head = LatticeHead::new(&graph, &angles, &fields);
    assert_eq!(host(&apply(&head, [empty(2), empty(2), angular, hidden, output])), vec![0.0; 12]);
}

#[test]
fn gaussians_of_edges() {
    let Some(gpu) = gpu() else { return };
    let basis = GaussianBasis { count: 37, cutoff: 6.0 };
    let distances: Vec<f64> = (0..200).map(|i| 0.4 + 0.031 * f64::from(i)).collect();
    let found = host(&basis.tensor(&distances, &gpu));
    assert_close(&found, &basis.evaluate(&distances), 1e-6, "Gaussians");
    assert!(basis.tensor(&distances, &gpu.autodiff()).device().is_autodiff());
}

#[test]
fn kernels_repeat_bit_for_bit() {
    let Some(gpu) = gpu() else { return };
    let graph = odd_graph();
    let angles = Arc::new(Angles::new(&graph, 4));
    let fields = Arc::new(TripletFields::new(&graph));
    let edges = graph.num_edges();
    let shapes = [[edges, 8], [edges, 8], [8, 4], [8, 8], [3, 8]];
    let data = random(shapes, 1.0);
    let op = LatticeHead::new(&graph, &angles, &fields);
    let run = || differentiate(&gpu, &data, shapes, |x| apply(&op, x));
    assert_eq!(run(), run());
}
