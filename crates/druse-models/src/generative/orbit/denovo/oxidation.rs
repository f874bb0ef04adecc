//! Oxidation states of the elements.

use std::sync::OnceLock;

use druse_crystal::Element;

const TABLE: &str = include_str!("oxidation_states.csv");

/// Whether it is a metal, and its states, rising; an element for each line.
fn table() -> &'static [(bool, Vec<i8>)] {
    static PARSED: OnceLock<Vec<(bool, Vec<i8>)>> = OnceLock::new();
    PARSED.get_or_init(|| {
        let line = |line: &str| {
            let mut fields = line.split(',').skip(2);
            let metal = fields.next() == Some("1");
            let states = fields.next().unwrap_or_default().split_whitespace();
            (metal, states.filter_map(|q| q.parse().ok()).collect())
        };
        TABLE.lines().skip(2).map(line).collect()
    })
}

fn of(element: Element) -> Option<&'static (bool, Vec<i8>)> {
    table().get(usize::from(element.z()) - 1)
}

/// Whether an element is a metal; beyond lawrencium (103) none is, since nothing is tabulated.
pub(super) fn is_metal(element: Element) -> bool {
    of(element).is_some_and(|(metal, _)| *metal)
}

/// Oxidation states that an element has in compounds, rising, without 0; none for most noble gases.
pub(super) fn states(element: Element) -> &'static [i8] {
    of(element).map_or(&[], |(_, states)| states)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textbook_states() {
        let of = |symbol: &str| states(Element::from_symbol(symbol).unwrap());
        assert_eq!((of("Li"), of("F"), of("Ar")), (&[1][..], &[-1][..], &[][..]));
        assert!(of("Mn").contains(&7) && of("S").contains(&-2));
        assert_eq!(table().len(), 103);
        let metals: Vec<&str> =
            Element::all().filter(|e| e.row() == 3 && is_metal(*e)).map(Element::symbol).collect();
        assert_eq!(metals, ["Na", "Mg", "Al"]);
        for element in Element::all() {
            let states = states(element);
            assert!(states.is_sorted_by(|a, b| a < b) && !states.contains(&0), "{element}");
        }
    }
}
