//! A folder of relaxed structures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use druse_crystal::files;
use druse_data::Listing;

use super::trajectory::{TRAJECTORIES_FOLDER, frames_text};
use super::{RelaxManifest, RelaxPlan, RelaxRow, RowSink, write_table};
use crate::RunError;
use crate::folder::RunFolder;
use crate::output::{RunIdentity, SampleFormat, StructureWriter, sort, stem};

/// A folder: `structures.jsonl`, `failures.jsonl`, files in the chosen format, trajectories where they are kept, and, when the run
/// is finished, `relaxed.csv`.
pub struct FolderRows<'a> {
    folder: &'a RunFolder,
    format: SampleFormat,
    /// Whether a folder that holds part of this run is continued.
    resume: bool,
    writer: Option<StructureWriter>,
}

impl<'a> FolderRows<'a> {
    /// A folder that holds no structures yet; with `resume`, part of the same run.
    pub fn new(folder: &'a RunFolder, format: SampleFormat, resume: bool) -> Self {
        Self { folder, format, resume, writer: None }
    }
}

/// Copies the trajectories of shards into the folder of the whole.
///
/// # Errors
/// [`RunError::Read`], [`RunError::Write`].
pub(crate) fn merge_trajectories(parts: &[PathBuf], out: &Path) -> Result<(), RunError> {
    let out = out.join(TRAJECTORIES_FOLDER);
    for part in parts {
        let from = part.join(TRAJECTORIES_FOLDER);
        if !from.is_dir() {
            continue;
        }
        files::create_dir_all(&out)?;
        for entry in files::list(&from)? {
            files::write_atomic(&out.join(entry.file_name()), &files::read(&entry.path())?)?;
        }
    }
    Ok(())
}

impl RowSink for FolderRows<'_> {
    fn begin(&mut self, plan: &RelaxPlan, listing: &Listing) -> Result<BTreeSet<u64>, RunError> {
        plan.manifest(listing).claim(self.folder, self.resume)?;
        let writer = StructureWriter::open(self.folder, self.format, RelaxManifest::SYMMETRIC)?;
        let finished = writer.finished().clone();
        if plan.settings.trajectory {
            files::create_dir_all(&self.folder.join(TRAJECTORIES_FOLDER))?;
        }
        self.writer = Some(writer);
        Ok(finished)
    }

    fn put(&mut self, row: RelaxRow) -> Result<(), RunError> {
        let Some(writer) = &mut self.writer else { return Err(RunError::NotBegun) };
        // The path first, so that every line has its path.
        if let Some(relaxed) = row.relaxed().filter(|relaxed| !relaxed.trajectory.is_empty()) {
            let name = format!("{}.extxyz", stem(row.index, &row.formula));
            let path = self.folder.join(TRAJECTORIES_FOLDER).join(name);
            files::write_atomic(&path, frames_text(&row.id, &relaxed.trajectory).as_bytes())?;
        }
        match row.line() {
            Ok(record) => writer.write(&record),
            Err(failure) => writer.write_failure(&failure),
        }
    }

    fn finish(&mut self) -> Result<(), RunError> {
        // The files are replaced: the writer must not hold those that were.
        self.writer = None;
        sort(self.folder, self.format)?;
        write_table(self.folder.path())
    }
}
