//! Which element occupies which Wyckoff positions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{DistinctSite, SiteError, SymmetricStructure};
use crate::{Composition, Element, ElementError, Lattice, SpaceGroup, SpaceGroupError, WyckoffPosition};

/// A space group and the element and Wyckoff position of each distinct site: a structure without its free parameters.
///
/// The sites are in the order of atomic numbers, then of letters, so that equal templates are equal values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Template {
    group: u16,
    sites: Vec<(Element, char)>,
}

/// What a file says, before it is checked.
#[derive(Deserialize)]
struct Unchecked {
    group: u16,
    sites: Vec<(Element, char)>,
}

/// What a file says, before it is checked.
#[derive(Deserialize)]
struct UncheckedSequence {
    group: u16,
    letters: String,
}

/// The space group and letters of the occupied Wyckoff positions, each as often as it is occupied: what crystals of
/// one structure type have in common. Letters are in alphabetical order, the 27th (`A`) last.
///
/// A shift of the origin may exchange letters, so that fluorite is `a c` or `b c`; [`Self::canonical`] is the same for
/// both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "UncheckedSequence")]
pub struct WyckoffSequence {
    group: u16,
    letters: String,
}

/// Why sites are no template.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TemplateError {
    /// No such space group or Wyckoff position.
    #[error(transparent)]
    Group(#[from] SpaceGroupError),
    /// No such element.
    #[error(transparent)]
    Element(#[from] ElementError),
    /// There is no site.
    #[error("no sites are given")]
    Empty,
    /// More than one orbit on a position that holds one.
    #[error(
        "Wyckoff position {multiplicity}{letter} of space group {group} is given {count} times, but has no free \
         parameter: all its points are one orbit"
    )]
    Taken {
        /// The group's number.
        group: u16,
        /// The position's letter.
        letter: char,
        /// Its multiplicity.
        multiplicity: usize,
        /// How often it is given.
        count: usize,
    },
    /// A stated multiplicity is not the position's.
    #[error("position {letter} of space group {group} has multiplicity {expected}, not {stated}")]
    Multiplicity {
        /// The group's number.
        group: u16,
        /// The position's letter.
        letter: char,
        /// Its multiplicity.
        expected: usize,
        /// The multiplicity given.
        stated: String,
    },
    /// A text that is not read.
    #[error("`{0}` is no site such as Na:4a, an element and a Wyckoff position")]
    Text(String),
}

/// What a letter becomes when the group's positions become `letters`.
fn exchange(group: &SpaceGroup, letters: &[char], letter: char) -> char {
    let index = group.wyckoff_positions().iter().position(|w| w.letter() == letter);
    index.map_or(letter, |i| letters[i])
}

/// Order of Wyckoff letters: `a` to `z`, then `A`.
fn rank(letter: char) -> (bool, char) {
    (letter.is_ascii_uppercase(), letter)
}

impl Template {
    /// A template from the sites, in any order.
    ///
    /// # Errors
    /// [`TemplateError`] for letters that the group lacks, for positions without free parameters that occur more than
    /// once, and without sites.
    pub fn new(group: &SpaceGroup, mut sites: Vec<(Element, char)>) -> Result<Self, TemplateError> {
        if sites.is_empty() {
            return Err(TemplateError::Empty);
        }
        for &(_, letter) in &sites {
            let position = group.wyckoff(letter)?;
            let count = sites.iter().filter(|(_, l)| *l == letter).count();
            if position.is_fixed() && count > 1 {
                let multiplicity = position.multiplicity();
                return Err(TemplateError::Taken { group: group.number(), letter, multiplicity, count });
            }
        }
        sites.sort_unstable_by_key(|&(element, letter)| (element, rank(letter)));
        Ok(Self { group: group.number(), sites })
    }

