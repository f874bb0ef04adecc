//! Wyckoff positions.

use std::sync::{Arc, OnceLock};

use nalgebra::{Matrix3, Vector3};

use super::centring::Centring;
use super::exact::{self, ExactOperation};
use crate::symmetry::triplet::parse_part;

/// A Wyckoff position of a space group: points with the same site symmetry, described by the affine subspace of one
/// of each orbit's points, `x = origin + directions · u` with free parameters u.
#[derive(Debug, Clone)]
pub struct WyckoffPosition {
    letter: char,
    multiplicity: usize,
    site_symmetry: &'static str,
    coordinates: &'static str,
    origin: [f64; 3],
    /// Columns for the free parameters, whole numbers.
    directions: Vec<[i32; 3]>,
    /// Mean of the rotations of the site symmetry group: projects onto the span of `directions`.
    projector: Matrix3<f64>,
    /// Rows that give the free parameters of a displacement from the origin, projected first.
    parameters: Vec<[f64; 3]>,
    representatives: Vec<usize>,
    stabilizer: Vec<usize>,
    centring: Centring,
    /// The operations of the group up to lattice translations, the same list for all its positions.
    point: Arc<[ExactOperation]>,
    /// Found when first asked for: most of what is read of a position, checks of letters and multiplicities, needs none.
    images: OnceLock<Vec<Image>>,
}

/// The affine subspace of another point of the orbit.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Index of an operation (of the conventional cell) that maps the first subspace onto this one.
    pub operation: usize,
    /// A point of it.
    pub origin: Vector3<f64>,
    /// Projects onto its directions.
    pub projector: Matrix3<f64>,
    /// Lattice translations up to this number in each direction have to be tried for the nearest copy.
    pub reach: i32,
}

impl WyckoffPosition {
    pub(super) fn new(
        entry: &'static moyo::data::WyckoffPosition,
        centring: Centring,
        point: &Arc<[ExactOperation]>,
    ) -> Self {
        let mut linear = [[0; 3]; 3];
        let mut origin = [0; 3];
        for (i, part) in entry.coordinates.split(',').enumerate() {
            let (row, shift) = parse_part(part).expect("a tabulated Wyckoff position can be read");
            (linear[i], origin[i]) = (row, exact::from_f64(shift));
        }
        let directions: Vec<[i32; 3]> =
            (0..3).map(|j| linear.map(|row| row[j])).filter(|d| *d != [0; 3]).collect();
        // Two operations map a general point of the position onto the same one if they do so with the origin and with
        // each direction.
        let key = |op: &ExactOperation| {
            let image = centring.to_primitive_24ths(op.apply(origin)).map(|x| x.rem_euclid(24));
            (directions.iter().map(|&d| op.rotate(d)).collect::<Vec<_>>(), image)
        };
        let keys: Vec<_> = point.iter().map(key).collect();
        let representatives: Vec<usize> =
            (0..point.len()).filter(|&k| !keys[..k].contains(&keys[k])).collect();
        let stabilizer: Vec<usize> = (0..point.len()).filter(|&k| keys[k] == keys[0]).collect();
        let mean = stabilizer.iter().map(|&k| point[k].rotation_f64()).sum::<Matrix3<f64>>();
        let projector = mean / stabilizer.len() as f64;
        Self {
            letter: entry.letter,
            multiplicity: entry.multiplicity,
            site_symmetry: entry.site_symmetry,
            coordinates: entry.coordinates,
            origin: origin.map(exact::to_f64),
            parameters: left_inverse(&directions, &projector),
            directions,
            projector,
            representatives,
            stabilizer,
            centring,
            point: point.clone(),
            images: OnceLock::new(),
        }
    }

