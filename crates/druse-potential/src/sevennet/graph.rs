//! Which atoms see each other, and in which portions a network works on them.

use std::ops::Range;

use druse_crystal::{Element, Structure};
use druse_relax::PotentialError;

use super::config::Config;
use super::harmonics::{components, harmonics};
use crate::edges::{self, Edges, length};
use crate::real::Real;

/// Atoms and edges of a portion that a thread works on at a time: its messages and radial weights stay in the caches.
const PORTION_ATOMS: usize = 16;
const PORTION_EDGES: usize = 512;

/// The directed edges of one crystal, sorted by the receiving atom, then by the element of the sender.
#[derive(Debug)]
pub(super) struct Graph {
    /// Row of each atom's element in the weights.
    pub types: Vec<u8>,
    /// Volume of the cell (Å³).
    pub volume: f64,
    /// Where the edges of each atom begin, and their number.
    ptr: Vec<usize>,
    edges: Vec<Edge>,
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    /// The sending atom: its element's row first, so that this is also the order of edges.
    key: (u8, u32, [i32; 3]),
    /// From receiver to sender (Å).
    vector: [f64; 3],
}

impl Graph {
    /// The graph of a crystal.
    ///
    /// # Errors
    /// [`PotentialError`] for an unknown element, a cell whose neighbors cannot be listed, and sites on one spot.
    pub fn new(config: &Config, types: &[Option<u8>], crystal: &Structure) -> Result<Self, PotentialError> {
        let of = |&element: &Element| {
            types[usize::from(element.z())]
                .ok_or_else(|| PotentialError::UnknownElement { potential: config.name.clone(), element })
        };
        let types = crystal.species.iter().map(of).collect::<Result<Vec<u8>, _>>()?;
        let mut found = Edges::new(&config.name, config.cutoff, crystal)?;
        let keyed =
            |e: &edges::Edge| Edge { key: (types[e.sender as usize], e.sender, e.image), vector: e.vector };
        let mut edges: Vec<Edge> = found.list.iter().map(keyed).collect();
        for own in found.ptr.windows(2) {
            edges[own[0]..own[1]].sort_unstable_by_key(|e| e.key);
        }
        let ptr = std::mem::take(&mut found.ptr);
        Ok(Self { types, volume: crystal.lattice.volume(), ptr, edges })
    }

    /// Number of atoms.
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// Number of directed edges.
    pub fn edges(&self) -> usize {
        self.edges.len()
    }

    /// Whether it makes one portion together with some others, or alone.
    pub fn fits(&self, others: &[&Self]) -> bool {
        let sum = |count: fn(&Self) -> usize| count(self) + others.iter().map(|g| count(g)).sum::<usize>();
        sum(Self::len) <= PORTION_ATOMS && sum(Self::edges) <= PORTION_EDGES
    }

    /// Index of the edge from `sender` that an edge of `receiver` is the reverse of.
    fn reverse(&self, receiver: usize, edge: &Edge) -> Option<usize> {
        let (_, sender, image) = edge.key;
        let own = self.ptr[sender as usize]..self.ptr[sender as usize + 1];
        let key = (self.types[receiver], receiver as u32, image.map(|i| -i));
        let found = self.edges[own.clone()].binary_search_by_key(&key, |e| e.key);
        found.ok().map(|at| own.start + at)
    }
}

/// Some crystals in one list of atoms: small ones together, or a large one alone.
#[derive(Debug)]
pub(super) struct Batch<R> {
    /// Row of each atom's element in the weights.
    pub types: Vec<u8>,
    /// Where the edges of each atom begin, and their number.
    pub ptr: Vec<usize>,
    /// The sending atom of each edge.
    pub sender: Vec<u32>,
    /// Unit vectors from receiver to sender.
    pub direction: Vec<[f64; 3]>,
    /// Lengths (Å).
    pub length: Vec<f64>,
    /// Spherical harmonics of the directions.
    pub harmonics: Vec<R>,
    /// Portions of its atoms.
    pub portions: Vec<Portion>,
}

