//! Structures made ready for matching.

use std::hash::Hasher;

use druse_crystal::{Structure, reduction::ReductionError};

use super::StructureMatcher;

/// Sites that would merge are looked for within this distance along each cell axis (Å): the tolerance with which the
/// reference searches primitive cells.
const PRIMITIVE_TOLERANCE: f64 = 0.25;

/// Consecutive sites of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Block {
    pub(super) count: u32,
    pub(super) z: u8,
}

/// Sites of each element in a compared cell, as a key to look up what can match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteCounts<'a>(&'a [Block]);

/// The reduced cell with its sites ordered by element, rare elements first.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    /// Lattice vectors as rows (Å).
    pub(super) rows: [[f64; 3]; 3],
    /// Lengths (Å) and angles (degrees).
    pub(super) parameters: [f64; 6],
    /// Å³.
    pub(super) volume: f64,
    pub(super) frac: Vec<[f64; 3]>,
    /// The site that translations are built on: the first one, in the order of the given structure, of an element
    /// that no other is rarer than.
    pub(super) anchor: usize,
    /// First site and number of sites of the anchor's element.
    pub(super) anchor_block: (usize, usize),
}

/// A structure in the cell that is compared, made once and compared many times ([`StructureMatcher::prepare`]).
#[derive(Debug, Clone)]
pub struct PreparedStructure {
    pub(super) cell: Result<Cell, ReductionError>,
    /// Elements of the compared cell with their counts, rare ones first.
    pub(super) blocks: Vec<Block>,
    reduced: Option<Structure>,
}

impl PreparedStructure {
    pub(super) fn new(matcher: &StructureMatcher, s: &Structure) -> Self {
        let reduce = || {
            let bare = Structure {
                lattice: s.lattice,
                species: s.species.clone(),
                frac_coords: s.frac_coords.clone(),
                labels: Vec::new(),
                properties: std::collections::BTreeMap::new(),
            };
            let cell = bare.niggli_reduced_as_pymatgen()?;
            if matcher.primitive { cell.primitive(PRIMITIVE_TOLERANCE) } else { Ok(cell) }
        };
        match reduce() {
            Ok(reduced) => Self::reduced(reduced),
            Err(e) => Self { cell: Err(e), blocks: Vec::new(), reduced: None },
        }
    }

    /// A structure that is reduced as it is to be compared.
    pub(super) fn reduced(structure: Structure) -> Self {
        let (cell, blocks) = Cell::new(&structure);
        Self { cell: Ok(cell), blocks, reduced: Some(structure) }
    }

    /// How many sites of each element the compared cell has; `None` when the structure could not be reduced. Only
    /// structures with equal counts can match.
    pub fn site_counts(&self) -> Option<SiteCounts<'_>> {
        self.cell.is_ok().then_some(SiteCounts(&self.blocks))
    }

    /// Whether two compared cells agree in every bit: comparisons with either have the same result.
    pub fn is_identical(&self, other: &Self) -> bool {
        let (Ok(a), Ok(b)) = (&self.cell, &other.cell) else { return false };
        let same = |p: &[[f64; 3]], q: &[[f64; 3]]| {
            p.len() == q.len()
                && p.iter().flatten().zip(q.iter().flatten()).all(|(x, y)| x.to_bits() == y.to_bits())
        };
        self.blocks == other.blocks
            && a.anchor == b.anchor
            && same(&a.rows, &b.rows)
            && same(&a.frac, &b.frac)
    }

    /// A number that identical cells have in common.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        if let Ok(cell) = &self.cell {
            cell.rows.iter().chain(&cell.frac).flatten().for_each(|x| hasher.write_u64(x.to_bits()));
        }
        hasher.finish()
    }

    /// The reduced structure; `None` when the structure could not be reduced.
    pub fn structure(&self) -> Option<&Structure> {
        self.reduced.as_ref()
    }

    /// Why the structure could not be reduced. Such a structure matches nothing.
    pub fn error(&self) -> Option<&ReductionError> {
        self.cell.as_ref().err()
    }
}

impl Cell {
    fn new(s: &Structure) -> (Self, Vec<Block>) {
        let count = |z: u8| s.species.iter().filter(|e| e.z() == z).count() as u32;
        let block_of: Vec<Block> =
            s.species.iter().map(|e| Block { count: count(e.z()), z: e.z() }).collect();
        let mut order: Vec<usize> = (0..s.len()).collect();
        order.sort_by_key(|&i| block_of[i]);
        let mut blocks: Vec<Block> = order.iter().map(|&i| block_of[i]).collect();
        blocks.dedup();
        // A structure has at least one site.
        let rarest = block_of.iter().map(|b| b.count).min().unwrap_or(0);
        let first = block_of.iter().position(|b| b.count == rarest).unwrap_or(0);
        let anchor = order.iter().position(|&i| i == first).unwrap_or(0);
        let cell = Self {
            rows: s.lattice.rows(),
            parameters: s.lattice.parameters(),
            volume: s.lattice.volume(),
            frac: order.iter().map(|&i| s.frac_coords[i]).collect(),
            anchor,
            // Sorting is stable, so the first site of an element opens its block.
            anchor_block: (anchor, rarest as usize),
        };
        (cell, blocks)
    }
}
