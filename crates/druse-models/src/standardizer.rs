//! Standardization of numbers that a network learns.

use serde::{Deserialize, Serialize};

/// Added to each standard deviation.
const EPSILON: f64 = 1e-5;

/// `(x - mean) / (population standard deviation + 1e-5)`, column by column (the scaler of CDVAE and SyMat).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standardizer {
    /// Means of the columns.
    pub mean: Vec<f64>,
    /// Standard deviations of the columns, the small number added.
    pub std: Vec<f64>,
}

impl Standardizer {
    /// Fits the columns of the rows of a training set.
    pub fn fit<const N: usize>(rows: &[[f64; N]]) -> Self {
        let n = rows.len().max(1) as f64;
        let mean: Vec<f64> = (0..N).map(|k| rows.iter().map(|r| r[k]).sum::<f64>() / n).collect();
        let std = mean
            .iter()
            .enumerate()
            .map(|(k, m)| (rows.iter().map(|r| (r[k] - m).powi(2)).sum::<f64>() / n).sqrt() + EPSILON)
            .collect();
        Self { mean, std }
    }

    /// Leaves numbers as they are.
    pub fn identity(columns: usize) -> Self {
        Self { mean: vec![0.0; columns], std: vec![1.0; columns] }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.mean.len()
    }

    /// Standardized value of column `k`.
    pub fn normalize(&self, k: usize, x: f64) -> f64 {
        (x - self.mean[k]) / self.std[k]
    }

    /// The value of column `k` that a standardized one stands for.
    pub fn restore(&self, k: usize, x: f64) -> f64 {
        x * self.std[k] + self.mean[k]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_columns_keep_a_small_scale() {
        let s = Standardizer::fit(&[[1.0, 90.0], [3.0, 90.0]]);
        assert_eq!(s.mean, [2.0, 90.0]);
        assert!((s.std[0] - 1.00001).abs() < 1e-12 && (s.std[1] - 1e-5).abs() < 1e-18);
        assert!((s.normalize(0, 3.0) - 1.0 / 1.00001).abs() < 1e-12);
        assert!((s.restore(0, s.normalize(0, 7.25)) - 7.25).abs() < 1e-12);
    }
}
