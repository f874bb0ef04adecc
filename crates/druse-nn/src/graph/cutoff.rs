//! Edges to the nearest atoms within a cut-off, searched in the 27 cells around each atom: the graph of CDVAE's decoder.

use druse_crystal::Lattice;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ends::EdgeEnds;
use crate::arch::vectorized;

/// Smallest squared distance (Å²) of two atoms that are joined: closer ones count as the same.
const COINCIDENT: f64 = 1e-4;
/// Distances (Å) that exceed the last one taken by no more than this are ties with it ([`Symmetrization::Union`]).
const TIE: f64 = 1e-6;
/// Cells searched: offsets -1, 0, 1 along each lattice vector.
const CELLS: usize = 27;
/// The same, filled up to whole vectors with cells at infinity.
const LANES: usize = 32;

/// Which of the nearest neighbors that atoms find become edges. Atoms disagree: one may be among the nearest of another
/// that it does not count among its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Symmetrization {
    /// As published: two atoms are joined when the one that comes first in the list is among the nearest of the other. So
    /// the graph depends on the order of the atoms.
    ByIndex,
    /// Two atoms are joined when either is among the nearest of the other, ties with the last one included: the graph
    /// does not depend on the order of the atoms.
    Union,
}

/// Whom an atom is joined with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CutoffRule {
    /// Largest distance in Å.
    pub cutoff: f64,
    /// Most neighbors that an atom looks for.
    pub neighbors: usize,
    /// What happens where atoms disagree.
    pub symmetrization: Symmetrization,
}

/// A search in a cell that does not change while its atoms move.
#[derive(Debug, Clone)]
pub struct CutoffSearch {
    lattice: Lattice,
    rule: CutoffRule,
    /// Cartesian offsets of the cells: all x, all y, all z.
    offsets: [[f64; LANES]; 3],
}

/// Offset of cell `k` in lattice vectors; the first index is the slowest.
fn cell(k: usize) -> [i32; 3] {
    [k / 9, k / 3 % 3, k % 3].map(|t| t as i32 - 1)
}

/// Whether the first component that is not zero is negative.
fn is_negative(image: [i32; 3]) -> bool {
    image < [0; 3]
}

/// Squared distance and number of a candidate: 27 · site + cell.
type Candidate = (f64, u32);

impl CutoffSearch {
    /// Prepares searches in a cell.
    pub fn new(lattice: Lattice, rule: CutoffRule) -> Self {
        let mut offsets = [[f64::INFINITY; LANES]; 3];
        for k in 0..CELLS {
            let offset = lattice.to_cartesian(cell(k).map(f64::from));
            offsets.iter_mut().zip(offset).for_each(|(all, x)| all[k] = x);
        }
        Self { lattice, rule, offsets }
    }

    /// The cell.
    pub fn lattice(&self) -> &Lattice {
        &self.lattice
    }

    /// Edges as [`super::Multigraph::from_edges`] takes them, each in one direction at least: the source is the atom that
    /// has searched, the destination what it has found, `1e-2 < d <= cutoff` (Å). Of equally distant atoms the first in
    /// the order (site, cell) is nearer.
    ///
    /// `frac` holds fractional coordinates in [0, 1): atoms are looked for in the 27 cells around alone, which misses
    /// some in very flat cells, as published. Coordinates that are not finite have no neighbors.
    pub fn edges(&self, frac: &[[f64; 3]]) -> Vec<EdgeEnds> {
        let mut edges = self.found(frac);
        if self.rule.symmetrization == Symmetrization::ByIndex {
            edges.retain(|&(i, j, image)| j < i || (j == i && is_negative(image)));
        }
        edges
    }

    /// What every atom has found, whether or not it counts among the nearest of that: the edges of a
    /// [`super::DirectedGraph`], which lead to the atom that has searched. Ties with the last are taken with
    /// [`Symmetrization::Union`] alone.
    ///
    /// As [`CutoffSearch::edges`] otherwise; fractional coordinates may be in [-1/2, 1/2) instead, which moves the 27 cells
    /// along.
    pub fn found(&self, frac: &[[f64; 3]]) -> Vec<EdgeEnds> {
        let places: Vec<[f64; 3]> = frac.iter().map(|&f| self.lattice.to_cartesian(f)).collect();
        let mut edges = Vec::with_capacity(frac.len() * self.rule.neighbors);
        let mut nearest = Vec::with_capacity(self.rule.neighbors);
        for (i, &place) in places.iter().enumerate() {
            vectorized!(self.nearest(place, &places, &mut nearest));
            edges.extend(
                nearest
                    .iter()
                    .map(|&(_, number)| (i as u32, number / CELLS as u32, cell(number as usize % CELLS))),
            );
        }
        edges
    }

