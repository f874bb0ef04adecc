//! Order parameters of a set of neighbors, from the angles between them.
//!
//! For an ordered pair of neighbors, one is the pole and the other marks the meridian; every third neighbor then has
//! a polar angle and an azimuth. A motif scores the pair by how near these are to ideal values, and takes the best pair
//! or the mean (B. Peters, J. Chem. Phys. 131, 244103 (2009); N. E. R. Zimmermann et al., Front. Mater. 4, 34 (2017)).
//! Definitions and thresholds are those of pymatgen's `LocalStructOrderParams`.
#![allow(clippy::needless_range_loop, reason = "indices are neighbors, and run over several tables at once")]

use std::f64::consts::{FRAC_1_PI, FRAC_PI_2};

use druse_crystal::coordination::CoordinatedAtom;

use super::motifs::{Equator, Kind};

/// Order parameters are defined for at most this many neighbors.
pub(super) const MAX_NEIGHBORS: usize = 12;
/// A direction whose part orthogonal to the pole is shorter than this has no azimuth.
const NO_AZIMUTH: f64 = 1e-12;
/// Exponents below this make terms that no sum notices.
const NEGLIGIBLE: f64 = -42.0;

type Matrix = [[f64; MAX_NEIGHBORS]; MAX_NEIGHBORS];

/// Directions of neighbors, nearest in rank first, and the angles between them. The neighbors of a smaller
/// coordination number are the first ones, so one table serves them all.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    len: usize,
    distance: [f64; MAX_NEIGHBORS],
    cosine: Matrix,
    /// Angles between neighbors in radians.
    angle: Matrix,
    /// 1 where neighbor `k` has an azimuth about the pole `j`, else 0.
    azimuthal: Matrix,
    /// Cosine of the azimuth between `k` and `m` about the pole `j`, at `[j][k][m]`; 1 for `k = m`.
    azimuth: Box<[Matrix; MAX_NEIGHBORS]>,
}

impl Surroundings {
    pub(super) fn new() -> Self {
        let zero = [[0.0; MAX_NEIGHBORS]; MAX_NEIGHBORS];
        Self {
            len: 0,
            distance: [0.0; MAX_NEIGHBORS],
            cosine: zero,
            angle: zero,
            azimuthal: zero,
            azimuth: Box::new([zero; MAX_NEIGHBORS]),
        }
    }

    /// Takes the first neighbors. Angles are prepared for the first
    /// `with_angles` of them, azimuths for the first `with_azimuths`.
    pub(super) fn set(&mut self, neighbors: &[CoordinatedAtom], with_angles: usize, with_azimuths: usize) {
        let mut unit = [[0.0; 3]; MAX_NEIGHBORS];
        let n = neighbors.len().min(MAX_NEIGHBORS);
        self.len = n;
        for (slot, neighbor) in neighbors[..n].iter().enumerate() {
            unit[slot] = neighbor.vector.map(|x| x / neighbor.distance);
            self.distance[slot] = neighbor.distance;
        }
        for j in 0..n {
            self.cosine[j][j] = 1.0;
            for k in 0..j {
                let c = dot(unit[j], unit[k]);
                (self.cosine[j][k], self.cosine[k][j]) = (c, c);
            }
        }
        for j in 0..n.min(with_angles) {
            for k in 0..j {
                let angle = self.cosine[j][k].clamp(-1.0, 1.0).acos();
                (self.angle[j][k], self.angle[k][j]) = (angle, angle);
            }
        }
        self.set_azimuths(&unit, n.min(with_azimuths));
    }

    fn set_azimuths(&mut self, unit: &[[f64; 3]; MAX_NEIGHBORS], n: usize) {
        if n < 3 {
            // With two neighbors there is no third one, but whether the second has an azimuth still counts.
            self.azimuthal = [[1.0; MAX_NEIGHBORS]; MAX_NEIGHBORS];
            return;
        }
        for j in 0..n {
            let pole = unit[j];
            let squared = dot(pole, pole);
            let [mut x, mut y, mut z] = [[0.0; MAX_NEIGHBORS]; 3];
            for k in 0..n {
                let along = dot(pole, unit[k]) / squared;
                let across: [f64; 3] = std::array::from_fn(|c| unit[k][c] - along * pole[c]);
                let length = dot(across, across).sqrt();
                let has = k != j && length >= NO_AZIMUTH;
                self.azimuthal[j][k] = f64::from(u8::from(has));
                let scale = if has { 1.0 / length } else { 0.0 };
                (x[k], y[k], z[k]) = (across[0] * scale, across[1] * scale, across[2] * scale);
            }
            for k in 0..n {
                let row = &mut self.azimuth[j][k];
                for m in 0..MAX_NEIGHBORS {
                    row[m] = (x[k] * x[m] + y[k] * y[m] + z[k] * z[m]).clamp(-1.0, 1.0);
                }
                row[k] = 1.0;
            }
        }
    }

