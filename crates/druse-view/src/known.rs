//! Known structures: which of them is the same as a given one, and which is the nearest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use druse_crystal::{Composition, Structure};
use druse_metrics::descriptors::{DescriptorSettings, Descriptors};
use druse_metrics::matcher::StructureMatcher;

/// Known structures of the nearest compositions whose fingerprints are compared.
const CANDIDATES: usize = 40;

/// The known structures.
pub(crate) struct Known {
    all: Vec<(String, Structure)>,
    /// Rows by reduced formula.
    by_formula: HashMap<String, Vec<usize>>,
    /// Features of the compositions, made when they are first asked for.
    compositions: Mutex<Option<Vec<Vec<f64>>>>,
    /// Fingerprints that were made.
    fingerprints: Mutex<HashMap<usize, Option<Vec<f64>>>>,
}

/// The nearest known structure.
pub(crate) struct Nearest<'a> {
    pub id: &'a str,
    pub structure: &'a Structure,
    /// Root mean square distance of the sites in Å, of structures that the matcher finds to be the same.
    pub rms: Option<f64>,
    /// Distance of the CrystalNN fingerprints.
    pub fingerprint: Option<f64>,
    /// Distance of the scaled Magpie features.
    pub composition: f64,
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
}

fn formula(structure: &Structure) -> String {
    Composition::from_species(&structure.species).reduced_formula()
}

fn features(structure: &Structure) -> Vec<f64> {
    let composition = Composition::from_species(&structure.species);
    Descriptors::unbuilt(composition, "").composition_features().to_vec()
}

fn fingerprint(structure: &Structure) -> Option<Vec<f64>> {
    let settings = DescriptorSettings { fingerprint: true, symprec: None };
    Descriptors::of(structure, &settings).structure_features().map(<[f64]>::to_vec)
}

impl Known {
    pub fn new(all: impl IntoIterator<Item = (String, Structure)>) -> Self {
        let all: Vec<(String, Structure)> = all.into_iter().collect();
        let mut by_formula: HashMap<String, Vec<usize>> = HashMap::new();
        for (k, (_, structure)) in all.iter().enumerate() {
            by_formula.entry(formula(structure)).or_default().push(k);
        }
        Self { all, by_formula, compositions: Mutex::new(None), fingerprints: Mutex::default() }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The known structure that is closest to the given one among those that the matcher takes for the same, with the root
    /// mean square distance of their sites in units of (V/N)^(1/3).
    fn matched(&self, structure: &Structure) -> Option<(usize, f64)> {
        let matcher = StructureMatcher::default();
        let prepared = matcher.prepare(structure);
        let rows = self.by_formula.get(&formula(structure))?;
        let found = rows.iter().filter_map(|&k| {
            let rms = matcher.rms(&prepared, &matcher.prepare(&self.all[k].1))?.rms;
            Some((k, rms))
        });
        found.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Identifier of the known structure that is the same.
    pub fn same_as(&self, structure: &Structure) -> Option<String> {
        self.matched(structure).map(|(k, _)| self.all[k].0.clone())
    }

    /// The nearest known structure: the same one, where there is one; else, of those with the nearest compositions, that
    /// with the nearest fingerprint.
    pub fn nearest(&self, structure: &Structure) -> Option<Nearest<'_>> {
        let own = features(structure);
        let mut by_composition: Vec<(usize, f64)> = {
            let mut kept = self.compositions.lock().unwrap_or_else(PoisonError::into_inner);
            let all = kept.get_or_insert_with(|| self.all.iter().map(|(_, s)| features(s)).collect());
            all.iter().map(|f| distance(&own, f)).enumerate().collect()
        };
        let own_fingerprint = fingerprint(structure);
        let apart = |k: usize| {
            let mut kept = self.fingerprints.lock().unwrap_or_else(PoisonError::into_inner);
            let theirs = kept.entry(k).or_insert_with(|| fingerprint(&self.all[k].1));
            Some(distance(own_fingerprint.as_deref()?, theirs.as_deref()?))
        };
        let nearest = |k: usize, composition: f64, rms: Option<f64>, fingerprint: Option<f64>| Nearest {
            id: &self.all[k].0,
            structure: &self.all[k].1,
            rms: rms.map(|rms| rms * (structure.lattice.volume() / structure.len() as f64).cbrt()),
            fingerprint,
            composition,
        };
        if let Some((k, rms)) = self.matched(structure) {
            return Some(nearest(k, by_composition[k].1, Some(rms), apart(k)));
        }
        by_composition.sort_by(|a, b| a.1.total_cmp(&b.1));
        by_composition.truncate(CANDIDATES);
        let far = |x: Option<f64>| x.unwrap_or(f64::INFINITY);
        let with = by_composition.into_iter().map(|(k, composition)| (k, composition, apart(k)));
        let (k, composition, fingerprint) =
            with.min_by(|a, b| far(a.2).total_cmp(&far(b.2)).then(a.1.total_cmp(&b.1)))?;
        Some(nearest(k, composition, None, fingerprint))
    }
}

#[cfg(test)]
mod tests {
    use druse_testkit::prototypes::{prototype, prototypes, rock_salt};

    use super::*;

    #[test]
    fn the_same_structure_is_the_nearest() {
        let known = Known::new(prototypes().into_iter().map(|(name, s)| (name.to_owned(), s)));
        let nearest = known.nearest(&rock_salt("Na", "Cl", 5.5)).unwrap();
        assert_eq!(nearest.id, "NaCl");
        assert!(
            nearest.rms.unwrap() < 1e-6 && nearest.fingerprint.unwrap() < 1e-6 && nearest.composition < 1e-9
        );
    }

    #[test]
    fn a_new_structure_has_a_nearest_one_of_its_kind() {
        let all = ["BaTiO3", "Cu", "ZnS"].map(|name| (name.to_owned(), prototype(name)));
        let known = Known::new(all);
        let nearest = known.nearest(&prototype("SrTiO3")).unwrap();
        assert_eq!((nearest.id, nearest.rms), ("BaTiO3", None));
        assert!(nearest.fingerprint.unwrap() < 0.2 && nearest.composition > 0.0);
        assert!(Known::new([]).nearest(&prototype("Cu")).is_none());
    }
}
