//! The sampling driver.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use druse_crystal::{Composition, Structure};
use druse_models::{Condition, Generator, ModelError, SampleRequest};
use druse_nn::Params;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::folder::{RunFolder, write_atomic};
use crate::observer::{Event, Observer};
use crate::output::{Failure, MANIFEST_FILE, OutputFormat, StructureWriter, record};

/// A share of the structures of a run: those whose index leaves the remainder `index` when divided by `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    /// Which share, from 0.
    pub index: u64,
    /// Number of shares.
    pub count: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |t: &str| t.parse::<u64>().ok();
        match text.split_once('/').map(|(i, n)| (parse(i), parse(n))) {
            Some((Some(index), Some(count))) if index < count => Ok(Self { index, count }),
            _ => Err(format!("`{text}` is no shard: expected i/n with i from 0 to n - 1, such as 0/4")),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

/// What to sample and how.
#[derive(Debug, Clone)]
pub struct SamplePlan {
    /// Compositions; structure `i` has composition `i % compositions.len()`.
    pub compositions: Vec<Composition>,
    /// Number of structures in all, over all shards.
    pub count: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Hash of the model, so that a run is not continued with another one.
    pub model: String,
    /// The share that is sampled here.
    pub shard: Shard,
    /// Form of the output.
    pub format: OutputFormat,
    /// Structures worked on at a time; the structures do not depend on it.
    pub batch_size: usize,
    /// Whether a folder that holds part of this run is continued.
    pub resume: bool,
}

impl SamplePlan {
    /// The request with this index.
    pub fn request(&self, index: u64) -> SampleRequest {
        let composition = &self.compositions[(index % self.compositions.len() as u64) as usize];
        SampleRequest { condition: Condition::Composition(composition.clone()), seed: self.seed, index }
    }

    fn formula(&self, index: u64) -> String {
        self.compositions[(index % self.compositions.len() as u64) as usize].formula()
    }

    /// Describes the run, apart from how it is worked off.
    pub fn manifest(&self) -> Manifest {
        let mut hash = blake3::Hasher::new();
        for composition in &self.compositions {
            hash.update(composition.formula().as_bytes()).update(b"\n");
        }
        Manifest {
            model: self.model.clone(),
            seed: self.seed,
            count: self.count,
            compositions: hash.finalize().to_hex().to_string(),
            shard: self.shard,
        }
    }
}

/// The identity of a sampling run, kept beside its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Hash of the model.
    pub model: String,
    /// Seed.
    pub seed: u64,
    /// Number of structures over all shards.
    pub count: u64,
    /// Hash of the list of compositions.
    pub compositions: String,
    /// The share that the folder holds.
    pub shard: Shard,
}

impl Manifest {
    /// The first key in which two runs differ, with both values.
    pub fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let pairs = [
            ("model", self.model.clone(), other.model.clone()),
            ("seed", self.seed.to_string(), other.seed.to_string()),
            ("count", self.count.to_string(), other.count.to_string()),
            ("compositions", self.compositions.clone(), other.compositions.clone()),
            ("shard", self.shard.to_string(), other.shard.to_string()),
        ];
        pairs.into_iter().find(|(_, a, b)| a != b)
    }

    /// Reads the manifest of a folder; `None` when there is none.
    ///
    /// # Errors
    /// [`RunError::Damaged`] when it does not parse.
    pub fn read(folder: &std::path::Path) -> Result<Option<Self>, RunError> {
        let path = folder.join(MANIFEST_FILE);
        match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(manifest) => Ok(Some(manifest)),
                Err(e) => Err(RunError::Damaged { path, reason: e.to_string() }),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RunError::Read { path, source }),
        }
    }

    /// Writes the manifest of a folder.
    ///
    /// # Errors
    /// [`RunError::Write`].
    pub fn write(&self, folder: &std::path::Path) -> Result<(), RunError> {
        let text = serde_json::to_vec_pretty(self).expect("a manifest is plain text and numbers");
        write_atomic(&folder.join(MANIFEST_FILE), &text)
    }
}

