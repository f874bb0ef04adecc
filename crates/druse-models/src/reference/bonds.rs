//! Bonds as reference files list them.

use std::collections::HashMap;
use std::sync::Arc;

use druse_crystal::{Element, Lattice};
use druse_nn::graph::Multigraph;
use serde::Deserialize;

use super::ParityError;
use super::file::elements;
use crate::error::check_elements;

/// A crystal with its bonds.
#[derive(Debug, Deserialize)]
pub(crate) struct ListedBonds {
    pub atomic_numbers: Vec<i64>,
    pub frac_coords: Vec<[f64; 3]>,
    /// Lattice vectors as rows (Å).
    pub lattice: [[f64; 3]; 3],
    pub encoder_edge_source_target: Vec<[u32; 2]>,
    /// Image of the source.
    pub encoder_edge_image: Vec<[i32; 3]>,
}

impl ListedBonds {
    /// The elements of the atoms, up to the atomic number `limit`.
    pub fn species(&self, limit: u8) -> Result<Vec<Element>, ParityError> {
        let species = elements(&self.atomic_numbers)?;
        check_elements(&species, limit)?;
        if species.len() != self.frac_coords.len() || species.is_empty() {
            return Err(ParityError::Format("atomic numbers and coordinates differ in number".into()));
        }
        Ok(species)
    }

    /// The graph of the edges, and for each of them the number it has there.
    pub fn graph(&self) -> Result<(Arc<Multigraph>, Vec<u32>), ParityError> {
        let lattice = Lattice::from_rows(self.lattice).map_err(|e| ParityError::Format(e.to_string()))?;
        let (atoms, edges) = (self.frac_coords.len() as u32, &self.encoder_edge_source_target);
        if edges.len() != self.encoder_edge_image.len() || edges.iter().flatten().any(|&a| a >= atoms) {
            return Err(ParityError::Format("edges do not fit the atoms or the images".into()));
        }
        // The files count cells at the source, the graph at the destination.
        let ends: Vec<_> = edges
            .iter()
            .zip(&self.encoder_edge_image)
            .map(|(&[source, target], image)| (source, target, image.map(|t| -t)))
            .collect();
        let graph = Multigraph::from_edges(&[(lattice, self.frac_coords.as_slice())], vec![ends.clone()]);
        let numbers: HashMap<_, u32> = (0..)
            .zip(graph.source.iter().zip(graph.destination.iter()).zip(&graph.image))
            .map(|(e, ((&source, &destination), &image))| ((source, destination, image), e))
            .collect();
        let edges: Vec<u32> = ends.iter().map(|ends| numbers[ends]).collect();
        if edges.len() != graph.num_edges() {
            return Err(ParityError::Format("an edge is listed twice or without its reverse".into()));
        }
        Ok((Arc::new(graph), edges))
    }
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The angle between two vectors, in radians.
pub(crate) fn angle_between(a: [f64; 3], b: [f64; 3]) -> f64 {
    let normal = cross(a, b);
    dot(normal, normal).sqrt().atan2(dot(a, b))
}
