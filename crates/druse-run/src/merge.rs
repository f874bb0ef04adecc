//! Putting the shards of a run together, whatever it made.

use std::path::PathBuf;

use crate::RunError;
use crate::folder::RunFolder;
use crate::output::{Merged, RunIdentity, SampleFormat, merge_runs};
use crate::relax::{RelaxManifest, merge_trajectories, write_table};
use crate::sample::{Manifest, images};

/// Writes the structures of several shards of one run, sampled or relaxed, to `out`, in the order of their indices: the same files
/// as a run in one piece.
///
/// # Errors
/// [`RunError::Merge`] when the folders hold parts of different runs or the same index twice;
/// [`RunError::Occupied`] when `out` holds structures already.
pub fn merge(parts: &[PathBuf], out: &RunFolder, format: SampleFormat) -> Result<Merged, RunError> {
    if !parts.iter().any(|part| part.join(RelaxManifest::FILE).is_file()) {
        let merged = merge_runs::<Manifest>(parts, out, format)?;
        images::merge(parts, out, merged.structures + merged.failures + merged.missing)?;
        return Ok(merged);
    }
    let merged = merge_runs::<RelaxManifest>(parts, out, format)?;
    merge_trajectories(parts, out.path())?;
    write_table(out.path())?;
    Ok(merged)
}
