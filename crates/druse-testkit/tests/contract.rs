//! The contract finds what is broken: a sound toy keeps it, and the same toy with one fault breaks the promise that the
//! fault is about.

use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::Tensor;
use druse_crystal::{Element, Lattice, Structure};
use druse_models::registry::{Kind, NoSettings, Preset, Registry, Settings};
use druse_models::{
    Capabilities, Condition, ConditionSet, Generator, InFlight, InFlightSampler, LossTerm, MicroBatchLimit,
    Model, ModelError, NoiseKey, Predictor, Prepared, Reverse, SampleRequest, Sampler, Trainable,
};
use druse_nn::ops::matrix;
use druse_nn::{Init, ParamBuilder, ParamId, ParamSpec, Params};
use druse_testkit::contract::{self, Check, Report};
use serde_json::{Value, json};

/// What is wrong with a toy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The objective looks at the first Cartesian component of a vector of the cell.
    Orientation,
    /// The objective looks at the fractional coordinates of the first atom.
    Origin,
    /// Predictions look at the first atom.
    Order,
    /// Predictions look at the vectors of the cell.
    Cell,
    /// Predictions grow with the cell.
    Extensive,
    /// The objective compares with the mean of the micro-batch.
    BatchMean,
    /// Samples depend on how many there are.
    SampleMean,
    /// Predictions depend on how many there are.
    PredictionMean,
    /// The bias has no gradient.
    CutGradient,
    /// The slope of the weight has the wrong size.
    WrongGradient,
    /// Noise follows the place in the batch.
    NoiseByPlace,
    /// Noise changes each time.
    FreshNoise,
    /// Noise does not depend on the epoch.
    NoiseWithoutEpoch,
    /// Samples do not depend on the seed.
    Seedless,
    /// Statistics are not stored.
    Forgetful,
    /// Preparing changes the model: a resumed run is another one.
    Counting,
    /// The objective depends on the number of threads.
    Threads,
    /// Samples have an element that the toy does not know.
    Elements,
    /// Samples have an atom too many.
    Composition,
    /// Sampling accepts everything.
    Accepting,
}

/// Predicts the logarithm of the volume per atom, with the mean of the training set as a statistic.
struct Toy {
    fault: Fault,
    specs: Vec<ParamSpec>,
    weight: ParamId,
    bias: ParamId,
    mean: f64,
    calls: AtomicU64,
}

impl Toy {
    fn new(fault: Fault) -> Self {
        let mut builder = ParamBuilder::default();
        let weight = builder.add("weight", &[1, 1], Init::Uniform(0.5));
        let bias = builder.add("bias", &[1], Init::Zeros);
        Self { fault, specs: builder.finish(), weight, bias, mean: 0.0, calls: AtomicU64::new(0) }
    }

    /// What the toy sees of a structure.
    fn feature(&self, s: &Structure) -> f64 {
        let n = s.len() as f64;
        let charge = s.species.iter().map(|e| f64::from(e.z())).sum::<f64>() / n;
        0.05 * charge
            + match self.fault {
                Fault::Orientation => s.lattice.rows()[0][0],
                Fault::Origin => s.frac_coords[0][0],
                Fault::Order => 0.1 * f64::from(s.species[0].z()),
                Fault::Cell => s.lattice.lengths().iter().sum(),
                Fault::Extensive => n,
                Fault::Threads => 1e-3 * rayon::current_num_threads() as f64,
                _ => 0.0,
            }
    }
}

fn target(s: &Structure) -> f64 {
    (s.lattice.volume() / s.len() as f64).ln()
}

/// A number in ±0.5 that depends on the key alone.
fn draw(key: &NoiseKey) -> f64 {
    let mut h = key.seed ^ key.epoch.rotate_left(20) ^ key.index.rotate_left(40);
    for _ in 0..3 {
        h = (h ^ (h >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    (h >> 40) as f64 / (1u64 << 24) as f64 - 0.5
}

impl Trainable for Toy {
    fn kind(&self) -> &'static str {
        "toy"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        self.mean = training.iter().map(|s| target(s)).sum::<f64>() / training.len() as f64;
        Ok(())
    }

    fn statistics(&self) -> Value {
        json!({ "mean": if self.fault == Fault::Forgetful { 0.0 } else { self.mean } })
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        self.mean = statistics["mean"].as_f64().ok_or_else(|| ModelError::Config("mean".into()))?;
        Ok(())
    }

    fn prepare<'a>(
        &'a self,
        micro_batch: &[&Structure],
        keys: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        let noise = |(place, key): (usize, &NoiseKey)| match self.fault {
            Fault::NoiseByPlace => draw(&NoiseKey { index: place as u64, ..*key }),
            Fault::FreshNoise => draw(&NoiseKey { index: calls, ..*key }),
            Fault::NoiseWithoutEpoch => draw(&NoiseKey { epoch: 0, ..*key }),
            Fault::Counting if calls == 0 => 3.0,
            _ => draw(key),
        };
        let mut features: Vec<f32> = micro_batch.iter().map(|s| self.feature(s) as f32).collect();
        if self.fault == Fault::BatchMean {
            let mean = features.iter().sum::<f32>() / features.len() as f32;
            features.iter_mut().for_each(|x| *x -= mean);
        }
        let targets = micro_batch
            .iter()
            .zip(keys.iter().enumerate().map(noise))
            .map(|(s, noise)| (target(s) - self.mean + 0.3 * noise) as f32);
        Ok(Box::new(ToyMicroBatch { toy: self, features, targets: targets.collect() }))
    }

    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64> {
        vec![batch.len() as f64]
    }
}

struct ToyMicroBatch<'a> {
    toy: &'a Toy,
    features: Vec<f32>,
    targets: Vec<f32>,
}

