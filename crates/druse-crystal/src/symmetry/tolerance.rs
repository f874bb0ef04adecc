//! The tolerance at which the symmetry search is certain to end.
//!
//! `moyo` collects the integer matrices that map a lattice onto itself within the tolerance and multiplies them until
//! nothing new appears. With a coarse tolerance they need not belong to one finite group, and the search would never
//! return. The tolerance is therefore lowered here until they do. The set only shrinks with the tolerance, so whatever
//! smaller value the finder goes on to try is safe too.

use std::collections::HashSet;

use nalgebra::{Matrix3, Vector3};

use super::SymmetryError;
use crate::{Lattice, Structure, neighbors::CutoffSearch, reduction::lll_reduced};

/// Largest distance tolerance (Å) with which symmetry is sought.
const LARGEST: f64 = 0.5;
/// Largest tolerance relative to the shortest distance between equal atoms, a lower bound for the shortest translation.
const RELATIVE: f64 = 0.1;
/// The same for cells that are not primitive. The finder tests the primitive lattice, which is not known beforehand;
/// below this value no lattice has been found whose near-symmetries generate an infinite group.
const RELATIVE_CENTERED: f64 = 0.05;
/// Orders above this are infinite: the largest finite group of integer 3×3 matrices has 48 elements.
const LARGEST_POINT_GROUP: usize = 48;

type Rotation = Matrix3<i32>;

/// The tolerance to use: the one asked for, lowered as [`super::analyze`] describes.
pub(super) fn bounded(structure: &Structure, symprec: f64) -> Result<f64, SymmetryError> {
    // Lowered by the lattice first: a cell far smaller than the tolerance would have countless images within it.
    let mut symprec = symprec.min(LARGEST).min(RELATIVE * shortest_translation(&structure.lattice));
    let mut search =
        CutoffSearch::new(&structure.lattice, &structure.frac_coords, symprec / RELATIVE_CENTERED)?;
    let (mut shortest, mut close) = (f64::INFINITY, Vec::new());
    for first in 0..structure.len() {
        // Row by row: where everything lies on top of everything else, the first one ends the search.
        close.clear();
        search.row(first, &mut close)?;
        for n in &close {
            let (second, distance) = (n.site as usize, n.distance);
            if second != first && distance <= symprec {
                return Err(SymmetryError::Coincident { first, second, distance, symprec });
            }
            if structure.species[first] == structure.species[second] {
                shortest = shortest.min(distance);
            }
        }
    }
    symprec = symprec.min(RELATIVE * shortest);
    // Nothing to test for fine tolerances, which are the usual ones.
    if symprec <= RELATIVE_CENTERED * shortest {
        return Ok(symprec);
    }
    if is_nearly_centered(structure, 3.0 * symprec) {
        return Ok(RELATIVE_CENTERED * shortest);
    }
    let (reduced, _) = moyo::base::Lattice::new(*structure.lattice.matrix())
        .minkowski_reduce()
        .map_err(|e| SymmetryError::NotFound { symprec, reason: e.to_string() })?;
    while symprec > RELATIVE_CENTERED * shortest
        && !generate_finite_group(&near_symmetries(&reduced.basis, symprec))
    {
        symprec *= 0.8;
    }
    Ok(symprec)
}

/// Length of the shortest lattice vector (Å).
fn shortest_translation(lattice: &Lattice) -> f64 {
    let reduced = lll_reduced(lattice).unwrap_or(*lattice);
    let step = |code: usize, place: usize| (code / place % 3) as f64 - 1.0;
    // Beyond the middle of the 27, one of each pair ±t.
    let vectors = (14..27).map(|code| reduced.to_cartesian([step(code, 9), step(code, 3), step(code, 1)]));
    vectors.map(|v| v.iter().map(|x| x * x).sum::<f64>().sqrt()).fold(f64::INFINITY, f64::min)
}

