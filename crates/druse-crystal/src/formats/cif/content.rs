//! What a data block says that its cell holds, beside the sites.

use super::block::Block;
use super::sites::{Site, Sites};
use crate::formats::{Warning, WarningKind};
use crate::{Composition, Element, Structure};

/// Difference of a number of atoms from a stated one that is rounding.
const TOLERANCE: f64 = 0.1;

/// The content that a data block states.
#[derive(Debug, Default)]
pub(super) struct Stated {
    /// Elements with their amounts; hydrogen isotopes count as hydrogen.
    formula: Vec<(Element, f64)>,
    /// The text of the formula.
    text: String,
    /// Formula units in the cell.
    units: Option<f64>,
}

impl Stated {
    /// Reads `_chemical_formula_sum` and `_cell_formula_units_Z`; what cannot be read states nothing.
    pub fn of(block: &Block) -> Self {
        let Some((text, _)) = block.item(&["_chemical_formula_sum"]) else { return Self::default() };
        let Some(formula) = read_formula(text) else { return Self::default() };
        let units = block.item(&["_cell_formula_units_z"]).and_then(|(text, _)| text.parse().ok());
        Self { formula, text: text.trim().to_owned(), units: units.filter(|&z: &f64| z > 0.0 && z < 1e6) }
    }

    /// The elements of the formula.
    pub fn elements(&self) -> Option<Vec<Element>> {
        (!self.formula.is_empty()).then(|| self.formula.iter().map(|&(e, _)| e).collect())
    }

    /// Whether the atoms are those of the formula as often as stated; `None` when nothing is stated. Without Z any number of
    /// times is right.
    pub fn agrees(&self, structure: &Structure) -> Option<bool> {
        if self.formula.is_empty() {
            return None;
        }
        let counts = Composition::from_species(&structure.species);
        Some(match self.units {
            Some(units) => self.gives(&counts, units) || (self.is_of_cell() && self.gives(&counts, 1.0)),
            None => self.gives(&counts, self.times(structure.len())),
        })
    }

    /// Whether the formula may be that of the whole cell, as some programs write it: Z units of it are whole.
    fn is_of_cell(&self) -> bool {
        let whole = |x: f64| (x - x.round()).abs() < 1e-6;
        self.units.is_some_and(|z| self.formula.iter().all(|&(_, n)| whole(n / z)))
    }

    /// Formula units that a number of atoms makes.
    fn times(&self, atoms: usize) -> f64 {
        atoms as f64 / self.formula.iter().map(|(_, n)| n).sum::<f64>()
    }

    fn amount(&self, element: Element) -> f64 {
        self.formula.iter().find(|(e, _)| *e == element).map_or(0.0, |&(_, n)| n)
    }

    fn gives(&self, counts: &Composition, units: f64) -> bool {
        let close = |e: Element| (self.amount(e) * units - f64::from(counts.count(e))).abs() < TOLERANCE;
        counts.elements().chain(self.formula.iter().map(|&(e, _)| e)).all(close)
    }