impl Prepared for ToyMicroBatch<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let column = |v: &[f32]| matrix(v.to_vec(), 1, params.device());
        let (mut weight, mut bias) = (params.get(self.toy.weight), params.get(self.toy.bias));
        // What does not change a value, but its derivative.
        let detached = |t: &Tensor<2>, share: f64| {
            t.clone().mul_scalar(1.0 - share) + t.clone().detach().mul_scalar(share)
        };
        match self.toy.fault {
            Fault::CutGradient => bias = detached(&bias, 1.0),
            Fault::WrongGradient => weight = detached(&weight, 0.2),
            _ => {}
        }
        let difference = column(&self.features) * weight + bias - column(&self.targets);
        let sum = (difference.clone() * difference).sum();
        Ok(vec![LossTerm { name: "volume", sum, count: self.targets.len() as f64, weight: 1.0 }])
    }
}

impl Predictor for Toy {
    fn property(&self) -> &str {
        "volume"
    }

    fn check(&self, _: &Structure) -> Result<(), ModelError> {
        Ok(())
    }

    fn predict(&self, params: &Params, structures: &[&Structure]) -> Result<Vec<f64>, ModelError> {
        let host = params.to_host();
        let shift = if self.fault == Fault::PredictionMean { structures.len() as f64 } else { 0.0 };
        let value =
            |s: &&Structure| f64::from(host[0][0]) * self.feature(s) + f64::from(host[1][0]) + self.mean;
        Ok(structures.iter().map(|s| value(s) + shift).collect())
    }

    fn embedding(&self) -> String {
        "the volume".into()
    }

    fn embed(&self, _: &Params, structures: &[&Structure]) -> Result<Vec<Vec<f64>>, ModelError> {
        Ok(structures.iter().map(|s| vec![self.feature(s)]).collect())
    }
}

const SERVED: &[ConditionSet] =
    &[ConditionSet::of(&[Condition::Composition]), ConditionSet::of(&[Condition::Sites])];

impl Generator for Toy {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(SERVED, 100).with_max_atoms(Some(6))
    }

    fn check(&self, conditions: &druse_models::Conditions) -> Result<(), ModelError> {
        match self.fault {
            Fault::Accepting => Ok(()),
            _ => self.capabilities().check(self.kind(), conditions),
        }
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        InFlightSampler::boxed(self, params, limit)
    }
}

/// Moves the volume per atom in steps, each with noise of its own.
impl Reverse for Toy {
    type State = (Vec<Element>, f64, NoiseKey);

    fn total_steps(&self) -> usize {
        6
    }

    fn start(&self, _: &Params, request: &SampleRequest) -> Result<Self::State, ModelError> {
        let mut species = request.conditions.species().unwrap_or_default();
        match self.fault {
            Fault::Composition => species.push(species[0]),
            Fault::Elements => species.fill(Element::from_z(101).expect("mendelevium")),
            _ => {}
        }
        let seed = if self.fault == Fault::Seedless { 0 } else { request.seed };
        Ok((species, self.mean, NoiseKey { seed, epoch: 0, index: request.index }))
    }

    fn species<'s>(&self, state: &'s Self::State) -> &'s [Element] {
        &state.0
    }

    fn step(&self, _: &Params, crystals: &mut [InFlight<Self::State>]) -> Result<(), ModelError> {
        let company = if self.fault == Fault::SampleMean { crystals.len() as f64 } else { 0.0 };
        for crystal in crystals {
            let key = NoiseKey { epoch: crystal.step as u64, ..crystal.state.2 };
            crystal.state.1 += 0.1 * draw(&key) + 1e-3 * company;
        }
        Ok(())
    }

    fn finish(&self, _: &Params, (species, volume, _): Self::State) -> Result<Structure, ModelError> {
        let edge = (volume.exp() * species.len() as f64).cbrt();
        let lattice = Lattice::cubic(edge).map_err(|e| ModelError::Output(e.to_string()))?;
        let frac = (0..species.len()).map(|i| [i as f64 / species.len() as f64, 0.0, 0.0]).collect();
        Structure::new(lattice, species, frac).map_err(|e| ModelError::Output(e.to_string()))
    }
}

