//! Space-group and site-symmetry statistics of a set of crystals.

use std::collections::BTreeMap;

use druse_crystal::{Structure, SymmetryError, symmetry::analyze};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Symmetry of one crystal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SymmetrySummary {
    /// Space-group number, 1–230.
    pub number: u16,
    /// Short Hermann–Mauguin symbol (`Fd-3m`).
    pub international: String,
    /// Tolerance (Å) that was used: the one asked for, or smaller.
    pub symprec: f64,
    /// Number of orbits (inequivalent sites) by their site symmetry, oriented by the conventional axes (`.3m`).
    pub orbits_by_site_symmetry: BTreeMap<String, usize>,
}

impl SymmetrySummary {
    /// Finds the symmetry within the distance tolerance `symprec` (Å).
    ///
    /// # Errors
    /// As [`analyze`].
    pub fn of(structure: &Structure, symprec: f64) -> Result<Self, SymmetryError> {
        let found = analyze(structure, symprec)?;
        let mut orbits_by_site_symmetry = BTreeMap::new();
        for (site, &first) in found.orbits.iter().enumerate() {
            if site == first {
                *orbits_by_site_symmetry.entry(found.site_symmetry[site].clone()).or_insert(0) += 1;
            }
        }
        Ok(Self {
            number: found.number,
            international: found.international,
            symprec: found.symprec,
            orbits_by_site_symmetry,
        })
    }

    /// Whether every orbit lies in a general position.
    pub fn is_general(&self) -> bool {
        self.orbits_by_site_symmetry.keys().all(|s| s == "1")
    }
}

/// The seven crystal systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CrystalSystem {
    /// Space groups 1–2.
    Triclinic,
    /// Space groups 3–15.
    Monoclinic,
    /// Space groups 16–74.
    Orthorhombic,
    /// Space groups 75–142.
    Tetragonal,
    /// Space groups 143–167.
    Trigonal,
    /// Space groups 168–194.
    Hexagonal,
    /// Space groups 195–230.
    Cubic,
}

impl CrystalSystem {
    /// The system of a space group.
    pub fn of(number: u16) -> Self {
        match number {
            ..=2 => Self::Triclinic,
            3..=15 => Self::Monoclinic,
            16..=74 => Self::Orthorhombic,
            75..=142 => Self::Tetragonal,
            143..=167 => Self::Trigonal,
            168..=194 => Self::Hexagonal,
            _ => Self::Cubic,
        }
    }
}

/// Symmetry of a set of crystals.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SymmetryStatistics {
    /// Crystals that were looked at.
    pub total: usize,
    /// Number of crystals in each space group that occurs.
    pub space_groups: BTreeMap<u16, usize>,
    /// Number of crystals in each crystal system that occurs.
    pub systems: BTreeMap<CrystalSystem, usize>,
    /// Number of orbits with each site symmetry, over all crystals.
    pub site_symmetries: BTreeMap<String, usize>,
    /// Position and reason of each crystal for which no space group was found.
    pub failures: Vec<(usize, String)>,
}

impl SymmetryStatistics {
    /// Collects the symmetry of crystals; one without is counted and listed with its reason.
    pub fn collect<'a, E: ToString + 'a>(
        all: impl IntoIterator<Item = Result<&'a SymmetrySummary, &'a E>>,
    ) -> Self {
        let mut sum = Self::default();
        for (i, symmetry) in all.into_iter().enumerate() {
            sum.total += 1;
            match symmetry {
                Ok(s) => {
                    *sum.space_groups.entry(s.number).or_insert(0) += 1;
                    *sum.systems.entry(CrystalSystem::of(s.number)).or_insert(0) += 1;
                    for (site, n) in &s.orbits_by_site_symmetry {
                        *sum.site_symmetries.entry(site.clone()).or_insert(0) += n;
                    }
                }
                Err(e) => sum.failures.push((i, e.to_string())),
            }
        }
        sum
    }

    /// Crystals whose space group was found.
    pub fn found(&self) -> usize {
        self.total - self.failures.len()
    }

    /// Share of P1 among the crystals whose space group was found; `None` when there is none.
    pub fn share_p1(&self) -> Option<f64> {
        let p1 = self.space_groups.get(&1).copied().unwrap_or(0);
        (self.found() > 0).then(|| p1 as f64 / self.found() as f64)
    }

    /// Space-group number of each crystal whose group was found, in rising order: a sample for
    /// [`kolmogorov_smirnov`](crate::distribution::kolmogorov_smirnov).
    pub fn numbers(&self) -> Vec<f64> {
        self.space_groups.iter().flat_map(|(&g, &n)| std::iter::repeat_n(f64::from(g), n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use druse_crystal::{Element, Lattice};

    fn crystal(a: f64, c: f64, sites: &[(&str, [f64; 3])]) -> Structure {
        Structure::new(
            Lattice::from_parameters([a, a, c, 90.0, 90.0, 90.0]).unwrap(),
            sites.iter().map(|s| Element::from_symbol(s.0).unwrap()).collect(),
            sites.iter().map(|s| s.1).collect(),
        )
        .unwrap()
    }

    #[test]
    fn prototypes_are_counted_with_their_site_symmetries() {
        let perovskite = crystal(
            3.9,
            3.9,
            &[
                ("Sr", [0.5; 3]),
                ("Ti", [0.0; 3]),
                ("O", [0.5, 0.0, 0.0]),
                ("O", [0.0, 0.5, 0.0]),
                ("O", [0.0, 0.0, 0.5]),
            ],
        );
        let skew =
            crystal(4.0, 5.3, &[("H", [0.1, 0.2, 0.3]), ("C", [0.31, 0.72, 0.55]), ("N", [0.83, 0.4, 0.91])]);
        let all: Vec<_> = [perovskite, skew].iter().map(|s| SymmetrySummary::of(s, 0.01)).collect();
        let failed = SymmetryError::Tolerance(0.0);
        let statistics = SymmetryStatistics::collect(all.iter().map(Result::as_ref).chain([Err(&failed)]));
        assert_eq!(statistics.space_groups, BTreeMap::from([(1, 1), (221, 1)]));
        assert_eq!((statistics.total, statistics.found(), statistics.share_p1()), (3, 2, Some(0.5)));
        assert_eq!(statistics.failures[0].0, 2);
        assert_eq!(statistics.systems[&CrystalSystem::Cubic], 1);
        assert_eq!(
            statistics.site_symmetries,
            BTreeMap::from([("m-3m".into(), 2), ("4/mm.m".into(), 1), ("1".into(), 3)])
        );
        assert!(all[1].as_ref().unwrap().is_general());
        assert_eq!(statistics.numbers(), [1.0, 221.0]);
        assert_eq!(SymmetryStatistics::collect::<String>([]).share_p1(), None);
    }
}
