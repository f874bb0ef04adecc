//! Groups of symmetry operations, modulo the lattice translations of the cell.

use std::collections::HashMap;

use super::wrap_translation;
use crate::SymmetryOperation;

/// Translations (fractional, modulo 1) closer than this in each component are equal.
const TRANSLATION_TOLERANCE: f64 = 1e-3;

/// Largest element of a rotation matrix: larger ones occur in no finite group in a usable cell.
const LARGEST_ELEMENT: i32 = 1000;

/// `x,y,z`
pub(crate) const IDENTITY: SymmetryOperation =
    SymmetryOperation { rotation: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], translation: [0.0; 3] };

/// First `b`, then `a`, the translation wrapped into [0, 1).
pub(crate) fn product(a: &SymmetryOperation, b: &SymmetryOperation) -> SymmetryOperation {
    SymmetryOperation {
        rotation: std::array::from_fn(|i| {
            std::array::from_fn(|j| (0..3).map(|k| a.rotation[i][k] * b.rotation[k][j]).sum())
        }),
        translation: a.apply(b.translation).map(wrap_translation),
    }
}

/// Operations that can be looked up.
#[derive(Default)]
struct Set(HashMap<[[i32; 3]; 3], Vec<[f64; 3]>>);

impl Set {
    fn of(operations: &[SymmetryOperation]) -> Self {
        let mut set = Self::default();
        operations.iter().for_each(|op| {
            set.insert(op);
        });
        set
    }

    fn contains(&self, op: &SymmetryOperation) -> bool {
        self.0.get(&op.rotation).is_some_and(|all| all.iter().any(|&t| same_translation(t, op.translation)))
    }

    /// Whether the operation was not there before.
    fn insert(&mut self, op: &SymmetryOperation) -> bool {
        let new = !self.contains(op);
        if new {
            self.0.entry(op.rotation).or_default().push(op.translation);
        }
        new
    }
}

fn same_translation(a: [f64; 3], b: [f64; 3]) -> bool {
    (0..3).all(|i| {
        let d = a[i] - b[i];
        (d - d.round()).abs() < TRANSLATION_TOLERANCE
    })
}

/// Whether both lists hold the same operations, in whatever order and however often, modulo lattice translations
/// (within 1e-3 of an edge).
pub(crate) fn same_group(a: &[SymmetryOperation], b: &[SymmetryOperation]) -> bool {
    let (set_a, set_b) = (Set::of(a), Set::of(b));
    a.iter().all(|op| set_b.contains(op)) && b.iter().all(|op| set_a.contains(op))
}

/// All operations that the given ones generate, modulo lattice translations, the identity first. `None` when there are
/// more than `limit`.
pub(crate) fn close(generators: &[SymmetryOperation], limit: usize) -> Option<Vec<SymmetryOperation>> {
    let mut group = vec![IDENTITY];
    let mut set = Set::of(&group);
    // Generators that the ones before do not generate.
    let mut needed: Vec<SymmetryOperation> = Vec::new();
    for generator in generators {
        if set.contains(generator) {
            continue;
        }
        needed.push(*generator);
        let mut next = 0;
        while next < group.len() {
            for generator in &needed {
                let op = product(&group[next], generator);
                if set.insert(&op) {
                    if group.len() >= limit || op.rotation.iter().flatten().any(|r| r.abs() > LARGEST_ELEMENT)
                    {
                        return None;
                    }
                    group.push(op);
                }
            }
            next += 1;
        }
    }
    Some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(texts: &[&str]) -> Vec<SymmetryOperation> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn generators_close_to_their_group() {
        let p21c = close(&ops(&["-x,-y,-z", "-x,y+1/2,-z+1/2"]), 192).unwrap();
        let listed = ops(&["-x,-y,-z", "x,-y+1/2,z+1/2", "-x,y+1/2,-z+1/2", "x,y,z", "x,y,z"]);
        assert_eq!(p21c[0], IDENTITY);
        assert_eq!(p21c.len(), 4);
        assert!(same_group(&p21c, &listed));
        assert!(!same_group(&p21c, &listed[1..]));
        assert!(!same_group(&p21c, &ops(&["x,y,z", "-x,-y,-z", "-x,y+1/2,-z", "x,-y+1/2,z"])));
        let fm3m = ops(&["x+1/2,y+1/2,z", "x+1/2,y,z+1/2", "-y,x,z", "z,x,y", "-x,-y,-z"]);
        assert_eq!(close(&fm3m, 192).unwrap().len(), 192);
        assert!(close(&fm3m, 191).is_none());
        assert_eq!(close(&[], 1), Some(vec![IDENTITY]));
    }

    #[test]
    fn rounding_makes_no_new_operations() {
        let thirds = ops(&["x,y,z+1/3"]);
        let rounded =
            close(&[SymmetryOperation { translation: [0.0, 0.0, 0.3334], ..IDENTITY }], 192).unwrap();
        assert_eq!(rounded.len(), 3);
        assert!(same_group(&rounded, &close(&thirds, 192).unwrap()));
        // 0 and 1 are the same translation.
        let near = |z| [SymmetryOperation { translation: [0.0, 0.0, z], ..IDENTITY }];
        assert!(same_group(&near(0.9996), &near(0.0003)));
    }

    #[test]
    fn endless_groups_are_given_up() {
        assert!(close(&ops(&["x+y,y,z"]), 192).is_none());
        assert!(close(&ops(&["x+9y,y,z", "x,y+9x,z"]), 100_000).is_none());
        assert!(close(&ops(&["x,y,z+0.01"]), 99).is_none());
    }
}
