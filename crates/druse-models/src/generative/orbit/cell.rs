//! Cells as numbers without bounds: the logarithm of the metric tensor, as far as the lattice system leaves it free.

use druse_crystal::{Lattice, LatticeError, LatticeSystem};
use nalgebra::{Matrix3, SymmetricEigen};

/// Numbers of a cell: ⅓ ln V, then five of its shape.
pub(super) const COORDINATES: usize = 6;

/// The off-diagonal entry, for a and b, of half the logarithm of the metric of hexagonal axes: -¼ ln 3.
const HEXAGONAL: f64 = -0.274_653_072_167_027_4;

/// Which of the numbers are free in a lattice system.
pub(super) fn free(system: LatticeSystem) -> &'static [usize] {
    match system {
        LatticeSystem::Triclinic => &[0, 1, 2, 3, 4, 5],
        LatticeSystem::Monoclinic => &[0, 1, 2, 4],
        LatticeSystem::Orthorhombic => &[0, 1, 2],
        LatticeSystem::Tetragonal | LatticeSystem::Hexagonal => &[0, 2],
        LatticeSystem::Cubic => &[0],
    }
}

/// ½ ln(L Lᵀ) of a cell with rows L (Å), by its trace, the differences on its diagonal, and its entries beside it (12, 13,
/// 23).
pub(super) fn coordinates(lattice: &Lattice) -> [f64; COORDINATES] {
    let rows = lattice.matrix();
    let s = of_eigenvalues(rows * rows.transpose(), |x| 0.5 * x.ln());
    let mean = s.trace() / 3.0;
    [
        mean,
        0.5 * (s[(0, 0)] - s[(1, 1)]),
        (s[(0, 0)] + s[(1, 1)] - 2.0 * s[(2, 2)]) / 6.0,
        s[(0, 1)],
        s[(0, 2)],
        s[(1, 2)],
    ]
}

/// The cell with these numbers, those that the system fixes ignored: a along x, b in the xy plane.
///
/// # Errors
/// [`LatticeError`] for numbers that are not finite or too large for a cell.
pub(super) fn cell(system: LatticeSystem, numbers: [f64; COORDINATES]) -> Result<Lattice, LatticeError> {
    let mut c = [0.0; COORDINATES];
    free(system).iter().for_each(|&i| c[i] = numbers[i]);
    if system == LatticeSystem::Hexagonal {
        c[3] = HEXAGONAL;
    }
    let s = Matrix3::new(
        c[0] + c[1] + c[2],
        c[3],
        c[4], //
        c[3],
        c[0] - c[1] + c[2],
        c[5], //
        c[4],
        c[5],
        c[0] - 2.0 * c[2],
    );
    let metric = of_eigenvalues(s, |x| (2.0 * x).exp());
    let lengths = [0, 1, 2].map(|i| metric[(i, i)].sqrt());
    let angle = |i: usize, j: usize| (metric[(i, j)] / (lengths[i] * lengths[j])).acos().to_degrees();
    let [a, b, c] = lengths;
    system.lattice(&system.free_of([a, b, c, angle(1, 2), angle(0, 2), angle(0, 1)]))
}

fn of_eigenvalues(m: Matrix3<f64>, f: impl Fn(f64) -> f64) -> Matrix3<f64> {
    if m.iter().any(|x| !x.is_finite()) {
        return Matrix3::from_element(f64::NAN);
    }
    let eigen = SymmetricEigen::new(m);
    eigen.eigenvectors * Matrix3::from_diagonal(&eigen.eigenvalues.map(f)) * eigen.eigenvectors.transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_every_system_come_back() {
        let generic = [4.1, 5.3, 9.7, 81.0, 104.0, 97.0];
        for system in LatticeSystem::ALL {
            let lattice = system.lattice(&system.free_of(generic)).unwrap();
            let numbers = coordinates(&lattice);
            assert!((3.0 * numbers[0] - lattice.volume().ln()).abs() < 1e-12);
            let back = cell(system, numbers).unwrap();
            let differ =
                back.parameters().iter().zip(lattice.parameters()).any(|(a, b)| (a - b).abs() > 1e-8);
            assert!(!differ, "{system}: {:?} {:?}", back.parameters(), lattice.parameters());
        }
    }

    #[test]
    fn numbers_that_are_fixed_do_not_matter() {
        let numbers = [1.6, 0.1, -0.2, 0.3, 0.2, -0.1];
        for system in LatticeSystem::ALL {
            let lattice = cell(system, numbers).unwrap();
            let back = coordinates(&lattice);
            free(system).iter().for_each(|&i| assert!((back[i] - numbers[i]).abs() < 1e-10, "{system} {i}"));
        }
        assert!(cell(LatticeSystem::Cubic, [f64::NAN; 6]).is_err());
        assert!(cell(LatticeSystem::Triclinic, [800.0; 6]).is_err());
    }
}
