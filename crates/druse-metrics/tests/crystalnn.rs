//! CrystalNN fingerprints of prototypes, and what they must not depend on.

use druse_crystal::{
    Element, Lattice, Structure,
    coordination::{CoordinationError, CrystalNn},
};
use druse_metrics::fingerprint::crystalnn::{FingerprintError, LEN, fingerprint, labels, site_fingerprint};
use druse_testkit::prototypes::{prototype, structure};
use nalgebra::Matrix3;
use proptest::prelude::*;

fn prototypes() -> [(&'static str, Structure); 4] {
    ["NaCl", "CsCl", "diamond", "Cu"].map(|name| (name, prototype(name)))
}

#[test]
fn entries_have_names() {
    let labels = labels();
    assert_eq!(labels.len(), LEN);
    for (i, name) in
        [(0, "wt CN_1"), (1, "sgl_bd CN_1"), (14, "tetrahedral CN_4"), (48, "q6 CN_12"), (60, "wt CN_24")]
    {
        assert_eq!(labels[i], name);
    }
}

/// Values of matminer 0.7.3 with pymatgen 2020.12.31 for the same crystals.
#[test]
fn prototypes_have_their_known_fingerprints() {
    let known: [&[(&str, f64)]; 4] = [
        &[
            ("wt CN_6", 1.0),
            ("hexagonal planar CN_6", 0.200068),
            ("octahedral CN_6", 1.0),
            ("pentagonal pyramidal CN_6", 0.5),
        ],
        &[
            ("wt CN_8", 0.939612),
            ("body-centered cubic CN_8", 0.939612),
            ("hexagonal bipyramidal CN_8", 0.407146),
            ("wt CN_14", 0.060388),
        ],
        &[
            ("wt CN_4", 1.0),
            ("square co-planar CN_4", 0.079968),
            ("tetrahedral CN_4", 1.0),
            ("rectangular see-saw-like CN_4", 0.007025),
            ("see-saw-like CN_4", 0.234254),
            ("trigonal pyramidal CN_4", 0.245210),
        ],
        &[("wt CN_12", 1.0), ("cuboctahedral CN_12", 1.0), ("q4 CN_12", 0.190941), ("q6 CN_12", 0.574524)],
    ];
    let labels = labels();
    let fingerprints: Vec<_> = prototypes().into_iter().map(|(_, s)| fingerprint(&s).unwrap()).collect();
    for (((name, s), known), fp) in prototypes().iter().zip(known).zip(&fingerprints) {
        assert_eq!(fp.sites.len(), s.len());
        for (label, &got) in labels.iter().zip(&fp.mean) {
            let want = known.iter().find(|k| k.0 == label).map_or(0.0, |k| k.1);
            assert!((got - want).abs() < 1e-6, "{name} {label}: {got} for {want}");
        }
    }
    let distance = |a: usize, b: usize| {
        let (a, b) = (&fingerprints[a].mean, &fingerprints[b].mean);
        a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
    };
    for (a, b, want) in [
        (0, 1, 2.055525),
        (0, 2, 2.100351),
        (0, 3, 2.157907),
        (1, 2, 2.014101),
        (1, 3, 2.074052),
        (2, 3, 2.118486),
    ] {
        assert!((distance(a, b) - want).abs() < 1e-6, "{a} to {b}: {}", distance(a, b));
    }
}

#[test]
fn site_fingerprints_come_from_the_coordination() {
    for (name, s) in prototypes() {
        let whole = fingerprint(&s).unwrap();
        for (i, want) in whole.sites.iter().enumerate() {
            let coordination = CrystalNn::FINGERPRINT.site(&s, i).unwrap();
            assert_eq!(site_fingerprint(&coordination), *want, "{name} site {i}");
        }
    }
}

#[test]
fn what_has_no_fingerprint_has_a_reason() {
    let lattice = Lattice::cubic(4.0).unwrap();
    let s = structure(lattice, &[("Na", [0.1; 3]), ("Cl", [0.1; 3])]);
    let error = fingerprint(&s).unwrap_err();
    assert!(matches!(
        error,
        FingerprintError::Coordination(CoordinationError::Coincident { site: 0, other: 1, .. })
    ));
    assert_eq!(error.to_string(), "sites 0 and 1 are on the same spot (0.0e0 Å apart)");
    let mut nan = structure(lattice, &[("Na", [0.1; 3])]);
    nan.frac_coords[0][0] = f64::NAN;
    assert!(fingerprint(&nan).is_err());
    let mut empty = nan.clone();
    empty.species.clear();
    empty.frac_coords.clear();
    assert_eq!(fingerprint(&empty), Err(FingerprintError::Empty));
}

#[test]
fn no_bonds_are_no_entries() {
    // Argon 6.5 Å apart: coordination number 0, which the fingerprint has no entry for.
    let s = structure(Lattice::cubic(6.5).unwrap(), &[("Ar", [0.0; 3])]);
    assert_eq!(fingerprint(&s).unwrap().mean, [0.0; LEN]);
}

/// A crystal of middling density without symmetry.
fn generic() -> impl Strategy<Value = Structure> {
    let cell = (prop::array::uniform3(3.0..6.0f64), prop::array::uniform3(70.0..110.0f64));
    let sites = prop::collection::vec((prop::array::uniform3(0.0..1.0f64), 1u8..84), 1..6);
    (cell, sites).prop_filter_map("atoms too near", |((l, a), sites)| {
        let lattice = Lattice::from_parameters([l[0], l[1], l[2], a[0], a[1], a[2]]).ok()?;
        let species = sites.iter().map(|s| Element::from_z(s.1).unwrap()).collect();
        let s = Structure::new(lattice, species, sites.iter().map(|s| s.0).collect()).ok()?;
        s.min_distance().is_none_or(|d| d > 1.0).then_some(s)
    })
}

/// Entries within [0, 1] but for the cube's order parameter, and equal to `want` up to what rounding does near a
/// threshold (none in a generic crystal).
fn assert_same(s: &Structure, want: &[f64; LEN]) {
    let got = fingerprint(s).unwrap().mean;
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() < 1e-7, "{}: {g} for {w}", labels()[i]);
    }
}

