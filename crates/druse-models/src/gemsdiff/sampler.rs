//! Sampling (Algorithm 2).

use druse_crystal::{Element, Lattice, Structure, wrap_unit};
use druse_nn::Params;
use druse_nn::device::is_host;
use nalgebra::Matrix3;
use rayon::prelude::*;

use super::config::Variant;
use super::model::{GemsDiff, NoisyCrystal};
use crate::process::Noise;
use crate::process::lattice_algebra::{self, LogLattice, ROTATION};
use crate::{Condition, ModelError, SampleRequest, Sampler};

/// One crystal on its way from noise.
struct State {
    species: Vec<Element>,
    frac: Vec<[f64; 3]>,
    /// Noisy cell, logarithm.
    log_cell: LogLattice,
    /// Cell predicted last.
    cell: Matrix3<f64>,
    noise: Noise,
    failure: Option<ModelError>,
}

/// The reverse process over a list of compositions.
pub(crate) struct GemsDiffSampler<'a> {
    model: &'a GemsDiff,
    params: &'a Params,
    states: Vec<State>,
    /// The step that comes next, counting down; `None` when finished.
    next: Option<usize>,
}

impl<'a> GemsDiffSampler<'a> {
    pub fn new(
        model: &'a GemsDiff,
        params: &'a Params,
        requests: &[SampleRequest],
    ) -> Result<Self, ModelError> {
        let states = requests.iter().map(|r| State::start(model, r)).collect::<Result<_, _>>()?;
        Ok(Self { model, params, states, next: Some(model.config.steps - 1) })
    }
}

impl State {
    fn start(model: &GemsDiff, request: &SampleRequest) -> Result<Self, ModelError> {
        let Condition::Composition(composition) = &request.condition else {
            return Err(ModelError::Unsupported {
                model: "gemsdiff",
                condition: "unconditional",
                alternatives: "none in this version".into(),
            });
        };
        let (atoms, limit) = (composition.num_atoms(), model.statistics.max_atoms);
        if limit > 0 && atoms > limit {
            return Err(ModelError::TooManyAtoms { what: composition.formula(), atoms, limit });
        }
        let species = composition.atoms();
        model.check_species(&species)?;
        let mut noise = Noise::new(request.seed, request.index);
        let frac = species.iter().map(|_| std::array::from_fn(|_| noise.uniform())).collect();
        let mut log_cell = [0.0; 9];
        for (k, v) in log_cell.iter_mut().enumerate().skip(ROTATION.end) {
            *v = model.lattice_noise(k, &mut noise);
        }
        Ok(Self { species, frac, log_cell, cell: Matrix3::identity(), noise, failure: None })
    }

    fn noisy(&self, variant: Variant, t: usize) -> Result<NoisyCrystal<'_>, ModelError> {
        let matrix = match variant {
            Variant::Paper => lattice_algebra::exp(&self.log_cell),
            Variant::Released => Matrix3::identity(),
        };
        let cell = Lattice::from_matrix(matrix).map_err(|e| ModelError::Output(format!("step {t}: {e}")))?;
        Ok(NoisyCrystal { species: &self.species, frac: &self.frac, cell, t })
    }

    /// Moves to step t - 1 from the network's view of the clean crystal.
    fn advance(&mut self, model: &GemsDiff, t: usize, displacement: &[f32], cell: &[f32]) {
        let outcome = self.try_advance(model, t, displacement, cell);
        if let Err(e) = outcome {
            self.failure = Some(e);
        }
    }

    fn try_advance(
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

    fn finish(self) -> Result<Structure, ModelError> {
        if let Some(e) = self.failure {
            return Err(e);
        }
        let lattice = Lattice::from_matrix(self.cell).map_err(|e| ModelError::Output(e.to_string()))?;
        Structure::new(lattice, self.species, self.frac).map_err(|e| ModelError::Output(e.to_string()))
    }
}

/// One network call for a group of crystals.
fn step(model: &GemsDiff, params: &Params, t: usize, states: &mut [&mut State]) {
    let mut batch = Vec::with_capacity(states.len());
    let mut failures = Vec::new();
    for (i, state) in states.iter().enumerate() {
        match state.noisy(model.config.variant, t) {
            Ok(crystal) => batch.push((i, crystal)),
            Err(e) => failures.push((i, e)),
        }
    }
    let (order, crystals): (Vec<usize>, Vec<NoisyCrystal<'_>>) = batch.into_iter().unzip();
    let mut results = Vec::new();
    if !crystals.is_empty() {
        let prediction = model.predict(params, &crystals);
        let host = |t: burn::tensor::Tensor<2>| t.to_data().try_into_vec::<f32>().expect("32-bit outputs");
        let (displacement, cell) = (host(prediction.displacement), host(prediction.cell));
        let mut first = 0;
        for (i, (&state, crystal)) in order.iter().zip(&crystals).enumerate() {
            let n = 3 * crystal.species.len();
            results.push((state, displacement[first..first + n].to_vec(), cell[6 * i..6 * i + 6].to_vec()));
            first += n;
        }
    }
    for (i, e) in failures {
        states[i].failure = Some(e);
    }
    for (i, displacement, cell) in results {
        states[i].advance(model, t, &displacement, &cell);
    }
}

impl Sampler for GemsDiffSampler<'_> {
    fn total_steps(&self) -> usize {
        self.model.config.steps
    }

    fn step(&mut self) -> Result<(), ModelError> {
        let Some(t) = self.next else { return Ok(()) };
        let (model, params) = (self.model, self.params);
        let mut alive: Vec<&mut State> = self.states.iter_mut().filter(|s| s.failure.is_none()).collect();
        if is_host(params.device()) {
            // Each crystal alone: its result then cannot depend on what is sampled beside it.
            alive.into_par_iter().for_each(|state| step(model, params, t, &mut [state]));
        } else {
            step(model, params, t, &mut alive);
        }
        self.next = t.checked_sub(1);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Vec<Result<Structure, ModelError>> {
        self.states.into_iter().map(State::finish).collect()
    }
}
