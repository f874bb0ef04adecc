//! JSON Lines: one structure a line, written by sampling and by `convert`, read as a data set.

use std::io::{self, Write};

use druse_crystal::{Properties, Structure};
use serde::{Deserialize, Serialize};

use crate::Entry;

/// One line of a `.jsonl` file:
/// `{"id": "0", "formula": "LiFeO2", "structure": {"lattice": [[…], […], […]], "species": ["Li", …],
/// "frac_coords": [[…], …]}, "properties": {…}}`.
///
/// Lattice vectors are rows in Å. The data set reader ([`load`](crate::load)) takes further scalar members of the
/// object as properties too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JsonlRecord {
    /// Identifier, unique in the file.
    pub id: String,
    /// Reduced formula, for people and for `grep`; readers derive it from the structure.
    #[serde(default)]
    pub formula: String,
    /// The crystal; its properties stand beside it.
    pub structure: Structure,
    /// Named values: properties of a data set, or seed, index and flags of a sampled structure.
    #[serde(default, skip_serializing_if = "Properties::is_empty")]
    pub properties: Properties,
}

impl From<&Entry> for JsonlRecord {
    fn from(entry: &Entry) -> Self {
        Self {
            id: entry.id.clone(),
            formula: crate::source::reduced_formula(&entry.structure),
            structure: Structure {
                lattice: entry.structure.lattice,
                species: entry.structure.species.clone(),
                frac_coords: entry.structure.frac_coords.clone(),
                labels: entry.structure.labels.clone(),
                properties: Properties::new(),
            },
            properties: entry.structure.properties.clone(),
        }
    }
}

/// Writes the record as one line, newline included, in a single call of `write_all`: an interrupted program leaves
/// at most one incomplete line, the last.
///
/// # Errors
/// The writer's error.
pub fn write_jsonl_record(out: &mut impl Write, record: &JsonlRecord) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    out.write_all(&line)
}
