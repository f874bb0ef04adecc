//! The model: networks, statistics, what the networks read and say.

use std::collections::BTreeSet;

use druse_crystal::{Element, Lattice};
use druse_nn::blocks::Linear;
use druse_nn::graph::GraphError;
use druse_nn::ops::{self, Activation, matrix};
use druse_nn::{ParamBuilder, ParamSpec, Params};
use serde::{Deserialize, Serialize};

use super::config::{GemsDiffConfig, Variant};
use super::network::{AtomEmbedding, Decoder, Encoder, GeometryInput, MAX_ELEMENT, Prediction};
use super::scaler::LatticeScaler;
use crate::ModelError;
use crate::error::check_elements;
use crate::process::lattice_algebra::{self, ROTATION, VOLUME};
use crate::process::{BetaSchedule, Noise};
use crate::settings::Settings;

/// What the model keeps of its training set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statistics {
    pub scaler: LatticeScaler,
    /// Atoms of the largest training cell; 0 before training.
    pub max_atoms: usize,
    /// Elements of the training set.
    pub elements: BTreeSet<Element>,
}

/// A noisy crystal as the networks see it.
pub(crate) struct NoisyCrystal<'a> {
    pub species: &'a [Element],
    pub frac: &'a [[f64; 3]],
    /// Noisy cell; only the encoder of the paper's variant looks at it.
    pub cell: Lattice,
    /// Diffusion step.
    pub t: usize,
}

/// What the networks read of a list of noisy crystals.
pub(crate) struct NetworkInput {
    species: Vec<Element>,
    /// Noisy positions in the identity cell.
    decoder: GeometryInput,
    /// The noisy crystals and the time embedding of each atom (N, hidden); the paper's variant only.
    encoder: Option<(GeometryInput, Vec<f32>)>,
}

/// A GemsDiff model without its parameters.
pub struct GemsDiff {
    pub(crate) config: GemsDiffConfig,
    pub(super) specs: Vec<ParamSpec>,
    pub(crate) embedding: AtomEmbedding,
    encoder: Option<(Encoder, Linear)>,
    pub(crate) decoder: Decoder,
    pub(crate) positions: BetaSchedule,
    pub(crate) lattices: BetaSchedule,
    pub(crate) statistics: Statistics,
}

impl GemsDiff {
    /// Builds the networks.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the configuration is impossible.
    pub fn new(config: GemsDiffConfig) -> Result<Self, ModelError> {
        config.validate()?;
        let mut builder = ParamBuilder::default();
        let (embedding, encoder, decoder) = match config.variant {
            Variant::Released => {
                let embedding = AtomEmbedding::new(&mut builder, "gnn", config.decoder.hidden);
                (embedding, None, Decoder::new(&mut builder, "gnn", &config.decoder))
            }
            Variant::Paper => {
                let embedding = AtomEmbedding::new(&mut builder, "encoder", config.encoder.hidden);
                let encoder = Encoder::new(&mut builder, "encoder", &config.encoder, config.latent);
                let input = config.encoder.hidden + config.latent;
                let shape = [input, config.decoder.hidden];
                let merge = Linear::new(&mut builder, "decoder.atom_latent_emb", shape, true);
                let decoder = Decoder::new(&mut builder, "decoder", &config.decoder);
                (embedding, Some((encoder, merge)), decoder)
            }
        };
        Ok(Self {
            positions: BetaSchedule::linear(config.position_betas, config.steps),
            lattices: BetaSchedule::linear(config.lattice_betas, config.steps),
            specs: builder.finish(),
            statistics: Statistics::default(),
            config,
            embedding,
            encoder,
            decoder,
        })
    }

    /// Hyper-parameters.
    pub fn config(&self) -> &GemsDiffConfig {
        &self.config
    }

    pub(crate) fn check_species(&self, species: &[Element]) -> Result<(), ModelError> {
        check_elements(species, MAX_ELEMENT)
    }

