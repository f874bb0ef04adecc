//! Putting the shards of a run together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use druse_data::JsonlRecord;

use super::{
    FAILURES_FILE, Failure, RunIdentity, STRUCTURES_FILE, SampleFormat, StructureWriter, index_of,
    parse_lines,
};
use crate::RunError;
use crate::folder::RunFolder;

/// What a merge put together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merged {
    /// Structures written.
    pub structures: u64,
    /// Failures listed.
    pub failures: u64,
    /// Structures of the run that no shard holds.
    pub missing: u64,
}

/// Writes the structures of several shards of one run to `out`, in the order of their indices: the same files as a run
/// in one piece.
///
/// # Errors
/// [`RunError::Merge`] when the folders hold parts of different runs or the same index twice;
/// [`RunError::Occupied`] when `out` holds structures already.
pub fn merge_runs<I: RunIdentity>(
    parts: &[PathBuf],
    out: &RunFolder,
    format: SampleFormat,
) -> Result<Merged, RunError> {
    if I::read(out.path())?.is_some() {
        return Err(RunError::Occupied { path: out.path().to_owned(), what: I::WHAT });
    }
    let mut whole: Option<I> = None;
    let mut lines: BTreeMap<u64, (&Path, Line)> = BTreeMap::new();
    for part in parts {
        let identity = I::read(part)?
            .ok_or_else(|| RunError::Merge(format!("`{}` holds no {}", part.display(), I::WHAT)))?
            .whole();
        if let Some((key, a, b)) = whole.as_ref().and_then(|w| w.difference(&identity)) {
            let (first, part) = (parts[0].display(), part.display());
            return Err(RunError::Merge(format!(
                "`{first}` and `{part}` are parts of different runs: {key} is {a} and {b}"
            )));
        }
        whole = Some(identity);
        let path = part.join(STRUCTURES_FILE);
        let mut found = Vec::new();
        for record in parse_lines::<JsonlRecord>(&path)? {
            found.push((index_of(&path, &record)?, Line::Structure(Box::new(record))));
        }
        for failure in parse_lines::<Failure>(&part.join(FAILURES_FILE))? {
            found.push((failure.index, Line::Failure(failure)));
        }
        for (index, line) in found {
            if let Some((other, _)) = lines.insert(index, (part, line)) {
                let (other, part) = (other.display(), part.display());
                return Err(RunError::Merge(format!("structure {index} is in `{other}` and in `{part}`")));
            }
        }
    }
    let whole = whole.ok_or_else(|| RunError::Merge("no folder is named".into()))?;
    let mut merged =
        Merged { missing: whole.count().saturating_sub(lines.len() as u64), ..Merged::default() };
    whole.write(out.path())?;
    let mut writer = StructureWriter::open(out, format, I::SYMMETRIC)?;
    for (_, line) in lines.into_values() {
        match line {
            Line::Structure(record) => {
                writer.write(&record)?;
                merged.structures += 1;
            }
            Line::Failure(failure) => {
                writer.write_failure(&failure)?;
                merged.failures += 1;
            }
        }
    }
    Ok(merged)
}

enum Line {
    Structure(Box<JsonlRecord>),
    Failure(Failure),
}
