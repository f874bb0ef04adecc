//! What pairs of edges with a common source contribute: angular functions and lattice vector fields.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::multigraph::Multigraph;
use crate::basis::zonal_harmonics;

/// `Y_l^0(cos φ_pq) = sqrt((2l+1)/4π) P_l(cos φ_pq)` for l < `degrees` and all pairs of edges that leave one atom.
///
/// Reading a field of [`AngleTable`] evaluates the table once. The CPU works from it; GPUs evaluate the functions where
/// they need them and never ask for it.
#[derive(Debug)]
pub struct Angles {
    /// Number of Legendre degrees.
    pub degrees: usize,
    graph: Arc<Multigraph>,
    table: OnceLock<AngleTable>,
}

/// Values of [`Angles`] and [`MessageAngles`]: for an atom with K edges the block starts at `ptr[atom]` and holds `(q · degrees + l) · K + p`;
/// the diagonal p = q is zero, so sums over p run over *other* edges only.
#[derive(Debug)]
pub struct AngleTable {
    /// Start of each atom's block.
    pub ptr: Vec<usize>,
    /// The values.
    pub values: Vec<f32>,
}

impl Angles {
    /// The angular functions of a graph.
    pub fn new(graph: &Arc<Multigraph>, degrees: usize) -> Self {
        Self { degrees, graph: graph.clone(), table: OnceLock::new() }
    }
}

impl Deref for Angles {
    type Target = AngleTable;

    fn deref(&self) -> &AngleTable {
        self.table.get_or_init(|| AngleTable::new(&self.graph, self.degrees, 1.0, |_, _| true))
    }
}

/// Which edges p: j → k pair with an edge q: j → i in a sum over messages k → j → i.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessagePairs {
    /// Those that lead to another atom, k ≠ i, as in the published DimeNet and DimeNet++. A message that comes from a
    /// periodic image of its destination is left out with the one that comes straight back.
    OtherAtoms,
    /// All but q itself: only the message that comes straight back is left out.
    OtherEdges,
}

/// `Y_l^0(cos θ)` for l < `degrees` and all pairs of messages k → j → i, where θ is the angle between the vectors from i to
/// j and from j to k: cos θ is the negative cosine between the edges p: j → k and q: j → i. What does not pair is zero.
///
/// Reading a field of [`AngleTable`] evaluates the table once.
#[derive(Debug)]
pub struct MessageAngles {
    /// Number of Legendre degrees.
    pub degrees: usize,
    graph: Arc<Multigraph>,
    rule: MessagePairs,
    table: OnceLock<AngleTable>,
}

impl MessageAngles {
    /// The angular functions of a graph.
    pub fn new(graph: &Arc<Multigraph>, degrees: usize, rule: MessagePairs) -> Self {
        Self { degrees, graph: graph.clone(), rule, table: OnceLock::new() }
    }

    fn paired(&self, p: usize, q: usize) -> bool {
        match self.rule {
            MessagePairs::OtherAtoms => self.graph.destination[p] != self.graph.destination[q],
            MessagePairs::OtherEdges => p != q,
        }
    }

    /// All pairs (p, q) of the graph; q is the slow index.
    pub fn pairs(&self) -> (Vec<u32>, Vec<u32>) {
        let (ps, qs) = self.graph.triplets();
        let pairs = ps.into_iter().zip(qs);
        pairs.filter(|&(p, q)| self.paired(p as usize, q as usize)).unzip()
    }

    /// The functions of all pairs, in the order of [`MessageAngles::pairs`]: (pairs, degrees).
    pub fn of_pairs(&self) -> Vec<f32> {
        let (ps, qs) = self.pairs();
        let mut out = Vec::with_capacity(ps.len() * self.degrees);
        for (&p, &q) in ps.iter().zip(&qs) {
            let atom = self.graph.source[q as usize] as usize;
            let edges = self.graph.edges_from(atom);
            let (p, q) = (p as usize - edges.start, q as usize - edges.start);
            let block = &self.values[self.ptr[atom]..];
            out.extend((0..self.degrees).map(|l| block[(q * self.degrees + l) * edges.len() + p]));
        }
        out
    }
}

impl Deref for MessageAngles {
    type Target = AngleTable;

    fn deref(&self) -> &AngleTable {
        self.table.get_or_init(|| AngleTable::new(&self.graph, self.degrees, -1.0, |p, q| self.paired(p, q)))
    }
}

impl AngleTable {
    /// The functions at `sign · cos φ_pq` of the edges for which `paired` says so, which is symmetric.
    fn new(graph: &Multigraph, degrees: usize, sign: f64, paired: impl Fn(usize, usize) -> bool) -> Self {
        let mut ptr = vec![0];
        for a in 0..graph.num_atoms {
            let k = graph.edges_from(a).len();
            ptr.push(ptr[a] + k * k * degrees);
        }
        let mut values = vec![0f32; ptr[graph.num_atoms]];
        let mut y = vec![0.0; degrees];
        let mut units = Vec::new();
        for a in 0..graph.num_atoms {
            units.clear();
            units.extend(graph.edges_from(a).map(|e| graph.vectors[e].map(|x| x / graph.lengths[e])));
            let (first, k) = (graph.edges_from(a).start, units.len());
            let block = &mut values[ptr[a]..ptr[a + 1]];
            for q in 0..k {
                for p in (0..q).filter(|&p| paired(first + p, first + q)) {
                    zonal_harmonics((sign * dot(units[p], units[q])).clamp(-1.0, 1.0), &mut y);
                    for (l, &y) in y.iter().enumerate() {
                        block[(q * degrees + l) * k + p] = y as f32;
                        block[(p * degrees + l) * k + q] = y as f32;
                    }
                }
            }
        }
        Self { ptr, values }
    }
}