    /// Does the work of a prediction that needs no weights.
    ///
    /// # Errors
    /// [`GraphError`] for the first crystal whose cell is too small or too flat to be searched.
    pub(crate) fn network_input(&self, batch: &[NoisyCrystal<'_>]) -> Result<NetworkInput, GraphError> {
        let identity = Lattice::cubic(1.0).expect("the unit cube is a lattice");
        let cells: Vec<_> = batch.iter().map(|c| (identity, c.frac)).collect();
        let encoder = self.encoder.as_ref().map(|_| -> Result<_, GraphError> {
            let width = self.config.encoder.hidden;
            let times = batch
                .iter()
                .flat_map(|c| time_embedding(c.t, self.config.steps, width).repeat(c.species.len()))
                .collect();
            let cells: Vec<_> = batch.iter().map(|c| (c.cell, c.frac)).collect();
            Ok((GeometryInput::new(&self.config.encoder, &cells, self.config.knn, false)?, times))
        });
        Ok(NetworkInput {
            species: batch.iter().flat_map(|c| c.species).copied().collect(),
            decoder: GeometryInput::new(&self.config.decoder, &cells, self.config.knn, true)?,
            encoder: encoder.transpose()?,
        })
    }

    /// Predicts the clean crystals.
    pub(crate) fn predict(&self, params: &Params, input: &NetworkInput) -> Prediction {
        let h = self.embedding.forward(params, &input.species);
        let Some(((encoder, merge), (geometry, times))) = self.encoder.as_ref().zip(input.encoder.as_ref())
        else {
            return self.decoder.forward(params, &input.decoder, h);
        };
        let width = self.config.encoder.hidden;
        let h = h + matrix(times.clone(), width, params.device());
        let (h, crystal) = encoder.forward(params, geometry, h);
        // The linear map of [h ‖ crystal vector], with the crystal part computed once per crystal.
        let atom = ops::dense(h, merge.slice(params, 0, width), Activation::Identity);
        let crystal =
            ops::dense(crystal, merge.slice(params, width, self.config.latent), Activation::Identity);
        let crystal = ops::gather(crystal, &geometry.graph().crystal_of_atom);
        self.decoder.forward(params, &input.decoder, atom + crystal + merge.bias(params))
    }

    /// The noisy cell of step t: noise on the symmetric part of the logarithm, less on the volume (GemsDiff, section "Diffusion").
    pub(crate) fn corrupt_lattice(
        &self,
        lattice: &Lattice,
        t: usize,
        noise: &mut Noise,
    ) -> Result<Lattice, ModelError> {
        let failed =
            |e: &dyn std::fmt::Display| ModelError::Output(format!("cell of a training structure: {e}"));
        let polar = lattice_algebra::polar(lattice.matrix());
        let mut v = lattice_algebra::log(&polar).map_err(|e| failed(&e))?;
        v[ROTATION].fill(0.0);
        let (signal, sigma) = (self.lattices.alpha_bar(t).sqrt(), self.lattices.sigma(t));
        for (k, v) in v.iter_mut().enumerate().skip(ROTATION.end) {
            *v = signal * *v + sigma * self.lattice_noise(k, noise);
        }
        let noisy = Lattice::from_matrix(lattice_algebra::exp(&v)).map_err(|e| failed(&e))?;
        // The logarithm is that of a right-handed cell, in which the coordinates of a left-handed one are the mirror image.
        Ok(if lattice.is_right_handed() { noisy } else { noisy.inverted() })
    }

    /// Noise of component k of the log-lattice at unit scale.
    pub(crate) fn lattice_noise(&self, k: usize, noise: &mut Noise) -> f64 {
        noise.normal() * if k == VOLUME { self.config.volume_noise } else { 1.0 }
    }
}

/// `cos(t / s_k) ‖ sin(t / s_k)`, `s_k = T^(2k / width)`, k = 0 … width/2 - 1 (published code).
fn time_embedding(t: usize, steps: usize, width: usize) -> Vec<f32> {
    let half = width.div_ceil(2);
    let phase = |k: usize| t as f64 / (steps as f64).powf(2.0 * k as f64 / width as f64);
    let mut values: Vec<f32> =
        (0..half).map(|k| phase(k).cos() as f32).chain((0..half).map(|k| phase(k).sin() as f32)).collect();
    values.truncate(width);
    values
}
