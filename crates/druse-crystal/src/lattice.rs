//! Bravais lattices in three dimensions.

use nalgebra::{Matrix3, Vector3};
use serde::{Deserialize, Serialize};

use crate::basis::ClosestImage;

/// Images among which [`Lattice::min_image`] looks for the nearest in the given basis; cells that are so flat, long or
/// skewed that there are more take the detour over a reduced basis.
const MAX_IMAGES: f64 = 1000.0;

/// Why a lattice could not be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LatticeError {
    /// A parameter is NaN or infinite.
    #[error("lattice contains a number that is not finite: {0}")]
    NotFinite(String),
    /// A length is zero or negative.
    #[error("lattice length {name} = {value} Å must be positive")]
    Length {
        /// `a`, `b` or `c`.
        name: char,
        /// The offending value in Å.
        value: f64,
    },
    /// The angles cannot belong to one cell, or the vectors lie in one plane.
    #[error("lattice has no volume ({0})")]
    Degenerate(String),
}

/// Three lattice vectors a, b, c as the **rows** of a 3×3 matrix in Å, so `cartesian = fractional · L`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[[f64; 3]; 3]", into = "[[f64; 3]; 3]")]
pub struct Lattice {
    matrix: Matrix3<f64>,
    inverse: Matrix3<f64>,
}

impl Lattice {
    /// A lattice from its row matrix (Å). Left-handed cells are allowed.
    ///
    /// # Errors
    /// [`LatticeError`] when an entry is not finite or the volume vanishes
    /// (below 1e-10 of the product of the lengths).
    pub fn from_matrix(matrix: Matrix3<f64>) -> Result<Self, LatticeError> {
        if let Some(x) = matrix.iter().find(|x| !x.is_finite()) {
            return Err(LatticeError::NotFinite(x.to_string()));
        }
        for (i, name) in ['a', 'b', 'c'].into_iter().enumerate() {
            let value = matrix.row(i).norm();
            if value <= 0.0 {
                return Err(LatticeError::Length { name, value });
            }
        }
        let lengths: f64 = (0..3).map(|i| matrix.row(i).norm()).product();
        let inverse = matrix.try_inverse();
        match inverse {
            Some(inverse)
                if matrix.determinant().abs() > 1e-10 * lengths && inverse.iter().all(|x| x.is_finite()) =>
            {
                Ok(Self { matrix, inverse })
            }
            _ => Err(LatticeError::Degenerate("the three vectors lie in one plane".into())),
        }
    }

    /// A lattice from its three row vectors (Å).
    ///
    /// # Errors
    /// As [`Lattice::from_matrix`].
    pub fn from_rows(rows: [[f64; 3]; 3]) -> Result<Self, LatticeError> {
        Self::from_matrix(Matrix3::from_fn(|i, j| rows[i][j]))
    }

    /// A cubic lattice of edge `a` (Å).
    ///
    /// # Errors
    /// As [`Lattice::from_matrix`].
    pub fn cubic(a: f64) -> Result<Self, LatticeError> {
        Self::from_matrix(Matrix3::from_diagonal_element(a))
    }

    /// Builds the cell from `[a, b, c, alpha, beta, gamma]` (Å, degrees) with c along z and a in the xz plane:
    /// the orientation of pymatgen, CDVAE and SyMat.
    ///
    /// # Errors
    /// [`LatticeError`] for non-finite numbers, lengths ≤ 0 and angle triples that enclose no volume.
    pub fn from_parameters(p: [f64; 6]) -> Result<Self, LatticeError> {
        Self::check_parameters(p)?;
        let [a, b, c, ..] = p;
        let [(sin_al, cos_al), (sin_be, cos_be), (_, cos_ga)] =
            [p[3], p[4], p[5]].map(|d| d.to_radians().sin_cos());
        let v = ((cos_al * cos_be - cos_ga) / (sin_al * sin_be)).clamp(-1.0, 1.0);
        let gamma_star = v.acos();
        Self::from_rows([
            [a * sin_be, 0.0, a * cos_be],
            [-b * sin_al * gamma_star.cos(), b * sin_al * gamma_star.sin(), b * cos_al],
            [0.0, 0.0, c],
        ])
        .map_err(|e| Self::name_angles(e, p))
    }