    /// Reads `Na:4a,Cl:4b`: an element and a letter for each site, the multiplicity (of the conventional cell) before
    /// the letter or left out. Several positions of one element follow each other: `O:2a 4c`.
    ///
    /// # Errors
    /// [`TemplateError`] for what is not read, multiplicities that are not the position's, and as [`Self::new`].
    pub fn parse(group: &SpaceGroup, text: &str) -> Result<Self, TemplateError> {
        let mut sites = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let unread = || TemplateError::Text(part.chars().take(40).collect());
            let (symbol, positions) = part.split_once(':').ok_or_else(unread)?;
            let element = Element::from_symbol(symbol.trim())?;
            let mut positions = positions.split_whitespace().peekable();
            if positions.peek().is_none() {
                return Err(unread());
            }
            for position in positions {
                let letter =
                    position.chars().next_back().filter(char::is_ascii_alphabetic).ok_or_else(unread)?;
                let stated = &position[..position.len() - 1];
                let expected = group.wyckoff(letter)?.multiplicity();
                if !stated.is_empty() && stated.parse() != Ok(expected) {
                    if !stated.bytes().all(|b| b.is_ascii_digit()) {
                        return Err(unread());
                    }
                    let stated = stated.to_owned();
                    return Err(TemplateError::Multiplicity {
                        group: group.number(),
                        letter,
                        expected,
                        stated,
                    });
                }
                sites.push((element, letter));
            }
        }
        Self::new(group, sites)
    }

    /// The space group.
    pub fn group(&self) -> &'static SpaceGroup {
        SpaceGroup::new(self.group).expect("the group was checked")
    }

    /// Element and letter of each distinct site.
    pub fn sites(&self) -> &[(Element, char)] {
        &self.sites
    }

    /// The Wyckoff position of each site.
    pub fn positions(&self) -> impl Iterator<Item = &'static WyckoffPosition> + '_ {
        let group = self.group();
        self.sites.iter().map(|&(_, letter)| group.wyckoff(letter).expect("letters were checked"))
    }

    /// Atoms of each element in the primitive cell.
    pub fn composition(&self) -> Composition {
        let atoms = self.sites.iter().zip(self.positions());
        Composition::from_counts(atoms.map(|(&(e, _), w)| (e, w.primitive_multiplicity() as u32)))
    }

    /// Free coordinates of all sites together.
    pub fn freedom(&self) -> usize {
        self.positions().map(WyckoffPosition::freedom).sum()
    }

    /// The structure with these free coordinates, site by site, in a conventional cell.
    ///
    /// # Errors
    /// As [`SymmetricStructure::new`].
    ///
    /// # Panics
    /// When the number of coordinates is not [`Self::freedom`].
    pub fn structure(&self, lattice: &Lattice, coordinates: &[f64]) -> Result<SymmetricStructure, SiteError> {
        assert_eq!(coordinates.len(), self.freedom(), "free coordinates of {self}");
        let mut rest = coordinates;
        let sites = self.sites.iter().zip(self.positions()).map(|(&(element, letter), position)| {
            let (own, others) = rest.split_at(position.freedom());
            rest = others;
            DistinctSite { element, letter, frac: position.point(own) }
        });
        let sites = sites.collect();
        SymmetricStructure::new(self.group(), lattice, sites)
    }

    /// The templates that a shift of the origin or an exchange of axes turns this one into, itself among them, in order.
    pub fn equivalents(&self) -> Vec<Self> {
        let group = self.group();
        let exchanged = |letters: &Vec<char>| {
            let sites =
                self.sites.iter().map(|&(element, letter)| (element, exchange(group, letters, letter)));
            let mut sites: Vec<(Element, char)> = sites.collect();
            sites.sort_unstable_by_key(|&(element, letter)| (element, rank(letter)));
            Self { group: self.group, sites }
        };
        let mut all: Vec<Self> = group.normalizer().letters().iter().map(exchanged).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Group and letters without the elements.
    pub fn sequence(&self) -> WyckoffSequence {
        let mut letters: Vec<char> = self.sites.iter().map(|&(_, letter)| letter).collect();
        letters.sort_unstable_by_key(|&l| rank(l));
        WyckoffSequence { group: self.group, letters: letters.into_iter().collect() }
    }
}

impl TryFrom<Unchecked> for Template {
    type Error = TemplateError;

    fn try_from(t: Unchecked) -> Result<Self, Self::Error> {
        Self::new(SpaceGroup::new(t.group)?, t.sites)
    }
}

impl TryFrom<UncheckedSequence> for WyckoffSequence {
    type Error = TemplateError;

    fn try_from(s: UncheckedSequence) -> Result<Self, Self::Error> {
        // Any element will do: what may be occupied, and how often, does not depend on it.
        let hydrogen = Element::from_z(1)?;
        let sites = s.letters.chars().map(|letter| (hydrogen, letter)).collect();
        Ok(Template::new(SpaceGroup::new(s.group)?, sites)?.sequence())
    }
}

/// Group, then each site: `225 (Fm-3m): Na:4a,Cl:4b`, the part behind the colon as [`Template::parse`] reads it.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.group())?;
        for (i, (&(element, letter), w)) in self.sites.iter().zip(self.positions()).enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{element}:{}{letter}", w.multiplicity())?;
        }
        Ok(())
    }
}

impl WyckoffSequence {
    /// Number of the space group.
    pub fn group(&self) -> u16 {
        self.group
    }

    /// The first of the sequences that a shift of the origin or an exchange of axes turns this one into: the same for
    /// all descriptions of a structure type.
    pub fn canonical(&self) -> Self {
        let group = SpaceGroup::new(self.group).expect("the group was checked");
        let exchanged = |letters: &Vec<char>| {
            let mut own: Vec<char> = self.letters.chars().map(|l| exchange(group, letters, l)).collect();
            own.sort_unstable_by_key(|&l| rank(l));
            own
        };
        let first = group.normalizer().letters().iter().map(exchanged);
        let first = first.min_by_key(|letters| letters.iter().map(|&l| rank(l)).collect::<Vec<_>>());
        let letters = first.map_or_else(|| self.letters.clone(), String::from_iter);
        Self { group: self.group, letters }
    }

    /// The letters, each as often as it occurs.
    pub fn letters(&self) -> &str {
        &self.letters
    }
}

/// As crystallographic databases write it, the last letter first, numbers for repetition: `227 e d a`, `14 e4`.
impl fmt::Display for WyckoffSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.group)?;
        let letters: Vec<char> = self.letters.chars().rev().collect();
        for same in letters.chunk_by(|a, b| a == b) {
            write!(f, " {}", same[0])?;
            if same.len() > 1 {
                write!(f, "{}", same.len())?;
            }
        }
        Ok(())
    }
}

impl SymmetricStructure {
    /// The free coordinates of all sites, site by site.
    pub fn coordinates(&self) -> Vec<f64> {
        self.sites().iter().zip(self.positions()).flat_map(|(s, w)| w.parameters(s.frac)).collect()
    }

    /// What remains without the free parameters.
    pub fn template(&self) -> Template {
        let sites = self.sites().iter().map(|s| (s.element, s.letter)).collect();
        Template::new(self.group(), sites).expect("sites were checked")
    }
}
