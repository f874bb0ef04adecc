//! What a relaxation run achieved.

use std::collections::BTreeMap;

use super::RelaxRow;

/// How the energies of another potential differ from those of the one that relaxes (eV/atom), over structures.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Disagreement {
    /// Structures that both have an energy of.
    pub count: u64,
    /// Structures that the other one has no energy of.
    pub missing: u64,
    /// Sum of the energies of the first.
    sum_first: f64,
    /// Sum of the differences, the other's energy minus the first's, and of their sizes.
    sum: f64,
    sum_of_sizes: f64,
    /// The largest difference, and the identifier of its structure.
    pub largest: Option<(f64, String)>,
}

impl Disagreement {
    fn add(&mut self, first: f64, other: Option<f64>, id: &str) {
        let Some(difference) = other.map(|other| other - first) else { return self.missing += 1 };
        self.count += 1;
        self.sum_first += first;
        self.sum += difference;
        self.sum_of_sizes += difference.abs();
        if self.largest.as_ref().is_none_or(|(largest, _)| difference.abs() > largest.abs()) {
            self.largest = Some((difference, id.to_owned()));
        }
    }

    fn over(&self, sum: f64) -> f64 {
        sum / self.count.max(1) as f64
    }

    /// Mean over structures of the mean of both energies.
    pub fn mean_energy(&self) -> f64 {
        self.over(self.sum_first + 0.5 * self.sum)
    }

    /// Mean difference: the other's minus the first's.
    pub fn mean_difference(&self) -> f64 {
        self.over(self.sum)
    }

    /// Mean size of the difference.
    pub fn mean_size(&self) -> f64 {
        self.over(self.sum_of_sizes)
    }
}

/// What a relaxation run achieved.
#[derive(Debug, Clone, PartialEq, Default)]
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
    /// How other potentials differ from the one that relaxes, by their names, over the rows finished by this call.
    pub disagreements: BTreeMap<String, Disagreement>,
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
        if let Some(energies) = row.energies() {
            for (name, energy) in &energies.others {
                let disagreement = self.disagreements.entry(name.clone()).or_default();
                disagreement.add(energies.first.1, energy.as_ref().ok().copied(), &row.id);
            }
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
