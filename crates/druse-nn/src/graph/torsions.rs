//! Angles and torsions of pairs of messages, and the spherical harmonics of both.
//!
//! A pair is a message k → j and a message j → i, k → j being any but the one that comes straight back from i. In the
//! multigraph these are two edges p: j → k and q: j → i that leave an atom.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::multigraph::Multigraph;
use crate::basis::{LANES, RealHarmonics};

/// Sine of the angle to the axis below which an edge has no direction about it.
const COLLINEAR: f64 = 1e-5;

/// What the torsion of a pair k → j → i is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TorsionRule {
    /// The smallest angle about the axis j → i between k and any other neighbor of j, in [0, π]; a full turn where there
    /// is no other. It has no sign.
    #[default]
    Nearest,
    /// Zero for every pair. The published code takes the minimum over k itself too and means to leave out its zero; on
    /// processors that fuse products with sums the zero comes out as 1e-17 and is the minimum. Weights that were trained
    /// there know no other torsion.
    Zero,
}

/// Angle θ at j between j → i and j → k, and torsion τ, of all pairs of a multigraph.
#[derive(Debug, Clone)]
pub struct TripletPlaces {
    /// Start of each atom's block.
    pub ptr: Vec<usize>,
    /// `[cos θ, sin θ, cos τ, sin τ]`; `p · K + q` in the block of an atom with K edges. The diagonal, which is no pair,
    /// is zero.
    pub values: Vec<[f64; 4]>,
}

/// The direction of an edge about an axis.
#[derive(Clone, Copy)]
struct Azimuth {
    edge: usize,
    x: f64,
    y: f64,
    /// Grows with the angle: a number in [0, 4), a quadrant for each unit.
    key: f64,
}

impl Azimuth {
    /// `None` along the axis.
    fn new(edge: usize, x: f64, y: f64) -> Option<Self> {
        let r = x.hypot(y);
        if r < COLLINEAR {
            return None;
        }
        let (x, y) = (x / r, y / r);
        let turn = y.abs() / (x.abs() + y.abs());
        let key = match (x >= 0.0, y >= 0.0) {
            (true, true) => turn,
            (false, true) => 2.0 - turn,
            (false, false) => 2.0 + turn,
            (true, false) => 4.0 - turn,
        };
        Some(Self { edge, x, y, key })
    }

    /// Squared chord between two directions: grows with the angle between them.
    fn chord(&self, other: &Self) -> f64 {
        (self.x - other.x).powi(2) + (self.y - other.y).powi(2)
    }
}

impl TripletPlaces {
    /// The angles of a graph.
    ///
    /// The neighbor whose direction about an axis is closest to another's is next to it in their order around the axis, so
    /// the torsions of an edge with K neighbors take K log K operations, and nothing for pairs of pairs.
    pub fn new(graph: &Multigraph, rule: TorsionRule) -> Self {
        let mut ptr = vec![0];
        for a in 0..graph.num_atoms {
            ptr.push(ptr[a] + graph.edges_from(a).len().pow(2));
        }
        let mut values = vec![[0.0; 4]; ptr[graph.num_atoms]];
        let (mut units, mut around) = (Vec::new(), Vec::new());
        for a in 0..graph.num_atoms {
            units.clear();
            units.extend(graph.edges_from(a).map(|e| graph.vectors[e].map(|x| x / graph.lengths[e])));
            let k = units.len();
            let block = &mut values[ptr[a]..ptr[a + 1]];
            for (q, &axis) in units.iter().enumerate() {
                let [e1, e2] = normals(axis);
                around.clear();
                for (p, &u) in units.iter().enumerate().filter(|&(p, _)| p != q) {
                    let (x, y) = (dot(u, e1), dot(u, e2));
                    block[p * k + q] = [dot(u, axis).clamp(-1.0, 1.0), x.hypot(y).min(1.0), 1.0, 0.0];
                    around.extend(Azimuth::new(p, x, y));
                }
                if rule == TorsionRule::Nearest && around.len() > 1 {
                    around.sort_unstable_by(|a, b| a.key.total_cmp(&b.key).then(a.edge.cmp(&b.edge)));
                    let n = around.len();
                    for (i, one) in around.iter().enumerate() {
                        let [before, after] = [&around[(i + n - 1) % n], &around[(i + 1) % n]];
                        let near = if one.chord(before) < one.chord(after) { before } else { after };
                        let place = &mut block[one.edge * k + q];
                        place[2] = (one.x * near.x + one.y * near.y).clamp(-1.0, 1.0);
                        place[3] = (one.x * near.y - one.y * near.x).abs().min(1.0);
                    }
                }
            }
        }
        Self { ptr, values }
    }
}