fn as_predictor(fault: Fault) -> Report {
    contract::predictor(move || Toy::new(fault)).check()
}

fn as_generator(fault: Fault) -> Report {
    contract::generator(move || Toy::new(fault)).check()
}

#[test]
fn a_sound_model_keeps_its_promises() {
    for report in [as_predictor(Fault::None), as_generator(Fault::None)] {
        assert!(report.failed.is_empty(), "{report}");
        assert!(report.passed.len() >= 11, "{report}");
    }
    contract::trainable(|| Toy::new(Fault::None))
        .objective_keeps(Check::Permutation)
        .objective_keeps(Check::CellChoice)
        .objective_keeps(Check::Supercell)
        .run();
}

#[test]
fn every_fault_breaks_its_promise() {
    let predictor = [
        (Fault::Orientation, Check::Rotation),
        (Fault::Origin, Check::Translation),
        (Fault::Order, Check::Permutation),
        (Fault::Cell, Check::CellChoice),
        (Fault::Extensive, Check::Supercell),
        (Fault::Threads, Check::Threads),
        (Fault::BatchMean, Check::Company),
        (Fault::BatchMean, Check::MicroBatches),
        (Fault::PredictionMean, Check::Company),
        (Fault::CutGradient, Check::Gradient),
        (Fault::WrongGradient, Check::Gradient),
        (Fault::NoiseByPlace, Check::Company),
        (Fault::FreshNoise, Check::Noise),
        (Fault::NoiseWithoutEpoch, Check::Noise),
        (Fault::Forgetful, Check::Statistics),
        (Fault::Counting, Check::Resume),
    ];
    let generator = [
        (Fault::SampleMean, Check::Company),
        (Fault::Seedless, Check::Noise),
        (Fault::Composition, Check::Samples),
        (Fault::Elements, Check::Elements),
        (Fault::Accepting, Check::Conditions),
    ];
    let cases = predictor.iter().map(|&(fault, check)| (fault, check, as_predictor(fault)));
    for (fault, check, report) in
        cases.chain(generator.iter().map(|&(fault, check)| (fault, check, as_generator(fault))))
    {
        let problem = report.failure(check).unwrap_or_else(|| panic!("{fault:?} passes {check:?}\n{report}"));
        assert!(problem.len() > 20, "{problem}");
    }
}

#[test]
fn what_is_skipped_appears_with_its_reason() {
    let report =
        contract::predictor(|| Toy::new(Fault::Orientation)).skip(Check::Rotation, "fixed axes").check();
    assert!(report.failure(Check::Rotation).is_none());
    assert!(report.to_string().contains("skipped Rotation: fixed axes"), "{report}");
}

#[test]
#[should_panic(expected = "Rotation")]
fn a_broken_promise_fails_the_test() {
    contract::predictor(|| Toy::new(Fault::Orientation)).run();
}

#[test]
#[should_panic(expected = "does not apply")]
fn a_skip_without_object_is_refused() {
    contract::trainable(|| Toy::new(Fault::None)).skip(Check::Samples, "no generator").run();
}

/// Settings that do not refuse unknown keys.
#[derive(Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
struct Lax {
    width: usize,
}

impl Settings for Lax {
    fn validate(&self) -> Result<(), ModelError> {
        Ok(())
    }
}

fn problem(kind: Kind) -> String {
    let name = kind.name();
    let registry = Registry::builtin().with(kind).unwrap();
    contract::kind(&registry, name).check().err().unwrap_or_default()
}

#[test]
fn the_contract_of_kinds_finds_what_is_wrong() {
    let toy = |_: NoSettings, _: NoSettings| Ok(Model::generator(Toy::new(Fault::None)));
    const PRESET: &str = "description = \"a toy\"\n[model]\nkind = \"toy\"\n";
    let sound = Kind::new("toy", "a toy", toy)
        .with_conditions(SERVED)
        .with_presets([Preset::new("toy-small", PRESET)]);
    assert_eq!(problem(sound.clone()), "");
    let found = problem(sound.clone().with_conditions(&SERVED[..1]));
    assert!(found.contains("sites"), "{found}");
    let found = problem(sound.clone().with_presets([Preset::new("toy-small", "[model]\nkind = \"toy\"\n")]));
    assert!(found.contains("description"), "{found}");
    let found = problem(sound.with_presets([Preset::new("toy-small", "[train]\nepochs = 0\n")]));
    assert!(found.contains("toy-small"), "{found}");
    let lax = |_: Lax, _: NoSettings| Ok(Model::generator(Toy::new(Fault::None)));
    let found = problem(Kind::new("toy", "a toy", lax).with_conditions(SERVED));
    assert!(found.contains("deny_unknown_fields"), "{found}");
}
