//! A model small enough to reason about, and textbook structures.
#![allow(dead_code, reason = "every test file uses its part")]

use burn::tensor::{Tensor, TensorData};
use druse_crystal::{Element, Lattice, Structure};
use druse_models::{
    Capabilities, Condition, Generator, LossTerm, ModelError, NoiseKey, SampleRequest, Sampler,
};
use druse_nn::{Init, ParamBuilder, ParamId, ParamSpec, Params};
use druse_run::data::{TrainingData, TrainingSet};
use serde_json::{Value, json};

/// Predicts the edge of a cubic cell as `w · (number of atoms) + b`, from noisy targets: its best fit is known, and
/// its numbers depend on every noise key and on the order of the batches.
pub struct Toy {
    specs: Vec<ParamSpec>,
    weight: ParamId,
    bias: ParamId,
    max_atoms: usize,
    poison: Option<usize>,
}

impl Toy {
    /// A model whose loss is not a number for structures of so many atoms.
    pub fn poisoned(atoms: usize) -> Self {
        Self { poison: Some(atoms), ..Self::default() }
    }
}

impl Default for Toy {
    fn default() -> Self {
        let mut builder = ParamBuilder::default();
        let weight = builder.add("edge.weight", &[1], Init::Uniform(0.5));
        let bias = builder.add("edge.bias", &[1], Init::Zeros);
        Self { specs: builder.finish(), weight, bias, max_atoms: 0, poison: None }
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

impl Generator for Toy {
    fn kind(&self) -> &'static str {
        "gemsdiff"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { unconditional: false, composition: true }
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

    fn loss(
        &self,
        params: &Params,
        batch: &[&Structure],
        noise_keys: &[NoiseKey],
    ) -> Result<Vec<LossTerm>, ModelError> {
        let n = batch.len();
        let column = |v: Vec<f32>| Tensor::<2>::from_data(TensorData::new(v, [n, 1]), params.device());
        let sizes = column(batch.iter().map(|s| s.len() as f32).collect());
        let targets = batch.iter().zip(noise_keys).map(|(s, key)| {
            if self.poison == Some(s.len()) {
                f32::NAN
            } else {
                s.lattice.lengths()[0] as f32 + 0.1 * noise(key)
            }
        });
        let targets = column(targets.collect());
        let prediction = sizes * params.get(self.weight) + params.get(self.bias);
        let difference = prediction - targets;
        let count = n as f64;
        Ok(vec![LossTerm { name: "edge", sum: (difference.clone() * difference).sum(), count }])
    }

    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64> {
        vec![batch.len() as f64]
    }

    fn sampler<'a>(
        &'a self,
        params: &'a Params,
        requests: &[SampleRequest],
    ) -> Result<Box<dyn Sampler + 'a>, ModelError> {
        for r in requests {
            if let Condition::Composition(c) = &r.condition
                && c.num_atoms() > self.max_atoms
            {
                return Err(ModelError::TooManyAtoms {
                    what: format!("{c:?}"),
                    atoms: c.num_atoms(),
                    limit: self.max_atoms,
                });
            }
        }
        let host = params.to_host();
        Ok(Box::new(ToySampler { edge: [host[0][0], host[1][0]], requests: requests.to_vec(), steps: 0 }))
    }
}

struct ToySampler {
    edge: [f32; 2],
    requests: Vec<SampleRequest>,
    steps: usize,
}

impl Sampler for ToySampler {
    fn total_steps(&self) -> usize {
        3
    }

    fn step(&mut self) -> Result<(), ModelError> {
        self.steps += 1;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Vec<Result<Structure, ModelError>> {
        assert_eq!(self.steps, 3, "the driver makes every step");
        self.requests
            .iter()
            .map(|r| {
                let Condition::Composition(c) = &r.condition else {
                    unreachable!("only compositions are served")
                };
                let species = c.atoms();
                if r.index % 7 == 5 {
                    return Err(ModelError::Output("every seventh structure fails".into()));
                }
                let shift = noise(&NoiseKey { seed: r.seed, epoch: 0, index: r.index });
                let edge = self.edge[0] * species.len() as f32 + self.edge[1] + 0.1 * shift + 3.0;
                let coords =
                    (0..species.len()).map(|i| [i as f64 / species.len() as f64, 0.0, 0.0]).collect();
                let lattice =
                    Lattice::cubic(f64::from(edge)).map_err(|e| ModelError::Output(e.to_string()))?;
                Structure::new(lattice, species, coords).map_err(|e| ModelError::Output(e.to_string()))
            })
            .collect()
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
        let (ids, structures) = prototypes().into_iter().take(n).unzip();
        TrainingSet { structures, ids }
    };
    TrainingData { train: set(8), validation: set(3), hash: "prototypes".into(), ..TrainingData::default() }
}
