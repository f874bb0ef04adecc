//! The training objective: the parts of the variational bound, positions and species denoised (Xie et al. 2022,
//! Equations 2 and 9; what the paper leaves open, as the published code has it).

use std::sync::Arc;

use burn::tensor::{Tensor, activation};
use druse_crystal::{Element, Lattice, Structure, wrap_unit};
use druse_nn::Params;
use druse_nn::blocks::MAX_ELEMENT;
use druse_nn::blocks::dimenet::MessageGeometry;
use druse_nn::graph::Multigraph;
use druse_nn::memory::to_host;
use druse_nn::ops::{self, matrix};

use super::decoder::DecoderInput;
use super::heads::Aggregates;
use super::model::Cdvae;
use crate::autoencoder::{cross_entropy, property_targets, squared_error};
use crate::process::{Noise, torus};
use crate::{LossTerm, ModelError, NoiseKey, Prepared};

const ELEMENTS: usize = MAX_ELEMENT as usize;

/// A crystal and the noise that it receives.
struct NoisyCrystal {
    /// The true cell, oriented by its six parameters.
    lattice: Lattice,
    species: Vec<Element>,
    frac: Vec<[f64; 3]>,
    /// Noise level of the positions (Å).
    sigma: f64,
    /// Displacements in units of the noise level, Cartesian.
    displacements: Vec<[f64; 3]>,
    /// Noise level of the species.
    species_sigma: f64,
    /// For each atom two numbers in [0, 1): whether its species changes, and to which.
    draws: Vec<[f64; 2]>,
    /// Whether the true cell is the one that positions are corrupted in.
    forced: bool,
}

/// Noisy positions with their graph, and where the atoms belong.
struct DecoderPiece {
    input: DecoderInput,
    /// Shortest displacement to the true position in units of the noise level (N, 3).
    target: Target,
}

/// Displacements that the decoder should find.
enum Target {
    /// Numbers.
    Fixed(Vec<f32>),
    /// Functions of the predicted cells, in which the positions were corrupted.
    Moving(Box<Tensor<2>>),
}

/// A micro-batch of a batch with everything that needs no weights.
pub(crate) struct PreparedMicroBatch<'a> {
    model: &'a Cdvae,
    encoder: MessageGeometry,
    crystals: Vec<NoisyCrystal>,
    /// Noise of the latents (B, latent).
    latent_noise: Vec<f32>,
    /// Standardized property (B, 1).
    property: Option<Vec<f32>>,
    /// The decoder's part, where it does not depend on a predicted cell.
    decoder: Option<DecoderPiece>,
}

impl NoisyCrystal {
    fn new(model: &Cdvae, s: &Structure, epoch: u64, noise: &mut Noise) -> Result<Self, ModelError> {
        let failed = |e| ModelError::Output(format!("cell of a training structure: {e}"));
        let config = &model.config.noise;
        let sigma = model.positions.sigma(noise.below(config.levels));
        let species_sigma = model.species.sigma(noise.below(config.levels));
        // Six numbers do not tell a cell from its mirror image.
        let s = &*s.right_handed();
        Ok(Self {
            lattice: Lattice::from_parameters(s.lattice.parameters()).map_err(failed)?,
            species: s.species.clone(),
            frac: s.frac_coords.clone(),
            sigma,
            displacements: s.species.iter().map(|_| std::array::from_fn(|_| noise.normal())).collect(),
            species_sigma,
            draws: s.species.iter().map(|_| [noise.uniform(), noise.uniform()]).collect(),
            forced: epoch <= model.config.teacher_forcing_epochs,
        })
    }

    /// The fractional coordinates with noise that is Gaussian in a cell, not wrapped.
    fn noisy_positions(&self, cell: &Lattice) -> Vec<[f64; 3]> {
        let moved = |(f, e): (&[f64; 3], &[f64; 3])| {
            let change = cell.to_fractional(e.map(|x| self.sigma * x));
            std::array::from_fn(|i| f[i] + change[i])
        };
        self.frac.iter().zip(&self.displacements).map(moved).collect()
    }

