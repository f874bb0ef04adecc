//! The graph of a crystal and its line graph, as ALIGNN builds them.

use std::collections::BTreeSet;

use druse_crystal::{Composition, Structure, k_nearest};

use crate::ModelError;

/// The directed edges of one crystal and the pairs of them that follow one another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlignnGraph {
    /// Atom that each edge leaves (E).
    pub source: Vec<u32>,
    /// Atom that each edge reaches (E).
    pub target: Vec<u32>,
    /// From the source to the target, Å (E).
    pub vector: Vec<[f64; 3]>,
    /// The first edge of each pair: edges of the line graph (L), sorted.
    pub first: Vec<u32>,
    /// The second one, which leaves the atom that the first one reaches.
    pub second: Vec<u32>,
    /// Cosine of the angle between both at that atom (L); 1 for the way back.
    pub cosine: Vec<f64>,
}

impl AlignnGraph {
    /// The graph of given edges: sources, targets, vectors (Å).
    ///
    /// # Errors
    /// In words, when the lists differ in length, or an edge names an atom beyond the number of atoms.
    pub fn from_edges(
        atoms: usize,
        source: Vec<u32>,
        target: Vec<u32>,
        vector: Vec<[f64; 3]>,
    ) -> Result<Self, String> {
        if source.len() != target.len() || source.len() != vector.len() {
            return Err("sources, targets and vectors differ in number".into());
        }
        if source.iter().chain(&target).any(|&a| a as usize >= atoms) {
            return Err("an edge leads to no atom".into());
        }
        Ok(Self::paired(atoms, source, target, vector))
    }

    /// [`AlignnGraph::from_edges`] of lists that fit.
    fn paired(atoms: usize, source: Vec<u32>, target: Vec<u32>, vector: Vec<[f64; 3]>) -> Self {
        let mut leaving = vec![Vec::new(); atoms];
        (0u32..).zip(&source).for_each(|(e, &a)| leaving[a as usize].push(e));
        let lengths: Vec<f64> = vector.iter().map(|v| dot(v, v).sqrt()).collect();
        let mut graph = Self { source, target, vector, ..Self::default() };
        for (e, &middle) in (0u32..).zip(&graph.target) {
            for &f in leaving[middle as usize].iter().filter(|&&f| f != e) {
                let (i, j) = (e as usize, f as usize);
                let cosine = -dot(&graph.vector[i], &graph.vector[j]) / (lengths[i] * lengths[j]);
                graph.first.push(e);
                graph.second.push(f);
                graph.cosine.push(cosine.clamp(-1.0, 1.0));
            }
        }
        graph
    }

    /// Number of directed edges.
    pub fn num_edges(&self) -> usize {
        self.source.len()
    }

    /// Number of edges of the line graph.
    pub fn num_pairs(&self) -> usize {
        self.first.len()
    }

    /// Lengths of the edges, Å.
    pub fn lengths(&self) -> impl Iterator<Item = f64> + '_ {
        self.vector.iter().map(|v| dot(v, v).sqrt())
    }
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The graph of a crystal: an atom is joined with its `count` nearest neighbors and all that are as far as the last of them (to
/// 10⁻⁶ Å), by an edge in each direction, whichever of the two atoms has the other among its neighbors. As published, the images
/// of an atom at +R and -R count as two neighbors, each of which brings both directions, so these edges are there twice.
///
/// # Errors
/// [`ModelError::Graph`] when there are too many neighbors to look at.
pub fn shell_graph(structure: &Structure, count: usize) -> Result<AlignnGraph, ModelError> {
    let list =
        k_nearest(&structure.lattice, &structure.frac_coords, count).map_err(|e| ModelError::Graph {
            what: Composition::from_species(&structure.species).formula(),
            atoms: structure.len(),
            source: Box::new(e),
        })?;
    let mut joined = BTreeSet::new();
    for i in 0..structure.len() as u32 {
        for n in list.of(i as usize) {
            // The smaller atom first, in the cell.
            joined.insert(match n.site >= i {
                true => (i, n.site, n.image),
                false => (n.site, i, n.image.map(|t| -t)),
            });
        }
    }
    let (mut source, mut target, mut vector) = (Vec::new(), Vec::new(), Vec::new());
    for (i, j, image) in joined {
        let (from, to) = (structure.frac_coords[i as usize], structure.frac_coords[j as usize]);
        let apart = std::array::from_fn(|a| to[a] + f64::from(image[a]) - from[a]);
        let r = structure.lattice.to_cartesian(apart);
        source.extend([i, j]);
        target.extend([j, i]);
        vector.extend([r, r.map(|x| -x)]);
    }
    Ok(AlignnGraph::paired(structure.len(), source, target, vector))
}
