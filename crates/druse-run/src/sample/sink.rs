//! Where sampled structures go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::SyncSender;

use druse_crystal::Structure;
use druse_data::crystens::{Image, Normalization};
use druse_models::ModelError;
use serde_json::Value;

use super::images::ImageStore;
use super::{Manifest, SamplePlan};
use crate::RunError;
use crate::folder::RunFolder;
use crate::output::{Failure, RunIdentity, SampleFormat, StructureWriter, record};

/// A structure of a run, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Its index within the run.
    pub index: u64,
    /// Seed of the run.
    pub seed: u64,
    /// What it was asked for as.
    pub label: String,
    /// What belongs to the request and is written with the structure.
    pub properties: BTreeMap<String, Value>,
    /// The structure, or why the model failed.
    pub result: Result<Structure, ModelError>,
    /// The image that the structure was read from, of a model that makes images.
    pub image: Option<Image>,
}

/// Takes the structures of a run, in the order of their indices.
pub trait Sink: Send {
    /// Called once, before anything is computed and after every condition was checked. Returns the indices that are there
    /// already and are not sampled again.
    ///
    /// # Errors
    /// [`RunError`] when the run cannot go there.
    fn begin(&mut self, plan: &SamplePlan) -> Result<BTreeSet<u64>, RunError>;

    /// Takes a structure. What has been taken stays, whatever happens to the run.
    ///
    /// # Errors
    /// [`RunError`]; the run ends with it.
    fn put(&mut self, finished: Finished) -> Result<(), RunError>;
}

/// A folder: `structures.jsonl`, `failures.jsonl`, files in the chosen format, and the images if they are kept.
pub struct FolderSink<'a> {
    folder: &'a RunFolder,
    format: SampleFormat,
    /// Whether a folder that holds part of this run is continued.
    resume: bool,
    /// How images are normalized, where they are kept.
    images: Option<Normalization>,
    writer: Option<(StructureWriter, Option<ImageStore>)>,
}

impl<'a> FolderSink<'a> {
    /// A folder that holds no structures yet; with `resume`, part of the same run.
    pub fn new(folder: &'a RunFolder, format: SampleFormat, resume: bool) -> Self {
        Self { folder, format, resume, images: None, writer: None }
    }

    /// Keeps the images of a model that makes them, beside the structures; `normalization` is theirs.
    #[must_use]
    pub fn keeping_images(self, normalization: Normalization) -> Self {
        Self { images: Some(normalization), ..self }
    }
}

impl Sink for FolderSink<'_> {
    fn begin(&mut self, plan: &SamplePlan) -> Result<BTreeSet<u64>, RunError> {
        plan.manifest().claim(self.folder, self.resume)?;
        let writer = StructureWriter::open(self.folder, self.format, Manifest::SYMMETRIC)?;
        let finished = writer.finished().clone();
        let images =
            ImageStore::open(self.folder, (plan.count, plan.shard), self.images, !finished.is_empty())?;
        self.writer = Some((writer, images));
        Ok(finished)
    }

    fn put(&mut self, finished: Finished) -> Result<(), RunError> {
        let Some((writer, images)) = &mut self.writer else { return Err(RunError::NotBegun) };
        let Finished { index, seed, label, properties, result, image } = finished;
        // Before the line of the structure, which says that it needs no more work.
        if let (Some(images), Some(image)) = (images, image) {
            images.put(index, &image)?;
        }
        match result {
            Ok(structure) => writer.write(&record(index, seed, structure, &properties)),
            Err(e) => {
                writer.write_failure(&Failure { index, id: None, label, reason: e.to_string(), properties })
            }
        }
    }
}

/// Memory: a list of all that is sampled.
#[derive(Debug, Default)]
pub struct MemorySink {
    /// The structures and failures, in the order of their indices.
    pub finished: Vec<Finished>,
}

impl Sink for MemorySink {
    fn begin(&mut self, _: &SamplePlan) -> Result<BTreeSet<u64>, RunError> {
        Ok(self.finished.iter().map(|finished| finished.index).collect())
    }

    fn put(&mut self, finished: Finished) -> Result<(), RunError> {
        self.finished.push(finished);
        Ok(())
    }
}

/// A channel to another thread, which takes structures as they are finished. Its bound limits how far the run is ahead.
pub struct ChannelSink(pub SyncSender<Finished>);

impl Sink for ChannelSink {
    fn begin(&mut self, _: &SamplePlan) -> Result<BTreeSet<u64>, RunError> {
        Ok(BTreeSet::new())
    }

    fn put(&mut self, finished: Finished) -> Result<(), RunError> {
        self.0.send(finished).map_err(|_| RunError::ReceiverGone)
    }
}
