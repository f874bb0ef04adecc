//! Settling of sampled sites against the published procedure of adaptive cells (its sign error repaired): fixed spaces
//! of one operation after the other, intersected while they pass near the site.

use druse_crystal::{Element, Lattice, SettleTolerances, SpaceGroup, SymmetricStructure};
use nalgebra::{DMatrix, DVector, Matrix3, Vector3};

const NEAR: f64 = 0.04;
const CONSISTENT: f64 = 1e-4;

/// The site moved to the intersection, in fractional coordinates of the primitive cell.
fn published(group: &SpaceGroup, f: Vector3<f64>) -> Vector3<f64> {
    // Rows A and right sides b of A δ = b for the displacement of the site.
    let (mut rows, mut right): (Vec<[f64; 3]>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut moved = f;
    for op in group.primitive_operations() {
        let d = Vector3::from(op.apply(f.into())) - f;
        let off = d - d.map(f64::round);
        if off.amax() > NEAR {
            continue;
        }
        // R (f + δ) + t = f + δ + n with n = round(R f + t - f).
        let a = Matrix3::from_fn(|i, j| f64::from(op.rotation[i][j])) - Matrix3::identity();
        let (mut more_rows, mut more_right) = (rows.clone(), right.clone());
        for i in 0..3 {
            more_rows.push([a[(i, 0)], a[(i, 1)], a[(i, 2)]]);
            more_right.push(-off[i]);
        }
        let matrix = DMatrix::from_fn(more_rows.len(), 3, |i, j| more_rows[i][j]);
        let target = DVector::from_column_slice(&more_right);
        let delta = matrix.clone().svd(true, true).solve(&target, 1e-9).unwrap();
        let missed = (&matrix * &delta - &target).amax();
        if missed <= CONSISTENT && delta.amax() <= NEAR {
            (rows, right) = (more_rows, more_right);
            moved = f + Vector3::new(delta[0], delta[1], delta[2]);
        }
    }
    moved
}

/// Numbers in [0, 1), the same ones each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A cell in which fractional components of 0.04 are less than the tolerances in Å.
fn cell(group: &SpaceGroup) -> Lattice {
    let system = group.lattice_system();
    system.lattice(&system.free_of([6.13, 7.37, 8.71, 83.0, 97.0, 101.0])).unwrap()
}

#[test]
fn sites_settle_where_the_published_procedure_puts_them() {
    let element = Element::from_z(8).unwrap();
    let tolerances = SettleTolerances { merge: 0.0, special: NEAR, consistency: 0.0 };
    let mut numbers = Numbers(7);
    let (mut same, mut all) = (0, 0);
    for group in SpaceGroup::all() {
        let (lattice, centring) = (cell(group), group.centring());
        for w in group.wyckoff_positions() {
            for _ in 0..3 {
                let u: Vec<f64> = (0..w.freedom()).map(|_| numbers.next()).collect();
                let exact = centring.to_primitive(w.point(&u));
                let near = exact.map(|x| x + 0.02 * (numbers.next() - 0.5));
                let frac = centring.to_conventional(near);
                let theirs = centring.to_conventional(published(group, Vector3::from(near)).into());
                let theirs = group.nearest_position(&lattice, theirs, 1e-6);
                all += 1;
                let Ok(ours) = SymmetricStructure::settle(group, &lattice, &[(element, frac)], tolerances)
                else {
                    continue;
                };
                let ours = ours.sites()[0].letter;
                let (rank, their_rank) =
                    (group.wyckoff(ours).unwrap().multiplicity(), theirs.position.multiplicity());
                same += usize::from(ours == theirs.position.letter());
                // Where operations contradict each other, theirs depends on their order.
                assert!(
                    rank <= 2 * their_rank,
                    "{group} {}: {ours} and {}",
                    w.letter(),
                    theirs.position.letter()
                );
            }
        }
    }
    assert!(same as f64 > 0.99 * all as f64, "{same} of {all}");
}
