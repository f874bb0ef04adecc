//! How readily one element takes the place of another.

use std::sync::OnceLock;

use druse_crystal::Element;

/// Elements in the table: H to Og.
const ELEMENTS: usize = Element::MAX_Z as usize;

/// Differences that count 1: of Mendeleev numbers, groups, rows, electronegativities (Pauling), radii (Å).
const SCALES: [f64; 5] = [10.0, 4.0, 1.5, 1.0 / 3.0, 0.5];

/// What of a pair of elements counts where a number is not known of one of them.
const UNKNOWN: f64 = 1.0;

/// The numbers that elements are compared by; `None` where one is not established.
fn descriptors(element: Element) -> [Option<f64>; 5] {
    [
        element.mendeleev_number().map(f64::from),
        Some(f64::from(element.group())),
        Some(f64::from(element.row())),
        element.electronegativity(),
        element.atomic_radius().or_else(|| element.covalent_radius()),
    ]
}

/// The distance of two elements: |Δ| of Mendeleev number / 10, group / 4, row / 1.5, 3 · electronegativity and 2 · atomic radius
/// (Å), summed up. 0 for an element and itself.
pub fn element_distance(a: Element, b: Element) -> f64 {
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let all: Vec<_> = Element::all().map(descriptors).collect();
        let distance = |a: &[Option<f64>; 5], b: &[Option<f64>; 5]| {
            (0..5)
                .map(|k| match (a[k], b[k]) {
                    (Some(x), Some(y)) => (x - y).abs() / SCALES[k],
                    _ => UNKNOWN,
                })
                .sum()
        };
        let mut table = Vec::with_capacity(ELEMENTS * ELEMENTS);
        for (i, a) in all.iter().enumerate() {
            table.extend(all.iter().enumerate().map(|(j, b)| if i == j { 0.0 } else { distance(a, b) }));
        }
        table
    });
    table[(usize::from(a.z()) - 1) * ELEMENTS + usize::from(b.z()) - 1]
}
