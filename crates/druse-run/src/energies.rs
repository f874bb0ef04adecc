//! Energies of one relaxed structure by several potentials.

use druse_crystal::Properties;
use druse_relax::Relaxed;
use serde_json::{Map, Value, json};

/// Energies of one relaxed structure by several potentials (eV/atom).
#[derive(Debug, Clone, PartialEq)]
pub struct Energies {
    /// The potential that it was relaxed with, and its energy.
    pub first: (String, f64),
    /// The others, with an energy or the reason why there is none.
    pub others: Vec<(String, Result<f64, String>)>,
}

impl Energies {
    /// Those of a relaxed structure, if there are several potentials.
    pub(crate) fn new(potential: &str, relaxed: &Relaxed) -> Option<Self> {
        let figures = relaxed.figures.as_ref().filter(|_| !relaxed.opinions.is_empty())?;
        let atoms = figures.atoms as f64;
        let others = relaxed.opinions.iter().map(|opinion| {
            let energy = opinion.energy.as_ref().map(|e| e / atoms).map_err(ToString::to_string);
            (opinion.potential.clone(), energy)
        });
        Some(Self { first: (potential.to_owned(), figures.energy_per_atom()), others: others.collect() })
    }

    /// Differences of the others to the first, where they have an energy.
    pub fn differences(&self) -> impl Iterator<Item = (&str, f64)> {
        self.others.iter().filter_map(|(name, e)| Some((name.as_str(), e.as_ref().ok()? - self.first.1)))
    }

    /// Mean over all potentials; `None` where only the first one has an energy.
    pub fn mean(&self) -> Option<f64> {
        let (count, sum) = self.differences().fold((0, 0.0), |(n, sum), (_, d)| (n + 1, sum + d));
        (count > 0).then(|| self.first.1 + sum / f64::from(count + 1))
    }

    /// Difference of the other to the first; of several, of the one that is farthest away.
    pub fn difference(&self) -> Option<f64> {
        self.differences().map(|(_, d)| d).max_by(|a, b| a.abs().total_cmp(&b.abs()))
    }

    /// Writes them as properties `relax_…`.
    pub(crate) fn properties(&self, all: &mut Properties) {
        let mut energies = Map::new();
        energies.insert(self.first.0.clone(), self.first.1.into());
        let mut missing = Map::new();
        for (name, energy) in &self.others {
            match energy {
                Ok(energy) => _ = energies.insert(name.clone(), (*energy).into()),
                Err(reason) => _ = missing.insert(name.clone(), reason.as_str().into()),
            }
        }
        let mut put = |name: &str, value: Value| _ = all.insert(format!("relax_{name}"), value);
        put("energies_per_atom", energies.into());
        if !missing.is_empty() {
            put("energies_missing", missing.into());
        }
        if let (Some(mean), Some(difference)) = (self.mean(), self.difference()) {
            put("energy_per_atom_mean", json!(mean));
            put("energy_per_atom_difference", json!(difference));
        }
    }
}
