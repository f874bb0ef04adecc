//! Checkpoints of the published SyMat code: its state dictionaries. Parameters have the published names here; what this file
//! knows beyond them is which tensors the model does without, and where sizes can be read off.

use druse_data::Benchmark;
use druse_nn::blocks::spherenet::{DistanceNetConfig, SphereNetConfig};
use druse_nn::weights::torch::TorchFile;

use super::config::SymatConfig;
use super::model::{Statistics, Symat};
use super::presets;
use super::score::ScoreConfig;
use crate::published::{Imported, Keys, PublishedError, PublishedModel, Training};
use crate::settings::ModelSettings;
use crate::standardizer::Standardizer;
use crate::{Model, ModelError, Trainable};

const ENCODER: &str = "encoder_backbone";
const SCORE: &str = "coordgen.backbone";
/// The encoder's table of elements, and the second name under which the published model keeps it.
const ELEMENTS: &str = "encoder_backbone.init_e.emb.weight";
const ALIAS: &str = "elem_emb.weight";

/// Reads a checkpoint of the published code as a model of this kind.
///
/// # Errors
/// As [`Symat::from_published`], and when `training` lacks what the model needs or names a property.
pub(super) fn import(file: &TorchFile, training: &Training) -> Result<Imported, PublishedError> {
    let preset = match training.data_set {
        Some(Benchmark::Carbon24) => presets::CARBON_24,
        Some(Benchmark::Perov5) => presets::PEROV_5,
        Some(Benchmark::Mp20) => presets::MP_20,
        None => {
            let text = "the published data set is not given, and the weights do not tell the norms of the scores and \
                        the temperatures, which belong to it; name it with --dataset";
            return Err(PublishedError::Statistics(text.into()));
        }
    };
    if training.property.is_some() || training.property_scaler.is_some() {
        let text = format!("{}: published SyMat learned no property and takes none", file.name());
        return Err(PublishedError::Statistics(text));
    }
    let base: SymatConfig = preset.model().map_err(PublishedError::Statistics)?;
    let read = Symat::from_published(file, &base, training.lattice()?)?;
    Ok(Imported {
        settings: ModelSettings::new("symat", read.model.config()),
        model: Model::generator(read.model),
        preset: preset.name,
        weights: read.weights,
        ignored: read.ignored,
        warnings: read.warnings,
    })
}

impl Symat {
    /// Reads a state dictionary of the published code. Sizes are those of the file; `base` has what tensors do not tell:
    /// cut-offs and neighbors, noise levels with their norms, temperatures, the meaning of the torsion. `lattice` is the
    /// scaler of `[lengths / N^(1/3), angles]` (Å, degrees).
    ///
    /// # Errors
    /// [`PublishedError`] naming every tensor that is missing, unexpected or different, and for sizes that make no model.
    pub fn from_published(
        file: &TorchFile,
        base: &SymatConfig,
        lattice: Standardizer,
    ) -> Result<PublishedModel<Self>, PublishedError> {
        let mut keys = Keys::new(file)?;
        let config = config(&mut keys, base);
        let last = format!("{SCORE}.update_es.{}.lin_rbf.weight", config.score.network.blocks - 1);
        check_alias(&mut keys)?;
        keys.ignore("weights of messages that the score network computes and drops", |name| {
            in_dropped_messages(name) && name != last
        });
        keys.ignore("the head of a property, which the published code never trains", |name| {
            name.starts_with("fc_prop.")
        });
        let wrong = |source: ModelError| PublishedError::Model { name: file.name().to_owned(), source };
        let mut model = Symat::new(config).map_err(wrong)?;
        let (weights, ignored) = keys.finish("symat", model.parameters())?;
        // The published heads count as far as the largest cell of their data set.
        let max_atoms = Some(model.config.max_atoms);
        model.statistics = Statistics { lattice, max_atoms, ..model.statistics };
        Ok(PublishedModel { model, weights, ignored, warnings: Vec::new() })
    }
}

