//! All ways to put a composition on the Wyckoff positions of space groups.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::ControlFlow;

use super::Template;
use crate::{Composition, Element, SpaceGroup, SpaceGroupError};

/// What is enumerated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumerateOptions {
    /// Numbers of the space groups; `None` for all 230.
    pub groups: Option<Vec<u16>>,
    /// Most atoms in the primitive cell (default 20; 200 at most).
    pub max_atoms: usize,
    /// Formula units in the primitive cell; `None` (the default) for all numbers that `max_atoms` allows.
    pub formula_units: Option<NonZeroU32>,
    /// Most distinct sites (default 20).
    pub max_sites: usize,
    /// Most templates that are listed (default 10,000).
    pub limit: usize,
}

impl Default for EnumerateOptions {
    fn default() -> Self {
        Self { groups: None, max_atoms: 20, formula_units: None, max_sites: 20, limit: 10_000 }
    }
}

/// Templates of a composition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enumeration {
    /// Those that were listed: fewest distinct sites first, then fewest formula units, then by number of the group.
    pub templates: Vec<Template>,
    /// Whether the limit left some out; [`count_templates`] tells how many there are.
    pub truncated: bool,
}

/// Why there is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnumerateError {
    /// There is no such group.
    #[error(transparent)]
    Group(#[from] SpaceGroupError),
    /// The composition holds no atom.
    #[error("the composition is empty")]
    Empty,
    /// One formula unit, or the number asked for, has too many atoms.
    #[error("{formula} has {atoms} atoms in the primitive cell, more than the limit of {max_atoms}")]
    TooLarge {
        /// The formula.
        formula: String,
        /// Its atoms.
        atoms: u64,
        /// The limit.
        max_atoms: usize,
    },
    /// The positions of the group cannot hold these numbers of atoms.
    #[error(
        "the Wyckoff positions of space group {group} cannot hold {formula} within {limits}; in the primitive cell {}",
        positions.join(", ")
    )]
    Impossible {
        /// Number and symbol of the group.
        group: String,
        /// The reduced formula.
        formula: String,
        /// The limits of the search in words.
        limits: String,
        /// What its positions hold, in words, a multiplicity each.
        positions: Vec<String>,
    },
    /// None of several groups can.
    #[error("none of the {count} space groups can hold {formula} within {limits}")]
    NoGroup {
        /// How many were tried.
        count: usize,
        /// The reduced formula.
        formula: String,
        /// The limits of the search in words.
        limits: String,
    },
}

/// All combinations of Wyckoff positions that give the composition, or multiples of its reduced formula, in the primitive
/// cell. A position without free parameters holds one orbit at most.
///
/// Combinations that a shift of the origin or an exchange of axes turns into each other are listed one by one. Whether
/// something can be completed is found by counting, so that nothing is visited that leads nowhere.
///
/// # Errors
/// [`EnumerateError`] when there is none, with what the positions hold.
pub fn enumerate_templates(
    composition: &Composition,
    options: &EnumerateOptions,
) -> Result<Enumeration, EnumerateError> {
    let mut searches = searches(composition, options)?;
    // One more than asked for tells whether there are more.
    let limit = options.limit.saturating_add(1);
    let mut templates = Vec::new();
    'all: for sites in 1..=most_sites(options) {
        for search in &mut searches {
            let start = search.start(sites);
            if search.count(start) > 0 && search.list(start, &mut templates, limit).is_break() {
                break 'all;
            }
        }
    }
    if templates.is_empty() {
        return Err(impossible(composition, options)?);
    }
    let truncated = templates.len() > options.limit;
    templates.truncate(options.limit);
    Ok(Enumeration { templates, truncated })
}

/// How many templates [`enumerate_templates`] would list without a limit; `u64::MAX` for that many or more. Seconds for
/// all groups and tens of atoms.
///
/// # Errors
/// [`EnumerateError`] for an empty composition, one that is too large, and groups that do not exist.
pub fn count_templates(composition: &Composition, options: &EnumerateOptions) -> Result<u64, EnumerateError> {
    let mut searches = searches(composition, options)?;
    let counts = searches.iter_mut().flat_map(|search| {
        (1..=most_sites(options)).map(|sites| search.count(search.start(sites))).collect::<Vec<_>>()
    });
    Ok(counts.fold(0, u64::saturating_add))
}

fn most_sites(options: &EnumerateOptions) -> usize {
    options.max_sites.min(options.max_atoms).min(MAX_ATOMS)
}

