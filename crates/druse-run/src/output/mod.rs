//! Runs that write structures into a folder: `structures.jsonl`, `failures.jsonl`, and files in the chosen format.
//!
//! A structure has an index within its run, a folder holds a share of a run, and the identity of the run lies beside it, so
//! that it can be continued and merged.

mod format;
mod identity;
mod listing;
mod merge;
mod shard;
mod writer;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use format::SampleFormat;
pub use identity::RunIdentity;
pub use listing::list_structures;
pub use merge::{Merged, merge_runs};
pub use shard::Shard;
pub use writer::{StructureWriter, file_text, index_of, parse_lines, record, sort, stem};

/// Finished structures, one a line.
pub const STRUCTURES_FILE: &str = "structures.jsonl";

/// Structures that failed, one a line.
pub const FAILURES_FILE: &str = "failures.jsonl";

/// What a folder of sampled structures holds: model, seed, requests.
pub const SAMPLING_FILE: &str = "sampling.json";

/// What a folder of relaxed structures holds: potential, settings, input.
pub const RELAXATION_FILE: &str = "relaxation.json";

/// The files by which a folder is known as that of a run.
const RUN_FILES: [&str; 2] = [SAMPLING_FILE, RELAXATION_FILE];

/// A structure that failed: that the model failed at, or whose relaxation came to nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Its index.
    pub index: u64,
    /// Its identifier, where that is not the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What was asked for or given: a composition, a place in latent space.
    #[serde(rename = "formula")]
    pub label: String,
    /// The reason.
    pub reason: String,
    /// What would have been written with the structure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, serde_json::Value>,
}

impl Failure {
    /// Its line in the file.
    fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a failure is plain text");
        line.push(b'\n');
        line
    }
}
