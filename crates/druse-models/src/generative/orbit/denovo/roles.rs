//! What the elements of a compound are: metals among metals, or ions of a charge.

use std::collections::HashMap;

use druse_crystal::{Composition, Element};

use super::oxidation::{is_metal, states};

/// More combinations of oxidation states than are looked at.
const MOST_COMBINATIONS: usize = 100_000;

/// What an element is in a compound. Exchanges mostly keep it, which keeps charges balanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in super::super) enum Role {
    /// A metal where all are metals.
    Metal,
    /// An ion of this charge.
    Ion(i8),
    /// The only element, and no metal.
    Alone,
    /// No choice of oxidation states is neutral with each cation less electronegative than each anion.
    Unknown,
}

/// How often elements have oxidation states in known compounds.
#[derive(Debug, Default)]
pub(super) struct Charges(HashMap<(Element, i8), f64>);

impl Charges {
    /// Of compositions, each of whose balanced choices of oxidation states counts the same.
    pub fn of<'c>(compositions: impl IntoIterator<Item = &'c Composition>) -> Self {
        let mut seen: HashMap<(Element, i8), f64> = HashMap::new();
        for c in compositions {
            let choices = balanced(c);
            for (e, &q) in choices.iter().flat_map(|charges| c.elements().zip(charges)) {
                *seen.entry((e, q)).or_default() += 1.0 / choices.len() as f64;
            }
        }
        Self(seen)
    }

    /// The role of each element of a composition, in the order of [`Composition::iter`]. Of several balanced choices of
    /// oxidation states it is the one whose states are the most frequent.
    pub fn roles(&self, c: &Composition) -> Vec<Role> {
        let all = |role: Role| vec![role; c.num_elements()];
        if c.elements().all(is_metal) {
            return all(Role::Metal);
        }
        if c.num_elements() == 1 {
            return all(Role::Alone);
        }
        let likely = |charges: &[i8]| -> f64 {
            let known = |(e, &q): (Element, &i8)| self.0.get(&(e, q)).map_or(f64::MIN_POSITIVE, |n| *n).ln();
            c.elements().zip(charges).map(known).sum()
        };
        let mut best: Option<(f64, Vec<i8>)> = None;
        for charges in balanced(c) {
            let score = likely(&charges);
            if best.as_ref().is_none_or(|(most, _)| score > *most) {
                best = Some((score, charges));
            }
        }
        match best {
            Some((_, charges)) => charges.into_iter().map(Role::Ion).collect(),
            None => all(Role::Unknown),
        }
    }
}

/// All neutral choices of oxidation states in which each cation is less electronegative than each anion.
fn balanced(composition: &Composition) -> Vec<Vec<i8>> {
    if composition.num_elements() < 2 || composition.elements().all(is_metal) {
        return Vec::new();
    }
    let parts: Vec<(Element, i64)> = composition.reduced().0.iter().map(|(e, n)| (e, i64::from(n))).collect();
    let combinations = parts.iter().fold(1usize, |n, &(e, _)| n.saturating_mul(states(e).len()));
    if combinations == 0 || combinations > MOST_COMBINATIONS {
        return Vec::new();
    }
    let of = |mut code: usize| {
        let mut charges = Vec::with_capacity(parts.len());
        for &(e, _) in &parts {
            charges.push(states(e)[code % states(e).len()]);
            code /= states(e).len();
        }
        charges
    };
    let neutral = |charges: &Vec<i8>| {
        let total: i64 = parts.iter().zip(charges).map(|(&(_, n), &q)| n * i64::from(q)).sum();
        total == 0 && in_order(&parts, charges)
    };
    (0..combinations).map(of).filter(neutral).collect()
}

/// Whether each cation is less electronegative than each anion, as far as that is known.
fn in_order(parts: &[(Element, i64)], charges: &[i8]) -> bool {
    let of_sign = |sign: i8| {
        let ions = parts.iter().zip(charges).filter(move |(_, q)| q.signum() == sign);
        ions.filter_map(|((e, _), _)| e.electronegativity())
    };
    let most = of_sign(1).fold(f64::NEG_INFINITY, f64::max);
    of_sign(-1).all(|x| most < x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(formulas: &[&str]) -> Vec<Vec<Role>> {
        let all: Vec<Composition> = formulas.iter().map(|f| Composition::parse(f).unwrap()).collect();
        let charges = Charges::of(&all);
        all.iter().map(|c| charges.roles(c)).collect()
    }

    #[test]
    fn charges_of_textbook_compounds() {
        use Role::{Alone, Ion, Metal, Unknown};
        // In the order of the atomic numbers.
        let found = of(&["NaCl", "Ca4Ti4O12", "Cu3Au", "C2", "Al4", "NaCl2", "Na2O", "Li2O"]);
        assert_eq!(found[0], [Ion(1), Ion(-1)]);
        assert_eq!(found[1], [Ion(-2), Ion(2), Ion(4)]);
        assert_eq!(found[2], [Metal, Metal]);
        assert_eq!((&found[3], &found[4]), (&vec![Alone], &vec![Metal]));
        assert_eq!(found[5], [Unknown, Unknown]);
    }

    #[test]
    fn frequent_states_are_preferred() {
        // FeMnO3 could be Fe(+1)Mn(+5) or Fe(+2)Mn(+4); what is known besides decides.
        let found = of(&["FeMnO3", "FeO", "FeF2", "FeCl2", "FeBr2", "MnO2", "MnF4"]);
        assert_eq!(found[0], [Role::Ion(-2), Role::Ion(4), Role::Ion(2)]);
    }
}
