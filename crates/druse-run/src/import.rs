//! Checkpoints of published codes become checkpoints of ours.

use std::path::PathBuf;

use druse_data::Benchmark;
use druse_models::Standardizer;
use druse_models::cdvae::{Cdvae, PublishedStatistics};
use druse_models::property::dimenet::{PropertyConfig, PropertyPredictor};
use druse_models::published::{Ignored, PublishedError, lattice_scaler, property_scaler, read_scaler};
use druse_nn::weights::torch::TorchFile;

use crate::Checkpoint;
use crate::config::{ModelConfig, RunConfig};

/// What a published checkpoint was trained on: its weights do not tell.
#[derive(Debug, Clone, Default)]
pub struct Training {
    /// The published data set. Its scalers are used where no others are given.
    pub data_set: Option<Benchmark>,
    /// The scaler of lattices that lies beside the checkpoint.
    pub lattice_scaler: Option<TorchFile>,
    /// The scaler of the property that lies beside the checkpoint.
    pub property_scaler: Option<TorchFile>,
    /// Name of the property; that of the data set, where none is given.
    pub property: Option<String>,
}

/// A published checkpoint as one of ours.
#[derive(Debug)]
pub struct Imported {
    /// Model, configuration, statistics and weights.
    pub checkpoint: Checkpoint,
    /// Tensors that were left out on purpose.
    pub ignored: Vec<Ignored>,
    /// What its user should know.
    pub remarks: Vec<String>,
}

/// Hash of the training set of an imported model, which nobody knows.
const DATA_HASH: &str = "not known";

impl Training {
    fn lattice(&self) -> Result<Standardizer, PublishedError> {
        match (&self.lattice_scaler, self.data_set) {
            (Some(file), _) => read_scaler(file, 6),
            (None, Some(set)) => Ok(lattice_scaler(set)),
            (None, None) => Err(PublishedError::Statistics(
                "neither the published data set nor the scaler of lattices is given, and the weights do not tell it"
                    .into(),
            )),
        }
    }

    fn property(&self) -> Result<(String, Standardizer), PublishedError> {
        let of_set = self.data_set.map(Benchmark::property);
        let name = self.property.clone().or_else(|| of_set.map(str::to_owned));
        let missing = |what| {
            Err(PublishedError::Statistics(format!("the model predicts a property, but {what} is not given")))
        };
        let Some(name) = name else { return missing("its name") };
        match (&self.property_scaler, self.data_set) {
            (Some(file), _) => Ok((name, read_scaler(file, 1)?)),
            (None, Some(set)) if name == set.property() => Ok((name, property_scaler(set))),
            _ => missing("its scaler"),
        }
    }

    fn data_path(&self) -> PathBuf {
        self.data_set.map_or_else(|| DATA_HASH.into(), |set| set.folder().into())
    }
}

/// Reads a checkpoint of the published CDVAE code.
///
/// # Errors
/// [`PublishedError`] when a file cannot be read, a tensor is missing, unexpected or different, or `training` lacks what the
/// model needs.
pub fn cdvae(file: &TorchFile, training: &Training) -> Result<Imported, PublishedError> {
    let preset = match training.data_set {
        Some(Benchmark::Carbon24) => "cdvae-carbon-24",
        Some(Benchmark::Perov5) => "cdvae-perov-5",
        Some(Benchmark::Mp20) | None => "cdvae-mp-20",
    };
    let mut config = RunConfig::preset(preset).expect("the presets of CDVAE exist");
    let ModelConfig::Cdvae(base) = &config.model else {
        unreachable!("a preset of CDVAE holds a CDVAE model")
    };
    let head = Cdvae::published_property_head(file)?;
    if !head && (training.property.is_some() || training.property_scaler.is_some()) {
        let text = format!("{} has no property head and takes no property", file.name());
        return Err(PublishedError::Statistics(text));
    }
    let property = if head { Some(training.property()?) } else { None };
    let statistics = PublishedStatistics { lattice: training.lattice()?, property };
    let read = Cdvae::from_published(file, base, statistics)?;
    config.model = ModelConfig::Cdvae(Box::new(read.model.config().clone()));
    config.data.path = training.data_path();
    let checkpoint = Checkpoint::new(&read.model, &config, DATA_HASH, &read.weights, None);
    Ok(Imported { checkpoint, ignored: read.ignored, remarks: read.remarks })
}

/// Reads a checkpoint of a property predictor of the published CDVAE code.
///
/// # Errors
/// As [`cdvae`].
pub fn property(file: &TorchFile, training: &Training) -> Result<Imported, PublishedError> {
    if training.lattice_scaler.is_some() {
        return Err(PublishedError::Statistics("a property predictor takes no scaler of lattices".into()));
    }
    let (name, standardizer) = training.property()?;
    let mut config =
        RunConfig::preset("property-dimenet").expect("the preset of the published predictor exists");
    let base = PropertyConfig { property: name, ..PropertyConfig::default() };
    let read = PropertyPredictor::from_published(file, &base, &standardizer)?;
    config.model = ModelConfig::Property(Box::new(read.model.config().clone()));
    config.data.path = training.data_path();
    let checkpoint = Checkpoint::new(&read.model, &config, DATA_HASH, &read.weights, None);
    Ok(Imported { checkpoint, ignored: read.ignored, remarks: read.remarks })
}