    /// Species drawn with weights `[is the true one] + σ p`, p being the composition that the latent says.
    fn noisy_species(&self, composition: &[f32]) -> Result<Vec<Element>, ModelError> {
        let draw = |(&truth, &[change, which]): (&Element, &[f64; 2])| {
            if change * (1.0 + self.species_sigma) < 1.0 {
                return Ok(truth);
            }
            let mut rest = which * composition.iter().map(|&p| f64::from(p)).sum::<f64>();
            let index = composition.iter().position(|&p| {
                rest -= f64::from(p);
                rest < 0.0
            });
            let z = index.map_or(ELEMENTS, |i| i + 1) as i64;
            Element::from_z(z).map_err(|e| ModelError::Output(e.to_string()))
        };
        self.species.iter().zip(&self.draws).map(draw).collect()
    }
}

impl<'a> PreparedMicroBatch<'a> {
    pub fn new(model: &'a Cdvae, batch: &[&Structure], keys: &[NoiseKey]) -> Result<Self, ModelError> {
        let encoder = model.encoder_input(batch)?;
        let mut crystals = Vec::with_capacity(batch.len());
        let mut latent_noise = Vec::with_capacity(batch.len() * model.config.latent);
        for (s, key) in batch.iter().zip(keys) {
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);
            latent_noise.extend((0..model.config.latent).map(|_| noise.normal() as f32));
            crystals.push(NoisyCrystal::new(model, s, key.epoch, &mut noise)?);
        }
        let (name, scaler) = (model.config.property.as_deref(), model.statistics.property.as_ref());
        let property = property_targets(name, scaler, batch)?;
        let decoder = crystals.iter().all(|c| c.forced).then(|| {
            let cells: Vec<Lattice> = crystals.iter().map(|c| c.lattice).collect();
            DecoderPiece::new(model, &crystals, &cells)
        });
        Ok(Self { model, encoder, crystals, latent_noise, property, decoder })
    }

    /// The decoder's part with positions corrupted in the cells that the latents say, given the output of the lattice head
    /// (B, 6). The loss of the positions then also moves the lattice head: as published, the cells are not constants. Where
    /// a predicted cell encloses no volume, which an untrained head may return, the true one is taken.
    fn in_predicted_cells(&self, params: &Params, lattice: Tensor<2>) -> Result<DecoderPiece, ModelError> {
        let said = to_host(lattice.clone())?;
        let predicted: Vec<Option<Lattice>> = self
            .crystals
            .iter()
            .zip(said.chunks_exact(6))
            .map(|(c, row)| {
                let parameters = self.model.cell_parameters(row, c.species.len());
                Lattice::from_parameters(parameters).ok().filter(|_| !c.forced)
            })
            .collect();
        let cells: Vec<Lattice> =
            self.crystals.iter().zip(&predicted).map(|(c, p)| p.unwrap_or(c.lattice)).collect();
        let micro_batch = DecoderPiece::new(self.model, &self.crystals, &cells);
        if !params.device().is_autodiff() {
            return Ok(micro_batch);
        }
        let Target::Fixed(target) = micro_batch.target else { return Ok(micro_batch) };
        let (vectors, change) =
            self.geometry_in(params, lattice, &predicted, &cells, micro_batch.input.graph());
        let target = Target::Moving(Box::new(self.moving_target(&target, &cells, change)));
        Ok(DecoderPiece { input: micro_batch.input.with_vectors(vectors), target })
    }

    /// The target as a function of the fractional displacements `change` (N, 3): what these add to the way back, in the
    /// true cells.
    fn moving_target(&self, target: &[f32], cells: &[Lattice], change: Tensor<2>) -> Tensor<2> {
        let device = change.device();
        let mut rows: [Vec<f32>; 3] = Default::default();
        let mut fixed = Vec::with_capacity(target.len());
        let mut target = target.chunks_exact(3);
        for (c, cell) in self.crystals.iter().zip(cells) {
            for e in &c.displacements {
                let there = c.lattice.to_cartesian(cell.to_fractional(*e));
                let back = target.next().unwrap_or(&[0.0; 3]);
                fixed.extend(back.iter().zip(there).map(|(b, t)| b + t as f32));
                for (k, row) in rows.iter_mut().enumerate() {
                    row.extend(c.lattice.rows()[k].map(|x| (x / c.sigma) as f32));
                }
            }
        }
        rows.into_iter().enumerate().fold(matrix(fixed, 3, &device), |target, (k, row)| {
            target - change.clone().narrow(1, k, 1) * matrix(row, 3, &device)
        })
    }

    /// The vectors of all edges (E, 3) and the displacements of the atoms, fractional (N, 3), as functions of the output of
    /// the lattice head.
    fn geometry_in(
        &self,
        params: &Params,
        lattice: Tensor<2>,
        predicted: &[Option<Lattice>],
        cells: &[Lattice],
        graph: &Arc<Multigraph>,
    ) -> (Tensor<2>, Tensor<2>) {
        let device = params.device();
        // Standardized numbers to lengths and angles; nothing of them where the true cell is taken.
        let (mut factors, mut offsets) = (Vec::new(), Vec::new());
        for (c, predicted) in self.crystals.iter().zip(predicted) {
            let atoms = c.species.len();
            let at = |x: f32| self.model.cell_parameters(&[x; 6], atoms);
            let (zero, one, truth) = (at(0.0), at(1.0), c.lattice.parameters());
            for k in 0..6 {
                factors.push(if predicted.is_some() { (one[k] - zero[k]) as f32 } else { 0.0 });
                offsets.push(if predicted.is_some() { zero[k] } else { truth[k] } as f32);
            }
        }
        let parameters = lattice * matrix(factors, 6, device) + matrix(offsets, 6, device);
        let matrices = ops::cells(parameters);
        let (mut noise, mut home) = (Vec::new(), Vec::new());
        for (c, cell) in self.crystals.iter().zip(cells) {
            for ((f, e), x) in c.frac.iter().zip(&c.displacements).zip(c.noisy_positions(cell)) {
                noise.extend(e.map(|e| (c.sigma * e) as f32));
                home.extend((0..3).map(|i| (f[i] + wrap_unit(x[i]) - x[i]) as f32));
            }
        }
        let change = ops::to_fractional(matrix(noise, 3, device), matrices.clone(), &graph.crystal_of_atom);
        (ops::edge_vectors(change.clone() + matrix(home, 3, device), matrices, graph), change)
    }

    /// Rows of a weight for each crystal.
    fn per_crystal(&self, width: usize, row: impl Fn(&NoisyCrystal, &mut [f32])) -> Vec<f32> {
        let mut out = vec![0f32; self.crystals.len() * width];
        for (c, out) in self.crystals.iter().zip(out.chunks_exact_mut(width)) {
            row(c, out);
        }
        out
    }

    /// The parts that whole crystals contribute: number of atoms, lattice, composition.
    fn aggregate_losses(&self, params: &Params, said: Aggregates) -> [Tensor<1>; 3] {
        let device = params.device();
        let classes = self.model.config.max_atoms + 1;
        let counts = self.per_crystal(classes, |c, row| row[c.species.len()] = 1.0);
        let lattices = self.per_crystal(6, |c, row| {
            let target = self.model.normalized_lattice(&c.lattice, c.species.len());
            row.iter_mut().zip(target).for_each(|(y, x)| *y = x as f32);
        });
        let shares = self.per_crystal(ELEMENTS, |c, row| {
            for e in &c.species {
                row[usize::from(e.z()) - 1] += 1.0 / c.species.len() as f32;
            }
        });
        [
            cross_entropy(said.num_atoms, matrix(counts, classes, device)),
            squared_error(said.lattice, matrix(lattices, 6, device)).div_scalar(6.0),
            cross_entropy(said.composition, matrix(shares, ELEMENTS, device)),
        ]
    }

    /// The parts that atoms contribute: positions and species.
    fn denoising_losses(
        &self,
        params: &Params,
        z: Tensor<2>,
        decoder: &DecoderPiece,
        noisy: &[Element],
    ) -> [Tensor<1>; 2] {
        let device = params.device();
        let projection = self.model.decoder.latent_projection(params, z);
        let output = self.model.decoder.forward(params, &decoder.input, noisy, projection);
        let share = |c: &NoisyCrystal| 1.0 / c.species.len() as f64;
        let atoms = self.crystals.iter().flat_map(|c| vec![0.5 * share(c) as f32; c.species.len()]);
        let target = match &decoder.target {
            Target::Fixed(target) => matrix(target.clone(), 3, device),
            Target::Moving(target) => target.as_ref().clone(),
        };
        let difference = output.vectors - target;
        let squares = difference.clone() * difference * matrix(atoms.collect(), 1, device);
        let mut truth = vec![0f32; noisy.len() * ELEMENTS];
        let species = self.crystals.iter().flat_map(|c| {
            let weight = (share(c) / c.species_sigma) as f32;
            c.species.iter().map(move |e| (usize::from(e.z()) - 1, weight))
        });
        for (row, (z, weight)) in truth.chunks_exact_mut(ELEMENTS).zip(species) {
            row[z] = weight;
        }
        [squares.sum(), cross_entropy(output.logits, matrix(truth, ELEMENTS, device))]
    }
}