    /// The different subspaces of the orbit, modulo lattice translations, the position's own first.
    fn images(&self) -> Vec<Image> {
        let point = &self.point;
        let mut images: Vec<Image> = Vec::new();
        for (c, t) in self.centring.translations_24ths().iter().enumerate() {
            for &k in &self.representatives {
                let operation = point[k].translated(*t).operation();
                let rotation = point[k].rotation_f64();
                let directions: Vec<[i32; 3]> = self.directions.iter().map(|&d| point[k].rotate(d)).collect();
                let widest = (0..3).map(|i| directions.iter().map(|d| d[i].abs()).sum::<i32>()).max();
                let image = Image {
                    operation: c * point.len() + k,
                    origin: Vector3::from(operation.apply(self.origin)),
                    // The inverse of a rotation is a product of rotations; R P R⁻¹ projects onto R·directions.
                    projector: rotation * self.projector * point[k].inverse_rotation_f64(),
                    // A displacement within half a cell, and free parameters within a half.
                    reach: 1 + widest.unwrap_or(0) / 2,
                };
                let same = |known: &Image| {
                    (known.projector - image.projector).amax() < 1e-6
                        && known.offset(image.origin.into()).0.amax() < 1e-6
                };
                if !images.iter().any(same) {
                    images.push(image);
                }
            }
        }
        images
    }

    /// The letter: `a` to `z`, and `A` for the general position of Pmmm, which has 27 positions.
    pub fn letter(&self) -> char {
        self.letter
    }

    /// Points of an orbit in the conventional cell.
    pub fn multiplicity(&self) -> usize {
        self.multiplicity
    }

    /// Points of an orbit in the primitive cell.
    pub fn primitive_multiplicity(&self) -> usize {
        self.representatives.len()
    }

    /// Site symmetry, oriented by the conventional axes (`.3m`).
    pub fn site_symmetry(&self) -> &'static str {
        self.site_symmetry
    }

    /// The first coordinate triplet (`x,2x,z`).
    pub fn coordinates(&self) -> &'static str {
        self.coordinates
    }

    /// Number of free parameters, 0 to 3.
    pub fn freedom(&self) -> usize {
        self.directions.len()
    }

    /// Whether all points of this position are symmetrically equivalent, so that it holds one orbit at most.
    pub fn is_fixed(&self) -> bool {
        self.directions.is_empty()
    }

    /// Origin of the subspace (fractional coordinates in the conventional cell).
    pub fn origin(&self) -> [f64; 3] {
        self.origin
    }

    /// Directions of the subspace, one a free parameter (fractional, conventional cell). They are whole numbers, so
    /// parameters that differ by whole numbers give points that differ by a lattice translation.
    pub fn directions(&self) -> &[[i32; 3]] {
        &self.directions
    }

    /// The point with these free parameters (fractional, conventional cell; not wrapped).
    ///
    /// # Panics
    /// When their number is not [`Self::freedom`].
    pub fn point(&self, parameters: &[f64]) -> [f64; 3] {
        assert_eq!(parameters.len(), self.freedom(), "free parameters of position {}", self.letter);
        std::array::from_fn(|i| {
            let shift = self.directions.iter().zip(parameters).map(|(d, u)| f64::from(d[i]) * u);
            self.origin[i] + shift.sum::<f64>()
        })
    }

    /// Free parameters of the point of the subspace nearest to `frac` (fractional, conventional cell), whatever the
    /// cell: the mean over the site symmetry group.
    pub fn parameters(&self, frac: [f64; 3]) -> Vec<f64> {
        let d: [f64; 3] = std::array::from_fn(|i| frac[i] - self.origin[i]);
        self.parameters.iter().map(|row| (0..3).map(|i| row[i] * d[i]).sum()).collect()
    }

    /// The nearest point of this subspace (not of its images), exactly on it.
    pub fn project(&self, frac: [f64; 3]) -> [f64; 3] {
        self.point(&self.parameters(frac))
    }

    /// Mean of the rotations of the site symmetry group, for displacements as columns (fractional, conventional
    /// cell): projects a displacement of a point of the subspace onto the subspace.
    pub fn projector(&self) -> &Matrix3<f64> {
        &self.projector
    }

    /// Indices of the operations that make an orbit of a point of the subspace in the primitive cell, the identity
    /// first. They count in both [`SpaceGroup::operations`](super::SpaceGroup::operations) and
    /// [`SpaceGroup::primitive_operations`](super::SpaceGroup::primitive_operations).
    pub fn representatives(&self) -> &[usize] {
        &self.representatives
    }

    /// Indices, as in [`Self::representatives`], of the operations that leave every point of the subspace where it is
    /// but for a translation of the primitive lattice.
    pub fn stabilizer(&self) -> &[usize] {
        &self.stabilizer
    }

    pub(crate) fn subspaces(&self) -> &[Image] {
        self.images.get_or_init(|| self.images())
    }
}

