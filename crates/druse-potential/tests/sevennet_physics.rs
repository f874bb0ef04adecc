//! What holds for any potential: forces and stress are derivatives of the energy, and what moves a crystal as a whole
//! changes nothing.

#[allow(dead_code, reason = "shared by several files of tests")]
mod common;

use std::sync::LazyLock;

use common::{Noise, evaluate, rattled, rattled_prototypes, supercell};
use druse_crystal::{Lattice, Structure};
use druse_potential::SevenNet;
use druse_potential::sevennet::{Digits, Radial};
use druse_relax::Potential;
use druse_testkit::prototypes::prototypes;
use proptest::prelude::*;

/// As it is used, but in 64 bits, so that differences mean something.
static WIDE: LazyLock<SevenNet> =
    LazyLock::new(|| SevenNet::new(&SevenNet::shipped_weights(), Radial::default(), Digits::Double));
static USED: LazyLock<SevenNet> = LazyLock::new(SevenNet::shipped);

fn energy(crystal: &Structure) -> f64 {
    evaluate(&*WIDE, crystal).energy
}

/// The crystal with sites moved along given directions (Å).
fn moved(crystal: &Structure, by: &[[f64; 3]], step: f64) -> Structure {
    let lattice = &crystal.lattice;
    let frac = crystal.frac_coords.iter().zip(by).map(|(f, by)| {
        let cart = lattice.to_cartesian(*f);
        lattice.to_fractional(std::array::from_fn(|c| cart[c] + step * by[c]))
    });
    Structure::new(*lattice, crystal.species.clone(), frac.collect()).unwrap()
}

/// The crystal with its space deformed by 1 + step · strain.
fn strained(crystal: &Structure, strain: &[[f64; 3]; 3], step: f64) -> Structure {
    let rows = crystal.lattice.rows().map(|row| {
        std::array::from_fn(|c| row[c] + step * (0..3).map(|d| row[d] * strain[d][c]).sum::<f64>())
    });
    let lattice = Lattice::from_rows(rows).unwrap();
    Structure::new(lattice, crystal.species.clone(), crystal.frac_coords.clone()).unwrap()
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
    for crystal in rattled_prototypes() {
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

/// A rotation by three angles.
fn rotation([a, b, c]: [f64; 3]) -> [[f64; 3]; 3] {
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

fn turned(m: &[[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|r| (0..3).map(|k| m[r][k] * v[k]).sum())
}

fn crystal() -> impl Strategy<Value = Structure> {
    let mut all = prototypes();
    all.retain(|(_, crystal)| crystal.species.iter().all(|&element| USED.knows(element)));
    (0..all.len(), any::<u64>()).prop_map(move |(at, seed)| rattled(&all[at].1, 0.03, 0.1, seed))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn moving_all_sites_changes_nothing(crystal in crystal(), by in prop::array::uniform3(-3.0..3.0_f64)) {
        let (before, by) = (evaluate(&*WIDE, &crystal), vec![by; crystal.len()]);
        let after = evaluate(&*WIDE, &moved(&crystal, &by, 1.0));
        prop_assert!((before.energy - after.energy).abs() < 1e-9);
        for (f, g) in before.forces.iter().flatten().zip(after.forces.iter().flatten()) {
            prop_assert!((f - g).abs() < 1e-9);
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
        for (k, &i) in order.iter().enumerate() {
            prop_assert!((0..3).all(|c| (before.forces[i][c] - after.forces[k][c]).abs() < 1e-9));
        }
    }

    #[test]
    fn a_supercell_has_the_energy_of_its_cells(crystal in crystal(), long in 0..3_usize) {
        let mut copies = [1, 1, 1];
        copies[long] = 2;
        let (one, two) = (evaluate(&*WIDE, &crystal), evaluate(&*WIDE, &supercell(&crystal, copies)));
        prop_assert!((2.0 * one.energy - two.energy).abs() < 1e-8);
        for (s, t) in one.stress.iter().flatten().zip(two.stress.iter().flatten()) {
            prop_assert!((s - t).abs() < 1e-9);
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

#[test]
fn a_large_cell_is_the_same_on_any_number_of_threads() {
    let large = supercell(&rattled_prototypes()[0], [2, 2, 3]);
    assert!(large.len() > 100);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| evaluate(&*USED, &large))
    };
    let one = on(1);
    assert_eq!(one, on(3));
    // In portions, and as a whole in 64 bits.
    assert!((one.energy - energy(&large)).abs() < 1e-5 * large.len() as f64);
    // Beside others, a large one in the middle.
    let small = rattled_prototypes().remove(2);
    let all = USED.evaluate(&[small.clone(), large, small.clone()]);
    assert_eq!(all[1].as_ref(), Ok(&one));
    assert_eq!(all[2].as_ref(), Ok(&evaluate(&*USED, &small)));
}