/// Neighboring atoms of a [`Batch`] that are worked on at once.
#[derive(Debug)]
pub(super) struct Portion {
    pub atoms: Range<usize>,
    pub edges: Range<usize>,
    /// Distances that radial weights are needed at. Both directions of a pair within the portion share one.
    pub distances: Vec<f64>,
    /// Which of the distances is that of each edge.
    pub row: Vec<u32>,
}

impl<R: Real> Batch<R> {
    /// One large crystal, or small ones.
    pub fn new(graphs: &[&Graph], degree: usize) -> Self {
        let mut batch = Self {
            types: Vec::new(),
            ptr: vec![0],
            sender: Vec::new(),
            direction: Vec::new(),
            length: Vec::new(),
            harmonics: Vec::new(),
            portions: Vec::new(),
        };
        for graph in graphs {
            let first = batch.types.len();
            let before = batch.sender.len();
            batch.types.extend(&graph.types);
            batch.ptr.extend(graph.ptr[1..].iter().map(|p| before + p));
            for edge in &graph.edges {
                batch.sender.push(first as u32 + edge.key.1);
                let r = length(edge.vector);
                let direction = edge.vector.map(|x| x / r);
                batch.length.push(r);
                batch.direction.push(direction);
                let y = harmonics(direction, degree);
                batch.harmonics.extend(y[..components(degree)].iter().map(|&y| R::narrow(y)));
            }
        }
        batch.portions = match graphs {
            [large] if !large.fits(&[]) => batch.cut(large),
            small => vec![batch.portion(small, 0..batch.types.len())],
        };
        batch
    }

    /// Portions of one large crystal.
    fn cut(&self, graph: &Graph) -> Vec<Portion> {
        let (mut portions, mut begin) = (Vec::new(), 0);
        for atom in 1..=graph.len() {
            let full = atom - begin == PORTION_ATOMS
                || atom < graph.len() && graph.ptr[atom + 1] - graph.ptr[begin] > PORTION_EDGES;
            if full || atom == graph.len() {
                portions.push(self.portion(&[graph], begin..atom));
                begin = atom;
            }
        }
        portions
    }

    /// The portion of some atoms: of one crystal, or of all atoms of several.
    fn portion(&self, graphs: &[&Graph], atoms: Range<usize>) -> Portion {
        let edges = self.ptr[atoms.start]..self.ptr[atoms.end];
        let mut portion = Portion { atoms, edges, distances: Vec::new(), row: Vec::new() };
        let (mut first, mut before) = (0, 0);
        for graph in graphs {
            let own = portion.atoms.start.max(first)..portion.atoms.end.min(first + graph.len());
            for atom in own {
                let receiver = atom - first;
                for at in graph.ptr[receiver]..graph.ptr[receiver + 1] {
                    let edge = before + at;
                    // A reverse that has not been reached yet will find this one.
                    let known = graph
                        .reverse(receiver, &graph.edges[at])
                        .map(|reverse| before + reverse)
                        .filter(|&reverse| reverse >= portion.edges.start && reverse < edge);
                    let row = match known {
                        Some(reverse) => portion.row[reverse - portion.edges.start],
                        None => {
                            portion.distances.push(self.length[edge]);
                            portion.distances.len() as u32 - 1
                        }
                    };
                    portion.row.push(row);
                }
            }
            first += graph.len();
            before += graph.edges();
        }
        portion.sort();
        portion
    }
}

impl Portion {
    /// Sorts the distances, so that those in one piece of a table follow one another.
    fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.distances.len()).collect();
        order.sort_unstable_by(|&a, &b| self.distances[a].total_cmp(&self.distances[b]));
        let mut place = vec![0; order.len()];
        order.iter().zip(0..).for_each(|(&from, to)| place[from] = to);
        self.distances = order.iter().map(|&from| self.distances[from]).collect();
        self.row.iter_mut().for_each(|row| *row = place[*row as usize]);
    }
}