/// The first-order change of lengths and angles under a linear map g of space, at g = I: three symmetric matrices for
/// each ordered pair of edges (u, w) with a common source, with respect to |g u|, |g w| and the angle between them.
///
/// Reading a field of [`FieldTable`] evaluates the table once; GPUs never ask for it.
#[derive(Debug)]
pub struct TripletFields {
    graph: Arc<Multigraph>,
    table: OnceLock<FieldTable>,
}

/// Values of [`TripletFields`]. Symmetric matrices are stored as (xx, yy, zz, xy, xz, yz). The two length fields belong
/// to one edge each, the angle field to the pair: `(q · K + p)` in the block of the atom, zero on the diagonal.
#[derive(Debug)]
pub struct FieldTable {
    /// `u uᵀ / |u|` of each edge.
    pub length: Vec<[f32; 6]>,
    /// Start of each atom's block of angle fields.
    pub ptr: Vec<usize>,
    /// Angle fields.
    pub angle: Vec<[f32; 6]>,
}

impl TripletFields {
    /// The vector fields of a graph.
    pub fn new(graph: &Arc<Multigraph>) -> Self {
        Self { graph: graph.clone(), table: OnceLock::new() }
    }
}

impl Deref for TripletFields {
    type Target = FieldTable;

    fn deref(&self) -> &FieldTable {
        self.table.get_or_init(|| FieldTable::new(&self.graph))
    }
}

impl FieldTable {
    fn new(graph: &Multigraph) -> Self {
        let length = graph.vectors.iter().map(|&u| length_field(u).map(|x| x as f32)).collect();
        let mut ptr = vec![0];
        for a in 0..graph.num_atoms {
            let k = graph.edges_from(a).len();
            ptr.push(ptr[a] + k * k);
        }
        let mut angle = vec![[0f32; 6]; ptr[graph.num_atoms]];
        for a in 0..graph.num_atoms {
            let edges = graph.edges_from(a);
            let (first, k) = (edges.start, edges.len());
            for q in 0..k {
                for p in 0..q {
                    let field =
                        angle_field(graph.vectors[first + p], graph.vectors[first + q]).map(|x| x as f32);
                    angle[ptr[a] + q * k + p] = field;
                    angle[ptr[a] + p * k + q] = field;
                }
            }
        }
        Self { length, ptr, angle }
    }
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn symmetric(m: impl Fn(usize, usize) -> f64) -> [f64; 6] {
    [
        m(0, 0),
        m(1, 1),
        m(2, 2),
        0.5 * (m(0, 1) + m(1, 0)),
        0.5 * (m(0, 2) + m(2, 0)),
        0.5 * (m(1, 2) + m(2, 1)),
    ]
}

/// Gradient of |g u| with respect to g at g = I.
pub(crate) fn length_field(u: [f64; 3]) -> [f64; 6] {
    let r = dot(u, u).sqrt();
    symmetric(|i, j| u[i] * u[j] / r)
}

/// Gradient of the angle between g u and g w with respect to g at g = I; zero for collinear vectors, where the angle
/// has no derivative.
pub(crate) fn angle_field(u: [f64; 3], w: [f64; 3]) -> [f64; 6] {
    let n = cross(u, w);
    let (s, c) = (dot(n, n).sqrt(), dot(u, w));
    let square = s * s + c * c;
    if s <= 1e-7 * square.sqrt() {
        return [0.0; 6];
    }
    let n = n.map(|x| x / s);
    let (wn, nu) = (cross(w, n), cross(n, u));
    let du: [f64; 3] = std::array::from_fn(|i| (c * wn[i] - s * w[i]) / square);
    let dw: [f64; 3] = std::array::from_fn(|i| (c * nu[i] - s * u[i]) / square);
    symmetric(|i, j| du[i] * u[j] + dw[i] * w[j])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(g: &[[f64; 3]; 3], u: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|i| dot(g[i], u))
    }

    fn angle(u: [f64; 3], w: [f64; 3]) -> f64 {
        let n = cross(u, w);
        dot(n, n).sqrt().atan2(dot(u, w))
    }

    #[test]
    fn fields_are_the_derivatives_of_length_and_angle() {
        let (u, w) = ([0.3, -1.1, 0.7], [0.9, 0.2, -0.4]);
        let h = 1e-6;
        for (k, (i, j)) in [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)].into_iter().enumerate() {
            let at = |step: f64, f: &dyn Fn([f64; 3], [f64; 3]) -> f64| {
                let mut g = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
                g[i][j] += step / 2.0;
                g[j][i] += step / 2.0;
                f(moved(&g, u), moved(&g, w))
            };
            let slope = |f: &dyn Fn([f64; 3], [f64; 3]) -> f64| (at(h, f) - at(-h, f)) / (2.0 * h);
            let length = slope(&|u, _| dot(u, u).sqrt());
            assert!((length - length_field(u)[k]).abs() < 1e-8);
            let turn = slope(&angle);
            assert!((turn - angle_field(u, w)[k]).abs() < 1e-8, "{k}: {turn}");
        }
        assert_eq!(angle_field(u, u.map(|x| -x)), [0.0; 6]);
    }
}
