//! Reproducible noise: one counter-based stream per structure.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// A stream of random numbers that belongs to one structure. Streams of different keys are independent, so the noise
/// of a structure does not depend on which others are drawn beside it.
#[derive(Debug, Clone)]
pub struct Noise {
    rng: ChaCha8Rng,
}

impl Noise {
    /// The stream of structure `index` under `seed`.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        Self { rng }
    }

    /// The stream of structure `index` in one pass over the training data.
    pub fn of_epoch(seed: u64, epoch: u64, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&epoch.to_le_bytes());
        key[16..24].copy_from_slice(&index.to_le_bytes());
        Self { rng: ChaCha8Rng::from_seed(key) }
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        self.rng.sample(StandardNormal)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.rng.random()
    }

    /// Uniform in 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }
}
