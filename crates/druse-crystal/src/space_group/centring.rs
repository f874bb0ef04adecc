//! Centring of conventional cells.

use std::fmt;

use nalgebra::Matrix3;

use crate::{Lattice, LatticeError};

/// How the lattice of a space group is centred in its conventional cell, and the primitive cell that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Centring {
    /// Primitive.
    P,
    /// The (b, c) face: (0, 1/2, 1/2).
    A,
    /// The (a, b) face: (1/2, 1/2, 0).
    C,
    /// The body: (1/2, 1/2, 1/2).
    I,
    /// All faces.
    F,
    /// Rhombohedral on hexagonal axes, obverse: (2/3, 1/3, 1/3) and (1/3, 2/3, 2/3).
    R,
}

impl Centring {
    /// Primitive cells in a conventional cell: 1, 2 (A, C, I), 3 (R) or 4 (F).
    pub fn order(self) -> usize {
        self.translations_24ths().len()
    }

    /// The letter of the Hermann–Mauguin symbol.
    pub fn letter(self) -> char {
        match self {
            Self::P => 'P',
            Self::A => 'A',
            Self::C => 'C',
            Self::I => 'I',
            Self::F => 'F',
            Self::R => 'R',
        }
    }

    /// Lattice translations within the conventional cell (fractional), the zero vector first.
    pub fn translations(self) -> Vec<[f64; 3]> {
        self.translations_24ths().iter().map(|t| t.map(|x| f64::from(x) / 24.0)).collect()
    }

    pub(super) fn translations_24ths(self) -> &'static [[i32; 3]] {
        match self {
            Self::P => &[[0, 0, 0]],
            Self::A => &[[0, 0, 0], [0, 12, 12]],
            Self::C => &[[0, 0, 0], [12, 12, 0]],
            Self::I => &[[0, 0, 0], [12, 12, 12]],
            Self::F => &[[0, 0, 0], [0, 12, 12], [12, 0, 12], [12, 12, 0]],
            Self::R => &[[0, 0, 0], [16, 8, 8], [8, 16, 16]],
        }
    }

    /// The matrix C, in sixths, of `L_primitive = C · L_conventional` for lattice vectors as rows.
    ///
    /// Those of Sultanov et al. (adaptive cells) where they suit the standard setting. Their A is meant for cells with
    /// exchanged axes, and their R is left-handed: here A halves the (b, c) face, and R has its first two vectors
    /// exchanged, which makes it the obverse cell of the International Tables.
    fn sixths(self) -> [[i32; 3]; 3] {
        match self {
            Self::P => [[6, 0, 0], [0, 6, 0], [0, 0, 6]],
            Self::A => [[6, 0, 0], [0, 3, -3], [0, 3, 3]],
            Self::C => [[3, -3, 0], [3, 3, 0], [0, 0, 6]],
            Self::I => [[-3, 3, 3], [3, -3, 3], [3, 3, -3]],
            Self::F => [[0, 3, 3], [3, 0, 3], [3, 3, 0]],
            Self::R => [[4, 2, 2], [-2, 2, 2], [-2, -4, 2]],
        }
    }

    /// The matrix C of `L_primitive = C · L_conventional` (lattice vectors as rows); its determinant is 1 / order.
    /// Fractional coordinates as rows follow `f_conventional = f_primitive · C`.
    pub fn primitive_matrix(self) -> Matrix3<f64> {
        let sixths = self.sixths();
        Matrix3::from_fn(|i, j| f64::from(sixths[i][j]) / 6.0)
    }

    /// C⁻¹, which is whole-numbered: `L_conventional = C⁻¹ · L_primitive`.
    pub fn conventional_matrix(self) -> Matrix3<i32> {
        match self {
            Self::P => Matrix3::new(1, 0, 0, 0, 1, 0, 0, 0, 1),
            Self::A => Matrix3::new(1, 0, 0, 0, 1, 1, 0, -1, 1),
            Self::C => Matrix3::new(1, 1, 0, -1, 1, 0, 0, 0, 1),
            Self::I => Matrix3::new(0, 1, 1, 1, 0, 1, 1, 1, 0),
            Self::F => Matrix3::new(-1, 1, 1, 1, -1, 1, 1, 1, -1),
            Self::R => Matrix3::new(1, -1, 0, 0, 1, -1, 1, 1, 1),
        }
    }

    /// The primitive cell of a conventional one.
    ///
    /// # Errors
    /// [`LatticeError`] when rounding leaves the cell no volume.
    pub fn primitive_lattice(self, conventional: &Lattice) -> Result<Lattice, LatticeError> {
        Lattice::from_matrix(self.primitive_matrix() * conventional.matrix())
    }

    /// The conventional cell of a primitive one.
    ///
    /// # Errors
    /// [`LatticeError`] when rounding leaves the cell no volume.
    pub fn conventional_lattice(self, primitive: &Lattice) -> Result<Lattice, LatticeError> {
        Lattice::from_matrix(self.conventional_matrix().map(f64::from) * primitive.matrix())
    }

    /// Fractional coordinates in the primitive cell of those in the conventional one; not wrapped.
    pub fn to_primitive(self, conventional: [f64; 3]) -> [f64; 3] {
        let m = self.conventional_matrix();
        std::array::from_fn(|j| (0..3).map(|i| conventional[i] * f64::from(m[(i, j)])).sum())
    }

    /// Fractional coordinates in the conventional cell of those in the primitive one; not wrapped.
    pub fn to_conventional(self, primitive: [f64; 3]) -> [f64; 3] {
        let m = self.sixths();
        // Divided last, so that thirds and halves of whole numbers are exact.
        std::array::from_fn(|j| (0..3).map(|i| primitive[i] * f64::from(m[i][j])).sum::<f64>() / 6.0)
    }

    /// As [`Self::to_primitive`] for coordinates in 24ths.
    pub(super) fn to_primitive_24ths(self, conventional: [i32; 3]) -> [i32; 3] {
        let m = self.conventional_matrix();
        std::array::from_fn(|j| (0..3).map(|i| conventional[i] * m[(i, j)]).sum())
    }

    pub(super) fn of(centering: moyo::data::Centering) -> Option<Self> {
        use moyo::data::Centering as Moyo;
        Some(match centering {
            Moyo::P => Self::P,
            Moyo::A => Self::A,
            Moyo::C => Self::C,
            Moyo::I => Self::I,
            Moyo::F => Self::F,
            Moyo::R => Self::R,
            Moyo::B => return None,
        })
    }
}

