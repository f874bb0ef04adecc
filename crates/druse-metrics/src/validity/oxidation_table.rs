//! Oxidation states and electronegativities that the composition rules work with.

use std::sync::OnceLock;

use druse_crystal::Element;

use super::CompositionRule;

/// Source: `data/README.md`.
const TABLE: &str = include_str!("../../data/smact.csv");

/// What a rule knows of one element.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ion {
    pub metal: bool,
    /// Pauling electronegativity.
    pub x: Option<f64>,
    /// Magnitudes of the positive states, rising.
    pub positive: Vec<u64>,
    /// Magnitudes of the negative states, rising.
    pub negative: Vec<u64>,
}

impl Ion {
    /// The states with their signs.
    pub(super) fn states(&self) -> impl Iterator<Item = i64> + '_ {
        self.negative.iter().map(|&q| -(q as i64)).chain(self.positive.iter().map(|&q| q as i64))
    }

    pub(super) fn has_no_state(&self) -> bool {
        self.positive.is_empty() && self.negative.is_empty()
    }
}

/// The rule's entry for an element; `None` beyond the end of the tables (lawrencium, 103).
pub(super) fn ion(element: Element, rule: CompositionRule) -> Option<&'static Ion> {
    static TABLES: OnceLock<[Vec<Ion>; 4]> = OnceLock::new();
    let tables = TABLES.get_or_init(|| {
        let mut tables = [
            column(CompositionRule::Cdvae),
            column(CompositionRule::Smact14),
            column(CompositionRule::Icsd24),
            column(CompositionRule::Icsd24),
        ];
        let fallback = tables[1].clone();
        complete(&mut tables[3], &fallback);
        tables
    });
    let table = match rule {
        CompositionRule::Cdvae => 0,
        CompositionRule::Smact14 => 1,
        CompositionRule::Icsd24 => 2,
        CompositionRule::Strict => 3,
    };
    tables[table].get(usize::from(element.z()) - 1)
}

/// One column of states with the electronegativities of the same version.
fn column(rule: CompositionRule) -> Vec<Ion> {
    let (x, states) = match rule {
        CompositionRule::Cdvae => (3, 5),
        CompositionRule::Smact14 => (4, 6),
        CompositionRule::Icsd24 | CompositionRule::Strict => (4, 7),
    };
    TABLE
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let states = fields[states].split_whitespace().filter_map(|q| q.parse::<i64>().ok());
            let (mut positive, mut negative) = (Vec::new(), Vec::new());
            for q in states {
                if q > 0 { &mut positive } else { &mut negative }.push(q.unsigned_abs());
            }
            positive.sort_unstable();
            negative.sort_unstable();
            Ion { metal: fields[2] == "1", x: fields[x].parse().ok(), positive, negative }
        })
        .collect()
}

/// Fills the gaps of the published tables: elements the ICSD has too few entries of keep the states of the older
/// list, promethium and lawrencium are metals, and electronegativities that SMACT lacks come from the element table.
fn complete(ions: &mut [Ion], fallback: &[Ion]) {
    for ((ion, older), element) in ions.iter_mut().zip(fallback).zip(Element::all()) {
        if ion.has_no_state() {
            (ion.positive, ion.negative) = (older.positive.clone(), older.negative.clone());
        }
        ion.metal |= matches!(element.symbol(), "Pm" | "Lr");
        ion.x = ion.x.or_else(|| element.electronegativity());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(symbol: &str, rule: CompositionRule) -> &'static Ion {
        ion(Element::from_symbol(symbol).unwrap(), rule).unwrap()
    }

    #[test]
    fn versions_differ_where_they_are_known_to() {
        use CompositionRule::{Cdvae, Icsd24, Smact14, Strict};
        assert_eq!((of("Zr", Cdvae).x, of("Zr", Smact14).x), (Some(0.33), Some(1.33)));
        assert_eq!(
            (of("Ir", Cdvae).negative.as_slice(), of("Ir", Smact14).negative.as_slice()),
            (&[1, 2][..], &[1, 3][..])
        );
        assert_eq!(of("O", Cdvae).states().collect::<Vec<_>>(), [-1, -2, 1, 2]);
        assert_eq!(of("O", Icsd24).states().collect::<Vec<_>>(), [-1, -2]);
        assert!(!of("Pm", Cdvae).metal && of("Pm", Strict).metal);
        assert_eq!(Element::all().filter(|&e| ion(e, Cdvae).is_some_and(|i| i.metal)).count(), 79);
        assert_eq!(ion(Element::from_z(104).unwrap(), Strict), None);
    }

    #[test]
    fn the_completed_table_lacks_only_what_does_not_exist() {
        for e in Element::all().take(103) {
            let i = ion(e, CompositionRule::Strict).unwrap();
            assert_eq!(i.has_no_state(), matches!(e.symbol(), "He" | "Ne" | "Ar"), "{e}");
            assert_eq!(i.x.is_none(), i.has_no_state(), "{e}");
        }
    }
}
