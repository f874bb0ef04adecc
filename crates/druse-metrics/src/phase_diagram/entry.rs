//! What phase diagrams are made of.

use std::fmt;

use druse_crystal::{Composition, Element};
use serde::{Deserialize, Serialize};

use super::ChemicalSystem;

/// Energies of one phase that differ by more contradict each other (eV/atom): above what files round to.
const CONTRADICTION: f64 = 1e-6;

/// A phase with its energy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseEntry {
    /// Identifier, one a phase.
    pub id: String,
    /// The atoms that the energy is of.
    pub composition: Composition,
    /// Energy of all atoms of [`PhaseEntry::composition`] (eV), on the scale that all entries of a diagram share: total
    /// energies of one method, or formation energies.
    pub energy: f64,
}

impl PhaseEntry {
    /// An entry of an energy per atom (eV/atom).
    pub fn per_atom(id: impl Into<String>, composition: Composition, energy_per_atom: f64) -> Self {
        let energy = energy_per_atom * composition.num_atoms() as f64;
        Self { id: id.into(), composition, energy }
    }

    /// A terminal element at energy 0, as formation energies are counted from; named `el:Li`.
    pub fn element(element: Element) -> Self {
        let composition = Composition::from_counts([(element, 1)]);
        Self { id: format!("el:{element}"), composition, energy: 0.0 }
    }

    /// Energy per atom (eV/atom).
    pub fn energy_per_atom(&self) -> f64 {
        self.energy / self.composition.num_atoms() as f64
    }

    /// Whether this and another entry cannot both be of one phase: they differ in composition, or in energy by more than
    /// 1e-6 eV/atom.
    pub fn contradicts(&self, other: &Self) -> bool {
        self.composition.reduced().0 != other.composition.reduced().0
            || (self.energy_per_atom() - other.energy_per_atom()).abs() > CONTRADICTION
    }

    /// Its elements.
    pub fn system(&self) -> ChemicalSystem {
        ChemicalSystem::from(&self.composition)
    }
}

impl fmt::Display for PhaseEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} eV/atom", self.composition.reduced_formula(), self.energy_per_atom())
    }
}

/// Entries that make no phase diagram.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EntriesError {
    /// An entry without atoms.
    #[error("entry `{id}` has no atoms")]
    NoAtoms {
        /// Identifier of the entry.
        id: String,
    },
    /// An energy that is no number.
    #[error("the energy of entry `{id}` is {energy}")]
    NotFinite {
        /// Identifier of the entry.
        id: String,
        /// Its energy.
        energy: f64,
    },
    /// One identifier with two compositions or energies.
    #[error("entry `{id}` contradicts itself: {first}, and {second}")]
    Contradiction {
        /// Identifier of both.
        id: String,
        /// What the first says.
        first: String,
        /// What the other says.
        second: String,
    },
    /// The hull of a system could not be computed.
    #[error(transparent)]
    Hull(#[from] HullError),
}

/// Why there is no hull at a composition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HullError {
    /// Formation energies need an energy of each element.
    #[error("no entry of the element{} {}, which the hull of {system} needs", if elements.len() > 1 { "s" } else { "" }, symbols(elements))]
    MissingElements {
        /// The system that was asked for.
        system: ChemicalSystem,
        /// Those of its elements that no entry consists of.
        elements: Vec<Element>,
    },
    /// A composition without atoms.
    #[error("the composition has no atoms")]
    NoAtoms,
    /// Rounding kept the search from its end: compositions that hardly differ, or energies of extreme size.
    #[error("the hull of {system} cannot be computed: its compositions or energies are too extreme")]
    Rounding {
        /// The system.
        system: ChemicalSystem,
    },
}

fn symbols(elements: &[Element]) -> String {
    elements.iter().map(|e| e.symbol()).collect::<Vec<_>>().join(", ")
}
