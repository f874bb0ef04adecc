//! Spherical Bessel functions and the radial factors of the bases of the DimeNet family (J. Gasteiger et al., ICLR
//! 2020).

use std::f64::consts::PI;
use std::sync::Arc;

use super::radial::envelope_dimenet;

/// The radial factors of a spherical Fourier-Bessel basis: `N_ln j_l(z_ln u)` for l < `degrees` and 1 <= n <= `count`, with
/// u = distance / cut-off, z_ln the n-th positive zero of the spherical Bessel function j_l and
/// `N_ln = sqrt(2) / |j_{l+1}(z_ln)|`. The whole basis multiplies them by the zonal harmonics of an angle.
#[derive(Debug, Clone)]
pub struct SphericalBesselBasis {
    degrees: usize,
    count: usize,
    cutoff: f64,
    enveloped: bool,
    /// Zero and norm of each function, the degree slow.
    functions: Vec<[f64; 2]>,
    table: Arc<Table>,
}

/// Steps of the table for a cut-off length: cubic interpolation between them is exact to 32 bits.
const STEPS: usize = 1024;
/// Cut-off lengths that the table reaches.
const REACH: f64 = 1.5;

/// The functions without envelope and the change of each over a step, row by row.
#[derive(Debug, Default)]
struct Table {
    values: Vec<f32>,
    slopes: Vec<f32>,
}

impl Table {
    fn new(functions: &[[f64; 2]], count: usize) -> Self {
        let rows = (REACH * STEPS as f64) as usize + 2;
        let mut table = Self::default();
        for row in 0..rows {
            let u = row as f64 / STEPS as f64;
            for (i, &[z, norm]) in functions.iter().enumerate() {
                let (l, x) = (i / count.max(1), z * u);
                // j_l' = l/x j_l - j_{l+1}, which is 1/3 at the origin for l = 1 and zero for others.
                let slope = match (l, x) {
                    (1, 0.0) => 1.0 / 3.0,
                    (0, _) | (_, 0.0) => -spherical_bessel(l + 1, x),
                    _ => l as f64 / x * spherical_bessel(l, x) - spherical_bessel(l + 1, x),
                };
                table.values.push((norm * spherical_bessel(l, x)) as f32);
                table.slopes.push((norm * z * slope / STEPS as f64) as f32);
            }
        }
        table
    }

    /// Appends `factor` times all functions at u, unless that lies beyond the table.
    fn append(&self, columns: usize, u: f64, factor: f64, out: &mut Vec<f32>) -> bool {
        if !(0.0..REACH).contains(&u) {
            return false;
        }
        let place = u * STEPS as f64;
        let (row, t) = (place as usize, place.fract());
        let [a, b, c, d] = [
            (1.0 + 2.0 * t) * (1.0 - t) * (1.0 - t),
            t * t * (3.0 - 2.0 * t),
            t * (1.0 - t) * (1.0 - t),
            t * t * (t - 1.0),
        ]
        .map(|weight| (factor * weight) as f32);
        let at = row * columns;
        let (left, right) = (&self.values[at..at + columns], &self.values[at + columns..at + 2 * columns]);
        let (rise, fall) = (&self.slopes[at..at + columns], &self.slopes[at + columns..at + 2 * columns]);
        let pairs = left.iter().zip(right).zip(rise.iter().zip(fall));
        out.extend(pairs.map(|((&l, &r), (&s, &e))| a * l + b * r + c * s + d * e));
        true
    }
}

impl SphericalBesselBasis {
    /// The basis, times [`envelope_dimenet`] when `enveloped`.
    ///
    /// The zeros are rounded to 32 bits, as in the published networks, whose weights are used to that.
    pub fn new(degrees: usize, count: usize, cutoff: f64, enveloped: bool) -> Self {
        let mut functions = Vec::with_capacity(degrees * count);
        for (l, zeros) in bessel_zeros(degrees, count).into_iter().enumerate() {
            functions.extend(zeros.into_iter().map(|z| {
                let z = f64::from(z as f32);
                [z, 2f64.sqrt() / spherical_bessel(l + 1, z).abs()]
            }));
        }
        let table = Arc::new(Table::new(&functions, count));
        Self { degrees, count, cutoff, enveloped, functions, table }
    }

    /// Number of degrees.
    pub fn degrees(&self) -> usize {
        self.degrees
    }

    /// Number of functions of each degree.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Values at the given distances, row by row: (distances, degrees · count), the degree slow.
    pub fn evaluate(&self, distances: &[f64]) -> Vec<f32> {
        let mut out = Vec::with_capacity(distances.len() * self.functions.len());
        for d in distances {
            let u = d / self.cutoff;
            let envelope = if self.enveloped { envelope_dimenet(u) } else { 1.0 };
            if self.table.append(self.functions.len(), u, envelope, &mut out) {
                continue;
            }
            for (l, functions) in self.functions.chunks_exact(self.count.max(1)).enumerate() {
                out.extend(functions.iter().map(|&[z, norm]| {
                    let value = envelope * norm * spherical_bessel(l, z * u);
                    value as f32
                }));
            }
        }
        out
    }
}