    /// Squared distances of the 27 images of an atom from `place`.
    #[inline(always)]
    fn squares(&self, place: [f64; 3], other: [f64; 3]) -> [f64; LANES] {
        let [x, y, z] = &self.offsets;
        let [dx, dy, dz]: [f64; 3] = std::array::from_fn(|a| other[a] - place[a]);
        std::array::from_fn(|k| {
            let (x, y, z) = (x[k] + dx, y[k] + dy, z[k] + dz);
            x * x + y * y + z * z
        })
    }

    /// Puts the nearest of the atoms around `place` into a list.
    #[inline(always)]
    fn nearest(&self, place: [f64; 3], places: &[[f64; 3]], nearest: &mut Vec<Candidate>) {
        nearest.clear();
        let (wanted, limit) = (self.rule.neighbors, self.rule.cutoff * self.rule.cutoff);
        if wanted == 0 {
            return;
        }
        let atoms = || places.iter().zip((0..).step_by(CELLS));
        // Beyond the farthest of as many as are wanted nothing counts.
        let mut reach = limit;
        for (&other, first) in atoms() {
            let squares = self.squares(place, other);
            if !any_within(&squares, reach) {
                continue;
            }
            for (&square, number) in squares.iter().zip(first..) {
                let full = nearest.len() == wanted;
                // Numbers rise: of equal distances the one that is there stays.
                if !(COINCIDENT < square && square <= reach) || (full && square >= reach) {
                    continue;
                }
                if full {
                    nearest.pop();
                }
                nearest.insert(nearest.partition_point(|n| n.0 <= square), (square, number));
                if nearest.len() == wanted {
                    reach = nearest[wanted - 1].0;
                }
            }
        }
        if self.rule.symmetrization == Symmetrization::Union && nearest.len() == wanted {
            let reach = (reach.sqrt() + TIE).powi(2).min(limit);
            nearest.clear();
            for (&other, first) in atoms() {
                let squares = self.squares(place, other);
                if any_within(&squares, reach) {
                    let near = |c: &Candidate| COINCIDENT < c.0 && c.0 <= reach;
                    nearest.extend(squares.into_iter().zip(first..).filter(near));
                }
            }
        }
    }
}

