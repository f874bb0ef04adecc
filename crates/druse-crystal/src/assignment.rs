//! Minimum-cost assignment.

/// Assigns each row of a square cost matrix to a column of its own at the smallest total cost.
///
/// Shortest augmenting paths with potentials (Jonker & Volgenant, Computing 38, 325 (1987); the form of Crouse, IEEE
/// Trans. Aerosp. Electron. Syst. 52, 1679 (2016), that `scipy.optimize.linear_sum_assignment` has), O(n³) at worst.
/// An infinite cost forbids a pair. Buffers are kept between calls.
#[derive(Debug, Default, Clone)]
pub struct Assignment {
    column_of: Vec<usize>,
    row_of: Vec<usize>,
    u: Vec<f64>,
    v: Vec<f64>,
    distance: Vec<f64>,
    parent: Vec<usize>,
    open: Vec<usize>,
    row_seen: Vec<bool>,
    column_seen: Vec<bool>,
    /// Matrix entries looked at so far.
    pub work: u64,
}

const NONE: usize = usize::MAX;

impl Assignment {
    /// Solves the square problem given row by row, with the cheapest column of each row (of finite cost); `None` when
    /// no assignment avoids the forbidden pairs.
    pub fn solve(&mut self, cost: &[f64], cheapest: &[usize]) -> Option<&[usize]> {
        let n = cheapest.len();
        for (list, value) in [(&mut self.column_of, NONE), (&mut self.row_of, NONE), (&mut self.parent, NONE)]
        {
            list.clear();
            list.resize(n, value);
        }
        for list in [&mut self.u, &mut self.v, &mut self.distance] {
            list.clear();
            list.resize(n, 0.0);
        }
        for list in [&mut self.row_seen, &mut self.column_seen] {
            list.clear();
            list.resize(n, false);
        }
        // Rows that have their cheapest column to themselves start there: with the row minima as potentials these
        // pairs are tight. The others are added one by one.
        for (row, &column) in cheapest.iter().enumerate() {
            self.u[row] = cost[row * n + column];
            if self.row_of[column] == NONE {
                self.row_of[column] = row;
                self.column_of[row] = column;
            }
        }
        for row in 0..n {
            if self.column_of[row] == NONE {
                self.augment(cost, n, row)?;
            }
        }
        Some(&self.column_of)
    }

    /// Finds the shortest augmenting path from a free row and follows it.
    fn augment(&mut self, cost: &[f64], n: usize, start: usize) -> Option<()> {
        self.open.clear();
        self.open.extend((0..n).rev());
        self.row_seen.fill(false);
        self.column_seen.fill(false);
        self.distance.fill(f64::INFINITY);
        let (mut row, mut reached) = (start, 0.0);
        let sink = loop {
            self.row_seen[row] = true;
            self.work += self.open.len() as u64;
            let (mut lowest, mut at) = (f64::INFINITY, NONE);
            for (k, &column) in self.open.iter().enumerate() {
                let d = reached + cost[row * n + column] - self.u[row] - self.v[column];
                if d < self.distance[column] {
                    self.parent[column] = row;
                    self.distance[column] = d;
                }
                let d = self.distance[column];
                // Among equals a free column ends the search.
                if d < lowest || (d == lowest && d < f64::INFINITY && self.row_of[column] == NONE) {
                    (lowest, at) = (d, k);
                }
            }
            if at == NONE {
                return None;
            }
            reached = lowest;
            let column = self.open.swap_remove(at);
            self.column_seen[column] = true;
            if self.row_of[column] == NONE {
                break column;
            }
            row = self.row_of[column];
        };
        self.u[start] += reached;
        for i in 0..n {
            if self.row_seen[i] && i != start {
                self.u[i] += reached - self.distance[self.column_of[i]];
            }
            if self.column_seen[i] {
                self.v[i] -= reached - self.distance[i];
            }
        }
        let mut column = sink;
        loop {
            let row = self.parent[column];
            self.row_of[column] = row;
            std::mem::swap(&mut self.column_of[row], &mut column);
            if row == start {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Smallest cost over all permutations.
    fn exhaustive(cost: &[f64], n: usize, used: &mut Vec<usize>) -> f64 {
        if used.len() == n {
            return used.iter().enumerate().map(|(i, &j)| cost[i * n + j]).sum();
        }
        let mut best = f64::INFINITY;
        for j in 0..n {
            if !used.contains(&j) {
                used.push(j);
                best = best.min(exhaustive(cost, n, used));
                used.pop();
            }
        }
        best
    }

    proptest! {
        #[test]
        fn finds_the_cheapest_permutation(
            n in 1usize..6, raw in prop::collection::vec(0u32..20, 25), forbidden in prop::collection::vec(0u32..5, 25),
        ) {
            let cost: Vec<f64> = (0..n * n)
                .map(|k| if forbidden[k] == 0 { f64::INFINITY } else { f64::from(raw[k]) })
                .collect();
            let want = exhaustive(&cost, n, &mut Vec::new());
            let lowest = |row: usize| {
                (0..n).min_by(|&p, &q| cost[row * n + p].total_cmp(&cost[row * n + q])).unwrap()
            };
            let cheapest: Vec<usize> = (0..n).map(lowest).collect();
            prop_assume!((0..n).all(|row| cost[row * n + cheapest[row]].is_finite()));
            match Assignment::default().solve(&cost, &cheapest) {
                None => prop_assert!(want.is_infinite()),
                Some(columns) => {
                    let mut sorted = columns.to_vec();
                    sorted.sort_unstable();
                    prop_assert_eq!(sorted, (0..n).collect::<Vec<_>>());
                    let got: f64 = columns.iter().enumerate().map(|(i, &j)| cost[i * n + j]).sum();
                    prop_assert!((got - want).abs() < 1e-9);
                }
            }
        }
    }
}
