//! The triplet head of GemsDiff on a GPU.
//!
//! Pairs of edges are worked off in chunks of whole atoms: kernels build the first layer and reduce the last one, the
//! engine multiplies the hidden layer. Memory is bounded by the chunk; the backward pass evaluates everything again.

mod kernels;

use std::ops::Range;

use burn::tensor::Tensor;

use self::kernels::{
    edge_sums_kernel, first_layer_backward_kernel, first_layer_kernel, last_layer_backward_kernel,
    pair_angles_kernel, scalar_gradients_kernel, scalars_kernel,
};
use super::dense::transposed_product;
use super::gather::sum_ranges;
use super::graph::DeviceGraph;
use super::launch::{arg, grid, list_arg, new_matrix};
use super::pointwise::{silu, silu_backward};
use crate::graph::Multigraph;
use crate::ops::device_op::DeviceOp;
use crate::ops::gemsdiff::LatticeHead;

/// Pairs handled at a time: enough to fill a large GPU, 64 MiB for each array of 64 columns.
const CHUNK: usize = 1 << 18;

/// Some atoms' edges and the pairs of them.
#[derive(Clone)]
struct Chunk {
    edges: Range<usize>,
    /// Number of pairs before the chunk.
    base: usize,
    /// Number of pairs.
    pairs: usize,
    /// Largest number of edges of an atom.
    widest: usize,
}

/// Cuts a graph between atoms so that a chunk has at most `limit` pairs, or one atom.
fn chunks(graph: &Multigraph, limit: usize) -> Vec<Chunk> {
    let mut all: Vec<Chunk> = Vec::new();
    let mut base = 0;
    for atom in 0..graph.num_atoms {
        let edges = graph.edges_from(atom);
        let (k, pairs) = (edges.len(), edges.len() * edges.len());
        match all.last_mut() {
            Some(last) if last.pairs + pairs <= limit => {
                last.edges.end = edges.end;
                last.pairs += pairs;
                last.widest = last.widest.max(k);
            }
            _ => all.push(Chunk { edges, base, pairs, widest: k }),
        }
        base += pairs;
    }
    all.retain(|c| c.pairs > 0);
    all
}

/// The operation with its inputs on one device.
struct Head<'a> {
    graph: &'a DeviceGraph,
    degrees: usize,
    hidden: usize,
    inputs: &'a [Tensor<2>; 5],
}

impl Head<'_> {
    fn pair_angles(&self, chunk: &Chunk) -> Tensor<2> {
        let like = &self.graph.direction;
        let y = new_matrix([chunk.pairs, self.degrees], like);
        if let Some(g) = grid(chunk.edges.len() * chunk.widest, like) {
            pair_angles_kernel::launch(
                &g.client,
                g.count,
                g.dim,
                arg(like),
                list_arg(&self.graph.source),
                list_arg(&self.graph.source_ptr),
                list_arg(&self.graph.pair_ptr),
                arg(&y),
                chunk.edges.start,
                chunk.edges.end,
                chunk.base,
                chunk.widest,
                self.degrees,
            );
        }
        y
    }

    fn first_layer(&self, chunk: &Chunk, y: &Tensor<2>, activated: bool) -> Tensor<2> {
        let [first, second, angular, ..] = self.inputs;
        let out = new_matrix([chunk.pairs, self.hidden], first);
        if let Some(g) = grid(chunk.edges.len() * self.hidden, first) {
            first_layer_kernel::launch(
                &g.client,
                g.count,
                g.dim,
                arg(first),
                arg(second),
                arg(angular),
                arg(y),
                list_arg(&self.graph.source),
                list_arg(&self.graph.source_ptr),
                list_arg(&self.graph.pair_ptr),
                arg(&out),
                chunk.edges.start,
                chunk.edges.end,
                chunk.base,
                self.hidden,
                self.degrees,
                activated,
            );
        }
        out
    }

    /// Sums of each edge q of the chunk over its pairs, (edges of the chunk, 6).
    fn edge_sums(&self, chunk: &Chunk) -> Tensor<2> {
        let [.., hidden, output] = self.inputs;
        let h1 = self.first_layer(chunk, &self.pair_angles(chunk), true);
        let z2 = h1.matmul(hidden.clone().transpose());
        let s = new_matrix([chunk.pairs, 3], &z2);
        if let Some(g) = grid(chunk.pairs, &z2) {
            scalars_kernel::launch(&g.client, g.count, g.dim, arg(&z2), arg(output), arg(&s), self.hidden);
        }
        let sums = new_matrix([chunk.edges.len(), 6], &z2);
        if let Some(g) = grid(chunk.edges.len(), &z2) {
            edge_sums_kernel::launch(
                &g.client,
                g.count,
                g.dim,
                arg(&s),
                arg(&self.graph.direction),
                arg(&self.graph.length),
                list_arg(&self.graph.source),
                list_arg(&self.graph.source_ptr),
                list_arg(&self.graph.pair_ptr),
                arg(&sums),
                chunk.edges.start,
                chunk.edges.end,
                chunk.base,
            );
        }
        sums
    }

    fn scalar_gradients(&self, chunk: &Chunk, grad: &Tensor<2>) -> Tensor<2> {
        let ds = new_matrix([chunk.pairs, 3], grad);
        if let Some(g) = grid(chunk.edges.len() * chunk.widest, grad) {
            scalar_gradients_kernel::launch(
                &g.client,
                g.count,
                g.dim,
                arg(grad),
                list_arg(&self.graph.crystal),
                arg(&self.graph.direction),
                arg(&self.graph.length),
                list_arg(&self.graph.source),
                list_arg(&self.graph.source_ptr),
                list_arg(&self.graph.pair_ptr),
                arg(&ds),
                chunk.edges.start,
                chunk.edges.end,
                chunk.base,
                chunk.widest,
            );
        }
        ds
    }

    /// Gradients of one chunk: of its rows of `first` and `second`, and its parts of the three weights.
    fn backward(&self, chunk: &Chunk, grad: &Tensor<2>) -> ([Tensor<2>; 2], [Tensor<2>; 3]) {
        let [.., hidden, output] = self.inputs;
        let y = self.pair_angles(chunk);
        let z1 = self.first_layer(chunk, &y, false);
        let h1 = silu(&z1, 1.0);
        let z2 = h1.clone().matmul(hidden.clone().transpose());
        let ds = self.scalar_gradients(chunk, grad);
        let [dz2, h2] = [(); 2].map(|()| new_matrix(z2.dims(), &z2));
        if let Some(g) = grid(chunk.pairs * self.hidden, &z2) {
            last_layer_backward_kernel::launch(
                &g.client,
                g.count,
                g.dim,
                arg(&ds),
                arg(output),
                arg(&z2),
                arg(&dz2),
                arg(&h2),
                self.hidden,
            );
        }
        let d_output = transposed_product(ds, h2);
        let d_hidden = transposed_product(dz2.clone(), h1);
        let dz1 = silu_backward(&z1, &dz2.matmul(hidden.clone()), 1.0);
        let d_edges = [(); 2].map(|()| new_matrix([chunk.edges.len(), self.hidden], &dz1));
        if let Some(g) = grid(chunk.edges.len() * self.hidden, &dz1) {
            first_layer_backward_kernel::launch(
                &g.client,
                g.count,
                g.dim,
                arg(&dz1),
                list_arg(&self.graph.source),
                list_arg(&self.graph.source_ptr),
                list_arg(&self.graph.pair_ptr),
                arg(&d_edges[0]),
                arg(&d_edges[1]),
                chunk.edges.start,
                chunk.edges.end,
                chunk.base,
                self.hidden,
            );
        }
        (d_edges, [transposed_product(dz1, y), d_hidden, d_output])
    }
}

