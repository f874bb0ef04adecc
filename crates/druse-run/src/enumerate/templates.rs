//! Templates of a composition: space groups with elements on Wyckoff positions.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;

use druse_crystal::formats::cif::number_of_symbol;
use druse_crystal::{
    Composition, Element, ElementError, EnumerateError, EnumerateOptions, SpaceGroup, SpaceGroupError,
    Template, WyckoffSequence, enumerate_templates,
};
use druse_models::{Conditions, Site};

/// How many structures of a training set have a space group with these Wyckoff positions, in their canonical form.
pub type Frequencies = [(WyckoffSequence, usize)];

/// Why a text is no list of distinct sites.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SitesError {
    /// A part is not an element and a number.
    #[error("`{0}` is no element with its number of distinct sites, such as Na:1")]
    Part(String),
    /// No such element.
    #[error(transparent)]
    Element(#[from] ElementError),
    /// An element appears twice.
    #[error("{0} is named twice")]
    Repeated(Element),
    /// There is no site.
    #[error("no sites are given")]
    Empty,
}

/// A text names no space group, or not a single one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no space group; give its number, 1 to 230, or its Hermann–Mauguin symbol, such as Fm-3m or P2_1/c"
)]
pub struct NoSpaceGroup(String);

/// Reads a space group: `225`, or a symbol as in CIFs, `Fm-3m`. A symbol of another setting (`P2_1/n`) stands for its group.
///
/// # Errors
/// [`NoSpaceGroup`] for anything else.
pub fn parse_space_group(text: &str) -> Result<u16, NoSpaceGroup> {
    let text = text.trim();
    let number = match text.parse() {
        Ok(number) => SpaceGroup::new(number).ok().map(SpaceGroup::number),
        Err(_) => number_of_symbol(text),
    };
    number.ok_or_else(|| NoSpaceGroup(text.chars().take(40).collect()))
}

/// Reads `Na:1,Cl:1`: elements with the number of their symmetrically distinct sites.
///
/// # Errors
/// [`SitesError`] naming the part that is not read.
pub fn parse_sites(text: &str) -> Result<Vec<Site>, SitesError> {
    /// More sites than any crystal has; a mistyped number would fill the memory.
    const MOST: usize = 1000;
    let mut counts: BTreeMap<Element, usize> = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let unread = || SitesError::Part(part.chars().take(40).collect());
        let (symbol, count) = part.split_once(':').ok_or_else(unread)?;
        let element = Element::from_symbol(symbol.trim())?;
        let count = count.trim().parse().ok().filter(|n| (1..=MOST).contains(n)).ok_or_else(unread)?;
        if counts.insert(element, count).is_some() {
            return Err(SitesError::Repeated(element));
        }
    }
    if counts.is_empty() {
        return Err(SitesError::Empty);
    }
    let sites = counts.into_iter();
    Ok(sites.flat_map(|(element, n)| std::iter::repeat_n(Site { element, wyckoff: None }, n)).collect())
}

/// A template as what a crystal is asked to be.
pub fn conditions_of(template: &Template) -> Conditions {
    let sites = template.sites().iter().map(|&(element, letter)| Site { element, wyckoff: Some(letter) });
    Conditions::default().and_space_group(template.group().number()).and_sites(sites.collect())
}

/// Limits of the templates of a composition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateLimits {
    /// Most distinct sites.
    pub max_sites: usize,
    /// Most templates.
    pub count: usize,
}

impl Default for TemplateLimits {
    fn default() -> Self {
        Self { max_sites: 20, count: 100 }
    }
}

/// Templates of a composition, those first that a training set has most often, then those with the fewest distinct sites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    /// The templates, as many as the limit allows.
    pub templates: Vec<Template>,
    /// How many there are, or were looked at in groups with very many.
    pub total: usize,
    /// How many of those that are listed a training set has.
    pub known: usize,
}

