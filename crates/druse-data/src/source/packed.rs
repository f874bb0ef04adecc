//! Packed stores as sources.

use std::path::Path;

use druse_crystal::formats::{COINCIDENCE_DISTANCE, CoincidentSites, coincident_sites};
use rayon::prelude::*;

use super::{Found, Reading, Row, Rows};
use crate::store::Store;
use crate::{DataError, Entry};

/// Entries read at a time.
const BLOCK: usize = 4096;

/// Reads a store block by block.
pub(super) fn read_blocks(
    path: &Path,
    reading: Reading,
    take: &mut dyn FnMut(Rows) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let failed = |e| DataError::of_store(path)(e);
    let store = Store::open(path).map_err(failed)?;
    if reading.strict && !store.beside().strict {
        return Err(DataError::NotStrict { path: path.to_owned() });
    }
    take(Rows { rows: Vec::new(), warnings: store.beside().warnings.clone() })?;
    let mut entries = store.entries().map_err(failed)?;
    let mut first = 0;
    loop {
        let block = entries.block(BLOCK).map_err(failed)?;
        if block.is_empty() {
            return Ok(());
        }
        let n = block.len();
        let row = |(k, entry)| row(first + k, entry, reading);
        let rows = block.into_par_iter().enumerate().map(row).collect();
        take(Rows { rows, warnings: Vec::new() })?;
        first += n;
    }
}

fn row(k: usize, Entry { id, mut structure }: Entry, reading: Reading) -> Row {
    let properties = std::mem::take(&mut structure.properties);
    Row {
        row: Some(k + 1),
        line: None,
        counted: id == crate::entry::default_id(Some(k + 1)),
        id: Some(id),
        properties,
        composition: None,
        outcome: checked(Found { structure, warnings: Vec::new() }, reading),
    }
}

/// Refuses coincident sites where they are to be refused.
pub(super) fn checked(found: Found, reading: Reading) -> Result<Found, String> {
    match (reading.coincident, coincident_sites(&found.structure)) {
        (CoincidentSites::Refuse, Some((i, j, _))) => {
            let name = |k: usize| format!("{} (site {})", found.structure.species[k].symbol(), k + 1);
            Err(format!("{} and {} coincide (are nearer than {COINCIDENCE_DISTANCE} Å)", name(i), name(j)))
        }
        _ => Ok(found),
    }
}
