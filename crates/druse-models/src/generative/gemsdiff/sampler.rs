//! Sampling (Algorithm 2 of the paper).

use druse_crystal::{Element, Lattice, Structure, wrap_unit};
use druse_nn::Params;
use druse_nn::graph::GraphError;
use druse_nn::memory::to_host;
use nalgebra::Matrix3;

use super::config::Variant;
use super::model::{GemsDiff, NoisyCrystal};
use crate::process::Noise;
use crate::process::lattice_algebra::{self, LogLattice, ROTATION};
use crate::{InFlight, ModelError, SampleRequest};

/// One crystal on its way from noise.
pub struct State {
    species: Vec<Element>,
    frac: Vec<[f64; 3]>,
    /// Noisy cell, logarithm.
    log_cell: LogLattice,
    /// Cell predicted last.
    cell: Matrix3<f64>,
    noise: Noise,
}

impl State {
    pub(super) fn start(model: &GemsDiff, request: &SampleRequest) -> Result<Self, ModelError> {
        let nothing = || ModelError::Condition("no composition is given".into());
        let species = request.conditions.composition.as_ref().ok_or_else(nothing)?.atoms();
        let mut noise = Noise::new(request.seed, request.index);
        let frac = species.iter().map(|_| std::array::from_fn(|_| noise.uniform())).collect();
        let mut log_cell = [0.0; 9];
        for (k, v) in log_cell.iter_mut().enumerate().skip(ROTATION.end) {
            *v = model.lattice_noise(k, &mut noise);
        }
        Ok(Self { species, frac, log_cell, cell: Matrix3::identity(), noise })
    }

    pub(super) fn species(&self) -> &[Element] {
        &self.species
    }

