//! Putting the shards of a run together, whatever it made.

use std::path::PathBuf;

use crate::RunError;
use crate::folder::RunFolder;
use crate::output::{Merged, RunIdentity, SampleFormat, merge_runs};
use crate::relax::{RelaxManifest, merge_trajectories, write_table};
use crate::sample::{Manifest, images};
use crate::screen::{RELAXED_FOLDER, ScreenManifest};

/// Puts the relaxed candidates of several shards of a screening together; the screening of the whole continues there.
fn merge_screenings(parts: &[PathBuf], out: &RunFolder) -> Result<Merged, RunError> {
    let mut whole: Option<ScreenManifest> = None;
    for part in parts {
        let identity = ScreenManifest::read(part)?
            .ok_or_else(|| {
                RunError::Merge(format!("`{}` holds no {}", part.display(), ScreenManifest::WHAT))
            })?
            .whole();
        if let Some((key, a, b)) = whole.as_ref().and_then(|w| w.difference(&identity)) {
            let (first, part) = (parts[0].display(), part.display());
            return Err(RunError::Merge(format!(
                "`{first}` and `{part}` are parts of different screenings: {key} is {a} and {b}"
            )));
        }
        whole = Some(identity);
    }
    let whole = whole.ok_or_else(|| RunError::Merge("no folder is named".into()))?;
    if ScreenManifest::read(out.path())?.is_some() {
        return Err(RunError::Occupied { path: out.path().to_owned(), what: ScreenManifest::WHAT });
    }
    let relaxed: Vec<PathBuf> = parts.iter().map(|part| part.join(RELAXED_FOLDER)).collect();
    let folder = RunFolder::open(&out.join(RELAXED_FOLDER))?;
    let merged = merge_runs::<RelaxManifest>(&relaxed, &folder, SampleFormat::Jsonl)?;
    write_table(folder.path())?;
    whole.claim(out, false)?;
    Ok(merged)
}

/// Writes the structures of several shards of one run, sampled or relaxed, to `out`, in the order of their indices: the same files
/// as a run in one piece. Of shards of a screening the relaxed candidates are put together.
///
/// # Errors
/// [`RunError::Merge`] when the folders hold parts of different runs or the same index twice;
/// [`RunError::Occupied`] when `out` holds structures already.
pub fn merge(parts: &[PathBuf], out: &RunFolder, format: SampleFormat) -> Result<Merged, RunError> {
    if parts.iter().any(|part| part.join(ScreenManifest::FILE).is_file()) {
        return merge_screenings(parts, out);
    }
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
