//! Directed multigraphs: edges that need not have a reverse.

use druse_crystal::Lattice;

use super::index::Index;
use super::multigraph::EdgeEnds;

/// No edge.
const NONE: u32 = u32::MAX;

/// A directed multigraph over the atoms of a batch of crystals, such as that of the nearest neighbors: being among the
/// nearest of an atom says nothing of the other way.
///
/// Edges are sorted by (target, source, image), so the edges that reach an atom are a contiguous range. Crystals do not
/// share edges.
#[derive(Debug, Clone)]
pub struct DirectedGraph {
    /// Number of atoms of all crystals together (N).
    pub num_atoms: usize,
    /// First atom of each crystal, and N at the end.
    pub atom_ptr: Vec<u32>,
    /// Crystal of each atom.
    pub crystal_of_atom: Index,
    /// Atom that each edge leaves (E).
    pub source: Index,
    /// Atom that each edge reaches (E).
    pub target: Index,
    /// Cell offset of the source (E).
    pub image: Vec<[i32; 3]>,
    /// Cartesian vector from the source's image to the target (E), in the unit of the lattices.
    pub vectors: Vec<[f64; 3]>,
    /// Length of each vector (E).
    pub lengths: Vec<f64>,
    /// First edge that reaches each atom, and E at the end.
    target_ptr: Vec<u32>,
    /// The exact opposite of each edge, if there is one.
    reverse: Vec<u32>,
}

impl DirectedGraph {
    /// The graph of given edges (target, source, cell offset of the source), each of which is there once. Crystals are
    /// given as lattice and fractional coordinates, `edges` has one list for each.
    ///
    /// # Panics
    /// When the lists differ in number from the crystals, or an edge names an atom that its crystal does not have.
    pub fn from_edges(crystals: &[(Lattice, &[[f64; 3]])], edges: Vec<Vec<EdgeEnds>>) -> Self {
        assert_eq!(crystals.len(), edges.len(), "one list of edges for each crystal");
        let mut atom_ptr = vec![0u32];
        let (mut crystal_of_atom, mut target_ptr) = (Vec::new(), vec![0u32]);
        let (mut source, mut target) = (Vec::new(), Vec::new());
        let (mut image, mut vectors, mut reverse) = (Vec::new(), Vec::new(), Vec::new());
        for ((crystal, (lattice, frac)), mut edges) in (0u32..).zip(crystals).zip(edges) {
            let (first_atom, first_edge) = (crystal_of_atom.len() as u32, source.len() as u32);
            let atoms = frac.len() as u32;
            assert!(edges.iter().all(|&(i, j, _)| i < atoms && j < atoms), "an edge leads to no atom");
            edges.sort_unstable();
            edges.dedup();
            let places: Vec<[f64; 3]> = frac.iter().map(|&f| lattice.to_cartesian(f)).collect();
            for &(i, j, t) in &edges {
                source.push(first_atom + j);
                target.push(first_atom + i);
                image.push(t);
                let offset = lattice.to_cartesian(t.map(f64::from));
                let (to, from) = (places[i as usize], places[j as usize]);
                vectors.push(std::array::from_fn(|a| to[a] - from[a] - offset[a]));
                let opposite = edges.binary_search(&(j, i, t.map(|t| -t)));
                reverse.push(opposite.map_or(NONE, |place| first_edge + place as u32));
            }
            crystal_of_atom.extend(std::iter::repeat_n(crystal, frac.len()));
            atom_ptr.push(first_atom + atoms);
            let mut reached = edges.iter().map(|e| e.0).peekable();
            let mut count = first_edge;
            for i in 0..atoms {
                while reached.next_if_eq(&i).is_some() {
                    count += 1;
                }
                target_ptr.push(count);
            }
        }
        let lengths =
            vectors.iter().map(|v: &[f64; 3]| v.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
        Self {
            num_atoms: crystal_of_atom.len(),
            atom_ptr,
            crystal_of_atom: crystal_of_atom.into(),
            source: source.into(),
            target: target.into(),
            image,
            vectors,
            lengths,
            target_ptr,
            reverse,
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

    /// The range of edges that reach `atom`.
    pub fn edges_to(&self, atom: usize) -> std::ops::Range<usize> {
        self.target_ptr[atom] as usize..self.target_ptr[atom + 1] as usize
    }

    /// The edges that reach the source of an edge, but not its exact opposite.
    pub fn messages_before(&self, edge: usize) -> impl Iterator<Item = usize> + '_ {
        let opposite = self.reverse[edge] as usize;
        self.edges_to(self.source[edge] as usize).filter(move |&f| f != opposite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_sorted_by_their_target() {
        let (a, b) = (Lattice::cubic(2.0).unwrap(), Lattice::cubic(4.0).unwrap());
        let (one, two) = ([[0.25; 3]], [[0.0; 3], [0.5, 0.0, 0.0]]);
        let first = vec![(0, 0, [0, 0, 1]), (0, 0, [0, 0, -1])];
        let second = vec![(1, 0, [1, 0, 0]), (0, 1, [0; 3]), (1, 0, [0; 3])];
        let graph = DirectedGraph::from_edges(&[(a, &one), (b, &two)], vec![first, second]);
        assert_eq!((graph.num_atoms, graph.num_edges(), graph.num_crystals()), (3, 5, 2));
        assert_eq!(*graph.target, [0, 0, 1, 2, 2]);
        assert_eq!(*graph.source, [0, 0, 2, 1, 1]);
        assert_eq!(graph.vectors[3..], [[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0]]);
        assert_eq!(graph.lengths, [2.0; 5]);
        assert_eq!((0..3).map(|a| graph.edges_to(a)).collect::<Vec<_>>(), [0..2, 2..3, 3..5]);
        // The images of an atom are opposite to each other; of the edges 1 → 2 only the one in the cell has its opposite.
        let before: Vec<Vec<usize>> = (0..5).map(|e| graph.messages_before(e).collect()).collect();
        assert_eq!(before, [vec![0], vec![1], vec![4], vec![], vec![2]]);
    }
}
