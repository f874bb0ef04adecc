//! Choices of origin and axes that describe a crystal equally well.

use std::collections::HashSet;

use moyo::base::{AngleTolerance, Operation};
use nalgebra::{Matrix3, Vector3};

use super::SpaceGroup;
use crate::SymmetryOperation;
use crate::symmetry::group::product;

/// A cell of each lattice system without symmetry that the system does not ask for.
const GENERIC_CELL: [f64; 6] = [5.13, 6.37, 7.91, 83.0, 97.0, 101.0];

/// The Euclidean normalizer of a space group in a cell of its lattice system: the motions that turn each crystal of the
/// group into one described in the same setting.
#[derive(Debug)]
pub struct Normalizer {
    operations: Vec<SymmetryOperation>,
    polar_directions: Vec<[f64; 3]>,
    letters: Vec<Vec<char>>,
}

impl Normalizer {
    pub(super) fn of(group: &SpaceGroup) -> Self {
        let centring = group.centring();
        let system = group.lattice_system();
        let conventional = system.lattice(&system.free_of(GENERIC_CELL)).expect("the cell is valid");
        let primitive = centring.primitive_lattice(&conventional).expect("the cell is valid");
        let operations: Vec<Operation> = group
            .primitive_operations()
            .iter()
            .map(|op| {
                let rotation = Matrix3::from_fn(|i, j| op.rotation[i][j]);
                Operation::new(rotation, Vector3::from(op.translation))
            })
            .collect();
        let found = moyo::identify::Normalizer::from_lattice(
            &moyo::base::Lattice::new(*primitive.matrix()),
            &operations,
            &generators(&operations),
            1e-4,
            AngleTolerance::Default,
            false,
        )
        .expect("the normalizers of all groups are tested");
        let (to, from) = (
            centring.primitive_matrix().transpose(),
            centring.conventional_matrix().transpose().map(f64::from),
        );
        let conventional_operation = |op: &moyo::base::UnimodularTransformation| {
            let rotation = to * op.linear_as_f64() * from;
            let translation = centring.to_conventional((*op.origin_shift()).into());
            SymmetryOperation {
                rotation: std::array::from_fn(|i| std::array::from_fn(|j| rotation[(i, j)].round() as i32)),
                // Multiples of 1/24, but for rounding; 1 is 0.
                translation: translation
                    .map(|x| ((24.0 * x).round() as i32).rem_euclid(24).into())
                    .map(|x: f64| x / 24.0),
            }
        };
        let operations: Vec<SymmetryOperation> =
            found.operations().iter().map(conventional_operation).collect();
        let cosets = coset_representatives(&operations, group);
        let mut letters: Vec<Vec<char>> =
            cosets.iter().map(|op| permuted(group, &conventional, op)).collect();
        letters.sort_unstable();
        letters.dedup();
        Self {
            operations,
            polar_directions: found
                .continuous_translation_directions
                .iter()
                .map(|&d| centring.to_conventional(d.into()))
                .collect(),
            letters,
        }
    }

    /// The motions in fractional coordinates of the conventional cell, up to lattice translations and translations
    /// along the polar directions, the identity first. Improper ones turn chiral crystals into their mirror images.
    pub fn operations(&self) -> &[SymmetryOperation] {
        &self.operations
    }

    /// Directions (fractional, conventional cell) along which the origin is free.
    pub fn polar_directions(&self) -> &[[f64; 3]] {
        &self.polar_directions
    }

    /// The different ways in which the motions exchange Wyckoff positions: for each, what the group's positions become,
    /// in their order.
    pub fn letters(&self) -> &[Vec<char>] {
        &self.letters
    }
}

/// The identity and operations that generate all of them, but for lattice translations.
fn generators(operations: &[Operation]) -> Vec<Operation> {
    let mut generators: Vec<Operation> = vec![Operation::identity()];
    let mut generated = vec![Matrix3::identity()];
    for op in operations {
        if generated.contains(&op.rotation) {
            continue;
        }
        generators.push(op.clone());
        let mut next = 0;
        while next < generated.len() {
            for generator in &generators {
                let product = generated[next] * generator.rotation;
                if !generated.contains(&product) {
                    generated.push(product);
                }
            }
            next += 1;
        }
    }
    generators
}

/// One of the operations for each coset of the group: the operations of a coset exchange positions alike.
fn coset_representatives(operations: &[SymmetryOperation], group: &SpaceGroup) -> Vec<SymmetryOperation> {
    let key = |op: &SymmetryOperation| {
        let translation = op.translation.map(|x| ((24.0 * x).round() as i32).rem_euclid(24));
        (op.rotation, group.centring().to_primitive_24ths(translation).map(|x| x.rem_euclid(24)))
    };
    let (mut known, mut representatives) = (HashSet::new(), Vec::new());
    for op in operations {
        if !known.contains(&key(op)) {
            representatives.push(*op);
            let order = group.order();
            known.extend(group.operations()[..order].iter().map(|own| key(&product(op, own))));
        }
    }
    representatives
}

/// The letters that an operation turns the positions into.
fn permuted(group: &SpaceGroup, lattice: &crate::Lattice, op: &SymmetryOperation) -> Vec<char> {
    let general_parameters = [0.1234, 0.3719, 0.2203];
    let image = |w: &super::WyckoffPosition| {
        let frac = op.apply(w.point(&general_parameters[..w.freedom()]));
        group.nearest_position(lattice, frac, 1e-6).position.letter()
    };
    group.wyckoff_positions().iter().map(image).collect()
}
