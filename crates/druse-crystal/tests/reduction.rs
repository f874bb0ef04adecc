//! Properties of the cell reductions, and cells with known answers.

mod common;

use common::{assert_close, assert_niggli, assert_same_crystal};
use druse_crystal::{Element, Lattice, Structure, niggli, reduction::lll_reduced};
use nalgebra::Matrix3;
use proptest::prelude::*;

fn any_lattice() -> impl Strategy<Value = Lattice> {
    let side = || 2.0..12.0f64;
    (side(), side(), side(), prop::array::uniform3(-0.6..0.6f64), any::<bool>()).prop_map(
        |(a, b, c, t, mirror)| {
            let sign = if mirror { -1.0 } else { 1.0 };
            let m = Matrix3::new(a, 0.0, 0.0, t[0] * a, b, 0.0, t[1] * a, t[2] * b, sign * c);
            Lattice::from_matrix(m).unwrap()
        },
    )
}

/// Integer matrices of determinant 1.
fn unimodular() -> impl Strategy<Value = Matrix3<f64>> {
    prop::array::uniform6(-3i32..4).prop_map(|s| {
        let [p, q, r, u, v, w] = s.map(f64::from);
        Matrix3::new(1.0, p, q, 0.0, 1.0, r, 0.0, 0.0, 1.0)
            * Matrix3::new(1.0, 0.0, 0.0, u, 1.0, 0.0, v, w, 1.0)
    })
}

/// Distance of the reduced form from the nearest tie, where two cells are equally good (Å²).
fn tie_margin(reduced: &Lattice) -> f64 {
    let g = reduced.matrix() * reduced.matrix().transpose();
    let ([a, b, c], [xi, eta, zeta]) =
        ([g[(0, 0)], g[(1, 1)], g[(2, 2)]], [2.0 * g[(1, 2)], 2.0 * g[(0, 2)], 2.0 * g[(0, 1)]]);
    let sum = (xi + eta + zeta + a + b).abs();
    [b - a, c - b, xi.abs(), eta.abs(), zeta.abs(), b - xi.abs(), a - eta.abs(), a - zeta.abs(), sum]
        .into_iter()
        .fold(f64::INFINITY, f64::min)
}

fn crystal(lattice: Lattice, frac: Vec<[f64; 3]>) -> Structure {
    let species = (0..frac.len()).map(|i| Element::from_z(i as i64 % 3 + 6).unwrap()).collect();
    Structure::new(lattice, species, frac).unwrap()
}

proptest! {
    #[test]
    fn niggli_form_is_reached_and_kept(lattice in any_lattice()) {
        let first = niggli(&lattice).unwrap();
        assert_niggli(&lattice, &first);
        let second = niggli(&first.lattice).unwrap();
        assert_niggli(&first.lattice, &second);
        prop_assume!(tie_margin(&first.lattice) > 1e-2);
        assert_close("idempotence", &second.lattice.parameters(), &first.lattice.parameters(), 1e-6);
    }

    #[test]
    fn niggli_cell_does_not_depend_on_the_choice_of_cell(lattice in any_lattice(), m in unimodular()) {
        let want = niggli(&lattice).unwrap();
        prop_assume!(tie_margin(&want.lattice) > 1e-2);
        let other = Lattice::from_matrix(m * lattice.matrix()).unwrap();
        let got = niggli(&other).unwrap();
        assert_niggli(&other, &got);
        assert_close("parameters", &got.lattice.parameters(), &want.lattice.parameters(), 1e-7);
    }

    #[test]
    fn reduction_keeps_the_crystal(
        lattice in any_lattice(),
        frac in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 1..5),
        m in unimodular(),
    ) {
        let s = crystal(Lattice::from_matrix(m * lattice.matrix()).unwrap(), frac);
        let reduced = s.niggli_reduced().unwrap();
        prop_assert!(reduced.frac_coords.iter().flatten().all(|x| (0.0..1.0).contains(x)));
        assert_same_crystal("Niggli", &reduced, &s, 1e-7);
        // Sites sit where they sat, up to a lattice translation.
        for (f, g) in s.frac_coords.iter().zip(&reduced.frac_coords) {
            let moved = s.lattice.to_fractional(reduced.lattice.to_cartesian(*g));
            prop_assert!((0..3).all(|c| (moved[c] - f[c] - (moved[c] - f[c]).round()).abs() < 1e-8));
        }
        assert_same_crystal("canonical", &s.canonical().unwrap(), &s, 1e-7);
    }

    #[test]
    fn lll_keeps_the_lattice(lattice in any_lattice(), m in unimodular()) {
        let given = Lattice::from_matrix(m * lattice.matrix()).unwrap();
        let reduced = lll_reduced(&given).unwrap();
        prop_assert!((reduced.volume() / given.volume() - 1.0).abs() < 1e-9);
        let t = reduced.matrix() * given.inverse();
        prop_assert!((t - t.map(f64::round)).abs().max() < 1e-6);
        // Hadamard ratio of an LLL-reduced basis with δ = 3/4 in three dimensions.
        prop_assert!(reduced.lengths().iter().product::<f64>() <= 2f64.powf(1.5) * reduced.volume() * (1.0 + 1e-9));
    }
}

