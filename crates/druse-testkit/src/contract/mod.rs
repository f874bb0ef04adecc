//! What every model promises to the drivers, checked by one call.
//!
//! A model that trains and samples well can still break a promise that nobody looks at: a gradient that is wrong in one
//! layer, a sample that depends on what is sampled beside it, a run that continues with other numbers. A contract checks
//! these on small crystals, for models of any kind:
//!
//! ```no_run
//! use druse_models::gemsdiff::{GemsDiff, GemsDiffConfig};
//! use druse_testkit::contract::{self, Check};
//!
//! // In a test of the model's crate; `tiny()` would be a configuration of a few thousand weights.
//! # fn tiny() -> GemsDiffConfig { GemsDiffConfig::default() }
//! contract::generator(|| GemsDiff::new(tiny()).unwrap())
//!     .parts(Check::Rotation, &["lattice"])
//!     .skip(Check::Translation, "why the model need not keep this promise; it appears in the output")
//!     .run();
//! ```
//!
//! [`trainable`], [`generator`] and [`predictor`] take a closure that builds the model, without statistics of a data set;
//! [`model`] takes what a registry builds. A generator and a predictor are checked as what is trained, too. [`Check`] says
//! what each check asks; which of them apply follows from the traits of the model. [`kind`] checks what is registered.
//!
//! Symmetries are those of the *numbers* that a model returns. Outputs that stand for a structure (predictions, latents) have
//! to keep all of them. The objective of a generative model draws noise: with equal noise keys it has to keep rotations
//! and translations, but in another order, cell or supercell atoms receive other noise. A model whose objective keeps these too
//! says so with [`Contract::objective_keeps`]; one that keeps a symmetry in some parts of its objective names them with
//! [`Contract::parts`].
//!
//! Weights are random, with the tensors that start at zero moved away from it, so that no check passes because
//! a layer is not switched on yet. Models should be tiny: the checks evaluate them some hundred times.

mod crystals;
mod generator;
mod kind;
mod objective;
mod symmetry;
mod training;

use std::fmt;

use druse_crystal::Structure;
use druse_models::{
    Batch, BatchStatistics, Generator, Gradient, MicroBatchLimit, Model, NoiseKey, Objective, Predictor,
    Trainable, TrainingPhase,
};
use druse_nn::device::cpu;
use druse_nn::{Params, Role};

pub use crystals::{generic, standard};
pub use kind::kind;

/// One promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The gradient of every phase agrees with finite differences of its objective, along a random subset of the entries of
    /// every tensor that the phase moves.
    Gradient,
    /// Turning the cell changes nothing.
    Rotation,
    /// Moving all atoms together changes nothing.
    Translation,
    /// The order of the atoms changes nothing. Of outputs, and of objectives that say so.
    Permutation,
    /// Another cell of the same lattice changes nothing. Of outputs, and of objectives that say so.
    CellChoice,
    /// A cell of two cells changes nothing. Of outputs, and of objectives that say so.
    Supercell,
    /// The parts of the objective and the gradient do not depend on how a batch is cut, or on whether it was prepared
    /// ahead. For models with statistics of a batch: in evaluation.
    MicroBatches,
    /// A structure does not depend on what else is in the batch: the objective of a batch is the mean over its structures,
    /// in any order; outputs and samples are the same to the last bit alone, together, in another order, and beside samples
    /// that are at other steps.
    Company,
    /// Equal noise keys give equal noise, to the last bit; where keys matter, all of seed, epoch and index do. The same for the
    /// seed and the index of samples.
    Noise,
    /// What the model knows of its training set survives JSON and a checkpoint, to the last bit.
    Statistics,
    /// A run of the trainer that is broken inside an epoch, twice, continues to the same weights, buffers and optimizers, to
    /// the last bit.
    Resume,
    /// Numbers are the same to the last bit on one, two and five threads: gradients, runs of the trainer, outputs, samples.
    Threads,
    /// Samples are structures that satisfy their conditions, for every combination that the model serves, of no more atoms
    /// than it knows. At most half may fail.
    Samples,
    /// Samples are made of elements that the model says it knows.
    Elements,
    /// Conditions outside the capabilities are refused, and the message says what was asked for.
    Conditions,
}

impl Check {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Gradient,
        Self::Rotation,
        Self::Translation,
        Self::Permutation,
        Self::CellChoice,
        Self::Supercell,
        Self::MicroBatches,
        Self::Company,
        Self::Noise,
        Self::Statistics,
        Self::Resume,
        Self::Threads,
        Self::Samples,
        Self::Elements,
        Self::Conditions,
    ];
}