/// A search for each number of formula units and group.
fn searches(composition: &Composition, options: &EnumerateOptions) -> Result<Vec<Search>, EnumerateError> {
    let (formula, _) = composition.reduced();
    if formula.is_empty() {
        return Err(EnumerateError::Empty);
    }
    let atoms = formula.num_atoms() as u64;
    let most = options.max_atoms.min(MAX_ATOMS) as u64 / atoms;
    let units = options.formula_units.map_or(1..=most, |n| n.get().into()..=n.get().into());
    if most == 0 || *units.end() > most {
        let atoms = atoms * units.start();
        let units = if *units.start() > 1 { format!("{} × ", units.start()) } else { String::new() };
        let formula = format!("{units}{}", formula.reduced_formula());
        return Err(EnumerateError::TooLarge { formula, atoms, max_atoms: options.max_atoms.min(MAX_ATOMS) });
    }
    let groups = groups(options)?;
    let of_units = |units: u64| {
        let counts: Vec<_> = formula.iter().map(|(e, n)| (e, (u64::from(n) * units) as usize)).collect();
        groups.iter().map(move |group| Search::new(group, counts.clone()))
    };
    Ok(units.flat_map(of_units).collect())
}

fn groups(options: &EnumerateOptions) -> Result<Vec<&'static SpaceGroup>, SpaceGroupError> {
    match &options.groups {
        Some(numbers) => numbers.iter().map(|&n| SpaceGroup::new(n)).collect(),
        None => Ok(SpaceGroup::all().collect()),
    }
}

/// Says why nothing was found.
fn impossible(
    composition: &Composition,
    options: &EnumerateOptions,
) -> Result<EnumerateError, EnumerateError> {
    let limits = match options.formula_units {
        Some(n) => format!("{n} formula units a primitive cell and {} distinct sites", options.max_sites),
        None => {
            format!("{} atoms a primitive cell and {} distinct sites", options.max_atoms, options.max_sites)
        }
    };
    let formula = composition.reduced().0.reduced_formula();
    let groups = groups(options)?;
    Ok(match groups[..] {
        [group] => {
            let positions = Search::new(group, Vec::new()).describe();
            EnumerateError::Impossible { group: group.to_string(), formula, limits, positions }
        }
        _ => EnumerateError::NoGroup { count: groups.len(), formula, limits },
    })
}

/// Positions of a group that hold equal numbers of atoms and are alike in whether they can be taken again.
struct Class {
    multiplicity: usize,
    fixed: bool,
    letters: Vec<char>,
}

/// Most classes of positions without free parameters in a group.
const FIXED_CLASSES: usize = 8;
/// Most atoms that are enumerated, whatever the options.
const MAX_ATOMS: usize = 200;

/// A partial assignment, but for which letters it used.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Element in turn, and the class in turn for it.
    element: usize,
    class: usize,
    /// Atoms of the element, and sites of all elements, still to be placed.
    atoms: usize,
    sites: usize,
    /// Positions of each class that are taken; always 0 where they have free parameters.
    taken: [u8; FIXED_CLASSES],
}

impl State {
    /// All of it in one number. Atoms and sites are at most [`MAX_ATOMS`].
    fn key(self) -> u128 {
        let low = [self.element, self.class, self.atoms, self.sites];
        low.into_iter().fold(u64::from_le_bytes(self.taken).into(), |key, x| key << 16 | x as u128)
    }
}

/// The search for one group and one composition.
struct Search {
    group: &'static SpaceGroup,
    counts: Vec<(Element, usize)>,
    /// Classes of fixed positions first.
    classes: Vec<Class>,
    known: HashMap<u128, u64>,
    chosen: Vec<(Element, char)>,
}

impl Search {
    fn new(group: &'static SpaceGroup, counts: Vec<(Element, usize)>) -> Self {
        let mut classes: Vec<Class> = Vec::new();
        for w in group.wyckoff_positions() {
            let (multiplicity, fixed) = (w.primitive_multiplicity(), w.is_fixed());
            match classes.iter_mut().find(|c| (c.multiplicity, c.fixed) == (multiplicity, fixed)) {
                Some(class) => class.letters.push(w.letter()),
                None => classes.push(Class { multiplicity, fixed, letters: vec![w.letter()] }),
            }
        }
        classes.sort_by_key(|c| (!c.fixed, c.multiplicity));
        Self { group, counts, classes, known: HashMap::new(), chosen: Vec::new() }
    }

    fn start(&self, sites: usize) -> State {
        State { element: 0, class: 0, atoms: self.counts[0].1, sites, taken: [0; FIXED_CLASSES] }
    }

