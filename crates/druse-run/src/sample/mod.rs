//! The sampling driver.
//!
//! Structures are in flight: one that is finished or has failed is replaced by the next request at once, so a large
//! cell holds nobody up. On the CPU every thread carries one structure through all its steps. On an accelerator two
//! groups of many structures take turns, so that the host searches the neighbors of one while the device computes the
//! other; structures at different steps share a network call. Finished structures are written in the order of their
//! indices, whoever finishes first.

pub mod images;
mod ordered;
mod plan;
mod sink;
pub mod symmetry;
mod target;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use druse_models::{Generator, MicroBatchLimit, Sampled};
use druse_nn::Params;

pub use crate::output::Shard;
pub use ordered::LARGER_THAN_TRAINING;
pub use plan::{Manifest, SamplePlan, Summary, Workers};
pub use sink::{ChannelSink, Finished, FolderSink, MemorySink, Sink};
pub use target::Target;

use crate::RunError;
use crate::observer::Observer;
use ordered::{Ordered, Waiting};

/// Samples the structures of a plan into a sink, in the order of their indices. `stop`, looked at before every step,
/// loses the structures in flight and those that were finished before one with a smaller index.
///
/// # Errors
/// [`RunError`] for conditions the model cannot serve, and what the sink reports. A single structure that fails is handed to
/// the sink as a failure.
pub fn sample(
    generator: &dyn Generator,
    params: &Params,
    plan: &SamplePlan,
    sink: &mut dyn Sink,
    observer: &mut (dyn Observer + Send),
    stop: &AtomicBool,
) -> Result<Summary, RunError> {
    // Every condition is checked before anything is written or computed.
    for target in plan.targets.iter().take(usize::try_from(plan.count).unwrap_or(usize::MAX)) {
        generator.check(&target.conditions)?;
    }
    if plan.targets.is_empty() && plan.count > 0 {
        return Err(RunError::NothingToSample);
    }
    let there = sink.begin(plan)?;
    let share = (0..plan.count).filter(|&i| plan.shard.holds(i));
    let (found, missing): (Vec<u64>, Vec<u64>) = share.partition(|i| there.contains(i));
    let threads = rayon::current_num_threads();
    let (workers, window, queues) = match plan.workers {
        Workers::OnePerThread => (threads, 1, vec![Queue::new(missing.clone())]),
        Workers::Groups { groups, in_flight } => {
            let groups = groups.clamp(1, threads);
            let of_group = |g: usize| missing.iter().copied().skip(g).step_by(groups).collect();
            let queues = (0..groups).map(|g| Queue::new(of_group(g))).collect();
            (groups, in_flight.div_ceil(groups).max(1), queues)
        }
    };
    let limit = MicroBatchLimit::for_device(params.device());
    let largest_seen = generator.capabilities().largest_seen;
    let output = Ordered::new(plan, largest_seen, found.len() as u64, missing, workers, sink, observer);
    let shared = Shared {
        generator,
        params,
        plan,
        limit,
        window,
        queues,
        output: Mutex::new(output),
        stop,
        given_up: AtomicBool::new(false),
    };
    rayon::broadcast(|context| {
        if context.index() < workers {
            shared.work(context.index());
        }
    });
    shared.output.into_inner().unwrap_or_else(PoisonError::into_inner).close()
}

/// Indices that wait for a place.
struct Queue {
    indices: Vec<u64>,
    next: AtomicUsize,
}

impl Queue {
    fn new(indices: Vec<u64>) -> Self {
        Self { indices, next: AtomicUsize::new(0) }
    }

    fn next(&self) -> Option<u64> {
        self.indices.get(self.next.fetch_add(1, Ordering::Relaxed)).copied()
    }
}

/// What the workers share.
struct Shared<'a> {
    generator: &'a dyn Generator,
    params: &'a Params,
    plan: &'a SamplePlan,
    /// Atoms that a worker has in flight, and that are computed at a time.
    limit: MicroBatchLimit,
    /// Structures that a worker has in flight.
    window: usize,
    queues: Vec<Queue>,
    output: Mutex<Ordered<'a>>,
    stop: &'a AtomicBool,
    /// Set when nothing that is still computed could be written.
    given_up: AtomicBool,
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

impl<'a> Shared<'a> {
    fn output(&self) -> MutexGuard<'_, Ordered<'a>> {
        // A worker that panicked while it wrote has set `given_up`.
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries structures through their steps until none is left.
    fn work(&self, worker: usize) {
        let _guard = GiveUp(&self.given_up);
        let queue = &self.queues[worker % self.queues.len()];
        let mut sampler = self.generator.sampler(self.params, &self.limit);
        let total = sampler.total_steps().max(1) as f64;
        // Steps made by each structure in flight.
        let mut steps: BTreeMap<u64, u32> = BTreeMap::new();
        loop {
            if self.given_up.load(Ordering::Relaxed) {
                return;
            }
            if self.stop.load(Ordering::Relaxed) {
                return self.output().interrupt();
            }
            while sampler.len() < self.window
                && sampler.atoms() < self.limit.atoms()
                && let Some(index) = queue.next()
            {
                match sampler.add(index, &self.plan.request(index)) {
                    Ok(()) => _ = steps.insert(index, 0),
                    Err(e) => self.deliver(Sampled::failed(index, e)),
                }
            }
            if sampler.is_empty() {
                return;
            }
            let done = sampler.step();
            steps.values_mut().for_each(|n| *n += 1);
            for sampled in done {
                steps.remove(&sampled.slot);
                self.deliver(sampled);
            }
            let share = steps.values().map(|&n| f64::from(n)).sum::<f64>() / total;
            self.output().stepped(worker, steps.len(), share, self.limit.atoms());
        }
    }

    fn deliver(&self, sampled: Sampled) {
        // Looked for here, by the workers side by side.
        let Sampled { slot, result, image } = sampled;
        let asked = self.plan.target(slot).conditions.space_group;
        let (result, groups) = match (result, asked) {
            (Ok(structure), Some(asked)) => match symmetry::found_groups(&structure, asked) {
                Ok(groups) => (Ok(structure), Some(groups)),
                Err(e) => (Err(e), None),
            },
            (result, _) => (result, None),
        };
        if !self.output().deliver(slot, Waiting { result, groups, image }) {
            self.given_up.store(true, Ordering::Relaxed);
        }
    }
}
