//! How three degrees couple: the real 3j coefficients, from integrals over the sphere.
//!
//! There is one rotation-invariant form of three functions of degrees l1, l2, l3, up to a factor. For an even sum of the
//! degrees it is ∫ f g h over the sphere, for an odd one ∫ n·(∇f × ∇g) h. The coefficients are its values on the
//! harmonics, scaled to a sum of squares of 1; the sign is that of the integral.

use std::f64::consts::PI;

use super::harmonics::{begin, gradients, harmonics};

/// A coefficient that is not zero: components (from 0) of the three degrees and value.
pub(super) type Coefficient = ([usize; 3], f64);

/// Nodes in the polar direction: exact up to degree 15, that of three functions of degree 3 with their gradients is 9.
const POLAR: usize = 8;
/// Nodes around the axis: exact below this degree.
const AROUND: usize = 16;
/// Values that rounding leaves of a coefficient that is zero.
const ZERO: f64 = 1e-10;

/// The coefficients of three degrees that fulfil the triangle rule, sorted by components.
pub(super) fn coefficients([l1, l2, l3]: [usize; 3]) -> Vec<Coefficient> {
    let degree = l1.max(l2).max(l3);
    let odd = (l1 + l2 + l3) % 2 == 1;
    let size = [2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1];
    let mut values = vec![0.0; size[0] * size[1] * size[2]];
    for (n, weight) in sphere() {
        let (y, slope) = (harmonics(n, degree), gradients(n, degree));
        for i in 0..size[0] {
            for j in 0..size[1] {
                let (i1, j2) = (begin(l1) + i, begin(l2) + j);
                let pair = if odd { determinant(n, slope[i1], slope[j2]) } else { y[i1] * y[j2] };
                for k in 0..size[2] {
                    values[(i * size[1] + j) * size[2] + k] += weight * pair * y[begin(l3) + k];
                }
            }
        }
    }
    let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let indexed = values.iter().enumerate().filter(|(_, v)| v.abs() > ZERO * norm);
    indexed
        .map(|(at, v)| ([at / size[2] / size[1], at / size[2] % size[1], at % size[2]], v / norm))
        .collect()
}

/// a·(b × c).
fn determinant(a: [f64; 3], b: [f64; 3], c: [f64; 3]) -> f64 {
    a[0] * (b[1] * c[2] - b[2] * c[1])
        + a[1] * (b[2] * c[0] - b[0] * c[2])
        + a[2] * (b[0] * c[1] - b[1] * c[0])
}

/// Directions and weights of a quadrature over the sphere: Gauss and Legendre's along the axis, equal steps around it.
fn sphere() -> impl Iterator<Item = ([f64; 3], f64)> {
    gauss_legendre().into_iter().flat_map(|(y, weight)| {
        (0..AROUND).map(move |step| {
            let angle = 2.0 * PI * step as f64 / AROUND as f64;
            let radius = (1.0 - y * y).sqrt();
            ([radius * angle.sin(), y, radius * angle.cos()], weight / AROUND as f64)
        })
    })
}

/// Nodes and weights on [-1, 1], by Newton's method on the Legendre polynomial.
fn gauss_legendre() -> Vec<(f64, f64)> {
    let order = POLAR as f64;
    let node = |i: usize| {
        let mut x = (PI * (i as f64 + 0.75) / (order + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..20 {
            let (mut before, mut value) = (1.0, x);
            for n in 2..=POLAR {
                let n = n as f64;
                (before, value) = (value, ((2.0 * n - 1.0) * x * value - (n - 1.0) * before) / n);
            }
            slope = order * (x * value - before) / (x * x - 1.0);
            x -= value / slope;
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..POLAR).map(node).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use druse_testkit::reference::{golden_path, json};

    use super::*;

    #[test]
    fn coefficients_are_the_published_ones() {
        let Some(path) = golden_path("sevennet/w3j.json") else { return };
        let table: BTreeMap<String, Vec<(usize, usize, usize, f64)>> =
            serde_json::from_value(json(&path)["w3j"].clone()).unwrap();
        assert!(table.len() >= 20, "{} triples", table.len());
        for (name, expected) in table {
            let degrees: Vec<usize> = name.split('_').map(|l| l.parse().unwrap()).collect();
            let found = coefficients([degrees[0], degrees[1], degrees[2]]);
            assert_eq!(found.len(), expected.len(), "{name}");
            for (([i, j, k], value), (ei, ej, ek, expected)) in found.into_iter().zip(expected) {
                assert_eq!([i, j, k], [ei, ej, ek], "{name}");
                assert!((value - expected).abs() < 1e-12, "{name} {i} {j} {k}: {value}, expected {expected}");
            }
        }
    }

    #[test]
    fn coupling_with_a_scalar_is_the_identity() {
        for l in 0..=3 {
            for degrees in [[l, 0, l], [0, l, l], [l, l, 0]] {
                let found = coefficients(degrees);
                assert_eq!(found.len(), 2 * l + 1);
                assert!(found.iter().all(|(_, v)| (v - 1.0 / ((2 * l + 1) as f64).sqrt()).abs() < 1e-14));
            }
        }
    }

    #[test]
    fn vectors_couple_to_their_cross_product() {
        let found = coefficients([1, 1, 1]);
        let values: BTreeMap<[usize; 3], f64> = found.into_iter().collect();
        assert_eq!(values.len(), 6);
        assert!((values[&[0, 1, 2]] - 1.0 / 6.0_f64.sqrt()).abs() < 1e-14);
        assert!((values[&[1, 0, 2]] + 1.0 / 6.0_f64.sqrt()).abs() < 1e-14);
    }
}
