//! Keeping the space group of the start.

use druse_crystal::{Lattice, Structure, SymmetryError, symmetry, wrap_unit};
use nalgebra::{Matrix3, SymmetricEigen, Vector3};

use crate::filter::Row;

/// The operations of a structure's space group, as they act on rows of coordinates.
///
/// The energy is invariant, so at a symmetric crystal the forces are symmetric, and a path along them keeps the space group:
/// but for rounding, for a potential's own errors, and where a step leaves the exact path. Each set of forces is therefore
/// projected: on atoms, gᵢ = |G|⁻¹ Σₖ Rₖᵀ g_{k(i)}, on the cell, |G|⁻¹ Σₖ Rₖᵀ g Rₖ, where operation k turns vectors by
/// Rₖ and brings site i to site k(i).
#[derive(Debug, Clone)]
pub struct Symmetry {
    number: u16,
    operations: Vec<Operation>,
}

#[derive(Debug, Clone)]
struct Operation {
    /// On Cartesian vectors, as columns.
    rotation: Matrix3<f64>,
    /// The site that each site is brought to.
    images: Vec<usize>,
}

impl Symmetry {
    /// Finds the space group within the distance tolerance `symprec` (Å), and the structure that has it exactly: its metric
    /// and positions are means over the operations, its orientation is kept, its sites stay in their order.
    ///
    /// # Errors
    /// [`SymmetryError`] when no space group is found.
    pub fn find(structure: &Structure, symprec: f64) -> Result<(Self, Structure), SymmetryError> {
        let found = symmetry::analyze(structure, symprec)?;
        let rotations: Vec<Matrix3<f64>> =
            found.operations.iter().map(|op| Matrix3::from_fn(|i, j| f64::from(op.rotation[i][j]))).collect();
        let lattice = symmetric_lattice(&structure.lattice, &rotations)?;
        let mut images = Vec::with_capacity(rotations.len());
        // For each site the mean of where the operations see it, as a displacement.
        let mut moves = vec![Vector3::zeros(); structure.len()];
        for (op, rotation) in found.operations.iter().zip(&rotations) {
            let site_images = images_of(structure, op, symprec)?;
            // The mean over all sites of where they are brought, beside where their images are: the translation as it
            // follows from the sites. Sums of whole numbers over N, it closes exactly under composition.
            let offsets: Vec<Vector3<f64>> = (0..structure.len())
                .map(|i| {
                    let to = Vector3::from(structure.frac_coords[site_images[i]]);
                    nearest(to - Vector3::from(op.apply(structure.frac_coords[i])))
                })
                .collect();
            let mean = offsets.iter().sum::<Vector3<f64>>() / structure.len() as f64;
            let inverse = inverse_of(rotation);
            for (move_, offset) in moves.iter_mut().zip(&offsets) {
                *move_ += inverse * (offset - mean);
            }
            images.push(site_images);
        }
        let count = rotations.len() as f64;
        let mut exact = structure.clone();
        exact.lattice = lattice;
        for (f, by) in exact.frac_coords.iter_mut().zip(&moves) {
            *f = std::array::from_fn(|c| wrap_unit(f[c] + by[c] / count));
        }
        // r′ = Aᵀ W A⁻ᵀ r for the row matrix A of the lattice.
        let (to, from) = (lattice.matrix().transpose(), lattice.inverse().transpose());
        let operations = rotations
            .iter()
            .zip(images)
            .map(|(rotation, images)| Operation { rotation: to * rotation * from, images })
            .collect();
        Ok((Self { number: found.number, operations }, exact))
    }

    /// Number of the space group, 1–230.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Projects rows of forces: those of the sites, and the three of the cell where they follow.
    pub fn project(&self, rows: &mut [Row]) {
        let Some(sites) = self.operations.first().map(|op| op.images.len()) else { return };
        let share = 1.0 / self.operations.len() as f64;
        let given = rows.to_vec();
        for (i, row) in rows.iter_mut().enumerate().take(sites) {
            let mean = self.operations.iter().fold(Vector3::zeros(), |sum, op| {
                sum + op.rotation.tr_mul(&Vector3::from(given[op.images[i]]))
            });
            *row = (mean * share).into();
        }
        if let [a, b, c] = &given[sites..] {
            let cell = Matrix3::from_fn(|i, j| [a, b, c][i][j]);
            let mean = self
                .operations
                .iter()
                .fold(Matrix3::zeros(), |sum, op| sum + op.rotation.tr_mul(&cell) * op.rotation)
                * share;
            (0..3).for_each(|i| rows[sites + i] = std::array::from_fn(|j| mean[(i, j)]));
        }
    }
}

