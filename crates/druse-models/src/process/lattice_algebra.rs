//! Lattices as elements of GL3 and their logarithms in an orthonormal basis of gl3 (Klipfel et al. 2024, Equations
//! 12 and 13).

use nalgebra::{Complex, Matrix3, SymmetricEigen};

/// Coordinates of a logarithm: 0–2 antisymmetric (rotation), 3–5 symmetric off-diagonal, 6–7 diagonal without trace,
/// 8 volume (`ln det / √3`).
pub type LogLattice = [f64; 9];

/// Components that only turn the crystal.
pub const ROTATION: std::ops::Range<usize> = 0..3;

/// The component that scales the volume.
pub const VOLUME: usize = 8;

/// A matrix whose logarithm is not real or does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cell has no real logarithm: it is left-handed, flat, or turns by half a circle")]
pub struct NoLogarithm;

/// Coordinates of a matrix in the orthonormal basis (Frobenius inner product).
pub fn coordinates(m: &Matrix3<f64>) -> LogLattice {
    let (r2, r3, r6) = (2f64.sqrt(), 3f64.sqrt(), 6f64.sqrt());
    let pairs = [(0, 1), (0, 2), (1, 2)];
    let mut v = [0.0; 9];
    for (k, (i, j)) in pairs.into_iter().enumerate() {
        v[k] = (m[(i, j)] - m[(j, i)]) / r2;
        v[3 + k] = (m[(i, j)] + m[(j, i)]) / r2;
    }
    v[6] = (m[(0, 0)] - m[(1, 1)]) / r2;
    v[7] = (m[(0, 0)] + m[(1, 1)] - 2.0 * m[(2, 2)]) / r6;
    v[8] = m.trace() / r3;
    v
}

/// The matrix with these coordinates: `Σ v_l B_l`.
pub fn combination(v: &LogLattice) -> Matrix3<f64> {
    let (r2, r3, r6) = (2f64.sqrt(), 3f64.sqrt(), 6f64.sqrt());
    let upper = |k: usize| (v[3 + k] + v[k]) / r2;
    let lower = |k: usize| (v[3 + k] - v[k]) / r2;
    let trace = v[8] / r3;
    Matrix3::new(
        trace + v[6] / r2 + v[7] / r6,
        upper(0),
        upper(1),
        lower(0),
        trace - v[6] / r2 + v[7] / r6,
        upper(2),
        lower(1),
        lower(2),
        trace - 2.0 * v[7] / r6,
    )
}

/// `exp(Σ v_l B_l)`.
pub fn exp(v: &LogLattice) -> Matrix3<f64> {
    if v[ROTATION].iter().all(|&x| x == 0.0) {
        let eigen = SymmetricEigen::new(combination(v));
        let scaled = eigen.eigenvectors * Matrix3::from_diagonal(&eigen.eigenvalues.map(f64::exp));
        return scaled * eigen.eigenvectors.transpose();
    }
    combination(v).exp()
}

/// Coordinates of the logarithm of a cell.
///
/// # Errors
/// [`NoLogarithm`] for non-positive determinants and for matrices with eigenvalues on the negative real axis.
pub fn log(m: &Matrix3<f64>) -> Result<LogLattice, NoLogarithm> {
    if !(m.iter().all(|x| x.is_finite()) && m.determinant() > 0.0) {
        return Err(NoLogarithm);
    }
    if (m - m.transpose()).amax() <= 1e-13 * m.amax() {
        let eigen = SymmetricEigen::new(*m);
        if eigen.eigenvalues.iter().any(|&x| x <= 0.0) {
            return Err(NoLogarithm);
        }
        let scaled = eigen.eigenvectors * Matrix3::from_diagonal(&eigen.eigenvalues.map(f64::ln));
        return Ok(coordinates(&(scaled * eigen.eigenvectors.transpose())));
    }
    general_log(m).map(|l| coordinates(&l))
}