#[test]
fn textbook_cells() {
    let root = f64::sqrt;
    let bcc = (1.0f64 / -3.0).acos().to_degrees();
    let cases = [
        // Face-centered, body-centered and primitive cubic, hexagonal: given cell, Niggli cell.
        ([4.0 / root(2.0), 4.0 / root(2.0), 4.0 / root(2.0), 60.0, 60.0, 60.0], None),
        ([2.0 * root(3.0), 2.0 * root(3.0), 2.0 * root(3.0), bcc, bcc, bcc], None),
        ([3.0, 4.0, 5.0, 90.0, 90.0, 90.0], None),
        ([5.0, 4.0, 3.0, 90.0, 90.0, 90.0], Some([3.0, 4.0, 5.0, 90.0, 90.0, 90.0])),
        ([3.0, 3.0, 5.0, 90.0, 90.0, 60.0], Some([3.0, 3.0, 5.0, 90.0, 90.0, 120.0])),
        // Křivý & Gruber, Acta Cryst. A32, 297 (1976): the form (9, 27, 4, −5, −4, −22) reduces to (4, 9, 9, 9, 3, 4).
        (
            [
                3.0,
                root(27.0),
                2.0,
                (-5.0 / (4.0 * root(27.0))).acos().to_degrees(),
                (-4.0f64 / 12.0).acos().to_degrees(),
                (-22.0 / (6.0 * root(27.0))).acos().to_degrees(),
            ],
            Some([2.0, 3.0, 3.0, 60.0, 0.25f64.acos().to_degrees(), (1.0f64 / 3.0).acos().to_degrees()]),
        ),
    ];
    for (given, want) in cases {
        let lattice = Lattice::from_parameters(given).unwrap();
        let reduction = niggli(&lattice).unwrap();
        assert_niggli(&lattice, &reduction);
        assert_close("textbook", &reduction.lattice.parameters(), &want.unwrap_or(given), 1e-6);
    }
}

#[test]
fn absurd_cells_are_refused_or_reduced() {
    let sheared = |s: f64| Lattice::from_rows([[3.0, 0.0, 0.0], [3.0 * s, 4.0, 0.0], [0.0, 4.0 * s, 5.0]]);
    for exponent in 0..16 {
        let Ok(lattice) = sheared(10f64.powi(exponent)) else { continue };
        if let Ok(reduction) = niggli(&lattice) {
            assert!((reduction.lattice.volume() / 60.0 - 1.0).abs() < 1e-3, "shear 1e{exponent}");
        }
    }
    for scale in [1e-8, 1e-3, 1e6] {
        let lattice =
            Lattice::from_rows([[scale, 0.0, 0.0], [0.3 * scale, 2.0, 0.0], [0.0, 0.0, 5.0 / scale]])
                .unwrap();
        if let Ok(reduction) = niggli(&lattice) {
            assert!((reduction.lattice.volume() / 10.0 - 1.0).abs() < 1e-6, "scale {scale}");
        }
    }
}