    /// Builds the cell from `[a, b, c, alpha, beta, gamma]` (Å, degrees) with a along x and b in the xy plane:
    /// the orientation of ASE, VESTA and most crystallographic software.
    ///
    /// # Errors
    /// As [`Lattice::from_parameters`].
    pub fn from_parameters_a_along_x(p: [f64; 6]) -> Result<Self, LatticeError> {
        Self::check_parameters(p)?;
        let [a, b, c, ..] = p;
        let [cos_al, cos_be] = [p[3], p[4]].map(|d| d.to_radians().cos());
        let (sin_ga, cos_ga) = p[5].to_radians().sin_cos();
        let cx = c * cos_be;
        let cy = c * (cos_al - cos_ga * cos_be) / sin_ga;
        let radicand = c * c - cx * cx - cy * cy;
        if radicand.is_nan() || radicand <= 0.0 {
            return Err(Self::name_angles(LatticeError::Degenerate(String::new()), p));
        }
        Self::from_rows([[a, 0.0, 0.0], [b * cos_ga, b * sin_ga, 0.0], [cx, cy, radicand.sqrt()]])
            .map_err(|e| Self::name_angles(e, p))
    }

    fn check_parameters(p: [f64; 6]) -> Result<(), LatticeError> {
        if let Some(x) = p.iter().find(|x| !x.is_finite()) {
            return Err(LatticeError::NotFinite(x.to_string()));
        }
        for (i, name) in ['a', 'b', 'c'].into_iter().enumerate() {
            if p[i] <= 0.0 {
                return Err(LatticeError::Length { name, value: p[i] });
            }
        }
        Ok(())
    }

    fn name_angles(e: LatticeError, p: [f64; 6]) -> LatticeError {
        match e {
            LatticeError::Degenerate(_) => {
                LatticeError::Degenerate(format!("angles {}, {}, {}° enclose no cell", p[3], p[4], p[5]))
            }
            other => other,
        }
    }

    /// The row matrix (Å).
    pub fn matrix(&self) -> &Matrix3<f64> {
        &self.matrix
    }

    /// The inverse of the row matrix (1/Å): `fractional = cartesian · L⁻¹`.
    pub fn inverse(&self) -> &Matrix3<f64> {
        &self.inverse
    }

    /// The three lattice vectors (Å).
    pub fn rows(&self) -> [[f64; 3]; 3] {
        std::array::from_fn(|i| std::array::from_fn(|j| self.matrix[(i, j)]))
    }

    /// Lattice vector `i` (Å).
    pub fn vector(&self, i: usize) -> Vector3<f64> {
        self.matrix.row(i).transpose()
    }

    /// Lengths a, b, c (Å).
    pub fn lengths(&self) -> [f64; 3] {
        std::array::from_fn(|i| self.matrix.row(i).norm())
    }

    /// Angles alpha (b, c), beta (a, c), gamma (a, b) in degrees.
    pub fn angles(&self) -> [f64; 3] {
        std::array::from_fn(|i| {
            let (u, v) = (self.vector((i + 1) % 3), self.vector((i + 2) % 3));
            u.cross(&v).norm().atan2(u.dot(&v)).to_degrees()
        })
    }

    /// `[a, b, c, alpha, beta, gamma]` in Å and degrees.
    pub fn parameters(&self) -> [f64; 6] {
        let ([a, b, c], [al, be, ga]) = (self.lengths(), self.angles());
        [a, b, c, al, be, ga]
    }

    /// Cell volume in Å³, always positive.
    pub fn volume(&self) -> f64 {
        self.matrix.determinant().abs()
    }

