//! Which sites of a crystal see each other.

use druse_crystal::{NeighborError, Structure, within_cutoff};
use druse_relax::PotentialError;

/// Added to the cutoff of the search (Å), so that rounding there never finds a pair from one side only.
const MARGIN: f64 = 1e-6;

/// Most neighbors of an atom. The densest crystals have some hundred within 5 Å; more than this is a collapsed cell, whose
/// energy means nothing and takes long.
const MAX_NEIGHBORS: usize = 4096;

/// A directed edge, from a site to one that it sees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    /// The site that is seen.
    pub sender: u32,
    /// Its lattice translation.
    pub image: [i32; 3],
    /// From the site to it (Å); of the reverse edge this is the negative, to the last bit.
    pub vector: [f64; 3],
    /// Length (Å).
    pub length: f64,
}

/// The directed edges of a crystal, those of each site sorted by the site that is seen, then by its image.
#[derive(Debug)]
pub(crate) struct Edges {
    /// Where the edges of each site begin, and their number.
    pub ptr: Vec<usize>,
    pub list: Vec<Edge>,
}

impl Edges {
    /// The edges below a cutoff (Å), own images included.
    ///
    /// # Errors
    /// [`PotentialError`] for a cell whose neighbors cannot be listed, sites without a place, and sites on one spot.
    pub fn new(potential: &str, cutoff: f64, crystal: &Structure) -> Result<Self, PotentialError> {
        let not_finite = |what| PotentialError::NotFinite { potential: potential.to_owned(), what };
        let frac = &crystal.frac_coords;
        if frac.iter().flatten().any(|x| !x.is_finite()) {
            return Err(not_finite("energy of sites without a place"));
        }
        let found = within_cutoff(&crystal.lattice, frac, cutoff + MARGIN)?;
        let rows = crystal.lattice.rows();
        let mut edges = Self { ptr: vec![0], list: Vec::with_capacity(found.neighbors.len()) };
        for (i, from) in frac.iter().enumerate() {
            let neighbors = found.of(i);
            if neighbors.len() > MAX_NEIGHBORS {
                let limit = MAX_NEIGHBORS;
                let neighbors = neighbors.len();
                return Err(
                    NeighborError::TooManyNeighbors { site: i, neighbors, radius: cutoff, limit }.into()
                );
            }
            for neighbor in neighbors {
                let to = &frac[neighbor.site as usize];
                let apart: [f64; 3] =
                    std::array::from_fn(|k| (to[k] - from[k]) + f64::from(neighbor.image[k]));
                let vector: [f64; 3] = std::array::from_fn(|c| {
                    apart[0] * rows[0][c] + apart[1] * rows[1][c] + apart[2] * rows[2][c]
                });
                let length = length(vector);
                if length == 0.0 {
                    return Err(not_finite("force on sites on one spot"));
                }
                if length < cutoff {
                    edges.list.push(Edge { sender: neighbor.site, image: neighbor.image, vector, length });
                }
            }
            edges.ptr.push(edges.list.len());
        }
        Ok(edges)
    }

    /// Index of the edge that edge `at` of a site is the reverse of.
    pub fn reverse(&self, site: usize, at: usize) -> Option<usize> {
        let edge = &self.list[at];
        let own = self.ptr[edge.sender as usize]..self.ptr[edge.sender as usize + 1];
        let key = (site as u32, edge.image.map(|i| -i));
        let found = self.list[own.clone()].binary_search_by_key(&key, |e| (e.sender, e.image));
        found.ok().map(|place| own.start + place)
    }
}

pub(crate) fn length(v: [f64; 3]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}
