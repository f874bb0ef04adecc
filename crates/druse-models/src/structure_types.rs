//! Structure types of a training set: combinations of Wyckoff positions, and how often they are there.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use druse_crystal::WyckoffSequence;
use serde::{Deserialize, Serialize};

use crate::process::Noise;

/// How often a combination of Wyckoff positions of a space group is in the training set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionSet {
    /// The group and the letters of the distinct sites.
    #[serde(flatten)]
    pub sequence: WyckoffSequence,
    /// Structures that have it.
    pub structures: usize,
}

/// Combinations of Wyckoff positions, the most frequent first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PositionSets(Vec<PositionSet>);

impl PositionSets {
    /// Those of some structures, one of each; equally frequent ones in the order of their letters.
    pub fn count(of_structures: impl IntoIterator<Item = WyckoffSequence>) -> Self {
        let mut counts: BTreeMap<WyckoffSequence, usize> = BTreeMap::new();
        of_structures.into_iter().for_each(|sequence| *counts.entry(sequence).or_default() += 1);
        Self::sorted(counts)
    }

    fn sorted(counts: BTreeMap<WyckoffSequence, usize>) -> Self {
        let sets = counts.into_iter().map(|(sequence, structures)| PositionSet { sequence, structures });
        let mut sets: Vec<_> = sets.collect();
        sets.sort_by_key(|set| Reverse(set.structures));
        Self(sets)
    }

    /// The combinations.
    pub fn as_slice(&self) -> &[PositionSet] {
        &self.0
    }

    /// Those that are one but for the origin and the axes together, as how often each is there.
    pub fn canonical(&self) -> Vec<(WyckoffSequence, usize)> {
        let mut counts: BTreeMap<WyckoffSequence, usize> = BTreeMap::new();
        for set in &self.0 {
            *counts.entry(set.sequence.canonical()).or_default() += set.structures;
        }
        Self::sorted(counts).0.into_iter().map(|set| (set.sequence, set.structures)).collect()
    }

    /// Letters for so many sites of a group: a combination, by how often it is there, in an order that is drawn, too. None where
    /// there is no such combination.
    pub(crate) fn drawn_letters(&self, group: u16, sites: usize, noise: &mut Noise) -> Vec<Option<char>> {
        let suits = |set: &&PositionSet| {
            set.sequence.group() == group && set.sequence.letters().chars().count() == sites
        };
        let sets: Vec<&PositionSet> = self.0.iter().filter(suits).collect();
        let total: usize = sets.iter().map(|set| set.structures).sum();
        if total == 0 {
            return vec![None; sites];
        }
        let mut place = noise.below(total);
        let mut letters = Vec::new();
        for set in sets {
            if place < set.structures {
                letters = set.sequence.letters().chars().map(Some).collect();
                break;
            }
            place -= set.structures;
        }
        // Fisher and Yates.
        for i in (1..letters.len()).rev() {
            letters.swap(i, noise.below(i + 1));
        }
        letters
    }
}
