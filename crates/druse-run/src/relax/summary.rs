//! What a relaxation run achieved.

use std::collections::BTreeMap;

use super::RelaxRow;

/// What a relaxation run achieved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelaxSummary {
    /// Rows finished by this call, by how they ended ([`RelaxRow::end_name`]).
    pub ends: BTreeMap<&'static str, u64>,
    /// Rows that were there already.
    pub found: u64,
    /// Steps of the rows finished by this call.
    pub steps: u64,
    /// Rows finished by this call that made a step or were at rest from the start.
    pub relaxed: u64,
    /// Evaluations of crystals in this call, those of structures that were lost included.
    pub evaluations: u64,
    /// Rows finished by this call that give no structure.
    pub failed: u64,
    /// Whether it was asked to stop before the end.
    pub interrupted: bool,
}

impl RelaxSummary {
    pub(super) fn count(&mut self, row: &RelaxRow) {
        *self.ends.entry(row.end_name()).or_default() += 1;
        self.failed += u64::from(row.failure().is_some());
        if let Some(relaxed) = row.relaxed().filter(|relaxed| relaxed.figures.is_some()) {
            self.relaxed += 1;
            self.steps += relaxed.steps as u64;
        }
    }

    /// Rows finished by this call.
    pub fn rows(&self) -> u64 {
        self.ends.values().sum()
    }

    /// Rows finished by this call whose relaxation converged.
    pub fn converged(&self) -> u64 {
        self.ends.get("converged").copied().unwrap_or(0)
    }

    /// Mean number of steps of the rows that were relaxed, whatever came of it.
    pub fn mean_steps(&self) -> f64 {
        self.steps as f64 / self.relaxed.max(1) as f64
    }
}
