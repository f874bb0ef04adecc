//! Nearest neighbors by a tree of boxes in principal coordinates.
//!
//! Vectors are written as coordinates **c** on a few orthonormal directions, the principal axes of a sample, and the length r of
//! what is left. For any two of them |x − y|² ≥ |**c**(x) − **c**(y)|² + (r(x) − r(y))², by Pythagoras and the triangle inequality. A
//! tree over (**c**, r), halved at the median of its widest coordinate down to small leaves, keeps the box of each node. A node whose
//! box, and a vector whose coordinates, are farther than the nearest vector so far cannot hold a nearer one and are left
//! out; what is not left out is compared in all of its coordinates. So the axes decide about the work, never about the
//! result: distances and, of several nearest vectors, the lowest index are those of a comparison with all.
//!
//! Bounds are rounded numbers, so they have to exceed the nearest distance by more than their error: relative 1e-9, and
//! 1e-11 of the largest square of a vector about the mean. The error of c and r is some 1e-14 of that square.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::{Best, squared_distance};
use crate::features::Features;

/// Directions.
const AXES: usize = 16;
/// Numbers of a reduced vector: those on the axes, and the rest.
const WIDTH: usize = AXES + 1;
/// Vectors that the axes are found from.
const SAMPLE: usize = 4096;
/// Vectors in a leaf at most.
const LEAF: usize = 24;
/// Queries in one piece of work; neighbors in the tree follow one another, so that one's nearest bounds the next.
const QUERIES: usize = 256;

/// A vector by its bound: see above.
type Reduced = [f64; WIDTH];

/// For each vector of `a` the nearest of `b`, and for each of `b` the nearest of `a`.
pub(super) fn nearest_of_distinct(a: &Features, b: &Features) -> (Vec<Best>, Vec<Best>) {
    let axes = Axes::of(a, b);
    let (reduced_a, reduced_b) = (axes.reduce(a), axes.reduce(b));
    let square = |r: &Reduced| r.iter().map(|x| x * x).sum::<f64>();
    let largest = reduced_a.iter().chain(&reduced_b).map(square).fold(0.0, f64::max);
    let slack = 1e-11 * largest + f64::MIN_POSITIVE;
    let (tree_a, tree_b) = (Tree::new(a, reduced_a, slack), Tree::new(b, reduced_b, slack));
    (tree_b.nearest_of(&tree_a), tree_a.nearest_of(&tree_b))
}

/// The directions and the mean that coordinates are taken about.
struct Axes {
    mean: Vec<f64>,
    /// Orthonormal rows.
    rows: Vec<Vec<f64>>,
}

impl Axes {
    fn of(a: &Features, b: &Features) -> Self {
        let dim = a.dim();
        let total = a.len() + b.len();
        let step = total.div_ceil(SAMPLE);
        let row = |i: usize| if i < a.len() { a.row(i) } else { b.row(i - a.len()) };
        let sample: Vec<&[f64]> = (0..total).step_by(step).map(row).collect();
        let mean: Vec<f64> =
            (0..dim).map(|k| sample.iter().map(|r| r[k]).sum::<f64>() / sample.len() as f64).collect();
        let centered = DMatrix::from_fn(dim, sample.len(), |k, i| sample[i][k] - mean[k]);
        let covariance = &centered * centered.transpose();
        let eigen = covariance.symmetric_eigen();
        let mut order: Vec<usize> = (0..dim).collect();
        order.sort_by(|&i, &j| eigen.eigenvalues[j].total_cmp(&eigen.eigenvalues[i]).then(i.cmp(&j)));
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for &i in order.iter().take(AXES) {
            // Made orthonormal once more, so that the bound does not rest on the decomposition.
            let mut row: Vec<f64> = eigen.eigenvectors.column(i).iter().copied().collect();
            for _ in 0..2 {
                for other in &rows {
                    let dot: f64 = row.iter().zip(other).map(|(x, y)| x * y).sum();
                    row.iter_mut().zip(other).for_each(|(x, y)| *x -= dot * y);
                }
                let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
                row.iter_mut().for_each(|x| *x /= length);
            }
            if row.iter().all(|x| x.is_finite()) {
                rows.push(row);
            }
        }
        Self { mean, rows }
    }

    fn reduce(&self, features: &Features) -> Vec<Reduced> {
        let reduce = |i: usize| {
            let mut rest: Vec<f64> = features.row(i).iter().zip(&self.mean).map(|(x, m)| x - m).collect();
            let mut reduced = [0.0; WIDTH];
            for (c, row) in reduced.iter_mut().zip(&self.rows) {
                *c = rest.iter().zip(row).map(|(x, y)| x * y).sum();
                rest.iter_mut().zip(row).for_each(|(x, y)| *x -= *c * y);
            }
            reduced[AXES] = rest.iter().map(|x| x * x).sum::<f64>().sqrt();
            reduced
        };
        (0..features.len()).into_par_iter().map(reduce).collect()
    }
}

