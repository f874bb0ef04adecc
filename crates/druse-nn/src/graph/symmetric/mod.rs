//! The symmetric multigraph: the distinct sites of crystals in their space groups, joined with the copies of sites that the
//! operations make.

mod harmonics;
mod operations;
mod search;

use druse_crystal::{Lattice, NeighborError};

use super::index::Index;
pub use harmonics::{AngleRule, PairedHarmonics};
pub use operations::{GroupOperations, NoGroup};
pub use search::CopyRule;
use search::{is_own_copy, nearest_copies};

/// One edge: from a site to a copy of a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SymmetricEdge {
    /// The site that it leaves.
    pub source: u32,
    /// The site whose copy it reaches.
    pub destination: u32,
    /// Vector from the source to the copy, fractional in the cell of the operations.
    pub frac_vector: [f64; 3],
    /// The same vector, Cartesian (Å).
    pub vector: [f64; 3],
    /// The vector turned by the inverse of the copy's operation (Å): as it comes in among the edges that leave the
    /// destination itself.
    pub arriving: [f64; 3],
    /// Whether it joins a site with a copy of itself under another operation than the identity.
    pub own_copy: bool,
}

/// The edges of one crystal, by the site that they leave.
#[derive(Debug, Clone, PartialEq)]
pub struct SymmetricEdges {
    /// Number of sites.
    pub sites: usize,
    /// The edges, sorted by their source.
    pub edges: Vec<SymmetricEdge>,
}

impl SymmetricEdges {
    /// Joins every site with the `count` nearest copies of all sites under the operations of a space group, at more than
    /// 0.15 Å; the rule says how copies on one spot count. Sites are fractional coordinates in a primitive cell of the group.
    ///
    /// Unless an edge leads to a copy of the site that it leaves, by another operation than the identity, its opposite is
    /// there too, from the other site to the copy by the inverse operation, although that may be farther than the nearest
    /// ones. Sorted by (source, destination, operation, cell). Of equally distant copies (within 1e-6 Å) those by earlier
    /// operations are nearer.
    ///
    /// # Errors
    /// [`NeighborError::TooManyImages`] for a cell that is so small, flat or long that the search would be endless.
    pub fn nearest(
        lattice: &Lattice,
        group: &GroupOperations,
        sites: &[[f64; 3]],
        count: usize,
        rule: CopyRule,
    ) -> Result<Self, NeighborError> {
        let edges = nearest_copies(lattice, group, sites, count, rule)?.into_iter().map(|ends| {
            let copy = group.operations()[ends.operation as usize].apply(sites[ends.destination as usize]);
            let from = sites[ends.source as usize];
            let frac_vector = std::array::from_fn(|k| copy[k] + f64::from(ends.image[k]) - from[k]);
            SymmetricEdge {
                source: ends.source,
                destination: ends.destination,
                frac_vector,
                vector: lattice.to_cartesian(frac_vector),
                arriving: lattice.to_cartesian(group.turned_back(ends.operation, frac_vector)),
                own_copy: is_own_copy(&ends, group),
            }
        });
        Ok(Self { sites: sites.len(), edges: edges.collect() })
    }
}

/// The symmetric multigraph of a batch of crystals. Edges are sorted by the site that they leave; crystals do not share
/// edges.
#[derive(Debug, Clone)]
pub struct SymmetricGraph {
    /// Sites of all crystals together (N).
    pub num_sites: usize,
    /// First site of each crystal, and N at the end.
    pub site_ptr: Vec<u32>,
    /// First edge of each crystal, and E at the end.
    pub edge_ptr: Vec<u32>,
    /// Crystal of each site.
    pub crystal_of_site: Index,
    /// Site that each edge leaves (E).
    pub source: Index,
    /// Site whose copy each edge reaches (E).
    pub destination: Index,
    /// Row `2 · source`, or the next one where the edge leads to a copy of its source under another operation (E).
    pub source_and_kind: Index,
    /// Fractional vector of each edge (E).
    pub frac_vectors: Vec<[f64; 3]>,
    /// Cartesian vector of each edge in Å (E).
    pub vectors: Vec<[f64; 3]>,
    /// Each vector as its destination sees it come in (E).
    pub arriving: Vec<[f64; 3]>,
    /// Length of each vector (E).
    pub lengths: Vec<f64>,
    /// First edge of each site, and E at the end.
    source_ptr: Vec<u32>,
    /// All edges, sorted by their destination.
    incoming: Vec<u32>,
    /// Where those of each site begin, and E at the end.
    incoming_ptr: Vec<u32>,
}

