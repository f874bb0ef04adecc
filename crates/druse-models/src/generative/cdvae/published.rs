//! Checkpoints of the published CDVAE code. Parameters have the published names here; what this file knows beyond them is
//! which tensors the model does without, which constants it computes itself, and where sizes can be read off.

use druse_data::Benchmark;
use druse_nn::blocks::ScaleFactors;
use druse_nn::weights::torch::TorchFile;

use super::config::{CdvaeConfig, NoiseConfig};
use super::decoder::DecoderConfig;
use super::model::{Cdvae, Statistics};
use super::presets;
use crate::process::NoiseLevels;
use crate::published::{Imported, Keys, PublishedError, PublishedModel, Training, encoder_sizes};
use crate::settings::ModelSettings;
use crate::standardizer::Standardizer;
use crate::{Model, ModelError, Trainable};

/// Relative difference up to which a constant of a file counts as the one that is computed here: half precision.
const TOLERANCE: f64 = 1e-3;

/// What a checkpoint was trained on, which its weights do not tell.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedStatistics {
    /// The scaler of `[lengths / N^(1/3), angles]` (Å, degrees).
    pub lattice: Standardizer,
    /// Name and scaler of the property, for a model with a property head.
    pub property: Option<(String, Standardizer)>,
}

/// Reads a checkpoint of the published code as a model of this kind.
///
/// # Errors
/// As [`Cdvae::from_published`], and when `training` lacks what the model needs.
pub(super) fn import(file: &TorchFile, training: &Training) -> Result<Imported, PublishedError> {
    let preset = match training.data_set {
        Some(Benchmark::Carbon24) => presets::CARBON_24,
        Some(Benchmark::Perov5) => presets::PEROV_5,
        Some(Benchmark::Mp20) | None => presets::MP_20,
    };
    let head = Cdvae::published_property_head(file)?;
    if !head && (training.property.is_some() || training.property_scaler.is_some()) {
        let text = format!("{} has no property head and takes no property", file.name());
        return Err(PublishedError::Statistics(text));
    }
    let property = if head { Some(training.property()?) } else { None };
    let statistics = PublishedStatistics { lattice: training.lattice()?, property };
    let base: CdvaeConfig = preset.model().map_err(PublishedError::Statistics)?;
    let read = Cdvae::from_published(file, &base, statistics)?;
    Ok(Imported {
        settings: ModelSettings::new("cdvae", read.model.config()),
        model: Model::generator(read.model),
        preset: preset.name,
        weights: read.weights,
        ignored: read.ignored,
        warnings: read.warnings,
    })
}

impl Cdvae {
    /// Whether a checkpoint has a property head.
    ///
    /// # Errors
    /// [`PublishedError::File`] when it holds no weights.
    pub fn published_property_head(file: &TorchFile) -> Result<bool, PublishedError> {
        Ok(Keys::new(file)?.has("fc_property.2.weight"))
    }

    /// Reads a checkpoint of the published code (a Lightning checkpoint or a saved state dictionary). Sizes, noise levels
    /// and scale factors are those of the file; `base` has what tensors do not tell: cut-offs and neighbors, dynamics,
    /// weights of the objective.
    ///
    /// # Errors
    /// [`PublishedError`] naming every tensor that is missing, unexpected or different; for a property head without
    /// property, or a property without head; and for sizes that make no model.
    pub fn from_published(
        file: &TorchFile,
        base: &CdvaeConfig,
        statistics: PublishedStatistics,
    ) -> Result<PublishedModel<Self>, PublishedError> {
        let mut keys = Keys::new(file)?;
        let head = keys.has("fc_property.2.weight");
        if head != statistics.property.is_some() {
            let has = if head { "has a property head, but" } else { "has no property head and" };
            let wants = if head { "no property is named" } else { "cannot take a property" };
            return Err(PublishedError::Statistics(format!("{} {has} {wants}", file.name())));
        }
        let config = CdvaeConfig {
            property: statistics.property.as_ref().map(|p| p.0.clone()),
            ..config(&mut keys, base)?
        };
        let mut warnings = Vec::new();
        if differ(&config.decoder.scale_factors, &ScaleFactors::published()) {
            warnings.push(
                "the scale factors are not the published ones; the model keeps those of the file".into(),
            );
        }
        check_centers(&mut keys, config.decoder.num_radial)?;
        keys.ignore("the energy branch, on which no output of CDVAE depends", in_energy_branch);
        let wrong = |source: ModelError| PublishedError::Model { name: file.name().to_owned(), source };
        let mut model = Cdvae::new(config).map_err(wrong)?;
        let (weights, ignored) = keys.finish("cdvae", model.parameters())?;
        model.statistics =
            Statistics { lattice: statistics.lattice, property: statistics.property.map(|p| p.1) };
        Ok(PublishedModel { model, weights, ignored, warnings })
    }
}

