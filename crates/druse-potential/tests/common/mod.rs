//! Crystals for the tests of potentials.

use druse_crystal::{Element, Lattice, Structure};
use druse_relax::{Evaluation, Potential};
use druse_testkit::prototypes::prototype;
use druse_testkit::reference::field;
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
