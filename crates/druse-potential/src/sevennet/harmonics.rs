//! Real spherical harmonics of directions.
//!
//! "Component" normalization: the squares of a degree sum to 2l + 1. The polar axis is y, as in the published network.

use super::config::MAX_DEGREE;

/// Number of components up to a degree.
pub(super) const fn components(degree: usize) -> usize {
    (degree + 1) * (degree + 1)
}

/// Components up to the largest degree.
pub(super) const MAX_COMPONENTS: usize = components(MAX_DEGREE);

/// Where a degree begins among the components.
pub(super) const fn begin(degree: usize) -> usize {
    degree * degree
}

/// Harmonics up to a degree in a direction (x, y, z) of length 1, degree after degree.
pub(super) fn harmonics([x, y, z]: [f64; 3], degree: usize) -> [f64; MAX_COMPONENTS] {
    let mut out = [0.0; MAX_COMPONENTS];
    out[0] = 1.0;
    if degree >= 1 {
        let s = 3.0_f64.sqrt();
        out[1..4].copy_from_slice(&[s * x, s * y, s * z]);
    }
    if degree >= 2 {
        let (s3, s5) = (3.0_f64.sqrt(), 5.0_f64.sqrt());
        out[4] = s5 * s3 * x * z;
        out[5] = s5 * s3 * x * y;
        out[6] = s5 * (y * y - 0.5 * (x * x + z * z));
        out[7] = s5 * s3 * y * z;
        out[8] = s5 * 0.5 * s3 * (z * z - x * x);
    }
    if degree >= 3 {
        let s7 = 7.0_f64.sqrt();
        let (outer, inner) = ((5.0_f64 / 6.0).sqrt(), (3.0_f64 / 8.0).sqrt());
        let a = 3.0_f64.sqrt() * x * z;
        let b = 0.5 * 3.0_f64.sqrt() * (z * z - x * x);
        let q = x * x + z * z;
        out[9] = s7 * outer * (a * z + b * x);
        out[10] = s7 * 5.0_f64.sqrt() * a * y;
        out[11] = s7 * inner * (4.0 * y * y - q) * x;
        out[12] = s7 * 0.5 * y * (2.0 * y * y - 3.0 * q);
        out[13] = s7 * inner * z * (4.0 * y * y - q);
        out[14] = s7 * 5.0_f64.sqrt() * b * y;
        out[15] = s7 * outer * (b * z - a * x);
    }
    out
}

/// Gradients of the polynomials of [`harmonics`] in x, y, z. Along the sphere they are those of the harmonics; their
/// component along the direction is of no meaning.
pub(super) fn gradients([x, y, z]: [f64; 3], degree: usize) -> [[f64; 3]; MAX_COMPONENTS] {
    let mut out = [[0.0; 3]; MAX_COMPONENTS];
    if degree >= 1 {
        let s = 3.0_f64.sqrt();
        for i in 0..3 {
            out[1 + i][i] = s;
        }
    }
    if degree >= 2 {
        let (s15, s5) = (15.0_f64.sqrt(), 5.0_f64.sqrt());
        out[4] = [s15 * z, 0.0, s15 * x];
        out[5] = [s15 * y, s15 * x, 0.0];
        out[6] = [-s5 * x, 2.0 * s5 * y, -s5 * z];
        out[7] = [0.0, s15 * z, s15 * y];
        out[8] = [-s15 * x, 0.0, s15 * z];
    }
    if degree >= 3 {
        let s7 = 7.0_f64.sqrt();
        let outer = s7 * (5.0_f64 / 6.0).sqrt() * 3.0_f64.sqrt();
        let middle = s7 * 15.0_f64.sqrt();
        let inner = s7 * (3.0_f64 / 8.0).sqrt();
        let pole = 4.0 * y * y - x * x - z * z;
        // a z + b x = √3 (3 x z² - x³) / 2 and b z - a x = √3 (z³ - 3 x² z) / 2.
        out[9] = [outer * 1.5 * (z * z - x * x), 0.0, outer * 3.0 * x * z];
        out[10] = [middle * y * z, middle * x * z, middle * x * y];
        out[11] = [inner * (pole - 2.0 * x * x), inner * 8.0 * x * y, -inner * 2.0 * x * z];
        out[12] = [-3.0 * s7 * x * y, s7 * (3.0 * y * y - 1.5 * (x * x + z * z)), -3.0 * s7 * y * z];
        out[13] = [-inner * 2.0 * x * z, inner * 8.0 * y * z, inner * (pole - 2.0 * z * z)];
        out[14] = [-middle * x * y, middle * 0.5 * (z * z - x * x), middle * y * z];
        out[15] = [-outer * 3.0 * x * z, 0.0, outer * 1.5 * (z * z - x * x)];
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn direction() -> impl Strategy<Value = [f64; 3]> {
        prop::array::uniform3(-1.0..1.0_f64).prop_filter_map("too short", |v| {
            let r = v.iter().map(|x| x * x).sum::<f64>().sqrt();
            (r > 0.1).then(|| v.map(|x| x / r))
        })
    }

    proptest! {
        #[test]
        fn squares_of_a_degree_sum_to_its_components(n in direction()) {
            let y = harmonics(n, 3);
            for l in 0..=3 {
                let sum: f64 = y[begin(l)..components(l)].iter().map(|y| y * y).sum();
                prop_assert!((sum - (2 * l + 1) as f64).abs() < 1e-12);
            }
        }

        #[test]
        fn gradients_are_those_of_the_polynomials(n in direction()) {
            const STEP: f64 = 1e-5;
            let exact = gradients(n, 3);
            for axis in 0..3 {
                let moved = |by: f64| {
                    let mut m = n;
                    m[axis] += by;
                    harmonics(m, 3)
                };
                let (after, before) = (moved(STEP), moved(-STEP));
                for c in 0..MAX_COMPONENTS {
                    let difference = (after[c] - before[c]) / (2.0 * STEP);
                    prop_assert!((difference - exact[c][axis]).abs() < 1e-8, "{c} {axis}");
                }
            }
        }

        #[test]
        fn inversion_changes_the_sign_of_odd_degrees(n in direction()) {
            let (there, back) = (harmonics(n, 3), harmonics(n.map(|x| -x), 3));
            for l in 0..=3 {
                let sign = if l % 2 == 0 { 1.0 } else { -1.0 };
                for c in begin(l)..components(l) {
                    prop_assert!((back[c] - sign * there[c]).abs() < 1e-14);
                }
            }
        }
    }
}
