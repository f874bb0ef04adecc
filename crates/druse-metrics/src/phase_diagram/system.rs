//! Sets of elements.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use druse_crystal::{Composition, Element};
use serde::{Deserialize, Serialize};

/// A set of elements: what a composition is made of, and what a phase diagram spans.
///
/// Written with its symbols in alphabetical order, `Fe-Li-O`; read in any order.
///
/// ```
/// use druse_metrics::phase_diagram::ChemicalSystem;
///
/// let system: ChemicalSystem = "Li-Fe-O".parse()?;
/// assert_eq!((system.to_string().as_str(), system.len()), ("Fe-Li-O", 3));
/// assert!("Li-O".parse::<ChemicalSystem>()?.is_subset(system));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChemicalSystem(u128);

/// A text that is no [`ChemicalSystem`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no chemical system such as Li-Fe-O: {reason}")]
pub struct NoChemicalSystem {
    text: String,
    reason: String,
}

impl ChemicalSystem {
    /// The system of some elements.
    pub fn of(elements: impl IntoIterator<Item = Element>) -> Self {
        Self(elements.into_iter().fold(0, |bits, e| bits | 1 << e.z()))
    }

    /// The elements, by atomic number.
    pub fn elements(self) -> impl Iterator<Item = Element> {
        Element::all().filter(move |e| self.0 >> e.z() & 1 == 1)
    }

    /// Number of elements.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is no element.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all elements are in `other`, too.
    pub fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether an element is in it.
    pub fn contains(self, element: Element) -> bool {
        self.0 >> element.z() & 1 == 1
    }

    /// The elements of either.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Every subset that is not empty, itself included: 2ⁿ − 1 of them, so only for few elements.
    pub(super) fn subsets(self) -> impl Iterator<Item = Self> {
        // The next smaller subset of a set of bits.
        let next = move |bits: &u128| (*bits != 0).then(|| (bits - 1) & self.0);
        std::iter::successors(Some(self.0), next).take_while(|&bits| bits != 0).map(Self)
    }
}

impl From<&Composition> for ChemicalSystem {
    fn from(composition: &Composition) -> Self {
        Self::of(composition.elements())
    }
}

impl fmt::Display for ChemicalSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbols: BTreeSet<&str> = self.elements().map(Element::symbol).collect();
        f.pad(&symbols.into_iter().collect::<Vec<_>>().join("-"))
    }
}

impl FromStr for ChemicalSystem {
    type Err = NoChemicalSystem;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason: String| NoChemicalSystem { text: text.to_owned(), reason };
        let mut system = Self::default();
        for symbol in text.split(['-', ',', ' ']).filter(|s| !s.is_empty()) {
            let element = Element::from_symbol(symbol).map_err(|e| wrong(e.to_string()))?;
            system = system.union(Self::of([element]));
        }
        if system.is_empty() { Err(wrong("it names no element".to_owned())) } else { Ok(system) }
    }
}

impl TryFrom<String> for ChemicalSystem {
    type Error = NoChemicalSystem;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ChemicalSystem> for String {
    fn from(system: ChemicalSystem) -> Self {
        system.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(text: &str) -> ChemicalSystem {
        text.parse().unwrap()
    }

    #[test]
    fn systems_are_sets() {
        assert_eq!(system("O-Fe-Li"), system("Li, Fe,O"));
        assert_eq!(system("Li-Fe-O").to_string(), "Fe-Li-O");
        assert_eq!(system("Og-H").len(), 2);
        assert!(system("Li-O").is_subset(system("Fe-Li-O")) && !system("Li-S").is_subset(system("Fe-Li-O")));
        for wrong in ["", "-", "Li-Xx", "LiFeO"] {
            assert!(wrong.parse::<ChemicalSystem>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn subsets_are_complete() {
        let mut all: Vec<String> = system("Li-Fe-O").subsets().map(|s| s.to_string()).collect();
        all.sort();
        assert_eq!(all, ["Fe", "Fe-Li", "Fe-Li-O", "Fe-O", "Li", "Li-O", "O"]);
        assert_eq!(ChemicalSystem::default().subsets().count(), 0);
    }

    #[test]
    fn serializes_as_its_name() {
        let json = serde_json::to_string(&system("Li-Fe-O")).unwrap();
        assert_eq!(json, "\"Fe-Li-O\"");
        assert_eq!(serde_json::from_str::<ChemicalSystem>(&json).unwrap(), system("Li-Fe-O"));
    }
}
