//! What the symmetry leaves free of a conventional cell.

use std::fmt;

use crate::{Lattice, LatticeError};

/// The lattice systems of conventional cells in the standard setting: which cell parameters are free.
///
/// Rhombohedral lattices are described on hexagonal axes and count as hexagonal, as in the crystal families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LatticeSystem {
    /// Groups 1–2: all six parameters.
    Triclinic,
    /// Groups 3–15, unique axis b: a, b, c, β.
    Monoclinic,
    /// Groups 16–74: a, b, c.
    Orthorhombic,
    /// Groups 75–142: a = b, c.
    Tetragonal,
    /// Groups 143–194, hexagonal axes: a = b, c, γ = 120°.
    Hexagonal,
    /// Groups 195–230: a = b = c.
    Cubic,
}

impl LatticeSystem {
    /// All six, from the least to the most symmetric.
    pub const ALL: [Self; 6] = [
        Self::Triclinic,
        Self::Monoclinic,
        Self::Orthorhombic,
        Self::Tetragonal,
        Self::Hexagonal,
        Self::Cubic,
    ];

    /// The system of the space group with this number; `None` outside 1 to 230.
    pub fn of_number(number: u16) -> Option<Self> {
        Some(match number {
            1..=2 => Self::Triclinic,
            3..=15 => Self::Monoclinic,
            16..=74 => Self::Orthorhombic,
            75..=142 => Self::Tetragonal,
            143..=194 => Self::Hexagonal,
            195..=230 => Self::Cubic,
            _ => return None,
        })
    }

    /// Indices into `[a, b, c, α, β, γ]` of the parameters that are free.
    pub fn free_parameters(self) -> &'static [usize] {
        match self {
            Self::Triclinic => &[0, 1, 2, 3, 4, 5],
            Self::Monoclinic => &[0, 1, 2, 4],
            Self::Orthorhombic => &[0, 1, 2],
            Self::Tetragonal | Self::Hexagonal => &[0, 2],
            Self::Cubic => &[0],
        }
    }

    /// The free ones of `[a, b, c, α, β, γ]`.
    pub fn free_of(self, parameters: [f64; 6]) -> Vec<f64> {
        self.free_parameters().iter().map(|&i| parameters[i]).collect()
    }

    /// `[a, b, c, α, β, γ]` (Å, degrees) with the parameters that are not free set to what the system asks for.
    pub fn constrained(self, parameters: [f64; 6]) -> [f64; 6] {
        let [a, b, c, alpha, beta, gamma] = parameters;
        match self {
            Self::Triclinic => [a, b, c, alpha, beta, gamma],
            Self::Monoclinic => [a, b, c, 90.0, beta, 90.0],
            Self::Orthorhombic => [a, b, c, 90.0, 90.0, 90.0],
            Self::Tetragonal => [a, a, c, 90.0, 90.0, 90.0],
            Self::Hexagonal => [a, a, c, 90.0, 90.0, 120.0],
            Self::Cubic => [a, a, a, 90.0, 90.0, 90.0],
        }
    }

    /// `[a, b, c, α, β, γ]` (Å, degrees) from the free parameters in the order of [`Self::free_parameters`].
    ///
    /// # Panics
    /// When their number is not that of the free parameters.
    pub fn expand(self, free: &[f64]) -> [f64; 6] {
        assert_eq!(free.len(), self.free_parameters().len(), "free parameters of a {self} cell");
        let mut parameters = [0.0; 6];
        for (&i, &x) in self.free_parameters().iter().zip(free) {
            parameters[i] = x;
        }
        self.constrained(parameters)
    }

    /// The cell with these free parameters, a along x and b in the xy plane; right angles are exact.
    ///
    /// # Errors
    /// [`LatticeError`] for non-finite numbers, lengths ≤ 0 and angles that enclose no volume.
    ///
    /// # Panics
    /// As [`Self::expand`].
    pub fn lattice(self, free: &[f64]) -> Result<Lattice, LatticeError> {
        let parameters = self.expand(free);
        if self == Self::Triclinic {
            return Lattice::from_parameters_a_along_x(parameters);
        }
        // The checks, and the messages, of the general construction.
        let general = Lattice::from_parameters_a_along_x(parameters)?;
        let [a, b, c, _, beta, _] = parameters;
        match self {
            Self::Triclinic => Ok(general),
            Self::Monoclinic => {
                let (sin, cos) = beta.to_radians().sin_cos();
                Lattice::from_rows([[a, 0.0, 0.0], [0.0, b, 0.0], [c * cos, 0.0, c * sin]])
            }
            Self::Hexagonal => {
                Lattice::from_rows([[a, 0.0, 0.0], [-0.5 * a, 0.75f64.sqrt() * a, 0.0], [0.0, 0.0, c]])
            }
            Self::Orthorhombic | Self::Tetragonal | Self::Cubic => {
                Lattice::from_rows([[a, 0.0, 0.0], [0.0, b, 0.0], [0.0, 0.0, c]])
            }
        }
    }

    /// The mean of the cell's metric tensor over the rotations of the system's holohedry, as a cell with a along x and b
    /// in the xy plane, right-handed. Lengths that the symmetry makes equal become their root mean square.
    ///
    /// # Errors
    /// [`LatticeError`] when the mean encloses no volume, which takes a cell far from the system.
    pub fn constrain(self, lattice: &Lattice) -> Result<Lattice, LatticeError> {
        let [a, b, c, alpha, beta, gamma] = lattice.parameters();
        let free = match self {
            Self::Triclinic => vec![a, b, c, alpha, beta, gamma],
            Self::Monoclinic => vec![a, b, c, beta],
            Self::Orthorhombic => vec![a, b, c],
            Self::Tetragonal => vec![((a * a + b * b) / 2.0).sqrt(), c],
            // Mean over a, b and a + b, which three-fold rotations map onto each other.
            Self::Hexagonal => {
                vec![((a * a + b * b + a * b * gamma.to_radians().cos()) / 1.5).sqrt(), c]
            }
            Self::Cubic => vec![((a * a + b * b + c * c) / 3.0).sqrt()],
        };
        self.lattice(&free)
    }

    /// Its name in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Triclinic => "triclinic",
            Self::Monoclinic => "monoclinic",
            Self::Orthorhombic => "orthorhombic",
            Self::Tetragonal => "tetragonal",
            Self::Hexagonal => "hexagonal",
            Self::Cubic => "cubic",
        }
    }
}

