//! Formation energies by a potential against given ones.

use std::collections::BTreeMap;

use druse_crystal::{Composition, Element};
use schemars::JsonSchema;
use serde::Serialize;

/// How formation energies by the potential compare with given ones (eV/atom).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "FormationEnergies")]
pub struct Agreement {
    /// Over all compounds.
    pub all: Differences,
    /// By the most electronegative element, the most frequent first.
    #[schemars(with = "Vec<(String, Differences)>")]
    pub by_anion: Vec<(Element, Differences)>,
    /// Of each compound the given formation energy and that by the potential (eV/atom).
    #[serde(skip)]
    pub pairs: Vec<(f64, f64)>,
}

/// Differences of several compounds (eV/atom), ours less the given ones.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, JsonSchema)]
pub struct Differences {
    /// How many compounds.
    pub compounds: usize,
    /// Mean of the differences.
    pub mean: f64,
    /// Mean of their absolute values.
    pub mean_absolute: f64,
    /// Largest absolute value.
    pub largest: f64,
}

impl Differences {
    fn of(differences: &[f64]) -> Self {
        let n = differences.len().max(1) as f64;
        Self {
            compounds: differences.len(),
            mean: differences.iter().sum::<f64>() / n,
            mean_absolute: differences.iter().map(|d| d.abs()).sum::<f64>() / n,
            largest: differences.iter().fold(0.0, |a, d| a.max(d.abs())),
        }
    }
}

impl Agreement {
    /// Of compounds with their formation energy by the potential and the given one; `None` without compounds.
    pub(super) fn of(rows: impl Iterator<Item = (Composition, f64, f64)>) -> Option<Self> {
        let mut groups: BTreeMap<Element, Vec<f64>> = BTreeMap::new();
        let (mut all, mut pairs) = (Vec::new(), Vec::new());
        for (composition, own, given) in rows.filter(|(c, _, _)| c.num_elements() > 1) {
            let anion = composition.elements().max_by(|a, b| {
                let pull = |e: &Element| e.electronegativity().unwrap_or(0.0);
                pull(a).total_cmp(&pull(b))
            });
            groups.entry(anion?).or_default().push(own - given);
            all.push(own - given);
            pairs.push((given, own));
        }
        let mut by_anion: Vec<(Element, Differences)> =
            groups.into_iter().map(|(e, d)| (e, Differences::of(&d))).collect();
        by_anion.sort_by_key(|(_, d)| std::cmp::Reverse(d.compounds));
        (!all.is_empty()).then(|| Self { all: Differences::of(&all), by_anion, pairs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_counted_by_anion() {
        let row = |formula: &str, own, given| (Composition::parse(formula).unwrap(), own, given);
        let rows =
            [row("Li2O", -2.0, -1.9), row("FeO", -1.0, -1.3), row("LiF", -3.0, -3.0), row("Fe", 0.0, 5.0)];
        let found = Agreement::of(rows.into_iter()).unwrap();
        assert_eq!(found.all.compounds, 3);
        assert_eq!(found.pairs[1], (-1.3, -1.0));
        assert!(
            (found.all.mean - 0.2 / 3.0).abs() < 1e-12 && (found.all.mean_absolute - 0.4 / 3.0).abs() < 1e-12
        );
        let names: Vec<(&str, usize)> =
            found.by_anion.iter().map(|(e, d)| (e.symbol(), d.compounds)).collect();
        assert_eq!(names, [("O", 2), ("F", 1)]);
        assert!((found.by_anion[0].1.largest - 0.3).abs() < 1e-12);
        assert_eq!(Agreement::of([row("Fe", 0.0, 0.0)].into_iter()), None);
    }
}