    /// The order parameter of the first `n` neighbors; 0 where it is not defined.
    pub(super) fn order_parameter(&self, kind: &Kind, n: usize) -> f64 {
        let n = n.min(self.len);
        match *kind {
            Kind::SingleBond => self.single_bond(n),
            Kind::Bent { target, width } => self.bent(n, target, width),
            Kind::Regular { target, width, harmonic } => {
                self.regular(n, harmonic, |angle| gauss(width, angle * FRAC_1_PI - target))
            }
            Kind::Pentagon { split, width } => self.regular(n, 2, |angle| {
                let target = if angle <= split * std::f64::consts::PI { 0.4 } else { 0.8 };
                gauss(width, angle * FRAC_1_PI - target)
            }),
            Kind::Polar { opposite, opposite_width, equator, harmonic, max_azimuth } => {
                self.polar(n, (opposite, opposite_width), equator, harmonic, max_azimuth)
            }
            Kind::Cuboctahedron { .. } => self.cuboctahedron(n, kind),
            Kind::Cube { opposite, opposite_width, weight } => self.cube(n, opposite, opposite_width, weight),
            Kind::Steinhardt(degree) => self.steinhardt(n, degree),
        }
    }

    fn single_bond(&self, n: usize) -> f64 {
        match n {
            0 => 0.0,
            1 => 1.0,
            _ => {
                let mut sorted = self.distance;
                sorted[..n].sort_unstable_by(f64::total_cmp);
                1.0 - sorted[0] / sorted[1]
            }
        }
    }

    fn bent(&self, n: usize, target: f64, width: f64) -> f64 {
        let pairs = (0..n).flat_map(|j| (0..j).map(move |k| (j, k)));
        let sum: f64 = pairs.map(|(j, k)| gauss(width, self.angle[j][k] * FRAC_1_PI - target)).sum();
        if n < 2 { 0.0 } else { 2.0 * sum / (n * (n - 1)) as f64 }
    }

    /// A symmetric function of the angles between the first `n` neighbors; 0 on the diagonal.
    fn of_angles(&self, n: usize, f: impl Fn(f64) -> f64) -> Matrix {
        let mut values = [[0.0; MAX_NEIGHBORS]; MAX_NEIGHBORS];
        for j in 0..n {
            for k in 0..j {
                let value = f(self.angle[j][k]);
                (values[j][k], values[k][j]) = (value, value);
            }
        }
        values
    }

    /// Best mean, over pole and meridian, of a score of the polar angle times cos² of the azimuth. The neighbor on
    /// the meridian scores as any other: its azimuth is 0.
    fn regular(&self, n: usize, harmonic: u8, score: impl Fn(f64) -> f64) -> f64 {
        let scores = self.of_angles(n, score);
        let mut best = 0.0f64;
        for j in 0..n {
            let azimuthal: f64 = self.azimuthal[j][..n].iter().sum();
            let mut weights = [0.0; MAX_NEIGHBORS];
            (0..n).for_each(|m| weights[m] = scores[j][m] * self.azimuthal[j][m]);
            for k in (0..n).filter(|&k| k != j) {
                if self.azimuthal[j][k] == 0.0 {
                    best = best.max(scores[j][k]);
                } else {
                    let sum = self.around(j, k, n, harmonic, &weights);
                    best = best.max(sum / azimuthal);
                }
            }
        }
        best
    }

