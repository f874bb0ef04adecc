//! Checkpoints: a model with everything needed to sample from it and, while it is trained, to continue.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use druse_models::registry::{Registry, RegistryError};
use druse_models::{Arrays, Model, ModelError, Phase, Trainable, TrainingPhase};
use druse_nn::weights::{WeightFile, WeightsError};
use druse_nn::{ParamSpec, Params, Role};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::RunConfig;
use crate::config::schedule::Plateau;

/// Value of the header entry `format`.
const FORMAT: &str = "druse-checkpoint";

/// Version that is written; it rises when older programs could no longer read what is written.
pub const VERSION: &str = "1";

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read or written, is no safetensors file, is cut off, or a tensor does not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// It is a safetensors file of something else.
    #[error("`{name}` is a safetensors file, but not a druse checkpoint")]
    Foreign {
        /// The file.
        name: String,
    },
    /// Another version of the program wrote it.
    #[error(
        "`{name}` is a checkpoint of a {kind} model in format version {found}, this program reads version {VERSION}; use the druse that wrote it{}, or train again",
        written_by.as_ref().map_or(String::new(), |by| format!(" ({by})"))
    )]
    Version {
        /// The file.
        name: String,
        /// Its version.
        found: String,
        /// Kind of its model.
        kind: String,
        /// Version of the program that wrote it, where the header says it.
        written_by: Option<String>,
    },
    /// It belongs to another kind of model.
    #[error("`{name}` is a checkpoint of the model kind `{found}`, expected {expected}")]
    Kind {
        /// The file.
        name: String,
        /// Its kind.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A header entry is missing or does not parse.
    #[error("`{name}`: the header entry `{entry}` {problem}")]
    Header {
        /// The file.
        name: String,
        /// Name of the entry.
        entry: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The training phases of the model are others than those it was trained in.
    #[error(
        "`{name}` was trained in the phases {found}, but the model has {expected}; training cannot continue from it"
    )]
    Phases {
        /// The file.
        name: String,
        /// Its phases, and how many tensors each moves.
        found: String,
        /// Those of the model.
        expected: String,
    },
    /// It holds a model, but no state of a training run.
    #[error("`{name}` is an exported model without optimizer state; training cannot continue from it")]
    NoTrainingState {
        /// The file.
        name: String,
    },
    /// The stored model cannot be built, or is of a kind that this program does not know.
    #[error("`{name}`, written by {written_by}: {source}")]
    Model {
        /// The file.
        name: String,
        /// Version of the program that wrote it.
        written_by: String,
        /// The reason.
        source: RegistryError,
    },
}

/// How far a training run is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrainingProgress {
    /// Optimizer steps done.
    pub step: u64,
    /// Epochs done, validation included.
    pub epoch: u64,
    /// Batches done of the current epoch.
    pub batch: usize,
    /// Loss summed over the structures of the current epoch.
    pub loss_sum: f64,
    /// Lowest validation loss.
    pub best: Option<f64>,
    /// Validations since then.
    pub since_best: u64,
    /// Learning-rate factor of the plateau schedule.
    pub plateau: Plateau,
    /// Training time in seconds.
    pub seconds: f64,
    /// Times that the current epoch was begun anew because a loss left its bounds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The state of the optimizer of one training phase.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerState {
    /// Name of the phase.
    pub phase: String,
    /// Names of the parameters that it moves, in the order of the model's parameters.
    pub parameters: Vec<String>,
    /// First moments of Adam, in the order of these parameters.
    pub first: Vec<Vec<f32>>,
    /// Second moments of Adam.
    pub second: Vec<Vec<f32>>,
    /// Updates of Adam.
    pub steps: u64,
}

/// What training needs beyond the averaged weights; tensors are in the order of the model's parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingState {
    /// Weights, frozen ones and buffers included.
    pub weights: Vec<Vec<f32>>,
    /// The optimizers, one a phase.
    pub optimizers: Vec<OptimizerState>,
    /// Updates of the moving average.
    pub ema_updates: u64,
    /// Position in the run. Order of the data and noise follow from it and the seed; there is no other random state.
    pub progress: TrainingProgress,
    /// States that the run may go back to: that before the last epoch and, inside an epoch, that before this one. These have
    /// none themselves.
    pub earlier: Vec<EarlierState>,
}

