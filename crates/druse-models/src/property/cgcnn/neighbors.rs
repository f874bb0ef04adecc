//! The nearest neighbors of each atom, as CGCNN counts them.

use druse_crystal::{Composition, Structure, k_nearest};

use crate::ModelError;

/// Distances (Å) that differ by no more are ties.
const TIE: f64 = 1e-6;
/// How far beyond the cut-off a neighbor may lie (Å): a rounding error.
const ROUNDING: f64 = 1e-8;
/// How far beyond the cut-off a neighbor that is missing is put (Å).
const BEYOND: f64 = 1.0;

/// The directed edges of one crystal, sorted by their center.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CgcnnEdges {
    /// Atom whose neighbor an edge leads to.
    pub center: Vec<u32>,
    /// The neighbor.
    pub neighbor: Vec<u32>,
    /// Its distance (Å).
    pub distance: Vec<f64>,
    /// What the edge counts in sums over the neighbors of its center: 1, or less where it shares places with others.
    pub weight: Vec<f32>,
}

impl CgcnnEdges {
    /// Lists of neighbors and distances (Å), one for each atom; every neighbor counts as one.
    ///
    /// # Errors
    /// In words, when lists of neighbors and distances differ in length, or a neighbor is not among the atoms.
    pub fn from_lists(neighbors: &[Vec<u32>], distances: &[Vec<f64>]) -> Result<Self, String> {
        let mut edges = Self::default();
        if neighbors.len() != distances.len() {
            return Err("lists of neighbors and of distances differ in number".into());
        }
        for (center, (neighbors_of, distances)) in (0u32..).zip(neighbors.iter().zip(distances)) {
            if neighbors_of.len() != distances.len() {
                return Err(format!("atom {center} has other numbers of neighbors and distances"));
            }
            for (&neighbor, &distance) in neighbors_of.iter().zip(distances) {
                if neighbor as usize >= neighbors.len() {
                    return Err(format!("atom {center} has the neighbor {neighbor}, which is no atom"));
                }
                edges.push(center, neighbor, distance, 1.0);
            }
        }
        Ok(edges)
    }

    fn push(&mut self, center: u32, neighbor: u32, distance: f64, weight: f32) {
        self.center.push(center);
        self.neighbor.push(neighbor);
        self.distance.push(distance);
        self.weight.push(weight);
    }

    /// Number of edges.
    pub fn len(&self) -> usize {
        self.center.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.center.is_empty()
    }
}

/// The `count` nearest neighbors of each atom within a cut-off (Å), nearest first, own images among them.
///
/// Where distances tie at the last place, the published code takes those that its list happens to have first. Here all of them
/// share the places that are left, so that an edge may count as a fraction: the mean over all such choices of what enters a sum.
/// An atom with fewer neighbors gets the first atom of the crystal for each that is missing, 1 Å beyond the cut-off, as published.
///
/// # Errors
/// [`ModelError::Graph`] when there are too many neighbors to look at.
pub fn nearest_edges(structure: &Structure, count: usize, cutoff: f64) -> Result<CgcnnEdges, ModelError> {
    let list =
        k_nearest(&structure.lattice, &structure.frac_coords, count).map_err(|e| ModelError::Graph {
            what: Composition::from_species(&structure.species).formula(),
            atoms: structure.len(),
            source: Box::new(e),
        })?;
    let mut edges = CgcnnEdges::default();
    for center in 0..structure.len() {
        let mut near: Vec<_> = list.of(center).iter().filter(|n| n.distance <= cutoff + ROUNDING).collect();
        near.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        let center = center as u32;
        if near.len() > count {
            let last = near[count - 1].distance;
            let sure = near.iter().take_while(|n| n.distance < last - TIE).count();
            let share = (count - sure) as f32 / (near.len() - sure) as f32;
            for (place, n) in near.iter().enumerate() {
                edges.push(center, n.site, n.distance, if place < sure { 1.0 } else { share });
            }
        } else {
            near.iter().for_each(|n| edges.push(center, n.site, n.distance, 1.0));
            (near.len()..count).for_each(|_| edges.push(center, 0, cutoff + BEYOND, 1.0));
        }
    }
    Ok(edges)
}
