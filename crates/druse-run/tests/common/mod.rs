//! A model small enough to reason about, and textbook structures.
#![allow(dead_code, reason = "every test file uses its part")]

pub mod phased;

use std::thread;
use std::time::Duration;

use burn::tensor::{Tensor, TensorData};
use druse_crystal::{Element, Lattice, Structure};
use druse_data::{Dataset, Entry};
use druse_models::{
    Capabilities, Condition, ConditionSet, Generator, InFlight, InFlightSampler, LossTerm, MicroBatchLimit,
    ModelError, NoiseKey, Prepared, Reverse, SampleRequest, Sampler, Trainable,
};
use druse_nn::memory::ComputeError;
use druse_nn::{Init, ParamBuilder, ParamId, ParamSpec, Params};
use druse_run::data::TrainingData;
use druse_testkit::prototype;
use serde_json::{Value, json};

/// Predicts the edge of a cubic cell as `w · (number of atoms) + b`, from noisy targets: its best fit is known, and
/// its numbers depend on every noise key and on the order of the batches.
pub struct Toy {
    specs: Vec<ParamSpec>,
    weight: ParamId,
    bias: ParamId,
    max_atoms: usize,
    poison: Option<usize>,
    outlier_at: Option<u64>,
    /// Seeds with which structure `outlier` has an enormous loss in that epoch; empty: any.
    outlier_seeds: Vec<u64>,
    outlier: u64,
    capacity: Option<usize>,
    panics_at: Option<u64>,
    /// Epoch in which every preparation takes so long.
    slow_at: Option<(u64, Duration)>,
    /// Atoms of the largest cell that it says it was trained on.
    largest_seen: Option<usize>,
}

impl Toy {
    /// A model that says that the largest cell of its training set had so many atoms.
    pub fn trained_up_to(largest_seen: Option<usize>) -> Self {
        Self { largest_seen, ..Self::default() }
    }

    /// A model whose loss is not a number for structures of so many atoms.
    pub fn poisoned(atoms: usize) -> Self {
        Self { poison: Some(atoms), ..Self::default() }
    }

    /// A model with an enormous loss for one structure in this epoch.
    pub fn with_outlier(epoch: u64) -> Self {
        Self { outlier_at: Some(epoch), ..Self::default() }
    }

    /// A model with an enormous loss for this structure in this epoch, as long as the noise has one of these seeds.
    pub fn with_bad_seeds(epoch: u64, outlier: u64, seeds: Vec<u64>) -> Self {
        Self { outlier_at: Some(epoch), outlier, outlier_seeds: seeds, ..Self::default() }
    }

    /// A model on a device whose memory holds so many atoms.
    pub fn with_capacity(atoms: usize) -> Self {
        Self { capacity: Some(atoms), ..Self::default() }
    }

    /// A model with a bug: it panics while it prepares a batch of this epoch, and at the first step of sampling.
    pub fn panicking(epoch: u64) -> Self {
        Self { panics_at: Some(epoch), ..Self::default() }
    }

    /// A model that takes so long for whatever it prepares in this epoch.
    pub fn slow(epoch: u64, pause: Duration) -> Self {
        Self { slow_at: Some((epoch, pause)), ..Self::default() }
    }
}

impl Default for Toy {
    fn default() -> Self {
        let mut builder = ParamBuilder::default();
        let weight = builder.add("edge.weight", &[1], Init::Uniform(0.5));
        let bias = builder.add("edge.bias", &[1], Init::Zeros);
        Self {
            specs: builder.finish(),
            weight,
            bias,
            max_atoms: 0,
            poison: None,
            outlier_at: None,
            outlier_seeds: Vec::new(),
            outlier: 0,
            capacity: None,
            panics_at: None,
            slow_at: None,
            largest_seen: None,
        }
    }
}

