//! Corrections of total energies, against their definition by hand.

use druse_crystal::{Lattice, Structure};
use druse_metrics::corrections::{Mp2020, OxygenKind, Surroundings};
use druse_testkit::prototypes::{cesium_chloride, element, perovskite, rock_salt};

#[track_caller]
fn corrected(structure: &Structure, expected: f64) {
    let found = Mp2020::correction(structure).unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
}

fn cubic(edge: f64, atoms: &[(&str, [f64; 3])]) -> Structure {
    let species = atoms.iter().map(|(symbol, _)| element(symbol)).collect();
    let places = atoms.iter().map(|(_, place)| *place).collect();
    Structure::new(Lattice::cubic(edge).unwrap(), species, places).unwrap()
}

#[test]
fn each_atom_has_its_correction() {
    // An element; an alloy; GGA compounds; one with U; one with two anions.
    corrected(&cubic(2.87, &[("Fe", [0.0; 3]), ("Fe", [0.5; 3])]), 0.0);
    corrected(&cesium_chloride("Ni", "Al", 2.89), 0.0);
    corrected(&cesium_chloride("Cs", "Cl", 4.12), -0.614);
    let per_pair = |s: &Structure| Mp2020::correction(s).unwrap() * 2.0 / s.len() as f64;
    assert!((per_pair(&rock_salt("Mg", "O", 4.21)) + 0.687).abs() < 1e-9);
    assert!((per_pair(&rock_salt("Fe", "O", 4.33)) + 0.687 + 2.256).abs() < 1e-9);
    // Fe next to sulfur is computed without U.
    assert!((per_pair(&rock_salt("Fe", "S", 5.0)) + 0.503).abs() < 1e-9);
    let perovskite = perovskite("K", "Mn", "F", 4.19);
    let formulas = perovskite.len() as f64 / 5.0;
    corrected(&perovskite, formulas * (-1.668 - 3.0 * 0.462));
}

#[test]
fn atoms_among_more_electronegative_ones_are_no_anions() {
    // Chlorine between oxygen atoms has no correction, between metal atoms it has one.
    let chlorate = cubic(
        5.0,
        &[
            ("Na", [0.5; 3]),
            ("Cl", [0.0; 3]),
            ("O", [0.29, 0.0, 0.0]),
            ("O", [0.0, 0.29, 0.0]),
            ("O", [0.0, 0.0, 0.29]),
        ],
    );
    let found = Surroundings::of(&chlorate).unwrap();
    let names: Vec<&str> = found.anions.iter().map(|e| e.symbol()).collect();
    assert_eq!((names, found.oxygen), (vec!["O"], Some(OxygenKind::Oxide)));
    corrected(&chlorate, -3.0 * 0.687);
    assert!(Surroundings::of(&rock_salt("Na", "Cl", 5.6)).unwrap().anions.contains(&element("Cl")));
}

#[test]
fn oxygen_is_told_apart_by_its_bonds() {
    let kind = |bond: f64, third: bool| {
        let x = bond / 6.0;
        let mut atoms = vec![("K", [0.5; 3]), ("O", [0.0; 3]), ("O", [x, 0.0, 0.0])];
        if third {
            atoms.push(("O", [0.0, x, 0.0]));
        }
        Surroundings::of(&cubic(6.0, &atoms)).unwrap().oxygen
    };
    assert_eq!(kind(1.30, false), Some(OxygenKind::Superoxide));
    assert_eq!(kind(1.30, true), Some(OxygenKind::Ozonide));
    assert_eq!(kind(1.50, false), Some(OxygenKind::Peroxide));
    assert_eq!(kind(2.40, false), Some(OxygenKind::Oxide));
    // Water's oxygen is an oxide's.
    let water = cubic(6.0, &[("O", [0.0; 3]), ("O", [0.25, 0.0, 0.0]), ("H", [0.0, 0.16, 0.0])]);
    assert_eq!(Surroundings::of(&water).unwrap().oxygen, Some(OxygenKind::Oxide));
    assert_eq!(Surroundings::of(&rock_salt("Na", "Cl", 5.6)).unwrap().oxygen, None);
}