impl Image {
    /// The displacement from the nearest lattice copy of the subspace, by fractional components perpendicular to it
    /// in the sense of the site symmetry, to the point, and the translation of that copy.
    ///
    /// Nearest by the sum of squared fractional components; for distances see [`Self::offset_in`].
    pub(crate) fn offset(&self, frac: [f64; 3]) -> (Vector3<f64>, Vector3<f64>) {
        self.offset_in(&Matrix3::identity(), frac)
    }

    /// As [`Self::offset`], nearest by the metric tensor (rows of the lattice times their transposed).
    pub(crate) fn offset_in(&self, metric: &Matrix3<f64>, frac: [f64; 3]) -> (Vector3<f64>, Vector3<f64>) {
        let d = Vector3::from(frac) - self.origin;
        let nearest = d.map(f64::round);
        let perpendicular = Matrix3::identity() - self.projector;
        let start = times(&perpendicular, &(d - nearest));
        let mut best = (start, nearest);
        let mut least = start.dot(&times(metric, &start));
        let r = self.reach;
        for (i, j, k) in cube(r) {
            let shift = nearest + Vector3::new(i, j, k);
            let offset = times(&perpendicular, &(d - shift));
            let square = offset.dot(&times(metric, &offset));
            if square < least - 1e-12 {
                (best, least) = ((offset, shift), square);
            }
        }
        best
    }
}

/// `m v`, summed in the order of `nalgebra`'s product, which is a chain of calls that are not inlined.
#[inline]
fn times(m: &Matrix3<f64>, v: &Vector3<f64>) -> Vector3<f64> {
    Vector3::from_fn(|i, _| m[(i, 0)] * v.x + m[(i, 1)] * v.y + m[(i, 2)] * v.z)
}

fn cube(reach: i32) -> impl Iterator<Item = (f64, f64, f64)> {
    let range = move || (-reach..=reach).map(f64::from);
    range().flat_map(move |i| range().flat_map(move |j| range().map(move |k| (i, j, k))))
}

/// Rows that give the coefficients of the directions in the projection of a vector.
fn left_inverse(directions: &[[i32; 3]], projector: &Matrix3<f64>) -> Vec<[f64; 3]> {
    if directions.is_empty() {
        return Vec::new();
    }
    let m = nalgebra::DMatrix::from_fn(3, directions.len(), |i, j| f64::from(directions[j][i]));
    let square = (m.transpose() * &m).try_inverse().expect("directions are independent");
    let rows = square * m.transpose() * projector;
    (0..directions.len()).map(|i| std::array::from_fn(|j| rows[(i, j)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_have_the_bits_of_those_of_the_library() {
        let number = |i: usize| ((i * 7919 + 13) % 1009) as f64 / 307.0 - 1.6;
        for i in 0..500 {
            let m = Matrix3::from_fn(|j, k| number(17 * i + 3 * j + k));
            let v = Vector3::from_fn(|j, _| number(31 * i + j));
            assert_eq!(times(&m, &v), m * v);
        }
    }
}