proptest! {
    #[test]
    fn description_of_the_crystal_does_not_matter(
        s in generic(), axis in prop::array::uniform3(0.1..1.0f64), turn in -3.0..3.0f64,
        shift in prop::array::uniform3(-1.0..1.0f64), t in prop::array::uniform3(-2i32..3),
    ) {
        let want = fingerprint(&s).unwrap().mean;
        let weights: f64 = labels().iter().zip(&want).filter(|l| l.0.starts_with("wt")).map(|l| l.1).sum();
        prop_assert!(weights <= 1.0 + 1e-12);
        let rotation = nalgebra::Rotation3::new(nalgebra::Vector3::from(axis).normalize() * turn);
        let rotated = Lattice::from_matrix(s.lattice.matrix() * rotation.matrix().transpose()).unwrap();
        let moved = |f: &[f64; 3]| std::array::from_fn(|c| f[c] + shift[c]);
        let reversed = Structure::new(
            rotated,
            s.species.iter().rev().copied().collect(),
            s.frac_coords.iter().rev().map(moved).collect(),
        ).unwrap();
        assert_same(&reversed, &want);
        let [p, q, r] = t.map(f64::from);
        let skewed = Matrix3::new(1.0, p, q, 0.0, 1.0, r, 0.0, 0.0, 1.0) * s.lattice.matrix();
        let skewed = Lattice::from_matrix(skewed).unwrap();
        let frac = s.cart_coords().into_iter().map(|c| skewed.to_fractional(c)).collect();
        assert_same(&Structure::new(skewed, s.species.clone(), frac).unwrap(), &want);
        // Twice the cell.
        let [a, b, c] = s.lattice.rows();
        let double = Lattice::from_rows([a, b, c.map(|x| 2.0 * x)]).unwrap();
        let halves = s.frac_coords.iter().flat_map(|f| [0.0, 0.5].map(|z| [f[0], f[1], 0.5 * f[2] + z]));
        let species = s.species.iter().flat_map(|&e| [e, e]).collect();
        assert_same(&Structure::new(double, species, halves.collect()).unwrap(), &want);
    }

    #[test]
    fn mirrored_and_rotated_prototypes_are_the_same(
        axis in prop::array::uniform3(0.1..1.0f64), turn in -3.0..3.0f64, shift in prop::array::uniform3(0.0..1.0f64),
    ) {
        let rotation = nalgebra::Rotation3::new(nalgebra::Vector3::from(axis).normalize() * turn);
        for (_, s) in prototypes() {
            let want = fingerprint(&s).unwrap().mean;
            let lattice = Lattice::from_matrix(-s.lattice.matrix() * rotation.matrix()).unwrap();
            let moved = s.frac_coords.iter().map(|f| std::array::from_fn(|c| f[c] + shift[c])).collect();
            assert_same(&Structure::new(lattice, s.species.clone(), moved).unwrap(), &want);
        }
    }
}
