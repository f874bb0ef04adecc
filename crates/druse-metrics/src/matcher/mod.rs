//! Structure matching: whether two crystals are the same within tolerances, and how far apart.
//!
//! The semantics are those of pymatgen's `StructureMatcher` (S. P. Ong et al., Comput. Mater. Sci. 68, 314 (2013)),
//! which the field's match rates are defined by:
//!
//! 1. Each structure is Niggli-reduced and, with `primitive`, brought to the primitive cell within 0.25 Å; structures
//!    with different sites per cell and element never match ([`StructureMatcher::prepare`]).
//! 2. With `scale`, both cells are scaled to the geometric mean of their volumes.
//! 3. All bases of the first lattice that resemble the cell of the second are tried (lengths within the ratio
//!    1 + `ltol`, angles within `angle_tol`, determinant ±1: mirror images match), and for each all translations that
//!    bring one chosen atom of the second onto an atom of that element in the first.
//! 4. Sites are paired with sites of their own element at the smallest sum of squared distances, measured between
//!    nearest images in the cell of averaged lengths and angles; the mean displacement is taken off. Distances are in
//!    units of the free length (V/N)^(1/3).
//! 5. [`StructureMatcher::rms`] reports the smallest root mean square over all bases and translations if it is below
//!    `stol`; [`StructureMatcher::fit`] asks whether some basis and translation keep the **largest** distance below
//!    `stol`, a sharper test.
//!
//! No supercells are tried and no sites are left out. The relation is not exactly symmetric (the tolerances refer to
//! the cell of the second structure) nor transitive.

mod alignment;
mod average;
mod bounds;
mod mappings;
mod prepared;
mod substitution;

use std::fmt;

use alignment::Alignment;
use average::AverageCell;
pub use bounds::CellBounds;
use druse_crystal::Structure;
use mappings::{inverse, mappings};
use prepared::Cell;
pub use prepared::{PreparedStructure, SiteCounts};
use serde::{Deserialize, Serialize};
pub use substitution::Substitution;

/// Below this RMS the search stops: the structures are identical.
const IDENTICAL: f64 = 1e-5;
/// Pairs of sites looked at before a comparison is given up, some ten seconds of work. Only cells of hundreds of atoms
/// of one element get there.
const MAX_WORK: u64 = 4_000_000_000;

/// Compares crystals within tolerances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StructureMatcher {
    /// Relative tolerance on lattice lengths.
    pub ltol: f64,
    /// Tolerance on site distances in units of the free length (V/N)^(1/3).
    pub stol: f64,
    /// Tolerance on lattice angles (degrees).
    pub angle_tol: f64,
    /// Whether structures are brought to primitive cells first.
    pub primitive: bool,
    /// Whether cells are scaled to the same volume.
    pub scale: bool,
}

impl Default for StructureMatcher {
    /// The settings pymatgen comes with, usual for removing duplicates: 0.2, 0.3, 5°.
    fn default() -> Self {
        Self { ltol: 0.2, stol: 0.3, angle_tol: 5.0, primitive: true, scale: true }
    }
}

/// The tolerances in words.
impl fmt::Display for StructureMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ltol {}, stol {}, angle {}°", self.ltol, self.stol, self.angle_tol)
    }
}

/// Site distances of two matched structures, normalized by (V/N)^(1/3).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Displacement {
    /// Root mean square.
    pub rms: f64,
    /// Maximum.
    pub max: f64,
}

/// What is minimized and held against `stol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// The root mean square, over all alignments.
    Rms,
    /// The largest distance, up to the first alignment that passes.
    Max,
}

/// Result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// The structures match.
    Match(Displacement),
    /// They do not.
    Different,
    /// The search was given up after [a bounded amount of work](StructureMatcher::compare). What was found until
    /// then is a match; there may be a closer one, or one at all.
    Unfinished(Option<Displacement>),
}

impl Outcome {
    /// The displacement, if a match was found.
    pub fn displacement(self) -> Option<Displacement> {
        match self {
            Self::Match(d) => Some(d),
            Self::Different => None,
            Self::Unfinished(d) => d,
        }
    }
}

impl StructureMatcher {
    /// The settings of CDVAE's reconstruction and structure-prediction metrics: 0.3, 0.5, 10°.
    pub const CDVAE: Self = Self { ltol: 0.3, stol: 0.5, angle_tol: 10.0, primitive: true, scale: true };

