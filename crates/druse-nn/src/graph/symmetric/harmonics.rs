//! Spherical harmonics of edges, whose products are the zonal functions of the angles of pairs.

use std::f64::consts::PI;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SymmetricGraph;
use crate::basis::{LANES, RealHarmonics, zonal_harmonics};

/// Which angle a pair of edges has: u → v and v → w, where the first one reaches a copy of v and the second one leaves v
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AngleRule {
    /// That between the two vectors as they are stored: across different copies of v it is no angle of the crystal
    /// (published code).
    Published,
    /// That of the crystal: the second edge is turned by the operation that makes the copy, or, which is the same, the
    /// first one by its inverse.
    Geometric,
}

/// Real spherical harmonics of degrees l < L of the edges of a graph, scaled so that the sum of their products over the
/// orders of a degree is `Y_l^0(cos θ) = sqrt((2l+1)/4π) P_l(cos θ)` of the angle θ between the two directions (the
/// addition theorem).
#[derive(Debug, Clone)]
pub struct PairedHarmonics {
    /// Number of degrees L.
    pub degrees: usize,
    graph: Arc<SymmetricGraph>,
    rule: AngleRule,
    /// Of the edges as they leave: (E, L²), the orders of a degree together.
    pub(crate) leaving: Vec<f32>,
    /// Of the edges as they arrive, in the order of [`SymmetricGraph::incoming`]: (E, L²).
    pub(crate) arriving: Vec<f32>,
}

impl PairedHarmonics {
    /// The harmonics of a graph.
    pub fn new(graph: &Arc<SymmetricGraph>, degrees: usize, rule: AngleRule) -> Self {
        let harmonics = RealHarmonics::new(degrees);
        let factors: Vec<f64> = (0..degrees)
            .flat_map(|l| {
                let factor = (4.0 * PI / (2 * l + 1) as f64).sqrt();
                std::iter::repeat_n(factor, 2 * l + 1)
            })
            .collect();
        let ones = vec![1.0; factors.len()];
        let arriving = match rule {
            AngleRule::Published => &graph.vectors,
            AngleRule::Geometric => &graph.arriving,
        };
        let incoming = graph.incoming.iter().map(|&e| arriving[e as usize]);
        Self {
            degrees,
            leaving: evaluate(&harmonics, graph.vectors.iter().copied(), &ones),
            arriving: evaluate(&harmonics, incoming, &factors),
            graph: graph.clone(),
            rule,
        }
    }

    /// Number of functions, L².
    pub fn count(&self) -> usize {
        self.degrees * self.degrees
    }

    /// The cosine of the angle of a pair (p, q) of edges.
    pub fn cosine(&self, p: u32, q: u32) -> f64 {
        let arriving = match self.rule {
            AngleRule::Published => &self.graph.vectors,
            AngleRule::Geometric => &self.graph.arriving,
        };
        let (a, b) = (self.graph.vectors[p as usize], arriving[q as usize]);
        let dot: f64 = (0..3).map(|k| a[k] * b[k]).sum();
        (dot / (self.graph.lengths[p as usize] * self.graph.lengths[q as usize])).clamp(-1.0, 1.0)
    }

    /// `Y_l^0` of the angles of all pairs, in the order of [`SymmetricGraph::pairs`]: (pairs, L).
    pub fn of_pairs(&self) -> Vec<f32> {
        let (ps, qs) = self.graph.pairs();
        let mut y = vec![0.0; self.degrees];
        let mut out = Vec::with_capacity(ps.len() * self.degrees);
        for (&p, &q) in ps.iter().zip(&qs) {
            zonal_harmonics(self.cosine(p, q), &mut y);
            out.extend(y.iter().map(|&y| y as f32));
        }
        out
    }
}

/// All harmonics of some vectors, times the factor of each: (vectors, L²).
fn evaluate(
    harmonics: &RealHarmonics,
    vectors: impl ExactSizeIterator<Item = [f64; 3]>,
    factors: &[f64],
) -> Vec<f32> {
    let count = harmonics.count();
    let mut out = vec![0f32; vectors.len() * count];
    let mut block = vec![[0.0; LANES]; count];
    let mut vectors = vectors.peekable();
    for rows in out.chunks_mut((LANES * count).max(1)) {
        // Where fewer vectors are left the last places are evaluated and not read.
        let mut places = [[1.0; LANES], [0.0; LANES], [1.0; LANES], [0.0; LANES]];
        for lane in 0..rows.len() / count.max(1) {
            let [x, y, z] = vectors.next().expect("there are as many vectors as rows");
            let (rho, r) = (x.hypot(y), (x * x + y * y + z * z).sqrt());
            let place =
                if rho > 0.0 { [z / r, rho / r, x / rho, y / rho] } else { [z.signum(), 0.0, 1.0, 0.0] };
            places.iter_mut().zip(place).for_each(|(values, value)| values[lane] = value);
        }
        harmonics.evaluate(&places, &mut block);
        for (lane, row) in rows.chunks_exact_mut(count.max(1)).enumerate() {
            for ((out, values), factor) in row.iter_mut().zip(&block).zip(factors) {
                *out = (values[lane] * factor) as f32;
            }
        }
    }
    out
}
