//! Sampling (Algorithm 2).

use druse_crystal::{Composition, Element, Lattice, Structure, wrap_unit};
use druse_nn::Params;
use druse_nn::device::is_host;
use druse_nn::memory::{ComputeError, to_host};
use druse_nn::ops::with_idle_threads;
use nalgebra::Matrix3;
use rayon::prelude::*;

use super::config::Variant;
use super::model::{GemsDiff, NoisyCrystal};
use crate::engine::{in_micro_batches, too_large};
use crate::process::Noise;
use crate::process::lattice_algebra::{self, LogLattice, ROTATION};
use crate::{Condition, MicroBatchLimit, ModelError, SampleRequest, Sampled, Sampler};

/// One crystal on its way from noise.
struct State {
    ticket: u64,
    species: Vec<Element>,
    frac: Vec<[f64; 3]>,
    /// Noisy cell, logarithm.
    log_cell: LogLattice,
    /// Cell predicted last.
    cell: Matrix3<f64>,
    noise: Noise,
    /// The step that comes next, counting down; `None` when finished.
    next: Option<usize>,
    failure: Option<ModelError>,
}

impl GemsDiff {
    /// The composition that a request asks for, if the model can serve it.
    pub(crate) fn requested<'r>(&self, request: &'r SampleRequest) -> Result<&'r Composition, ModelError> {
        let Condition::Composition(composition) = &request.condition else {
            return Err(ModelError::Unsupported {
                model: "gemsdiff",
                condition: request.condition.kind(),
                alternatives: "cdvae".into(),
            });
        };
        let (atoms, limit) = (composition.num_atoms(), self.statistics.max_atoms);
        if limit > 0 && atoms > limit {
            return Err(ModelError::TooManyAtoms { what: composition.formula(), atoms, limit });
        }
        self.check_species(&composition.atoms())?;
        Ok(composition)
    }
}

impl State {
    fn start(model: &GemsDiff, ticket: u64, request: &SampleRequest) -> Result<Self, ModelError> {
        let species = model.requested(request)?.atoms();
        let mut noise = Noise::new(request.seed, request.index);
        let frac = species.iter().map(|_| std::array::from_fn(|_| noise.uniform())).collect();
        let mut log_cell = [0.0; 9];
        for (k, v) in log_cell.iter_mut().enumerate().skip(ROTATION.end) {
            *v = model.lattice_noise(k, &mut noise);
        }
        let next = Some(model.config.steps - 1);
        let cell = Matrix3::identity();
        Ok(Self { ticket, species, frac, log_cell, cell, noise, next, failure: None })
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

    fn fail(&mut self, e: ModelError) {
        self.failure = Some(e);
        self.next = None;
    }

    /// As [`State::fail`], where the device computed nothing for this crystal.
    fn refuse(&mut self, e: ModelError) {
        let alone = matches!(e, ModelError::Compute(ComputeError::OutOfMemory(_)));
        self.fail(if alone { too_large(&self.species) } else { e });
    }

    fn finish(self) -> Sampled {
        let structure = || {
            if let Some(e) = self.failure {
                return Err(e);
            }
            let lattice = Lattice::from_matrix(self.cell).map_err(|e| ModelError::Output(e.to_string()))?;
            Structure::new(lattice, self.species, self.frac).map_err(|e| ModelError::Output(e.to_string()))
        };
        Sampled { ticket: self.ticket, result: structure() }
    }
}

/// The reverse processes of the crystals in flight.
pub(crate) struct GemsDiffSampler<'a> {
    model: &'a GemsDiff,
    params: &'a Params,
    limit: &'a MicroBatchLimit,
    states: Vec<State>,
}

impl<'a> GemsDiffSampler<'a> {
    pub fn new(model: &'a GemsDiff, params: &'a Params, limit: &'a MicroBatchLimit) -> Self {
        Self { model, params, limit, states: Vec::new() }
    }
}

