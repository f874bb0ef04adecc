//! The symmetrized k-nearest-neighbor multigraph of a batch of crystals.

use druse_crystal::{Lattice, NeighborError, k_nearest};

use super::crystals::of_crystals;
use super::ends::{EdgeEnds, SortedEdges};
use super::index::Index;
#[cfg(feature = "gpu")]
use crate::device::PerDevice;

/// Why a batch of crystals has no multigraph.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("crystal {crystal} of the batch: {source}")]
pub struct GraphError {
    /// Place of the crystal in the batch, from 0.
    pub crystal: usize,
    /// The reason.
    pub source: NeighborError,
}

/// A directed multigraph over the atoms of a batch of crystals; parallel edges lead to different periodic images.
///
/// Edges are sorted by (source, destination, image), so the edges that leave one atom are a contiguous range, and
/// every edge has its reverse in the graph. Crystals do not share edges.
#[derive(Debug, Clone)]
pub struct Multigraph {
    /// Atoms of all crystals together (N).
    pub num_atoms: usize,
    /// First atom of each crystal, and N at the end.
    pub atom_ptr: Vec<u32>,
    /// Crystal of each atom.
    pub crystal_of_atom: Index,
    /// Atom that each edge leaves (E).
    pub source: Index,
    /// Atom that each edge reaches (E).
    pub destination: Index,
    /// Cell offset of the destination (E).
    pub image: Vec<[i32; 3]>,
    /// Index of the opposite edge (E).
    pub reverse: Index,
    /// First edge of each atom, and E at the end.
    pub source_ptr: Vec<u32>,
    /// Fractional vector from source to the destination's image (E).
    pub frac_vectors: Vec<[f64; 3]>,
    /// Cartesian vector from source to the destination's image (E), in the unit of the lattices.
    pub vectors: Vec<[f64; 3]>,
    /// Length of each vector (E).
    pub lengths: Vec<f64>,
    /// What GPUs have received of the graph.
    #[cfg(feature = "gpu")]
    pub(crate) uploads: PerDevice,
}

/// Edges of one crystal; atoms and edges are counted from its first.
struct CrystalEdges {
    ends: SortedEdges,
    reverse: Vec<u32>,
    frac_vectors: Vec<[f64; 3]>,
    vectors: Vec<[f64; 3]>,
}

impl CrystalEdges {
    fn nearest(lattice: &Lattice, frac: &[[f64; 3]], k: usize) -> Result<Self, NeighborError> {
        let list = k_nearest(lattice, frac, k)?;
        let mut ends = Vec::with_capacity(2 * list.neighbors.len());
        for i in 0..frac.len() {
            for n in &list.neighbors[list.ptr[i]..list.ptr[i + 1]] {
                ends.push((i as u32, n.site, n.image));
                ends.push((n.site, i as u32, n.image.map(|t| -t)));
            }
        }
        Ok(Self::of_pairs(lattice, frac, ends))
    }

    /// Sorts the edges, drops duplicates and measures them; `ends` holds the reverse of every edge.
    fn of_pairs(lattice: &Lattice, frac: &[[f64; 3]], ends: Vec<EdgeEnds>) -> Self {
        let ends = SortedEdges::new(ends);
        let count = ends.len();
        let (reverse, vectors) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut edges = Self { ends, reverse, frac_vectors: Vec::with_capacity(count), vectors };
        for &(i, j, t) in edges.ends.iter() {
            let opposite = edges.ends.opposite((i, j, t));
            edges.reverse.push(opposite.expect("the edge list holds the reverse of every edge"));
            let (from, to) = (frac[i as usize], frac[j as usize]);
            let e: [f64; 3] = std::array::from_fn(|a| to[a] + f64::from(t[a]) - from[a]);
            edges.frac_vectors.push(e);
            edges.vectors.push(lattice.to_cartesian(e));
        }
        edges
    }
}

impl Multigraph {
    /// Joins every atom with its `k` nearest neighbors, ties included (`1e-3 < d <= d_k + 1e-6` with the distance d_k of
    /// the k-th), adds the reverse of each edge and removes duplicates. Crystals are given as lattice and fractional
    /// coordinates.
    ///
    /// # Errors
    /// [`GraphError`] for the first crystal whose cell is too small or too flat to be searched.
    pub fn nearest(crystals: &[(Lattice, &[[f64; 3]])], k: usize) -> Result<Self, GraphError> {
        // Crystals share no edges.
        let search = |&(ref lattice, frac): &(Lattice, &[[f64; 3]])| CrystalEdges::nearest(lattice, frac, k);
        let found: Result<Vec<CrystalEdges>, GraphError> = of_crystals(crystals, search)
            .into_iter()
            .enumerate()
            .map(|(crystal, edges)| edges.map_err(|source| GraphError { crystal, source }))
            .collect();
        Ok(Self::join(crystals, found?))
    }

