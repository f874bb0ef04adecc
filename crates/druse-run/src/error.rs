//! What can go wrong while a run is set up, trained or sampled.

mod ranks;

use std::io;
use std::path::{Path, PathBuf};

use druse_crystal::files::{Action, FileError};
use druse_data::DataError;
use druse_evaluate::hull::HullInputError;
use druse_models::ModelError;
use druse_models::registry::RegistryError;
use druse_nn::PrecisionError;
use druse_nn::weights::WeightsError;
use druse_relax::SettingsError;

use crate::checkpoint::CheckpointError;
use crate::config::{ConfigError, Violation};
use crate::enumerate::{EnumerationError, TemplatesError};
use crate::potentials::PotentialsError;

pub use ranks::RankError;

/// The thread that works ahead has panicked: a bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a bug: a thread that prepares the next step panicked: {0}")]
pub struct Panicked(pub String);

/// Failure of a training or sampling run, in the order of the stages that raise them.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration could not be put together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A value of the configuration is not allowed.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The device cannot compute in the precision of the run.
    #[error(transparent)]
    Precision(#[from] PrecisionError),
    /// The data set could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data set leaves nothing to train on.
    #[error("no structure is left for training: {0}")]
    NoData(String),
    /// The chemical system cannot be enumerated.
    #[error(transparent)]
    Enumeration(#[from] EnumerationError),
    /// The composition has no template.
    #[error(transparent)]
    Templates(#[from] TemplatesError),
    /// A file or folder cannot be written.
    #[error("cannot write `{}`: {source}; what was finished before is kept", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A script of another job is there.
    #[error("`{}` belongs to another job; remove its folder, or choose another `--out`", path.display())]
    OtherJob {
        /// The script.
        path: PathBuf,
    },
    /// A file of the run cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file of the run does not hold what it should.
    #[error("`{}`: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The folder already holds a run.
    #[error("`{}` already holds {what}; continue it with --resume or choose another folder", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// What was found.
        what: &'static str,
    },
    /// Another process works in the folder.
    #[error("`{}` is in use by another run{}; wait for it or choose another folder", path.display(), holder(pid))]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The process that holds it, where it said so.
        pid: Option<u32>,
    },
    /// There is nothing to resume.
    #[error("`{}` holds no run that could be resumed; start it without --resume", path.display())]
    NothingToResume {
        /// The folder.
        path: PathBuf,
    },
    /// The run was started with other settings than it is resumed with.
    #[error("`{}` was started with {key} = {stored}, not {given}; resume it unchanged or choose another folder", path.display())]
    Changed {
        /// The folder.
        path: PathBuf,
        /// What differs.
        key: String,
        /// Its value in the folder.
        stored: String,
        /// The value given now.
        given: String,
    },
    /// A folder holds no checkpoint.
    #[error("`{}` holds no checkpoint; name a .safetensors file or the folder of a training run", path.display())]
    NoCheckpoint {
        /// The folder.
        path: PathBuf,
    },
    /// A checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The model refuses.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The loss or its gradient is not a number.
    #[error(
        "{what} is {value} at step {step} (epoch {epoch}); structures of the batch: {}. The last checkpoint is kept; try a smaller optim.lr or look at these structures",
        list(ids)
    )]
    NotFinite {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// The value.
        value: f64,
        /// The step, from 1.
        step: u64,
        /// The epoch, from 1.
        epoch: u64,
        /// Identifiers of the structures in the batch.
        ids: Vec<String>,
    },
    /// The loss left every reasonable range.
    #[error(
        "the loss diverged: {value} at step {step} (epoch {epoch}), and for some steps before more than {factor} times the median {median}; structures of the batch: {}. The last checkpoint is kept; try a smaller optim.lr (the factor is train.divergence_factor)",
        list(ids)
    )]
    Diverged {
        /// The loss.
        value: f64,
        /// Median of the losses before.
        median: f64,
        /// The allowed factor.
        factor: f64,
        /// The step, from 1.
        step: u64,
        /// The epoch, from 1.
        epoch: u64,
        /// Identifiers of the structures in the batch.
        ids: Vec<String>,
    },
    /// A generator in training makes one thing of everything.
    #[error(
        "{reason} at step {step} (epoch {epoch}). The last checkpoint is kept; try a smaller optim.lr or another train.seed"
    )]
    Collapsed {
        /// What the model found.
        reason: ModelError,
        /// The step, from 1.
        step: u64,
        /// The epoch, from 1.
        epoch: u64,
    },
    /// The loss of a batch is smaller or larger than the run allows.
    #[error(
        "the loss is {value} at step {step} (epoch {epoch}), and train.loss_bounds allows {} to {}; structures of the batch: {}",
        bounds[0], bounds[1], list(ids)
    )]
    OutOfBounds {
        /// The loss.
        value: f64,
        /// What is allowed.
        bounds: [f64; 2],
        /// The step, from 1.
        step: u64,
        /// The epoch, from 1.
        epoch: u64,
        /// Identifiers of the structures in the batch.
        ids: Vec<String>,
    },
    /// An epoch failed from every state that the run could go back to.
    #[error(
        "epoch {epoch} failed {tries} times, from the state before it and from the one before the last epoch; at last: {source}"
    )]
    GaveUp {
        /// The epoch, from 1.
        epoch: u64,
        /// How often it was tried.
        tries: u64,
        /// The last failure.
        source: Box<RunError>,
    },
    /// A thread of the run panicked.
    #[error(transparent)]
    Panicked(#[from] Panicked),
    /// The processes of a training do not come together.
    #[error(transparent)]
    Ranks(#[from] RankError),
    /// Another process of a training did not do its share, and the state before was saved.
    #[error(
        "{failure}; stopped and saved after step {step}: continue with --resume, with any number of ranks"
    )]
    RankFailed {
        /// Which, and what became of it.
        failure: ModelError,
        /// Steps that are saved.
        step: u64,
    },
    /// A model has not learned the property that is asked for.
    #[error("{}", learned.as_ref().map_or_else(
        || format!("the model was trained without a property; train one with --set model.property={wanted}"),
        |learned| format!("the model was trained with `{learned}`, not `{wanted}`")
    ))]
    Property {
        /// What is asked for.
        wanted: String,
        /// What it has learned.
        learned: Option<String>,
    },
    /// Whoever started it stopped it; nothing was written.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// A plan asks for structures, but names none.
    #[error("nothing is asked for: the list of what to sample is empty")]
    NothingToSample,
    /// Whoever took the structures of a run is gone.
    #[error("the receiver of the structures is gone; sampling stopped")]
    ReceiverGone,
    /// Structures were handed to a sink before it was told of the run.
    #[error("a structure came before the run had begun")]
    NotBegun,
    /// There is no such potential.
    #[error(transparent)]
    Potentials(#[from] PotentialsError),
    /// A setting of a relaxation is impossible.
    #[error(transparent)]
    Relaxation(#[from] SettingsError),
    /// Energies of a reference make no hull.
    #[error(transparent)]
    Hull(Box<HullInputError>),
    /// A kind of model is not known, or its settings are impossible.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Parts of a sharded run do not fit together.
    #[error("cannot merge: {0}")]
    Merge(String),
}

impl RunError {
    /// Wraps an I/O error of writing `path`.
    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }

    /// Whether a training run may come past it with other noise.
    pub(crate) fn is_of_loss(&self) -> bool {
        matches!(
            self,
            Self::NotFinite { .. }
                | Self::Diverged { .. }
                | Self::Collapsed { .. }
                | Self::OutOfBounds { .. }
        )
    }

    /// Whether the person who started the run can put it right by other arguments or other input.
    pub fn is_user_mistake(&self) -> bool {
        match self {
            Self::Write { .. }
            | Self::NotFinite { .. }
            | Self::Diverged { .. }
            | Self::Collapsed { .. }
            | Self::OutOfBounds { .. }
            | Self::GaveUp { .. }
            | Self::Panicked(_)
            | Self::RankFailed { .. }
            | Self::ReceiverGone
            | Self::NotBegun
            | Self::Interrupted => false,
            Self::Ranks(e) => e.is_user_mistake(),
            Self::Model(e) => !matches!(
                e,
                ModelError::Output(_)
                    | ModelError::Compute(_)
                    | ModelError::TooLarge { .. }
                    | ModelError::Rank { .. }
            ),
            Self::Checkpoint(CheckpointError::Weights(WeightsError::File(e))) => e.action == Action::Read,
            _ => true,
        }
    }
}

impl From<HullInputError> for RunError {
    fn from(e: HullInputError) -> Self {
        Self::Hull(Box::new(e))
    }
}

impl From<FileError> for RunError {
    fn from(e: FileError) -> Self {
        let FileError { path, action, source } = e;
        match action {
            Action::Read => Self::Read { path, source },
            _ => Self::Write { path, source },
        }
    }
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or(String::new(), |pid| format!(" (process {pid})"))
}

fn list(ids: &[String]) -> String {
    ids.join(", ")
}