    /// Whether the three vectors form a right-handed system.
    pub fn is_right_handed(&self) -> bool {
        self.matrix.determinant() > 0.0
    }

    /// The lattice of the vectors −**a**, −**b**, −**c**: the same points, the other hand.
    pub fn inverted(&self) -> Self {
        Self { matrix: -self.matrix, inverse: -self.inverse }
    }

    /// The reciprocal lattice without the factor 2π (rows a*, b*, c* in 1/Å, with a*·a = 1).
    pub fn reciprocal(&self) -> Self {
        Self { matrix: self.inverse.transpose(), inverse: self.matrix.transpose() }
    }

    /// Distance between the two cell faces that each lattice vector joins (Å): V / |b × c| and cyclic.
    pub fn face_distances(&self) -> [f64; 3] {
        std::array::from_fn(|i| 1.0 / self.inverse.column(i).norm())
    }

    /// Cartesian coordinates (Å) of fractional ones.
    #[inline]
    pub fn to_cartesian(&self, frac: [f64; 3]) -> [f64; 3] {
        let m = &self.matrix;
        std::array::from_fn(|j| frac[0] * m[(0, j)] + frac[1] * m[(1, j)] + frac[2] * m[(2, j)])
    }

    /// Fractional coordinates of Cartesian ones (Å); not wrapped.
    #[inline]
    pub fn to_fractional(&self, cart: [f64; 3]) -> [f64; 3] {
        let m = &self.inverse;
        std::array::from_fn(|j| cart[0] * m[(0, j)] + cart[1] * m[(1, j)] + cart[2] * m[(2, j)])
    }

    /// The shortest Cartesian displacement (Å) from `p` to any periodic image of `q` (fractional coordinates),
    /// and the image `t` that realises it: the vector ends at `q + t`. Exact for any cell, and of bounded work, however
    /// flat, long or skewed it is.
    pub fn min_image(&self, p: [f64; 3], q: [f64; 3]) -> ([f64; 3], [i32; 3]) {
        let delta: [f64; 3] = std::array::from_fn(|i| q[i] - p[i]);
        let wrapped = delta.map(|d| d - d.round());
        let start = norm2(self.to_cartesian(wrapped)).sqrt();
        let faces = self.face_distances();
        // Any image closer than `start` has |component i| ≤ start / face_distance i.
        let range: [(f64, f64); 3] = std::array::from_fn(|i| {
            let r = start / faces[i] + 1e-9;
            ((-r - wrapped[i]).ceil(), (r - wrapped[i]).floor())
        });
        if range.iter().map(|(low, high)| high - low + 1.0).product::<f64>() > MAX_IMAGES {
            let (vector, image) = ClosestImage::new(&self.matrix).find(delta, || ());
            return (vector, image.map(|t| t.clamp(i32::MIN.into(), i32::MAX.into()) as i32));
        }
        let range = range.map(|(low, high)| (low as i64, high as i64));
        let mut best = (start * start, wrapped);
        for ia in range[0].0..=range[0].1 {
            for ib in range[1].0..=range[1].1 {
                for ic in range[2].0..=range[2].1 {
                    let f = [wrapped[0] + ia as f64, wrapped[1] + ib as f64, wrapped[2] + ic as f64];
                    let d2 = norm2(self.to_cartesian(f));
                    if d2 < best.0 - 1e-12 {
                        best = (d2, f);
                    }
                }
            }
        }
        let image = std::array::from_fn(|i| (best.1[i] - delta[i]).round() as i32);
        (self.to_cartesian(best.1), image)
    }
}

fn norm2(v: [f64; 3]) -> f64 {
    v[0] * v[0] + v[1] * v[1] + v[2] * v[2]
}

impl TryFrom<[[f64; 3]; 3]> for Lattice {
    type Error = LatticeError;

