//! Energies of structures by a potential, kept by content: what was computed once for one potential and one way of relaxing is
//! never computed again, whatever set or run a structure comes from.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use druse_crystal::{Structure, files};
use druse_data::{Item, Listing};
use druse_metrics::corrections::Mp2020;
use druse_relax::RelaxSettings;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::folder::complete_lines;
use crate::relax::{RelaxPlan, RelaxRow, RowSink};

/// How corrections are told; another number where that changes, so that old files are not read.
const CORRECTIONS: &str = "corrections 1";

/// What is known of a structure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Hash of the structure that was evaluated or relaxed.
    key: String,
    /// Its energy where it came to rest (eV/atom); `None` where nothing came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_per_atom: Option<f64>,
    /// The correction MP2020 there (eV/atom).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mp2020: Option<f64>,
    /// Why nothing came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Hash of a structure as it is written.
fn key(structure: &Structure) -> String {
    let mut hash = blake3::Hasher::new();
    for x in structure.lattice.rows().iter().chain(&structure.frac_coords).flatten() {
        hash.update(&x.to_le_bytes());
    }
    hash.update(&structure.atomic_numbers());
    hash.finalize().to_hex()[..32].to_owned()
}

/// A file of energies by one potential and one way of relaxing; it is read when a run begins and grows as structures end.
pub(super) struct KnownEnergies {
    folder: PathBuf,
    path: PathBuf,
    file: Option<File>,
    known: HashMap<String, Known>,
    /// The key of each row of the listing.
    keys: Vec<Option<String>>,
}

impl KnownEnergies {
    /// The file for a potential and a way of relaxing in a folder, which is made.
    pub fn new(folder: &Path, potential: &str, settings: &RelaxSettings) -> Self {
        let settings = serde_json::to_string(settings).expect("settings are plain numbers and text");
        let name = blake3::hash(format!("{potential}\n{settings}\n{CORRECTIONS}").as_bytes()).to_hex();
        let path = folder.join(format!("{}.jsonl", &name[..16]));
        Self { folder: folder.to_owned(), path, file: None, known: HashMap::new(), keys: Vec::new() }
    }

    /// What is known of a structure.
    pub fn of(&self, structure: &Structure) -> Option<&Known> {
        self.known.get(&key(structure))
    }
}

impl RowSink for KnownEnergies {
    fn begin(&mut self, _: &RelaxPlan, listing: &Listing) -> Result<BTreeSet<u64>, RunError> {
        files::create_dir_all(&self.folder)?;
        // Half a line, left by a process that was killed or is still writing, is not there yet.
        for line in complete_lines(&self.path)? {
            if let Ok(known) = serde_json::from_str::<Known>(&line) {
                self.known.insert(known.key.clone(), known);
            }
        }
        self.file = Some(files::append(&self.path)?);
        self.keys = listing.items.iter().map(|item: &Item| item.structure().map(key)).collect();
        let known = |key: &Option<String>| key.as_ref().is_none_or(|key| self.known.contains_key(key));
        Ok((0..).zip(&self.keys).filter(|(_, key)| known(key)).map(|(i, _)| i).collect())
    }

    fn put(&mut self, row: RelaxRow) -> Result<(), RunError> {
        let (Some(Some(key)), Some(file)) = (self.keys.get(row.index as usize), &mut self.file) else {
            return Err(RunError::NotBegun);
        };
        let relaxed = row.relaxed().filter(|_| row.failure().is_none());
        let energy = relaxed.and_then(|r| r.figures.as_ref()).map(|figures| figures.energy_per_atom());
        let of_atom = |correction: f64, atoms: usize| correction / atoms as f64;
        let mp2020 = relaxed.and_then(|r| {
            let structure = &r.structure;
            Mp2020::correction(structure).ok().map(|correction| of_atom(correction, structure.len()))
        });
        let known = Known {
            key: key.clone(),
            energy_per_atom: energy.filter(|e| e.is_finite()),
            mp2020,
            reason: row.failure(),
        };
        let mut line = serde_json::to_vec(&known).expect("plain text and numbers");
        line.push(b'\n');
        // In one piece, for several processes may append.
        file.write_all(&line).map_err(RunError::write(&self.path))?;
        self.known.insert(known.key.clone(), known);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), RunError> {
        self.file = None;
        Ok(())
    }
}
