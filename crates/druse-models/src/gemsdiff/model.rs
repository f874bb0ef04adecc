//! The model: networks, statistics, training objective (Algorithm 1).

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use druse_crystal::{Element, Lattice, Structure};
use druse_nn::blocks::Linear;
use druse_nn::ops::{self, Activation, matrix};
use druse_nn::{ParamBuilder, ParamSpec, Params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::{GemsDiffConfig, PositionLoss, Variant};
use super::network::{AtomEmbedding, Decoder, Encoder, GeometryInput, MAX_ELEMENT, Prediction};
use super::sampler::GemsDiffSampler;
use super::scaler::LatticeScaler;
use crate::process::lattice_algebra::{self, ROTATION, VOLUME};
use crate::process::{BetaSchedule, Noise, torus};
use crate::{Capabilities, Generator, LossTerm, ModelError, NoiseKey, SampleRequest, Sampler};

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

/// A GemsDiff model without its parameters.
pub struct GemsDiff {
    pub(crate) config: GemsDiffConfig,
    specs: Vec<ParamSpec>,
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
        match species.iter().find(|e| e.z() > MAX_ELEMENT) {
            Some(e) => Err(ModelError::UnknownElement {
                element: e.symbol().to_owned(),
                z: e.z(),
                limit: MAX_ELEMENT,
            }),
            None => Ok(()),
        }
    }

    /// Predicts the clean crystals.
    pub(crate) fn predict(&self, params: &Params, batch: &[NoisyCrystal<'_>]) -> Prediction {
        let species: Vec<Element> = batch.iter().flat_map(|c| c.species).copied().collect();
        let identity = Lattice::cubic(1.0).expect("the unit cube is a lattice");
        let cells: Vec<_> = batch.iter().map(|c| (identity, c.frac)).collect();
        let decoder_input = GeometryInput::new(&self.config.decoder, &cells, self.config.knn, true);
        let h = self.embedding.forward(params, &species);
        let Some((encoder, merge)) = &self.encoder else {
            return self.decoder.forward(params, &decoder_input, h);
        };
        let width = self.config.encoder.hidden;
        let times = batch
            .iter()
            .flat_map(|c| time_embedding(c.t, self.config.steps, width).repeat(c.species.len()))
            .collect();
        let h = h + matrix(times, width, params.device());
        let cells: Vec<_> = batch.iter().map(|c| (c.cell, c.frac)).collect();
        let encoder_input = GeometryInput::new(&self.config.encoder, &cells, self.config.knn, false);
        let (h, crystal) = encoder.forward(params, &encoder_input, h);
        // The linear map of [h ‖ crystal vector], with the crystal part computed once per crystal.
        let atom = ops::dense(h, merge.slice(params, 0, width), Activation::Identity);
        let crystal =
            ops::dense(crystal, merge.slice(params, width, self.config.latent), Activation::Identity);
        let crystal = ops::gather(crystal, &encoder_input.graph().crystal_of_atom);
        self.decoder.forward(params, &decoder_input, atom + crystal + merge.bias(params))
    }

    /// The noisy cell of step t: noise on the symmetric part of the logarithm, less on the volume (spec 4.5).
    fn corrupt_lattice(&self, lattice: &Lattice, t: usize, noise: &mut Noise) -> Result<Lattice, ModelError> {
        let failed =
            |e: &dyn std::fmt::Display| ModelError::Output(format!("cell of a training structure: {e}"));
        let polar = lattice_algebra::polar(lattice.matrix());
        let mut v = lattice_algebra::log(&polar).map_err(|e| failed(&e))?;
        v[ROTATION].fill(0.0);
        let (signal, sigma) = (self.lattices.alpha_bar(t).sqrt(), self.lattices.sigma(t));
        for (k, v) in v.iter_mut().enumerate().skip(ROTATION.end) {
            *v = signal * *v + sigma * self.lattice_noise(k, noise);
        }
        Lattice::from_matrix(lattice_algebra::exp(&v)).map_err(|e| failed(&e))
    }

    /// Noise of component k of the log-lattice at unit scale.
    pub(crate) fn lattice_noise(&self, k: usize, noise: &mut Noise) -> f64 {
        noise.normal() * if k == VOLUME { self.config.volume_noise } else { 1.0 }
    }

    /// Sum over atoms and mean over axes of the position loss.
    fn position_loss(
        &self,
        params: &Params,
        displacement: Tensor<2>,
        batch: &[&Structure],
        noisy: &[Vec<[f64; 3]>],
    ) -> Tensor<1> {
        let device = params.device();
        match self.config.position_loss {
            PositionLoss::FractionalL2 => {
                let target = batch
                    .iter()
                    .zip(noisy)
                    .flat_map(|(s, x)| s.frac_coords.iter().zip(x))
                    .flat_map(|(y, x)| [0, 1, 2].map(|i| ((y[i] - x[i]) - (y[i] - x[i]).round()) as f32))
                    .collect();
                let difference = displacement - matrix(target, 3, device);
                (difference.clone() * difference).sum()
            }
            PositionLoss::CartesianL1 => {
                let target = batch
                    .iter()
                    .zip(noisy)
                    .flat_map(|(s, x)| torus::shortest_paths(x, &s.frac_coords, &s.lattice))
                    .flat_map(|d| d.map(|x| x as f32))
                    .collect();
                let vector = |k: usize| {
                    let row = |s: &&Structure| s.lattice.rows()[k].map(|x| x as f32).repeat(s.len());
                    matrix(batch.iter().flat_map(row).collect(), 3, device)
                };
                let cartesian = (0..3)
                    .map(|k| displacement.clone().narrow(1, k, 1) * vector(k))
                    .reduce(|a, b| a + b)
                    .expect("three axes");
                (cartesian - matrix(target, 3, device)).abs().sum().div_scalar(3.0)
            }
        }
    }

    /// Sum over crystals and mean over parameters of the normalised lattice loss (L1).
    fn lattice_loss(&self, params: &Params, cell: Tensor<2>, batch: &[&Structure]) -> Tensor<1> {
        let device = params.device();
        let scaler = &self.statistics.scaler;
        let target = batch.iter().flat_map(|s| scaler.normalise(&s.lattice)).map(|x| x as f32).collect();
        let row = |values: [f64; 6]| matrix(values.map(|x| x as f32).to_vec(), 6, device);
        let predicted = (ops::lattice_parameters(cell) - row(scaler.mean)) / row(scaler.denominators());
        (predicted - matrix(target, 6, device)).abs().sum().div_scalar(6.0)
    }
}

/// `cos(t / s_k) ‖ sin(t / s_k)`, `s_k = T^(2k / width)`, k = 0 … width/2 - 1 (spec 4.5).
fn time_embedding(t: usize, steps: usize, width: usize) -> Vec<f32> {
    let half = width.div_ceil(2);
    let phase = |k: usize| t as f64 / (steps as f64).powf(2.0 * k as f64 / width as f64);
    let mut values: Vec<f32> =
        (0..half).map(|k| phase(k).cos() as f32).chain((0..half).map(|k| phase(k).sin() as f32)).collect();
    values.truncate(width);
    values
}

impl Generator for GemsDiff {
    fn kind(&self) -> &'static str {
        "gemsdiff"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { unconditional: false, composition: true }
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        for s in training {
            self.check_species(&s.species)?;
        }
        self.statistics = Statistics {
            scaler: LatticeScaler::fit(training.iter().map(|s| &s.lattice)),
            max_atoms: training.iter().map(|s| s.len()).max().unwrap_or(0),
            elements: training.iter().flat_map(|s| &s.species).copied().collect(),
        };
        Ok(())
    }

    fn statistics(&self) -> Value {
        serde_json::to_value(&self.statistics).expect("statistics are plain data")
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        self.statistics = serde_json::from_value(statistics.clone())
            .map_err(|e| ModelError::Config(format!("statistics of the training set: {e}")))?;
        Ok(())
    }

    fn loss(
        &self,
        params: &Params,
        batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Vec<LossTerm>, ModelError> {
        let mut noisy = Vec::with_capacity(batch.len());
        let mut cells = Vec::with_capacity(batch.len());
        for (s, key) in batch.iter().zip(noise) {
            self.check_species(&s.species)?;
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);
            // The published code draws t from all steps but the last.
            let t = noise.below(self.config.steps - 1);
            noisy.push(torus::corrupt(&s.frac_coords, self.positions.sigma(t), &mut noise));
            let cell = match self.config.variant {
                Variant::Paper => self.corrupt_lattice(&s.lattice, t, &mut noise)?,
                Variant::Released => s.lattice,
            };
            cells.push((cell, t));
        }
        let crystals: Vec<_> = batch
            .iter()
            .zip(&noisy)
            .zip(&cells)
            .map(|((s, frac), &(cell, t))| NoisyCrystal { species: &s.species, frac, cell, t })
            .collect();
        let Prediction { displacement, cell } = self.predict(params, &crystals);
        let counts = self.loss_counts(batch);
        Ok(vec![
            LossTerm {
                name: "position",
                sum: self.position_loss(params, displacement, batch, &noisy),
                count: counts[0],
            },
            LossTerm { name: "lattice", sum: self.lattice_loss(params, cell, batch), count: counts[1] },
        ])
    }

    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64> {
        vec![batch.iter().map(|s| s.len() as f64).sum(), batch.len() as f64]
    }

    fn sampler<'a>(
        &'a self,
        params: &'a Params,
        requests: &[SampleRequest],
    ) -> Result<Box<dyn Sampler + 'a>, ModelError> {
        Ok(Box::new(GemsDiffSampler::new(self, params, requests)?))
    }
}
