//! Finished structures in the order of their indices.

use std::collections::BTreeMap;

use druse_crystal::Structure;
use druse_data::crystens::Image;
use druse_models::ModelError;
use serde_json::Value;

use super::symmetry::{ASKED, FOUND};
use super::{Finished, SamplePlan, Sink, Summary};
use crate::RunError;
use crate::observer::{Event, Observer};

/// Property of structures that have more atoms than any of the model's training set.
pub const LARGER_THAN_TRAINING: &str = "larger_than_training";

/// What became of a request.
pub struct Waiting {
    /// The structure, or why there is none.
    pub result: Result<Structure, ModelError>,
    /// The space groups that were found where one was asked for.
    pub groups: Option<Value>,
    /// The image that the structure was read from.
    pub image: Option<Image>,
}

/// Takes structures in any order and hands them on in that of their indices.
pub struct Ordered<'a> {
    plan: &'a SamplePlan,
    /// Atoms of the largest cell of the training set, for a model that may make larger ones.
    largest_seen: Option<usize>,
    sink: &'a mut dyn Sink,
    observer: &'a mut (dyn Observer + Send),
    summary: Summary,
    error: Option<RunError>,
    /// Indices in the order of writing, and how many are written.
    order: Vec<u64>,
    written: usize,
    /// Structures that wait for one with a smaller index.
    waiting: BTreeMap<u64, Waiting>,
    /// Structures in flight at each worker, and their share of steps summed up.
    in_flight: Vec<(usize, f64)>,
    /// The limit of atoms that was seen last.
    limit: Option<usize>,
}

impl<'a> Ordered<'a> {
    pub fn new(
        plan: &'a SamplePlan,
        largest_seen: Option<usize>,
        found: u64,
        order: Vec<u64>,
        workers: usize,
        sink: &'a mut dyn Sink,
        observer: &'a mut (dyn Observer + Send),
    ) -> Self {
        Self {
            plan,
            largest_seen,
            sink,
            observer,
            summary: Summary { found, ..Summary::default() },
            error: None,
            order,
            written: 0,
            waiting: BTreeMap::new(),
            in_flight: vec![(0, 0.0); workers],
            limit: None,
        }
    }

    /// Takes a structure and writes what is due; false when nothing more can be written.
    pub fn deliver(&mut self, index: u64, done: Waiting) -> bool {
        self.waiting.insert(index, done);
        while self.error.is_none()
            && let Some(&next) = self.order.get(self.written)
            && let Some(done) = self.waiting.remove(&next)
        {
            self.error = self.write(next, done).err();
            self.written += 1;
        }
        self.error.is_none()
    }

    fn write(&mut self, index: u64, done: Waiting) -> Result<(), RunError> {
        let Waiting { result, groups, image } = done;
        let failure = result.as_ref().err().map(ToString::to_string);
        let target = self.plan.target(index);
        let mut properties = target.properties.clone();
        properties.extend(target.conditions.space_group.map(|asked| (ASKED.to_owned(), asked.into())));
        properties.extend(groups.map(|groups| (FOUND.to_owned(), groups)));
        let larger = |s: &Structure| self.largest_seen.is_some_and(|largest| s.len() > largest);
        if result.as_ref().is_ok_and(larger) {
            self.summary.larger_than_training += 1;
            properties.insert(LARGER_THAN_TRAINING.to_owned(), true.into());
        }
        self.sink.put(Finished {
            index,
            seed: self.plan.seed,
            label: target.label.clone(),
            properties,
            result,
            image,
        })?;
        match failure {
            None => self.summary.sampled += 1,
            Some(_) => self.summary.failed += 1,
        }
        self.observer.observe(Event::Sampled { index, failure: failure.as_deref() });
        Ok(())
    }

    /// A worker made a step; it has so many structures in flight, with so many steps in units of whole structures.
    pub fn stepped(&mut self, worker: usize, in_flight: usize, share: f64, limit: usize) {
        self.in_flight[worker] = (in_flight, share);
        if self.limit.replace(limit).is_some_and(|before| limit < before) {
            self.observer.observe(Event::MemoryLimit { atoms: limit });
        }
        let finished = self.summary.found as f64 + (self.written + self.waiting.len()) as f64;
        let done = finished + self.in_flight.iter().map(|f| f.1).sum::<f64>();
        let in_flight = self.in_flight.iter().map(|f| f.0).sum();
        self.observer.observe(Event::SamplingStep { done, in_flight });
    }

    /// The run was asked to stop.
    pub fn interrupt(&mut self) {
        self.summary.interrupted = true;
    }

    /// What the run achieved.
    ///
    /// # Errors
    /// The first failed write.
    pub fn close(mut self) -> Result<Summary, RunError> {
        // Asked to stop after the last structure: there was nothing left to interrupt.
        self.summary.interrupted &= self.written < self.order.len();
        self.error.map_or(Ok(self.summary), Err)
    }
}