/// A state that a training run may go back to.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlierState {
    /// Averaged weights, in the order of the model's parameters.
    pub average: Vec<Vec<f32>>,
    /// The rest.
    pub state: TrainingState,
}

/// Prefixes of the tensors of a checkpoint.
const AVERAGE: &str = "ema.";
const WEIGHTS: &str = "weights.";
/// Prefix of the arrays among the statistics of the training set.
const ARRAYS: &str = "statistics.";

/// Prefixes of the first and second moments of a phase: without its name where it is the only one.
fn moments(phase: Option<&str>) -> [String; 2] {
    ["first", "second"].map(|which| match phase {
        None => format!("adam.{which}."),
        Some(phase) => format!("adam.{phase}.{which}."),
    })
}

/// The header entry of [`TrainingState`] apart from tensors.
#[derive(Serialize, Deserialize)]
struct Counters {
    /// Of all phases together.
    adam_steps: u64,
    /// Name and updates of each phase, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    phases: Vec<(String, u64)>,
    ema_updates: u64,
    progress: TrainingProgress,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<Counters>,
}

impl Counters {
    fn new(state: &TrainingState) -> Self {
        let named = |o: &OptimizerState| (o.phase.clone(), o.steps);
        Self {
            adam_steps: state.optimizers.iter().map(|o| o.steps).sum(),
            phases: match state.optimizers.len() {
                0 | 1 => Vec::new(),
                _ => state.optimizers.iter().map(named).collect(),
            },
            ema_updates: state.ema_updates,
            progress: state.progress.clone(),
            earlier: state.earlier.iter().map(|earlier| Self::new(&earlier.state)).collect(),
        }
    }
}

/// Prefix of the tensors of an earlier state.
fn earlier(index: usize) -> String {
    format!("earlier.{index}.")
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Adds the tensors of a state with a prefix.
fn insert(
    tensors: &mut Tensors,
    at: &str,
    specs: &[ParamSpec],
    average: &[Vec<f32>],
    state: Option<&TrainingState>,
) {
    let mut all = |prefix: &str, values: &[Vec<f32>]| {
        for (spec, v) in specs.iter().zip(values) {
            tensors.insert(format!("{at}{prefix}{}", spec.name), (spec.shape.clone(), v.clone()));
        }
    };
    all(AVERAGE, average);
    let Some(state) = state else { return };
    all(WEIGHTS, &state.weights);
    let several = state.optimizers.len() > 1;
    let by_name: BTreeMap<&str, &ParamSpec> = specs.iter().map(|spec| (spec.name.as_str(), spec)).collect();
    for optimizer in &state.optimizers {
        let prefixes = moments(several.then_some(optimizer.phase.as_str()));
        for (prefix, values) in prefixes.iter().zip([&optimizer.first, &optimizer.second]) {
            for (name, v) in optimizer.parameters.iter().zip(values) {
                let shape = by_name[name.as_str()].shape.clone();
                tensors.insert(format!("{at}{prefix}{name}"), (shape, v.clone()));
            }
        }
    }
    for (i, state) in state.earlier.iter().enumerate() {
        insert(tensors, &earlier(i), specs, &state.average, Some(&state.state));
    }
}

/// A checkpoint in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Kind of the model.
    pub kind: String,
    /// The run's configuration.
    pub config: RunConfig,
    /// What the model knows of its training set.
    pub statistics: Value,
    /// Content hash of the training set.
    pub data_hash: String,
    /// Version of the program that wrote it.
    pub written_by: String,
    counters: Option<String>,
    file: WeightFile,
}