/// A box of the tree: the vectors `from..to` of its order, in two halves unless it is a leaf.
struct Node {
    from: usize,
    to: usize,
    low: Reduced,
    high: Reduced,
    /// Index of the second half; the first one follows its parent.
    second: Option<usize>,
}

struct Tree<'a> {
    features: &'a Features,
    /// Indices of the vectors in the order of the leaves, and their bounds in the same order.
    order: Vec<u32>,
    reduced: Vec<Reduced>,
    nodes: Vec<Node>,
    slack: f64,
}

impl<'a> Tree<'a> {
    fn new(features: &'a Features, reduced: Vec<Reduced>, slack: f64) -> Self {
        // Indices fit: four billion vectors of any use do not fit into memory.
        let mut order: Vec<u32> = (0..reduced.len() as u32).collect();
        let mut nodes = Vec::with_capacity(2 * reduced.len() / LEAF + 1);
        divide(&reduced, &mut order, 0, &mut nodes);
        let reduced = order.iter().map(|&i| reduced[i as usize]).collect();
        Self { features, order, reduced, nodes, slack }
    }

    /// For each vector of the other tree the nearest of this one.
    fn nearest_of(&self, queries: &Tree<'_>) -> Vec<Best> {
        let places: Vec<usize> = (0..queries.order.len()).collect();
        let found: Vec<Vec<Best>> = places
            .par_chunks(QUERIES)
            .map(|places| {
                let (mut last, mut stack) = (0, Vec::new());
                let query = |&place: &usize| {
                    let best = self.nearest(queries, place, last, &mut stack);
                    last = best.index;
                    best
                };
                places.iter().map(query).collect()
            })
            .collect();
        let mut best = vec![Best::NONE; queries.order.len()];
        for (&i, found) in queries.order.iter().zip(found.into_iter().flatten()) {
            best[i as usize] = found;
        }
        best
    }

    /// The nearest vector to the query at a place of its tree. `guess` is any vector of this tree, at best a near one.
    fn nearest(&self, queries: &Tree<'_>, place: usize, guess: usize, stack: &mut Vec<(f64, usize)>) -> Best {
        let (x, reduced) = (queries.features.row(queries.order[place] as usize), &queries.reduced[place]);
        let mut best = Best::NONE;
        best.offer(squared_distance(x, self.features.row(guess)), guess);
        // Ties count, for the lowest index wins: only what is farther is left out.
        let is_farther = |bound: f64, best: &Best| bound * (1.0 - 1e-9) - self.slack > best.squared;
        stack.clear();
        stack.push((0.0, 0));
        while let Some((bound, node)) = stack.pop() {
            if is_farther(bound, &best) {
                continue;
            }
            let Node { from, to, second, .. } = self.nodes[node];
            let Some(second) = second else {
                for at in from..to {
                    if !is_farther(distance(reduced, &self.reduced[at]), &best) {
                        let index = self.order[at] as usize;
                        best.offer(squared_distance(x, self.features.row(index)), index);
                    }
                }
                continue;
            };
            let bounds = [node + 1, second].map(|n| (self.nodes[n].distance(reduced), n));
            let [near, far] = if bounds[0].0 <= bounds[1].0 { bounds } else { [bounds[1], bounds[0]] };
            stack.extend([far, near]);
        }
        best
    }
}

impl Node {
    /// Square of the distance from a point to the box.
    fn distance(&self, point: &Reduced) -> f64 {
        let sides = self.low.iter().zip(&self.high);
        let outside = |((low, high), x): ((&f64, &f64), &f64)| (low - x).max(x - high).max(0.0);
        sides.zip(point).map(outside).map(|x| x * x).sum()
    }
}

fn distance(p: &Reduced, q: &Reduced) -> f64 {
    p.iter().zip(q).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// Makes the nodes of `order`, which begins at place `from` of the whole, and brings it into the order of the leaves.
fn divide(reduced: &[Reduced], order: &mut [u32], from: usize, nodes: &mut Vec<Node>) {
    let (mut low, mut high) = ([f64::INFINITY; WIDTH], [f64::NEG_INFINITY; WIDTH]);
    for &i in order.iter() {
        for (k, x) in reduced[i as usize].iter().enumerate() {
            low[k] = low[k].min(*x);
            high[k] = high[k].max(*x);
        }
    }
    let node = nodes.len();
    nodes.push(Node { from, to: from + order.len(), low, high, second: None });
    if order.len() <= LEAF {
        return;
    }
    let width = |k: &usize| high[*k] - low[*k];
    let widest = (0..WIDTH).max_by(|p, q| width(p).total_cmp(&width(q))).unwrap_or(0);
    let middle = order.len() / 2;
    let key = |i: u32| reduced[i as usize][widest];
    order.select_nth_unstable_by(middle, |&i, &j| key(i).total_cmp(&key(j)).then(i.cmp(&j)));
    let (first, rest) = order.split_at_mut(middle);
    divide(reduced, first, from, nodes);
    nodes[node].second = Some(nodes.len());
    divide(reduced, rest, from + middle, nodes);
}
