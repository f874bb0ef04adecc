//! Checkpoints of published codes become checkpoints of ours.

use druse_models::Model;
use druse_models::published::{Ignored, PublishedError, Training};
use druse_models::registry::{Kind, Registry};
use druse_nn::weights::torch::TorchFile;

use crate::Checkpoint;
use crate::config::RunConfig;
use crate::config::overlay::model_settings;

/// A published checkpoint as one of ours.
#[derive(Debug)]
pub struct Imported {
    /// Model, configuration, statistics and weights.
    pub checkpoint: Checkpoint,
    /// Tensors that were left out on purpose.
    pub ignored: Vec<Ignored>,
    /// What its user should know.
    pub warnings: Vec<String>,
}

/// Hash of the training set of an imported model, which nobody knows.
const DATA_HASH: &str = "not known";

/// Names of the kinds whose published checkpoints can be read.
pub fn importable(registry: &Registry) -> Vec<&'static str> {
    registry.kinds().iter().filter(|kind| kind.import().is_some()).map(Kind::name).collect()
}

/// Reads a checkpoint of the published code of a kind of model, with `key=value` settings of the model in the places of the
/// published ones where tensors do not tell them.
///
/// # Errors
/// [`PublishedError`] when a setting is not known or would give the tensors other shapes, no published code of this kind is known, a file cannot be read, a tensor is missing, unexpected or
/// different, or `training` lacks what the model needs.
pub fn import(
    registry: &Registry,
    kind: &str,
    file: &TorchFile,
    training: &Training,
    settings: &[String],
) -> Result<Imported, PublishedError> {
    let unknown = || {
        let known = importable(registry).join(", ");
        PublishedError::Statistics(format!("no published code of the kind `{kind}` is known; known: {known}"))
    };
    let import = registry.kind(kind).ok().and_then(Kind::import).ok_or_else(unknown)?;
    let read = import(file, training)?;
    let mut config = RunConfig::preset(registry, read.preset)
        .map_err(|e| PublishedError::Statistics(format!("the preset of published {kind}: {e}")))?;
    config.model = read.settings;
    let refused = |e: &dyn std::fmt::Display| PublishedError::Statistics(e.to_string());
    config.model = model_settings(registry, &config, settings).map_err(|e| refused(&e))?;
    let model = config.build(registry).map_err(|e| refused(&e))?;
    let shapes = |model: &Model| -> Vec<(String, Vec<usize>)> {
        model.trainable().parameters().iter().map(|p| (p.name.clone(), p.shape.clone())).collect()
    };
    if shapes(&model) != shapes(&read.model) {
        let text = format!("--set {}: the tensors of {} have other shapes", settings.join(" "), file.name());
        return Err(PublishedError::Statistics(text));
    }
    config.data.path = training.data_set.map_or_else(|| DATA_HASH.into(), |set| set.folder().into());
    let checkpoint = Checkpoint::new(read.model.trainable(), &config, DATA_HASH, &read.weights, None);
    Ok(Imported { checkpoint, ignored: read.ignored, warnings: read.warnings })
}
