//! What drivers tell whoever watches them.

use std::path::Path;

use crate::metrics::{EpochMetric, StepMetric};

/// Something that happened in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// Training begins or continues.
    Started(&'a Start),
    /// An optimiser step is done.
    Step(&'a StepMetric),
    /// An epoch is done, its validation included.
    Epoch(&'a EpochMetric),
    /// A checkpoint is on the disk.
    Saved(&'a Path),
    /// A sampling batch made one of its steps.
    SamplingStep {
        /// Structures that are finished.
        finished: usize,
        /// Structures in the batch at work.
        batch: usize,
        /// Steps done, and steps in all, of that batch.
        steps: (usize, usize),
    },
    /// A structure is finished and on the disk.
    Sampled {
        /// Its index.
        index: u64,
        /// Why there is none, where the model failed.
        failure: Option<&'a str>,
    },
    /// Part of an evaluation is done.
    Progress {
        /// What is done: `features of the generated set`.
        stage: &'a str,
        /// Structures or pairs that are done.
        done: usize,
        /// Structures or pairs in all; 0 when it cannot be told.
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
