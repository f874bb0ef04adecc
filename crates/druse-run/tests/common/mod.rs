//! A model small enough to reason about, and textbook structures.
#![allow(dead_code, reason = "every test file uses its part")]

use burn::tensor::{Tensor, TensorData};
use druse_crystal::{Element, Lattice, Structure};
use druse_data::{Dataset, Entry};
use druse_models::{
    Capabilities, Condition, Generator, LossTerm, MicroBatchLimit, ModelError, NoiseKey, Prepared,
    SampleRequest, Sampled, Sampler, Trainable,
};
use druse_nn::memory::ComputeError;
use druse_nn::{Init, ParamBuilder, ParamId, ParamSpec, Params};
use druse_run::data::TrainingData;
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
    capacity: Option<usize>,
    panics_at: Option<u64>,
}

impl Toy {
    /// A model whose loss is not a number for structures of so many atoms.
    pub fn poisoned(atoms: usize) -> Self {
        Self { poison: Some(atoms), ..Self::default() }
    }

    /// A model with an enormous loss for one structure in this epoch.
    pub fn with_outlier(epoch: u64) -> Self {
        Self { outlier_at: Some(epoch), ..Self::default() }
    }

    /// A model on a device whose memory holds so many atoms.
    pub fn with_capacity(atoms: usize) -> Self {
        Self { capacity: Some(atoms), ..Self::default() }
    }

    /// A model with a bug: it panics while it prepares a batch of this epoch, and at the first step of sampling.
    pub fn panicking(epoch: u64) -> Self {
        Self { panics_at: Some(epoch), ..Self::default() }
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
            capacity: None,
            panics_at: None,
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
        "gemsdiff"
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
        let target = |(s, key): (&&Structure, &NoiseKey)| {
            if self.poison == Some(s.len()) {
                f32::NAN
            } else if self.outlier_at == Some(key.epoch) && key.index == 0 {
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
        Capabilities { composition: true, ..Capabilities::default() }
    }

    fn check(&self, request: &SampleRequest) -> Result<(), ModelError> {
        let Condition::Composition(c) = &request.condition else { return Ok(()) };
        let (atoms, limit) = (c.num_atoms(), self.max_atoms);
        if atoms > limit {
            return Err(ModelError::TooManyAtoms { what: format!("{c:?}"), atoms, limit });
        }
        Ok(())
    }

    fn sampler<'a>(&'a self, params: &'a Params, _: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        let host = params.to_host();
        Box::new(ToySampler { toy: self, edge: [host[0][0], host[1][0]], flying: Vec::new() })
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

/// Structures of n atoms take n steps longer than the first: they finish in another order than they came.
struct ToySampler<'a> {
    toy: &'a Toy,
    edge: [f32; 2],
    flying: Vec<(u64, SampleRequest, usize)>,
}

impl ToySampler<'_> {
    fn finish(&self, r: &SampleRequest) -> Result<Structure, ModelError> {
        let Condition::Composition(c) = &r.condition else { unreachable!("only compositions are served") };
        let species = c.atoms();
        if r.index % 7 == 5 {
            return Err(ModelError::Output("every seventh structure fails".into()));
        }
        let shift = noise(&NoiseKey { seed: r.seed, epoch: 0, index: r.index });
        let edge = self.edge[0] * species.len() as f32 + self.edge[1] + 0.1 * shift + 3.0;
        let coords = (0..species.len()).map(|i| [i as f64 / species.len() as f64, 0.0, 0.0]).collect();
        let lattice = Lattice::cubic(f64::from(edge)).map_err(|e| ModelError::Output(e.to_string()))?;
        Structure::new(lattice, species, coords).map_err(|e| ModelError::Output(e.to_string()))
    }
}

fn atoms(request: &SampleRequest) -> usize {
    match &request.condition {
        Condition::Composition(c) => c.num_atoms(),
        Condition::Unconditional | Condition::Latent(_) => 0,
    }
}

impl Sampler for ToySampler<'_> {
    fn total_steps(&self) -> usize {
        3 + self.toy.max_atoms
    }

    fn add(&mut self, ticket: u64, request: &SampleRequest) -> Result<(), ModelError> {
        self.toy.check(request)?;
        self.flying.push((ticket, request.clone(), 3 + atoms(request)));
        Ok(())
    }

    fn len(&self) -> usize {
        self.flying.len()
    }

    fn atoms(&self) -> usize {
        self.flying.iter().map(|f| atoms(&f.1)).sum()
    }

    fn step(&mut self) -> Vec<Sampled> {
        assert!(self.toy.panics_at.is_none(), "a bug in step");
        self.flying.iter_mut().for_each(|f| f.2 -= 1);
        let done: Vec<_> = self.flying.extract_if(.., |f| f.2 == 0).collect();
        done.iter().map(|(ticket, r, _)| Sampled { ticket: *ticket, result: self.finish(r) }).collect()
    }
}

fn crystal(edge: f64, sites: &[(&str, [f64; 3])]) -> Structure {
    let species = sites.iter().map(|(s, _)| Element::from_symbol(s).unwrap()).collect();
    Structure::new(Lattice::cubic(edge).unwrap(), species, sites.iter().map(|s| s.1).collect()).unwrap()
}

/// Eight textbook prototypes in cubic cells of one to five atoms.
pub fn prototypes() -> Vec<(String, Structure)> {
    let (o, h) = ([0.0; 3], [0.5; 3]);
    let perovskite = |a: f64, x, y, z| {
        crystal(a, &[(x, o), (y, h), (z, [0.5, 0.5, 0.0]), (z, [0.5, 0.0, 0.5]), (z, [0.0, 0.5, 0.5])])
    };
    vec![
        ("Po".into(), crystal(3.35, &[("Po", o)])),
        ("Fe".into(), crystal(2.87, &[("Fe", o), ("Fe", h)])),
        ("CsCl".into(), crystal(4.12, &[("Cs", o), ("Cl", h)])),
        ("NiAl".into(), crystal(2.89, &[("Ni", o), ("Al", h)])),
        (
            "Cu3Au".into(),
            crystal(
                3.75,
                &[("Au", o), ("Cu", [0.0, 0.5, 0.5]), ("Cu", [0.5, 0.0, 0.5]), ("Cu", [0.5, 0.5, 0.0])],
            ),
        ),
        (
            "ReO3".into(),
            crystal(
                3.75,
                &[("Re", o), ("O", [0.5, 0.0, 0.0]), ("O", [0.0, 0.5, 0.0]), ("O", [0.0, 0.0, 0.5])],
            ),
        ),
        ("SrTiO3".into(), perovskite(3.905, "Sr", "Ti", "O")),
        ("BaTiO3".into(), perovskite(4.0, "Ba", "Ti", "O")),
    ]
}

/// All prototypes for training, the first three for validation.
pub fn data() -> TrainingData {
    let set = |n: usize| {
        let entries = prototypes().into_iter().take(n).map(|(id, structure)| Entry { id, structure });
        Dataset::new("prototypes", entries.collect())
    };
    TrainingData { train: set(8), validation: set(3), hash: "prototypes".into(), ..TrainingData::default() }
}
