//! What is relaxed, and how.

use druse_data::Listing;
use druse_relax::{Flight, RelaxSettings};
use serde::{Deserialize, Serialize};

use crate::output::{RELAXATION_FILE, RunIdentity, Shard};

/// Property with the number of the space group that was kept.
pub(super) const SPACE_GROUP: &str = "relax_space_group";

/// What is relaxed, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct RelaxPlan {
    /// How, and when it ends.
    pub settings: RelaxSettings,
    /// What the potential is, so that a run is not continued with another one.
    pub potential: String,
    /// The share that is relaxed here.
    pub shard: Shard,
    /// Structures in flight; the output does not depend on it.
    pub flight: Flight,
}

impl RelaxPlan {
    /// Describes the run on a set, apart from how it is worked off.
    pub fn manifest(&self, listing: &Listing) -> RelaxManifest {
        let mut hash = blake3::Hasher::new();
        hash.update(listing.structures_hash().as_bytes());
        for item in &listing.items {
            hash.update(item.id.as_bytes()).update(b"\n");
        }
        RelaxManifest {
            potential: self.potential.clone(),
            settings: self.settings.clone(),
            input: hash.finalize().to_hex().to_string(),
            count: listing.len() as u64,
            shard: self.shard,
        }
    }
}

/// The identity of a relaxation, kept beside its output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RelaxManifest {
    /// What the potential is.
    pub potential: String,
    /// How crystals are relaxed.
    pub settings: RelaxSettings,
    /// Hash of the input: structures and identifiers of its rows.
    pub input: String,
    /// Number of rows over all shards.
    pub count: u64,
    /// The share that the folder holds.
    pub shard: Shard,
}

impl RunIdentity for RelaxManifest {
    const FILE: &'static str = RELAXATION_FILE;
    const WHAT: &'static str = "relaxed structures";
    const SYMMETRIC: &'static str = SPACE_GROUP;

    fn count(&self) -> u64 {
        self.count
    }

    fn whole(self) -> Self {
        Self { shard: Shard::default(), ..self }
    }

    fn values(&self) -> Vec<(&'static str, String)> {
        let settings = serde_json::to_string(&self.settings).expect("settings are plain numbers and text");
        vec![
            ("potential", self.potential.clone()),
            ("settings", settings),
            ("the number of rows of the input", self.count.to_string()),
            ("the input's hash", self.input.clone()),
            ("shard", self.shard.to_string()),
        ]
    }
}
