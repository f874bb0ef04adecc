//! Pairing the sites of two structures in one cell.

use druse_crystal::assignment::Assignment;

use super::{
    average::{AverageCell, round, times},
    mappings::dot,
    prepared::{Block, Cell},
};

/// Sites of both structures in one cell, and the buffers for pairing them.
pub(super) struct Alignment<'a> {
    blocks: &'a [Block],
    second: &'a Cell,
    /// Sites of the first structure in the mapped basis.
    first: Vec<[f64; 3]>,
    /// Sites of the second, shifted onto the first.
    shifted: Vec<[f64; 3]>,
    /// Difference of the pair of sites in the same order.
    vectors: Vec<[f64; 3]>,
    cost: Vec<f64>,
    columns: Vec<usize>,
    taken: Vec<bool>,
    assignment: Assignment,
    /// Pairs of sites looked at so far, apart from assignments.
    pairs: u64,
}

/// Root mean square and maximum of the distances, normalized by (V/N)^(1/3).
pub(super) struct Distances {
    pub(super) rms: f64,
    pub(super) max: f64,
}

#[inline(always)]
fn wrapped(p: [f64; 3], q: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|k| {
        let d = p[k] - q[k];
        d - round(d)
    })
}

#[inline(always)]
fn within(p: [f64; 3], q: [f64; 3], tolerance: [f64; 3]) -> bool {
    let d = wrapped(p, q);
    (d[0].abs() <= tolerance[0]) & (d[1].abs() <= tolerance[1]) & (d[2].abs() <= tolerance[2])
}

impl<'a> Alignment<'a> {
    pub(super) fn new(blocks: &'a [Block], second: &'a Cell) -> Self {
        let n = second.frac.len();
        let largest = blocks.last().map_or(0, |b| b.count as usize);
        Self {
            blocks,
            second,
            first: Vec::with_capacity(n),
            shifted: Vec::with_capacity(n),
            vectors: Vec::with_capacity(n),
            cost: vec![0.0; largest * largest],
            columns: Vec::with_capacity(largest),
            taken: Vec::with_capacity(largest),
            assignment: Assignment::default(),
            pairs: 0,
        }
    }

    /// Pairs of sites looked at so far.
    pub(super) fn work(&self) -> u64 {
        self.pairs + self.assignment.work
    }

    /// Takes the sites of the first structure in the basis whose inverse is given.
    pub(super) fn map_first(&mut self, frac: &[[f64; 3]], inverse: &[[f64; 3]; 3]) {
        self.first.clear();
        self.first.extend(frac.iter().map(|&f| times(f, inverse)));
    }

    /// Inverts the first structure through the origin.
    pub(super) fn invert_first(&mut self) {
        for f in &mut self.first {
            *f = f.map(|x| -x);
        }
    }

    /// Pairs the sites with the anchor of the second structure put on the given site of the first; `None` when
    /// some site has no partner within the tolerances, or when the RMS is at least `limit`.
    pub(super) fn pair(&mut self, cell: &AverageCell, onto: usize, limit: f64) -> Option<Distances> {
        let (to, from) = (self.first[onto], self.second.frac[self.second.anchor]);
        let shift: [f64; 3] = std::array::from_fn(|k| to[k] - from[k]);
        self.shifted.clear();
        let add = |f: &[f64; 3]| [f[0] + shift[0], f[1] + shift[1], f[2] + shift[2]];
        self.shifted.extend(self.second.frac.iter().map(add));
        if !self.all_near(cell) {
            return None;
        }
        self.vectors.clear();
        // Elements are paired independently, and the squares about the mean of some sites never exceed those of the
        // same sites about the mean of all: a few elements may already be too far apart.
        let most = (limit / cell.normalization).powi(2) * self.shifted.len() as f64;
        let (mut start, mut sum, mut squares) = (0, [0.0; 3], 0.0);
        for block in self.blocks {
            let end = start + block.count as usize;
            self.pair_block(cell, start, end)?;
            for v in &self.vectors[start..end] {
                squares += dot(*v, *v);
                (0..3).for_each(|k| sum[k] += v[k]);
            }
            if squares - dot(sum, sum) / end as f64 > most * (1.0 + 1e-9) {
                return None;
            }
            start = end;
        }
        Some(self.distances(cell))
    }

    /// Whether each site of the second structure is near one of its own element.
    fn all_near(&mut self, cell: &AverageCell) -> bool {
        if cell.tolerance.iter().all(|t| *t >= 0.5) {
            return true;
        }
        let mut start = 0;
        for block in self.blocks {
            let end = start + block.count as usize;
            for &q in &self.shifted[start..end] {
                let found = self.first[start..end].iter().position(|&p| within(q, p, cell.tolerance));
                self.pairs += found.map_or(end - start, |i| i + 1) as u64;
                if found.is_none() {
                    return false;
                }
            }
            start = end;
        }
        true
    }

    /// Pairs the sites of one element at the smallest sum of squares and appends their difference vectors.
    fn pair_block(&mut self, cell: &AverageCell, start: usize, end: usize) -> Option<()> {
        let n = end - start;
        self.columns.clear();
        self.taken.clear();
        self.taken.resize(n, false);
        let mut distinct = true;
        for row in 0..n {
            self.pairs += 4 * n as u64;
            let (mut lowest, mut at) = (f64::INFINITY, 0);
            for column in 0..n {
                let d = self.difference(cell, start + row, start + column);
                let t = cell.reduced_tolerance;
                let near = (d[0].abs() <= t[0]) & (d[1].abs() <= t[1]) & (d[2].abs() <= t[2]);
                let square = if near { cell.shortest_square(d) } else { f64::INFINITY };
                self.cost[row * n + column] = square;
                if square < lowest {
                    (lowest, at) = (square, column);
                }
            }
            if lowest == f64::INFINITY {
                return None;
            }
            distinct &= !std::mem::replace(&mut self.taken[at], true);
            self.columns.push(at);
        }
        if !distinct {
            // Each row has its nearest column, but two rows want the same one.
            let columns = self.assignment.solve(&self.cost[..n * n], &self.columns)?;
            self.columns.copy_from_slice(columns);
        }
        for row in 0..n {
            let d = self.difference(cell, start + row, start + self.columns[row]);
            self.vectors.push(cell.shortest(d));
        }
        Some(())
    }

    /// Fractional difference in the reduced cell from a site of the second structure to one of the first.
    #[inline(always)]
    fn difference(&self, cell: &AverageCell, second: usize, first: usize) -> [f64; 3] {
        match &cell.to_reduced {
            None => wrapped(self.first[first], self.shifted[second]),
            Some(m) => {
                let d = wrapped(self.first[first], self.shifted[second]);
                wrapped(times(d, m), [0.0; 3])
            }
        }
    }

    /// Distances after the mean displacement is taken off.
    fn distances(&self, cell: &AverageCell) -> Distances {
        let n = self.vectors.len() as f64;
        let mut mean = [0.0; 3];
        for v in &self.vectors {
            for k in 0..3 {
                mean[k] += v[k] / n;
            }
        }
        let (mut sum, mut max) = (0.0, 0.0f64);
        for v in &self.vectors {
            let square: f64 = (0..3).map(|k| (v[k] - mean[k]).powi(2)).sum();
            sum += square;
            max = max.max(square);
        }
        let scale = cell.normalization;
        Distances { rms: (sum / n).sqrt() * scale, max: max.sqrt() * scale }
    }
}
