//! Chemical compositions and formulas.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Element;

mod parse;

pub use parse::FormulaError;

/// How many atoms of each element one cell holds.
///
/// Serialized as its formula, `"Li4Fe4O8"`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Composition {
    counts: BTreeMap<Element, u32>,
}

/// Reduced formulas that are written otherwise than by rule, as pymatgen does.
const SPECIAL_FORMULAS: [(&str, &str); 11] = [
    ("LiO", "Li2O2"),
    ("NaO", "Na2O2"),
    ("KO", "K2O2"),
    ("HO", "H2O2"),
    ("CsO", "Cs2O2"),
    ("RbO", "Rb2O2"),
    ("O", "O2"),
    ("N", "N2"),
    ("F", "F2"),
    ("Cl", "Cl2"),
    ("H", "H2"),
];

/// Difference in electronegativity below which the last two elements of a formula are read as a polyanion.
const POLYANION_ELECTRONEGATIVITY: f64 = 1.65;

impl Composition {
    /// Most atoms a parsed formula may hold; beyond it [`Composition::parse`] refuses.
    pub const MAX_ATOMS: u32 = 1_000_000;

    /// Counts the atoms of a cell.
    pub fn from_species(species: &[Element]) -> Self {
        let mut counts = BTreeMap::new();
        for &e in species {
            *counts.entry(e).or_insert(0) += 1;
        }
        Self { counts }
    }

    /// A composition from elements and amounts; repeated elements add up (saturating), zero amounts are dropped.
    pub fn from_counts(counts: impl IntoIterator<Item = (Element, u32)>) -> Self {
        let mut sums = BTreeMap::<Element, u32>::new();
        for (e, n) in counts.into_iter().filter(|&(_, n)| n > 0) {
            let sum = sums.entry(e).or_insert(0);
            *sum = sum.saturating_add(n);
        }
        Self { counts: sums }
    }

    /// Reads a formula such as `LiFePO4`, `Ca(OH)2`, `K4[Fe(CN)6]` or `Li1 Fe1 O2`.
    ///
    /// # Errors
    /// [`FormulaError`] for unknown elements (deuterium and tritium among them), fractional or zero amounts,
    /// unbalanced brackets, hydrate dots, charges, an empty formula, and more than [`Self::MAX_ATOMS`] atoms.
    pub fn parse(formula: &str) -> Result<Self, FormulaError> {
        parse::parse(formula).map(|counts| Self { counts })
    }

    /// Elements and their counts, by atomic number.
    pub fn iter(&self) -> impl Iterator<Item = (Element, u32)> + '_ {
        self.counts.iter().map(|(&e, &n)| (e, n))
    }

    /// The elements, by atomic number.
    pub fn elements(&self) -> impl Iterator<Item = Element> + '_ {
        self.counts.keys().copied()
    }

    /// Number of atoms of one element; 0 where it is absent.
    pub fn count(&self, element: Element) -> u32 {
        self.counts.get(&element).copied().unwrap_or(0)
    }

    /// Total number of atoms.
    pub fn num_atoms(&self) -> usize {
        self.counts.values().map(|&n| n as usize).sum()
    }

    /// Number of different elements.
    pub fn num_elements(&self) -> usize {
        self.counts.len()
    }

    /// Whether there is no atom.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// One entry per atom, by atomic number.
    pub fn atoms(&self) -> Vec<Element> {
        self.iter().flat_map(|(e, n)| std::iter::repeat_n(e, n as usize)).collect()
    }

    /// Mass of all atoms in u.
    pub fn weight(&self) -> f64 {
        self.iter().map(|(e, n)| e.mass() * f64::from(n)).sum()
    }

    /// The same ratio of elements, `factor` times; `None` when an amount overflows.
    pub fn multiplied(&self, factor: u32) -> Option<Self> {
        let counts =
            self.iter().map(|(e, n)| Some((e, n.checked_mul(factor)?))).collect::<Option<Vec<_>>>()?;
        Some(Self::from_counts(counts))
    }

    /// The composition divided by the greatest common divisor of its amounts, and that divisor
    /// (1 for an empty composition).
    pub fn reduced(&self) -> (Self, u32) {
        let divisor = self.counts.values().fold(0, |g, &n| gcd(g, n)).max(1);
        (Self { counts: self.iter().map(|(e, n)| (e, n / divisor)).collect() }, divisor)
    }

    /// Elements and amounts in the order formulas list them: by electronegativity, elements without one last,
    /// ties by symbol.
    fn in_formula_order(&self) -> Vec<(Element, u32)> {
        let mut amounts: Vec<_> = self.iter().collect();
        amounts.sort_by(|a, b| a.0.cmp_electronegativity(b.0));
        amounts
    }

    /// Every element with its amount, by electronegativity: `Li4 Fe4 O8`.
    pub fn formula(&self) -> String {
        let parts: Vec<String> = self.in_formula_order().iter().map(|(e, n)| format!("{e}{n}")).collect();
        parts.join(" ")
    }

    /// The reduced formula: amounts divided by their greatest common divisor, elements by electronegativity,
    /// a polyanion of the last two in brackets (`Ca(NO3)2`), diatomic gases and alkali peroxides doubled (`O2`).
    ///
    /// Follows pymatgen's `Composition.reduced_formula`.
    pub fn reduced_formula(&self) -> String {
        let amounts = self.reduced().0.in_formula_order();
        let mut text = String::new();
        match amounts.as_slice() {
            [head @ .., (x, nx), (y, ny)]
                if !head.is_empty() && is_polyanion(*x, *y) && gcd(*nx, *ny) > 1 =>
            {
                let factor = gcd(*nx, *ny);
                head.iter().for_each(|&(e, n)| push_amount(&mut text, e.symbol(), n));
                let mut anion = String::from("(");
                push_amount(&mut anion, x.symbol(), nx / factor);
                push_amount(&mut anion, y.symbol(), ny / factor);
                anion.push(')');
                push_amount(&mut text, &anion, factor);
            }
            all => all.iter().for_each(|&(e, n)| push_amount(&mut text, e.symbol(), n)),
        }
        match SPECIAL_FORMULAS.iter().find(|(plain, _)| *plain == text) {
            Some((_, special)) => (*special).to_owned(),
            None => text,
        }
    }

    /// The reduced formula with its elements replaced by A, B, C … in order of rising amount: `ABC2`.
    /// After the 26th element the letters are doubled (`AA`, `AB` …).
    pub fn anonymous_formula(&self) -> String {
        let mut amounts: Vec<u32> = self.reduced().0.counts.into_values().collect();
        amounts.sort_unstable();
        let letter = |i: usize| char::from(b'A' + (i % 26) as u8);
        let mut text = String::new();
        for (i, n) in amounts.into_iter().enumerate() {
            let symbol: String =
                (i >= 26).then(|| letter(i / 26 - 1)).into_iter().chain([letter(i)]).collect();
            push_amount(&mut text, &symbol, n);
        }
        text
    }
}

