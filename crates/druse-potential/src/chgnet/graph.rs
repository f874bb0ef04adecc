//! The atom graph of a crystal, its undirected bonds, and the angles between short ones.

use std::ops::Range;

use druse_crystal::{NeighborError, Structure};
use druse_relax::PotentialError;

use super::weights::{BOND_CUTOFF, CUTOFF, ELEMENTS, NAME};
use crate::edges::{Edge, Edges};

/// Most neighbors of an atom within 3 Å. The densest crystals have some thirty; more than this is a collapsed cell.
const MAX_SHORT: usize = 128;

/// Most angles of a crystal: 2.5 GB. Crystals have some hundred an atom.
const MAX_ANGLES: usize = 1 << 20;

/// Atoms, edges and angles of a portion that a thread works on at a time.
const PORTION_ATOMS: usize = 32;
const PORTION_EDGES: usize = 4096;

/// Places of a directed edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct EdgeIndex {
    /// The atom that it leaves.
    pub center: u32,
    /// The atom that it goes to.
    pub neighbor: u32,
    /// Its undirected bond.
    pub bond: u32,
    /// The same bond, the other way.
    pub reverse: u32,
}

/// Places of a short directed edge: one that makes angles.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShortIndex {
    /// Which of all directed edges it is.
    pub edge: u32,
    /// Its bond among the short ones.
    pub bond: u32,
    /// The same bond, the other way, among the short edges.
    pub reverse: u32,
}

/// A short bond.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShortBond {
    /// Which of all bonds it is.
    pub bond: u32,
    /// Its two directions among the short edges.
    pub shorts: [u32; 2],
}

/// Places of an angle: two different short edges that leave one atom, in this order.
#[derive(Debug, Clone, Copy)]
pub(super) struct AngleIndex {
    pub center: u32,
    /// The short edges.
    pub shorts: [u32; 2],
    /// Their short bonds; equal for the two directions to an own image.
    pub bonds: [u32; 2],
    /// The pair of edges whatever their order.
    pub pair: u32,
}

/// A pair of short edges with one center.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    /// The short edges.
    pub shorts: [u32; 2],
    /// The angles in both orders.
    pub angles: [u32; 2],
}

/// The graph of one crystal. Edges, short bonds, short edges and angles are sorted by the atom that they leave; a bond belongs
/// to the atom of its first edge.
#[derive(Debug)]
pub(super) struct Graph {
    /// Row of each atom's element in the weights.
    pub types: Vec<u8>,
    /// Volume of the cell (Å³).
    pub volume: f64,
    pub edges: Vec<EdgeIndex>,
    pub geometry: Vec<Edge>,
    /// The first edge of each bond.
    pub bonds: Vec<u32>,
    pub shorts: Vec<ShortIndex>,
    pub short_bonds: Vec<ShortBond>,
    pub angles: Vec<AngleIndex>,
    pub pairs: Vec<Pair>,
    pub portions: Vec<Portion>,
}

/// Neighboring atoms with what belongs to them.
#[derive(Debug, Clone)]
pub(super) struct Portion {
    pub atoms: Range<usize>,
    pub edges: Range<usize>,
    /// Its bonds, the short ones first.
    pub bonds: Range<usize>,
    pub shorts: Range<usize>,
    pub short_bonds: Range<usize>,
    pub angles: Range<usize>,
    pub pairs: Range<usize>,
}

/// How many there are of everything before an atom.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    edges: usize,
    bonds: usize,
    shorts: usize,
    short_bonds: usize,
    angles: usize,
}

impl Portion {
    /// Those of its bonds that are short: they are in the order of the short bonds.
    pub fn first_bonds(&self) -> Range<usize> {
        self.bonds.start..self.bonds.start + self.short_bonds.len()
    }
}

impl Graph {
    /// The graph of a crystal.
    ///
    /// # Errors
    /// [`PotentialError`] for an element beyond plutonium, an atom without neighbors, and a cell whose neighbors cannot be
    /// listed or make too many angles.
    pub fn new(crystal: &Structure) -> Result<Self, PotentialError> {
        let mut types = Vec::with_capacity(crystal.len());
        for &element in &crystal.species {
            match usize::from(element.z()) {
                z if (1..=ELEMENTS).contains(&z) => types.push(z as u8 - 1),
                _ => return Err(PotentialError::UnknownElement { potential: NAME.into(), element }),
            }
        }
        let found = Edges::new(NAME, CUTOFF, crystal)?;
        if let Some(site) = found.ptr.windows(2).position(|own| own[0] == own[1]) {
            return Err(PotentialError::Isolated { potential: NAME.into(), site, cutoff: CUTOFF });
        }
        let mut graph = Self {
            types,
            volume: crystal.lattice.volume(),
            edges: Vec::with_capacity(found.list.len()),
            geometry: Vec::new(),
            bonds: Vec::with_capacity(found.list.len() / 2),
            shorts: Vec::new(),
            short_bonds: Vec::new(),
            angles: Vec::new(),
            pairs: Vec::new(),
            portions: Vec::new(),
        };
        check_angles(&found)?;
        let mut counts = vec![Counts::default()];
        let mut short_of = vec![u32::MAX; found.list.len()];
        for atom in 0..graph.types.len() {
            graph.add_edges(&found, atom, &mut short_of)?;
            counts.push(Counts {
                edges: graph.edges.len(),
                bonds: graph.bonds.len(),
                shorts: graph.shorts.len(),
                short_bonds: graph.short_bonds.len(),
                angles: 0,
            });
        }
        for at in 0..graph.shorts.len() {
            let reverse = short_of[graph.edges[graph.shorts[at].edge as usize].reverse as usize];
            let bond = &mut graph.short_bonds[graph.shorts[at].bond as usize];
            bond.shorts[usize::from(bond.shorts[0] != at as u32)] = at as u32;
            graph.shorts[at].reverse = reverse;
        }
        let mut begin = 0;
        for (center, count) in (0..).zip(&mut counts[1..]) {
            graph.add_angles(center, begin..count.shorts);
            count.angles = graph.angles.len();
            begin = count.shorts;
        }
        graph.geometry = found.list;
        graph.cut(&counts);
        graph.sort_bonds();
        Ok(graph)
    }

