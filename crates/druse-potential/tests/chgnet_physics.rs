//! What holds for any potential: forces and stress are derivatives of the energy, and what moves a crystal as a whole
//! changes nothing.

#[allow(dead_code, reason = "shared by several files of tests")]
mod common;

use std::sync::LazyLock;

use common::{Noise, crystal_of, evaluate, moved, rattled_prototypes, rotation, strained, supercell, turned};
use druse_crystal::{Lattice, Structure};
use druse_potential::{CHGNet, Digits};
use druse_relax::Potential;
use druse_testkit::prototypes::prototype;
use proptest::prelude::*;

/// In 64 bits, so that differences mean something.
static WIDE: LazyLock<CHGNet> = LazyLock::new(|| CHGNet::new(&CHGNet::shipped_weights(), Digits::Double));
static USED: LazyLock<CHGNet> = LazyLock::new(CHGNet::shipped);

fn energy(crystal: &Structure) -> f64 {
    evaluate(&*WIDE, crystal).energy
}

/// Two small crystals for everything that takes many evaluations.
fn small() -> [Structure; 3] {
    ["SrTiO3", "diamond", "NiAl"].map(|name| common::rattled(&prototype(name), 0.03, 0.1, 5))
}

#[test]
fn forces_are_minus_the_derivative_of_the_energy() {
    const STEP: f64 = 1e-4;
    for (seed, crystal) in (1..).zip(rattled_prototypes()) {
        let mut noise = Noise(seed);
        let by: Vec<[f64; 3]> = crystal.species.iter().map(|_| [(); 3].map(|()| noise.next())).collect();
        let forces = evaluate(&*WIDE, &crystal).forces;
        let along: f64 = forces.iter().flatten().zip(by.iter().flatten()).map(|(f, by)| f * by).sum();
        let difference =
            (energy(&moved(&crystal, &by, STEP)) - energy(&moved(&crystal, &by, -STEP))) / (2.0 * STEP);
        assert!((difference + along).abs() <= 1e-4 * along.abs().max(1.0), "{difference} {along}");
        let size = forces.iter().flatten().map(|f| f.abs()).fold(0.0, f64::max);
        assert!(size > 0.1, "rattled crystals have forces");
        for c in 0..3 {
            assert!(forces.iter().map(|f| f[c]).sum::<f64>().abs() < 1e-9);
        }
    }
}

#[test]
fn stress_is_the_derivative_with_respect_to_strain() {
    const STEP: f64 = 1e-5;
    for crystal in small() {
        let found = evaluate(&*WIDE, &crystal).stress;
        let volume = crystal.lattice.volume();
        let size = found.iter().flatten().map(|s| s.abs()).fold(0.0, f64::max);
        for a in 0..3 {
            for b in a..3 {
                let mut strain = [[0.0; 3]; 3];
                strain[a][b] += 0.5;
                strain[b][a] += 0.5;
                let ends = [STEP, -STEP].map(|step| energy(&strained(&crystal, &strain, step)));
                let difference = (ends[0] - ends[1]) / (2.0 * STEP) / volume;
                assert!((difference - found[a][b]).abs() < 1e-4 * size, "{difference} {}", found[a][b]);
                assert_eq!(found[a][b], found[b][a]);
            }
        }
    }
}

/// Cells of one atom have bonds to own images alone, in pairs of opposite edges at 180 degrees.
#[test]
fn own_images_make_bonds_and_straight_angles() {
    let cubic = common::cubic_cell("Cu", 2.5);
    let details = WIDE.details(&cubic).unwrap();
    assert!(details.edges.iter().all(|edge| edge[..2] == [0, 0]));
    // Six edges of 2.5 Å; the other images are farther than 3 Å.
    assert_eq!(details.angles.len(), 6 * 5);
    assert_eq!(details.angles.iter().filter(|angle| angle[1] == angle[2]).count(), 6);
    assert_eq!(details.edges.len(), 2 * details.radial.len());
    let one = evaluate(&*WIDE, &cubic);
    let two = evaluate(&*WIDE, &supercell(&cubic, [2, 2, 2]));
    assert!((8.0 * one.energy - two.energy).abs() < 1e-9);
    assert!(one.forces[0].iter().all(|f| f.abs() < 1e-9));
}

#[test]
fn magnetic_moments_are_those_of_their_atoms() {
    let (iron, salt) = (prototype("Fe"), prototype("NaCl"));
    let moments = |crystal: &Structure| evaluate(&*USED, crystal).magnetic_moments.unwrap();
    assert!(moments(&iron).iter().all(|m| (1.5..3.0).contains(m)), "{:?}", moments(&iron));
    assert!(moments(&salt).iter().all(|m| (0.0..0.1).contains(m)), "{:?}", moments(&salt));
}

