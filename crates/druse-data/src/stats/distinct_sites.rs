//! Structures by their distinct sites.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use druse_crystal::{ReduceError, SymmetricStructure, SymmetryDataset, SymmetryError, WyckoffSequence};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::counts::pairs;
use super::quantiles::Quantiles;

/// Number of the first space group above the monoclinic ones.
const FIRST_ORTHORHOMBIC: u16 = 16;

/// Structures by their distinct sites, which models of symmetric crystals learn from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DistinctSiteStats {
    /// Structures whose distinct sites generate them.
    pub reduced: usize,
    /// Those of them in groups 16 to 230: what models without monoclinic and triclinic cells can use.
    pub orthorhombic_and_higher: usize,
    /// Those of them in groups 1 to 15.
    pub monoclinic_and_triclinic: usize,
    /// Distinct sites a structure; `None` where no structure could be reduced.
    pub sites: Option<Quantiles>,
    /// Different space groups with their occupied Wyckoff positions, whatever the choice of the origin.
    pub wyckoff_sequences: usize,
    /// Why the other structures could not be reduced, with their number.
    pub not_reduced: BTreeMap<String, usize>,
}

/// Number and Wyckoff sequence of a structure's distinct sites, or the kind of reason why there are none.
pub(super) type Outcome = Result<(usize, WyckoffSequence), &'static str>;

/// The distinct sites that a symmetry search leads to.
pub(super) fn outcome(symmetry: &Result<SymmetryDataset, SymmetryError>) -> Outcome {
    let found = symmetry.as_ref().map_err(|e| ReduceError::from(e.clone()).kind())?;
    let reduced =
        SymmetricStructure::from_standard(found.number, &found.conventional).map_err(|e| e.kind())?;
    Ok((reduced.sites().len(), reduced.template().sequence().canonical()))
}

/// Outcomes of many structures, counted.
#[derive(Default)]
pub(super) struct Tally {
    sites: BTreeMap<usize, usize>,
    sequences: BTreeSet<WyckoffSequence>,
    reduced: usize,
    low: usize,
    not_reduced: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Ok((sites, sequence)) => {
                self.reduced += 1;
                self.low += usize::from(sequence.group() < FIRST_ORTHORHOMBIC);
                *self.sites.entry(*sites).or_insert(0) += 1;
                if !self.sequences.contains(sequence) {
                    self.sequences.insert(sequence.clone());
                }
            }
            Err(reason) => *self.not_reduced.entry(reason).or_insert(0) += 1,
        }
    }

    pub(super) fn finish(self) -> DistinctSiteStats {
        let Self { sites, sequences, reduced, low, not_reduced } = self;
        DistinctSiteStats {
            reduced,
            orthorhombic_and_higher: reduced - low,
            monoclinic_and_triclinic: low,
            sites: Quantiles::of_counts(&sites),
            wyckoff_sequences: sequences.len(),
            not_reduced: not_reduced.into_iter().map(|(reason, n)| (reason.to_owned(), n)).collect(),
        }
    }
}

impl fmt::Display for DistinctSiteStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "distinct sites  {} structures reduce to theirs", self.reduced)?;
        if let Some(sites) = &self.sites {
            let (mean, most, sequences) = (sites.mean, sites.max, self.wyckoff_sequences);
            write!(f, ": mean {mean:.2}, at most {most}; {sequences} different Wyckoff sequences")?;
        }
        match self.not_reduced.values().sum::<usize>() {
            0 => writeln!(f)?,
            n => writeln!(f, "; {n} do not: {}", pairs(self.not_reduced.iter()))?,
        }
        let (usable, low) = (self.orthorhombic_and_higher, self.monoclinic_and_triclinic);
        writeln!(
            f,
            "                adaptive cells as published can use {usable}; {low} are monoclinic or triclinic"
        )
    }
}
