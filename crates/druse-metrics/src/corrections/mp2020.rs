//! The scheme MP2020.

use druse_crystal::{Composition, Element, NeighborError, Structure};

use super::surroundings::{OxygenKind, Surroundings};

/// eV for each atom of a transition metal where the most electronegative element is oxygen or fluorine: such compounds are computed
/// with GGA+U.
const METALS: [(&str, f64); 8] = [
    ("V", -1.700),
    ("Cr", -1.999),
    ("Mn", -1.668),
    ("Fe", -2.256),
    ("Co", -1.638),
    ("Ni", -2.541),
    ("Mo", -3.202),
    ("W", -4.438),
];
/// eV for each atom of an anion.
const ANIONS: [(&str, f64); 11] = [
    ("H", -0.179),
    ("N", -0.361),
    ("F", -0.462),
    ("Si", 0.071),
    ("S", -0.503),
    ("Cl", -0.614),
    ("Se", -0.472),
    ("Br", -0.534),
    ("Sb", -0.192),
    ("Te", -0.422),
    ("I", -0.379),
];

/// eV for each atom of oxygen.
fn oxygen(kind: OxygenKind) -> f64 {
    match kind {
        OxygenKind::Oxide => -0.687,
        OxygenKind::Peroxide => -0.465,
        OxygenKind::Superoxide => -0.161,
        OxygenKind::Ozonide => 0.0,
    }
}

/// The corrections MP2020 (A. Wang et al., Sci. Rep. 11, 15496 (2021), tables 1 and 2) for total energies (PBE and PBE+U as the
/// Materials Project sets them). Elements have none; a compound has the sum over its atoms.
///
/// Which atoms are anions is told from their neighbors ([`Surroundings`]), where the authors' program guesses oxidation states
/// from the composition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mp2020;

impl Mp2020 {
    /// What to add to the total energy of all atoms of a crystal (eV).
    ///
    /// # Errors
    /// [`NeighborError`]: the cell is collapsed.
    pub fn correction(structure: &Structure) -> Result<f64, NeighborError> {
        let composition = Composition::from_species(&structure.species);
        if composition.num_elements() < 2 {
            return Ok(0.0);
        }
        let Surroundings { oxygen: kind, anions } = Surroundings::of(structure)?;
        let pull = |e: &Element| e.electronegativity().unwrap_or(0.0);
        let most = composition.elements().max_by(|a, b| pull(a).total_cmp(&pull(b)));
        let with_u = most.is_some_and(|e| ["O", "F"].contains(&e.symbol()));
        let of = |table: &[(&str, f64)], symbol: &str| {
            table.iter().find(|(s, _)| *s == symbol).map_or(0.0, |(_, energy)| *energy)
        };
        let mut sum = 0.0;
        for (element, count) in composition.iter() {
            let symbol = element.symbol();
            let mut each = if with_u { of(&METALS, symbol) } else { 0.0 };
            match kind {
                Some(kind) if symbol == "O" => each += oxygen(kind),
                _ if anions.contains(&element) => each += of(&ANIONS, symbol),
                _ => {}
            }
            sum += f64::from(count) * each;
        }
        Ok(sum)
    }
}