    /// Sum over neighbors of their weights times cos² of their azimuths, (1 + cos hφ) / 2.
    fn around(&self, j: usize, k: usize, n: usize, harmonic: u8, weights: &[f64; MAX_NEIGHBORS]) -> f64 {
        let (weights, row) = (&weights[..n], &self.azimuth[j][k][..n]);
        let sum = |f: fn(f64) -> f64| weights.iter().zip(row).map(|(w, &c)| w * f(c)).sum::<f64>();
        // Chebyshev polynomials of cos φ.
        match harmonic {
            2 => sum(|c| c * c),
            3 => sum(|c| 0.5 + c * (2.0 * c * c - 1.5)),
            4 => sum(|c| {
                let d = 2.0 * c * c - 1.0;
                d * d
            }),
            5 => sum(|c| {
                let d = c * c;
                0.5 + 0.5 * c * (5.0 + d * (16.0 * d - 20.0))
            }),
            _ => sum(|c| {
                let d = c * (4.0 * c * c - 3.0);
                d * d
            }),
        }
    }

    fn polar(
        &self,
        n: usize,
        (opposite, opposite_width): (f64, f64),
        equator: Equator,
        harmonic: u8,
        max_azimuth: f64,
    ) -> f64 {
        let scores = self.of_angles(n, |angle| {
            let t = angle * FRAC_1_PI;
            if angle >= opposite {
                gauss(opposite_width, t - 1.0)
            } else {
                match equator {
                    Equator::Right { width } => gauss(width, t - 0.5),
                    Equator::Offset { offset, width } => gauss(width, (t - 0.5).abs() - offset),
                }
            }
        });
        let limit = if max_azimuth.is_finite() { max_azimuth.cos() } else { f64::NEG_INFINITY };
        let mut best = 0.0f64;
        for j in 0..n {
            let is_opposite = |m: usize| self.angle[j][m] >= opposite;
            let mut weights = [0.0; MAX_NEIGHBORS];
            let mut counted = [0.0; MAX_NEIGHBORS];
            for m in (0..n).filter(|&m| m != j && !is_opposite(m)) {
                weights[m] = scores[j][m] * self.azimuthal[j][m];
                counted[m] = self.azimuthal[j][m];
            }
            for k in (0..n).filter(|&k| k != j) {
                let (mut sum, mut count) = (0.0, 0.0);
                if self.azimuthal[j][k] == 0.0 {
                    if !is_opposite(k) {
                        (sum, count) = (scores[j][k], 1.0);
                    }
                } else {
                    for m in (0..n).filter(|&m| m != j && m != k && is_opposite(m)) {
                        sum += scores[j][m];
                        count += 1.0;
                    }
                    if is_opposite(k) {
                        // Without the meridian on this side of the pole azimuths do not count.
                    } else if limit == f64::NEG_INFINITY {
                        sum += self.around(j, k, n, harmonic, &weights);
                        count += counted[..n].iter().sum::<f64>();
                    } else {
                        let (mut near, row) = ([0.0; MAX_NEIGHBORS], &self.azimuth[j][k]);
                        for m in (0..n).filter(|&m| row[m] > limit) {
                            near[m] = weights[m];
                            count += counted[m];
                        }
                        sum += self.around(j, k, n, harmonic, &near);
                    }
                }
                if count > 0.0 {
                    best = best.max(sum / count);
                }
            }
        }
        best
    }

    fn cuboctahedron(&self, n: usize, kind: &Kind) -> f64 {
        let &Kind::Cuboctahedron { opposite, opposite_width, weight, low, high, equator_width, cap_width } =
            kind
        else {
            return 0.0;
        };
        const THIRD: f64 = 1.0 / 3.0;
        let scores = self.of_angles(n, |angle| {
            let t = angle * FRAC_1_PI;
            if angle >= opposite {
                gauss(opposite_width, t - 1.0)
            } else if angle > low && angle < high {
                gauss(equator_width, t - 0.5)
            } else if angle < low {
                gauss(cap_width, t - THIRD)
            } else if angle > high {
                gauss(cap_width, t - 2.0 * THIRD)
            } else {
                0.0
            }
        });
        let mut best = 0.0f64;
        for j in 0..n {
            let angle = &self.angle[j];
            let [mut equator, mut cap] = [[0.0; MAX_NEIGHBORS]; 2];
            let mut count = 0.0;
            for m in (0..n).filter(|&m| m != j && self.azimuthal[j][m] > 0.0 && angle[m] < opposite) {
                if angle[m] > low && angle[m] < high {
                    equator[m] = scores[j][m];
                    count += 1.0;
                } else if angle[m] < low || angle[m] > high {
                    cap[m] = scores[j][m];
                    count += 1.0;
                }
            }
            for k in (0..n).filter(|&k| k != j) {
                if angle[k] >= opposite {
                    best = best.max(weight * scores[j][k] / weight);
                } else if angle[k] > low && angle[k] < high && self.azimuthal[j][k] > 0.0 && count > 1.0 {
                    // The neighbor on the meridian itself does not count here.
                    let row = &self.azimuth[j][k];
                    let terms = (0..n).map(|m| equator[m] * row[m] * row[m] + cap[m] * cap_azimuth(row[m]));
                    best = best.max((terms.sum::<f64>() - equator[k]) / (count - 1.0));
                }
            }
        }
        best
    }