/// Two unit vectors perpendicular to a unit vector and to each other.
fn normals(u: [f64; 3]) -> [[f64; 3]; 2] {
    let least = (0..3).min_by(|&a, &b| u[a].abs().total_cmp(&u[b].abs())).unwrap_or(0);
    let mut e = u.map(|x| -x * u[least]);
    e[least] += 1.0;
    let r = dot(e, e).sqrt();
    let e = e.map(|x| x / r);
    [e, [u[1] * e[2] - u[2] * e[1], u[2] * e[0] - u[0] * e[2], u[0] * e[1] - u[1] * e[0]]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// All real spherical harmonics `Y_l^m(θ, τ)` with l < `degrees` of all pairs of messages. What is no pair is zero.
///
/// Reading a field of [`HarmonicTable`] evaluates the table once.
#[derive(Debug)]
pub struct MessageHarmonics {
    /// Number of degrees L; there are L² functions.
    pub degrees: usize,
    graph: Arc<Multigraph>,
    rule: TorsionRule,
    table: OnceLock<HarmonicTable>,
}

/// Values of [`MessageHarmonics`]: for an atom with K edges the block starts at `ptr[atom]` and holds the L² functions of the
/// pair (p, q) from `(p · K + q) · L²` on.
///
/// Function number y, counted in the order m = 0, 1, …, l, -l, …, -1 within a degree, is at `(y mod L) · L + y div L`:
/// SphereNet multiplies those of equal y mod L by the same radial functions.
#[derive(Debug)]
pub struct HarmonicTable {
    /// Start of each atom's block.
    pub ptr: Vec<usize>,
    /// The values.
    pub values: Vec<f32>,
}

impl MessageHarmonics {
    /// The harmonics of a graph.
    pub fn new(graph: &Arc<Multigraph>, degrees: usize, rule: TorsionRule) -> Self {
        Self { degrees, graph: graph.clone(), rule, table: OnceLock::new() }
    }

    /// Number of functions.
    pub fn count(&self) -> usize {
        self.degrees * self.degrees
    }

    /// The functions of all pairs, in the order of [`Multigraph::triplets`]: (pairs, L²), the functions in the order of
    /// their numbers.
    pub fn of_pairs(&self) -> Vec<f32> {
        let (ps, qs) = self.graph.triplets();
        let count = self.count();
        let mut out = Vec::with_capacity(ps.len() * count);
        for (&p, &q) in ps.iter().zip(&qs) {
            let atom = self.graph.source[q as usize] as usize;
            let edges = self.graph.edges_from(atom);
            let (p, q) = (p as usize - edges.start, q as usize - edges.start);
            let at = self.ptr[atom] + (p * edges.len() + q) * count;
            out.extend((0..count).map(|y| self.values[at + place_of(y, self.degrees)]));
        }
        out
    }
}

/// Place of function y among those of a pair.
fn place_of(y: usize, degrees: usize) -> usize {
    y % degrees * degrees + y / degrees
}

impl Deref for MessageHarmonics {
    type Target = HarmonicTable;

    fn deref(&self) -> &HarmonicTable {
        self.table.get_or_init(|| HarmonicTable::new(&self.graph, self.degrees, self.rule))
    }
}

impl HarmonicTable {
    fn new(graph: &Multigraph, degrees: usize, rule: TorsionRule) -> Self {
        let places = TripletPlaces::new(graph, rule);
        let harmonics = RealHarmonics::new(degrees);
        let count = harmonics.count();
        let order: Vec<usize> = (0..count).map(|y| place_of(y, degrees)).collect();
        let mut values = vec![0f32; places.values.len() * count];
        let mut block = vec![[0.0; LANES]; count];
        for (places, out) in places.values.chunks(LANES).zip(values.chunks_mut((LANES * count).max(1))) {
            let mut lanes = [[0.0; LANES]; 4];
            for (i, place) in places.iter().enumerate() {
                lanes.iter_mut().zip(place).for_each(|(lane, &x)| lane[i] = x);
            }
            harmonics.evaluate(&lanes, &mut block);
            for (i, (place, out)) in places.iter().zip(out.chunks_exact_mut(count.max(1))).enumerate() {
                // Pairs have a torsion, and with it a cosine or a sine; the diagonal has neither.
                if place[2] != 0.0 || place[3] != 0.0 {
                    for (values, &at) in block.iter().zip(&order) {
                        out[at] = values[i] as f32;
                    }
                }
            }
        }
        Self { ptr: places.ptr.into_iter().map(|p| p * count).collect(), values }
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use druse_crystal::Lattice;
    use proptest::prelude::*;

    use super::*;

    fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    }

    /// Torsion as the published rule has it: the minimum over all other edges that leave the atom, k itself being a full
    /// turn.
    fn by_definition(vectors: &[[f64; 3]], p: usize, q: usize) -> f64 {
        let axis = vectors[q];
        let own = cross(axis, vectors[p]);
        let torsion = |k: usize| {
            if k == p {
                return 2.0 * PI;
            }
            let other = cross(axis, vectors[k]);
            let both = cross(own, other);
            dot(both, both).sqrt().atan2(dot(own, other))
        };
        (0..vectors.len()).filter(|&k| k != q).map(torsion).fold(f64::INFINITY, f64::min)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn torsions_follow_their_definition(
            frac in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 1..6),
            neighbors in 1usize..14,
        ) {
            let lattice = Lattice::from_rows([[4.1, 0.1, 0.0], [1.3, 3.5, 0.2], [0.3, -0.4, 4.7]]).unwrap();
            let graph = Multigraph::nearest(&[(lattice, frac.as_slice())], neighbors).unwrap();
            let places = TripletPlaces::new(&graph, TorsionRule::Nearest);
            for atom in 0..graph.num_atoms {
                let edges = graph.edges_from(atom);
                let (k, vectors) = (edges.len(), &graph.vectors[edges]);
                for (p, q) in (0..k).flat_map(|p| (0..k).map(move |q| (p, q))) {
                    let [cosine, sine, c, s] = places.values[places.ptr[atom] + p * k + q];
                    if p == q {
                        prop_assert_eq!([cosine, sine, c, s], [0.0; 4]);
                        continue;
                    }
                    let normal = cross(vectors[p], vectors[q]);
                    let angle = dot(normal, normal).sqrt().atan2(dot(vectors[p], vectors[q]));
                    prop_assert!((cosine - angle.cos()).abs() < 1e-12 && (sine - angle.sin()).abs() < 1e-12);
                    // Opposite edges have no torsion, and k beside them none with them. Two edges can be opposite up to
                    // rounding only, where a single atom's images are its neighbors.
                    let axis = vectors[q];
                    let along = |v: [f64; 3]| {
                        let n = cross(axis, v);
                        dot(n, n) < 1e-8 * dot(axis, axis) * dot(v, v)
                    };
                    if (0..k).any(|k| k != q && along(vectors[k])) {
                        continue;
                    }
                    let torsion = by_definition(vectors, p, q);
                    prop_assert!((c - torsion.cos()).abs() < 1e-9 && (s - torsion.sin()).abs() < 1e-7, "{c} {s} {torsion}");
                }
            }
        }
    }

    /// Six neighbors along the axes: four of them are around the axis of a fifth, a quarter of a turn apart.
    #[test]
    fn torsions_of_an_octahedron() {
        let lattice = Lattice::cubic(1.0).unwrap();
        let graph = Arc::new(Multigraph::nearest(&[(lattice, &[[0.0; 3]])], 6).unwrap());
        let places = TripletPlaces::new(&graph, TorsionRule::Nearest);
        for (p, q) in (0..6).flat_map(|p| (0..6).map(move |q| (p, q))).filter(|(p, q)| p != q) {
            let expected = match graph.reverse[p] as usize == q {
                // Straight through: no direction about the axis.
                true => [-1.0, 0.0, 1.0, 0.0],
                false => [0.0, 1.0, 0.0, 1.0],
            };
            let found = places.values[6 * p + q];
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{p} {q}: {found:?}");
        }
        let zero = TripletPlaces::new(&graph, TorsionRule::Zero);
        assert!(zero.values.iter().all(|v| *v == [0.0; 4] || v[2..] == [1.0, 0.0]));

        let table = MessageHarmonics::new(&graph, 3, TorsionRule::Nearest);
        assert_eq!((table.values.len(), table.of_pairs().len()), (36 * 9, 30 * 9));
        assert!(table.values[..9].iter().all(|&y| y == 0.0));
        // θ = τ = 90°: of degree 1 only the sine is left.
        let pair = (1..6).find(|&q| graph.reverse[0] as usize != q).unwrap();
        let values = &table.of_pairs()[9 * (pair - 1)..][..4];
        let expected = [0.5 / PI.sqrt(), 0.0, 0.0, -0.5 * (3.0 / PI).sqrt()];
        assert!(values.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6), "{values:?}");
    }

    #[test]
    fn neighbors_in_one_direction_about_the_axis_have_no_torsion() {
        // Of j at the origin: i along z, and two neighbors in the same half-plane, one of them moved by nothing or little.
        let lattice = Lattice::cubic(30.0).unwrap();
        let at = |moved: f64| {
            let frac = [[0.5; 3], [0.5, 0.5, 0.6], [0.6, 0.5, 0.55], [0.6, 0.5 + moved, 0.48]];
            let graph =
                Multigraph::from_edges(&[(lattice, &frac)], vec![(1..4).map(|j| (0, j, [0; 3])).collect()]);
            TripletPlaces::new(&graph, TorsionRule::Nearest).values[2 * 3]
        };
        for moved in [0.0, 1e-12, -1e-12] {
            let [_, _, c, s] = at(moved);
            assert!((c - 1.0).abs() < 1e-12 && s < 1e-9, "{moved}: {c} {s}");
        }
    }
}