/// What one check found: what it looked at, or what is wrong.
type Finding = Result<String, String>;

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

/// What is to be checked. See the [module](self).
#[must_use = "a contract that is not run checks nothing"]
pub struct Contract {
    build: Box<dyn Fn() -> Model + Send + Sync>,
    structures: Vec<Structure>,
    skipped: Vec<(Check, String)>,
    objective_keeps: Vec<Check>,
    parts: Vec<(Check, Vec<&'static str>)>,
    tolerance: f64,
    gradient_tolerance: f64,
}

/// The contract of a model that can be trained.
pub fn trainable<M: Trainable + 'static>(build: impl Fn() -> M + Send + Sync + 'static) -> Contract {
    model(move || Model::Trainable(Box::new(build())))
}

/// The contract of a model that generates crystals, with that of its latent space where it has one.
pub fn generator<M: Generator + 'static>(build: impl Fn() -> M + Send + Sync + 'static) -> Contract {
    model(move || Model::generator(build()))
}

/// The contract of a model that predicts a property.
pub fn predictor<M: Predictor + 'static>(build: impl Fn() -> M + Send + Sync + 'static) -> Contract {
    model(move || Model::predictor(build()))
}

/// The contract of a model of any kind, by the traits that it has.
pub fn model(build: impl Fn() -> Model + Send + Sync + 'static) -> Contract {
    Contract {
        build: Box::new(build),
        structures: standard(),
        skipped: Vec::new(),
        objective_keeps: Vec::new(),
        parts: Vec::new(),
        tolerance: 2e-4,
        gradient_tolerance: 0.05,
    }
}

impl Contract {
    /// Trains on these structures instead of the [`standard`] ones. The more general their positions, the better: where two
    /// neighbors are equally far, rounding decides which comes first.
    ///
    /// # Panics
    /// For fewer than eight structures.
    pub fn structures(self, structures: Vec<Structure>) -> Self {
        assert!(structures.len() >= 8, "a contract needs eight structures or more");
        Self { structures, ..self }
    }

    /// Gives every structure a property: a smooth function of its volume and its elements.
    pub fn property(mut self, name: &str) -> Self {
        for structure in &mut self.structures {
            let value = crystals::made_up_property(structure);
            structure.properties.insert(name.to_owned(), value.into());
        }
        self
    }

    /// How much numbers may differ that are equal but for rounding, as a part of their size (default: 2·10⁻⁴).
    pub fn tolerance(self, tolerance: f64) -> Self {
        Self { tolerance, ..self }
    }

    /// How much slopes may differ from finite differences, as a part of their size (default: 0.05).
    pub fn gradient_tolerance(self, gradient_tolerance: f64) -> Self {
        Self { gradient_tolerance, ..self }
    }

    /// Leaves a check out; the reason appears in the output.
    pub fn skip(mut self, check: Check, reason: &str) -> Self {
        self.skipped.push((check, reason.to_owned()));
        self
    }

    /// The objective, and not only outputs, keeps this symmetry: [`Check::Permutation`], [`Check::CellChoice`] or
    /// [`Check::Supercell`].
    pub fn objective_keeps(mut self, symmetry: Check) -> Self {
        self.objective_keeps.push(symmetry);
        self
    }