impl LatticeHead {
    fn head<'a>(&self, graph: &'a DeviceGraph, inputs: &'a [Tensor<2>; 5]) -> Head<'a> {
        let [first, second, angular, ..] = inputs;
        let (edges, hidden) = (self.graph.num_edges(), first.dims()[1]);
        assert_eq!([first.dims(), second.dims()], [[edges, hidden]; 2], "one row for each edge");
        assert_eq!(angular.dims(), [hidden, self.angles.degrees], "angular weights");
        Head { graph, degrees: self.angles.degrees, hidden, inputs }
    }

    /// The forward pass with chunks of at most `limit` pairs.
    pub(super) fn forward_in_chunks(&self, inputs: &[Tensor<2>; 5], limit: usize) -> Tensor<2> {
        let graph = DeviceGraph::on(&self.graph, &inputs[0].device());
        let head = self.head(&graph, inputs);
        let parts: Vec<_> = chunks(&self.graph, limit).iter().map(|c| head.edge_sums(c)).collect();
        if parts.is_empty() {
            return Tensor::zeros([self.graph.num_crystals(), 6], &inputs[0].device());
        }
        let by_atom = sum_ranges(&Tensor::cat(parts, 0), &graph.source_ptr);
        sum_ranges(&by_atom, &graph.atom_ptr) * graph.pair_weight
    }

    /// The backward pass with chunks of at most `limit` pairs.
    pub(super) fn backward_in_chunks(
        &self,
        inputs: &[Tensor<2>; 5],
        grad: Tensor<2>,
        limit: usize,
    ) -> [Tensor<2>; 5] {
        let graph = DeviceGraph::on(&self.graph, &inputs[0].device());
        let head = self.head(&graph, inputs);
        let grad = grad * graph.pair_weight.clone();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mut weights: Option<[Tensor<2>; 3]> = None;
        for chunk in chunks(&self.graph, limit) {
            let ([d_first, d_second], part) = head.backward(&chunk, &grad);
            first.push(d_first);
            second.push(d_second);
            weights = Some(match weights {
                None => part,
                Some([a, b, c]) => {
                    let [x, y, z] = part;
                    [a + x, b + y, c + z]
                }
            });
        }
        match weights {
            None => inputs.clone().map(|t| Tensor::zeros(t.dims(), &t.device())),
            Some([angular, hidden, output]) => {
                [Tensor::cat(first, 0), Tensor::cat(second, 0), angular, hidden, output]
            }
        }
    }
}

impl DeviceOp<5> for LatticeHead {
    fn forward(&self, inputs: [Tensor<2>; 5], _keep: bool) -> (Tensor<2>, Vec<Tensor<2>>) {
        (self.forward_in_chunks(&inputs, CHUNK), Vec::new())
    }

    fn backward(
        &self,
        inputs: [Tensor<2>; 5],
        _: Vec<Tensor<2>>,
        grad: Tensor<2>,
        _: [bool; 5],
    ) -> [Option<Tensor<2>>; 5] {
        self.backward_in_chunks(&inputs, grad, CHUNK).map(Some)
    }
}
