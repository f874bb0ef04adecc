//! Pairs of cells that cannot match, told apart before anything is searched.
//!
//! A match of a first structure onto a second one needs a basis **p**, **q**, **r** of the first one's lattice whose lengths are
//! less than 1 + `ltol` times those of the second one's cell (a, b, c) and whose angles differ by at most `angle_tol` from its
//! (α, β, γ), after both were scaled to one volume. Whatever that basis is:
//!
//! - The successive minima λ₁ ≤ λ₂ ≤ λ₃ of a lattice are at most the lengths of any basis of it, in order. So λᵢ of the first
//!   lattice is below (1 + `ltol`) times the i-th of a, b, c in order of length.
//! - The areas |**q** × **r**|, |**r** × **p**|, |**p** × **q**| are the lengths of a basis of the reciprocal lattice times the volume, so its
//!   successive minima, too, are at most those areas in order, and each area is below (1 + `ltol`)² times the product of two of
//!   the second one's lengths times the largest sine within `angle_tol` of the angle between them.
//!
//! A pair that breaks one of these six inequalities does not match, so leaving it out changes no result. They hold for one
//! direction; the other one has its own.

use super::{PreparedStructure, StructureMatcher, mappings::dot};

/// Room for rounding, in the lengths and in the minima.
const ROOM: f64 = 1.0 + 1e-6;
/// Steps of the reduction at most; it takes a few.
const MAX_STEPS: usize = 1000;

/// What decides whether two cells can match at all: their own minima, and how large those of a partner may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellBounds {
    /// Successive minima of the lattice, and of its reciprocal lattice times the volume (in units of V^(1/3) and V^(2/3), or Å
    /// and Å² where volumes are compared).
    minima: [f64; 6],
    /// Upper bounds on those of a structure that fits this one.
    limits: [f64; 6],
}

impl CellBounds {
    /// Whether the cell alone leaves it open that the first structure fits the second one.
    #[inline]
    pub fn may_fit(&self, second: &Self) -> bool {
        self.minima.iter().zip(&second.limits).all(|(minimum, limit)| minimum <= limit)
    }
}

impl StructureMatcher {
    /// Bounds of a structure; `None` where it could not be reduced, or its cell is too odd for them.
    pub fn cell_bounds(&self, s: &PreparedStructure) -> Option<CellBounds> {
        let cell = s.cell.as_ref().ok()?;
        let unit = if self.scale { cell.volume.cbrt() } else { 1.0 };
        let basis = minkowski_reduced(cell.rows)?;
        let (minima, areas) = (lengths(&basis), lengths(&minkowski_reduced(faces(&basis))?));
        let [a, b, c, alpha, beta, gamma] = cell.parameters;
        let stretch = 1.0 + self.ltol;
        let mut edges = [a, b, c].map(|x| x / unit * stretch);
        let sine = |angle: f64| largest_sine(angle, self.angle_tol);
        let mut faces = [b * c * sine(alpha), c * a * sine(beta), a * b * sine(gamma)]
            .map(|x| x / (unit * unit) * stretch * stretch);
        edges.sort_unstable_by(f64::total_cmp);
        faces.sort_unstable_by(f64::total_cmp);
        let own = |k: usize| if k < 3 { minima[k] / unit } else { areas[k - 3] / (unit * unit) };
        let limit = |k: usize| ROOM * if k < 3 { edges[k] } else { faces[k - 3] };
        let bounds = CellBounds { minima: std::array::from_fn(own), limits: std::array::from_fn(limit) };
        bounds.minima.iter().chain(&bounds.limits).all(|x| x.is_finite()).then_some(bounds)
    }
}

fn lengths(rows: &[[f64; 3]; 3]) -> [f64; 3] {
    rows.map(|v| dot(v, v).sqrt())
}

