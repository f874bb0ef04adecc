//! The parts of a data set, and which of them an entry belongs to.

use std::fmt;

use druse_crystal::Composition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Entry;

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What a model is trained on.
    Train,
    /// What decides about early stopping and hyper-parameters.
    Val,
    /// What is looked at last.
    Test,
}

impl Split {
    /// All parts.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// `train`, `val` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }

    /// The part that a file of this stem holds.
    pub(crate) fn from_stem(stem: &str) -> Option<Self> {
        match stem.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" => Some(Self::Val),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What stays together when a data set is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SplitBy {
    /// Entries of one identifier.
    #[default]
    Id,
    /// Entries of one reduced formula: what a model is tested with has compositions that it was not trained on.
    Formula,
}

/// How a data set without splits is divided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitOptions {
    /// What stays together (default: entries of one identifier).
    pub by: SplitBy,
    /// Another seed, another division (default 0).
    pub seed: u64,
    /// Shares of train, val and test; they need not sum to one (default 0.8, 0.1, 0.1).
    pub fractions: [f64; 3],
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self { by: SplitBy::Id, seed: 0, fractions: [0.8, 0.1, 0.1] }
    }
}

impl SplitOptions {
    /// The part that an entry belongs to. It depends on its identifier or formula, seed and fractions alone: not on the
    /// order of the data set or on what else is in it.
    pub fn split_of(&self, entry: &Entry) -> Split {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        match self.by {
            SplitBy::Id => hasher.update(entry.id.as_bytes()),
            SplitBy::Formula => {
                let composition = Composition::from_species(&entry.structure.species);
                hasher.update(composition.reduced_formula().as_bytes())
            }
        };
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        // 53 bits give a uniform number in [0, 1).
        let u = (u64::from_le_bytes(first) >> 11) as f64 / (1u64 << 53) as f64;
        let [train, val, test] = self.fractions;
        let at = u * (train + val + test);
        if at < train {
            Split::Train
        } else if at < train + val || test <= 0.0 {
            if val > 0.0 { Split::Val } else { Split::Train }
        } else {
            Split::Test
        }
    }
}