impl fmt::Display for LatticeSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::Matrix3;
    use proptest::prelude::*;

    use super::*;
    use crate::SpaceGroup;

    fn metric(lattice: &Lattice) -> Matrix3<f64> {
        lattice.matrix() * lattice.matrix().transpose()
    }

    #[test]
    fn free_parameters_expand_to_the_cell() {
        let p = [5.0, 6.0, 7.0, 80.0, 95.0, 103.0];
        for system in LatticeSystem::ALL {
            let expanded = system.expand(&system.free_of(p));
            assert_eq!(expanded, system.constrained(p), "{system}");
            let lattice = system.lattice(&system.free_of(p)).unwrap();
            let back = lattice.parameters();
            assert!(back.iter().zip(expanded).all(|(a, b)| (a - b).abs() < 1e-12), "{system}: {back:?}");
        }
        assert_eq!(LatticeSystem::Monoclinic.free_of(p), [5.0, 6.0, 7.0, 95.0]);
        // Right angles leave no rounding behind.
        let cubic = LatticeSystem::Cubic.lattice(&[4.0]).unwrap();
        assert_eq!(cubic.rows(), [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]]);
    }

    #[test]
    fn impossible_cells_are_refused() {
        assert!(LatticeSystem::Cubic.lattice(&[-1.0]).is_err());
        assert!(LatticeSystem::Hexagonal.lattice(&[3.0, f64::NAN]).is_err());
        assert!(LatticeSystem::Triclinic.lattice(&[1.0, 1.0, 1.0, 30.0, 30.0, 120.0]).is_err());
        assert!(LatticeSystem::Monoclinic.lattice(&[1.0, 1.0, 1.0, 180.0]).is_err());
        assert_eq!(LatticeSystem::of_number(0), None);
        assert_eq!(LatticeSystem::of_number(231), None);
    }

    proptest! {
        #[test]
        fn constrained_cells_have_the_mean_metric(
            lengths in prop::array::uniform3(4.0..9.0f64), angles in prop::array::uniform3(75.0..105.0f64),
        ) {
            let [a, b, c] = lengths;
            let [alpha, beta, gamma] = angles;
            // Groups of the holohedries, one of each system.
            for number in [2, 10, 47, 123, 191, 221] {
                let group = SpaceGroup::new(number).unwrap();
                let system = group.lattice_system();
                let gamma = if system == LatticeSystem::Hexagonal { gamma + 30.0 } else { gamma };
                let lattice = Lattice::from_parameters([a, b, c, alpha, beta, gamma]).unwrap();
                let g = metric(&lattice);
                let rotations = group.primitive_operations().iter();
                let rotations = rotations.map(|op| Matrix3::from_fn(|i, j| f64::from(op.rotation[i][j])));
                let mean = rotations.map(|r| r.transpose() * g * r).sum::<Matrix3<f64>>() / group.order() as f64;
                let constrained = metric(&system.constrain(&lattice).unwrap());
                prop_assert!((constrained - mean).amax() < 1e-9, "{system}: {constrained} {mean}");
                let again = system.constrain(&system.constrain(&lattice).unwrap()).unwrap();
                prop_assert!((metric(&again) - constrained).amax() < 1e-9, "{system}");
            }
        }
    }
}
