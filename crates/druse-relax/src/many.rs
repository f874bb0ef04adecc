//! Many crystals in flight.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use druse_crystal::Structure;

use crate::{Potential, RelaxSettings, Relaxation, Relaxed};

/// How many crystals are in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flight {
    /// Workers, at most one a thread; each has crystals of its own.
    pub workers: usize,
    /// Crystals that a worker carries, which it has evaluated in one call of the potential.
    pub per_worker: usize,
}

impl Default for Flight {
    /// As many workers as threads, each with one crystal: none waits for another.
    fn default() -> Self {
        Self { workers: rayon::current_num_threads(), per_worker: 1 }
    }
}

/// Takes relaxed crystals.
pub trait RelaxSink: Send {
    /// Takes a crystal, as soon as it has ended; [`ControlFlow::Break`] when no more are wanted.
    fn put(&mut self, index: u64, relaxed: Relaxed) -> ControlFlow<()>;

    /// A worker has evaluated so many crystals.
    fn evaluated(&mut self, crystals: usize) {
        let _ = crystals;
    }
}

impl<F: FnMut(u64, Relaxed) -> ControlFlow<()> + Send> RelaxSink for F {
    fn put(&mut self, index: u64, relaxed: Relaxed) -> ControlFlow<()> {
        self(index, relaxed)
    }
}

/// Relaxes one crystal. The settings should be [valid](RelaxSettings::validate).
pub fn relax(potential: &dyn Potential, start: Structure, settings: &RelaxSettings) -> Relaxed {
    let mut relaxation = Relaxation::new(start, settings);
    while let Some(structure) = relaxation.structure() {
        let evaluation = potential.evaluate(std::slice::from_ref(structure)).pop();
        relaxation.advance(evaluation.expect("one evaluation for one crystal"));
    }
    relaxation.finish().with_opinions(potential)
}

/// Relaxes crystals on the current rayon pool; whoever has ended leaves, and the next of `starts` takes the place. What
/// becomes of a crystal does not depend on those beside it, on the order, nor on threads. The sink has them in the order in
/// which they end.
///
/// `stop`, looked at before every evaluation, loses what is in flight. Returns whether all of `starts` were relaxed.
///
/// # Panics
/// When the potential panics or breaks its contract, after all workers have ended.
pub fn relax_many(
    potential: &dyn Potential,
    starts: impl IntoIterator<Item = (u64, Structure), IntoIter: Send>,
    settings: &RelaxSettings,
    flight: Flight,
    sink: &mut dyn RelaxSink,
    stop: &AtomicBool,
) -> bool {
    let starts: Box<dyn Iterator<Item = (u64, Structure)> + Send + '_> = Box::new(starts.into_iter());
    let shared = Shared {
        potential,
        settings,
        per_worker: flight.per_worker.max(1),
        starts: Mutex::new(starts),
        sink: Mutex::new(sink),
        stop,
        given_up: AtomicBool::new(false),
        complete: AtomicBool::new(true),
    };
    let workers = flight.workers.max(1);
    rayon::broadcast(|context| {
        if context.index() < workers {
            shared.work();
        }
    });
    shared.complete.into_inner()
}

/// What the workers share.
struct Shared<'a> {
    potential: &'a dyn Potential,
    settings: &'a RelaxSettings,
    per_worker: usize,
    starts: Mutex<Box<dyn Iterator<Item = (u64, Structure)> + Send + 'a>>,
    sink: Mutex<&'a mut dyn RelaxSink>,
    stop: &'a AtomicBool,
    /// Set when a worker panicked or the sink wants no more.
    given_up: AtomicBool,
    complete: AtomicBool,
}

/// Lets the other workers stop when one panics: the panic goes on when all have ended.
struct GiveUp<'a>(&'a AtomicBool);

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked while it held the lock has set `given_up`.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared<'_> {
    fn work(&self) {
        let _guard = GiveUp(&self.given_up);
        let mut flight: Vec<(u64, Relaxation)> = Vec::with_capacity(self.per_worker);
        loop {
            if self.given_up.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed) {
                if !flight.is_empty() || locked(&self.starts).next().is_some() {
                    self.complete.store(false, Ordering::Relaxed);
                }
                return;
            }
            while flight.len() < self.per_worker {
                let Some((index, start)) = locked(&self.starts).next() else { break };
                flight.push((index, Relaxation::new(start, self.settings)));
                self.deliver(&mut flight);
            }
            if flight.is_empty() {
                return;
            }
            let crystals: Vec<Structure> =
                flight.iter().filter_map(|(_, r)| r.structure()).cloned().collect();
            let evaluations = self.potential.evaluate(&crystals);
            assert_eq!(evaluations.len(), flight.len(), "one evaluation for each crystal");
            for ((_, relaxation), evaluation) in flight.iter_mut().zip(evaluations) {
                relaxation.advance(evaluation);
            }
            locked(&self.sink).evaluated(crystals.len());
            self.deliver(&mut flight);
        }
    }

    /// Hands on those that have ended.
    fn deliver(&self, flight: &mut Vec<(u64, Relaxation)>) {
        for (index, relaxation) in flight.extract_if(.., |(_, r)| r.structure().is_none()) {
            let relaxed = relaxation.finish().with_opinions(self.potential);
            if locked(&self.sink).put(index, relaxed).is_break() {
                self.given_up.store(true, Ordering::Relaxed);
            }
        }
    }
}
