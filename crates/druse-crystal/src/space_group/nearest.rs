//! The special position a point is on, or near.

use nalgebra::{Matrix3, Vector3};

use super::wyckoff::Image;
use super::{SpaceGroup, WyckoffPosition};
use crate::Lattice;

/// A point moved onto a Wyckoff position.
#[derive(Debug, Clone, Copy)]
pub struct PlacedPoint<'g> {
    /// The position.
    pub position: &'g WyckoffPosition,
    /// The equivalent point of the position's own subspace, exactly on it (fractional, conventional cell; not wrapped).
    pub site: [f64; 3],
    /// The point of the same orbit nearest to the given one (fractional, conventional cell; not wrapped).
    pub nearest: [f64; 3],
    /// Distance from the given point to `nearest` (Å).
    pub distance: f64,
}

/// How near to each other a point and its image by an operation of a site symmetry group have to be, to be one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ImageTolerance {
    /// In fractional coordinates of the primitive cell, each component.
    pub fractional: f64,
    /// In Å.
    pub distance: f64,
}

impl SpaceGroup {
    /// The most special Wyckoff position within `tolerance` (Å) of a point (fractional, conventional cell), and the
    /// point moved onto it. Most special is the smallest multiplicity, then the fewest free parameters, then the
    /// nearest. A point that is near to no other is on the general position.
    ///
    /// Where the moved point is near to a position more special still, it is moved on, so that moving it again
    /// changes nothing.
    pub fn nearest_position(&self, lattice: &Lattice, frac: [f64; 3], tolerance: f64) -> PlacedPoint<'_> {
        let metric = metric(lattice);
        let square = tolerance * tolerance;
        self.place(&metric, frac, |_, _, offset| offset.dot(&(metric * offset)) <= square)
    }

    /// As [`Self::nearest_position`], with the images of the point by the whole site symmetry as what has to be near.
    pub(crate) fn position_by_images(
        &self,
        lattice: &Lattice,
        frac: [f64; 3],
        tolerance: ImageTolerance,
    ) -> PlacedPoint<'_> {
        let metric = metric(lattice);
        let to_primitive = self.centring().conventional_matrix().transpose().map(f64::from);
        self.place(&metric, frac, |position, image, offset| {
            let operation = &self.operations()[image.operation];
            let rotation = rotation(operation.rotation);
            // The offset as seen from the position's own subspace.
            let own = operation.apply_inverse((offset + Vector3::from(operation.translation)).into());
            position.stabilizer().iter().all(|&k| {
                let turned = self::rotation(self.operations()[k].rotation) * Vector3::from(own);
                let displacement = rotation * (turned - Vector3::from(own));
                (to_primitive * displacement).amax() <= tolerance.fractional
                    || displacement.dot(&(metric * displacement)) <= tolerance.distance.powi(2)
            })
        })
    }

    /// The point of the position nearest to `frac`, however far.
    pub(crate) fn placed_on<'g>(
        &self,
        position: &'g WyckoffPosition,
        lattice: &Lattice,
        frac: [f64; 3],
    ) -> PlacedPoint<'g> {
        let metric = metric(lattice);
        let mut best: Option<PlacedPoint> = None;
        for image in position.subspaces() {
            let placed = self.placed(position, image, &metric, frac);
            if best.is_none_or(|b| placed.distance < b.distance) {
                best = Some(placed);
            }
        }
        best.expect("a position has a subspace")
    }

    fn place(
        &self,
        metric: &Matrix3<f64>,
        frac: [f64; 3],
        near: impl Fn(&WyckoffPosition, &Image, &Vector3<f64>) -> bool,
    ) -> PlacedPoint<'_> {
        let mut found = self.most_special(metric, frac, &near);
        loop {
            let next = self.most_special(metric, found.nearest, &near);
            if next.position.letter() == found.position.letter() {
                let moved = Vector3::from(found.nearest) - Vector3::from(frac);
                return PlacedPoint { distance: moved.dot(&(metric * moved)).sqrt(), ..found };
            }
            found = next;
        }
    }

    fn most_special(
        &self,
        metric: &Matrix3<f64>,
        frac: [f64; 3],
        near: &impl Fn(&WyckoffPosition, &Image, &Vector3<f64>) -> bool,
    ) -> PlacedPoint<'_> {
        let mut best: Option<PlacedPoint> = None;
        // By rising multiplicity.
        for position in self.wyckoff_positions() {
            if best.is_some_and(|b| b.position.multiplicity() < position.multiplicity()) {
                break;
            }
            for image in position.subspaces() {
                let (offset, _) = image.offset_in(metric, frac);
                if !near(position, image, &offset) {
                    continue;
                }
                let placed = self.placed(position, image, metric, frac);
                let key = |p: &PlacedPoint| (p.position.freedom(), p.distance);
                if best.is_none_or(|b| key(&placed) < key(&b)) {
                    best = Some(placed);
                }
            }
        }
        best.expect("every point is on the general position")
    }

    fn placed<'g>(
        &self,
        position: &'g WyckoffPosition,
        image: &Image,
        metric: &Matrix3<f64>,
        frac: [f64; 3],
    ) -> PlacedPoint<'g> {
        let (offset, shift) = image.offset_in(metric, frac);
        let operation = &self.operations()[image.operation];
        // On the image's subspace itself, not on a lattice copy of it, before the way back.
        let on_image = Vector3::from(frac) - offset - shift;
        let site = position.project(operation.apply_inverse(on_image.into()));
        let nearest = (Vector3::from(operation.apply(site)) + shift).into();
        PlacedPoint { position, site, nearest, distance: offset.dot(&(metric * offset)).sqrt() }
    }
}

/// Scalar products of the lattice vectors (Å²).
fn metric(lattice: &Lattice) -> Matrix3<f64> {
    lattice.matrix() * lattice.matrix().transpose()
}

fn rotation(r: [[i32; 3]; 3]) -> Matrix3<f64> {
    Matrix3::from_fn(|i, j| f64::from(r[i][j]))
}
