//! Normalization of the six lattice parameters.

use druse_crystal::Lattice;
use serde::{Deserialize, Serialize};

/// Added to each standard deviation before the division.
const EPSILON: f64 = 1e-6;

/// Mean and sample standard deviation of `[a, b, c, alpha, beta, gamma]` (Å, degrees) over the training cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatticeScaler {
    /// Means.
    pub mean: [f64; 6],
    /// Standard deviations; 1 where the training cells do not vary (below 1e-3).
    pub std: [f64; 6],
}

impl Default for LatticeScaler {
    fn default() -> Self {
        Self { mean: [0.0; 6], std: [1.0; 6] }
    }
}

impl LatticeScaler {
    /// Fits the scaler.
    pub fn fit<'a>(cells: impl Iterator<Item = &'a Lattice>) -> Self {
        let rows: Vec<[f64; 6]> = cells.map(signed_parameters).collect();
        let n = rows.len().max(1) as f64;
        let mean: [f64; 6] = std::array::from_fn(|k| rows.iter().map(|r| r[k]).sum::<f64>() / n);
        let std = std::array::from_fn(|k| {
            let square: f64 = rows.iter().map(|r| (r[k] - mean[k]).powi(2)).sum();
            let std = (square / (n - 1.0).max(1.0)).sqrt();
            if std < 1e-3 { 1.0 } else { std }
        });
        Self { mean, std }
    }

    /// Factors and offsets of the normalization `(v - mean) / (std + 1e-6)`: divide by the first after subtracting
    /// the second.
    pub fn denominators(&self) -> [f64; 6] {
        self.std.map(|s| s + EPSILON)
    }

    /// Normalized parameters of a cell.
    pub fn normalize(&self, cell: &Lattice) -> [f64; 6] {
        let (p, d) = (signed_parameters(cell), self.denominators());
        std::array::from_fn(|k| (p[k] - self.mean[k]) / d[k])
    }
}

/// Lengths and angles; the angles of a left-handed cell are negative.
fn signed_parameters(cell: &Lattice) -> [f64; 6] {
    let mut p = cell.parameters();
    if !cell.is_right_handed() {
        p[3..].iter_mut().for_each(|x| *x = -*x);
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_parameters_keep_a_unit_scale() {
        let cells: Vec<_> = [4.0, 5.0, 6.0]
            .into_iter()
            .map(|a| Lattice::from_parameters([a, 5.0, 5.0, 90.0, 90.0, 90.0]).unwrap())
            .collect();
        let s = LatticeScaler::fit(cells.iter());
        assert!((s.mean[0] - 5.0).abs() < 1e-12 && (s.std[0] - 1.0).abs() < 1e-12);
        assert_eq!(s.std[1], 1.0);
        assert!((s.normalize(&cells[2])[0] - 1.0 / (1.0 + 1e-6)).abs() < 1e-12);
    }
}
