//! What is sampled, and what came of it.

use burn::tensor::Device;
use druse_models::SampleRequest;
use druse_nn::Precision;
use druse_nn::device::is_host;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Target;
use super::symmetry::ASKED;
use crate::output::{RunIdentity, SAMPLING_FILE, Shard};

/// Who carries structures through their steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// Every thread, one structure at a time: for the CPU.
    OnePerThread,
    /// So many groups (at most one a thread), each of structures that are computed together: for accelerators. Each
    /// group has requests of its own, so that who is computed with whom does not depend on timing.
    Groups {
        /// Groups: while the device computes one, the host prepares another.
        groups: usize,
        /// Structures in flight in all groups together, at most.
        in_flight: usize,
    },
}

impl Workers {
    /// What suits a device, with at most so many structures in flight on an accelerator.
    pub fn for_device(device: &Device, in_flight: usize) -> Self {
        if is_host(device) { Self::OnePerThread } else { Self::Groups { groups: 2, in_flight } }
    }
}

/// What to sample and how.
#[derive(Debug, Clone)]
pub struct SamplePlan {
    /// What to sample; structure `i` is `targets[i % targets.len()]`.
    pub targets: Vec<Target>,
    /// Number of structures in all, over all shards.
    pub count: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Hash of the model, so that a run is not continued with another one.
    pub model: String,
    /// The sampling settings of the model.
    pub sampling: Map<String, Value>,
    /// The share that is sampled here.
    pub shard: Shard,
    /// Precision of the products.
    pub precision: Precision,
    /// Who works on how many at a time. On the CPU the output does not depend on it.
    pub workers: Workers,
}

impl SamplePlan {
    /// The request with this index.
    pub fn request(&self, index: u64) -> SampleRequest {
        let conditions = self.target(index).conditions.clone();
        SampleRequest { conditions, seed: self.seed, index, nth: index / self.targets.len() as u64 }
    }

    /// What the structure with this index is.
    pub fn target(&self, index: u64) -> &Target {
        &self.targets[(index % self.targets.len() as u64) as usize]
    }

    /// Describes the run, apart from how it is worked off.
    pub fn manifest(&self) -> Manifest {
        let mut hash = blake3::Hasher::new();
        self.targets.iter().for_each(|target| target.identify(&mut hash));
        Manifest {
            model: self.model.clone(),
            seed: self.seed,
            count: self.count,
            conditions: hash.finalize().to_hex().to_string(),
            sampling: self.sampling.clone(),
            shard: self.shard,
            precision: self.precision,
            products: self.precision.products().to_owned(),
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
    /// The sampling settings of the model.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub sampling: Map<String, Value>,
    /// The share that the folder holds.
    pub shard: Shard,
    /// Precision of the products.
    #[serde(default)]
    pub precision: Precision,
    /// How the processor that began the run computes products in this precision. Another one may continue it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub products: String,
}

impl RunIdentity for Manifest {
    const FILE: &'static str = SAMPLING_FILE;
    const WHAT: &'static str = "sampled structures";
    const SYMMETRIC: &'static str = ASKED;

    fn count(&self) -> u64 {
        self.count
    }

    fn whole(self) -> Self {
        Self { shard: Shard::default(), ..self }
    }

    fn values(&self) -> Vec<(&'static str, String)> {
        vec![
            ("model", self.model.clone()),
            ("seed", self.seed.to_string()),
            ("count", self.count.to_string()),
            ("conditions", self.conditions.clone()),
            ("sampling", Value::Object(self.sampling.clone()).to_string()),
            ("shard", self.shard.to_string()),
            ("precision", self.precision.to_string()),
        ]
    }
}

/// What a sampling run achieved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Structures finished by this call.
    pub sampled: u64,
    /// Structures the model failed at, in this call.
    pub failed: u64,
    /// Structures finished by this call that have more atoms than any of the model's training set.
    pub larger_than_training: u64,
    /// Structures that were there already.
    pub found: u64,
    /// Whether it was asked to stop before the end.
    pub interrupted: bool,
}