#[test]
fn a_large_crystal_goes_in_portions_and_computes_again_what_it_does_not_keep() {
    // More angles than are kept.
    let cell = common::rattled(&prototype("diamond"), 0.02, 0.05, 3);
    let large = supercell(&cell, [4, 4, 3]);
    assert_eq!(large.len(), 96);
    let details = USED.details(&cell).unwrap();
    let copies = (large.len() / cell.len()) as f64;
    assert!(details.angles.len() as f64 * copies > 5e4);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| evaluate(&*USED, &large))
    };
    let result = on(1);
    assert_eq!(result, on(3));
    let one = evaluate(&*USED, &cell);
    assert!((result.energy - copies * one.energy).abs() < 1e-5 * large.len() as f64);
    for (at, force) in result.forces.iter().enumerate() {
        let wanted = &one.forces[at % cell.len()];
        assert!(force.iter().zip(wanted).all(|(f, g)| (f - g).abs() < 1e-4));
    }
    for (s, t) in one.stress.iter().flatten().zip(result.stress.iter().flatten()) {
        assert!((s - t).abs() < 1e-5);
    }
}

fn crystal() -> impl Strategy<Value = Structure> {
    crystal_of(|element| USED.knows(element), 8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn moving_all_sites_changes_nothing(crystal in crystal(), by in prop::array::uniform3(-3.0..3.0_f64)) {
        let (before, by) = (evaluate(&*WIDE, &crystal), vec![by; crystal.len()]);
        let after = evaluate(&*WIDE, &moved(&crystal, &by, 1.0));
        prop_assert!((before.energy - after.energy).abs() < 1e-9);
        for (f, g) in before.forces.iter().flatten().zip(after.forces.iter().flatten()) {
            prop_assert!((f - g).abs() < 1e-8);
        }
    }

    #[test]
    fn turning_turns_forces_and_stress(crystal in crystal(), angles in prop::array::uniform3(-3.0..3.0_f64)) {
        let m = rotation(angles);
        let before = evaluate(&*WIDE, &crystal);
        let lattice = Lattice::from_rows(crystal.lattice.rows().map(|row| turned(&m, row))).unwrap();
        let other = Structure::new(lattice, crystal.species.clone(), crystal.frac_coords.clone()).unwrap();
        let after = evaluate(&*WIDE, &other);
        prop_assert!((before.energy - after.energy).abs() < 1e-9);
        for (f, g) in before.forces.iter().zip(&after.forces) {
            let f = turned(&m, *f);
            prop_assert!((0..3).all(|c| (f[c] - g[c]).abs() < 1e-8), "{f:?} {g:?}");
        }
        for a in 0..3 {
            for b in 0..3 {
                let wanted: f64 = (0..9).map(|k| m[a][k / 3] * before.stress[k / 3][k % 3] * m[b][k % 3]).sum();
                prop_assert!((wanted - after.stress[a][b]).abs() < 1e-8);
            }
        }
    }

    #[test]
    fn the_order_of_sites_does_not_matter(crystal in crystal(), seed in any::<u64>()) {
        let mut order: Vec<usize> = (0..crystal.len()).collect();
        let mut noise = Noise(seed);
        order.sort_by_cached_key(|_| (noise.next() * 1e9) as i64);
        let species = order.iter().map(|&i| crystal.species[i]).collect();
        let frac = order.iter().map(|&i| crystal.frac_coords[i]).collect();
        let other = Structure::new(crystal.lattice, species, frac).unwrap();
        let (before, after) = (evaluate(&*WIDE, &crystal), evaluate(&*WIDE, &other));
        prop_assert!((before.energy - after.energy).abs() < 1e-9);
        let (moments, other) = (before.magnetic_moments.unwrap(), after.magnetic_moments.unwrap());
        for (k, &i) in order.iter().enumerate() {
            prop_assert!((0..3).all(|c| (before.forces[i][c] - after.forces[k][c]).abs() < 1e-8));
            prop_assert!((moments[i] - other[k]).abs() < 1e-9);
        }
    }

    #[test]
    fn a_supercell_has_the_energy_of_its_cells(crystal in crystal(), long in 0..3_usize) {
        let mut copies = [1, 1, 1];
        copies[long] = 2;
        let (one, two) = (evaluate(&*WIDE, &crystal), evaluate(&*WIDE, &supercell(&crystal, copies)));
        prop_assert!((2.0 * one.energy - two.energy).abs() < 1e-8);
        for (s, t) in one.stress.iter().flatten().zip(two.stress.iter().flatten()) {
            prop_assert!((s - t).abs() < 1e-8);
        }
    }

    #[test]
    fn other_crystals_and_threads_change_no_bit(
        crystals in prop::collection::vec(crystal(), 1..6),
        threads in 1..5_usize,
    ) {
        let alone: Vec<_> = crystals.iter().map(|c| evaluate(&*USED, c)).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let together = pool.install(|| USED.evaluate(&crystals));
        for (alone, together) in alone.iter().zip(together) {
            prop_assert_eq!(alone, &together.unwrap());
        }
    }
}