/// What a sampling run achieved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Structures finished by this call.
    pub sampled: u64,
    /// Structures the model failed at, in this call.
    pub failed: u64,
    /// Structures that were there already.
    pub found: u64,
    /// Whether it was asked to stop before the end.
    pub interrupted: bool,
}

/// Samples the structures of a plan into `folder`, in the order of their indices. Structures appear on the disk batch
/// by batch, and `stop`, looked at before every step, loses at most the batch at work.
///
/// # Errors
/// [`RunError`] for conditions the model cannot serve, a folder that holds another run, and failed writes. A single
/// structure that fails is written to the list of failures instead.
pub fn sample(
    generator: &dyn Generator,
    params: &Params,
    plan: &SamplePlan,
    folder: &RunFolder,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Summary, RunError> {
    // Every composition is checked before anything is written or computed.
    for i in 0..plan.compositions.len().min(usize::try_from(plan.count).unwrap_or(usize::MAX)) {
        generator.sampler(params, &[plan.request(i as u64)])?;
    }
    let manifest = plan.manifest();
    match Manifest::read(folder.path())? {
        None => manifest.write(folder.path())?,
        Some(stored) => {
            if let Some((key, stored, given)) = stored.difference(&manifest).filter(|_| plan.resume) {
                let path = folder.path().to_owned();
                return Err(RunError::Changed { path, key: key.into(), stored, given });
            }
            if !plan.resume {
                let path = folder.path().to_owned();
                return Err(RunError::Occupied { path, what: "sampled structures" });
            }
        }
    }
    let mut writer = StructureWriter::open(folder, plan.format)?;
    let shard = plan.shard;
    let wanted = (0..plan.count).filter(|i| i % shard.count == shard.index);
    let (found, missing): (Vec<u64>, Vec<u64>) = wanted.partition(|i| writer.finished().contains(i));
    let mut summary = Summary { found: found.len() as u64, ..Summary::default() };
    for batch in missing.chunks(plan.batch_size.max(1)) {
        let requests: Vec<SampleRequest> = batch.iter().map(|&i| plan.request(i)).collect();
        let finished = found.len() + (summary.sampled + summary.failed) as usize;
        let Some(results) = run_batch(generator, params, &requests, finished, observer, stop) else {
            summary.interrupted = true;
            break;
        };
        for (&index, result) in batch.iter().zip(results) {
            let failure = match result {
                Ok(structure) => {
                    writer.write(&record(index, plan.seed, structure))?;
                    summary.sampled += 1;
                    None
                }
                Err(e) => {
                    let reason = e.to_string();
                    writer.write_failure(&Failure {
                        index,
                        formula: plan.formula(index),
                        reason: reason.clone(),
                    })?;
                    summary.failed += 1;
                    Some(reason)
                }
            };
            observer.observe(Event::Sampled { index, failure: failure.as_deref() });
        }
    }
    Ok(summary)
}

/// Runs one batch to its end; `None` when it was stopped. When the batch as a whole fails, its structures are sampled
/// one by one, so that only those fail that have to.
fn run_batch(
    generator: &dyn Generator,
    params: &Params,
    requests: &[SampleRequest],
    finished: usize,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Option<Vec<Result<Structure, ModelError>>> {
    let mut advance = || -> Result<Option<Vec<Result<Structure, ModelError>>>, ModelError> {
        let mut sampler = generator.sampler(params, requests)?;
        let total = sampler.total_steps();
        for step in 0..total {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            sampler.step()?;
            let (batch, steps) = (requests.len(), (step + 1, total));
            observer.observe(Event::SamplingStep { finished, batch, steps });
        }
        Ok(Some(sampler.finish()))
    };
    match advance() {
        Ok(results) => results,
        Err(e) if requests.len() == 1 => Some(vec![Err(e)]),
        Err(_) => requests
            .iter()
            .map(|r| run_batch(generator, params, std::slice::from_ref(r), finished, observer, stop))
            .collect::<Option<Vec<_>>>()
            .map(|all| all.into_iter().flatten().collect()),
    }
}