/// Whether a translation other than the lattice's maps every site within `distance` (Å) onto one of its element.
fn is_nearly_centered(s: &Structure, distance: f64) -> bool {
    let of = |e| s.species.iter().filter(|x| **x == e).count();
    let Some(rarest) = s.species.iter().copied().min_by_key(|&e| of(e)) else { return false };
    let sites: Vec<usize> = (0..s.len()).filter(|&i| s.species[i] == rarest).collect();
    let lands = |i: usize, t: [f64; 3]| {
        let moved = std::array::from_fn(|c| s.frac_coords[i][c] + t[c]);
        (0..s.len()).filter(|&j| s.species[j] == s.species[i]).any(|j| {
            let (d, _) = s.lattice.min_image(moved, s.frac_coords[j]);
            d.iter().map(|x| x * x).sum::<f64>() < distance * distance
        })
    };
    sites[1..].iter().any(|&j| {
        let t = std::array::from_fn(|c| s.frac_coords[j][c] - s.frac_coords[sites[0]][c]);
        (0..s.len()).all(|i| lands(i, t))
    })
}

/// The matrices that keep lengths and angles of a Minkowski-reduced basis (columns) within the tolerance, by the same
/// criterion as the finder's but a little wider, so that none of its candidates is missed.
fn near_symmetries(basis: &Matrix3<f64>, symprec: f64) -> Vec<Rotation> {
    let tolerance = 1.01 * symprec;
    let axes: [Vector3<f64>; 3] = std::array::from_fn(|i| basis.column(i).into_owned());
    let mut candidates: [Vec<(Vector3<i32>, Vector3<f64>)>; 3] = Default::default();
    for code in 0..27 {
        let coefficients = Vector3::new(code / 9 - 1, code / 3 % 3 - 1, code % 3 - 1);
        let v = basis * coefficients.map(f64::from);
        for (axis, list) in axes.iter().zip(&mut candidates) {
            if (v.norm() - axis.norm()).abs() < tolerance {
                list.push((coefficients, v));
            }
        }
    }
    let keeps_angle = |u: &Vector3<f64>, v: &Vector3<f64>, i: usize, j: usize| {
        let sine = (u.angle(v) - axes[i].angle(&axes[j])).sin();
        let lengths = (u.norm() + axes[i].norm()) * (v.norm() + axes[j].norm()) / 4.0;
        sine * sine * lengths < tolerance * tolerance
    };
    let mut rotations = Vec::new();
    for (a, u) in &candidates[0] {
        for (b, v) in candidates[1].iter().filter(|(_, v)| keeps_angle(u, v, 0, 1)) {
            for (c, w) in &candidates[2] {
                let rotation = Rotation::from_columns(&[*a, *b, *c]);
                let det = rotation.map(f64::from).determinant().abs();
                if (det - 1.0).abs() < 1e-6 && keeps_angle(v, w, 1, 2) && keeps_angle(w, u, 2, 0) {
                    rotations.push(rotation);
                }
            }
        }
    }
    rotations
}

/// Whether products of the matrices form a finite group.
fn generate_finite_group(generators: &[Rotation]) -> bool {
    let mut group = HashSet::new();
    let mut queue = vec![Rotation::identity()];
    while let Some(element) = queue.pop() {
        if group.insert(element) {
            if group.len() > LARGEST_POINT_GROUP {
                return false;
            }
            queue.extend(generators.iter().map(|g| element * g));
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubic_lattice_has_48_symmetries_and_a_distorted_one_fewer() {
        let cubic = Matrix3::from_diagonal_element(4.0);
        let rotations = near_symmetries(&cubic, 0.01);
        assert_eq!(rotations.len(), 48);
        assert!(generate_finite_group(&rotations));
        let orthorhombic = Matrix3::from_diagonal(&Vector3::new(4.0, 4.1, 4.2));
        assert_eq!(near_symmetries(&orthorhombic, 0.01).len(), 8);
        assert_eq!(near_symmetries(&orthorhombic, 0.3).len(), 48);
    }

    #[test]
    fn near_symmetries_of_two_crystal_systems_do_not_form_a_group() {
        // A plane lattice half-way between square and hexagonal.
        let (sin, cos) = 75f64.to_radians().sin_cos();
        let between = Matrix3::new(1.0, cos, 0.0, 0.0, sin, 0.0, 0.0, 0.0, 1.7);
        assert!(!generate_finite_group(&near_symmetries(&between, 0.5)));
        assert!(generate_finite_group(&near_symmetries(&between, 0.05)));
    }
}