/// One network call for crystals that may be at different steps. When it fails, no crystal has moved.
fn step_together(model: &GemsDiff, params: &Params, states: &mut [State]) -> Result<(), ModelError> {
    let variant = model.config.variant;
    let mut crystals = Vec::with_capacity(states.len());
    let mut computed: Vec<Option<Result<usize, ModelError>>> = Vec::with_capacity(states.len());
    for state in states.iter() {
        computed.push(state.next.map(|t| {
            let crystal = state.noisy(variant, t)?;
            crystals.push(crystal);
            Ok(t)
        }));
    }
    let (mut displacements, mut cells) = (Vec::new(), Vec::new());
    if !crystals.is_empty() {
        let input = model.network_input(&crystals);
        let prediction = params.scope(|| model.predict(params, &input));
        (displacements, cells) = (to_host(prediction.displacement)?, to_host(prediction.cell)?);
    }
    let (mut displacements, mut cells) = (displacements.as_slice(), cells.as_slice());
    for (state, computed) in states.iter_mut().zip(computed) {
        let outcome = match computed {
            None => continue,
            Some(Err(e)) => Err(e),
            Some(Ok(t)) => {
                let (displacement, rest) = displacements.split_at(3 * state.species.len());
                let (cell, other_cells) = cells.split_at(6);
                (displacements, cells) = (rest, other_cells);
                state.next = t.checked_sub(1);
                state.advance(model, t, displacement, cell)
            }
        };
        if let Err(e) = outcome {
            state.fail(e);
        }
    }
    Ok(())
}

impl Sampler for GemsDiffSampler<'_> {
    fn total_steps(&self) -> usize {
        self.model.config.steps
    }

    fn add(&mut self, ticket: u64, request: &SampleRequest) -> Result<(), ModelError> {
        self.states.push(State::start(self.model, ticket, request)?);
        Ok(())
    }

    fn len(&self) -> usize {
        self.states.len()
    }

    fn atoms(&self) -> usize {
        self.states.iter().map(|s| s.species.len()).sum()
    }

    fn step(&mut self) -> Vec<Sampled> {
        let (model, params) = (self.model, self.params);
        if is_host(params.device()) {
            // Each crystal alone: its result then cannot depend on what is sampled beside it.
            self.states.par_iter_mut().for_each(|state| {
                let step = || step_together(model, params, std::slice::from_mut(state));
                if let Err(e) = with_idle_threads(step) {
                    state.fail(e);
                }
            });
        } else {
            let work = |states: &mut [State]| step_together(model, params, states);
            in_micro_batches(&mut self.states, self.limit, |s| s.species.len(), work, State::refuse);
        }
        let done = |s: &mut State| s.next.is_none() || s.failure.is_some();
        self.states.extract_if(.., done).map(State::finish).collect()
    }
}

#[cfg(test)]
mod tests {
    use druse_nn::device::cpu;

    use super::super::{GemsDiffConfig, GemsNetConfig};
    use super::*;
    use crate::Trainable;

    /// What accelerators do, computed on the CPU: crystals at different steps in one network call, one of them failed.
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
            ..GemsDiffConfig::paper()
        };
        let model = GemsDiff::new(config).unwrap();
        let params = Params::init(model.parameters(), 2, &cpu());
        let start = |ticket, formula: &str| {
            let condition = Condition::Composition(Composition::parse(formula).unwrap());
            State::start(&model, ticket, &SampleRequest { condition, seed: 8, index: ticket }).unwrap()
        };
        let alone = |state: &mut State| step_together(&model, &params, std::slice::from_mut(state)).unwrap();
        let group = || {
            let mut states = [start(0, "SrTiO3"), start(1, "CsCl"), start(2, "Fe"), start(3, "NaCl")];
            alone(&mut states[0]);
            alone(&mut states[3]);
            alone(&mut states[3]);
            states[1].fail(ModelError::Output("before".into()));
            // The exponential of this cell overflows.
            states[2].log_cell[ROTATION.end] = 1e4;
            states
        };
        let (mut together, mut apart) = (group(), group());
        step_together(&model, &params, &mut together).unwrap();
        for state in [0, 3] {
            alone(&mut apart[state]);
            let (a, b) = (&together[state], &apart[state]);
            assert_eq!(a.next, b.next);
            assert!(a.failure.is_none() && (a.cell - b.cell).amax() < 1e-4 * b.cell.amax());
            for (x, y) in a.frac.iter().flatten().zip(b.frac.iter().flatten()) {
                assert!(((x - y) - (x - y).round()).abs() < 1e-4, "{x} {y}");
            }
        }
        assert_eq!(together.each_ref().map(|s| s.next), [Some(3), None, None, Some(2)]);
        assert_eq!(together[1].failure, Some(ModelError::Output("before".into())));
        assert!(matches!(&together[2].failure, Some(ModelError::Output(text)) if text.contains("step 5")));
    }
}