    /// The state after `sites` positions of the class in turn were taken for the element in turn; `None` where the
    /// last class leaves atoms over.
    fn after(&self, state: State, sites: usize) -> Option<State> {
        let class = &self.classes[state.class];
        let mut next = State {
            class: state.class + 1,
            atoms: state.atoms - sites * class.multiplicity,
            sites: state.sites - sites,
            ..state
        };
        if class.fixed {
            next.taken[state.class] += sites as u8;
        }
        if next.class == self.classes.len() || next.atoms == 0 {
            if next.atoms > 0 {
                return None;
            }
            next.element += 1;
            next.class = 0;
            next.atoms = self.counts.get(next.element).map_or(0, |c| c.1);
        }
        Some(next)
    }

    /// Numbers of positions of the class in turn that can be taken for the element in turn.
    fn choices(&self, state: State) -> std::ops::RangeInclusive<usize> {
        let class = &self.classes[state.class];
        let mut most = (state.atoms / class.multiplicity).min(state.sites);
        if class.fixed {
            most = most.min(class.letters.len() - usize::from(state.taken[state.class]));
        }
        0..=most
    }

    fn finished(&self, state: State) -> bool {
        state.element == self.counts.len()
    }

    /// Number of completions.
    fn count(&mut self, state: State) -> u64 {
        if self.finished(state) {
            return u64::from(state.sites == 0);
        }
        // An element in turn needs a site at least.
        if state.sites < self.counts.len() - state.element {
            return 0;
        }
        if let Some(&count) = self.known.get(&state.key()) {
            return count;
        }
        let mut total = 0u64;
        for sites in self.choices(state) {
            let Some(next) = self.after(state, sites) else { continue };
            let class = &self.classes[state.class];
            let ways = match class.fixed {
                true => binomial(class.letters.len() - usize::from(state.taken[state.class]), sites),
                false => binomial(class.letters.len() + sites - 1, sites),
            };
            total = total.saturating_add(ways.saturating_mul(self.count(next)));
        }
        self.known.insert(state.key(), total);
        total
    }

    /// Lists completions until `found` holds `limit`.
    fn list(&mut self, state: State, found: &mut Vec<Template>, limit: usize) -> ControlFlow<()> {
        if self.finished(state) {
            let template = Template::new(self.group, self.chosen.clone());
            found.push(template.expect("letters are the group's, fixed positions are taken once"));
            return if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        }
        for sites in self.choices(state) {
            let Some(next) = self.after(state, sites) else { continue };
            if self.count(next) > 0 {
                self.pick(state, next, sites, 0, found, limit)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Every choice of `sites` letters of the class in turn, from the letter of index `first` on.
    fn pick(
        &mut self,
        state: State,
        next: State,
        sites: usize,
        first: usize,
        found: &mut Vec<Template>,
        limit: usize,
    ) -> ControlFlow<()> {
        if sites == 0 {
            return self.list(next, found, limit);
        }
        for index in first..self.classes[state.class].letters.len() {
            let class = &self.classes[state.class];
            let (letter, fixed) = (class.letters[index], class.fixed);
            if fixed && self.chosen.iter().any(|&(_, taken)| taken == letter) {
                continue;
            }
            self.chosen.push((self.counts[state.element].0, letter));
            let from = if fixed { index + 1 } else { index };
            let flow = self.pick(state, next, sites - 1, from, found, limit);
            self.chosen.pop();
            flow?;
        }
        ControlFlow::Continue(())
    }

    /// What the positions hold, in words.
    fn describe(&self) -> Vec<String> {
        let words = |class: &Class| {
            let letters: Vec<String> = class.letters.iter().map(char::to_string).collect();
            let letters = letters.join(", ");
            let atoms = if class.multiplicity == 1 { "atom" } else { "atoms" };
            let often = if class.fixed { " once" } else { "" };
            let each = if class.letters.len() > 1 { " each" } else { "" };
            format!("{letters}: {} {atoms}{each}{often}", class.multiplicity)
        };
        self.classes.iter().map(words).collect()
    }
}

/// n over k, saturating.
fn binomial(n: usize, k: usize) -> u64 {
    if k > n {
        return 0;
    }
    let k = k.min(n - k);
    let mut result: u128 = 1;
    for i in 0..k {
        // Exact at each step: a product of i + 1 successive numbers is divisible by (i + 1)!.
        result = result * (n - i) as u128 / (i + 1) as u128;
        if result > u128::from(u64::MAX) {
            return u64::MAX;
        }
    }
    result as u64
}
