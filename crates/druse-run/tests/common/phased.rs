//! Models that are more than one objective over trainable weights: phases, buffers, frozen weights, statistics of a batch.

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_models::{
    BatchStatistics, LossTerm, ModelError, NoiseKey, Phase, PhaseOptimizer, PhaseParameters, Prepared,
    Trainable,
};
use druse_nn::blocks::{BatchNorm, Linear, SpectralLinear};
use druse_nn::memory::ComputeError;
use druse_nn::ops::{Activation, matrix};
use druse_nn::{Init, ParamBuilder, ParamId, ParamSpec, Params};
use serde_json::{Value, json};

/// What a toy learns of a structure: edge of its cell from its number of atoms, and noise.
struct Item {
    atoms: f32,
    edge: f32,
    noise: [f32; 2],
}

pub enum Net {
    /// A generator of edges against a critic with spectral normalization; the generator's unit is frozen.
    Gan { generator: [Linear; 2], unit: ParamId, critic: [SpectralLinear; 2] },
    /// A regression with batch normalization.
    Norm { first: Linear, norm: BatchNorm, last: Linear },
}

pub struct Model {
    pub specs: Vec<ParamSpec>,
    pub net: Net,
    pub phases: Vec<Phase>,
    pub statistics: BatchStatistics,
    /// Atoms that fit into memory.
    pub capacity: usize,
}

pub fn gan() -> Model {
    let mut builder = ParamBuilder::default();
    let net = Net::Gan {
        generator: [
            Linear::new(&mut builder, "generator.0", [3, 6], true),
            Linear::new(&mut builder, "generator.1", [6, 1], true),
        ],
        unit: builder.frozen("generator.unit", &[1], Init::Constant(3.0)),
        critic: [
            SpectralLinear::new(&mut builder, "critic.0", [2, 5]),
            SpectralLinear::new(&mut builder, "critic.1", [5, 1]),
        ],
    };
    let critic = Phase {
        name: "critic",
        parameters: PhaseParameters::Below(vec!["critic"]),
        optimizer: PhaseOptimizer { lr: Some(0.02), betas: Some([0.0, 0.9]), ..PhaseOptimizer::default() },
        repetitions: 3,
        ..Phase::default()
    };
    let generator = Phase {
        name: "generator",
        parameters: PhaseParameters::Below(vec!["generator"]),
        ..Phase::default()
    };
    let (phases, statistics) = (vec![critic, generator], BatchStatistics::Independent);
    Model { specs: builder.finish(), net, phases, statistics, capacity: usize::MAX }
}

pub fn norm(statistics: BatchStatistics) -> Model {
    let mut builder = ParamBuilder::default();
    let net = Net::Norm {
        first: Linear::new(&mut builder, "first", [2, 4], true),
        norm: BatchNorm::new(&mut builder, "norm", 4),
        last: Linear::new(&mut builder, "last", [4, 1], true),
    };
    Model { specs: builder.finish(), net, phases: vec![Phase::default()], statistics, capacity: usize::MAX }
}

/// Numbers in ±0.5 that depend on the key alone.
fn noise(key: &NoiseKey) -> [f32; 2] {
    [1, 2].map(|salt: u64| {
        let mut h = key.seed ^ key.epoch.rotate_left(20) ^ key.index.rotate_left(40) ^ salt.rotate_left(50);
        for _ in 0..3 {
            h = (h ^ (h >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        (h >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    })
}

struct Ready<'a> {
    model: &'a Model,
    phase: usize,
    items: Vec<Item>,
}

impl Ready<'_> {
    fn rows(&self, params: &Params, row: impl Fn(&Item) -> Vec<f32>) -> Tensor<2> {
        let rows: Vec<Vec<f32>> = self.items.iter().map(row).collect();
        matrix(rows.concat(), rows[0].len(), params.device())
    }
}

impl Prepared for Ready<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        if self.items.iter().map(|i| i.atoms as usize).sum::<usize>() > self.model.capacity {
            return Err(ComputeError::from_report("out of device memory allocating 1024 bytes").into());
        }
        let count = self.items.len() as f64;
        let term = |name, sum, weight| LossTerm { name, sum, count, weight };
        let atoms = self.rows(params, |i| vec![i.atoms / 5.0]);
        let edges = self.rows(params, |i| vec![i.edge]);
        let act = Activation::ScaledSilu;
        Ok(match &self.model.net {
            Net::Gan { generator, unit, critic } => {
                let z = self.rows(params, |i| vec![i.noise[0], i.noise[1], i.atoms / 5.0]);
                let hidden = generator[0].activated(params, z, act);
                let fake = generator[1].forward(params, hidden) * params.get(*unit);
                let score = |edges: Tensor<2>| {
                    let x = Tensor::cat(vec![edges, atoms.clone()], 1);
                    let hidden = critic[0].forward(params, x, act);
                    critic[1].forward(params, hidden, Activation::Identity).sum()
                };
                match self.phase {
                    0 => vec![term("fake", score(fake), 1.0), term("real", score(edges), -1.0)],
                    _ => vec![term("fake", score(fake), -1.0)],
                }
            }
            Net::Norm { first, norm, last } => {
                let x = self.rows(params, |i| vec![i.atoms, i.noise[0]]);
                let hidden = norm.forward(params, first.activated(params, x, act));
                let difference = last.forward(params, hidden) - edges;
                vec![term("edge", (difference.clone() * difference).sum(), 1.0)]
            }
        })
    }
}

impl Trainable for Model {
    fn kind(&self) -> &'static str {
        "toy"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn fit_statistics(&mut self, _: &[&Structure]) -> Result<(), ModelError> {
        Ok(())
    }

    fn statistics(&self) -> Value {
        json!({})
    }

    fn restore_statistics(&mut self, _: &Value) -> Result<(), ModelError> {
        Ok(())
    }

    fn prepare<'a>(
        &'a self,
        micro_batch: &[&Structure],
        keys: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        self.prepare_phase(0, micro_batch, keys)
    }

    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64> {
        self.phase_loss_counts(0, batch)
    }

    fn phases(&self) -> Vec<Phase> {
        self.phases.clone()
    }

    fn prepare_phase<'a>(
        &'a self,
        phase: usize,
        micro_batch: &[&Structure],
        keys: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        let item = |(s, key): (&&Structure, &NoiseKey)| Item {
            atoms: s.len() as f32,
            edge: s.lattice.lengths()[0] as f32,
            noise: noise(key),
        };
        Ok(Box::new(Ready { model: self, phase, items: micro_batch.iter().zip(keys).map(item).collect() }))
    }

    fn phase_loss_counts(&self, phase: usize, batch: &[&Structure]) -> Vec<f64> {
        let parts = if matches!(self.net, Net::Gan { .. }) && phase == 0 { 2 } else { 1 };
        vec![batch.len() as f64; parts]
    }

    fn batch_statistics(&self) -> BatchStatistics {
        self.statistics
    }
}