/// Where the items of each group begin, given the group of each item.
fn starts(groups: usize, of: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut ptr = vec![0; groups + 1];
    of.for_each(|group| ptr[group as usize + 1] += 1);
    for i in 0..groups {
        ptr[i + 1] += ptr[i];
    }
    ptr
}

impl SymmetricGraph {
    /// Puts the edges of crystals one behind the other.
    ///
    /// # Panics
    /// When edges are not sorted by their source or name a site that their crystal does not have.
    pub fn join(crystals: &[SymmetricEdges]) -> Self {
        let edges = crystals.iter().map(|c| c.edges.len()).sum();
        let (mut site_ptr, mut edge_ptr, mut crystal_of_site) = (vec![0u32], vec![0u32], Vec::new());
        let [mut source, mut destination, mut kind] = [0; 3].map(|_: u8| Vec::with_capacity(edges));
        let mut all = Vec::with_capacity(edges);
        for (crystal, c) in (0u32..).zip(crystals) {
            let first = crystal_of_site.len() as u32;
            assert!(c.edges.is_sorted_by_key(|e| e.source), "edges are sorted by their source");
            for e in &c.edges {
                assert!((e.source.max(e.destination) as usize) < c.sites, "an edge leads to no site");
                source.push(first + e.source);
                destination.push(first + e.destination);
                kind.push(2 * (first + e.source) + u32::from(e.own_copy));
                all.push(e);
            }
            crystal_of_site.extend(std::iter::repeat_n(crystal, c.sites));
            site_ptr.push(first + c.sites as u32);
            edge_ptr.push(source.len() as u32);
        }
        let num_sites = crystal_of_site.len();
        let source_ptr = starts(num_sites, source.iter().copied());
        let incoming_ptr = starts(num_sites, destination.iter().copied());
        let mut next = incoming_ptr.clone();
        let mut incoming = vec![0; edges];
        for (e, &site) in (0u32..).zip(&destination) {
            let at = &mut next[site as usize];
            incoming[*at as usize] = e;
            *at += 1;
        }
        Self {
            num_sites,
            site_ptr,
            edge_ptr,
            crystal_of_site: crystal_of_site.into(),
            source: source.into(),
            destination: destination.into(),
            source_and_kind: kind.into(),
            frac_vectors: all.iter().map(|e| e.frac_vector).collect(),
            vectors: all.iter().map(|e| e.vector).collect(),
            arriving: all.iter().map(|e| e.arriving).collect(),
            lengths: all.iter().map(|e| e.vector.iter().map(|x| x * x).sum::<f64>().sqrt()).collect(),
            source_ptr,
            incoming,
            incoming_ptr,
        }
    }

    /// Number of edges E.
    pub fn num_edges(&self) -> usize {
        self.source.len()
    }

    /// Number of crystals B.
    pub fn num_crystals(&self) -> usize {
        self.site_ptr.len() - 1
    }

    /// The range of edges that leave a site.
    pub fn edges_from(&self, site: usize) -> std::ops::Range<usize> {
        self.source_ptr[site] as usize..self.source_ptr[site + 1] as usize
    }

    /// Where the edges that reach copies of a site are in the list of all edges by their destination.
    pub(crate) fn places_into(&self, site: usize) -> std::ops::Range<usize> {
        self.incoming_ptr[site] as usize..self.incoming_ptr[site + 1] as usize
    }

    /// All edges by their destination.
    pub(crate) fn incoming(&self) -> &[u32] {
        &self.incoming
    }

    /// All pairs (p, q) of an edge p that leaves the site whose copy q reaches, those that lead back included; q is the slow
    /// index.
    pub fn pairs(&self) -> (Vec<u32>, Vec<u32>) {
        let (mut ps, mut qs) = (Vec::new(), Vec::new());
        for (q, &site) in (0u32..).zip(self.destination.iter()) {
            let leaving = self.edges_from(site as usize);
            qs.extend(std::iter::repeat_n(q, leaving.len()));
            ps.extend(leaving.map(|p| p as u32));
        }
        (ps, qs)
    }
}