impl Checkpoint {
    /// A checkpoint of a model with its averaged weights and, where training is to continue, its state.
    pub fn new(
        model: &dyn Trainable,
        config: &RunConfig,
        data_hash: &str,
        average: &[Vec<f32>],
        state: Option<&TrainingState>,
    ) -> Self {
        let mut tensors = BTreeMap::new();
        insert(&mut tensors, "", model.parameters(), average, state);
        tensors.extend(model.arrays().into_iter().map(|(name, array)| (format!("{ARRAYS}{name}"), array)));
        let counters = state
            .map(|state| serde_json::to_string(&Counters::new(state)).expect("counters are plain numbers"));
        Self {
            kind: model.kind().to_owned(),
            config: config.clone(),
            statistics: model.statistics(),
            data_hash: data_hash.to_owned(),
            written_by: concat!("druse ", env!("CARGO_PKG_VERSION")).to_owned(),
            counters,
            file: WeightFile { tensors, ..WeightFile::default() },
        }
    }

    /// Writes the checkpoint so that `path` always holds a complete one.
    ///
    /// # Errors
    /// [`WeightsError::File`] when the folder cannot be written or the disk is full.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let json = |value: &Value| value.to_string();
        let config = serde_json::to_value(&self.config).expect("a configuration is representable as JSON");
        let mut file = self.file.clone();
        file.metadata = BTreeMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("version".to_owned(), VERSION.to_owned()),
            ("kind".to_owned(), self.kind.clone()),
            ("config".to_owned(), json(&config)),
            ("statistics".to_owned(), json(&self.statistics)),
            ("data_hash".to_owned(), self.data_hash.clone()),
            ("written_by".to_owned(), self.written_by.clone()),
        ]);
        if let Some(counters) = &self.counters {
            file.metadata.insert("training".to_owned(), counters.clone());
        }
        Ok(file.write(path)?)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError`] that says what the file is instead.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        Self::from_file(WeightFile::read(path)?)
    }

    /// Reads a checkpoint from memory; `name` appears in messages.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, CheckpointError> {
        Self::from_file(WeightFile::from_bytes(bytes, name)?)
    }

    fn from_file(mut file: WeightFile) -> Result<Self, CheckpointError> {
        let name = file.name.clone();
        let mut header = std::mem::take(&mut file.metadata);
        if header.get("format").map(String::as_str) != Some(FORMAT) {
            return Err(CheckpointError::Foreign { name });
        }
        let version = header.remove("version").unwrap_or_default();
        if version != VERSION {
            let kind = header.remove("kind").unwrap_or_else(|| "unnamed".into());
            let written_by = header.remove("written_by");
            return Err(CheckpointError::Version { name, found: version, kind, written_by });
        }
        let mut take = |entry: &'static str| {
            let missing =
                || CheckpointError::Header { name: name.clone(), entry, problem: "is missing".into() };
            header.remove(entry).ok_or_else(missing)
        };
        let (kind, config, statistics) = (take("kind")?, take("config")?, take("statistics")?);
        let (data_hash, written_by) = (take("data_hash")?, take("written_by")?);
        let unreadable = |entry: &'static str| {
            let name = name.clone();
            move |e: serde_json::Error| CheckpointError::Header { name, entry, problem: e.to_string() }
        };
        let mut config: RunConfig = serde_json::from_str(&config).map_err(unreadable("config"))?;
        if config.model.kind != kind {
            let problem = format!("says {kind}, but the configuration is of a {} model", config.model.kind);
            return Err(CheckpointError::Header { name, entry: "kind", problem });
        }
        let (settings, sampling) = (&mut config.model.settings, &mut config.sampling);
        if let Ok(built_in) = Registry::builtin().kind(&kind) {
            built_in.upgrade(settings, sampling);
            *settings = built_in.complete(settings).map_err(unreadable("config"))?;
            *sampling = built_in.complete_sampling(sampling).map_err(unreadable("config"))?;
        }
        Ok(Self {
            kind,
            config,
            statistics: serde_json::from_str(&statistics).map_err(unreadable("statistics"))?,
            data_hash,
            written_by,
            counters: header.remove("training"),
            file,
        })
    }

    /// Where the checkpoint came from, for messages.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// Refuses a checkpoint of another kind of model.
    ///
    /// # Errors
    /// [`CheckpointError::Kind`].
    pub fn expect_kind(&self, expected: &str) -> Result<(), CheckpointError> {
        if self.kind == expected {
            return Ok(());
        }
        let (name, found) = (self.name().to_owned(), self.kind.clone());
        Err(CheckpointError::Kind { name, found, expected: expected.to_owned() })
    }

    /// The model, ready to use, with its averaged weights on a device.
    ///
    /// # Errors
    /// [`CheckpointError`] when the registry does not hold its kind, and when the header or a tensor does not fit the model.
    pub fn model(&self, registry: &Registry, device: &Device) -> Result<(Model, Params), CheckpointError> {
        let wrong = |source| CheckpointError::Model {
            name: self.name().to_owned(),
            written_by: self.written_by.clone(),
            source,
        };
        let kind = registry.kind(&self.config.model.kind).map_err(wrong)?;
        let (mut settings, mut sampling) = (self.config.model.settings.clone(), self.config.sampling.clone());
        // Reading has done this for the built-in kinds; another one is known only here.
        kind.upgrade(&mut settings, &mut sampling);
        let mut model = kind.build(&settings, &sampling).map_err(wrong)?;
        self.restore_statistics(model.trainable_mut()).map_err(|e| wrong(e.into()))?;
        let params = self.averaged(model.trainable().parameters(), device)?;
        Ok((model, params))
    }

    /// The arrays among the statistics of the training set.
    pub fn arrays(&self) -> Arrays {
        let named = self.file.tensors.iter().map(|(name, array)| (name.strip_prefix(ARRAYS), array));
        named.filter_map(|(name, array)| Some((name?.to_owned(), array.clone()))).collect()
    }

    /// Gives a model what it knew of its training set.
    ///
    /// # Errors
    /// [`ModelError::Config`] when it is not of the model's form.
    pub fn restore_statistics(&self, model: &mut dyn Trainable) -> Result<(), ModelError> {
        model.restore_statistics(&self.statistics)?;
        model.restore_arrays(&self.arrays())
    }

    /// The averaged weights.
    ///
    /// # Errors
    /// [`WeightsError::Tensor`] when one is missing or has another shape.
    pub fn averaged(&self, specs: &[ParamSpec], device: &Device) -> Result<Params, CheckpointError> {
        Ok(Params::from_vecs(specs, self.tensors(AVERAGE, specs)?, device))
    }

    /// The averaged weights, for a run that begins with them. A phase of several that the file has no tensor of keeps the
    /// `fresh` ones, and its name is told.
    ///
    /// # Errors
    /// As [`Self::averaged`].
    pub fn beginning(
        &self,
        specs: &[ParamSpec],
        phases: &[TrainingPhase],
        fresh: &Params,
    ) -> Result<(Params, Vec<&'static str>), CheckpointError> {
        let is_there = |&i: &usize| self.file.tensors.contains_key(&format!("{AVERAGE}{}", specs[i].name));
        let anew: Vec<&TrainingPhase> =
            phases.iter().filter(|p| phases.len() > 1 && !p.group.indices().iter().any(is_there)).collect();
        let of_anew = |i: usize| anew.iter().any(|p| p.group.indices().contains(&i));
        let fresh_values = if anew.is_empty() { Vec::new() } else { fresh.to_host() };
        let values = specs.iter().enumerate().map(|(i, s)| match of_anew(i) {
            true => Ok(fresh_values[i].clone()),
            false => self.file.take(&format!("{AVERAGE}{}", s.name), &s.shape),
        });
        let params = Params::from_vecs(specs, values.collect::<Result<_, _>>()?, fresh.device());
        Ok((params, anew.iter().map(|p| p.phase.name).collect()))
    }

    /// The state of the training run. Of several phases, each has the parameters that the file has moments for; the only
    /// one has all trainable ones.
    ///
    /// # Errors
    /// [`CheckpointError::NoTrainingState`] for an exported model.
    pub fn training(&self, specs: &[ParamSpec]) -> Result<TrainingState, CheckpointError> {
        let missing = || CheckpointError::NoTrainingState { name: self.name().to_owned() };
        self.state("", self.counters()?.ok_or_else(missing)?, specs)
    }

    /// The state whose tensors have a prefix.
    fn state(
        &self,
        at: &str,
        counters: Counters,
        specs: &[ParamSpec],
    ) -> Result<TrainingState, CheckpointError> {
        let Counters { adam_steps, phases, ema_updates, progress, earlier: all } = counters;
        let moments = |phase| moments(phase).map(|prefix| format!("{at}{prefix}"));
        let trainable: Vec<ParamSpec> = specs.iter().filter(|s| s.role == Role::Trainable).cloned().collect();
        let optimizer = |phase: &str, [first, second]: [String; 2], specs: &[ParamSpec], steps| {
            Ok::<_, CheckpointError>(OptimizerState {
                phase: phase.to_owned(),
                parameters: specs.iter().map(|s| s.name.clone()).collect(),
                first: self.tensors(&first, specs)?,
                second: self.tensors(&second, specs)?,
                steps,
            })
        };
        let optimizers = match phases.as_slice() {
            // Nothing to train.
            [] if trainable.is_empty() => Vec::new(),
            [] => vec![optimizer(Phase::default().name, moments(None), &trainable, adam_steps)?],
            phases => phases
                .iter()
                .map(|(phase, steps)| {
                    let prefixes = moments(Some(phase));
                    let stored = |s: &&ParamSpec| {
                        self.file.tensors.contains_key(&format!("{}{}", prefixes[0], s.name))
                    };
                    let moved: Vec<ParamSpec> = trainable.iter().filter(stored).cloned().collect();
                    optimizer(phase, prefixes, &moved, *steps)
                })
                .collect::<Result<_, _>>()?,
        };
        let earlier = all.into_iter().enumerate().map(|(i, counters)| {
            let at = earlier(i);
            let average = self.tensors(&format!("{at}{AVERAGE}"), specs)?;
            Ok(EarlierState { average, state: self.state(&at, counters, specs)? })
        });
        let earlier = earlier.collect::<Result<_, CheckpointError>>()?;
        let weights = self.tensors(&format!("{at}{WEIGHTS}"), specs)?;
        Ok(TrainingState { weights, optimizers, ema_updates, progress, earlier })
    }

    /// Position in the training run; `None` for an exported model.
    ///
    /// # Errors
    /// [`CheckpointError::Header`] when it does not parse.
    pub fn progress(&self) -> Result<Option<TrainingProgress>, CheckpointError> {
        Ok(self.counters()?.map(|c| c.progress))
    }

    fn counters(&self) -> Result<Option<Counters>, CheckpointError> {
        self.counters.as_deref().map(serde_json::from_str).transpose().map_err(|e| CheckpointError::Header {
            name: self.name().to_owned(),
            entry: "training",
            problem: e.to_string(),
        })
    }

    fn tensors(&self, prefix: &str, specs: &[ParamSpec]) -> Result<Vec<Vec<f32>>, CheckpointError> {
        let take = |s: &ParamSpec| self.file.take(&format!("{prefix}{}", s.name), &s.shape);
        Ok(specs.iter().map(take).collect::<Result<_, _>>()?)
    }

    /// Number of numbers that the model consists of, frozen ones and buffers included.
    pub fn parameters(&self) -> usize {
        let averaged = self.file.tensors.iter().filter(|(name, _)| name.starts_with(AVERAGE));
        averaged.map(|(_, (_, values))| values.len()).sum()
    }

    /// The model alone, without what only training needs: averaged weights, configuration and statistics. Of the paths
    /// only the last part stays: where files lay on the machine that trained is nobody's business.
    pub fn export(&self) -> Self {
        fn name_of(path: &Path) -> PathBuf {
            path.file_name().map(PathBuf::from).unwrap_or_default()
        }
        let mut slim = self.clone();
        slim.config.data.path = name_of(&self.config.data.path);
        slim.config.train.init = self.config.train.init.as_deref().map(name_of);
        slim.counters = None;
        slim.file.tensors.retain(|name, _| name.starts_with(AVERAGE) || name.starts_with(ARRAYS));
        slim
    }
}