impl fmt::Display for Centring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.letter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Centring; 6] = [Centring::P, Centring::A, Centring::C, Centring::I, Centring::F, Centring::R];

    #[test]
    fn both_matrices_are_inverse_and_right_handed() {
        for c in ALL {
            let product = c.primitive_matrix() * c.conventional_matrix().map(f64::from);
            assert!((product - Matrix3::identity()).amax() < 1e-12, "{c}");
            let volume = c.primitive_matrix().determinant();
            assert!((volume * c.order() as f64 - 1.0).abs() < 1e-12, "{c}");
        }
    }

    #[test]
    fn primitive_vectors_span_the_centring_translations() {
        for c in ALL {
            for t in c.translations_24ths() {
                // Whole numbers of primitive vectors.
                assert!(c.to_primitive_24ths(*t).iter().all(|x| x % 24 == 0), "{c}: {t:?}");
            }
            for row in c.sixths() {
                let t = row.map(|x| (4 * x).rem_euclid(24));
                assert!(c.translations_24ths().contains(&t), "{c}: {row:?}");
            }
        }
    }

    #[test]
    fn coordinates_come_back() {
        for c in ALL {
            let f = [0.31, -0.27, 0.83];
            let back = c.to_conventional(c.to_primitive(f));
            assert!(back.iter().zip(f).all(|(x, y)| (x - y).abs() < 1e-14), "{c}");
            assert_eq!(c.to_primitive([1.0 / 3.0, 2.0 / 3.0, 0.0]).map(|x| (x * 24.0).round() as i32), {
                c.to_primitive_24ths([8, 16, 0])
            });
        }
    }
}
