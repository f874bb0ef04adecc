//! The model: network, noise levels, statistics of the training set.

use std::collections::{BTreeMap, BTreeSet};

use druse_crystal::{Composition, Element, SpaceGroup, Structure, WyckoffSequence};
use druse_nn::blocks::dimenet::EdgeDimeNet;
use druse_nn::{ParamBuilder, ParamSpec};
use serde::{Deserialize, Serialize};

use super::config::{AdaptiveConfig, AdaptiveSampling, EMBEDDED_LEVELS};
use super::corruption::Levels;
use super::crystals::{FIRST_FIXED, Joined, ReducedCache, species};
use crate::settings::Settings;
use crate::structure_types::PositionSets;
use crate::{Conditions, ModelError};

/// What the model keeps of its training set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Structures of each space group.
    pub groups: BTreeMap<u16, usize>,
    /// Elements.
    pub elements: BTreeSet<Element>,
    /// Distinct sites of the structure that has most; 0 before training.
    pub max_sites: usize,
    /// Combinations of Wyckoff positions, the most frequent first.
    pub positions: PositionSets,
}

/// An adaptive-cells model without its parameters.
pub struct Adaptive {
    pub(super) config: AdaptiveConfig,
    pub(super) sampling: AdaptiveSampling,
    pub(super) specs: Vec<ParamSpec>,
    pub(super) network: EdgeDimeNet,
    pub(super) levels: Levels,
    pub(super) statistics: Statistics,
    pub(super) reduced: ReducedCache,
}

impl Adaptive {
    /// Builds the network.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the configuration is impossible.
    pub fn new(config: AdaptiveConfig) -> Result<Self, ModelError> {
        config.validate()?;
        let mut builder = ParamBuilder::default();
        let network = EdgeDimeNet::new(&mut builder, "", &config.network, EMBEDDED_LEVELS, 2)
            .map_err(|e| ModelError::Config(format!("network.{e}")))?;
        Ok(Self {
            levels: Levels::new(&config.noise),
            specs: builder.finish(),
            sampling: AdaptiveSampling::default(),
            statistics: Statistics::default(),
            reduced: ReducedCache::default(),
            config,
            network,
        })
    }

    /// With other dynamics of sampling than the published ones.
    ///
    /// # Errors
    /// [`ModelError::Config`] when they are impossible.
    pub fn with_sampling(self, sampling: &AdaptiveSampling) -> Result<Self, ModelError> {
        sampling.validate()?;
        Ok(Self { sampling: sampling.clone(), ..self })
    }

    /// Hyper-parameters.
    pub fn config(&self) -> &AdaptiveConfig {
        &self.config
    }

    /// What the model knows of its training set.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// How sites are joined.
    pub(super) fn joined(&self) -> Joined {
        (self.config.neighbors, self.config.copies)
    }

    /// Takes groups, elements and positions from a training set.
    pub(super) fn fit(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        let mut statistics = Statistics::default();
        let mut sequences: Vec<WyckoffSequence> = Vec::with_capacity(training.len());
        for s in training {
            let reduced = self.reduced.get(s, &self.config.symmetry);
            let crystal = reduced.as_ref().as_ref().map_err(|e| unusable(s, &e.0))?;
            let number = crystal.group().number();
            *statistics.groups.entry(number).or_default() += 1;
            statistics.elements.extend(species(crystal));
            statistics.max_sites = statistics.max_sites.max(crystal.sites().len());
            sequences.push(crystal.template().sequence());
        }
        statistics.positions = PositionSets::count(sequences);
        self.statistics = statistics;
        Ok(())
    }

    /// What is asked for beyond what [`Capabilities`](crate::Capabilities) say: a group and elements that the model has
    /// seen, Wyckoff letters of the group, positions without free parameters taken once.
    pub(super) fn check_sites(&self, conditions: &Conditions) -> Result<(), ModelError> {
        let wrong = |what: String| Err(ModelError::Condition(what));
        let (Some(number), Some(sites)) = (conditions.space_group, &conditions.sites) else {
            return wrong("a space group and sites are needed".into());
        };
        let group = SpaceGroup::new(number).map_err(|e| ModelError::Condition(e.to_string()))?;
        let known = &self.statistics.groups;
        if !known.is_empty() && !known.contains_key(&number) {
            let why = if number < FIRST_FIXED && known.keys().all(|&n| n >= FIRST_FIXED) {
                " (it learned no cells with free angles)"
            } else {
                ""
            };
            let list = ranges(known.keys().copied());
            return wrong(format!("the model was not trained on space group {group}{why}; it knows {list}"));
        }
        if sites.is_empty() {
            return wrong("a list of sites without any".into());
        }
        let elements = &self.statistics.elements;
        if let Some(site) =
            sites.iter().find(|site| !elements.is_empty() && !elements.contains(&site.element))
        {
            let list: Vec<&str> = elements.iter().map(|e| e.symbol()).collect();
            return wrong(format!(
                "the model never saw the element {}; it knows {}",
                site.element.symbol(),
                list.join(", ")
            ));
        }
        for (i, site) in sites.iter().enumerate() {
            let Some(letter) = site.wyckoff else { continue };
            let position = group.wyckoff(letter).map_err(|e| ModelError::Condition(e.to_string()))?;
            if position.is_fixed() && sites[..i].iter().any(|other| other.wyckoff == Some(letter)) {
                return wrong(format!(
                    "two sites on Wyckoff position {}{letter} of space group {group}, which is a single point",
                    position.multiplicity()
                ));
            }
        }
        Ok(())
    }
}

/// The error of a structure that the model cannot learn from.
pub(super) fn unusable(structure: &Structure, reason: &str) -> ModelError {
    let what = Composition::from_species(&structure.species).formula();
    ModelError::Unusable { what, reason: reason.to_owned() }
}

/// `16–18, 62`
fn ranges(numbers: impl Iterator<Item = u16>) -> String {
    let mut runs: Vec<[u16; 2]> = Vec::new();
    for n in numbers {
        match runs.last_mut() {
            Some(run) if run[1] + 1 == n => run[1] = n,
            _ => runs.push([n, n]),
        }
    }
    let words = runs.iter().map(|[a, b]| if a == b { a.to_string() } else { format!("{a}–{b}") });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_listed_in_runs() {
        assert_eq!(ranges([1, 2, 3, 7, 9, 10].into_iter()), "1–3, 7, 9–10");
    }
}
