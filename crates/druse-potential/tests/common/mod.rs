//! Crystals for the tests of potentials.

use druse_crystal::{Element, Lattice, Structure};
use druse_relax::{Evaluation, Potential};
use druse_testkit::prototypes::{cubic, prototype, prototypes};
use druse_testkit::reference::field;
use proptest::prelude::*;
use serde_json::Value;

/// Numbers in -1..1 that look random and are always the same.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// A crystal of other cell and sites: strain and displacements (Å) of some size.
pub fn rattled(crystal: &Structure, strain: f64, shift: f64, seed: u64) -> Structure {
    let mut noise = Noise(seed);
    let mut rows = crystal.lattice.rows();
    rows.iter_mut().flatten().for_each(|x| *x += *x * strain * noise.next());
    let lattice = Lattice::from_rows(rows).expect("a strained cell");
    let moved = |frac: &[f64; 3]| {
        let cart = lattice.to_cartesian(*frac).map(|x| x + shift * noise.next());
        lattice.to_fractional(cart)
    };
    let frac = crystal.frac_coords.iter().map(moved).collect();
    Structure::new(lattice, crystal.species.clone(), frac).expect("a rattled crystal")
}

/// So many copies of the cell along each vector.
pub fn supercell(crystal: &Structure, copies: [usize; 3]) -> Structure {
    let mut rows = crystal.lattice.rows();
    for (row, n) in rows.iter_mut().zip(copies) {
        row.iter_mut().for_each(|x| *x *= n as f64);
    }
    let (mut species, mut frac) = (Vec::new(), Vec::new());
    for a in 0..copies[0] {
        for b in 0..copies[1] {
            for c in 0..copies[2] {
                let at = [a, b, c];
                for (element, f) in crystal.species.iter().zip(&crystal.frac_coords) {
                    species.push(*element);
                    frac.push(std::array::from_fn(|k| (f[k] + at[k] as f64) / copies[k] as f64));
                }
            }
        }
    }
    Structure::new(Lattice::from_rows(rows).expect("a larger cell"), species, frac).expect("a supercell")
}

/// Crystals of several kinds without symmetry.
pub fn rattled_prototypes() -> Vec<Structure> {
    let names = ["quartz", "SrTiO3", "NaCl", "Cu3Au", "NiAl", "diamond"];
    (1..).zip(names).map(|(seed, name)| rattled(&prototype(name), 0.03, 0.1, seed)).collect()
}

/// The structure of a record with `cell`, `positions` (Cartesian, Å) and `numbers`.
pub fn recorded(record: &Value) -> Structure {
    let lattice = Lattice::from_rows(field(record, "cell")).expect("a cell");
    let positions: Vec<[f64; 3]> = field(record, "positions");
    let numbers: Vec<u8> = field(record, "numbers");
    let species = numbers.iter().map(|&z| Element::from_z(z).expect("an element")).collect();
    let frac = positions.iter().map(|&p| lattice.to_fractional(p)).collect();
    Structure::new(lattice, species, frac).expect("a structure")
}

/// The structure of a record with `structure`: `lattice`, `atomic_numbers` and `frac_coords`.
pub fn structure(record: &Value) -> Structure {
    let record = &record["structure"];
    let lattice = Lattice::from_rows(field(record, "lattice")).expect("a cell");
    let numbers: Vec<u8> = field(record, "atomic_numbers");
    let species = numbers.iter().map(|&z| Element::from_z(z).expect("an element")).collect();
    Structure::new(lattice, species, field(record, "frac_coords")).expect("a structure")
}

/// One crystal that can be evaluated.
pub fn evaluate(potential: &impl Potential, crystal: &Structure) -> Evaluation {
    potential.evaluate(std::slice::from_ref(crystal)).remove(0).expect("an evaluation")
}

/// The crystal with sites moved along given directions (Å).
pub fn moved(crystal: &Structure, by: &[[f64; 3]], step: f64) -> Structure {
    let lattice = &crystal.lattice;
    let frac = crystal.frac_coords.iter().zip(by).map(|(f, by)| {
        let cart = lattice.to_cartesian(*f);
        lattice.to_fractional(std::array::from_fn(|c| cart[c] + step * by[c]))
    });
    Structure::new(*lattice, crystal.species.clone(), frac.collect()).unwrap()
}

/// The crystal with its space deformed by 1 + step · strain.
pub fn strained(crystal: &Structure, strain: &[[f64; 3]; 3], step: f64) -> Structure {
    let rows = crystal.lattice.rows().map(|row| {
        std::array::from_fn(|c| row[c] + step * (0..3).map(|d| row[d] * strain[d][c]).sum::<f64>())
    });
    let lattice = Lattice::from_rows(rows).unwrap();
    Structure::new(lattice, crystal.species.clone(), crystal.frac_coords.clone()).unwrap()
}

/// A rotation by three angles.
pub fn rotation([a, b, c]: [f64; 3]) -> [[f64; 3]; 3] {
    let about = |axis: usize, angle: f64| {
        let (i, j) = ((axis + 1) % 3, (axis + 2) % 3);
        let mut m = [[0.0; 3]; 3];
        m[axis][axis] = 1.0;
        (m[i][i], m[j][j], m[i][j], m[j][i]) = (angle.cos(), angle.cos(), -angle.sin(), angle.sin());
        m
    };
    let times = |x: [[f64; 3]; 3], y: [[f64; 3]; 3]| {
        std::array::from_fn(|r| std::array::from_fn(|c| (0..3).map(|k| x[r][k] * y[k][c]).sum()))
    };
    times(about(0, a), times(about(1, b), about(2, c)))
}

pub fn turned(m: &[[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|r| (0..3).map(|k| m[r][k] * v[k]).sum())
}

/// Rattled prototypes of known elements with at most so many atoms.
pub fn crystal_of(knows: impl Fn(Element) -> bool, most: usize) -> impl Strategy<Value = Structure> {
    let mut all = prototypes();
    all.retain(|(_, crystal)| crystal.len() <= most && crystal.species.iter().all(|&element| knows(element)));
    (0..all.len(), any::<u64>()).prop_map(move |(at, seed)| rattled(&all[at].1, 0.03, 0.1, seed))
}

/// A cubic cell of one atom.
pub fn cubic_cell(element: &str, edge: f64) -> Structure {
    cubic(edge, &[(element, [0.0; 3])])
}

/// 32 crystals of 1 to 20 atoms, to measure times.
pub fn many(potential: &dyn Potential) -> Vec<Structure> {
    let mut all: Vec<Structure> = prototypes().into_iter().map(|(_, crystal)| crystal).collect();
    all.retain(|crystal| crystal.species.iter().all(|&element| potential.knows(element)));
    let larger = all.iter().map(|crystal| {
        let long = if crystal.len() < 5 { [1, 2, 2] } else { [1, 1, 2] };
        supercell(crystal, long)
    });
    let larger: Vec<Structure> = larger.collect();
    all.extend(larger);
    let all = all.split_off(all.len().saturating_sub(32));
    (1..).zip(&all).map(|(seed, crystal)| rattled(crystal, 0.02, 0.1, seed)).collect()
}
