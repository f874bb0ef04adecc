//! Reverse processes in flight: what a generative model writes, and the machine that carries its crystals.

use druse_crystal::{Element, Structure};
use druse_data::crystens::Image;
use druse_nn::Params;
use druse_nn::memory::ComputeError;

use super::{for_each_micro_batch, too_large};
use crate::{Generator, MicroBatchLimit, ModelError, SampleRequest, Sampled, Sampler};

/// A generative process that takes a crystal from noise to its end in steps: a start, one step of several crystals, a finish.
pub trait Reverse: Generator {
    /// A crystal on its way.
    type State: Send;

    /// Number of steps that a crystal takes at most.
    fn total_steps(&self) -> usize;

    /// The first state of a request that [`Generator::check`] has accepted.
    ///
    /// # Errors
    /// [`ModelError`] when the model fails at it.
    fn start(&self, params: &Params, request: &SampleRequest) -> Result<Self::State, ModelError>;

    /// The atoms of a crystal, as far as they are known.
    fn species<'s>(&self, state: &'s Self::State) -> &'s [Element];

    /// How many atoms a crystal counts for where memory is limited.
    fn atoms(&self, state: &Self::State) -> usize {
        self.species(state).len()
    }

    /// Moves crystals, which may be at different steps, by one step each, with one call of the network. What befalls a single
    /// crystal is its [`InFlight::fail`]; when the step as a whole fails, no crystal has moved.
    ///
    /// # Errors
    /// [`ModelError`] when the device fails.
    fn step(&self, params: &Params, crystals: &mut [InFlight<Self::State>]) -> Result<(), ModelError>;

    /// Whether a crystal that has made some steps needs no more.
    fn is_finished(&self, crystal: &InFlight<Self::State>) -> bool {
        crystal.step >= self.total_steps()
    }

    /// The image at the end, of a model that makes images.
    fn image(&self, _state: &Self::State) -> Option<Image> {
        None
    }

    /// The structure at the end.
    ///
    /// # Errors
    /// [`ModelError::Output`] when the state is no crystal.
    fn finish(&self, params: &Params, state: Self::State) -> Result<Structure, ModelError>;
}

/// A crystal on its way, with how far it is.
#[derive(Debug)]
pub struct InFlight<S> {
    slot: u64,
    /// Where the process is.
    pub state: S,
    /// Steps made.
    pub step: usize,
    failure: Option<ModelError>,
}

impl<S> InFlight<S> {
    /// A crystal before its first step.
    pub fn new(slot: u64, state: S) -> Self {
        Self { slot, state, step: 0, failure: None }
    }

    /// Ends the way of this crystal; it leaves with this error.
    pub fn fail(&mut self, error: ModelError) {
        self.failure = Some(error);
    }

    /// Why it has ended.
    pub fn failure(&self) -> Option<&ModelError> {
        self.failure.as_ref()
    }
}

/// The crystals of a [`Reverse`] process that are in flight. On the CPU micro-batches run side by side, on an accelerator one
/// after the other, as large as its memory allows.
pub struct InFlightSampler<'a, M: Reverse> {
    model: &'a M,
    params: &'a Params,
    limit: &'a MicroBatchLimit,
    crystals: Vec<InFlight<M::State>>,
    /// Requests that failed before their first step.
    failed_at_start: Vec<Sampled>,
}

impl<'a, M: Reverse> InFlightSampler<'a, M> {
    /// A sampler without structures.
    pub fn boxed(model: &'a M, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        Box::new(Self { model, params, limit, crystals: Vec::new(), failed_at_start: Vec::new() })
    }

    fn finish(&self, crystal: InFlight<M::State>) -> Sampled {
        match crystal.failure {
            Some(error) => Sampled::failed(crystal.slot, error),
            None => Sampled {
                slot: crystal.slot,
                image: self.model.image(&crystal.state),
                result: self.model.finish(self.params, crystal.state),
            },
        }
    }
}

impl<M: Reverse> Sampler for InFlightSampler<'_, M> {
    fn total_steps(&self) -> usize {
        self.model.total_steps()
    }

    fn add(&mut self, slot: u64, request: &SampleRequest) -> Result<(), ModelError> {
        self.model.check(&request.conditions)?;
        match self.model.start(self.params, request) {
            Ok(state) => self.crystals.push(InFlight::new(slot, state)),
            Err(error) => self.failed_at_start.push(Sampled::failed(slot, error)),
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.crystals.len() + self.failed_at_start.len()
    }

    fn atoms(&self) -> usize {
        self.crystals.iter().map(|crystal| self.model.atoms(&crystal.state)).sum()
    }

    fn step(&mut self) -> Vec<Sampled> {
        let (model, params) = (self.model, self.params);
        for_each_micro_batch(
            &mut self.crystals,
            params.device(),
            self.limit,
            |crystal| model.atoms(&crystal.state),
            |crystals| model.step(params, crystals),
            |crystal, error| {
                let alone = matches!(error, ModelError::Compute(ComputeError::OutOfMemory(_)));
                crystal.fail(if alone { too_large(model.species(&crystal.state)) } else { error });
            },
        );
        self.crystals.iter_mut().filter(|c| c.failure.is_none()).for_each(|c| c.step += 1);
        let done = |c: &mut InFlight<M::State>| c.failure.is_some() || model.is_finished(c);
        let done: Vec<_> = self.crystals.extract_if(.., done).collect();
        let failed = std::mem::take(&mut self.failed_at_start);
        failed.into_iter().chain(done.into_iter().map(|crystal| self.finish(crystal))).collect()
    }
}
