//! The space-group type of a group of operations.

use moyo::base::{Operation, Operations};
use moyo::data::Setting;
use moyo::identify::SpaceGroup;
use nalgebra::{Matrix3, Vector3};

use crate::SymmetryOperation;

/// Largest common denominator of the lattice translations within the cell.
const LARGEST_DENOMINATOR: i64 = 96;

/// Number (1 to 230) of the space group that these operations (all of them, centring included) form in any cell. `None`
/// when they form no space group.
pub(crate) fn space_group_number(operations: &[SymmetryOperation]) -> Option<i32> {
    let basis = primitive_basis(operations)?;
    let inverse = basis.try_inverse()?;
    let mut primitive: Operations = Vec::new();
    let mut metric = Matrix3::zeros();
    for op in operations {
        let in_cell = Matrix3::from_fn(|i, j| f64::from(op.rotation[i][j]));
        let exact = inverse * in_cell * basis;
        let rotation = exact.map(|x| x.round() as i32);
        if (exact - rotation.map(f64::from)).amax() > 1e-2 {
            return None;
        }
        if primitive.iter().all(|known| known.rotation != rotation) {
            primitive.push(Operation::new(rotation, inverse * Vector3::from(op.translation)));
            let rotation = rotation.map(f64::from);
            metric += rotation.transpose() * rotation;
        }
    }
    // A lattice whose metric the operations leave unchanged, row vectors.
    let rows = metric.cholesky()?.l();
    let lattice = moyo::base::Lattice::new(rows);
    // The finder asserts some of its intermediate results.
    let found = std::panic::catch_unwind(|| {
        SpaceGroup::from_lattice(&lattice, &primitive, Setting::Spglib, 1e-3).map(|found| found.number)
    });
    found.ok()?.ok()
}

/// A right-handed basis (columns, fractional) of the lattice of the pure translations.
fn primitive_basis(operations: &[SymmetryOperation]) -> Option<Matrix3<f64>> {
    const IDENTITY: [[i32; 3]; 3] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    let translations: Vec<[f64; 3]> =
        operations.iter().filter(|op| op.rotation == IDENTITY).map(|op| op.translation).collect();
    let denominator = (1..=LARGEST_DENOMINATOR).find(|&d| {
        translations.iter().flatten().all(|&t| {
            let scaled = t * d as f64;
            (scaled - scaled.round()).abs() < 1e-3 * d as f64
        })
    })?;
    let mut vectors: Vec<[i64; 3]> =
        (0..3).map(|i| std::array::from_fn(|j| if i == j { denominator } else { 0 })).collect();
    vectors.extend(translations.iter().map(|t| t.map(|x| (x * denominator as f64).round() as i64)));
    // Integer elimination: one vector remains for each component, which is zero in those after it.
    let mut basis = Matrix3::zeros();
    for component in 0..3 {
        loop {
            vectors.sort_by_key(|v| match v[component].abs() {
                0 => i64::MAX,
                x => x,
            });
            let pivot = vectors[0];
            if vectors.iter().skip(1).all(|v| v[component] == 0) {
                break;
            }
            for v in vectors.iter_mut().skip(1) {
                let factor = v[component] / pivot[component];
                *v = std::array::from_fn(|k| v[k] - factor * pivot[k]);
            }
        }
        let pivot = vectors.remove(0);
        for (k, x) in pivot.into_iter().enumerate() {
            basis[(k, component)] = x as f64 / denominator as f64;
        }
    }
    if basis.determinant() < 0.0 {
        basis = -basis;
    }
    Some(basis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symmetry::group::close;

    #[test]
    fn the_cell_does_not_matter() {
        let number = |texts: &[&str]| {
            let generators: Vec<SymmetryOperation> = texts.iter().map(|t| t.parse().unwrap()).collect();
            space_group_number(&close(&generators, 1536).unwrap())
        };
        assert_eq!(number(&["x,y,z"]), Some(1));
        assert_eq!(number(&["x+1/2,y+1/2,z+1/2", "-x+1/4,-y,-z"]), Some(2));
        assert_eq!(number(&["-x,-y,-z", "-x,y+1/2,-z+1/2"]), Some(14));
        assert_eq!(number(&["-x,-y,-z", "-x,-y,z+1/2", "x+1/2,y,z"]), Some(11));
        assert_eq!(number(&["-y,x,z+1/3"]), Some(75));
        assert_eq!(number(&["-y,x-y,z+1/3", "y,x,-z"]), Some(152));
        assert_eq!(number(&["-y,x-y,z+2/3", "y,x,-z"]), Some(154));
        // F m m 2 in a primitive cell.
        assert_eq!(number(&["-x,-y,z+x+y", "-x,y,z+x"]), Some(42));
    }
}
