//! What became of each candidate.

use std::fmt;

use druse_crystal::Structure;
use druse_data::Item;
use druse_evaluate::hull::Share;
use schemars::JsonSchema;
use serde::Serialize;

/// The gates, in order. A candidate falls at one of them or reaches the ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// The row gives a structure.
    Read,
    /// The structure is one of atoms that do not overlap.
    Validity,
    /// No earlier candidate is the same.
    Duplicate,
    /// Relaxation ends with a structure.
    Relaxation,
    /// No earlier candidate has relaxed to the same.
    DuplicateRelaxed,
    /// There is a hull at its composition.
    Hull,
}

impl Gate {
    /// All gates in order.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Validity, Self::Duplicate, Self::Relaxation, Self::DuplicateRelaxed, Self::Hull];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Validity => "validity",
            Self::Duplicate => "duplicate",
            Self::Relaxation => "relaxation",
            Self::DuplicateRelaxed => "duplicate_relaxed",
            Self::Hull => "hull",
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where a candidate fell, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fall {
    /// The gate.
    pub gate: Gate,
    /// The reason without its figures, the same for many.
    pub kind: String,
    /// The reason.
    pub reason: String,
}

/// What became of one row of the input. Energies in eV/atom; what is not known is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ScreenRow {
    /// Place in the ranking, from 1; `None` for what fell.
    pub rank: Option<usize>,
    /// Its row in the input, from 0.
    pub index: u64,
    /// Its identifier in the input.
    pub id: String,
    /// Its reduced formula; empty where the row does not tell its elements.
    pub formula: String,
    /// Where it fell; `None` for what is ranked.
    pub fell: Option<Fall>,
    /// Identifier of the earlier candidate that it equals.
    pub same_as: Option<String>,
    /// Whether its composition can be neutral.
    pub charge_neutral: Option<bool>,
    /// Number of the space group that it was given before it was relaxed.
    pub space_group: Option<u16>,
    /// Whether its relaxation converged.
    pub converged: Option<bool>,
    /// Energy of the relaxed structure by the potential.
    pub energy_per_atom: Option<f64>,
    /// What is added to it; `None` where energies are not corrected.
    pub correction_per_atom: Option<f64>,
    /// The corrected energy, counted from the elements' by the potential.
    pub formation_energy_per_atom: Option<f64>,
    /// Energy above the hull of the reference; negative below it.
    pub e_above_hull: Option<f64>,
    /// Whether its energy above hull is at most what was asked for.
    pub within: Option<bool>,
    /// What the hull has at its composition.
    pub decomposition: Vec<Share>,
    /// Different compounds of its elements in the reference: what it competes with.
    pub compounds: Option<usize>,
    /// Whether no known structure is the same as the relaxed one.
    pub novel: Option<bool>,
    /// Identifier of the known structure that is the same.
    pub known_as: Option<String>,
    /// The relaxed structure.
    #[serde(skip)]
    pub structure: Option<Structure>,
}

impl ScreenRow {
    pub(super) fn new(index: usize, item: &Item) -> Self {
        Self {
            rank: None,
            index: index as u64,
            id: item.id.clone(),
            formula: item.composition().map_or(String::new(), |c| c.reduced_formula()),
            fell: None,
            same_as: None,
            charge_neutral: None,
            space_group: None,
            converged: None,
            energy_per_atom: None,
            correction_per_atom: None,
            formation_energy_per_atom: None,
            e_above_hull: None,
            within: None,
            decomposition: Vec::new(),
            compounds: None,
            novel: None,
            known_as: None,
            structure: None,
        }
    }

    /// Whether it has passed all gates so far.
    pub fn stands(&self) -> bool {
        self.fell.is_none()
    }

    /// Its energy with the correction (eV/atom).
    pub fn corrected(&self) -> Option<f64> {
        Some(self.energy_per_atom? + self.correction_per_atom.unwrap_or(0.0))
    }

    pub(super) fn fall(&mut self, gate: Gate, kind: impl Into<String>, reason: impl Into<String>) {
        self.fell = Some(Fall { gate, kind: kind.into(), reason: reason.into() });
    }

    /// The decomposition in words: `0.75 Li2O (mp-1960) + 0.25 Li (element:Li:bcc)`.
    pub fn decomposition_text(&self) -> String {
        let share = |s: &Share| format!("{:.4} {} ({})", s.fraction, s.formula, s.id);
        self.decomposition.iter().map(share).collect::<Vec<_>>().join(" + ")
    }
}