    /// Reduces a structure; a structure that cannot be reduced ([`PreparedStructure::error`]) matches nothing.
    pub fn prepare(&self, s: &Structure) -> PreparedStructure {
        PreparedStructure::new(self, s)
    }

    /// The closest alignment of two structures by RMS, if its RMS is below `stol`.
    ///
    /// A search that was given up counts with what it found; [`Self::compare`] tells.
    pub fn rms(&self, a: &PreparedStructure, b: &PreparedStructure) -> Option<Displacement> {
        self.compare(a, b, Criterion::Rms).displacement()
    }

    /// Whether some alignment keeps every site within `stol`.
    ///
    /// A search that was given up counts as no; [`Self::compare`] tells.
    pub fn fit(&self, a: &PreparedStructure, b: &PreparedStructure) -> bool {
        self.compare(a, b, Criterion::Max).displacement().is_some()
    }

    /// Compares two structures prepared by this matcher (or one that agrees in `primitive`).
    ///
    /// The work is bounded: some ten seconds, which only cells of hundreds of nearly equivalent atoms or of extreme shape
    /// need. Beyond that the outcome is [`Outcome::Unfinished`].
    pub fn compare(&self, a: &PreparedStructure, b: &PreparedStructure, criterion: Criterion) -> Outcome {
        let (Ok(first), Ok(second)) = (&a.cell, &b.cell) else { return Outcome::Different };
        if a.blocks != b.blocks {
            return Outcome::Different;
        }
        self.search(first, second, b, criterion)
    }

    fn search(&self, first: &Cell, second: &Cell, b: &PreparedStructure, criterion: Criterion) -> Outcome {
        let ratio = if self.scale { (second.volume / first.volume).powf(1.0 / 6.0) } else { 1.0 };
        let rows = first.rows.map(|row| row.map(|x| x * ratio));
        let mut target = second.parameters;
        target[..3].iter_mut().for_each(|x| *x /= ratio);
        let Ok(mappings) = mappings(&rows, &target, self.ltol, self.angle_tol) else {
            return Outcome::Unfinished(None);
        };
        if mappings.is_empty() {
            return Outcome::Different;
        }
        let mut best: Option<Displacement> = None;
        let value = |d: &Displacement| if criterion == Criterion::Rms { d.rms } else { d.max };
        let mut alignment = Alignment::new(&b.blocks, second);
        let n = second.frac.len();
        // The first structure's sites of the anchor's element: blocks agree, so they have the same indices.
        let (start, count) = second.anchor_block;
        for mapping in &mappings {
            let Some(cell) = AverageCell::new(&mapping.parameters, &target, n, self.stol) else { continue };
            alignment.map_first(&first.frac, &inverse(&mapping.basis));
            for _ in 0..2 {
                for onto in start..start + count {
                    if alignment.work() > MAX_WORK {
                        return Outcome::Unfinished(best);
                    }
                    // The largest distance is at least the RMS, so the bound serves both criteria.
                    let limit = best.map_or(self.stol, |b| value(&b));
                    let Some(d) = alignment.pair(&cell, onto, limit) else { continue };
                    let d = Displacement { rms: d.rms, max: d.max };
                    if value(&d) >= self.stol || best.is_some_and(|b| value(&b) <= value(&d)) {
                        continue;
                    }
                    if criterion == Criterion::Max || value(&d) < IDENTICAL {
                        return Outcome::Match(d);
                    }
                    best = Some(d);
                }
                alignment.invert_first();
            }
        }
        best.map_or(Outcome::Different, Outcome::Match)
    }

    /// Greedy groups in the manner of pymatgen's `group_structures`: the first structure not yet in a group opens one
    /// and takes in every later structure that it fits. Returns the group of each structure, numbered in order of
    /// appearance. The result depends on the order of the structures; [`crate::novelty`] has groups that do not.
    pub fn group(&self, all: &[PreparedStructure]) -> Vec<usize> {
        const OPEN: usize = usize::MAX;
        let mut group = vec![OPEN; all.len()];
        let mut next = 0;
        for i in 0..all.len() {
            if group[i] != OPEN {
                continue;
            }
            group[i] = next;
            for j in i + 1..all.len() {
                if group[j] == OPEN && self.fit(&all[i], &all[j]) {
                    group[j] = next;
                }
            }
            next += 1;
        }
        group
    }
}
