//! Primitive cells within a tolerance.

mod common;

use common::assert_same_crystal;
use druse_crystal::{Element, Lattice, Structure, niggli, reduction::niggli_as_pymatgen};
use proptest::prelude::*;

fn element(symbol: &str) -> Element {
    Element::from_symbol(symbol).unwrap()
}

/// `n` cubic cells of CsCl (edge 4.12 Å) in a row along a, the caesium atoms displaced by `steps` (Å) along b.
fn row(n: usize, steps: &[f64]) -> Structure {
    let a = 4.12;
    let lattice = Lattice::from_rows([[a * n as f64, 0.0, 0.0], [0.0, a, 0.0], [0.0, 0.0, a]]).unwrap();
    let (mut species, mut coords) = (Vec::new(), Vec::new());
    for i in 0..n {
        species.extend([element("Cs"), element("Cl")]);
        let x = i as f64 / n as f64;
        coords.push([x, steps.get(i).copied().unwrap_or(0.0) / a, 0.0]);
        coords.push([x + 0.5 / n as f64, 0.5, 0.5]);
    }
    Structure::new(lattice, species, coords).unwrap()
}

#[test]
fn equivalent_sites_are_averaged() {
    let one = row(3, &[0.03, -0.06, 0.12]).primitive(0.25).unwrap();
    assert_eq!(one.len(), 2);
    assert!((one.lattice.volume() - 4.12f64.powi(3)).abs() < 1e-9);
    // Elements come in order of their symbols: Cl, Cs. Their distance tells the mean displacement of 0.03 Å.
    assert_eq!(one.species, [element("Cl"), element("Cs")]);
    let want = 4.12 * (0.25 + (0.5 - 0.03 / 4.12f64).powi(2) + 0.25).sqrt();
    assert!((one.min_distance().unwrap() - want).abs() < 1e-9);
}

#[test]
fn sites_apart_by_more_than_the_tolerance_stay() {
    let s = row(2, &[0.0, 0.4]);
    assert_eq!(s.primitive(0.25).unwrap(), s);
    assert_eq!(s.primitive(0.5).unwrap().len(), 2);
    assert_eq!(s.primitive(0.0).unwrap(), s);
    assert_eq!(s.primitive(f64::NAN).unwrap(), s);
}

#[test]
fn neighbors_within_the_tolerance_keep_the_cell() {
    // Two atoms 0.18 Å apart, twice: each would merge with both atoms of the other pair.
    let lattice = Lattice::from_rows([[6.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]]).unwrap();
    let coords = vec![[0.0, 0.0, 0.0], [0.0, 0.06, 0.0], [0.5, 0.0, 0.0], [0.5, 0.06, 0.0]];
    let s = Structure::new(lattice, vec![element("C"); 4], coords).unwrap();
    assert_eq!(s.primitive(0.25).unwrap(), s);
    assert_eq!(s.primitive(0.1).unwrap().len(), 2);
    // Atoms at one place do not merge either.
    let heap = Structure::new(lattice, vec![element("C"); 30], vec![[0.2; 3]; 30]).unwrap();
    assert_eq!(heap.primitive(0.25).unwrap(), heap);
}

#[test]
fn centered_cells_and_large_blocks_become_one_cell() {
    let fcc = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];
    let copper = Structure::new(Lattice::cubic(3.61).unwrap(), vec![element("Cu"); 4], fcc.to_vec()).unwrap();
    let one = copper.primitive(0.25).unwrap();
    assert_eq!(one.len(), 1);
    for angle in one.lattice.angles() {
        assert!((angle - 60.0).abs() < 1e-6 || (angle - 120.0).abs() < 1e-6 || (angle - 90.0).abs() < 1e-6);
    }
    let n = 6;
    let grid = (0..n * n * n).map(|i| [i % n, i / n % n, i / n / n].map(|k| f64::from(k) / f64::from(n)));
    let block =
        Structure::new(Lattice::cubic(18.0).unwrap(), vec![element("Po"); 216], grid.collect()).unwrap();
    let one = block.primitive(0.25).unwrap();
    assert_eq!(one.len(), 1);
    assert!((one.lattice.volume() - 27.0).abs() < 1e-9);
}

proptest! {
    #[test]
    fn loose_reduction_keeps_the_lattice(
        v in prop::array::uniform3(prop::array::uniform3(-8.0..8.0f64)),
    ) {
        let Ok(lattice) = Lattice::from_rows(v) else { return Ok(()) };
        prop_assume!(lattice.volume() > 5.0);
        let (exact, loose) = (niggli(&lattice).unwrap(), niggli_as_pymatgen(&lattice).unwrap());
        prop_assert!(loose.lattice.is_right_handed());
        let (p, q) = (exact.lattice.parameters(), loose.lattice.parameters());
        for i in 0..3 {
            prop_assert!((p[i] / q[i] - 1.0).abs() < 1.1e-5 * lattice.volume().cbrt());
            prop_assert!((p[i + 3] - q[i + 3]).abs() < 1.01);
        }
        let s = Structure::new(lattice, vec![element("Fe"); 2], vec![[0.1, 0.2, 0.3], [0.7, 0.4, 0.9]]).unwrap();
        assert_same_crystal("loose", &s.niggli_reduced_as_pymatgen().unwrap(), &s, 1e-6);
    }

    #[test]
    fn a_repeated_crystal_is_found_again(
        f in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 4), n in 2usize..5, axis in 0usize..3,
    ) {
        let lattice = Lattice::from_parameters([5.1, 6.3, 7.2, 82.0, 97.0, 104.0]).unwrap();
        let species = ["Li", "Fe", "O", "O"].map(element).to_vec();
        let s = Structure::new(lattice, species.clone(), f.clone()).unwrap();
        prop_assume!(s.min_distance().unwrap() > 0.9);
        let mut rows = lattice.rows();
        rows[axis] = rows[axis].map(|x| x * n as f64);
        let coords = (0..n).flat_map(|i| f.iter().map(move |p| {
            let mut p = *p;
            p[axis] = (p[axis] + i as f64) / n as f64;
            p
        }));
        let repeated = Structure::new(Lattice::from_rows(rows).unwrap(), species.repeat(n), coords.collect()).unwrap();
        let one = repeated.primitive(0.25).unwrap();
        prop_assert_eq!(one.len(), 4);
        prop_assert!((one.lattice.volume() / lattice.volume() - 1.0).abs() < 1e-9);
    }
}
