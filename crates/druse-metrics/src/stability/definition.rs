//! What "stable, unique and novel" means to whom.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::matcher::{StructureMatcher, Substitution};
use crate::novelty::{Comparison, Sameness};
use crate::validity::{CompositionRule, StructureRule};

/// Names of the definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DefinitionName {
    /// [`StabilityDefinition::mattergen`].
    #[default]
    Mattergen,
    /// [`StabilityDefinition::lemat`].
    Lemat,
    /// [`StabilityDefinition::strict`].
    Strict,
}

/// A name that is no definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown definition `{0}`; known are mattergen, lemat and strict")]
pub struct UnknownDefinition(String);

impl DefinitionName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mattergen, Self::Lemat, Self::Strict];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mattergen => "mattergen",
            Self::Lemat => "lemat",
            Self::Strict => "strict",
        }
    }

    /// Whose definition it is.
    pub fn about(self) -> &'static str {
        match self {
            Self::Mattergen => {
                "MatterGen's: at most 0.1 eV/atom above the hull, all masks on relaxed structures"
            }
            Self::Lemat => "LeMat-GenBench's: on the hull, metastable up to 0.1 eV/atom, valid structures",
            Self::Strict => "On the hull, valid, independent of the order of structures",
        }
    }
}

impl fmt::Display for DefinitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DefinitionName {
    type Err = UnknownDefinition;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|d| d.name() == s).ok_or_else(|| UnknownDefinition(s.to_owned()))
    }
}

/// Which of several equal structures are unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uniqueness {
    /// Each that matches no earlier unique one: the first of a set of duplicates.
    FirstOfDuplicates,
    /// Structures joined by any chain of matches are one.
    Components,
}

/// Which structures are tested for uniqueness and novelty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tested {
    /// The relaxed ones.
    Relaxed,
    /// Those that were generated, before relaxation.
    Generated,
}

impl fmt::Display for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relaxed => "relaxed",
            Self::Generated => "generated",
        })
    }
}

/// A definition of stable, unique and novel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StabilityDefinition {
    /// Its name.
    pub name: String,
    /// Largest energy above hull of a stable structure (eV/atom); the comparison is `<=`.
    pub stable: f64,
    /// Largest energy above hull of a metastable one (eV/atom), which is not stable; `None` when there is no such class.
    pub metastable: Option<f64>,
    /// What is added to thresholds for rounding (eV/atom).
    pub rounding: f64,
    /// Which structures are compared with each other and with known ones.
    pub tested: Tested,
    /// When two of them are the same.
    pub sameness: Sameness,
    /// Which of several equal structures are unique.
    pub uniqueness: Uniqueness,
    /// The rules of validity that a structure has to pass to count; `None` when validity is not asked for.
    pub validity: Option<(CompositionRule, StructureRule)>,
    /// Whether a structure without energy is a failed job, which is in no test and only in the denominators of what is stable.
    pub energy_needed: bool,
    /// Whether unique and novel structures are counted over the structures evaluated; else over all submitted.
    pub structures_over_evaluated: bool,
    /// Whether an element without an entry leaves all figures of energy without a value; else its structures are not stable.
    pub all_elements_needed: bool,
    /// Energies of how many potentials the definition asks for; their mean counts.
    pub potentials: usize,
    /// Whether novelty is tested against the structures of the hull's reference where no other set is given.
    pub novel_to_reference: bool,
}

impl StabilityDefinition {
    /// The definition of a name.
    pub fn named(name: DefinitionName) -> Self {
        match name {
            DefinitionName::Mattergen => Self::mattergen(),
            DefinitionName::Lemat => Self::lemat(),
            DefinitionName::Strict => Self::strict(),
        }
    }