fn is_polyanion(x: Element, y: Element) -> bool {
    match (x.electronegativity(), y.electronegativity()) {
        (Some(x), Some(y)) => y - x < POLYANION_ELECTRONEGATIVITY,
        _ => false,
    }
}

fn push_amount(text: &mut String, symbol: &str, n: u32) {
    text.push_str(symbol);
    if n != 1 {
        text.push_str(&n.to_string());
    }
}

fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The whole formula without spaces, elements by electronegativity: `Li4Fe4O8`.
impl fmt::Display for Composition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.in_formula_order().iter().for_each(|&(e, n)| push_amount(&mut text, e.symbol(), n));
        f.pad(&text)
    }
}

impl FromStr for Composition {
    type Err = FormulaError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::parse(s)
    }
}

impl TryFrom<String> for Composition {
    type Error = FormulaError;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        Self::parse(&s)
    }
}

impl From<Composition> for String {
    fn from(c: Composition) -> Self {
        c.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn c(s: &str) -> Composition {
        Composition::parse(s).unwrap()
    }

    #[test]
    fn formulas_are_written_as_textbooks_do() {
        for (input, reduced, anonymous, full) in [
            ("O2Fe Li", "LiFeO2", "ABC2", "Li1 Fe1 O2"),
            ("CaN2O6", "Ca(NO3)2", "AB2C6", "Ca1 N2 O6"),
            ("Ca3P2O8", "Ca3(PO4)2", "A2B3C8", "Ca3 P2 O8"),
            ("Ca(OH)2", "Ca(HO)2", "AB2C2", "Ca1 H2 O2"),
            ("Na4O4", "Na2O2", "AB", "Na4 O4"),
            ("C60", "C", "A", "C60"),
            ("O8", "O2", "A", "O8"),
            ("Sr2Ti2O6", "SrTiO3", "ABC3", "Sr2 Ti2 O6"),
        ] {
            let x = c(input);
            assert_eq!(x.reduced_formula(), reduced);
            assert_eq!(x.anonymous_formula(), anonymous);
            assert_eq!(x.formula(), full);
        }
    }

    #[test]
    fn weight_and_counts() {
        let water = c("H2O");
        let (h, o) = (Element::from_z(1).unwrap(), Element::from_z(8).unwrap());
        assert!((water.weight() - 18.01528).abs() < 1e-3, "{}", water.weight());
        assert_eq!((water.count(h), water.count(o), water.num_atoms()), (2, 1, 3));
        assert_eq!(water.multiplied(3).unwrap().reduced(), (water.clone(), 3));
        assert_eq!(water.multiplied(u32::MAX), None);
        assert_eq!(Composition::from_counts([(h, 1), (o, 1), (h, 1)]), water);
        assert_eq!(Composition::default().reduced(), (Composition::default(), 1));
    }

    #[test]
    fn all_elements_have_distinct_letters() {
        let all = Composition::from_counts(Element::all().map(|e| (e, 1)));
        let text = all.anonymous_formula();
        assert!(text.starts_with("ABC") && text.contains("ZAAABAC"), "{text}");
        assert_eq!(c(&all.to_string()), all);
    }

    #[test]
    fn serializes_as_its_formula() {
        let json = serde_json::to_string(&c("O8Fe4Li4")).unwrap();
        assert_eq!(json, "\"Li4Fe4O8\"");
        assert_eq!(serde_json::from_str::<Composition>(&json).unwrap(), c("Li4Fe4O8"));
    }

    proptest! {
        #[test]
        fn formulas_survive_the_round_trip(amounts in prop::collection::vec((1u8..=118, 1u32..500), 1..8)) {
            let x = Composition::from_counts(amounts.iter().map(|&(z, n)| (Element::from_z(z).unwrap(), n)));
            prop_assert_eq!(&c(&x.to_string()), &x);
            prop_assert_eq!(&c(&x.formula()), &x);
            let (reduced, factor) = x.reduced();
            prop_assert_eq!(reduced.multiplied(factor).unwrap(), x.clone());
            prop_assert_eq!(reduced.reduced().1, 1);
            prop_assert_eq!(c(&x.reduced_formula()).reduced().0, reduced);
        }
    }
}