/// The site that an operation brings each site to.
fn images_of(
    structure: &Structure,
    op: &symmetry::SymmetryOperation,
    symprec: f64,
) -> Result<Vec<usize>, SymmetryError> {
    let not_found = || SymmetryError::NotFound {
        symprec,
        reason: format!("the operation {op} does not bring each site to another"),
    };
    let (n, frac) = (structure.len(), &structure.frac_coords);
    let mut taken = vec![false; n];
    let mut images = Vec::with_capacity(n);
    for i in 0..n {
        let to = Vector3::from(op.apply(frac[i]));
        let apart = |j: usize| {
            let d = nearest(Vector3::from(frac[j]) - to);
            structure.lattice.to_cartesian(d.into()).iter().map(|x| x * x).sum::<f64>()
        };
        let candidates = (0..n).filter(|&j| structure.species[j] == structure.species[i] && !taken[j]);
        let image = candidates.min_by(|&a, &b| apart(a).total_cmp(&apart(b))).ok_or_else(not_found)?;
        taken[image] = true;
        images.push(image);
    }
    Ok(images)
}

/// The lattice with the metric that is the mean over the rotations, in the orientation of the given one: A P with the
/// symmetric P for which A P² Aᵀ is that metric.
fn symmetric_lattice(lattice: &Lattice, rotations: &[Matrix3<f64>]) -> Result<Lattice, SymmetryError> {
    let a = lattice.matrix();
    let metric = a * a.transpose();
    let sum = rotations.iter().fold(Matrix3::zeros(), |sum, w| sum + w.tr_mul(&metric) * w);
    let mean = sum / rotations.len() as f64;
    let square = lattice.inverse() * mean * lattice.inverse().transpose();
    let square = (square + square.transpose()) * 0.5;
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(square);
    let root = eigenvectors * Matrix3::from_diagonal(&eigenvalues.map(f64::sqrt)) * eigenvectors.transpose();
    Ok(Lattice::from_matrix(a * root)?)
}

/// A difference of fractional coordinates, each in [-0.5, 0.5].
fn nearest(d: Vector3<f64>) -> Vector3<f64> {
    d.map(|x| x - x.round())
}

/// The inverse of a matrix of whole numbers with determinant ±1.
fn inverse_of(rotation: &Matrix3<f64>) -> Matrix3<f64> {
    rotation.try_inverse().map_or(*rotation, |m| m.map(f64::round))
}

#[cfg(test)]
mod tests {
    use druse_testkit::prototypes;

    use super::*;

    /// Numbers in [-1, 1] without pattern.
    fn noise(i: usize) -> f64 {
        (i as f64 * 12.9898).sin() * 43_758.545 % 1.0
    }

    #[test]
    fn the_symmetric_structure_has_the_group_at_any_tolerance() {
        for (name, start) in prototypes() {
            let number = symmetry::analyze(&start, 1e-4).unwrap().number;
            let mut moved = start.clone();
            moved.frac_coords.iter_mut().flatten().enumerate().for_each(|(i, x)| *x += 1e-3 * noise(i));
            let m =
                moved.lattice.matrix() * Matrix3::from_fn(|i, j| f64::from(i == j) + 5e-4 * noise(3 * i + j));
            moved.lattice = Lattice::from_matrix(m).unwrap();
            let (found, exact) = Symmetry::find(&moved, 0.03).unwrap();
            assert_eq!(found.number(), number, "{name}");
            assert_eq!(symmetry::analyze(&exact, 1e-7).unwrap().number, number, "{name}");
            let volume = exact.lattice.volume() / moved.lattice.volume();
            assert!((volume - 1.0).abs() < 1e-2, "{name}");
        }
    }

    #[test]
    fn projected_rows_are_symmetric_and_stay() {
        let quartz = prototypes::quartz();
        let (found, exact) = Symmetry::find(&quartz, 1e-3).unwrap();
        let mut rows: Vec<Row> =
            (0..exact.len() + 3).map(|i| std::array::from_fn(|c| noise(3 * i + c))).collect();
        found.project(&mut rows);
        let once = rows.clone();
        found.project(&mut rows);
        assert!(rows.iter().flatten().zip(once.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-13));
        // Silicon of quartz lies on a twofold axis: one free coordinate, and with three-fold axes no net force in the plane.
        let total: Vec<f64> = (0..3).map(|c| once[..exact.len()].iter().map(|r| r[c]).sum()).collect();
        let axis = exact.lattice.vector(2).normalize();
        let along: f64 = (0..3).map(|c| total[c] * axis[c]).sum();
        let across = total.iter().map(|x| x * x).sum::<f64>() - along * along;
        assert!(across.abs() < 1e-20, "{total:?}");
        // Moving along them keeps the group.
        let mut moved = exact.clone();
        for (f, row) in moved.frac_coords.iter_mut().zip(&once) {
            let step = exact.lattice.to_fractional(row.map(|x| 0.1 * x));
            *f = std::array::from_fn(|c| wrap_unit(f[c] + step[c]));
        }
        assert_eq!(symmetry::analyze(&moved, 1e-7).unwrap().number, 154);
    }
}
