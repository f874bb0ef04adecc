//! Features of a set kept on the disk, so that a second evaluation against the same reference starts at once.
//!
//! | bytes | content |
//! | --- | --- |
//! | 8 | magic `DRUSEFEA` |
//! | 32 | BLAKE3 of the payload |
//! | … | payload: one record a row (postcard) |
//!
//! The file's name is a hash of cells, species and coordinates of the set, of what was computed, and of the versions.

use std::io::Write;
use std::path::{Path, PathBuf};

use druse_crystal::files;
use druse_data::{Cache, Listing};
use druse_metrics::descriptors::{DescriptorSettings, Descriptors, Geometry};
use druse_metrics::symmetry::SymmetrySummary;
use serde::{Deserialize, Serialize};

/// Raised whenever a descriptor or its layout changes.
const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"DRUSEFEA";

/// Descriptors of a row without its composition, which the source tells at no cost.
#[derive(Serialize, Deserialize)]
struct Record {
    geometry: Result<Geometry, String>,
    fingerprint: Option<Result<Vec<f64>, String>>,
    symmetry: Option<Result<SymmetrySummary, String>>,
}

/// Where the features of a set are kept; `None` without a cache.
pub fn file(cache: &Cache, listing: &Listing, settings: &DescriptorSettings) -> Option<PathBuf> {
    let text = format!(
        "druse {} features {VERSION} fingerprint {} symprec {:?}\n{}",
        env!("CARGO_PKG_VERSION"),
        settings.fingerprint,
        settings.symprec,
        listing.structures_hash()
    );
    let key = &blake3::hash(text.as_bytes()).to_hex()[..32];
    cache.folder().map(|folder| folder.join(format!("{key}.features")))
}

/// The features in a file, when they are there and whole; a damaged file costs a warning.
pub fn read(file: &Path, listing: &Listing) -> Option<Vec<Descriptors>> {
    let bytes = match files::read_if_exists(file) {
        Ok(bytes) => bytes?,
        Err(e) => {
            tracing::warn!("the feature cache is not used: {e}");
            return None;
        }
    };
    let found = decode(&bytes, listing);
    if found.is_none() {
        tracing::warn!("the feature cache `{}` is damaged; it is built anew", file.display());
    }
    found
}

fn decode(bytes: &[u8], listing: &Listing) -> Option<Vec<Descriptors>> {
    let (sum, payload) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
    if blake3::hash(payload).as_bytes() != sum {
        return None;
    }
    let records: Vec<Record> = postcard::from_bytes(payload).ok()?;
    if records.len() != listing.len() {
        return None;
    }
    let descriptors = records.into_iter().zip(&listing.items).map(|(record, item)| Descriptors {
        composition: item.composition().unwrap_or_default(),
        geometry: record.geometry,
        fingerprint: record.fingerprint,
        symmetry: record.symmetry,
    });
    Some(descriptors.collect())
}

/// Keeps features; a folder that cannot be written costs a warning.
pub fn write(file: &Path, descriptors: &[Descriptors]) {
    let records: Vec<Record> = descriptors
        .iter()
        .map(|d| Record {
            geometry: d.geometry.clone(),
            fingerprint: d.fingerprint.clone(),
            symmetry: d.symmetry.clone(),
        })
        .collect();
    let written = postcard::to_allocvec(&records).map_err(|e| e.to_string()).and_then(|payload| {
        file.parent()
            .map_or(Ok(()), files::create_dir_all)
            .and_then(|()| {
                files::write_atomic_with(file, |out| {
                    out.write_all(MAGIC)?;
                    out.write_all(blake3::hash(&payload).as_bytes())?;
                    out.write_all(&payload)
                })
            })
            .map_err(|e| e.to_string())
    });
    if let Err(reason) = written {
        tracing::warn!("the feature cache is not written: {reason}; going on without it");
    }
}
