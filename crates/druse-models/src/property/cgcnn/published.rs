//! Checkpoints of the published code, and their weights as safetensors.

use druse_nn::weights::torch::TorchFile;
use serde_json::{Value, json};

use super::CgcnnPredictor;
use super::config::{CgcnnConfig, CgcnnSizes};
use crate::published::{Imported, Keys, PublishedError, PublishedModel, Training};
use crate::settings::ModelSettings;
use crate::{Model, ModelError, Trainable};

/// Reads a checkpoint of the published code as a model of this kind. The property is called like the file
/// (`formation-energy-per-atom.pth.tar`: `formation_energy_per_atom`), unless `training` names it.
///
/// # Errors
/// As [`CgcnnPredictor::from_published`], and when `training` has a scaler, which the checkpoint brings itself.
pub(super) fn import(file: &TorchFile, training: &Training) -> Result<Imported, PublishedError> {
    if training.lattice_scaler.is_some() || training.property_scaler.is_some() {
        let text =
            "a checkpoint of CGCNN has its own scale; leave out --lattice-scaler and --property-scaler";
        return Err(PublishedError::Statistics(text.into()));
    }
    let property = training.property.clone().unwrap_or_else(|| property_of(file.name()));
    let read = CgcnnPredictor::from_published(file, &CgcnnConfig { property, ..CgcnnConfig::default() })?;
    Ok(Imported {
        settings: ModelSettings::new("cgcnn", read.model.config()),
        model: Model::predictor(read.model),
        preset: "property-cgcnn",
        weights: read.weights,
        ignored: read.ignored,
        warnings: read.warnings,
    })
}

/// The name of a file without folder and extensions, as the name of a column.
fn property_of(path: &str) -> String {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// Mean and standard deviation of the property over the training set: `normalizer` of a checkpoint, or among the texts beside
/// converted weights.
fn normalizer(file: &TorchFile) -> Result<[f64; 2], PublishedError> {
    let plain = |key: &str| file.plain(key).unwrap_or(Value::Null);
    let (beside, texts) = (plain("normalizer"), plain("metadata"));
    let tensors = file.dictionary("normalizer").unwrap_or_default();
    let number = |key: &str| -> Result<f64, PublishedError> {
        let found = match tensors.get(key) {
            Some(tensor) => match file.numbers(tensor)?.as_slice() {
                &[x] => Some(x),
                _ => None,
            },
            None => beside[key].as_f64().or_else(|| texts[key].as_str()?.trim().parse().ok()),
        };
        found.filter(|x| x.is_finite()).ok_or_else(|| {
            let text = format!("{} does not have the {key} of the property (`normalizer`)", file.name());
            PublishedError::Statistics(text)
        })
    };
    Ok([number("mean")?, number("std")?])
}

impl CgcnnPredictor {
    /// Reads a checkpoint of the published code, or its weights as safetensors with `mean` and `std` among the texts. Sizes are
    /// those of the file; `base` has the number of neighbors and the cut-off, which tensors do not tell, and the name of the
    /// property.
    ///
    /// # Errors
    /// [`PublishedError`] naming every tensor that is missing, unexpected or of another shape, for sizes that make no model, and
    /// when the scale of the property is missing.
    pub fn from_published(
        file: &TorchFile,
        base: &CgcnnConfig,
    ) -> Result<PublishedModel<Self>, PublishedError> {
        let mut keys = Keys::new(file)?;
        keys.ignore("counters of the training", |name| name.ends_with(".num_batches_tracked"));
        let mut sizes = keys.sizes();
        let network = CgcnnSizes {
            atom: sizes.extent("embedding.weight", 0, base.network.atom),
            convolutions: sizes.count("convs."),
            hidden: sizes.extent("conv_to_fc.weight", 0, base.network.hidden),
            hidden_layers: 1 + sizes.count("fcs."),
            ..base.network.clone()
        };
        let wrong = |source: ModelError| PublishedError::Model { name: file.name().to_owned(), source };
        let mut model = Self::new(CgcnnConfig { network, ..base.clone() }).map_err(wrong)?;
        let (weights, ignored) = keys.finish("cgcnn", model.parameters())?;
        let [mean, std] = normalizer(file)?;
        model.restore_statistics(&json!({ "property": { "mean": [mean], "std": [std] } })).map_err(wrong)?;
        Ok(PublishedModel { model, weights, ignored, warnings: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_called_like_files() {
        assert_eq!(property_of("pre-trained/formation-energy-per-atom.pth.tar"), "formation_energy_per_atom");
        assert_eq!(property_of("band-gap.safetensors"), "band_gap");
    }
}