    /// Only these parts of the objective keep a symmetry.
    pub fn parts(mut self, symmetry: Check, parts: &[&'static str]) -> Self {
        self.parts.push((symmetry, parts.to_vec()));
        self
    }

    /// Makes the checks and lists what they found on stderr.
    ///
    /// # Panics
    /// With all that is wrong, when a promise is not kept.
    pub fn run(self) {
        let report = self.check();
        eprintln!("{report}");
        assert!(report.failed.is_empty(), "{report}");
    }

    /// Makes the checks.
    ///
    /// # Panics
    /// When a check is skipped that does not apply to the model: the reason for it would be misleading.
    pub fn check(self) -> Report {
        let model = (self.build)();
        let applicable: Vec<Check> = Check::ALL.into_iter().filter(|&c| self.applies(&model, c)).collect();
        if let Some((check, _)) = self.skipped.iter().find(|(check, _)| !applicable.contains(check)) {
            panic!("{check:?} is skipped, but does not apply to a {} model anyway", model.trainable().kind());
        }
        let mut report = Report {
            model: model.trainable().kind().to_owned(),
            passed: Vec::new(),
            skipped: self.skipped.clone(),
            failed: Vec::new(),
        };
        let fitted = Fitted::new(&self);
        for check in applicable {
            if self.skipped.iter().any(|(skipped, _)| *skipped == check) {
                continue;
            }
            let finding = fitted.as_ref().map_err(Clone::clone).and_then(|fitted| self.find(fitted, check));
            match finding {
                Ok(what) => report.passed.push((check, what)),
                Err(problem) => report.failed.push((check, problem)),
            }
        }
        report
    }

    fn applies(&self, model: &Model, check: Check) -> bool {
        match check {
            Check::Permutation | Check::CellChoice | Check::Supercell => {
                self.objective_keeps.contains(&check)
                    || model.as_predictor().is_ok()
                    || model.as_autoencoder().is_ok()
            }
            Check::Samples | Check::Elements | Check::Conditions => model.as_generator().is_ok(),
            // Questions to the objective and to its gradient.
            Check::Gradient | Check::Rotation | Check::Translation | Check::MicroBatches | Check::Resume => {
                !model.trainable().phases().is_empty()
            }
            _ => true,
        }
    }

    fn find(&self, fitted: &Fitted<'_>, check: Check) -> Finding {
        match check {
            Check::Gradient => objective::gradient(fitted),
            Check::Rotation
            | Check::Translation
            | Check::Permutation
            | Check::CellChoice
            | Check::Supercell => symmetry::keeps(fitted, check),
            Check::MicroBatches => objective::micro_batches(fitted),
            Check::Company => both(
                objective::company(fitted)?,
                [symmetry::outputs_in_company(fitted), generator::company(fitted)],
            ),
            Check::Noise => both(objective::noise(fitted)?, [generator::noise(fitted)]),
            Check::Statistics => both(training::statistics(fitted)?, [training::checkpoint(fitted)]),
            Check::Resume => training::resume(fitted),
            Check::Threads => both(
                objective::threads(fitted)?,
                [
                    training::threads(fitted).map(Some),
                    symmetry::outputs_on_threads(fitted),
                    generator::threads(fitted),
                ],
            ),
            Check::Samples => generator::samples(fitted),
            Check::Elements => generator::elements(fitted),
            Check::Conditions => generator::conditions(fitted),
        }
    }
}

/// Several findings of one check; those that do not apply to the model are absent.
fn both<const N: usize>(first: String, others: [Result<Option<String>, String>; N]) -> Finding {
    others.into_iter().try_fold(first, |all, finding| {
        Ok(match finding? {
            Some(what) => format!("{all}; {what}"),
            None => all,
        })
    })
}

/// What the checks of a contract found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Kind of the model.
    pub model: String,
    /// Promises that are kept, and what was looked at.
    pub passed: Vec<(Check, String)>,
    /// Checks that were left out, and why.
    pub skipped: Vec<(Check, String)>,
    /// Promises that are not kept, and what is wrong.
    pub failed: Vec<(Check, String)>,
}

impl Report {
    /// What is wrong with a promise, if it is not kept.
    pub fn failure(&self, check: Check) -> Option<&str> {
        self.failed.iter().find(|(failed, _)| *failed == check).map(|(_, problem)| problem.as_str())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "contract of the model `{}`:", self.model)?;
        for (title, list) in [("kept", &self.passed), ("skipped", &self.skipped), ("BROKEN", &self.failed)] {
            for (check, what) in list {
                write!(f, "\n  {title:<7} {check:?}: {what}")?;
            }
        }
        Ok(())
    }
}

/// A model with statistics of the contract's structures, and weights.
struct Fitted<'c> {
    contract: &'c Contract,
    model: Model,
    phases: Vec<TrainingPhase>,
    params: Params,
    /// Crystals without symmetry, for checks that compare numbers but for rounding.
    generic: Vec<Structure>,
}

impl<'c> Fitted<'c> {
    fn new(contract: &'c Contract) -> Result<Self, String> {
        let mut model = (contract.build)();
        let refs: Vec<&Structure> = contract.structures.iter().collect();
        model.trainable_mut().fit_statistics(&refs).map_err(text)?;
        let phases = TrainingPhase::all(model.trainable()).map_err(text)?;
        let params = crystals::weights(model.trainable().parameters());
        Ok(Self { contract, params, phases, generic: generic(&contract.structures), model })
    }