/// Inverse scaling and squaring: square roots (Denman-Beavers) until the matrix is near I, then the series of
/// `2 artanh`, then doubling.
fn general_log(m: &Matrix3<f64>) -> Result<Matrix3<f64>, NoLogarithm> {
    let on_cut = |z: &Complex<f64>| z.re <= 0.0 && z.im.abs() <= 1e-12 * z.re.abs();
    if m.complex_eigenvalues().iter().any(on_cut) {
        return Err(NoLogarithm);
    }
    let mut root = *m;
    let mut halvings = 0;
    while (root - Matrix3::identity()).norm() > 0.1 {
        root = square_root(&root)?;
        halvings += 1;
        if halvings > 64 {
            return Err(NoLogarithm);
        }
    }
    let identity = Matrix3::identity();
    let z = (root + identity).try_inverse().ok_or(NoLogarithm)? * (root - identity);
    let square = z * z;
    let mut power = z;
    let mut sum = Matrix3::zeros();
    for k in 0..20 {
        sum += power * (2.0 / f64::from(2 * k + 1));
        power *= square;
    }
    Ok(sum * 2f64.powi(halvings))
}

fn square_root(m: &Matrix3<f64>) -> Result<Matrix3<f64>, NoLogarithm> {
    let (mut y, mut z) = (*m, Matrix3::identity());
    for _ in 0..60 {
        let (yi, zi) = (y.try_inverse().ok_or(NoLogarithm)?, z.try_inverse().ok_or(NoLogarithm)?);
        let next = (y + zi) * 0.5;
        z = (z + yi) * 0.5;
        let change = (next - y).norm();
        y = next;
        if change <= 1e-15 * y.norm() {
            break;
        }
    }
    if (y * y - m).norm() <= 1e-9 * m.norm() { Ok(y) } else { Err(NoLogarithm) }
}

/// The rotation-free representative of a cell: the symmetric positive definite matrix with the same lengths and
/// angles, `(L Lᵀ)^{1/2}` for a cell L of row vectors.
pub fn polar(rows: &Matrix3<f64>) -> Matrix3<f64> {
    let eigen = SymmetricEigen::new(rows * rows.transpose());
    let roots = eigen.eigenvalues.map(|x| x.max(0.0).sqrt());
    eigen.eigenvectors * Matrix3::from_diagonal(&roots) * eigen.eigenvectors.transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn diagonal_cell_has_known_coordinates() {
        let v = log(&Matrix3::from_diagonal(&[4.0, 5.0, 6.0].into())).unwrap();
        assert!(
            (v[6] + 0.157786).abs() < 1e-6
                && (v[7] + 0.239963).abs() < 1e-6
                && (v[8] - 2.764060).abs() < 1e-6
        );
        assert!(v[..6].iter().all(|x| x.abs() < 1e-12));
    }

    #[test]
    fn cells_without_logarithm_are_refused() {
        assert_eq!(log(&Matrix3::from_diagonal(&[1.0, 1.0, -1.0].into())), Err(NoLogarithm));
        assert_eq!(log(&Matrix3::from_diagonal(&[-1.0, 1.0, -1.0].into())), Err(NoLogarithm));
        assert_eq!(log(&Matrix3::from_element(f64::NAN)), Err(NoLogarithm));
        // A turn by half a circle that is not symmetric.
        assert!(log(&Matrix3::new(-1.0, 0.3, 0.0, 0.0, -1.5, 0.0, 0.0, 0.0, 2.0)).is_err());
    }

    proptest! {
        #[test]
        fn exp_inverts_log(v in prop::array::uniform9(-0.6..0.6f64), symmetric: bool) {
            let mut v = v;
            if symmetric { v[ROTATION].fill(0.0); }
            v[VOLUME] += 2.5;
            let m = exp(&v);
            let back = log(&m).unwrap();
            for (a, b) in v.iter().zip(&back) {
                prop_assert!((a - b).abs() < 1e-9, "{v:?} {back:?}");
            }
            prop_assert!((m.determinant().ln() / 3f64.sqrt() - v[VOLUME]).abs() < 1e-9);
            let c = combination(&v);
            prop_assert!((coordinates(&c).iter().zip(&v).all(|(a, b)| (a - b).abs() < 1e-12)));
        }

        #[test]
        fn polar_form_keeps_lengths_and_angles(x in prop::array::uniform9(-0.4..0.4f64)) {
            let m = Matrix3::from_row_slice(&x) + Matrix3::from_diagonal(&[3.0, 4.0, 5.0].into());
            let p = polar(&m);
            prop_assert!((p - p.transpose()).amax() < 1e-12);
            prop_assert!((p * p.transpose() - m * m.transpose()).amax() < 1e-10);
        }
    }
}
