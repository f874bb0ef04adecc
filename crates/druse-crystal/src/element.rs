//! The chemical elements and their tabulated constants.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// A chemical element, identified by its atomic number Z in 1..=118.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Element(u8);

/// A symbol or atomic number that names no element.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    /// The text is not an element symbol.
    #[error("unknown element `{0}`: expected a symbol from H to Og, such as `Fe`")]
    UnknownSymbol(String),
    /// The number is outside 1..=118.
    #[error("unknown atomic number {0}: expected 1 to 118")]
    UnknownNumber(i64),
}

/// Tabulated constants of one element; `None` where no value is established.
#[derive(Debug, Clone)]
struct Constants {
    symbol: &'static str,
    mass: f64,
    electronegativity: Option<f64>,
    covalent_radius: Option<f64>,
    atomic_radius: Option<f64>,
    row: u8,
    group: u8,
    mendeleev_number: Option<u8>,
}

/// Source: the table's own header line.
const TABLE: &str = include_str!("../data/elements.csv");

fn constants() -> &'static [Constants] {
    static PARSED: OnceLock<Vec<Constants>> = OnceLock::new();
    PARSED.get_or_init(|| {
        TABLE
            .lines()
            .skip(2)
            .map(|line| {
                let fields: Vec<&'static str> = line.split(',').collect();
                let number = |i: usize| fields[i].parse::<f64>().ok();
                Constants {
                    symbol: fields[1],
                    mass: number(2).expect("every element has a mass in the built-in table"),
                    electronegativity: number(3),
                    covalent_radius: number(4),
                    atomic_radius: number(5),
                    row: fields[6].parse().expect("row in the built-in table"),
                    group: fields[7].parse().expect("group in the built-in table"),
                    mendeleev_number: fields[8].parse().ok(),
                }
            })
            .collect()
    })
}

impl Element {
    /// Largest atomic number with an entry.
    pub const MAX_Z: u8 = 118;

    /// The element with atomic number `z`.
    ///
    /// # Errors
    /// [`ElementError::UnknownNumber`] outside 1..=118.
    pub fn from_z(z: impl Into<i64>) -> Result<Self, ElementError> {
        let z = z.into();
        match u8::try_from(z) {
            Ok(n @ 1..=Self::MAX_Z) => Ok(Self(n)),
            _ => Err(ElementError::UnknownNumber(z)),
        }
    }

    /// The element with this symbol; case matters (`Co` is cobalt, `CO` is nothing).
    ///
    /// # Errors
    /// [`ElementError::UnknownSymbol`] when no element is called so. `D` and `T` are not elements here;
    /// file readers map them to H and say so.
    pub fn from_symbol(symbol: &str) -> Result<Self, ElementError> {
        static SORTED: OnceLock<Vec<(&'static str, u8)>> = OnceLock::new();
        let sorted = SORTED.get_or_init(|| {
            let mut all: Vec<_> = constants().iter().zip(1u8..).map(|(c, z)| (c.symbol, z)).collect();
            all.sort_unstable();
            all
        });
        sorted
            .binary_search_by_key(&symbol, |&(s, _)| s)
            .map(|i| Self(sorted[i].1))
            .map_err(|_| ElementError::UnknownSymbol(symbol.to_owned()))
    }

    /// All elements, H to Og.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=Self::MAX_Z).map(Self)
    }

    fn constants(self) -> &'static Constants {
        &constants()[usize::from(self.0) - 1]
    }

    /// Atomic number Z.
    pub fn z(self) -> u8 {
        self.0
    }

    /// Chemical symbol.
    pub fn symbol(self) -> &'static str {
        self.constants().symbol
    }

    /// Standard atomic mass in u.
    pub fn mass(self) -> f64 {
        self.constants().mass
    }

    /// Pauling electronegativity; `None` for most noble gases and the heaviest elements.
    pub fn electronegativity(self) -> Option<f64> {
        self.constants().electronegativity
    }

    /// Covalent radius in Å (Cordero 2008).
    pub fn covalent_radius(self) -> Option<f64> {
        self.constants().covalent_radius
    }

    /// Empirical atomic radius in Å (Slater 1964).
    pub fn atomic_radius(self) -> Option<f64> {
        self.constants().atomic_radius
    }

    /// Row (period) of the periodic table, 1..=7.
    pub fn row(self) -> u8 {
        self.constants().row
    }

    /// Group of the periodic table, 1..=18.
    pub fn group(self) -> u8 {
        self.constants().group
    }

    /// Place of the element in an order in which neighbors replace each other in compounds, 1 (He) to 103 (H); `None` beyond
    /// Lr (Pettifor, Solid State Communications 51, 31, 1984).
    pub fn mendeleev_number(self) -> Option<u8> {
        self.constants().mendeleev_number
    }

    /// Order in which formulas list elements: by electronegativity, elements without one last, ties by symbol.
    pub fn cmp_electronegativity(self, other: Self) -> std::cmp::Ordering {
        let key = |e: Self| e.electronegativity().unwrap_or(f64::INFINITY);
        key(self).total_cmp(&key(other)).then_with(|| self.symbol().cmp(other.symbol()))
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl FromStr for Element {
    type Err = ElementError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::from_symbol(s)
    }
}

impl TryFrom<String> for Element {
    type Error = ElementError;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        Self::from_symbol(&s)
    }
}

impl From<Element> for String {
    fn from(e: Element) -> Self {
        e.symbol().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_complete_and_consistent() {
        assert_eq!(Element::all().count(), 118);
        for e in Element::all() {
            assert_eq!(Element::from_symbol(e.symbol()).unwrap(), e);
            assert!(e.mass() >= 1.0);
        }
        let fe = Element::from_z(26).unwrap();
        assert_eq!((fe.symbol(), fe.mass(), fe.electronegativity()), ("Fe", 55.845, Some(1.83)));
        assert_eq!(fe.covalent_radius(), Some(1.42));
        assert_eq!(fe.mendeleev_number(), Some(61));
        let mut numbers: Vec<u8> = Element::all().filter_map(Element::mendeleev_number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=103).collect::<Vec<u8>>(), "an order of the elements to Lr");
    }

    #[test]
    fn rejects_what_is_no_element() {
        for s in ["", "fe", "FE", "D", "Xx", "H "] {
            assert!(Element::from_symbol(s).is_err(), "{s}");
        }
        assert!(Element::from_z(0).is_err());
        assert!(Element::from_z(119).is_err());
        assert!(Element::from_z(-3).is_err());
    }
}