/// A number in ±0.5 that depends on the key alone.
fn noise(key: &NoiseKey) -> f32 {
    let mut h = key.seed ^ key.epoch.rotate_left(20) ^ key.index.rotate_left(40);
    for _ in 0..3 {
        h = (h ^ (h >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    (h >> 40) as f32 / (1u64 << 24) as f32 - 0.5
}

impl Trainable for Toy {
    fn kind(&self) -> &'static str {
        "toy"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        self.max_atoms = training.iter().map(|s| s.len()).max().unwrap_or(0);
        Ok(())
    }

    fn statistics(&self) -> Value {
        json!({ "max_atoms": self.max_atoms })
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        let n = statistics["max_atoms"].as_u64().ok_or_else(|| ModelError::Config("max_atoms".into()))?;
        self.max_atoms = n as usize;
        Ok(())
    }

    fn prepare<'a>(
        &'a self,
        micro_batch: &[&Structure],
        keys: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        assert!(self.panics_at.is_none_or(|epoch| keys.iter().all(|k| k.epoch != epoch)), "a bug in prepare");
        if let Some((epoch, pause)) = self.slow_at
            && keys.iter().all(|k| k.epoch == epoch)
        {
            thread::sleep(pause);
        }
        let target = |(s, key): (&&Structure, &NoiseKey)| {
            if self.poison == Some(s.len()) {
                f32::NAN
            } else if self.outlier_at == Some(key.epoch)
                && key.index == self.outlier
                && (self.outlier_seeds.is_empty() || self.outlier_seeds.contains(&key.seed))
            {
                1e6
            } else {
                s.lattice.lengths()[0] as f32 + 0.1 * noise(key)
            }
        };
        Ok(Box::new(ToyMicroBatch {
            toy: self,
            sizes: micro_batch.iter().map(|s| s.len() as f32).collect(),
            targets: micro_batch.iter().zip(keys).map(target).collect(),
        }))
    }

    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64> {
        vec![batch.len() as f64]
    }
}

impl Generator for Toy {
    fn capabilities(&self) -> Capabilities {
        let limit = (self.max_atoms > 0).then_some(self.max_atoms);
        Capabilities::new([ConditionSet::of(&[Condition::Composition])], 118)
            .with_max_atoms(limit)
            .with_largest_seen(self.largest_seen)
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        InFlightSampler::boxed(self, params, limit)
    }
}

/// Structures of n atoms take n steps longer than the first: they finish in another order than they came.
impl Reverse for Toy {
    type State = SampleRequest;

    fn total_steps(&self) -> usize {
        3 + self.max_atoms
    }

    fn start(&self, _: &Params, request: &SampleRequest) -> Result<SampleRequest, ModelError> {
        Ok(request.clone())
    }

    fn species<'s>(&self, _: &'s SampleRequest) -> &'s [Element] {
        &[]
    }

    fn atoms(&self, request: &SampleRequest) -> usize {
        request.conditions.atoms().unwrap_or_default()
    }

    fn step(&self, _: &Params, _: &mut [InFlight<SampleRequest>]) -> Result<(), ModelError> {
        assert!(self.panics_at.is_none(), "a bug in step");
        Ok(())
    }

    fn is_finished(&self, crystal: &InFlight<SampleRequest>) -> bool {
        crystal.step >= 3 + self.atoms(&crystal.state)
    }

    fn finish(&self, params: &Params, r: SampleRequest) -> Result<Structure, ModelError> {
        let species = r.conditions.species().expect("only compositions are served");
        if r.index % 7 == 5 {
            return Err(ModelError::Output("every seventh structure fails".into()));
        }
        let host = params.to_host();
        let shift = noise(&NoiseKey { seed: r.seed, epoch: 0, index: r.index });
        let edge = host[0][0] * species.len() as f32 + host[1][0] + 0.1 * shift + 3.0;
        let coords = (0..species.len()).map(|i| [i as f64 / species.len() as f64, 0.0, 0.0]).collect();
        let lattice = Lattice::cubic(f64::from(edge)).map_err(|e| ModelError::Output(e.to_string()))?;
        Structure::new(lattice, species, coords).map_err(|e| ModelError::Output(e.to_string()))
    }
}

struct ToyMicroBatch<'a> {
    toy: &'a Toy,
    sizes: Vec<f32>,
    targets: Vec<f32>,
}

impl Prepared for ToyMicroBatch<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let n = self.sizes.len();
        if self.toy.capacity.is_some_and(|atoms| self.sizes.iter().sum::<f32>() > atoms as f32) {
            let report = "out of device memory allocating 1024 bytes";
            return Err(ComputeError::from_report(report).into());
        }
        let column = |v: &[f32]| Tensor::<2>::from_data(TensorData::new(v.to_vec(), [n, 1]), params.device());
        let (weight, bias) = (params.get(self.toy.weight), params.get(self.toy.bias));
        let difference = column(&self.sizes) * weight + bias - column(&self.targets);
        let sum = (difference.clone() * difference).sum();
        Ok(vec![LossTerm { name: "edge", sum, count: n as f64, weight: 1.0 }])
    }
}

/// Eight textbook prototypes in cubic cells of one to five atoms.
pub fn prototypes() -> Vec<(String, Structure)> {
    ["Po", "Fe", "CsCl", "NiAl", "Cu3Au", "ReO3", "SrTiO3", "BaTiO3"]
        .map(|name| (name.to_owned(), prototype(name)))
        .into()
}

/// All prototypes for training, the first three for validation.
pub fn data() -> TrainingData {
    let set = |n: usize| {
        let entries = prototypes().into_iter().take(n).map(|(id, structure)| Entry { id, structure });
        Dataset::new("prototypes", entries.collect())
    };
    TrainingData { train: set(8), validation: set(3), hash: "prototypes".into(), ..TrainingData::default() }
}