    /// What the sites do not give of the formula, or give beyond it.
    pub fn check(&self, structure: &Structure, sites: &Sites, warnings: &mut Vec<Warning>) {
        let of_sites = sites.missing_hydrogen();
        if self.agrees(structure) != Some(false) {
            // Where a formula with hydrogen agrees with the sites, all of it has sites.
            if let Some(hydrogen) = of_sites.filter(|_| !self.formula.iter().any(|(e, _)| e.z() == 1)) {
                let text = format!("{hydrogen} has no positions and is left out");
                warnings.push(Warning::new(WarningKind::MissingHydrogen, text));
            }
            return;
        }
        let counts = Composition::from_species(&structure.species);
        let hydrogen = |e: Element| e.z() == 1;
        let heavy = |units: f64| {
            let close = |e: Element| (self.amount(e) * units - f64::from(counts.count(e))).abs() < TOLERANCE;
            let stated = self.formula.iter().map(|&(e, _)| e);
            counts.elements().chain(stated).filter(|&e| !hydrogen(e)).all(close)
        };
        // Without Z, or with one that is wrong, as often as the atoms other than hydrogen say.
        let heavy_atoms = structure.species.iter().filter(|e| !hydrogen(**e)).count() as f64;
        let heavy_formula: f64 = self.formula.iter().filter(|(e, _)| !hydrogen(*e)).map(|(_, n)| n).sum();
        let by_atoms = heavy_atoms / heavy_formula.max(TOLERANCE);
        let units =
            self.units.filter(|&z| heavy(z)).or_else(|| (self.is_of_cell() && heavy(1.0)).then_some(1.0));
        let only_hydrogen = units.or_else(|| (self.units.is_none() && heavy(by_atoms)).then_some(by_atoms));
        let stated = match self.units {
            Some(z) => format!("the stated formula {} with Z = {z}", self.text),
            None => format!("the stated formula {}", self.text),
        };
        if let Some(units) = only_hydrogen
            && let Some(h) = self.formula.iter().find(|(e, _)| hydrogen(*e))
        {
            let missing = h.1 * units - f64::from(counts.count(h.0));
            if missing > 0.0 {
                let text = format!("{} hydrogen atoms of {stated} have no sites", rounded(missing));
                warnings.push(Warning::new(WarningKind::MissingHydrogen, text));
                return;
            }
        }
        let found = counts.formula();
        let reason = of_sites.map(|h| format!("; {h} has no positions")).unwrap_or_default();
        let text = format!("the sites give {found}, which is not {stated}{reason}");
        warnings.push(Warning::new(WarningKind::ContradictedContent, text));
    }
}

/// Whether the images of each site are as many as the file says; `None` when it does not say so of every site, or says 1 of
/// each, which some programs write of any cell. A site without images is listed elsewhere.
pub(super) fn multiplicities_agree(sites: &[Site], counts: &[usize]) -> Option<bool> {
    let stated: Option<Vec<usize>> = sites.iter().map(|s| s.multiplicity).collect();
    let stated = stated.filter(|m| !m.is_empty() && (m.iter().any(|&n| n != 1) || counts == m.as_slice()))?;
    Some(stated.iter().zip(counts).all(|(m, n)| m == n || *n == 0))
}

/// `4` or `2.5`.
fn rounded(x: f64) -> String {
    let tenths = (10.0 * x).round() / 10.0;
    format!("{tenths}")
}

/// The elements and amounts of a formula as `_chemical_formula_sum` has them (`C18 H19 N7 O8 S`, a charge at the end);
/// `None` for anything else.
fn read_formula(text: &str) -> Option<Vec<(Element, f64)>> {
    let mut amounts: Vec<(Element, f64)> = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || c == ',').filter(|w| !w.is_empty()) {
        let bytes = word.as_bytes();
        if bytes.iter().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-'))
            && bytes.iter().any(|b| matches!(b, b'+' | b'-'))
        {
            continue;
        }
        let mut i = 0;
        while i < bytes.len() {
            let lower = bytes.get(i + 1).is_some_and(u8::is_ascii_lowercase);
            let name = word.get(i..i + 1 + usize::from(lower))?;
            i += name.len();
            let digits = bytes[i..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
            let amount: f64 = if digits == 0 { 1.0 } else { word[i..i + digits].parse().ok()? };
            i += digits;
            let element = Element::from_symbol(if matches!(name, "D" | "T") { "H" } else { name }).ok()?;
            if amount > 0.0 {
                match amounts.iter_mut().find(|(e, _)| *e == element) {
                    Some((_, n)) => *n += amount,
                    None => amounts.push((element, amount)),
                }
            }
        }
    }
    (!amounts.is_empty()).then_some(amounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_read() {
        let read = |text: &str| {
            read_formula(text).map(|f| f.iter().map(|(e, n)| format!("{e}{n}")).collect::<Vec<_>>().join(" "))
        };
        for (text, expected) in [
            ("C18 H19 N7 O8 S", Some("C18 H19 N7 O8 S1")),
            ("NaAlSi3O8", Some("Na1 Al1 Si3 O8")),
            ("Ba0.5 Sr0.5 Ti O3", Some("Ba0.5 Sr0.5 Ti1 O3")),
            ("D2 O", Some("H2 O1")),
            ("H2 D2 O2", Some("H4 O2")),
            ("C2 H6 N 1+", Some("C2 H6 N1")),
            ("Mg (O H)2", None),
            ("?", None),
            ("", None),
            ("NA1 CL1", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text}");
        }
    }
}