    fn trainable(&self) -> &dyn Trainable {
        self.model.trainable()
    }

    /// A limit that cuts the contract's structures into many micro-batches.
    fn tight(&self) -> MicroBatchLimit {
        MicroBatchLimit::atoms_at_most(7)
    }

    fn loose(&self) -> MicroBatchLimit {
        MicroBatchLimit::atoms_at_most(usize::MAX)
    }

    fn is_independent(&self) -> bool {
        self.trainable().batch_statistics() == BatchStatistics::Independent
    }

    /// Whether a forward pass in training mode is the same as one in evaluation mode.
    fn is_stateless(&self) -> bool {
        self.is_independent() && self.trainable().parameters().iter().all(|s| s.role != Role::Buffer)
    }

    fn batch<'a>(
        model: &'a dyn Trainable,
        phase: &TrainingPhase,
        structures: &[&'a Structure],
        keys: &[NoiseKey],
    ) -> Batch<'a> {
        Batch::new(model, structures.to_vec(), keys.to_vec()).of_phase(phase)
    }

    /// The objective of every phase.
    fn objectives(
        &self,
        structures: &[&Structure],
        keys: &[NoiseKey],
        limit: &MicroBatchLimit,
    ) -> Result<Vec<Objective>, String> {
        self.objectives_of(self.trainable(), structures, keys, limit)
    }

    fn objectives_of(
        &self,
        model: &dyn Trainable,
        structures: &[&Structure],
        keys: &[NoiseKey],
        limit: &MicroBatchLimit,
    ) -> Result<Vec<Objective>, String> {
        let value = |phase| Self::batch(model, phase, structures, keys).evaluate(&self.params, limit);
        self.phases.iter().map(value).collect::<Result<_, _>>().map_err(text)
    }

    /// The gradient of every phase.
    fn gradients(
        &self,
        structures: &[&Structure],
        keys: &[NoiseKey],
        limit: &MicroBatchLimit,
    ) -> Result<Vec<Gradient>, String> {
        let model = self.trainable();
        let gradient = |phase| Self::batch(model, phase, structures, keys).differentiate(&self.params, limit);
        self.phases.iter().map(gradient).collect::<Result<_, _>>().map_err(text)
    }

    /// Whether two numbers are equal but for rounding.
    fn close(&self, a: f64, b: f64) -> bool {
        (a - b).abs() <= self.contract.tolerance * a.abs().max(b.abs()).max(0.1)
    }

    /// Checks that two lists of objectives are equal but for rounding, in some or all of their parts.
    fn same_objectives(
        &self,
        a: &[Objective],
        b: &[Objective],
        parts: Option<&[&str]>,
    ) -> Result<(), String> {
        let of = |list: &[Objective]| -> Vec<(&'static str, f64)> {
            let named = list.iter().flat_map(|o| o.parts.iter().copied().chain([("total", o.total)]));
            named.filter(|(name, _)| parts.is_none_or(|parts| parts.contains(name))).collect()
        };
        let (a, b) = (of(a), of(b));
        let absent = |part: &&&str| a.iter().all(|(name, _)| *name != **part);
        if let Some(part) = parts.and_then(|parts| parts.iter().find(absent)) {
            return Err(format!("the objective has no part `{part}`"));
        }
        for ((name, a), (_, b)) in a.iter().zip(&b) {
            if !self.close(*a, *b) {
                return Err(format!("`{name}` of the objective is {a} and {b}"));
            }
        }
        Ok(())
    }
}

fn keys(n: usize, epoch: u64) -> Vec<NoiseKey> {
    (0..n as u64).map(|index| NoiseKey { seed: 11, epoch, index }).collect()
}

fn refs(structures: &[Structure]) -> Vec<&Structure> {
    structures.iter().collect()
}

/// Runs work on one, two and five threads; all results have to be equal.
fn on_threads<T: Send + PartialEq>(
    what: &str,
    work: impl Fn() -> Result<T, String> + Sync,
) -> Result<T, String> {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(text)?;
        pool.install(&work)
    };
    let one = on(1)?;
    for threads in [2, 5] {
        if on(threads)? != one {
            return Err(format!("{what} on {threads} threads differ from those on one"));
        }
    }
    Ok(one)
}

fn host_params(values: &[Vec<f32>], like: &Params) -> Params {
    Params::from_host(like.specs(), values, &cpu())
}
