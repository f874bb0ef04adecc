//! Operations with translations in 24ths, the common denominator of all tabulated ones, so that they are compared
//! exactly.

use nalgebra::Matrix3;

use crate::SymmetryOperation;

/// 24ths of a number that is a multiple of 1/24.
pub(super) fn from_f64(x: f64) -> i32 {
    let scaled = 24.0 * x;
    assert!((scaled - scaled.round()).abs() < 1e-6, "{x} is no multiple of 1/24");
    scaled.round() as i32
}

pub(super) fn to_f64(x: i32) -> f64 {
    f64::from(x) / 24.0
}

/// A symmetry operation on fractional coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExactOperation {
    pub rotation: [[i32; 3]; 3],
    /// In 24ths, in [0, 24).
    pub translation: [i32; 3],
}

impl ExactOperation {
    pub fn of(op: &moyo::base::Operation) -> Self {
        Self {
            rotation: std::array::from_fn(|i| std::array::from_fn(|j| op.rotation[(i, j)])),
            translation: std::array::from_fn(|i| from_f64(op.translation[i]).rem_euclid(24)),
        }
    }

    /// The image of a direction.
    pub fn rotate(&self, v: [i32; 3]) -> [i32; 3] {
        self.rotation.map(|row| (0..3).map(|j| row[j] * v[j]).sum())
    }

    /// The image of a point in 24ths.
    pub fn apply(&self, point: [i32; 3]) -> [i32; 3] {
        let rotated = self.rotate(point);
        std::array::from_fn(|i| rotated[i] + self.translation[i])
    }

    /// The same operation followed by a translation (in 24ths).
    pub fn translated(&self, t: [i32; 3]) -> Self {
        let translation = std::array::from_fn(|i| (self.translation[i] + t[i]).rem_euclid(24));
        Self { translation, ..*self }
    }

    pub fn operation(&self) -> SymmetryOperation {
        SymmetryOperation { rotation: self.rotation, translation: self.translation.map(to_f64) }
    }

    pub fn rotation_f64(&self) -> Matrix3<f64> {
        Matrix3::from_fn(|i, j| f64::from(self.rotation[i][j]))
    }

    /// Adjugate over determinant, which is ±1.
    pub fn inverse_rotation(&self) -> [[i32; 3]; 3] {
        let r = self.rotation;
        let minor = |i: usize, j: usize| {
            let (a, b) = ((i + 1) % 3, (i + 2) % 3);
            let (c, d) = ((j + 1) % 3, (j + 2) % 3);
            r[a][c] * r[b][d] - r[a][d] * r[b][c]
        };
        let determinant: i32 = (0..3).map(|j| r[0][j] * minor(0, j)).sum();
        std::array::from_fn(|i| std::array::from_fn(|j| determinant * minor(j, i)))
    }

    pub fn inverse_rotation_f64(&self) -> Matrix3<f64> {
        let r = self.inverse_rotation();
        Matrix3::from_fn(|i, j| f64::from(r[i][j]))
    }
}
