//! How many candidates fell at each gate, and why.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::row::{Gate, ScreenRow};

/// What happened at one gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GateCount {
    /// The gate.
    pub gate: Gate,
    /// Candidates that came to it.
    pub entered: usize,
    /// Candidates that fell.
    pub fell: usize,
    /// Why, the most frequent reason first.
    pub reasons: Vec<(String, usize)>,
}

/// How many candidates fell where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Funnel {
    /// The gates in order.
    pub gates: Vec<GateCount>,
    /// Candidates that are ranked.
    pub ranked: usize,
    /// Of these, those whose energy above hull is small enough.
    pub within: usize,
    /// Of the ranked ones, those that are novel.
    pub novel: usize,
    /// Those that are both.
    pub within_and_novel: usize,
    /// Ranked candidates whose relaxation did not converge.
    pub not_converged: usize,
    /// Candidates that were given the symmetry of a space group above P1 before they were relaxed.
    pub symmetrized: usize,
}

impl Funnel {
    pub(super) fn of(rows: &[ScreenRow]) -> Self {
        let mut left = rows.len();
        let mut gates = Vec::new();
        for gate in Gate::ALL {
            let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
            let falls = rows.iter().filter_map(|row| row.fell.as_ref()).filter(|fall| fall.gate == gate);
            falls.for_each(|fall| *reasons.entry(&fall.kind).or_default() += 1);
            let fell: usize = reasons.values().sum();
            let mut reasons: Vec<(String, usize)> =
                reasons.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect();
            reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            gates.push(GateCount { gate, entered: left, fell, reasons });
            left -= fell;
        }
        let count = |keep: &dyn Fn(&ScreenRow) -> bool| rows.iter().filter(|r| r.stands() && keep(r)).count();
        let within = |row: &ScreenRow| row.within == Some(true);
        let novel = |row: &ScreenRow| row.novel == Some(true);
        Self {
            gates,
            ranked: left,
            within: count(&within),
            novel: count(&novel),
            within_and_novel: count(&|row| within(row) && novel(row)),
            not_converged: count(&|row| row.converged == Some(false)),
            symmetrized: rows.iter().filter(|row| row.space_group.is_some_and(|number| number > 1)).count(),
        }
    }
}
