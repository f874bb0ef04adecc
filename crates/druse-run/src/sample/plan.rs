//! What is sampled, and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use druse_crystal::{Composition, files};
use druse_models::{Condition, LatentCondition, SampleRequest};
use druse_nn::Precision;
use druse_nn::device::is_host;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::output::{MANIFEST_FILE, OutputFormat};

/// A share of the structures of a run: those whose index leaves the remainder `index` when divided by `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    /// Which share, from 0.
    pub index: u64,
    /// Number of shares.
    pub count: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |t: &str| t.parse::<u64>().ok();
        match text.split_once('/').map(|(i, n)| (parse(i), parse(n))) {
            Some((Some(index), Some(count))) if index < count => Ok(Self { index, count }),
            _ => Err(format!("`{text}` is no shard: expected i/n with i from 0 to n - 1, such as 0/4")),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

/// Who carries structures through their steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crew {
    /// Every thread, one structure at a time: for the CPU.
    OneAThread,
    /// So many groups (at most one a thread), each of structures that are computed together: for accelerators. Each
    /// group has requests of its own, so that who is computed with whom does not depend on timing.
    Groups {
        /// Groups: while the device computes one, the host prepares another.
        groups: usize,
        /// Structures in flight in all groups together, at most.
        in_flight: usize,
    },
}

impl Crew {
    /// What suits a device, with at most so many structures in flight on an accelerator.
    pub fn for_device(device: &Device, in_flight: usize) -> Self {
        if is_host(device) { Self::OneAThread } else { Self::Groups { groups: 2, in_flight } }
    }
}

/// Something to sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// What the structure has to satisfy.
    pub condition: Condition,
    /// What to call it in messages and lists: a formula, a place in latent space.
    pub label: String,
    /// What is written with the structure, besides index and seed.
    pub properties: BTreeMap<String, serde_json::Value>,
}

impl Wanted {
    /// Whatever the model draws.
    pub fn anything() -> Self {
        Self {
            condition: Condition::Unconditional,
            label: "unconditional".into(),
            properties: BTreeMap::new(),
        }
    }

    /// A latent under a name.
    pub fn latent(condition: LatentCondition, label: String) -> Self {
        Self { condition: Condition::Latent(condition), label, properties: BTreeMap::new() }
    }

    /// With one more property.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.properties.insert(name.to_owned(), value.into());
        self
    }

    /// Feeds what determines the structure to a hash.
    fn identify(&self, hash: &mut blake3::Hasher) {
        hash.update(self.label.as_bytes()).update(b"\n");
        if let Condition::Latent(given) = &self.condition {
            given.latent.iter().for_each(|x| _ = hash.update(&x.to_le_bytes()));
            hash.update(format!("{:?}{:?}\n", given.atoms, given.species).as_bytes());
        }
    }
}

impl From<Composition> for Wanted {
    fn from(composition: Composition) -> Self {
        let label = composition.formula();
        Self { condition: Condition::Composition(composition), label, properties: BTreeMap::new() }
    }
}

/// What to sample and how.
#[derive(Debug, Clone)]
pub struct SamplePlan {
    /// What to sample; structure `i` is `wanted[i % wanted.len()]`.
    pub wanted: Vec<Wanted>,
    /// Number of structures in all, over all shards.
    pub count: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Hash of the model, so that a run is not continued with another one.
    pub model: String,
    /// Steps at each noise level, where they are not the model's own.
    pub steps_per_level: Option<usize>,
    /// The share that is sampled here.
    pub shard: Shard,
    /// Precision of the products.
    pub precision: Precision,
    /// Form of the output.
    pub format: OutputFormat,
    /// Who works on how many at a time. On the CPU the output does not depend on it.
    pub crew: Crew,
    /// Whether a folder that holds part of this run is continued.
    pub resume: bool,
}

impl SamplePlan {
    /// The request with this index.
    pub fn request(&self, index: u64) -> SampleRequest {
        SampleRequest { condition: self.wanted(index).condition.clone(), seed: self.seed, index }
    }

    /// What the structure with this index is.
    pub(super) fn wanted(&self, index: u64) -> &Wanted {
        &self.wanted[(index % self.wanted.len() as u64) as usize]
    }

    /// Describes the run, apart from how it is worked off.
    pub fn manifest(&self) -> Manifest {
        let mut hash = blake3::Hasher::new();
        self.wanted.iter().for_each(|wanted| wanted.identify(&mut hash));
        Manifest {
            model: self.model.clone(),
            seed: self.seed,
            count: self.count,
            conditions: hash.finalize().to_hex().to_string(),
            steps_per_level: self.steps_per_level,
            shard: self.shard,
            precision: self.precision,
        }
    }
}

/// The identity of a sampling run, kept beside its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Hash of the model.
    pub model: String,
    /// Seed.
    pub seed: u64,
    /// Number of structures over all shards.
    pub count: u64,
    /// Hash of the list of conditions.
    #[serde(alias = "compositions")]
    pub conditions: String,
    /// Steps at each noise level, where they are not the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps_per_level: Option<usize>,
    /// The share that the folder holds.
    pub shard: Shard,
    /// Precision of the products.
    #[serde(default)]
    pub precision: Precision,
}

impl Manifest {
    /// The first key in which two runs differ, with both values.
    pub fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let steps = |m: &Self| m.steps_per_level.map_or("the model's".to_owned(), |n| n.to_string());
        let pairs = [
            ("model", self.model.clone(), other.model.clone()),
            ("seed", self.seed.to_string(), other.seed.to_string()),
            ("count", self.count.to_string(), other.count.to_string()),
            ("conditions", self.conditions.clone(), other.conditions.clone()),
            ("steps per level", steps(self), steps(other)),
            ("shard", self.shard.to_string(), other.shard.to_string()),
            ("precision", self.precision.to_string(), other.precision.to_string()),
        ];
        pairs.into_iter().find(|(_, a, b)| a != b)
    }

    /// Reads the manifest of a folder; `None` when there is none.
    ///
    /// # Errors
    /// [`RunError::Damaged`] when it does not parse.
    pub fn read(folder: &std::path::Path) -> Result<Option<Self>, RunError> {
        let path = folder.join(MANIFEST_FILE);
        match files::read_if_exists(&path)? {
            Some(bytes) => match serde_json::from_slice(&bytes) {
                Ok(manifest) => Ok(Some(manifest)),
                Err(e) => Err(RunError::Damaged { path, reason: e.to_string() }),
            },
            None => Ok(None),
        }
    }

    /// Writes the manifest of a folder.
    ///
    /// # Errors
    /// [`RunError::Write`].
    pub fn write(&self, folder: &std::path::Path) -> Result<(), RunError> {
        let text = serde_json::to_vec_pretty(self).expect("a manifest is plain text and numbers");
        Ok(files::write_atomic(&folder.join(MANIFEST_FILE), &text)?)
    }
}

/// What a sampling run achieved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Structures finished by this call.
    pub sampled: u64,
    /// Structures the model failed at, in this call.
    pub failed: u64,
    /// Structures that were there already.
    pub found: u64,
    /// Whether it was asked to stop before the end.
    pub interrupted: bool,
}