impl DecoderPiece {
    fn new(model: &Cdvae, crystals: &[NoisyCrystal], cells: &[Lattice]) -> Self {
        let wrapped = |x: [f64; 3]| x.map(wrap_unit);
        let noisy: Vec<Vec<[f64; 3]>> = crystals
            .iter()
            .zip(cells)
            .map(|(c, cell)| c.noisy_positions(cell).into_iter().map(wrapped).collect())
            .collect();
        // As published, the way back is measured in the true cell even where another one was corrupted.
        let target = crystals.iter().zip(&noisy).flat_map(|(c, noisy)| {
            let paths = torus::shortest_paths(noisy, &c.frac, &c.lattice);
            paths.into_iter().flat_map(move |d| d.map(|x| (x / c.sigma) as f32)).collect::<Vec<_>>()
        });
        let target = Target::Fixed(target.collect());
        let cells: Vec<_> = cells.iter().zip(&noisy).map(|(&cell, frac)| (cell, frac.as_slice())).collect();
        Self { input: DecoderInput::new(&model.config.decoder, &cells), target }
    }
}

impl Prepared for PreparedMicroBatch<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let (model, device) = (self.model, params.device());
        let species: Vec<Element> = self.crystals.iter().flat_map(|c| &c.species).copied().collect();
        let posterior = model.posterior(params, &self.encoder, &species);
        let z = posterior.sample(matrix(self.latent_noise.clone(), model.config.latent, device));
        let said = model.aggregates(params, &z);

        // The composition corrupts species as numbers: no gradient goes through the draw.
        let composition = to_host(activation::softmax(said.composition.clone(), 1))?;
        let mut noisy = Vec::with_capacity(species.len());
        for (c, p) in self.crystals.iter().zip(composition.chunks_exact(ELEMENTS)) {
            noisy.extend(c.noisy_species(p)?);
        }
        let made;
        let decoder = match &self.decoder {
            Some(decoder) => decoder,
            None => {
                made = self.in_predicted_cells(params, said.lattice.clone())?;
                &made
            }
        };

        let property = self.property.as_ref().zip(model.heads.property(params, z.clone()));
        let [num_atoms, lattice, composition] = self.aggregate_losses(params, said);
        let [coordinate, species] = self.denoising_losses(params, z, decoder, &noisy);
        let kl = posterior.divergence();

        let w = &model.config.weights;
        let count = self.crystals.len() as f64;
        let term = |name, sum, weight| LossTerm { name, sum, count, weight };
        let mut terms = vec![
            term("num_atoms", num_atoms, w.num_atoms),
            term("lattice", lattice, w.lattice),
            term("composition", composition, w.composition),
            term("coordinate", coordinate, w.coordinate),
            term("species", species, w.species),
            term("kl", kl, w.kl),
        ];
        if let Some((target, predicted)) = property {
            let target = matrix(target.clone(), 1, device);
            terms.push(term("property", squared_error(predicted, target), w.property));
        }
        Ok(terms)
    }
}