    /// MatterGen (C. Zeni et al., Nature 639, 624 (2025), and its published evaluation): stable at `<= 0.1` eV/atom above a hull
    /// without the generated structures; unique is the first of a set of duplicates, novel what matches no reference structure;
    /// all three on relaxed structures and combined by "and", over all that were submitted, failed jobs included. Unique and
    /// novel structures alone are counted over those evaluated. Validity is not asked for.
    /// Structures that do not match as they are are tried again with elements that may substitute each other on each other's
    /// places ([`StructureMatcher::compare_disordered`]).
    pub fn mattergen() -> Self {
        Self {
            name: DefinitionName::Mattergen.to_string(),
            stable: 0.1,
            metastable: None,
            rounding: 0.0,
            tested: Tested::Relaxed,
            sameness: Sameness {
                matcher: StructureMatcher::default(),
                comparison: Comparison::OneWay,
                substitution: Some(Substitution::MATTERGEN),
            },
            uniqueness: Uniqueness::FirstOfDuplicates,
            validity: None,
            energy_needed: true,
            structures_over_evaluated: true,
            all_elements_needed: true,
            potentials: 1,
            novel_to_reference: true,
        }
    }

    /// LeMat-GenBench: stable at `<= 0`, metastable in (0, 0.1] eV/atom, by the mean over at least two potentials, each with
    /// its own hull; unique and novel as generated, by a matcher of length tolerance 0.1; valid structures alone; over all
    /// generated. Validity is judged by this program's strict rules.
    pub fn lemat() -> Self {
        Self {
            name: DefinitionName::Lemat.to_string(),
            stable: 0.0,
            metastable: Some(0.1),
            rounding: 1e-8,
            tested: Tested::Generated,
            sameness: Sameness {
                matcher: StructureMatcher { ltol: 0.1, ..StructureMatcher::default() },
                comparison: Comparison::OneWay,
                substitution: None,
            },
            uniqueness: Uniqueness::FirstOfDuplicates,
            validity: Some((CompositionRule::Strict, StructureRule::Strict)),
            energy_needed: false,
            structures_over_evaluated: false,
            all_elements_needed: false,
            potentials: 2,
            novel_to_reference: false,
        }
    }

    /// On the hull (`<= 0`), metastable in (0, 0.1] eV/atom; relaxed structures, valid by the strict rules; structures joined by
    /// any chain of matches are one, and it is novel when none of them matches a known one. Everything over all submitted.
    pub fn strict() -> Self {
        Self {
            name: DefinitionName::Strict.to_string(),
            tested: Tested::Relaxed,
            sameness: Sameness {
                matcher: StructureMatcher::default(),
                comparison: Comparison::EitherWay,
                substitution: None,
            },
            uniqueness: Uniqueness::Components,
            potentials: 1,
            ..Self::lemat()
        }
    }

    /// Whether an energy above hull (eV/atom) is that of a stable structure.
    pub fn is_stable(&self, above: f64) -> bool {
        above <= self.stable + self.rounding
    }

    /// Whether an energy above hull (eV/atom) is that of a metastable structure, which no stable one is.
    pub fn is_metastable(&self, above: f64) -> bool {
        self.metastable.is_some_and(|limit| above <= limit + self.rounding) && !self.is_stable(above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_definitions() {
        let m = StabilityDefinition::mattergen();
        assert!(m.is_stable(0.1) && m.is_stable(-1.0) && !m.is_stable(0.1 + 1e-12));
        assert!(!m.is_metastable(0.05) && !m.is_metastable(0.11));
        for d in [StabilityDefinition::lemat(), StabilityDefinition::strict()] {
            assert!(d.is_stable(0.0) && d.is_stable(1e-15) && !d.is_stable(1e-6));
            assert!(d.is_metastable(1e-6) && d.is_metastable(0.1) && !d.is_metastable(0.11));
            assert!(!d.is_metastable(-0.1));
        }
        assert_eq!(StabilityDefinition::lemat().sameness.matcher.ltol, 0.1);
        for name in DefinitionName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
            assert_eq!(StabilityDefinition::named(name).name, name.name());
        }
        assert!("matergen".parse::<DefinitionName>().is_err());
    }
}
