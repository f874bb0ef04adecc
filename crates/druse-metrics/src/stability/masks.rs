//! Which structures are stable, unique and novel.

use serde::{Deserialize, Serialize};

use super::{StabilityDefinition, Uniqueness};
use crate::matcher::PreparedStructure;
use crate::novelty::{components, first_of_duplicates, training_matches_by};

/// Structures with what is known of each, a row each; all slices have the same length.
#[derive(Debug, Clone, Copy)]
pub struct StabilityRows<'a> {
    /// The structure that is compared, prepared by the definition's matcher; `None` for a row without one.
    pub structures: &'a [Option<PreparedStructure>],
    /// Energy above hull (eV/atom); `None` for a row without energy or hull.
    pub above_hull: &'a [Option<f64>],
    /// Whether a row has an energy: one without a hull has.
    pub has_energy: &'a [bool],
    /// Whether a row is valid by the rules of the definition; all are where it asks for none.
    pub valid: &'a [bool],
    /// Structures that novelty is tested against, prepared by the same matcher; `None` for no test of novelty.
    pub known: Option<&'a [PreparedStructure]>,
}

/// What holds for each row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StabilityMasks {
    /// Those that the definition looks at.
    pub evaluated: Vec<bool>,
    /// Valid ones among them.
    pub valid: Vec<bool>,
    /// Stable ones among the evaluated, valid ones.
    pub stable: Vec<bool>,
    /// Metastable ones among them.
    pub metastable: Vec<bool>,
    /// Unique ones: of a set of equal structures the first.
    pub unique: Vec<bool>,
    /// Novel ones; `None` without known structures.
    pub novel: Option<Vec<bool>>,
    /// Stable, unique and novel; `None` without known structures.
    pub sun: Option<Vec<bool>>,
    /// Metastable, unique and novel.
    pub msun: Option<Vec<bool>>,
    /// Rows with a comparison that was given up: they count as different from what they were compared with.
    pub unfinished: Vec<usize>,
}

impl StabilityDefinition {
    /// Tests rows by the definition: three independent masks, combined. No test leaves out what another refuses, so the order of
    /// tests does not matter.
    ///
    /// Where components count as one structure ([`Uniqueness::Components`]), the combination is one of components: one counts
    /// that has a stable member and none that is known, and its first stable member is marked.
    ///
    /// # Panics
    /// For slices of different lengths.
    pub fn masks(&self, rows: StabilityRows<'_>) -> StabilityMasks {
        let n = rows.structures.len();
        assert_eq!([rows.above_hull.len(), rows.has_energy.len(), rows.valid.len()], [n; 3]);
        let evaluated: Vec<bool> = (0..n)
            .map(|i| rows.structures[i].is_some() && (rows.has_energy[i] || !self.energy_needed))
            .collect();
        let valid: Vec<bool> = (0..n).map(|i| evaluated[i] && rows.valid[i]).collect();
        let holds = |test: &dyn Fn(f64) -> bool| -> Vec<bool> {
            (0..n).map(|i| valid[i] && rows.above_hull[i].is_some_and(test)).collect()
        };
        let stable = holds(&|x| self.is_stable(x));
        let metastable = holds(&|x| self.is_metastable(x));

        // Rows that are compared, and their structures.
        let compared: Vec<usize> = (0..n).filter(|&i| valid[i]).collect();
        let structures: Vec<PreparedStructure> =
            compared.iter().filter_map(|&i| rows.structures[i].clone()).collect();
        let spread = |mask: &[bool]| {
            let mut all = vec![false; n];
            compared.iter().zip(mask).for_each(|(&i, x)| all[i] = *x);
            all
        };
        let reduced: Vec<bool> = structures.iter().map(|s| s.site_counts().is_some()).collect();
        let known = rows.known.map(|known| training_matches_by(&self.sameness, &structures, known));
        let (novel, mut unfinished) = match known {
            None => (None, Vec::new()),
            Some((hits, unfinished)) => (
                Some(hits.iter().zip(&reduced).map(|(hit, r)| hit.is_none() && *r).collect::<Vec<bool>>()),
                unfinished,
            ),
        };
        let pick = |mask: &[bool]| -> Vec<bool> { compared.iter().map(|&i| mask[i]).collect() };
        let (stable_compared, metastable_compared) = (pick(&stable), pick(&metastable));
        let (unique, sun, msun) = match self.uniqueness {
            Uniqueness::FirstOfDuplicates => {
                let (unique, more) = first_of_duplicates(&self.sameness, &structures);
                unfinished.extend(more);
                let both = |mask: &[bool]| {
                    novel.as_ref().map(|novel| {
                        (0..mask.len()).map(|i| mask[i] && novel[i] && unique[i]).collect::<Vec<bool>>()
                    })
                };
                let (sun, msun) = (both(&stable_compared), both(&metastable_compared));
                (unique, sun, msun)
            }
            Uniqueness::Components => {
                let (component, more) = components(&self.sameness.matcher, &structures);
                unfinished.extend(more);
                let unique = firsts(&component, &vec![true; component.len()], None);
                let marked = novel.as_ref().map(|novel| {
                    let none = vec![false; component.len()];
                    let sun = firsts(&component, &stable_compared, Some((novel, &none)));
                    // A component with a stable member is stable, whatever its other members are.
                    let msun = firsts(&component, &metastable_compared, Some((novel, &stable_compared)));
                    (sun, msun)
                });
                let (sun, msun) = marked.unzip();
                (unique, sun, msun)
            }
        };
        let mut unfinished: Vec<usize> = unfinished.into_iter().map(|k| compared[k]).collect();
        unfinished.sort_unstable();
        unfinished.dedup();
        StabilityMasks {
            unique: spread(&unique),
            novel: novel.as_deref().map(spread),
            sun: sun.as_deref().map(spread),
            msun: msun.as_deref().map(spread).filter(|_| self.metastable.is_some()),
            evaluated,
            valid,
            stable,
            metastable,
            unfinished,
        }
    }
}

/// The first member of each component for which `mask` holds. With `(novel, without)` only of components whose members are all
/// novel and none of which is in `without`.
fn firsts(component: &[Option<usize>], mask: &[bool], among: Option<(&[bool], &[bool])>) -> Vec<bool> {
    let count = component.iter().flatten().max().map_or(0, |c| c + 1);
    let mut open = vec![true; count];
    if let Some((novel, without)) = among {
        for (i, c) in component.iter().enumerate() {
            if let Some(c) = *c {
                open[c] &= novel[i] && !without[i];
            }
        }
    }
    let mark = |(i, c): (usize, &Option<usize>)| match *c {
        Some(c) if mask[i] && open[c] => {
            open[c] = false;
            true
        }
        _ => false,
    };
    component.iter().enumerate().map(mark).collect()
}