/// Sizes, noise levels and scale factors of a checkpoint.
fn config(keys: &mut Keys, base: &CdvaeConfig) -> Result<CdvaeConfig, PublishedError> {
    let mut sizes = keys.sizes();
    let latent = sizes.extent("fc_mu.weight", 0, base.latent);
    let head = sizes.extent("fc_lattice.0.weight", 0, base.head);
    let max_atoms = sizes.extent("fc_num_atoms.2.weight", 0, base.max_atoms + 1) - 1;
    let (positions, count) = levels(keys, "sigmas", base.noise.positions)?;
    let (species, count_of_species) = levels(keys, "type_sigmas", base.noise.species)?;
    if count != count_of_species {
        keys.differs(format!("sigmas has {count} noise levels, type_sigmas {count_of_species}"));
    }
    Ok(CdvaeConfig {
        latent,
        head,
        max_atoms,
        encoder: encoder_sizes(keys, &base.encoder),
        decoder: decoder(keys, &base.decoder)?,
        noise: NoiseConfig { levels: count, positions, species },
        ..base.clone()
    })
}

fn decoder(keys: &mut Keys, base: &DecoderConfig) -> Result<DecoderConfig, PublishedError> {
    let mut sizes = keys.sizes();
    let triplet = "decoder.gemnet.int_blocks.0.trip_interaction";
    let blocks = sizes.count("decoder.gemnet.int_blocks.");
    Ok(DecoderConfig {
        hidden: sizes.extent("decoder.gemnet.atom_emb.embeddings.weight", 1, base.hidden),
        triplet: sizes.extent(&format!("{triplet}.down_projection.linear.weight"), 0, base.triplet),
        basis: sizes.extent("decoder.gemnet.mlp_rbf3.linear.weight", 0, base.basis),
        bilinear: sizes.extent(&format!("{triplet}.up_projection_ca.linear.weight"), 1, base.bilinear),
        num_radial: sizes.extent("decoder.gemnet.mlp_rbf3.linear.weight", 1, base.num_radial),
        num_spherical: sizes.extent("decoder.gemnet.mlp_cbf3.weight", 0, base.num_spherical),
        blocks,
        scale_factors: scale_factors(keys, blocks)?,
        ..base.clone()
    })
}

fn scale_factors(keys: &mut Keys, blocks: usize) -> Result<ScaleFactors, PublishedError> {
    let mut list = |count: usize, group: &str, factor: &str| {
        let names = (0..count).map(|i| format!("decoder.gemnet.{group}.{i}.{factor}.scale_factor"));
        names.map(|name| Ok(keys.required_number(&name)? as f32)).collect::<Result<Vec<_>, PublishedError>>()
    };
    Ok(ScaleFactors {
        triplet_radial: list(blocks, "int_blocks", "trip_interaction.scale_rbf")?,
        triplet_sum: list(blocks, "int_blocks", "trip_interaction.scale_cbf_sum")?,
        atom_sum: list(blocks, "int_blocks", "atom_update.scale_sum")?,
        edge_head: list(blocks + 1, "out_blocks", "scale_rbf_F")?,
    })
}

fn differ(a: &ScaleFactors, b: &ScaleFactors) -> bool {
    let all =
        |f: &ScaleFactors| [&f.triplet_radial, &f.triplet_sum, &f.atom_sum, &f.edge_head].map(Vec::clone);
    let (a, b) = (all(a), all(b));
    let close = |(x, y): (&f32, &f32)| f64::from((x / y - 1.0).abs()) < TOLERANCE;
    a.iter().zip(&b).any(|(a, b)| a.len() != b.len() || !a.iter().zip(b).all(close))
}

/// Whether a tensor belongs to the energies that the published decoder computes and drops.
fn in_energy_branch(name: &str) -> bool {
    let block = name.strip_prefix("decoder.gemnet.out_blocks.").and_then(|rest| rest.split_once('.'));
    let parts = ["dense_rbf.", "layers.", "seq_energy.", "out_energy.", "scale_sum."];
    block.is_some_and(|(number, rest)| {
        number.bytes().all(|b| b.is_ascii_digit()) && parts.iter().any(|part| rest.starts_with(part))
    })
}

/// First and last noise level and their number; notes a table that is no geometric sequence.
fn levels(keys: &mut Keys, name: &str, base: [f64; 2]) -> Result<([f64; 2], usize), PublishedError> {
    // The shortest decimal that rounds to the 32-bit number: 0.01 and not 0.00999999977.
    let short = |x: f64| format!("{}", x as f32).parse().unwrap_or(x);
    let table = keys.required_constant(name)?;
    let (Some(&first), Some(&last)) = (table.first(), table.last()) else {
        return Ok((base, 1));
    };
    let ends = [short(first), short(last)];
    let expected = NoiseLevels::geometric(ends, table.len());
    let same = |(i, x): (usize, &f64)| (x / expected.sigma(i) - 1.0).abs() < TOLERANCE;
    if !table.iter().enumerate().all(same) {
        keys.differs(format!("{name} is not a geometric sequence of noise levels"));
    }
    Ok((ends, table.len()))
}

/// The centers of the Gaussians are computed here: evenly spaced over the cut-off.
fn check_centers(keys: &mut Keys, count: usize) -> Result<(), PublishedError> {
    for basis in ["radial_basis", "cbf_basis3.radial_basis"] {
        let name = format!("decoder.gemnet.{basis}.rbf.offset");
        let Some(centers) = keys.constant(&name)? else { continue };
        let step = 1.0 / (centers.len().max(2) - 1) as f64;
        let even = |(i, x): (usize, &f64)| (x - i as f64 * step).abs() < TOLERANCE;
        if centers.len() != count || !centers.iter().enumerate().all(even) {
            keys.differs(format!("{name} holds other centers than {count} evenly spaced ones from 0 to 1"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
