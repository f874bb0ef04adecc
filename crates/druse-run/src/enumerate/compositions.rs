//! Compositions of a chemical system.

use std::collections::BTreeSet;

use druse_crystal::{Composition, Element, ElementError};

/// Why a chemical system cannot be enumerated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EnumerationError {
    /// A part of the text is no element.
    #[error("chemical system `{system}`: {source}; write it like Li-Fe-O")]
    Element {
        /// The text.
        system: String,
        /// What is wrong with the part.
        source: ElementError,
    },
    /// An element appears twice.
    #[error("chemical system `{system}` names {element} twice")]
    Repeated {
        /// The text.
        system: String,
        /// The element.
        element: Element,
    },
    /// The limits leave nothing.
    #[error("no composition of {system} has at most {max_atoms} atoms and a formula unit of {total}")]
    Nothing {
        /// The system.
        system: String,
        /// Largest number of atoms.
        max_atoms: usize,
        /// The allowed formula units.
        total: String,
    },
}

/// Which formula units are enumerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Totals {
    /// Every reduced formula of at most so many atoms.
    UpTo(u32),
    /// Reduced formulas whose atoms divide this number: the composition grid of the published sampling script (16),
    /// which holds LiFeO2 but not Li2O.
    Dividing(u32),
}

/// Limits of an enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Formula units.
    pub totals: Totals,
    /// Each formula is repeated 1 to this many times in a cell.
    pub multiples: u32,
    /// Largest number of atoms in a cell.
    pub max_atoms: usize,
}

impl Default for Limits {
    /// Formula units of up to 16 atoms, one to four in a cell, as the paper's driver has it.
    fn default() -> Self {
        Self { totals: Totals::UpTo(16), multiples: 4, max_atoms: 64 }
    }
}

/// Reads a system such as `Li-Fe-O`.
///
/// # Errors
/// [`EnumerationError`] for unknown or repeated elements.
pub fn parse_system(text: &str) -> Result<Vec<Element>, EnumerationError> {
    let mut elements = Vec::new();
    for part in text.split('-') {
        let element = Element::from_symbol(part.trim())
            .map_err(|source| EnumerationError::Element { system: text.to_owned(), source })?;
        if elements.contains(&element) {
            return Err(EnumerationError::Repeated { system: text.to_owned(), element });
        }
        elements.push(element);
    }
    Ok(elements)
}

/// All compositions over the elements and their subsets, sorted by number of atoms, then by counts in the order of the
/// elements.
///
/// # Errors
/// [`EnumerationError::Nothing`] when the limits leave none.
pub fn compositions(elements: &[Element], limits: &Limits) -> Result<Vec<Composition>, EnumerationError> {
    let totals = match limits.totals {
        Totals::UpTo(n) => 1..=n,
        Totals::Dividing(n) => n..=n,
    };
    let mut counts = BTreeSet::new();
    for total in totals {
        let mut unit = vec![0; elements.len()];
        distribute(total, 0, &mut unit, &mut |unit| {
            let divisor = unit.iter().copied().fold(0, gcd);
            for multiple in 1..=limits.multiples {
                let cell: Vec<u32> = unit.iter().map(|n| n / divisor * multiple).collect();
                let atoms = cell.iter().map(|&n| n as usize).sum::<usize>();
                if atoms <= limits.max_atoms {
                    counts.insert((atoms, std::cmp::Reverse(cell)));
                }
            }
        });
    }
    if counts.is_empty() {
        let system = elements.iter().map(|e| e.symbol()).collect::<Vec<_>>().join("-");
        let total = match limits.totals {
            Totals::UpTo(n) => format!("at most {n} atoms"),
            Totals::Dividing(n) => format!("a divisor of {n} atoms"),
        };
        return Err(EnumerationError::Nothing { system, max_atoms: limits.max_atoms, total });
    }
    let composition = |cell: &[u32]| {
        let atoms = elements.iter().zip(cell).flat_map(|(&e, &n)| std::iter::repeat_n(e, n as usize));
        Composition::from_species(&atoms.collect::<Vec<_>>())
    };
    Ok(counts.iter().map(|(_, cell)| composition(&cell.0)).collect())
}

/// Calls `found` with every way to share `left` atoms among the elements from `position` on.
fn distribute(left: u32, position: usize, unit: &mut [u32], found: &mut impl FnMut(&[u32])) {
    match unit.len() - position {
        0 => {}
        1 => {
            unit[position] = left;
            found(unit);
        }
        _ => {
            for n in (0..=left).rev() {
                unit[position] = n;
                distribute(left - n, position + 1, unit, found);
            }
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(system: &str, limits: Limits) -> Vec<Vec<(String, u32)>> {
        compositions(&parse_system(system).unwrap(), &limits)
            .unwrap()
            .iter()
            .map(|c| c.iter().map(|(e, n)| (e.symbol().to_owned(), n)).collect())
            .collect()
    }

    #[test]
    fn binary_system_by_hand() {
        let limits = Limits { totals: Totals::UpTo(3), multiples: 2, max_atoms: 4 };
        let found: Vec<String> = cells("Na-Cl", limits)
            .iter()
            .map(|c| c.iter().map(|(e, n)| format!("{e}{n}")).collect())
            .collect();
        let expected =
            ["Na1", "Cl1", "Na2", "Na1Cl1", "Cl2", "Na2Cl1", "Na1Cl2", "Na2Cl2"].map(str::to_owned);
        assert_eq!(found, expected);
    }

    #[test]
    fn published_grid_has_as_many_points_as_the_simplex() {
        // Integer points with sum 16 over three elements: C(18, 2) = 153, each reduced formula once.
        let limits = Limits { totals: Totals::Dividing(16), multiples: 1, max_atoms: 64 };
        assert_eq!(cells("Li-Fe-O", limits).len(), 153);
        // A formula unit of 1, 2, 4, 8 or 16 atoms times 1 to 4; e.g. the three pure elements give 4 cells each.
        let limits = Limits { multiples: 4, ..limits };
        let all = cells("Li-Fe-O", limits);
        assert_eq!(all.iter().filter(|c| c.len() == 1).count(), 12);
        assert_eq!(all.len(), 4 * 153);
    }

    #[test]
    fn up_to_a_total_every_reduced_formula_appears_once() {
        let limits = Limits { totals: Totals::UpTo(6), multiples: 1, max_atoms: 64 };
        let all = cells("Li-Fe-O", limits);
        let unique: BTreeSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
        assert!(all.contains(&vec![("Li".to_owned(), 2), ("O".to_owned(), 1)]));
        assert!(all.iter().all(|c| c.iter().fold(0, |g, (_, n)| gcd(g, *n)) == 1));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(matches!(parse_system("Li-Xx"), Err(EnumerationError::Element { .. })));
        assert!(matches!(parse_system(""), Err(EnumerationError::Element { .. })));
        assert!(matches!(parse_system("Li-Li"), Err(EnumerationError::Repeated { .. })));
        let none = Limits { totals: Totals::Dividing(16), multiples: 1, max_atoms: 0 };
        assert!(compositions(&parse_system("Li-O").unwrap(), &none).is_err());
    }
}