/// The spherical Bessel function j_l at x >= 0.
fn spherical_bessel(l: usize, x: f64) -> f64 {
    // The recurrence from below loses digits where x < l; the series needs few terms and no cancellation there.
    if x < l as f64 || x < 1e-3 {
        let mut term = (1..=l).fold(1.0, |t, k| t * x / (2 * k + 1) as f64);
        let mut sum = term;
        for k in 1..60 {
            term *= -0.5 * x * x / (k * (2 * (l + k) + 1)) as f64;
            sum += term;
            if term.abs() <= 1e-17 * sum.abs() {
                break;
            }
        }
        return sum;
    }
    let (sin, cos) = x.sin_cos();
    let (mut previous, mut current) = (cos / x, sin / x);
    for k in 0..l {
        (previous, current) = (current, (2 * k + 1) as f64 / x * current - previous);
    }
    current
}

/// The first `count` positive zeros of j_0, …, j_{degrees-1}.
fn bessel_zeros(degrees: usize, count: usize) -> Vec<Vec<f64>> {
    let mut all = Vec::with_capacity(degrees);
    // Zeros of neighboring degrees interlace: each degree has one between two of the degree below.
    let mut zeros: Vec<f64> = (1..count + degrees.max(1)).map(|n| n as f64 * PI).collect();
    for l in 0..degrees {
        if l > 0 {
            zeros = zeros.windows(2).map(|w| bisect(|x| spherical_bessel(l, x), w[0], w[1])).collect();
        }
        all.push(zeros[..count].to_vec());
    }
    all
}

/// The zero of f between two points of opposite sign.
fn bisect(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let rising = f(low) < 0.0;
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        if (f(middle) < 0.0) == rising { low = middle } else { high = middle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basis::zonal_harmonics;

    #[test]
    fn zeros_have_known_values() {
        let zeros = bessel_zeros(7, 6);
        for (l, n, z) in [
            (0, 3, 9.42478),
            (0, 6, 18.84956),
            (1, 1, 4.49341),
            (1, 6, 20.37130),
            (2, 3, 12.32294),
            (3, 4, 16.92362),
            (4, 5, 21.52542),
            (5, 2, 12.96653),
            (6, 1, 10.51284),
            (6, 6, 27.50787),
        ] {
            assert!((zeros[l][n - 1] - z).abs() < 6e-6, "{l} {n}: {}", zeros[l][n - 1]);
        }
        assert!(bessel_zeros(0, 3).is_empty());
        assert!(bessel_zeros(2, 0).iter().all(Vec::is_empty));
    }

    #[test]
    fn bessel_functions_satisfy_their_recurrence_and_limits() {
        for i in 1..400 {
            let x = 0.05 * f64::from(i);
            for l in 1..8 {
                let [below, here, above] = [l - 1, l, l + 1].map(|l| spherical_bessel(l, x));
                let expected = (2 * l + 1) as f64 / x * here;
                assert!((below + above - expected).abs() < 1e-11 * expected.abs().max(1e-3), "{l} {x}");
            }
        }
        assert_eq!(spherical_bessel(0, 0.0), 1.0);
        assert_eq!(spherical_bessel(3, 0.0), 0.0);
        // j_6(x) approaches x⁶ / 13!!.
        assert!((spherical_bessel(6, 1e-2) / (1e-12 / 135_135.0) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn spherical_basis_has_known_values() {
        let basis = SphericalBesselBasis::new(7, 6, 2.0, false);
        assert!((basis.functions[0][1] - 4.442883).abs() < 1e-5);
        assert!((basis.functions[6][1] - 6.510104).abs() < 1e-5);
        assert!((basis.functions[41][1] - 39.460096).abs() < 1e-4);
        for (l, n, u, angle, value) in [
            (0, 1, 0.3, 1.0, 1.0758369),
            (1, 1, 0.3, 1.0, 0.6407243),
            (6, 6, 0.3, 1.0, 1.7091833),
            (2, 4, 0.8, 2.0f64, 0.0236542),
        ] {
            let mut harmonics = [0.0; 7];
            zonal_harmonics(angle.cos(), &mut harmonics);
            let radial = f64::from(basis.evaluate(&[2.0 * u])[l * 6 + n - 1]);
            assert!((radial * harmonics[l] - value).abs() < 2e-6, "{l} {n}");
        }
        // The table against the functions themselves, on and beside its places and beyond it.
        let distances: Vec<f64> = (0..700).map(|i| 1e-9 + 0.0049 * f64::from(i)).collect();
        let fine = SphericalBesselBasis::new(7, 10, 2.0, false);
        for (row, &d) in fine.evaluate(&distances).chunks_exact(70).zip(&distances) {
            for (i, (&value, &[z, norm])) in row.iter().zip(&fine.functions).enumerate() {
                let exact = norm * spherical_bessel(i / 10, z * d / 2.0);
                assert!((f64::from(value) - exact).abs() < 3e-7 * norm, "{d} {i}: {value} {exact}");
            }
        }
        let enveloped = SphericalBesselBasis::new(7, 6, 2.0, true).evaluate(&[1.8]);
        for (a, b) in enveloped.iter().zip(basis.evaluate(&[1.8])) {
            assert!((f64::from(*a) - envelope_dimenet(0.9) * f64::from(b)).abs() < 1e-6);
        }
    }
}