/// A Minkowski-reduced basis of the lattice, in order of length: in three dimensions its lengths are the successive minima
/// (P. Q. Nguyen & D. Stehlé, ACM Trans. Algorithms 5, 46 (2009)). `None` where rounding keeps the search from ending.
fn minkowski_reduced(mut rows: [[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    // Improvements below this are rounding.
    const LESS: f64 = 1.0 - 1e-12;
    let minus = |p: [f64; 3], x: f64, q: [f64; 3]| -> [f64; 3] { std::array::from_fn(|k| p[k] - x * q[k]) };
    for _ in 0..MAX_STEPS {
        rows.sort_by(|p, q| dot(*p, *p).total_cmp(&dot(*q, *q)));
        let [a, b, c] = rows;
        let (aa, ab, bb) = (dot(a, a), dot(a, b), dot(b, b));
        if !(aa > 0.0 && dot(c, c).is_finite()) {
            return None;
        }
        let shorter = minus(b, (ab / aa).round(), a);
        if dot(shorter, shorter) < bb * LESS {
            rows[1] = shorter;
            continue;
        }
        // c less the point of the plane's lattice nearest to its foot, which is among the neighbors of the rounded one.
        let determinant = aa * bb - ab * ab;
        if determinant.is_nan() || determinant <= 0.0 {
            return None;
        }
        let (ac, bc) = (dot(a, c), dot(b, c));
        let x = ((ac * bb - bc * ab) / determinant).round();
        let y = ((bc * aa - ac * ab) / determinant).round();
        let near = (-1..2).flat_map(|i| (-1..2).map(move |j| (f64::from(i), f64::from(j))));
        let candidates = near.map(|(i, j)| minus(minus(c, x + i, a), y + j, b));
        let best = candidates.min_by(|p, q| dot(*p, *p).total_cmp(&dot(*q, *q)))?;
        if dot(best, best) >= dot(c, c) * LESS {
            return Some(rows);
        }
        rows[2] = best;
    }
    None
}

/// Largest sine of an angle that differs from `angle` by at most `tolerance` (degrees).
fn largest_sine(angle: f64, tolerance: f64) -> f64 {
    // Angles from cosines of rounded numbers are good to some 1e-6 degrees, near 0 and 180 degrees.
    let (low, high) = (angle - tolerance - 1e-4, angle + tolerance + 1e-4);
    if low <= 90.0 && high >= 90.0 {
        return 1.0;
    }
    low.max(0.0).to_radians().sin().max(high.min(180.0).to_radians().sin())
}

fn cross(p: [f64; 3], q: [f64; 3]) -> [f64; 3] {
    [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]]
}

/// The reciprocal basis times the volume: normals of the faces, as long as their areas.
fn faces(rows: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let [a, b, c] = *rows;
    [cross(b, c), cross(c, a), cross(a, b)]
}

#[cfg(test)]
mod tests {
    use druse_crystal::{Lattice, Structure};
    use druse_testkit::prototypes;
    use proptest::prelude::*;

    use super::*;
    use crate::matcher::Criterion;

    /// The lengths of the shortest independent vectors among all with coefficients up to `n`.
    fn minima(rows: &[[f64; 3]; 3], n: i32) -> [f64; 3] {
        let range = || (-n..=n).map(f64::from);
        let mut all: Vec<[f64; 3]> = range()
            .flat_map(|i| range().flat_map(move |j| range().map(move |k| [i, j, k])))
            .filter(|n| *n != [0.0; 3])
            .map(|[i, j, k]| std::array::from_fn(|x| i * rows[0][x] + j * rows[1][x] + k * rows[2][x]))
            .collect();
        all.sort_by(|p, q| dot(*p, *p).total_cmp(&dot(*q, *q)));
        let first = all[0];
        let area = |p: [f64; 3], q: [f64; 3]| dot(cross(p, q), cross(p, q)).sqrt();
        let length = |v: [f64; 3]| dot(v, v).sqrt();
        let second = *all.iter().find(|v| area(first, **v) > 1e-6 * length(first) * length(**v)).unwrap();
        let normal = cross(first, second);
        let third =
            *all.iter().find(|v| dot(normal, **v).abs() > 1e-6 * length(normal) * length(**v)).unwrap();
        [first, second, third].map(length)
    }

    fn cell() -> impl Strategy<Value = [[f64; 3]; 3]> {
        prop::array::uniform3(prop::array::uniform3(-4.0..4.0f64))
            .prop_filter("a volume", |rows| dot(rows[0], cross(rows[1], rows[2])).abs() > 1.0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn reduced_bases_have_the_successive_minima(rows in cell()) {
            let got = lengths(&minkowski_reduced(rows).unwrap());
            // Some lattices need larger coefficients than these; then the search finds longer vectors, never shorter ones.
            let want = minima(&minkowski_reduced(rows).unwrap(), 3);
            for (got, want) in got.iter().zip(want) {
                prop_assert!((got - want).abs() < 1e-9 * want, "{got} against {want}");
            }
            let volume = dot(rows[0], cross(rows[1], rows[2])).abs();
            let [a, b, c] = minkowski_reduced(rows).unwrap();
            prop_assert!((dot(a, cross(b, c)).abs() - volume).abs() < 1e-9 * volume, "it is a basis");
        }

        #[test]
        fn what_matches_is_never_excluded(
            which in 0usize..20, strain in prop::array::uniform3(prop::array::uniform3(-0.12..0.12f64)), scale: bool,
        ) {
            let all = prototypes();
            let (_, s) = &all[which % all.len()];
            let rows = s.lattice.rows();
            let strained = std::array::from_fn(|i| std::array::from_fn(|k| {
                rows[i][k] + (0..3).map(|m| rows[i][m] * strain[m][k]).sum::<f64>()
            }));
            let other = Structure { lattice: Lattice::from_rows(strained).unwrap(), ..s.clone() };
            for matcher in [StructureMatcher { scale, ..StructureMatcher::default() }, StructureMatcher::CDVAE] {
                let (a, b) = (matcher.prepare(s), matcher.prepare(&other));
                let (x, y) = (matcher.cell_bounds(&a).unwrap(), matcher.cell_bounds(&b).unwrap());
                for (p, q, first, second) in [(&a, &b, x, y), (&b, &a, y, x)] {
                    if matcher.compare(p, q, Criterion::Max).displacement().is_some() {
                        prop_assert!(first.may_fit(&second));
                    }
                }
                prop_assert!(x.may_fit(&x));
            }
        }
    }

    #[test]
    fn cells_of_other_shapes_are_excluded() {
        let matcher = StructureMatcher::default();
        let carbon = |a: f64, c: f64| {
            let lattice = Lattice::from_parameters([a, a, c, 90.0, 90.0, 90.0]).unwrap();
            let e = prototypes::element("C");
            let s = Structure::new(lattice, vec![e, e], vec![[0.0; 3], [0.5, 0.4, 0.3]]).unwrap();
            matcher.cell_bounds(&matcher.prepare(&s)).unwrap()
        };
        let (cube, rod, plate) = (carbon(3.0, 3.0), carbon(2.0, 9.0), carbon(5.0, 1.5));
        for (a, b) in [(cube, rod), (cube, plate), (rod, plate)] {
            assert!(!a.may_fit(&b) && !b.may_fit(&a));
        }
        assert!(cube.may_fit(&carbon(3.0, 3.2)));
    }
}