/// Why a composition has no template.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TemplatesError {
    /// There is no such group.
    #[error(transparent)]
    Group(#[from] SpaceGroupError),
    /// No space group that was looked at can hold it.
    #[error(transparent)]
    Enumerate(#[from] EnumerateError),
}

/// The ways to put the atoms of one cell, the primitive or the conventional one, on Wyckoff positions of one space group or of
/// those in `frequencies` (where there are none, of all). The limit on their number applies after they are put in order, as
/// long as there are at most 100,000 of them in a group.
///
/// # Errors
/// [`TemplatesError`] when there are none, with the multiplicities that the group offers.
pub fn templates(
    composition: &Composition,
    group: Option<u16>,
    frequencies: &Frequencies,
    limits: TemplateLimits,
) -> Result<Templates, TemplatesError> {
    const MOST_IN_A_GROUP: usize = 100_000;
    let mut groups: Vec<u16> = match group {
        Some(number) => vec![number],
        None if frequencies.is_empty() => (1..=230).collect(),
        None => frequencies.iter().map(|(sequence, _)| sequence.group()).collect(),
    };
    groups.sort_unstable();
    groups.dedup();
    let (_, units) = composition.reduced();
    let mut found = Vec::new();
    let mut impossible = None;
    for number in groups {
        let centring = SpaceGroup::new(number)?.centring().order() as u32;
        // Formula units of the primitive cell, where the formula is that of the primitive or of the conventional cell.
        let mut choices = vec![units];
        if centring > 1 && units % centring == 0 {
            choices.push(units / centring);
        }
        for units in choices {
            let options = EnumerateOptions {
                groups: Some(vec![number]),
                max_atoms: composition.num_atoms(),
                formula_units: NonZeroU32::new(units),
                max_sites: limits.max_sites,
                limit: MOST_IN_A_GROUP,
            };
            match enumerate_templates(composition, &options) {
                Ok(list) => found.extend(list.templates),
                Err(error) => _ = impossible.get_or_insert(error),
            }
        }
    }
    if let (true, Some(error)) = (found.is_empty(), impossible) {
        // One group says best what it lacks; of many, the first is no more to blame than the others.
        let error = match group {
            Some(_) => error,
            None => EnumerateError::NoGroup {
                count: if frequencies.is_empty() { 230 } else { known_groups(frequencies) },
                formula: composition.formula(),
                limits: format!("{} distinct sites", limits.max_sites),
            },
        };
        return Err(error.into());
    }
    let total = found.len();
    let counts: HashMap<&WyckoffSequence, usize> = frequencies.iter().map(|(s, n)| (s, *n)).collect();
    let mut ranked: Vec<(usize, Template)> = found
        .into_iter()
        .map(|template| (counts.get(&template.sequence().canonical()).copied().unwrap_or(0), template))
        .collect();
    ranked.sort_by(|(a, s), (b, t)| b.cmp(a).then_with(|| s.sites().len().cmp(&t.sites().len())));
    ranked.truncate(limits.count);
    let known = ranked.iter().filter(|(n, _)| *n > 0).count();
    Ok(Templates { templates: ranked.into_iter().map(|(_, template)| template).collect(), total, known })
}

/// Number of space groups that a training set has.
fn known_groups(frequencies: &Frequencies) -> usize {
    let mut groups: Vec<u16> = frequencies.iter().map(|(sequence, _)| sequence.group()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composition(formula: &str) -> Composition {
        Composition::parse(formula).unwrap()
    }

    fn sequence(number: u16, text: &str) -> WyckoffSequence {
        Template::parse(SpaceGroup::new(number).unwrap(), text).unwrap().sequence().canonical()
    }

    #[test]
    fn sites_are_elements_with_numbers() {
        let sites = parse_sites("Na:1, Cl:2").unwrap();
        assert_eq!(sites.iter().map(|s| s.element.symbol()).collect::<Vec<_>>(), ["Na", "Cl", "Cl"]);
        for (text, word) in [
            ("", "no sites"),
            ("Na", "`Na` is no element"),
            ("Na:0", "`Na:0`"),
            ("Na:4a", "`Na:4a`"),
            ("Xx:1", "Xx"),
            ("Na:1,Na:2", "twice"),
            ("Na:99999999999", "Na:9999"),
        ] {
            let message = parse_sites(text).unwrap_err().to_string();
            assert!(message.contains(word), "{text}: {message}");
        }
    }

    #[test]
    fn space_groups_have_numbers_and_symbols() {
        for group in SpaceGroup::all() {
            for text in [group.number().to_string(), group.symbol().into(), group.full_symbol().into()] {
                assert_eq!(parse_space_group(&text), Ok(group.number()), "{text}");
            }
        }
        let others = [
            ("P2_1/n", 14),
            ("p 1 21/c 1", 14),
            ("Cmca", 64),
            ("Pbnm", 62),
            ("R-3m:R", 166),
            (" Fd-3mZ ", 227),
        ];
        for (text, number) in others {
            assert_eq!(parse_space_group(text), Ok(number), "{text}");
        }
        for text in ["", "0", "231", "-5", "99999999999", "Fm-3q", "rock salt"] {
            let message = parse_space_group(text).unwrap_err().to_string();
            assert!(message.starts_with(&format!("`{text}` is no space group")), "{message}");
        }
    }

    /// Rock salt in its two descriptions, whether the formula is that of the primitive or of the conventional cell.
    #[test]
    fn formulas_are_those_of_either_cell() {
        for formula in ["NaCl", "Na4Cl4"] {
            let all = templates(&composition(formula), Some(225), &[], TemplateLimits::default()).unwrap();
            let texts: Vec<String> = all.templates.iter().map(ToString::to_string).collect();
            for text in ["Na:4a,Cl:4b", "Na:4b,Cl:4a"] {
                assert!(texts.iter().any(|t| t.contains(text)), "{formula}: {texts:?}");
            }
        }
    }

    #[test]
    fn the_most_frequent_come_first() {
        let known = [(sequence(225, "Na:4a,Cl:4b"), 7), (sequence(221, "Cs:1a,Cl:1b"), 3)];
        let limits = TemplateLimits { count: 3, ..TemplateLimits::default() };
        let all = templates(&composition("KBr"), None, &known, limits).unwrap();
        let groups: Vec<u16> = all.templates.iter().map(|t| t.group().number()).collect();
        assert_eq!((groups, all.known), (vec![225, 225, 221], 3));
        assert!(all.total > 3);
    }

    #[test]
    fn what_a_group_cannot_hold_is_told() {
        let message = templates(&composition("Na3Cl"), Some(227), &[], TemplateLimits::default())
            .unwrap_err()
            .to_string();
        assert!(message.contains("227") && message.contains("Na3Cl"), "{message}");
        assert!(templates(&composition("NaCl"), Some(231), &[], TemplateLimits::default()).is_err());
    }
}