/// Whether a number is not above `reach`, without a branch for each.
#[inline(always)]
fn any_within(squares: &[f64; LANES], reach: f64) -> bool {
    squares.iter().map(|&square| u64::from(square <= reach)).sum::<u64>() > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Multigraph;
    use proptest::prelude::*;

    fn rule(neighbors: usize, symmetrization: Symmetrization) -> CutoffRule {
        CutoffRule { cutoff: 7.0, neighbors, symmetrization }
    }

    /// The rule as it is written down: all candidates in order, a stable sort, then the choice.
    fn by_definition(lattice: &Lattice, frac: &[[f64; 3]], rule: CutoffRule) -> Vec<EdgeEnds> {
        let mut edges = Vec::new();
        for (i, from) in frac.iter().enumerate() {
            let mut all = Vec::new();
            for (j, to) in frac.iter().enumerate() {
                for k in 0..CELLS {
                    let t = cell(k);
                    // Placed before they are subtracted: opposite images of the atom itself are then exact ties.
                    let [to, from, offset] = [*to, *from, t.map(f64::from)].map(|x| lattice.to_cartesian(x));
                    let v = |a: usize| offset[a] + (to[a] - from[a]);
                    let square = (0..3).map(|a| v(a) * v(a)).sum::<f64>();
                    if COINCIDENT < square && square <= rule.cutoff * rule.cutoff {
                        all.push((square, (i as u32, j as u32, t)));
                    }
                }
            }
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            if let Some(&(last, _)) = all.get(rule.neighbors.wrapping_sub(1)) {
                let ties = rule.symmetrization == Symmetrization::Union;
                let within = |d: f64| ties && d.sqrt() <= last.sqrt() + TIE;
                let mut rank = 0;
                all.retain(|&(d, _)| {
                    rank += 1;
                    rank <= rule.neighbors || within(d)
                });
            }
            edges.extend(all.into_iter().map(|(_, ends)| ends).filter(|&(i, j, t)| {
                rule.symmetrization == Symmetrization::Union || j < i || (j == i && t < [0; 3])
            }));
        }
        edges.sort_unstable();
        edges
    }

    #[test]
    fn simple_cubic_has_shells_of_6_12_and_8() {
        let lattice = Lattice::cubic(3.0).unwrap();
        let degree = |neighbors, symmetrization| {
            let edges = CutoffSearch::new(lattice, rule(neighbors, symmetrization)).edges(&[[0.3, 0.2, 0.9]]);
            Multigraph::from_edges(&[(lattice, &[[0.3, 0.2, 0.9]])], vec![edges]).num_edges()
        };
        assert_eq!(degree(40, Symmetrization::ByIndex), 26, "all of the 27 cells but the atom itself");
        assert_eq!(degree(6, Symmetrization::Union), 6);
        assert_eq!(degree(7, Symmetrization::Union), 18, "ties are included");
        // Of twelve equally distant neighbors the first two of the search's order: (-1, -1, 0) and (-1, 0, -1).
        assert_eq!(degree(8, Symmetrization::ByIndex), 10);
        assert_eq!(degree(0, Symmetrization::Union), 0);
    }

    #[test]
    fn far_and_coincident_atoms_are_not_joined() {
        let lattice = Lattice::cubic(30.0).unwrap();
        let frac = [[0.1, 0.1, 0.1], [0.1, 0.1, 0.1001], [0.1, 0.1, 0.3], [0.1, 0.1, 0.9], [f64::NAN; 3]];
        let edges = CutoffSearch::new(lattice, rule(20, Symmetrization::ByIndex)).edges(&frac);
        // Atoms 0 and 1 are 3e-3 Å apart, 2 is 6 Å away; 3 is 6 Å away through the face of the cell.
        assert_eq!(edges.len(), 4, "{edges:?}");
        assert!(edges.contains(&(3, 0, [0, 0, 1])) && edges.contains(&(2, 1, [0; 3])));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn searches_follow_their_definition(
            frac in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 1..9),
            shear in -1.5..1.5f64,
            length in 2.0..9.0f64,
            neighbors in 1usize..24,
        ) {
            let lattice =
                Lattice::from_rows([[length, 0.1, 0.0], [shear, 3.5, 0.2], [0.3, -0.4, 4.0]]).unwrap();
            for symmetrization in [Symmetrization::ByIndex, Symmetrization::Union] {
                let rule = rule(neighbors, symmetrization);
                let mut found = CutoffSearch::new(lattice, rule).edges(&frac);
                found.sort_unstable();
                let expected = by_definition(&lattice, &frac, rule);
                prop_assert_eq!(&found, &expected);
            }
        }

        #[test]
        fn the_union_does_not_depend_on_the_order_of_atoms(
            frac in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 2..9),
            turn in 1usize..8,
        ) {
            let lattice = Lattice::from_rows([[4.0, 0.1, 0.0], [1.3, 3.5, 0.2], [0.3, -0.4, 5.0]]).unwrap();
            let n = frac.len();
            let edges = |frac: &[[f64; 3]]| {
                let search = CutoffSearch::new(lattice, rule(6, Symmetrization::Union));
                Multigraph::from_edges(&[(lattice, frac)], vec![search.edges(frac)])
            };
            let turned: Vec<_> = (0..n).map(|i| frac[(i + turn) % n]).collect();
            let (a, b) = (edges(&frac), edges(&turned));
            let name = |i: u32| (i as usize + turn) % n;
            let mut renamed: Vec<_> = (0..b.num_edges())
                .map(|e| (name(b.source[e]) as u32, name(b.destination[e]) as u32, b.image[e]))
                .collect();
            renamed.sort_unstable();
            let own: Vec<_> = (0..a.num_edges()).map(|e| (a.source[e], a.destination[e], a.image[e])).collect();
            prop_assert_eq!(own, renamed);
        }
    }
}
