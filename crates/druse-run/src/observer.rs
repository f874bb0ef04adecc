//! What drivers tell whoever watches them.

use std::path::Path;

use crate::energies::Energies;
use crate::metrics::{EpochMetric, StepMetric};

/// Something that happened in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A structure of the data set is unusual.
    Warning {
        /// Its identifier.
        id: &'a str,
        /// What is unusual and how it is handled.
        text: &'a str,
    },
    /// The model cannot learn from some structures of a data set: they are left out.
    LeftOut {
        /// Name of the data set.
        set: &'a str,
        /// Why, the same for all of them.
        reason: &'a str,
        /// How many there are.
        structures: usize,
    },
    /// Training begins or continues.
    Started(&'a Start),
    /// An optimizer step is done.
    Step(&'a StepMetric),
    /// An epoch is done, its validation included.
    Epoch(&'a EpochMetric),
    /// A checkpoint is on the disk.
    Saved(&'a Path),
    /// The device ran out of memory; the step was repeated, and the run continues, in smaller micro-batches.
    MemoryLimit {
        /// Atoms that are computed at a time from now on.
        atoms: usize,
    },
    /// A loss left its bounds: the epoch begins anew, from an earlier state.
    Restored {
        /// The epoch, from 1.
        epoch: u64,
        /// How often it has begun anew, from 1.
        attempt: u64,
        /// Whether the state is that before the last epoch, and not that before this one.
        before_last: bool,
        /// What was wrong.
        reason: &'a str,
    },
    /// Structures in flight made a step of sampling.
    SamplingStep {
        /// Structures done, those in flight counted by their share of steps.
        done: f64,
        /// Structures in flight.
        in_flight: usize,
    },
    /// A structure is finished and on the disk.
    Sampled {
        /// Its index.
        index: u64,
        /// Why there is none, where the model failed.
        failure: Option<&'a str>,
    },
    /// A potential has evaluated crystals.
    Evaluated {
        /// Evaluations so far.
        evaluations: u64,
    },
    /// The relaxation of a structure has ended, and what came of it is on the disk.
    Relaxed {
        /// Identifier of the structure.
        id: &'a str,
        /// How it ended, in a word.
        end: &'a str,
        /// Why there is no relaxed structure, unless there is one.
        failure: Option<&'a str>,
        /// The energies of all potentials, where there are several.
        energies: Option<&'a Energies>,
    },
    /// Part of a long computation is done.
    Progress {
        /// What is done: `gradient steps`.
        stage: &'a str,
        /// Steps that are done.
        done: usize,
        /// Steps in all; 0 when it cannot be told.
        total: usize,
    },
}

/// The extent of a training run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Trainable numbers of the model.
    pub parameters: usize,
    /// Training structures.
    pub training: usize,
    /// Validation structures.
    pub validation: usize,
    /// Batches of the current epoch.
    pub batches: usize,
    /// Epochs in all.
    pub epochs: u64,
    /// Steps that are done already.
    pub step: u64,
    /// Epochs that are done already.
    pub epoch: u64,
}

/// Receives events; drivers print nothing themselves.
pub trait Observer {
    /// Takes note of an event.
    fn observe(&mut self, event: Event<'_>);
}

impl<F: FnMut(Event<'_>)> Observer for F {
    fn observe(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&mut self, _: Event<'_>) {}
}