    /// Adds the edges of an atom with their bonds.
    fn add_edges(&mut self, found: &Edges, atom: usize, short_of: &mut [u32]) -> Result<(), PotentialError> {
        for at in found.ptr[atom]..found.ptr[atom + 1] {
            let edge = &found.list[at];
            let reverse = found.reverse(atom, at).ok_or_else(|| PotentialError::NotFinite {
                potential: NAME.into(),
                what: "distances in a cell this large",
            })?;
            let short = edge.length < BOND_CUTOFF;
            let (bond, short_bond) = if reverse > at {
                self.bonds.push(at as u32);
                if short {
                    let bond = self.bonds.len() as u32 - 1;
                    self.short_bonds.push(ShortBond { bond, shorts: [self.shorts.len() as u32; 2] });
                }
                (self.bonds.len() - 1, self.short_bonds.len().wrapping_sub(1) as u32)
            } else {
                let first = self.edges[reverse].bond as usize;
                let known = short_of[reverse];
                (first, if short { self.shorts[known as usize].bond } else { u32::MAX })
            };
            if short {
                short_of[at] = self.shorts.len() as u32;
                self.shorts.push(ShortIndex { edge: at as u32, bond: short_bond, reverse: 0 });
            }
            let (center, neighbor) = (atom as u32, edge.sender);
            self.edges.push(EdgeIndex { center, neighbor, bond: bond as u32, reverse: reverse as u32 });
        }
        Ok(())
    }

    /// Adds the angles between the short edges of an atom: all ordered pairs of different ones.
    fn add_angles(&mut self, center: u32, own: Range<usize>) {
        let (first, count) = (own.start, own.len());
        let (begin, begin_pairs) = (self.angles.len(), self.pairs.len());
        let angle = |p: usize, q: usize| (begin + p * (count - 1) + q - usize::from(q > p)) as u32;
        let pair = |p: usize, q: usize| (begin_pairs + p * count - p * (p + 1) / 2 + q - p - 1) as u32;
        for p in 0..count {
            for q in (0..count).filter(|&q| q != p) {
                let shorts = [(first + p) as u32, (first + q) as u32];
                let bonds = shorts.map(|s| self.shorts[s as usize].bond);
                self.angles.push(AngleIndex { center, shorts, bonds, pair: pair(p.min(q), p.max(q)) });
                if p < q {
                    self.pairs.push(Pair { shorts, angles: [angle(p, q), angle(q, p)] });
                }
            }
        }
    }

    /// Cuts it into portions.
    fn cut(&mut self, counts: &[Counts]) {
        let (mut begin, atoms) = (0, self.types.len());
        for end in 1..=atoms {
            let (from, next) = (counts[begin], counts[(end + 1).min(atoms)]);
            let work = (next.edges - from.edges).max(next.angles - from.angles);
            if end == atoms || end - begin == PORTION_ATOMS || work > PORTION_EDGES {
                let to = counts[end];
                self.portions.push(Portion {
                    atoms: begin..end,
                    edges: from.edges..to.edges,
                    bonds: from.bonds..to.bonds,
                    shorts: from.shorts..to.shorts,
                    short_bonds: from.short_bonds..to.short_bonds,
                    angles: from.angles..to.angles,
                    pairs: from.angles / 2..to.angles / 2,
                });
                begin = end;
            }
        }
    }

    /// Sorts the bonds of each portion so that the short ones come first.
    fn sort_bonds(&mut self) {
        let mut place = vec![0; self.bonds.len()];
        for portion in &self.portions {
            let (mut short, mut long) =
                (portion.bonds.start, portion.bonds.start + portion.short_bonds.len());
            for bond in portion.bonds.clone() {
                let next = match self.geometry[self.bonds[bond] as usize].length < BOND_CUTOFF {
                    true => &mut short,
                    false => &mut long,
                };
                place[bond] = *next as u32;
                *next += 1;
            }
        }
        let old = self.bonds.clone();
        for (&first, &to) in old.iter().zip(&place) {
            self.bonds[to as usize] = first;
        }
        self.edges.iter_mut().for_each(|edge| edge.bond = place[edge.bond as usize]);
        self.short_bonds.iter_mut().for_each(|short| short.bond = place[short.bond as usize]);
    }

    /// Number of atoms.
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// The directed edge of a short edge.
    pub fn short(&self, short: u32) -> &Edge {
        &self.geometry[self.shorts[short as usize].edge as usize]
    }
}

/// Refuses a crystal with too many angles.
fn check_angles(found: &Edges) -> Result<(), PotentialError> {
    let mut angles = 0_usize;
    for (site, own) in found.ptr.windows(2).enumerate() {
        let neighbors = found.list[own[0]..own[1]].iter().filter(|e| e.length < BOND_CUTOFF).count();
        angles += neighbors * neighbors.saturating_sub(1);
        if neighbors > MAX_SHORT || angles > MAX_ANGLES {
            let limit = if neighbors > MAX_SHORT { MAX_SHORT } else { MAX_ANGLES };
            return Err(
                NeighborError::TooManyNeighbors { site, neighbors, radius: BOND_CUTOFF, limit }.into()
            );
        }
    }
    Ok(())
}