/// Sizes of a checkpoint.
fn config(keys: &mut Keys, base: &SymatConfig) -> SymatConfig {
    let encoder = encoder(keys, &base.encoder);
    let network = network(keys, &base.score.network);
    let mut sizes = keys.sizes();
    SymatConfig {
        latent: sizes.extent("fc_lattice_mu.2.weight", 0, base.latent),
        head: sizes.extent("fc_elem_type.0.weight", 0, base.head),
        max_atoms: sizes.extent("fc_elem_type_num.2.weight", 0, base.max_atoms),
        encoder,
        score: ScoreConfig {
            network,
            head: sizes.extent("coordgen.fc_score.0.weight", 0, base.score.head),
            ..base.score.clone()
        },
        property: None,
        ..base.clone()
    }
}

fn encoder(keys: &mut Keys, base: &SphereNetConfig) -> SphereNetConfig {
    let mut sizes = keys.sizes();
    let (block, output) = (format!("{ENCODER}.update_es.0"), format!("{ENCODER}.init_v"));
    let num_radial = sizes.extent(&format!("{ENCODER}.emb.dist_emb.freq"), 0, base.num_radial);
    let angular = base.num_spherical * base.num_radial;
    let mut of_block =
        |layer: &str, axis, default| sizes.extent(&format!("{block}.{layer}.weight"), axis, default);
    SphereNetConfig {
        interaction: of_block("lin_down", 0, base.interaction),
        basis_distance: of_block("lin_rbf1", 0, base.basis_distance),
        basis_angle: of_block("lin_sbf1", 0, base.basis_angle),
        basis_torsion: of_block("lin_t1", 0, base.basis_torsion),
        num_spherical: of_block("lin_sbf1", 1, angular) / num_radial,
        num_radial,
        hidden: sizes.extent(ELEMENTS, 1, base.hidden),
        output_embedding: sizes.extent(&format!("{output}.lin_up.weight"), 0, base.output_embedding),
        blocks: sizes.count(&format!("{ENCODER}.update_es.")),
        before_skip: sizes.count(&format!("{block}.layers_before_skip.")),
        after_skip: sizes.count(&format!("{block}.layers_after_skip.")),
        output_layers: sizes.count(&format!("{output}.lins.")),
        cutoff: base.cutoff,
        torsion: base.torsion,
    }
}

fn network(keys: &mut Keys, base: &DistanceNetConfig) -> DistanceNetConfig {
    let mut sizes = keys.sizes();
    let block = format!("{SCORE}.update_es.0");
    DistanceNetConfig {
        hidden: sizes.extent(&format!("{SCORE}.init_e.emb.weight"), 1, base.hidden),
        interaction: sizes.extent(&format!("{block}.lin_down.weight"), 0, base.interaction),
        basis: sizes.extent(&format!("{block}.lin_rbf1.weight"), 0, base.basis),
        // A file of another model has none: the tensors of the first are missing.
        blocks: sizes.count(&format!("{SCORE}.update_es.")).max(1),
        num_radial: sizes.extent(&format!("{SCORE}.emb.freq"), 0, base.num_radial),
        cutoff: base.cutoff,
        before_skip: sizes.count(&format!("{block}.layers_before_skip.")),
        after_skip: sizes.count(&format!("{block}.layers_after_skip.")),
    }
}

/// Whether a tensor weights messages of the score network, of which only the last reach an output.
fn in_dropped_messages(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(SCORE).and_then(|rest| rest.strip_prefix('.')) else { return false };
    let block = rest.strip_prefix("update_es.").and_then(|rest| rest.strip_suffix(".lin_rbf.weight"));
    rest == "init_e.lin_rbf_1.weight" || block.is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
}

/// The head for numbers of atoms reads the encoder's table of elements: under its second name it has to be the same.
fn check_alias(keys: &mut Keys) -> Result<(), PublishedError> {
    let Some(alias) = keys.constant(ALIAS)? else { return Ok(()) };
    if keys.constant(ELEMENTS)?.is_some_and(|table| table != alias) {
        keys.differs(format!("{ALIAS} holds other numbers than {ELEMENTS}, whose second name it is"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
