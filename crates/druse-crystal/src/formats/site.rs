//! What every reader does with the sites it found: occupancies, numbers, coincident sites.

use std::collections::HashMap;

use super::CoincidentSites;
use super::error::{FormatError, FormatErrorKind};
use crate::{Element, Lattice, Structure};

/// Two atoms closer than this (Å) coincide.
pub const COINCIDENCE_DISTANCE: f64 = 0.01;

/// Most atoms one structure may have; guards against files that announce absurd numbers.
pub const MAX_SITES: usize = 1_000_000;

/// Departure from 1 below which an occupancy counts as full.
pub(super) const OCCUPANCY_TOLERANCE: f64 = 1e-3;

/// Refuses occupancies other than 1.
pub(super) fn check_occupancy(occupancy: f64, element: Element, site: &str) -> Result<(), FormatErrorKind> {
    if (occupancy - 1.0).abs() <= OCCUPANCY_TOLERANCE {
        return Ok(());
    }
    Err(FormatErrorKind::PartialOccupancy {
        site: site.chars().take(40).collect(),
        element: element.to_string(),
        occupancy,
    })
}

/// A finite number; `what` names it in the error.
pub(super) fn number(text: &str, what: &str) -> Result<f64, FormatErrorKind> {
    let shown = || text.chars().take(40).collect::<String>();
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(x),
        Ok(_) => Err(FormatErrorKind::NotFinite { what: what.to_owned(), text: shown() }),
        Err(_) => Err(FormatErrorKind::Number { what: what.to_owned(), text: shown() }),
    }
}

/// Refuses structures with two coincident sites, unless they are to be kept. `label(i)` names site i, `line(i)` is
/// where it stands.
pub(super) fn check_coincident(
    structure: &Structure,
    coincident: CoincidentSites,
    label: impl Fn(usize) -> String,
    line: impl Fn(usize) -> Option<usize>,
) -> Result<(), FormatError> {
    if coincident == CoincidentSites::Keep {
        return Ok(());
    }
    match coincident_sites(structure) {
        None => Ok(()),
        Some((i, j, distance)) => Err(FormatError {
            line: line(j),
            kind: FormatErrorKind::Coincident { first: label(i), second: label(j), distance },
        }),
    }
}

/// The first two sites that coincide (are nearer than [`COINCIDENCE_DISTANCE`]), by their indices, and their distance
/// in Å.
pub fn coincident_sites(structure: &Structure) -> Option<(usize, usize, f64)> {
    coincident_pair(&structure.lattice, &structure.frac_coords)
}

/// Name of a site that has no label: symbol and number from 1.
pub(super) fn default_label(structure: &Structure, i: usize) -> String {
    format!("{}{}", structure.species[i], i + 1)
}

/// Distance (Å) of two points if it is below `tolerance`, which must be small against the cell:
/// the nearest image of a nearly coincident point is found by rounding, however skewed the cell.
#[inline]
pub(super) fn distance_below(
    lattice: &Lattice,
    tolerance_frac: [f64; 3],
    tolerance: f64,
    p: [f64; 3],
    q: [f64; 3],
) -> Option<f64> {
    let mut d = [0.0; 3];
    for i in 0..3 {
        d[i] = p[i] - q[i];
        d[i] -= d[i].round();
        if d[i].abs() > tolerance_frac[i] {
            return None;
        }
    }
    let distance = lattice.to_cartesian(d).iter().map(|x| x * x).sum::<f64>().sqrt();
    (distance < tolerance).then_some(distance)
}

/// The largest difference of each fractional coordinate two points within `tolerance` (Å) can have.
pub(super) fn tolerance_frac(lattice: &Lattice, tolerance: f64) -> [f64; 3] {
    lattice.face_distances().map(|h| tolerance / h)
}

fn coincident_pair(lattice: &Lattice, coords: &[[f64; 3]]) -> Option<(usize, usize, f64)> {
    const BRUTE_FORCE: usize = 64;
    let tol = tolerance_frac(lattice, COINCIDENCE_DISTANCE);
    let check = |i: usize, j: usize| {
        distance_below(lattice, tol, COINCIDENCE_DISTANCE, coords[i], coords[j]).map(|d| (i, j, d))
    };
    if coords.len() <= BRUTE_FORCE {
        return (0..coords.len()).flat_map(|j| (0..j).map(move |i| (i, j))).find_map(|(i, j)| check(i, j));
    }
    // Bins at least as wide as the tolerance: partners are in the same or an adjacent one.
    let bins = tol.map(|t| (1.0 / t).floor().clamp(1.0, f64::from(1 << 20)) as i64);
    let bin = |f: [f64; 3]| -> [i64; 3] {
        std::array::from_fn(|k| ((f[k] * bins[k] as f64) as i64).clamp(0, bins[k] - 1))
    };
    let mut occupied: HashMap<[i64; 3], Vec<usize>> = HashMap::with_capacity(coords.len());
    for (j, &f) in coords.iter().enumerate() {
        let center = bin(f);
        for step in 0..27i64 {
            let offset = [step % 3 - 1, step / 3 % 3 - 1, step / 9 - 1];
            let key = std::array::from_fn(|k| (center[k] + offset[k]).rem_euclid(bins[k]));
            if let Some(hit) = occupied.get(&key).and_then(|b| b.iter().find_map(|&i| check(i, j))) {
                return Some(hit);
            }
        }
        occupied.entry(center).or_default().push(j);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The binned search finds a pair exactly where the plain double loop does.
        #[test]
        fn coincident_atoms_are_found_in_any_cell(
            seed in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 70..120),
            shear in -3.0..3.0f64, copy in prop::option::of((0usize..70, prop::array::uniform3(-1.5e-3..1.5e-3f64))),
        ) {
            let lattice = Lattice::from_rows([[4.0, 0.0, 0.0], [shear, 5.0, 0.0], [0.3, shear, 6.0]]).unwrap();
            let mut coords = seed;
            if let Some((i, d)) = copy {
                coords.push(std::array::from_fn(|k| crate::wrap_unit(coords[i][k] + d[k])));
            }
            let tol = tolerance_frac(&lattice, COINCIDENCE_DISTANCE);
            let plain = (0..coords.len()).any(|j| (0..j).any(|i| {
                distance_below(&lattice, tol, COINCIDENCE_DISTANCE, coords[i], coords[j]).is_some()
            }));
            prop_assert_eq!(coincident_pair(&lattice, &coords).is_some(), plain);
        }
    }
}