    fn try_from(rows: [[f64; 3]; 3]) -> Result<Self, Self::Error> {
        Self::from_rows(rows)
    }
}

impl From<Lattice> for [[f64; 3]; 3] {
    fn from(l: Lattice) -> Self {
        l.rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: &[f64], b: &[f64], tol: f64) {
        assert_eq!(a.len(), b.len());
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() < tol, "{a:?} against {b:?}");
        }
    }

    #[test]
    fn orientation_with_c_along_z_has_known_values() {
        let l = Lattice::from_parameters([4.0, 3.0, 2.0, 120.0, 90.0, 90.0]).unwrap();
        close(&l.rows()[1], &[0.0, 2.598076, -1.5], 1e-6);
        close(&[l.volume()], &[20.784610], 1e-6);
        let l = Lattice::from_parameters([5.0, 6.0, 7.0, 80.0, 95.0, 110.0]).unwrap();
        close(&l.rows()[0], &[4.980973, 0.0, -0.435779], 1e-6);
        close(&l.rows()[1], &[-1.968806, 5.571200, 1.041889], 1e-6);
        close(&[l.volume()], &[194.249997], 1e-6);
    }

    #[test]
    fn impossible_cells_are_refused() {
        assert!(matches!(
            Lattice::from_parameters([1.0, 1.0, 1.0, 30.0, 30.0, 120.0]),
            Err(LatticeError::Degenerate(_))
        ));
        assert!(matches!(
            Lattice::from_parameters([0.0, 1.0, 1.0, 90.0, 90.0, 90.0]),
            Err(LatticeError::Length { name: 'a', .. })
        ));
        assert!(matches!(
            Lattice::from_parameters([f64::NAN, 1.0, 1.0, 90.0, 90.0, 90.0]),
            Err(LatticeError::NotFinite(_))
        ));
        assert!(Lattice::from_parameters_a_along_x([1.0, 1.0, 1.0, 30.0, 30.0, 120.0]).is_err());
        assert!(Lattice::from_rows([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).is_err());
    }

    proptest! {
        #[test]
        fn six_parameters_survive_both_orientations(
            a in 2.0..20.0f64, b in 2.0..20.0f64, c in 2.0..20.0f64,
            al in 60.0..110.0f64, be in 60.0..110.0f64, ga in 60.0..110.0f64,
        ) {
            let p = [a, b, c, al, be, ga];
            let l = Lattice::from_parameters(p).unwrap();
            close(&l.parameters(), &p, 1e-8);
            let x = Lattice::from_parameters_a_along_x(p).unwrap();
            close(&x.parameters(), &p, 1e-8);
            prop_assert!((l.volume() - x.volume()).abs() < 1e-8 * l.volume());
        }

        #[test]
        fn min_image_is_exact_in_skewed_cells(
            p in prop::array::uniform3(-2.0..2.0f64), q in prop::array::uniform3(-2.0..2.0f64),
            s in -3i32..4, t in -3i32..4,
        ) {
            // The same lattice described by a short and by a sheared basis has the same distances.
            let short = Lattice::from_rows([[3.0, 0.0, 0.2], [0.1, 4.0, 0.0], [0.0, 0.5, 5.0]]).unwrap();
            let shear = Matrix3::new(1.0, f64::from(s), f64::from(t), 0.0, 1.0, f64::from(s), 0.0, 0.0, 1.0);
            let sheared = Lattice::from_matrix(shear * short.matrix()).unwrap();
            let (d, image) = sheared.min_image(p, q);
            let move_to = |f: [f64; 3]| short.to_fractional(sheared.to_cartesian(f));
            let (e, _) = short.min_image(move_to(p), move_to(q));
            prop_assert!((norm2(d) - norm2(e)).abs() < 1e-8);
            let end = std::array::from_fn(|i| q[i] + f64::from(image[i]) - p[i]);
            close(&sheared.to_cartesian(end), &d, 1e-9);
        }
    }
}
