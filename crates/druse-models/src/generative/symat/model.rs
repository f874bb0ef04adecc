//! The model: networks, statistics of the training set.

use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::{Element, Lattice, Structure};
use druse_nn::blocks::spherenet::SphereGeometry;
use druse_nn::ops::matrix;
use druse_nn::{ParamBuilder, ParamSpec, Params};
use serde::{Deserialize, Serialize};

use super::config::{SymatConfig, SymatSampling, Temperatures};
use super::encoder::Encoder;
use super::heads::{HeadSizes, Heads};
use super::score::ScoreNetwork;
use crate::ModelError;
use crate::autoencoder::{Gaussian, normalized_cell};
use crate::bonds::BondCache;
use crate::error::check_elements;
use crate::process::{Langevin, NoiseLevels};
use crate::settings::Settings;
use crate::standardizer::Standardizer;

/// Elements whose bonds are known: atomic numbers 1 to 94. The networks know 100.
pub(super) const LARGEST_Z: u8 = 94;

/// What the model keeps of its training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statistics {
    /// Of `[lengths / N^(1/3), angles]` (Å, degrees).
    pub lattice: Standardizer,
    /// Of the property, where one is learned.
    pub property: Option<Standardizer>,
    /// Standard deviation of the change of distances (Å) at each noise level, the smallest first.
    pub score_norm: Vec<f64>,
    /// Atoms of its largest cell, where that is known.
    #[serde(default)]
    pub max_atoms: Option<usize>,
}

impl Statistics {
    /// The scalers of cells and of the property.
    pub(super) fn scalers(&self) -> (&Standardizer, Option<&Standardizer>) {
        (&self.lattice, self.property.as_ref())
    }
}

/// A SyMat model without its parameters.
pub struct Symat {
    pub(super) config: SymatConfig,
    pub(super) specs: Vec<ParamSpec>,
    pub(super) encoder: Encoder,
    pub(super) heads: Heads,
    pub(super) score: ScoreNetwork,
    /// The smallest first.
    pub(super) levels: NoiseLevels,
    pub(super) langevin: Langevin,
    /// Standard deviations of what sampling draws.
    pub(super) temperatures: Temperatures,
    pub(super) statistics: Statistics,
    pub(super) bonds: BondCache,
}

impl Symat {
    /// Builds the networks.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the configuration is impossible.
    pub fn new(config: SymatConfig) -> Result<Self, ModelError> {
        config.validate()?;
        let wrong = |part: &str, e: &dyn std::fmt::Display| ModelError::Config(format!("{part}.{e}"));
        let mut builder = ParamBuilder::default();
        let encoder = Encoder::new(&mut builder, &config.encoder, [config.latent, config.head])
            .map_err(|e| wrong("encoder", &e))?;
        let sizes = HeadSizes {
            latent: config.latent,
            hidden: config.head,
            max_atoms: config.max_atoms,
            property: config.property.is_some(),
        };
        let heads = Heads::new(&mut builder, sizes);
        let score = ScoreNetwork::new(&mut builder, &config.score, config.latent)
            .map_err(|e| wrong("score.network", &e))?;
        let levels = NoiseLevels::geometric(config.noise.positions, config.noise.levels);
        let score_norm = match config.noise.score_norm.published() {
            Some(table) => table.to_vec(),
            // What distances change by at small levels, until the training set says more.
            None => (0..levels.len()).map(|i| 2f64.sqrt() * levels.sigma(i)).collect(),
        };
        Ok(Self {
            langevin: SymatSampling::default().langevin(&config.noise),
            temperatures: SymatSampling::default().temperatures(&config),
            levels,
            specs: builder.finish(),
            statistics: Statistics {
                lattice: Standardizer::identity(6),
                property: None,
                score_norm,
                max_atoms: None,
            },
            bonds: BondCache::default(),
            config,
            encoder,
            heads,
            score,
        })
    }

    /// With other dynamics of sampling than the published ones.
    ///
    /// # Errors
    /// [`ModelError::Config`] when they are impossible.
    pub fn with_sampling(self, sampling: &SymatSampling) -> Result<Self, ModelError> {
        sampling.validate()?;
        let temperatures = sampling.temperatures(&self.config);
        Ok(Self { langevin: sampling.langevin(&self.config.noise), temperatures, ..self })
    }

    /// Hyper-parameters.
    pub fn config(&self) -> &SymatConfig {
        &self.config
    }

    /// Refuses crystals that the heads cannot count or the networks do not know.
    pub(super) fn check_structure(&self, s: &Structure) -> Result<(), ModelError> {
        check_elements(&s.species, LARGEST_Z)?;
        let limit = self.config.max_atoms;
        let counts = element_counts(&s.species);
        let most = counts.iter().map(|&(_, n)| n).max().unwrap_or(0);
        let too_many = [(counts.len(), "elements"), (most, "atoms of one element")];
        match too_many.into_iter().find(|&(n, _)| n > limit) {
            None => Ok(()),
            Some((n, what)) => Err(ModelError::Unusable {
                what: druse_crystal::Composition::from_species(&s.species).formula(),
                reason: format!("it has {n} {what}, the heads count up to {limit} (model.max_atoms)"),
            }),
        }
    }

    /// The bonded multigraph of crystals as the encoder reads it.
    ///
    /// # Errors
    /// [`ModelError`] for crystals that the model cannot represent.
    pub(super) fn encoder_input(&self, crystals: &[&Structure]) -> Result<EncoderInput, ModelError> {
        crystals.iter().try_for_each(|s| self.check_structure(s))?;
        let geometry = self.encoder.backbone.geometry(Arc::new(self.bonds.multigraph(crystals)?));
        let cells = crystals.iter().flat_map(|s| self.normalized_cell(&s.lattice, s.len()));
        Ok(EncoderInput {
            geometry,
            species: crystals.iter().flat_map(|s| &s.species).copied().collect(),
            cells: cells.map(|x| x as f32).collect(),
        })
    }

    /// The posterior of each crystal's latent, (B, 3 · latent).
    pub(super) fn posterior(&self, params: &Params, input: &EncoderInput) -> Gaussian {
        let cells = matrix(input.cells.clone(), 6, params.device());
        self.encoder.posterior(params, &input.geometry, &input.species, cells)
    }

    /// The parts of latents (B, 3 · latent): composition, position, cell.
    pub(super) fn parts(&self, z: &Tensor<2>) -> [Tensor<2>; 3] {
        let width = self.config.latent;
        [0, 1, 2].map(|i| z.clone().narrow(1, i * width, width))
    }

    /// Standardized `[lengths / N^(1/3), angles]` of a cell of `atoms` atoms.
    pub(super) fn normalized_cell(&self, lattice: &Lattice, atoms: usize) -> [f64; 6] {
        normalized_cell(&self.statistics.lattice, lattice, atoms)
    }
}

/// Crystals as the encoder reads them.
pub(super) struct EncoderInput {
    geometry: SphereGeometry,
    pub species: Vec<Element>,
    /// Standardized cells (B, 6).
    pub cells: Vec<f32>,
}

/// The elements of a crystal by atomic number, with their numbers of atoms.
pub(super) fn element_counts(species: &[Element]) -> Vec<(Element, usize)> {
    let mut sorted = species.to_vec();
    sorted.sort_unstable_by_key(|e| e.z());
    sorted.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect()
}
