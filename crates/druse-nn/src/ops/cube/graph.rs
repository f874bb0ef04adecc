//! A graph on a device.

use burn::tensor::{Device, Int, Tensor};

use super::launch::upload;
use crate::graph::Multigraph;
use crate::ops::matrix::matrix;

/// What kernels read of a [`Multigraph`]; uploaded once for each device.
#[derive(Debug, Clone)]
pub(crate) struct DeviceGraph {
    /// Source atom of each edge (E).
    pub source: Tensor<1, Int>,
    /// First edge of each atom, and E at the end (N + 1).
    pub source_ptr: Tensor<1, Int>,
    /// First atom of each crystal, and N at the end (B + 1).
    pub atom_ptr: Tensor<1, Int>,
    /// Crystal of each edge (E).
    pub crystal: Tensor<1, Int>,
    /// Start of each edge's row in the list of pairs (q, p) of edges with one source, p fast and p = q included; the
    /// number of pairs at the end (E + 1).
    pub pair_ptr: Tensor<1, Int>,
    /// Direction of each edge, a unit vector (E, 3).
    pub direction: Tensor<2>,
    /// Length of each edge (E, 1).
    pub length: Tensor<2>,
    /// 1 / number of pairs p ≠ q of each crystal (B, 1).
    pub pair_weight: Tensor<2>,
}

impl DeviceGraph {
    /// The graph on a device, uploaded once.
    pub fn on(graph: &Multigraph, device: &Device) -> Self {
        graph.uploads.get(device, |device| Self::new(graph, device))
    }

    fn new(graph: &Multigraph, device: &Device) -> Self {
        let crystal = graph.source.iter().map(|&a| graph.crystal_of_atom[a as usize]).collect();
        let unit = |(v, r): (&[f64; 3], &f64)| v.map(|x| (x / r) as f32);
        let direction = graph.vectors.iter().zip(&graph.lengths).flat_map(unit).collect();
        let length = graph.lengths.iter().map(|&r| r as f32).collect();
        let weight = graph.triplets_per_crystal().iter().map(|&n| 1.0 / n.max(1) as f32).collect();
        Self {
            source: upload(graph.source.to_vec(), device),
            source_ptr: upload(graph.source_ptr.clone(), device),
            atom_ptr: upload(graph.atom_ptr.clone(), device),
            crystal: upload(crystal, device),
            pair_ptr: upload(pair_ptr(graph), device),
            direction: matrix(direction, 3, device),
            length: matrix(length, 1, device),
            pair_weight: matrix(weight, 1, device),
        }
    }
}

/// Running number of pairs (q, p) of edges with one source before each edge q.
///
/// # Panics
/// When there are more pairs than 32 bits count.
pub(super) fn pair_ptr(graph: &Multigraph) -> Vec<u32> {
    let mut ptr = vec![0u32];
    let mut pairs = 0u32;
    for &atom in graph.source.iter() {
        let k = graph.edges_from(atom as usize).len() as u32;
        pairs = pairs.checked_add(k).expect("more pairs of edges in a batch than 32 bits count");
        ptr.push(pairs);
    }
    ptr
}
