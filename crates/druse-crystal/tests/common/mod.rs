//! Checks shared by the integration tests.
#![allow(dead_code, reason = "each test binary uses its own part")]

use druse_crystal::{Lattice, NiggliReduction, Structure, k_nearest};

/// Asserts that every pair of numbers agrees to `tol` relative to the larger of the expected one and 1.
pub fn assert_close(what: &str, got: &[f64], want: &[f64], tol: f64) {
    assert_eq!(got.len(), want.len(), "{what}: {got:?} against {want:?}");
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tol * w.abs().max(1.0), "{what}: {got:?} against {want:?}");
    }
}

/// Everything a Niggli reduction promises: the new cell is `transform · given`, holds the same lattice, is
/// right-handed, and satisfies the Niggli conditions (International Tables A, 3.1.3) within the tolerance of the
/// algorithm.
pub fn assert_niggli(given: &Lattice, reduction: &NiggliReduction) {
    let t = nalgebra::Matrix3::from_fn(|i, j| f64::from(reduction.transform[i][j]));
    let reduced = reduction.lattice;
    let scale = reduced.lengths().into_iter().fold(0.0, f64::max);
    let drift = (t * given.matrix() - reduced.matrix()).abs().max();
    assert!(drift < 1e-8 * scale, "lattice is not transform · given: {reduction:?}");
    let det = if given.is_right_handed() { 1.0 } else { -1.0 };
    assert!((t.determinant() - det).abs() < 1e-6, "determinant: {reduction:?}");
    assert!(reduced.is_right_handed(), "{reduction:?}");

    let e = 1e-5 * given.volume().cbrt();
    let g = reduced.matrix() * reduced.matrix().transpose();
    let ([a, b, c], [xi, eta, zeta]) =
        ([g[(0, 0)], g[(1, 1)], g[(2, 2)]], [2.0 * g[(1, 2)], 2.0 * g[(0, 2)], 2.0 * g[(0, 1)]]);
    // Rounding between the form that was reduced and the one rebuilt here.
    let slack = 1e-11 * scale * scale;
    let at_most = |x: f64, y: f64, what: &str| {
        assert!(x <= y + e + slack, "{what}: {x} > {y} in {:?}", reduced.parameters());
    };
    let equal = |x: f64, y: f64| (x - y).abs() < e - slack;
    at_most(a, b, "A <= B");
    at_most(b, c, "B <= C");
    at_most(xi.abs(), b, "|xi| <= B");
    at_most(eta.abs(), a, "|eta| <= A");
    at_most(zeta.abs(), a, "|zeta| <= A");
    if equal(a, b) {
        at_most(xi.abs(), eta.abs(), "A = B: |xi| <= |eta|");
    }
    if equal(b, c) {
        at_most(eta.abs(), zeta.abs(), "B = C: |eta| <= |zeta|");
    }
    let acute = [xi, eta, zeta].iter().all(|&x| x > e - slack);
    if acute {
        for (x, bound, y, z, what) in
            [(xi, b, zeta, eta, "xi = B"), (eta, a, zeta, xi, "eta = A"), (zeta, a, eta, xi, "zeta = A")]
        {
            if equal(x, bound) {
                at_most(y, 2.0 * z, what);
            }
        }
    } else {
        at_most(xi.max(eta).max(zeta), 0.0, "no product is positive");
        at_most(0.0, xi + eta + zeta + a + b, "xi + eta + zeta + A + B >= 0");
        for (x, bound, y, what) in
            [(xi, b, zeta, "xi = -B"), (eta, a, zeta, "eta = -A"), (zeta, a, eta, "zeta = -A")]
        {
            if equal(-x, bound) {
                at_most(0.0, y, what);
            }
        }
    }
}

/// Sorted distances (Å) of the 24 nearest neighbors of each site: a fingerprint that no change of cell alters.
pub fn shells(s: &Structure) -> Vec<Vec<f64>> {
    let list = k_nearest(&s.lattice, &s.frac_coords, 24).unwrap();
    (0..s.len())
        .map(|i| {
            let mut d: Vec<f64> = list.of(i).iter().map(|n| n.distance).collect();
            d.sort_by(f64::total_cmp);
            d.truncate(24);
            d
        })
        .collect()
}

/// Asserts that two structures have the same sites, in the same order, by their distances.
pub fn assert_same_crystal(what: &str, got: &Structure, want: &Structure, tol: f64) {
    assert_eq!(got.species, want.species, "{what}");
    for (g, w) in shells(got).iter().zip(&shells(want)) {
        assert_close(what, g, w, tol);
    }
}