    /// The crystal as the networks see it at step `t`.
    fn noisy(&self, variant: Variant, t: usize) -> Result<NoisyCrystal<'_>, ModelError> {
        let matrix = match variant {
            Variant::Paper => lattice_algebra::exp(&self.log_cell),
            Variant::Released => Matrix3::identity(),
        };
        let cell = Lattice::from_matrix(matrix).map_err(|e| ModelError::Output(format!("step {t}: {e}")))?;
        Ok(NoisyCrystal { species: &self.species, frac: &self.frac, cell, t })
    }

    /// Moves to step t - 1 from the network's view of the clean crystal.
    fn advance(
        &mut self,
        model: &GemsDiff,
        t: usize,
        displacement: &[f32],
        cell: &[f32],
    ) -> Result<(), ModelError> {
        if displacement.iter().chain(cell).any(|x| !x.is_finite()) {
            return Err(ModelError::Output(format!("a number that is not finite at step {t}")));
        }
        let c: [f64; 6] = std::array::from_fn(|i| f64::from(cell[i]));
        self.cell = Matrix3::new(c[0], c[3], c[4], c[3], c[1], c[5], c[4], c[5], c[2]);
        for (f, d) in self.frac.iter_mut().zip(displacement.chunks_exact(3)) {
            *f = std::array::from_fn(|i| wrap_unit(f[i] + f64::from(d[i])));
        }
        if t == 0 {
            return Ok(());
        }
        let sigma = model.positions.beta(t - 1).sqrt();
        for f in &mut self.frac {
            *f = std::array::from_fn(|i| wrap_unit(f[i] + sigma * self.noise.normal()));
        }
        if model.config.variant == Variant::Paper {
            let clean = lattice_algebra::log(&self.cell)
                .map_err(|e| ModelError::Output(format!("predicted cell at step {t}: {e}")))?;
            let ((c0, ct), sigma) = (model.lattices.posterior(t), model.lattices.beta(t - 1).sqrt());
            for (k, (v, clean)) in self.log_cell.iter_mut().zip(clean).enumerate().skip(ROTATION.end) {
                *v = c0 * clean + ct * *v + sigma * model.lattice_noise(k, &mut self.noise);
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Structure, ModelError> {
        let lattice = Lattice::from_matrix(self.cell).map_err(|e| ModelError::Output(e.to_string()))?;
        Structure::new(lattice, self.species, self.frac).map_err(|e| ModelError::Output(e.to_string()))
    }
}

/// One network call for crystals that may be at different steps. When it fails, no crystal has moved.
pub(super) fn step(
    model: &GemsDiff,
    params: &Params,
    crystals: &mut [InFlight<State>],
) -> Result<(), ModelError> {
    // Diffusion steps count down.
    let t_of = |crystal: &InFlight<State>| model.config.steps - 1 - crystal.step;
    let mut failures: Vec<Option<ModelError>> = Vec::with_capacity(crystals.len());
    let mut noisy = Vec::with_capacity(crystals.len());
    for crystal in crystals.iter() {
        match crystal.state.noisy(model.config.variant, t_of(crystal)) {
            Ok(crystal) => {
                noisy.push(crystal);
                failures.push(None);
            }
            Err(error) => failures.push(Some(error)),
        }
    }
    let (mut displacements, mut cells) = (Vec::new(), Vec::new());
    let input = loop {
        if noisy.is_empty() {
            break None;
        }
        match model.network_input(&noisy) {
            Ok(input) => break Some(input),
            // A collapsed cell costs the others nothing but the search.
            Err(GraphError { crystal, source }) => {
                let t = noisy.remove(crystal).t;
                let place = (0..failures.len()).filter(|&i| failures[i].is_none()).nth(crystal);
                let failure = ModelError::Output(format!("step {t}: {source}"));
                if let Some(place) = place {
                    failures[place] = Some(failure);
                }
            }
        }
    };
    if let Some(input) = input {
        let prediction = params.scope(|| model.predict(params, &input));
        (displacements, cells) = (to_host(prediction.displacement)?, to_host(prediction.cell)?);
    }
    let (mut displacements, mut cells) = (displacements.as_slice(), cells.as_slice());
    for (crystal, failure) in crystals.iter_mut().zip(failures) {
        let outcome = match failure {
            Some(error) => Err(error),
            None => {
                let (displacement, others) = displacements.split_at(3 * crystal.state.species.len());
                let (cell, other_cells) = cells.split_at(6);
                (displacements, cells) = (others, other_cells);
                let t = t_of(crystal);
                crystal.state.advance(model, t, displacement, cell)
            }
        };
        if let Err(error) = outcome {
            crystal.fail(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use druse_crystal::Composition;
    use druse_nn::device::cpu;

    use super::super::{GemsDiffConfig, GemsNetConfig};
    use super::*;
    use crate::Trainable;

    /// What accelerators do, computed on the CPU: crystals at different steps in one network call, two of them failed.
    #[test]
    fn crystals_at_different_steps_share_a_call() {
        let sizes = GemsNetConfig {
            hidden: 16,
            triplet: 8,
            basis: 8,
            bilinear: 8,
            lattice_head: 8,
            num_radial: 16,
            num_spherical: 3,
            blocks: 1,
            cutoff: 6.0,
        };
        let config = GemsDiffConfig {
            decoder: sizes.clone(),
            encoder: sizes,
            latent: 8,
            knn: 8,
            steps: 6,
            ..GemsDiffConfig::default()
        };
        let model = GemsDiff::new(config).unwrap();
        let params = Params::init(model.parameters(), 2, &cpu());
        let start = |slot, formula: &str| {
            let conditions = Composition::parse(formula).unwrap().into();
            let state = State::start(&model, &SampleRequest::new(conditions, 8, slot)).unwrap();
            InFlight::new(slot, state)
        };
        let alone = |crystal: &mut InFlight<State>| {
            step(&model, &params, std::slice::from_mut(crystal)).unwrap();
            crystal.step += 1;
        };
        let group = || {
            let mut crystals = [start(0, "SrTiO3"), start(1, "Fe"), start(2, "NaCl"), start(3, "MgO")];
            alone(&mut crystals[0]);
            alone(&mut crystals[2]);
            alone(&mut crystals[2]);
            // The exponential of this cell overflows.
            crystals[1].state.log_cell[ROTATION.end] = 1e4;
            // This one has edges of 1e-10 Å.
            crystals[3].state.log_cell[lattice_algebra::VOLUME] = -40.0;
            crystals
        };
        let (mut together, mut apart) = (group(), group());
        step(&model, &params, &mut together).unwrap();
        for i in [0, 2] {
            alone(&mut apart[i]);
            let (a, b) = (&together[i].state, &apart[i].state);
            assert!(together[i].failure().is_none());
            // Rows of a product do not depend on the others, nor do the sums of a crystal.
            assert_eq!((a.cell, &a.frac), (b.cell, &b.frac));
        }
        assert!(matches!(together[1].failure(), Some(ModelError::Output(text)) if text.contains("step 5")));
        assert!(
            matches!(together[3].failure(), Some(ModelError::Output(text)) if text.contains("collapsed"))
        );
    }
}