    /// Sum over pairs, the neighbor that comes first as the pole; normalized so that the perfect cube has 1.
    ///
    /// The order matters unless the cube is perfect, and so does the side of 90° on which an angle falls: in a crystal
    /// with equivalent neighbors or right angles the value hangs on rounding, here as in the reference.
    fn cube(&self, n: usize, opposite: f64, opposite_width: f64, weight: f64) -> f64 {
        if n <= 3 {
            return 0.0;
        }
        let inverse_width = 1.0 / (1.0f64 / 3.0).asin();
        let steps = self.of_angles(n, |angle| {
            let y = (angle - FRAC_PI_2) * inverse_width;
            let exponent = 0.5 - 0.5 * y * y;
            if exponent < NEGLIGIBLE { 0.0 } else { y * exponent.exp() }
        });
        let mut sum = 0.0;
        for j in 0..n {
            let mut weights = [0.0; MAX_NEIGHBORS];
            (0..n).for_each(|m| weights[m] = steps[j][m] * self.azimuthal[j][m]);
            for k in j + 1..n {
                if self.angle[j][k] >= opposite {
                    sum += weight * gauss(opposite_width, self.angle[j][k] * FRAC_1_PI - 1.0);
                } else if self.azimuthal[j][k] > 0.0 {
                    let row = &self.azimuth[j][k];
                    let terms = (0..n).map(|m| weights[m] * row[m] * (4.0 * row[m] * row[m] - 3.0));
                    let around = terms.sum::<f64>() - weights[k];
                    sum += if self.angle[j][k] > FRAC_PI_2 { around } else { -around };
                }
            }
        }
        sum / (0.5 * (n * (6 + (n - 2) * (n - 3))) as f64)
    }

    /// P. J. Steinhardt, D. R. Nelson, M. Ronchetti, Phys. Rev. B 28, 784 (1983), with the addition theorem in place of
    /// spherical harmonics: q² is the mean of the Legendre polynomial of the cosines between all pairs.
    fn steinhardt(&self, n: usize, degree: u8) -> f64 {
        if n == 0 {
            return 0.0;
        }
        let legendre = |c: f64| {
            let d = c * c;
            match degree {
                2 => 1.5 * d - 0.5,
                4 => (d * (35.0 * d - 30.0) + 3.0) / 8.0,
                _ => (d * (d * (231.0 * d - 315.0) + 105.0) - 5.0) / 16.0,
            }
        };
        let mut sum = n as f64;
        for j in 0..n {
            sum += 2.0 * self.cosine[j][..j].iter().map(|&c| legendre(c)).sum::<f64>();
        }
        sum.max(0.0).sqrt() / n as f64
    }
}

/// exp(−(width · x)² / 2)
fn gauss(width: f64, x: f64) -> f64 {
    let y = width * x;
    let exponent = -0.5 * y * y;
    if exponent < NEGLIGIBLE { 0.0 } else { exponent.exp() }
}

/// Score of the azimuth of a neighbor off the equator of a cuboctahedron, from the azimuth's cosine.
fn cap_azimuth(cosine: f64) -> f64 {
    let sine = (1.0 - cosine * cosine).max(0.0).sqrt();
    let y = 0.0556 * (sine - 0.81649658);
    // The exponent lies in [-0.00104, 0]; four terms leave an error of 1e-14.
    let e = -0.5 * y * y;
    1.0 + e * (1.0 + e * (0.5 + e * (1.0 / 6.0)))
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}