    /// The multigraph of given edges and their reverses; an edge that is given more than once, or together with its
    /// reverse, is there once in each direction. Crystals are given as lattice and fractional coordinates, `edges` has
    /// one list for each.
    ///
    /// # Panics
    /// When the lists differ in number from the crystals, or an edge names an atom that its crystal does not have.
    pub fn from_edges(crystals: &[(Lattice, &[[f64; 3]])], edges: Vec<Vec<EdgeEnds>>) -> Self {
        assert_eq!(crystals.len(), edges.len(), "one list of edges for each crystal");
        let found = crystals.iter().zip(edges).map(|(&(ref lattice, frac), mut ends)| {
            let atoms = frac.len() as u32;
            assert!(ends.iter().all(|&(i, j, _)| i < atoms && j < atoms), "an edge leads to no atom");
            ends.extend_from_within(..);
            let half = ends.len() / 2;
            for (i, j, t) in &mut ends[half..] {
                std::mem::swap(i, j);
                *t = t.map(|t| -t);
            }
            CrystalEdges::of_pairs(lattice, frac, ends)
        });
        Self::join(crystals, found.collect())
    }

    /// Puts the edges of crystals one behind the other.
    fn join(crystals: &[(Lattice, &[[f64; 3]])], found: Vec<CrystalEdges>) -> Self {
        let mut atom_ptr = vec![0u32];
        let mut crystal_of_atom = Vec::new();
        let (mut source, mut destination, mut image) = (Vec::new(), Vec::new(), Vec::new());
        let (mut frac_vectors, mut vectors) = (Vec::new(), Vec::new());
        let mut reverse: Vec<u32> = Vec::new();
        for ((crystal, (_, frac)), edges) in (0u32..).zip(crystals).zip(found) {
            let first_atom = atom_ptr[atom_ptr.len() - 1];
            let first_edge = source.len() as u32;
            for &(i, j, t) in edges.ends.iter() {
                source.push(first_atom + i);
                destination.push(first_atom + j);
                image.push(t);
            }
            reverse.extend(edges.reverse.into_iter().map(|e| first_edge + e));
            frac_vectors.extend(edges.frac_vectors);
            vectors.extend(edges.vectors);
            crystal_of_atom.extend(std::iter::repeat_n(crystal, frac.len()));
            atom_ptr.push(first_atom + frac.len() as u32);
        }
        let num_atoms = crystal_of_atom.len();
        let mut source_ptr = vec![0u32; num_atoms + 1];
        for &s in &source {
            source_ptr[s as usize + 1] += 1;
        }
        for a in 0..num_atoms {
            source_ptr[a + 1] += source_ptr[a];
        }
        let lengths = vectors.iter().map(|v| v.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
        Self {
            num_atoms,
            atom_ptr,
            crystal_of_atom: crystal_of_atom.into(),
            source: source.into(),
            destination: destination.into(),
            image,
            reverse: reverse.into(),
            source_ptr,
            frac_vectors,
            vectors,
            lengths,
            #[cfg(feature = "gpu")]
            uploads: PerDevice::default(),
        }
    }

    /// Number of edges E.
    pub fn num_edges(&self) -> usize {
        self.source.len()
    }

    /// Number of crystals B.
    pub fn num_crystals(&self) -> usize {
        self.atom_ptr.len() - 1
    }

    /// The range of edges that leave `atom`.
    pub fn edges_from(&self, atom: usize) -> std::ops::Range<usize> {
        self.source_ptr[atom] as usize..self.source_ptr[atom + 1] as usize
    }

    /// Number of atoms of each crystal.
    pub fn atoms_per_crystal(&self) -> impl Iterator<Item = usize> + '_ {
        self.atom_ptr.windows(2).map(|w| (w[1] - w[0]) as usize)
    }

    /// Ordered pairs of distinct edges that leave the same atom, for each crystal.
    pub fn triplets_per_crystal(&self) -> Vec<usize> {
        let mut counts = vec![0; self.num_crystals()];
        for a in 0..self.num_atoms {
            let k = self.edges_from(a).len();
            counts[self.crystal_of_atom[a] as usize] += k * k.saturating_sub(1);
        }
        counts
    }

    /// All ordered pairs (p, q) of distinct edges that leave the same atom; q is the slow index.
    pub fn triplets(&self) -> (Vec<u32>, Vec<u32>) {
        let (mut ps, mut qs) = (Vec::new(), Vec::new());
        for a in 0..self.num_atoms {
            for q in self.edges_from(a) {
                for p in self.edges_from(a).filter(|&p| p != q) {
                    ps.push(p as u32);
                    qs.push(q as u32);
                }
            }
        }
        (ps, qs)
    }
}
