//! Structures and weights that the checks use.

use druse_crystal::{Composition, Lattice, Structure, wrap_unit};
use druse_nn::device::cpu;
use druse_nn::{ParamSpec, Params, Role};
use nalgebra::{Matrix3, Rotation3, Vector3};

use crate::prototype;

/// What a contract trains on: eight textbook crystals of two to five atoms and as many without symmetry.
pub fn standard() -> Vec<Structure> {
    let names = ["CsCl", "NiAl", "FeTi", "ZnS", "GaAs", "SrTiO3", "BaZrO3", "KNbO3"];
    let textbook: Vec<Structure> = names.map(prototype).into();
    let general = generic(&textbook);
    textbook.into_iter().chain(general).collect()
}

/// The structures in strained cells with shifted atoms: no symmetry, and no two neighbors equally far.
///
/// # Panics
/// When a cell is so flat that the strain makes it none.
pub fn generic(structures: &[Structure]) -> Vec<Structure> {
    let mut random = Random(7);
    let mut shift = |size: f64| size * random.symmetric();
    let mut distort = |s: &Structure| {
        let strain = Matrix3::identity() + Matrix3::from_fn(|_, _| shift(0.04));
        let frac_coords =
            s.frac_coords.iter().map(|f| f.map(|x| wrap_unit(x + 0.31 + shift(0.03)))).collect();
        let lattice = Lattice::from_matrix(s.lattice.matrix() * strain).expect("a small strain of a cell");
        Structure { lattice, frac_coords, ..s.clone() }
    };
    structures.iter().map(&mut distort).collect()
}

/// A smooth function of the volume per atom and of the elements.
pub(super) fn made_up_property(s: &Structure) -> f64 {
    let atoms = s.len() as f64;
    let charge = s.species.iter().map(|e| f64::from(e.z())).sum::<f64>() / atoms;
    0.1 * s.lattice.volume() / atoms + 0.02 * charge
}

/// Turned by a rotation about no axis of symmetry.
pub(super) fn rotated(s: &Structure) -> Structure {
    let turn = Rotation3::from_axis_angle(&Vector3::y_axis(), 0.7).into_inner()
        * Rotation3::from_axis_angle(&Vector3::z_axis(), -1.2).into_inner();
    let lattice = Lattice::from_matrix(s.lattice.matrix() * turn).expect("a rotated cell is a cell");
    Structure { lattice, ..s.clone() }
}

/// All atoms moved.
pub(super) fn translated(s: &Structure) -> Structure {
    let shift = [0.31, 0.77, -0.12];
    let moved = |f: &[f64; 3]| std::array::from_fn(|i| wrap_unit(f[i] + shift[i]));
    Structure { frac_coords: s.frac_coords.iter().map(moved).collect(), ..s.clone() }
}

/// The atoms in another order: the last become the first, and these in reverse.
pub(super) fn permuted(s: &Structure) -> Structure {
    let mut order: Vec<usize> = (0..s.len()).rev().collect();
    if s.len() > 2 {
        order.swap(0, 1);
    }
    Structure {
        species: order.iter().map(|&i| s.species[i]).collect(),
        frac_coords: order.iter().map(|&i| s.frac_coords[i]).collect(),
        ..s.clone()
    }
}

/// Another cell of the same lattice.
pub(super) fn other_cell(s: &Structure) -> Structure {
    let basis = Matrix3::new(1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, -1.0, 1.0);
    // The inverse of `basis`, whose determinant is one.
    let inverse = Matrix3::new(1.0, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0);
    let moved = |f: &[f64; 3]| {
        let other = Vector3::from(*f).transpose() * inverse;
        std::array::from_fn(|i| wrap_unit(other[i]))
    };
    let lattice = Lattice::from_matrix(basis * s.lattice.matrix()).expect("another basis is a basis");
    Structure { lattice, frac_coords: s.frac_coords.iter().map(moved).collect(), ..s.clone() }
}

/// Two cells, side by side along the first vector.
pub(super) fn doubled(s: &Structure) -> Structure {
    let double = Matrix3::from_diagonal(&Vector3::new(2.0, 1.0, 1.0));
    let lattice = Lattice::from_matrix(double * s.lattice.matrix()).expect("two cells are a cell");
    let copies =
        [0.0, 1.0].iter().flat_map(|n| s.frac_coords.iter().map(move |f| [(f[0] + n) / 2.0, f[1], f[2]]));
    Structure {
        lattice,
        species: [s.species.as_slice(), &s.species].concat(),
        frac_coords: copies.collect(),
        ..s.clone()
    }
}

/// Random weights; trainable tensors that start at zero are moved away from it.
pub(super) fn weights(specs: &[ParamSpec]) -> Params {
    let mut values = Params::init(specs, 3, &cpu()).to_host();
    let mut random = Random(5);
    for (spec, tensor) in specs.iter().zip(&mut values) {
        if spec.role == Role::Trainable && tensor.iter().all(|x| *x == 0.0) {
            tensor.iter_mut().for_each(|x| *x = (0.05 * random.symmetric()) as f32);
        }
    }
    Params::from_host(specs, &values, &cpu())
}

pub(super) fn formula(s: &Structure) -> String {
    Composition::from_species(&s.species).formula()
}

/// A generator of random numbers for tests: SplitMix64 (Steele, Lea, Flood 2014).
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From −1 to below 1.
    pub fn symmetric(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Below `n`, which is not zero.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
